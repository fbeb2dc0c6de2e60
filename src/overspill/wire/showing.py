"""Thoughts in an answer as a client wants to see them: under another name, in the text, or not at all.

The other way of ``wire.reasoning``: what comes is in the normal form. A client that says nothing gets that, and no
writer. Each event comes out as one, so that what is counted in events stays so.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.contract import REASONING_FIELDS
from overspill.wire.form import ReasoningForm
from overspill.wire.reply import SSE_HEARTBEAT, error_body, stream_error_event
from overspill.wire.request import Request
from overspill.wire.sse import SseDecoder
from overspill.wire.tags import CLOSE, OPEN

_DETAILS = "reasoning_details"
_BEHIND_OPEN = "\n"
_AROUND_CLOSE = ("\n", "\n\n")
_BLANK = {"content": ""}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def reasoning_writer(request: Request, form: ReasoningForm) -> ReasoningWriter | None:
    """Return what writes a chat answer for a client that wants thoughts in ``form``; ``None`` if nothing need."""
    if request.surface != "chat" or form is ReasoningForm.REASONING_CONTENT:
        return None
    return ReasoningWriter(form)


class ReasoningWriter:
    """An ``AnswerWriter`` of the chat surface for one client that wants thoughts in another form."""

    __slots__ = ("_decoder", "_form", "_thinking")

    def __init__(self, form: ReasoningForm) -> None:
        self._form = form
        self._decoder = SseDecoder()
        self._thinking: set[int] = set()
        """Choices whose thought stands in the text and has not ended."""

    def feed(self, events: bytes) -> bytes:
        """See ``AnswerWriter``."""
        return b"".join([self._event(event.raw, event.data) for event in self._decoder.feed(events)])

    def _event(self, raw: bytes, data: bytes | None) -> bytes:
        if data is None or data[:6] == b"[DONE]" or not (self._thinking or b'"reasoning' in data):
            return raw
        chunk = _read(data)
        choices = chunk.get("choices")
        changed = [self._choice(choice) for choice in choices] if isinstance(choices, list) else []
        return b"data: %b\n\n" % msgspec.json.encode(chunk) if any(changed) else raw

    def _choice(self, choice: Any) -> bool:
        """Write one choice of an event; return whether anything is another."""
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            return False
        if self._form is not ReasoningForm.THINK:
            return _show(delta, self._form)
        index = choice.get("index") or 0
        thought, content = _taken(delta), delta.get("content")
        if thought is None and index not in self._thinking:
            return False
        text = ""
        if thought:
            text = thought if index in self._thinking else OPEN + _BEHIND_OPEN + thought
            self._thinking.add(index)
        if index in self._thinking and (content or delta.get("tool_calls") or choice.get("finish_reason")):
            self._thinking.discard(index)
            text += CLOSE.join(_AROUND_CLOSE)
        if text or thought is not None:
            delta["content"] = text + (content if isinstance(content, str) else "")
        return True

    def whole(self, body: bytes) -> bytes:
        """See ``AnswerWriter``."""
        if b'"reasoning' not in body:
            return body
        answer = _read(body)
        choices = answer.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            message = choice.get("message") if isinstance(choice, dict) else None
            if not isinstance(message, dict):
                continue
            if self._form is not ReasoningForm.THINK:
                _show(message, self._form)
                continue
            thought, content = _taken(message), message.get("content")
            if thought:
                before = OPEN + _BEHIND_OPEN + thought + CLOSE.join(_AROUND_CLOSE)
                message["content"] = before + (content if isinstance(content, str) else "")
        return msgspec.json.encode(answer)

    def heartbeat(self) -> bytes:
        """See ``AnswerWriter``."""
        return SSE_HEARTBEAT

    def broken(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """See ``AnswerWriter``."""
        return stream_error_event(message, kind=kind, code=code)

    def error(
        self,
        status: int,  # noqa: ARG002 - see ``AnswerWriter``
        message: str,
        *,
        kind: str,
        code: str | None = None,
        param: str | None = None,
    ) -> bytes:
        """See ``AnswerWriter``."""
        return error_body(message, kind=kind, code=code, param=param)


def _taken(text: dict[str, Any]) -> str | None:
    """Take a thought out of a delta or a message; ``None`` if it has no field for one."""
    found = [text.pop(name) for name in (*REASONING_FIELDS, _DETAILS) if name in text]
    if not found:
        return None
    return next((value for value in found if isinstance(value, str) and value), "")


def _show(text: dict[str, Any], form: ReasoningForm) -> bool:
    """Write a thought under another name, or leave it out; return whether there was one."""
    if form is ReasoningForm.NONE:
        if _taken(text) is None:
            return False
        if not text:
            text.update(_BLANK)  # a delta of an event that has nothing to say
        return True
    if "reasoning_content" not in text:
        return False
    text[form.value] = text.pop("reasoning_content")
    return True


def _read(data: bytes) -> dict[str, Any]:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedChunk(f"{len(data)} bytes that are no answer in OpenAI's form: {error}") from None
