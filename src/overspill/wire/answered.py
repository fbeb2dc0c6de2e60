"""Reads which model a target says that it answered with: a name may lead to another model than it did yesterday.

Asked once per answer, of its first event with a token or of its whole body; not of every chunk.
"""

from __future__ import annotations

from typing import Any

import msgspec

LONGEST_MODEL = 256


class _Inner(msgspec.Struct):
    """Where the native surfaces have it: ``message_start``'s message, ``response.created``'s response."""

    model: Any = None


class _Head(msgspec.Struct):
    model: Any = None
    message: _Inner | None = None
    response: _Inner | None = None


_decode = msgspec.json.Decoder(_Head).decode


def answered_model(data: bytes) -> str | None:
    """Return the ``model`` of an event or a body; ``None`` if it names none, or something that is no name."""
    if b'"model"' not in data:
        return None
    try:
        head = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    for place in (head, head.message, head.response):
        if place is not None and isinstance(place.model, str) and place.model:
            return place.model[:LONGEST_MODEL]
    return None
