"""Thoughts in a target's answer, brought into the normal form: ``reasoning_content``, wherever they stood.

In the path of a request this stands between the target's events and all else: see ``wire.dialect``. Nearly every target
is found to need nothing with the first token of its answer; from then on the reader is transparent and costs nothing.
``reasoning_details``, which carry signatures, stay beside the text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.form import ReasoningForm
from overspill.wire.sse import Event
from overspill.wire.tags import TagReader, split_thought

_OTHERS = ("reasoning", "thinking")
_RENAMED = frozenset({ReasoningForm.REASONING, ReasoningForm.THINKING})
_TAGGED = frozenset({ReasoningForm.THINK, ReasoningForm.THINK_OPEN})
_TRANSPARENT = frozenset({ReasoningForm.REASONING_CONTENT, ReasoningForm.NONE})

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def reasoning_reader(form: ReasoningForm, choices: int = 1) -> ReasoningReader | None:
    """Return what reads one answer of a target that says its thoughts in ``form``; ``None`` if nothing need."""
    return None if form in _TRANSPARENT else ReasoningReader(form, choices)


class ReasoningReader:
    """An ``AnswerReader``: reads one answer. With ``AUTO`` its first token tells the form."""

    __slots__ = ("_choices", "_form", "_tags")

    def __init__(self, form: ReasoningForm, choices: int = 1) -> None:
        """Make it for an answer of so many ``choices``."""
        self._form = form
        self._choices = choices
        self._tags: dict[int, TagReader] = {}
        """Of each choice, where a thought stands, or may yet stand, in the text."""

    @property
    def is_transparent(self) -> bool:
        """True once all further events come out as they go in."""
        return self._form in _TRANSPARENT

    def read(self, event: Event) -> list[bytes]:
        """Return the data of an event in the normal form; raise ``MalformedChunk`` if it is no chunk."""
        data = event.data
        if data is None:
            return []
        if self._form in _TRANSPARENT or data[:6] == b"[DONE]":
            return [data]
        if self._form in _RENAMED and not _has_other(data):
            return [data]
        chunk = _read(data)
        found = chunk.get("choices")
        choices = [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []
        if self._form is ReasoningForm.AUTO:
            self._look(choices)
        changed = [self._change(choice) for choice in choices]
        self._settle()
        return [msgspec.json.encode(chunk) if any(changed) else data]

    def whole(self, body: bytes) -> bytes:
        """Return a whole answer in the normal form; raise ``MalformedChunk`` if it is none."""
        form = self._form
        if form in _TRANSPARENT:
            return body
        answer = _read(body)
        choices = answer.get("choices")
        messages = [c.get("message") for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
        changed = [_rename(message) for message in messages] if form not in _TAGGED else []
        if form not in _RENAMED:
            changed += [_split_whole(message, is_open=form is ReasoningForm.THINK_OPEN) for message in messages]
        return msgspec.json.encode(answer) if any(changed) else body

    def _look(self, choices: list[dict[str, Any]]) -> None:
        """See whether a field shows the form; what stands in the text is the tags' to tell."""
        for choice in choices:
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                continue
            if delta.get("reasoning_content"):
                self._form = ReasoningForm.REASONING_CONTENT
            elif any(delta.get(name) for name in _OTHERS):
                self._form = ReasoningForm.REASONING

    def _change(self, choice: dict[str, Any]) -> bool:
        """Bring one choice into the normal form; return whether it was in another."""
        if self._form in _RENAMED:
            is_renamed = _rename(choice.get("delta"))
            return self._let_go(choice) or is_renamed
        return self._let_go(choice) if self._form in _TRANSPARENT else self._split(choice)

    def _tag_reader(self, choice: dict[str, Any]) -> TagReader:
        index = choice.get("index")
        place = index if isinstance(index, int) else 0
        if place not in self._tags:
            self._tags[place] = TagReader(is_open=self._form is ReasoningForm.THINK_OPEN)
        return self._tags[place]

    def _split(self, choice: dict[str, Any]) -> bool:
        """Take the thought out of one choice's text; return whether anything is another."""
        delta = choice.get("delta")
        is_last = bool(choice.get("finish_reason"))
        if not isinstance(delta, dict):
            if not is_last:
                return False
            delta = choice["delta"] = {}
        content = delta.get("content")
        tags = self._tag_reader(choice)
        if not isinstance(content, str):
            content = ""
        if not content and not (is_last or delta.get("tool_calls")):
            return False
        thought, text = tags.feed(content)
        if is_last or delta.get("tool_calls"):
            more, rest = tags.close()
            thought, text = thought + more, text + rest
        if text == content and not thought:
            return False
        if thought:
            delta["reasoning_content"] = thought
        if text or "content" in delta:
            delta["content"] = text
        return True

    def _let_go(self, choice: dict[str, Any]) -> bool:
        """Give back what was held of one choice's text while it was undecided."""
        index = choice.get("index")
        tags = self._tags.pop(index if isinstance(index, int) else 0, None)
        delta = choice.get("delta")
        held = "" if tags is None else tags.close()[1]
        if not held or not isinstance(delta, dict):
            return False
        delta["content"] = held + (delta.get("content") or "")
        return True

    def _settle(self) -> None:
        """Become transparent where nothing more can change."""
        tags = self._tags.values()
        if self._form not in _RENAMED and len(tags) == self._choices and all(tag.is_through for tag in tags):
            self._form = ReasoningForm.NONE


def _has_other(data: bytes) -> bool:
    return b'"reasoning"' in data or b'"thinking"' in data


def _rename(text: Any) -> bool:
    """Move a thought to its normal place; return whether there was one elsewhere."""
    if not isinstance(text, dict):
        return False
    found = [text.pop(name) for name in _OTHERS if name in text]
    thought = next((value for value in found if value), None)
    if not text.get("reasoning_content") and thought is not None:
        text["reasoning_content"] = thought
    return bool(found)


def _split_whole(message: Any, *, is_open: bool) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return False
    if message.get("reasoning_content"):
        return False
    thought, rest = split_thought(message["content"], is_open=is_open)
    if thought is None:
        return False
    message["content"] = rest
    if thought:
        message["reasoning_content"] = thought
    return True


def _read(data: bytes) -> dict[str, Any]:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedChunk(f"{len(data)} bytes that are no answer in OpenAI's form: {error}") from None
