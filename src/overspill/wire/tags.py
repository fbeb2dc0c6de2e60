r"""Thoughts that stand in an answer's text, between ``<think>`` and ``</think>``: told from the text as it comes.

White space around a thought belongs to the tags: templates write ``<think>\n…\n</think>\n\n``. A text that does not
begin with the tag is left as it is, to the last character; a thought that never ends is a thought to the end.
"""

from __future__ import annotations

import enum
import re
from typing import Final

OPEN: Final = "<think>"
CLOSE = "</think>"
_WHOLE = re.compile(r"\s*<think>\s*(.*?)\s*(?:</think>\s*(.*))?", re.DOTALL)
_OPENED = re.compile(r"\s*(?:<think>)?\s*(.*?)\s*(?:</think>\s*(.*))?", re.DOTALL)


def split_thought(text: str, *, is_open: bool = False) -> tuple[str | None, str]:
    """Return the thought at the beginning of a whole text, ``None`` if there is none, and the rest.

    ``is_open``: the first tag was in the prompt.
    """
    match = (_OPENED if is_open else _WHOLE).fullmatch(text)
    if match is None:
        return None, text
    return match[1], match[2] or ""


class _State(enum.Enum):
    START = enum.auto()  # nothing but white space and a part of the first tag has come
    OPENED = enum.auto()  # the white space behind it
    THOUGHT = enum.auto()
    CLOSED = enum.auto()  # the white space behind the second tag
    TEXT = enum.auto()


class TagReader:
    """Splits one text that comes in pieces, wherever they are cut."""

    __slots__ = ("_held", "_is_open", "_state")

    def __init__(self, *, is_open: bool = False) -> None:
        """Make it; ``is_open``: the first tag was in the prompt, though the text may repeat it."""
        self._is_open = is_open
        self._state = _State.START
        self._held = ""
        """What may yet turn out to be a tag, or white space that belongs to one."""

    @property
    def is_through(self) -> bool:
        """True once all that comes is text: no thought, or none any more."""
        return self._state is _State.TEXT

    def feed(self, piece: str) -> tuple[str, str]:
        """Take the next piece; return what of a thought and what of the text is certain now."""
        text = self._held + piece
        self._held = ""
        thought = ""
        if self._state is _State.START:
            text = self._start(text)
        if self._state is _State.OPENED:
            text = text.lstrip()
            if text:
                self._state = _State.THOUGHT
        if self._state is _State.THOUGHT:
            thought, text = self._thought(text)
        if self._state is _State.CLOSED:
            text = text.lstrip()
            if text:
                self._state = _State.TEXT
        return thought, text

    def close(self) -> tuple[str, str]:
        """Return what was held back, since nothing follows."""
        held, self._held = self._held, ""
        if self._state is _State.START:
            self._state = _State.THOUGHT if self._is_open else _State.TEXT
            return (held.strip(), "") if self._is_open else ("", held)
        return held.rstrip(), ""

    def _start(self, text: str) -> str:
        """Look for the first tag; return what follows it, or all if there is none. What is undecided is held."""
        bare = text.lstrip()
        if bare.startswith(OPEN):
            self._state = _State.OPENED
            return bare[len(OPEN) :]
        if OPEN.startswith(bare):  # white space alone too
            self._held = text
            return ""
        self._state = _State.OPENED if self._is_open else _State.TEXT
        return text

    def _thought(self, text: str) -> tuple[str, str]:
        """Return the part of a thought that is certain, and what follows its end."""
        end = text.find(CLOSE)
        if end >= 0:
            self._state = _State.CLOSED
            return text[:end].rstrip(), text[end + len(CLOSE) :]
        keep = len(text) - _tail(text)
        keep = len(text[:keep].rstrip())
        self._held = text[keep:]
        return text[:keep], ""


def _tail(text: str) -> int:
    """Return the length of the end of ``text`` that the second tag may begin with."""
    for size in range(min(len(CLOSE) - 1, len(text)), 0, -1):
        if CLOSE.startswith(text[-size:]):
            return size
    return 0
