"""Messages passed on natively: what decisions need is read from events, and history is made fit for Anthropic.

A conversation may have been on other models before. What they thought has no signature of Anthropic's and is left out,
since it would be refused; ids of their calls that Anthropic does not accept are written in letters that it does.
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import msgspec

from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Usage, Whole
from overspill.wire.chunks import PLAIN_TOKEN
from overspill.wire.messages.blocks import UNSIGNED
from overspill.wire.messages.ends import FINISH_REASONS, count
from overspill.wire.request import Request
from overspill.wire.sse import Event

BETAS = "anthropic_beta"
"""A field of ours in a native request: the names in the client's ``anthropic-beta`` header, which no body has."""
_NO_TOKEN = Chunk(has_choices=True)
_UNSIGNED = re.compile(rb'"signature"\s*:\s*(?:null|""|"%b)' % UNSIGNED.encode())
_ODD_ID = re.compile(rb'"(?:tool_use_)?id"\s*:\s*"[A-Za-z0-9_-]*[^A-Za-z0-9_"-]')
_BETA = re.compile(r"[A-Za-z0-9._-]{1,128}")
_BAD_CHARACTER = re.compile(r"[^A-Za-z0-9_-]")
_THOUGHT = b'"thinking"'
_CALL = b'"tool_use"'
_REQUIRED_THOUGHT = b'"enabled"'


class _Delta(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Message(msgspec.Struct, gc=False):
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: _Delta | None = None
    message: _Message | None = None
    content_block: Any = None
    usage: Any = None
    error: Any = None


class _Whole(msgspec.Struct, gc=False):
    type: str
    content: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_turns = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_blocks = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_type = msgspec.json.Decoder(str).decode


class NativeMessages:
    """See ``NativeReader``."""

    __slots__ = ("_usage",)

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}

    def read(self, event: Event) -> tuple[Chunk, bool]:
        """See ``NativeReader``."""
        data = event.data or b""
        try:
            said = _decode_event(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(data)} bytes that are no event of Messages: {error}") from None
        match said.type:
            case "content_block_delta":
                delta = said.delta
                has_token = delta is not None and bool(delta.text or delta.thinking or delta.partial_json)
                return (PLAIN_TOKEN if has_token else _NO_TOKEN), False
            case "content_block_start":
                block = said.content_block
                has_token = isinstance(block, dict) and block.get("type") not in ("text", "thinking")
                return (PLAIN_TOKEN if has_token else _NO_TOKEN), False
            case "message_start":
                self._note(None if said.message is None else said.message.usage)
                return _NO_TOKEN, False
            case "message_delta":
                self._note(said.usage)
                reason = None if said.delta is None else said.delta.stop_reason
                return Chunk(False, _finish_reason(reason), usage_of(self._usage), has_choices=True), False
            case "message_stop":
                return _NO_TOKEN, True
            case "error":
                return Chunk(error=error_of(said.error)), False
            case _:  # a ping, the end of a block
                return _NO_TOKEN, False

    def whole(self, body: bytes) -> Whole:
        """See ``NativeReader``."""
        try:
            said = _decode_whole(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(body)} bytes that are no message: {error}") from None
        if said.type == "error":
            return Whole(error=error_of(said.error))
        if said.type != "message" or not isinstance(said.content, list):
            raise MalformedChunk(f"{len(body)} bytes that are no message")
        usage = usage_of(said.usage if isinstance(said.usage, dict) else {})
        return Whole(True, bool(said.content), _finish_reason(said.stop_reason), usage)

    def _note(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}


def _finish_reason(stop_reason: Any) -> str | None:
    return FINISH_REASONS.get(stop_reason, "stop") if isinstance(stop_reason, str) else None


def usage_of(usage: dict[str, Any]) -> Usage | None:
    """Read Anthropic's counts: what was read from its cache or written to it is part of the prompt."""
    fresh, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    cached, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    details = usage.get("output_tokens_details")
    reasoning = count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    if fresh is None and output is None:
        return None
    prompt = None if fresh is None else fresh + (cached or 0) + (written or 0)
    return Usage(prompt_tokens=prompt, cached_tokens=cached, output_tokens=output, reasoning_tokens=reasoning)


def error_of(error: Any) -> ErrorBody:
    """Read the ``error`` of an event or a body."""
    if not isinstance(error, dict):
        return ErrorBody(message=str(error or "the target reported an error and did not say which"))
    kind = error.get("type")
    kind = None if kind is None else str(kind)
    return ErrorBody(message=str(error.get("message") or kind or "error"), kind=kind, code=kind)


def with_betas(request: Request, header: bytes) -> Request:
    """Return a request that keeps the client's ``anthropic-beta`` header beside its own fields."""
    names = [name.strip() for name in header.decode("ascii", "ignore").split(",")]
    betas = msgspec.Raw(msgspec.json.encode([name for name in names if _BETA.fullmatch(name)]))
    return request.saying(native={**(request.native or {}), BETAS: betas})


def fit_history(body: bytes) -> bytes:
    """Return a Messages body whose history Anthropic accepts, whichever models it is from; mostly as it came."""
    if _UNSIGNED.search(body) is None and _ODD_ID.search(body) is None:
        return body
    fields = _decode_fields(body)
    turns = _decode_turns(fields["messages"])
    fitted = []
    is_unsigned = False
    """Whether the last turn of the model calls tools and is left without a thought that it had."""
    for turn in turns:
        content = bytes(turn["content"])
        if content.startswith(b"["):
            blocks = _decode_blocks(content)
            kept = [block for block in blocks if not _is_unsigned(block)]
            if bytes(turn["role"]) == b'"assistant"':
                is_unsigned = len(kept) < len(blocks) and any(bytes(block.get("type", b"")) == _CALL for block in kept)
            if not kept and blocks:
                continue
            turn["content"] = msgspec.Raw(msgspec.json.encode([_with_good_ids(block) for block in kept]))
        fitted.append(turn)
    fields["messages"] = msgspec.Raw(msgspec.json.encode(fitted))
    if is_unsigned and _REQUIRED_THOUGHT in bytes(fields.get("thinking", b"")):
        # "When `thinking` is enabled, a final `assistant` message must start with a thinking block": this one cannot.
        fields["thinking"] = msgspec.Raw(b'{"type":"disabled"}')
    return msgspec.json.encode(fields)


def _is_unsigned(block: dict[str, msgspec.Raw]) -> bool:
    if bytes(block.get("type", b"")) != _THOUGHT:
        return False
    signature = bytes(block.get("signature", b"null"))
    return signature in (b'""', b"null") or signature.startswith(b'"' + UNSIGNED.encode())


def _with_good_ids(block: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    for name in ("id", "tool_use_id"):
        raw = bytes(block.get(name, b""))
        if raw.startswith(b'"'):
            block[name] = msgspec.Raw(msgspec.json.encode(good_id(_decode_type(raw))))
    return block


def good_id(call_id: str) -> str:
    """Return a call's id in Anthropic's alphabet: the same one for the same, another for another."""
    cleaned = _BAD_CHARACTER.sub("_", call_id)
    return cleaned if cleaned == call_id and call_id else f"{cleaned}_{crc32(call_id.encode()):08x}"
