"""All text in a client's request, for who must judge it before it goes anywhere; and whether there is more than text.

Whatever a target could read is in it: every string of every field, also of those that we do not know. What is no text
(images, audio, files, token ids) cannot be judged by its text, and is reported as *unseen*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

_NOT_TEXT = frozenset({"model", "stream", "stream_options"})
"""Fields that say nothing of the prompt."""
_CONVERSATION = frozenset({"messages", "input", "prompt", "system", "instructions", "suffix", "prediction"})
"""Fields whose parts have types; elsewhere ``type`` is a word of a JSON schema."""
_TEXT_PARTS = frozenset(
    {
        "text",
        "refusal",
        "input_text",
        "output_text",
        "summary_text",
        "reasoning",
        "reasoning_text",
        "thinking",
        "message",
        "content",
        "function",
        "function_call",
        "function_call_output",
        "tool_use",
        "tool_result",
        "custom",
        "custom_tool_call",
        "custom_tool_call_output",
    }
)
_WORDS = frozenset(
    {"role", "type", "content", "text", "name", "id", "tool_calls", "tool_call_id", "function", "arguments"}
)
"""Keys of the API's own. Other keys may be the client's words."""
_NAMING = frozenset({"type", "role"})
_PARAMETER = re.compile("[a-z_]{1,32}")
"""A name of the API, not the client's words."""
_LONG_WORD = 2048
_LEAST_NUMBER = 100_000
"""A whole number below has too few digits to be one of somebody."""


class Texts(NamedTuple):
    """What there is to judge."""

    strings: list[str]
    has_unseen: bool
    """True if a part is no text."""
    is_unreadable: bool
    """True if a field could not be read, though JSON's grammar lets it pass."""


def read_texts(fields: Mapping[str, msgspec.Raw]) -> Texts:
    """Collect the text of a checked request's top-level fields."""
    reading = _Reading()
    is_unreadable = False
    for name, raw in fields.items():
        if name in _NOT_TEXT:
            continue
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):  # such as a number that is too large
            is_unreadable = True
            continue
        if _PARAMETER.fullmatch(name) is None:
            reading.strings.append(name)
        reading.take(value, name in _CONVERSATION)
    return Texts(reading.strings, reading.has_unseen, is_unreadable)


class _Reading:
    """Walks through values, without recursion: how deep they are is the client's choice."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.has_unseen = False

    def take(self, value: Any, is_conversation: bool) -> None:
        waiting = [value]
        while waiting:
            item = waiting.pop()
            match item:
                case str():
                    self._take_string(item, is_conversation)
                case bool() | None | float():
                    pass
                case int():
                    if abs(item) >= _LEAST_NUMBER:
                        self.strings.append(str(item))
                case list():
                    if is_conversation and any(type(part) is int for part in item):
                        self.has_unseen = True  # token ids
                    else:
                        waiting += reversed(item)
                case _:
                    self._take_mapping(item, is_conversation, waiting)

    def _take_mapping(self, item: dict[str, Any], is_conversation: bool, waiting: list[Any]) -> None:
        if is_conversation:
            kind = item.get("type", "text")
            if not (isinstance(kind, str) and kind in _TEXT_PARTS) or item.get("audio") is not None:
                self.has_unseen = True
        for key, value in reversed(item.items()):
            if key in _NAMING and isinstance(value, str) and _PARAMETER.fullmatch(value):
                continue
            if key not in _WORDS:
                self.strings.append(key)
            waiting.append(value)

    def _take_string(self, text: str, is_conversation: bool) -> None:
        if is_conversation and _is_encoded(text):
            self.has_unseen = True
        else:
            self.strings.append(text)


def _is_encoded(text: str) -> bool:
    """Say whether it is something else, written in letters: nobody finds anything in its text."""
    if text.startswith("data:"):
        return True
    return len(text) >= _LONG_WORD and text.isascii() and " " not in text and "\n" not in text
