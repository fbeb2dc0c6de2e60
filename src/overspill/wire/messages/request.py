"""A client's Messages request, checked and read into a chat request: the first step of its path after HTTP.

The client's own fields are kept beside the translation, for targets that speak Messages themselves.
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import msgspec

from overspill.wire.chat import MAX_TOKENS_LIMIT, PREFIX_BYTES, read_object
from overspill.wire.messages.blocks import bad, decode_turns, decoded, is_absent, read_content
from overspill.wire.messages.options import Fields, Options, raw_of
from overspill.wire.messages.turns import Conversation
from overspill.wire.needs import needs_of_translated
from overspill.wire.request import Request
from overspill.wire.tokens import estimate_tokens

_READ = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "system",
        "stream",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "metadata",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
    }
)
_OF_NO_EFFECT = (b"null", b"[]", b"{}", b"false", b'"auto"', b'"standard"', b'"standard_only"')
"""Values of a field that is dropped of which nobody need be told."""
_MAX_DIGITS = 10

_INTEGRAL = re.compile(rb"(-?[0-9]+)\.0+")

_decode_text = msgspec.json.Decoder(str).decode
_decode_boolean = msgspec.json.Decoder(bool).decode


def read_messages(body: bytes) -> Request:
    """Check the body of ``POST /v1/messages`` and read it into chat fields; raise ``WireError`` (400) if it is bad."""
    native = read_object(body)
    max_tokens = _max_tokens(native)
    return _read(native, max_tokens)


def read_count(body: bytes) -> Request:
    """Read the body of ``POST /v1/messages/count_tokens``: a request that says nothing of its answer's length."""
    native = read_object(body)
    native.pop("max_tokens", None)
    return _read(native, None)


def _read(native: Fields, max_tokens: int | None) -> Request:
    model = _model(native)
    conversation = Conversation()
    system = native.get("system")
    if system is not None and not is_absent(system):
        conversation.add_system(read_content(system, "system"), "system")
    conversation.add_turns(_turns(native))
    options = Options(native)
    options.read()
    stream = _stream(native)
    messages = raw_of(conversation.messages)
    fields: Fields = {"model": native["model"], "messages": messages}
    if max_tokens is not None:
        fields["max_tokens"] = raw_of(max(max_tokens, 1))
    if stream:
        fields["stream"] = native["stream"]
    fields |= options.fields
    tools = fields.get("tools")
    native_only = [*conversation.native_only, *options.native_only]
    if max_tokens == 0:
        native_only.append("'max_tokens' of 0, which fills Anthropic's cache and no other")
    dropped = [name for name in native if name not in _READ and _says_something(native[name])]
    prompt = bytes(messages)
    return Request(
        fields=fields,
        model=model,
        prompt_tokens=estimate_tokens(prompt) + (0 if tools is None else estimate_tokens(bytes(tools))),
        text_prefix_crc=crc32(prompt[:PREFIX_BYTES]),
        stream=stream,
        max_tokens=None if max_tokens is None else max(max_tokens, 1),
        include_usage=stream,
        has_tools=tools is not None,
        surface="messages",
        native=native,
        native_only=tuple(native_only),
        needs=needs_of_translated(fields, prompt, "messages", tuple(native_only)),
        dropped=tuple(sorted({*dropped, *conversation.dropped, *options.dropped})),
    )


def _model(native: Fields) -> str:
    model: str = decoded(_decode_text, _required(native, "model"), "model")
    if not model:
        raise bad("model", "String should have at least 1 character", code="invalid_value")
    return model


def _turns(native: Fields) -> Any:
    turns = decoded(decode_turns, _required(native, "messages"), "messages")
    if not turns:
        raise bad("messages", "at least one message is required", code="empty_array")
    return turns


def _required(native: Fields, name: str) -> msgspec.Raw:
    raw = native.get(name)
    if raw is None or is_absent(raw):
        raise bad(name, "Field required", code="missing_required_parameter")
    return raw


def _max_tokens(native: Fields) -> int:
    digits = _INTEGRAL.sub(rb"\1", bytes(_required(native, "max_tokens")))  # 1.0 is 1 to JSON
    if not digits.removeprefix(b"-").isdigit():
        raise bad("max_tokens", "Input should be a valid integer", code="invalid_type")
    if digits.startswith(b"-"):
        raise bad("max_tokens", "Input should be greater than or equal to 0", code="integer_below_min_value")
    if len(digits) > _MAX_DIGITS or (value := int(digits)) > MAX_TOKENS_LIMIT:
        what = f"Input should be less than or equal to {MAX_TOKENS_LIMIT}"
        raise bad("max_tokens", what, code="integer_above_max_value")
    return value


def _stream(native: Fields) -> bool:
    raw = native.get("stream")
    return raw is not None and not is_absent(raw) and bool(decoded(_decode_boolean, raw, "stream"))


def _says_something(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in _OF_NO_EFFECT
