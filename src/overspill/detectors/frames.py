"""What the gateway and the detectors' process say to each other, and how it stands on their pipes."""

from __future__ import annotations

from typing import Any, BinaryIO, TypeVar

import msgspec

HEAD_BYTES = 4
F = TypeVar("F", bound=msgspec.Struct)


class Plan(msgspec.Struct, frozen=True):
    """One detector to load."""

    kind: str
    options: dict[str, Any]


class Setup(msgspec.Struct, frozen=True):
    """First to the process: what to load, by the names of the configuration."""

    detectors: dict[str, Plan]


class Hello(msgspec.Struct, frozen=True):
    """First from the process: it is ready, or why it never will be."""

    error: str | None = None


class Question(msgspec.Struct, frozen=True):
    """Whether one of these detectors finds something in one of these texts."""

    detectors: tuple[str, ...]
    texts: list[str]
    limit_s: float
    """After so long the process ends itself, should nobody be left to end it."""


class Answer(msgspec.Struct, frozen=True):
    """What came of it; never the text."""

    found: bool = False
    error: str | None = None
    """The type of what a detector raised."""


def encode(frame: msgspec.Struct) -> bytes:
    """Write a frame: its length, then itself."""
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(HEAD_BYTES, "big") + body


def decode(body: bytes, kind: type[F]) -> F:
    """Read a frame's body; raise ``msgspec.DecodeError`` if it is none of this kind."""
    return msgspec.msgpack.decode(body, type=kind)


def read(stream: BinaryIO, kind: type[F]) -> F | None:
    """Wait for a frame; ``None`` at the end of the stream."""
    head = stream.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    body = stream.read(int.from_bytes(head, "big"))
    return decode(body, kind)
