"""The free text of a custom tool's call, taken out of the JSON that a chat's function call has around it.

A custom tool becomes a function of one string (see ``tools``), so its model writes ``{"input": "…"}`` piece by piece.
The text is passed on as it comes, with its escapes read. What a model writes in any other way is passed on at the end:
the one string of an object, or else all of it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from overspill.wire.responses.tools import INPUT

_OPENING = re.compile(r'\s*\{\s*"' + INPUT + r'"\s*:\s*"')
_PLAIN = re.compile(r'[^"\\]+')
_ESCAPE = re.compile(r'\\(?:u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[0-9a-fA-F]{4})|["\\/bfnrt])')
_BEGUN = re.compile(r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?\Z")
"""An escape, or a pair of them, whose rest is still to come."""


class FreeformInput:
    """Reads the arguments of one call."""

    __slots__ = ("_is_open", "_is_over", "_unread")

    def __init__(self) -> None:
        self._unread = ""
        self._is_open = False
        self._is_over = False

    def add(self, piece: str) -> str:
        """Take the next piece of the arguments; return what it adds to the text."""
        if self._is_over:
            return ""
        self._unread += piece
        if not self._is_open:
            opening = _OPENING.match(self._unread)
            if opening is None:
                return ""
            self._is_open = True
            self._unread = self._unread[opening.end() :]
        return "".join(self._read())

    def finish(self) -> str:
        """Return what is left to pass on."""
        unread, self._unread = self._unread, ""
        return unread if self._is_open else _only_string(unread)

    def _read(self) -> Iterator[str]:
        unread, place = self._unread, 0
        while place < len(unread):
            plain = _PLAIN.match(unread, place)
            if plain is not None:
                yield plain[0]
                place = plain.end()
            elif unread[place] == '"':
                self._is_over = True
                place = len(unread)
            elif _BEGUN.match(unread, place):
                break
            else:
                escape = _ESCAPE.match(unread, place)
                yield "\\" if escape is None else _unescaped(escape[0])
                place = place + 1 if escape is None else escape.end()
        self._unread = unread[place:]


def _unescaped(escape: str) -> str:
    try:
        text: str = msgspec.json.decode(f'"{escape}"')
    except msgspec.DecodeError:  # half of a surrogate pair
        return "\ufffd"
    return text


def _only_string(arguments: str) -> str:
    try:
        value: Any = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    if isinstance(value, dict):
        value = value.get(INPUT) or (next(iter(value.values())) if len(value) == 1 else None)
    return value if isinstance(value, str) else arguments
