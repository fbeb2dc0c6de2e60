"""Events of a streamed response: each has a name, which is its type as well, and a number of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Said = tuple[str, dict[str, Any]]
"""The type of an event without ``response.``, and its fields."""

_encode = msgspec.json.Encoder().encode


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

    def _written(self, name: str, fields: dict[str, Any]) -> bytes:
        kind = f"response.{name}"
        number = self._next
        self._next += 1
        data = _encode({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
