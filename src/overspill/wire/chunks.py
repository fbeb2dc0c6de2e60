"""What a target's answer says, read for decisions and the ledger: tokens, an end, a usage, an error.

The relay forwards an answer's bytes as they came; beside that it asks here, once per event, what they mean. The fields
differ between servers, so all that does not decide the shape is read leniently: ``null``, absent and unknown are alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from overspill.wire.answered import LONGEST_MODEL
from overspill.wire.answers import Chunk, ChunkHead, ErrorBody, MalformedChunk, Text, Usage, Whole, WholeHead
from overspill.wire.tags import OPEN

_T = TypeVar("_T")
_MAX_COUNT: Final = 2**53
_TAG_CHARACTERS: Final = len(OPEN)


_decode_chunk: Final = msgspec.json.Decoder(ChunkHead).decode
_decode_whole: Final = msgspec.json.Decoder(WholeHead).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

PLAIN_TOKEN: Final = Chunk(has_token=True, has_choices=True)
"""What nearly every chunk is read as, and always this object: immutable, so a reader may ask for it by ``is``."""
_NO_TOKEN: Final = Chunk(has_choices=True)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def is_done(data: bytes) -> bool:
    """Tell whether an event's data is the ``[DONE]`` that ends a stream."""
    return data[:6] == b"[DONE]"


def has_tool_call(data: bytes) -> bool:
    """Tell whether an event that was read has a part of a tool call."""
    if b"tool_calls" not in data and b"function_call" not in data:  # nearly every event
        return False
    for choice in _decode_chunk(data).choices or ():
        if choice.delta is not None and (choice.delta.tool_calls or choice.delta.function_call):
            return True
    return False


def read_chunk(data: bytes) -> Chunk:
    """Read one event's data; raise ``MalformedChunk`` if it is none. ``[DONE]`` is the caller's to see first."""
    try:
        head = _decode_chunk(data)
    except _UNREADABLE as error:
        raise _malformed(data, error) from None
    choices = head.choices
    usage = head.usage
    if not choices:
        return Chunk(usage=read_usage(usage), error=_error(head.error, None if usage else data))
    if usage is None and head.error is None and len(choices) == 1:  # nearly every chunk: half the time of what follows
        choice = choices[0]
        if not choice.finish_reason and choice.usage is None:
            return PLAIN_TOKEN if choice.text or _has_content(choice.delta) else _NO_TOKEN
    has_token = False
    finish_reason = None
    for choice in choices:
        has_token = has_token or bool(choice.text) or _has_content(choice.delta)
        finish_reason = finish_reason or choice.finish_reason or None
        usage = usage or choice.usage
    if finish_reason is None and usage is None and head.error is None:
        return PLAIN_TOKEN if has_token else _NO_TOKEN
    return Chunk(has_token, finish_reason, read_usage(usage), _error(head.error), has_choices=True)


def read_whole(body: bytes) -> Whole:
    """Read the body of an answer that was not streamed; raise ``MalformedChunk`` if it is none."""
    head = _decoded(_decode_whole, body)
    choices = head.choices
    usage = read_usage(head.usage)
    if choices and len(choices) == 1 and head.error is None:  # nearly every answer
        choice = choices[0]
        message = choice.message
        has_content = bool(choice.text) or _has_content(message)
        return Whole(
            True, has_content, choice.finish_reason or None, usage, None, _name(head.model), _has_thought(message)
        )
    if choices:
        has_content = any(bool(choice.text) or _has_content(choice.message) for choice in choices)
        finish_reason = next((choice.finish_reason for choice in choices if choice.finish_reason), None)
        has_thought = any(_has_thought(choice.message) for choice in choices)
        return Whole(True, has_content, finish_reason, usage, _error(head.error), _name(head.model), has_thought)
    if head.data:
        return Whole(True, True, None, usage, _error(head.error), _name(head.model))
    return Whole(usage=usage, error=_error(head.error, None if usage else body))


def _name(model: Any) -> str | None:
    return model[:LONGEST_MODEL] if isinstance(model, str) and model else None


def _decoded(decode: Callable[[bytes], _T], data: bytes) -> _T:
    try:
        return decode(data)
    except _UNREADABLE as error:
        raise _malformed(data, error) from None


def _malformed(data: bytes, error: Exception) -> MalformedChunk:
    # The data itself stays out of the message: it is somebody's answer.
    return MalformedChunk(f"{len(data)} bytes that are no answer in OpenAI's form: {error}")


def _has_content(text: Text | None) -> bool:
    return text is not None and bool(
        text.content
        or text.reasoning_content
        or text.reasoning
        or text.thinking
        or text.tool_calls
        or text.refusal
        or text.function_call
    )


def _has_thought(message: Text | None) -> bool:
    """Tell whether there is a thought under another name, or one in tags before the text."""
    if message is None:
        return False
    content = message.content
    is_tagged = isinstance(content, str) and content.lstrip()[:_TAG_CHARACTERS] == OPEN
    return is_tagged or bool(message.reasoning or message.thinking)


def read_usage(reported: Any) -> Usage | None:
    """Read a usage object of any server; one without a single count is ``None``."""
    if not isinstance(reported, dict):
        return None
    prompt_details = reported.get("prompt_tokens_details")
    cached = _count(prompt_details.get("cached_tokens")) if isinstance(prompt_details, dict) else None
    if cached is None:
        cached = _count(reported.get("prompt_cache_hit_tokens"))  # DeepSeek's name
    output_details = reported.get("completion_tokens_details")
    prompt = _count(reported.get("prompt_tokens"))
    output = _count(reported.get("completion_tokens"))
    reasoning = _count(output_details.get("reasoning_tokens")) if isinstance(output_details, dict) else None
    if prompt is None and cached is None and output is None and reasoning is None:
        return None
    return Usage(prompt_tokens=prompt, cached_tokens=cached, output_tokens=output, reasoning_tokens=reasoning)


def _count(value: Any) -> int | None:
    """Take a count only if it can be one: a broken number must not break the answer, nor the ledger's column."""
    return value if type(value) is int and 0 <= value < _MAX_COUNT else None


def _error(error: Any, bare: bytes | None = None) -> ErrorBody | None:
    """Read an ``error`` field or, where there is none, a ``bare`` object that is an error as a whole.

    Known forms: OpenAI's object, Ollama's string, ``{"code", "message"}`` (SiliconFlow, vLLM), ``{"error_code",
    "error_msg"}`` (Huawei), ``{"detail"}`` (FastAPI).
    """
    if error:
        described = _described(error) if isinstance(error, dict) else None
        return described or ErrorBody(message=_text(error))
    return None if bare is None else _described(_decoded(_decode_object, bare))


def _described(fields: dict[str, Any]) -> ErrorBody | None:
    """Read an error's fields; without a message it is none."""
    message = next((fields[name] for name in ("message", "error_msg", "msg", "detail") if fields.get(name)), None)
    if message is None:
        return None
    kind = fields.get("type", fields.get("status"))
    code = fields.get("code", fields.get("error_code"))
    param = fields.get("param")
    return ErrorBody(
        message=_text(message),
        kind=None if kind is None else _text(kind),
        code=None if code is None else _text(code),
        param=None if param is None else _text(param),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
