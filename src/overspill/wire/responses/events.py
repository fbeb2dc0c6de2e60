"""Events of a streamed response: each has a name, which is its type as well, and a number of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

Said = tuple[str, dict[str, Any]]
"""The type of an event without ``response.``, and its fields."""

_encode = msgspec.json.Encoder().encode

_MARKER = "\N{OBJECT REPLACEMENT CHARACTER}"


class Frame(NamedTuple):
    """All of a delta's event but its number and its text: nearly all events differ in those only."""

    before_number: bytes
    before_text: bytes
    behind_text: bytes


class Numbering:
    """Writes events and counts them."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    @property
    def has_begun(self) -> bool:
        """Whether there was an event."""
        return self._next > 0

    def write(self, events: Iterable[Said]) -> bytes:
        """Write events in order."""
        return b"".join([self._written(name, fields) for name, fields in events])

    def frame(self, event: Said) -> Frame:
        """Return what stands around the text of such an event, of which ``delta`` is the text."""
        name, fields = event
        kind = f"response.{name}"
        before, _, after = _encode({**fields, "delta": _MARKER}).partition(_MARKER.encode())
        head = _encode({"type": kind, "sequence_number": 0})[:-2]
        return Frame(b"event: %b\ndata: %b" % (kind.encode(), head), b"," + before[1:], after + b"\n\n")

    def write_framed(self, frame: Frame, text: bytes) -> bytes:
        """Write an event whose text, as it stands in JSON, needs no escapes."""
        number = self._next
        self._next += 1
        return b"%b%d%b%b%b" % (frame.before_number, number, frame.before_text, text, frame.behind_text)

    def _written(self, name: str, fields: dict[str, Any]) -> bytes:
        kind = f"response.{name}"
        number = self._next
        self._next += 1
        data = _encode({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
