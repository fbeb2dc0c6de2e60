"""Reads the answers of a target that speaks Responses itself: only what decisions and the ledger need.

Such an answer goes to its client as it comes. A stream ends with ``response.completed``, ``response.incomplete`` or
``response.failed``; there is no ``[DONE]``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Usage, Whole
from overspill.wire.chunks import PLAIN_TOKEN, read_usage
from overspill.wire.sse import Event

_TOKENS = frozenset(
    {
        "response.audio.delta",
        "response.audio.transcript.delta",
        "response.code_interpreter_call_code.delta",
        "response.custom_tool_call_input.delta",
        "response.function_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.output_text.delta",
        "response.reasoning.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.refusal.delta",
    }
)
_FINISH_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
_NOTHING = Chunk()


class _Answer(msgspec.Struct, gc=False):
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    response: _Answer | None = None
    item: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class NativeResponses:
    """Reads one answer; see ``NativeReader``."""

    __slots__ = ()

    def read(self, event: Event) -> tuple[Chunk, bool]:
        """See ``NativeReader``."""
        data = event.data or b""
        if event.name and event.name.decode("latin-1") in _TOKENS:
            return PLAIN_TOKEN, False
        try:
            said = _decode_event(data)
        except _UNREADABLE as error:
            raise _malformed(data, error) from None
        if said.type in _TOKENS:
            return PLAIN_TOKEN, False
        if said.type == "error":
            return Chunk(error=_error(said.error) or _described(said.message, said.code, None, said.param)), True
        if said.type == "response.output_item.added":
            # A message's beginning says nothing yet. That of a thought says that the model has begun, and may be all
            # that is ever seen of it; any other item is a call.
            kind = said.item.get("type") if isinstance(said.item, dict) else None
            return (_NOTHING if kind is None or kind == "message" else PLAIN_TOKEN), False
        if said.response is None or said.type not in _ENDS:
            return _NOTHING, False
        return _end(said.response), True

    def whole(self, body: bytes) -> Whole:
        """See ``NativeReader``."""
        try:
            answer = _decode_answer(body)
        except _UNREADABLE as error:
            raise _malformed(body, error) from None
        end = _end(answer)
        output = answer.output if isinstance(answer.output, list) else []
        has_content = any(_says_something(item) for item in output)
        return Whole(bool(output), has_content, end.finish_reason, end.usage, end.error)


_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def _end(answer: _Answer) -> Chunk:
    """Read how an answer ended."""
    error = _error(answer.error)
    usage = _usage(answer.usage)
    if error is None and answer.status in ("failed", "cancelled"):
        error = ErrorBody(message=f"the response is {answer.status}")
    if error is not None:
        return Chunk(usage=usage, error=error)
    if answer.status == "incomplete":
        details = answer.incomplete_details
        reason = details.get("reason") if isinstance(details, dict) else None
        return Chunk(finish_reason=_FINISH_REASONS.get(str(reason), "length"), usage=usage, has_choices=True)
    if answer.status not in (None, "completed"):  # queued, in_progress: not an answer yet
        return Chunk(usage=usage)
    output = answer.output if isinstance(answer.output, list) else []
    is_call = any(isinstance(item, dict) and item.get("type") in _CALLS for item in output)
    return Chunk(finish_reason="tool_calls" if is_call else "stop", usage=usage, has_choices=True)


_CALLS = frozenset({"function_call", "custom_tool_call"})


def _says_something(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    if kind == "reasoning":
        return bool(item.get("summary") or item.get("content") or item.get("encrypted_content"))
    return bool(item.get("content")) if kind == "message" else True


def _usage(reported: Any) -> Usage | None:
    """Read the counts, which have other names here."""
    if not isinstance(reported, dict):
        return None
    return read_usage(
        {
            "prompt_tokens": reported.get("input_tokens"),
            "completion_tokens": reported.get("output_tokens"),
            "prompt_tokens_details": reported.get("input_tokens_details"),
            "completion_tokens_details": reported.get("output_tokens_details"),
        }
    )


def _error(error: Any) -> ErrorBody | None:
    if not isinstance(error, dict):
        return None
    return _described(error.get("message"), error.get("code"), error.get("type"), error.get("param"))


def _described(message: Any, code: Any, kind: Any, param: Any) -> ErrorBody:
    return ErrorBody(
        message=_text(message) or "the response failed",
        kind=_text(kind),
        code=_text(code),
        param=_text(param),
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _malformed(data: bytes, error: Exception) -> MalformedChunk:
    # The data itself stays out of the message: it is somebody's answer.
    return MalformedChunk(f"{len(data)} bytes that are no answer in the form of Responses: {error}")
