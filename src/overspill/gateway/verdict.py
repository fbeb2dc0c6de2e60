"""What a target's answer comes to where it is no stream of tokens: faults of its connection, whole bodies, errors."""

from __future__ import annotations

from typing import Final

from overspill.core.types import FailureKind, Surface
from overspill.gateway.http.fault import FaultKind
from overspill.wire.answers import ErrorBody, MalformedChunk, Whole
from overspill.wire.chunks import read_whole

OUT_OF_RESOURCES: Final = "insufficient_system_resource"
"""DeepSeek's finish reason for an answer that it broke off (api-docs.deepseek.com, chat completion)."""
FAULTS = {
    FaultKind.CUT: FailureKind.CUT,
    FaultKind.MALFORMED: FailureKind.MALFORMED,
    FaultKind.CONNECT_TIMEOUT: FailureKind.CONNECT,
    FaultKind.REFUSED: FailureKind.CONNECT,
    FaultKind.UNREACHABLE: FailureKind.CONNECT,
    FaultKind.DNS: FailureKind.CONNECT,
    FaultKind.TLS: FailureKind.CONNECT,
    FaultKind.IDLE_TIMEOUT: FailureKind.TIMEOUT,
}


class Body:
    """The bytes of a body as they come."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come."""
        return not self._bytes

    def add(self, data: bytes, limit: int) -> bool:
        """Take the next bytes, up to ``limit`` in all; return whether they fit."""
        fits = len(self._bytes) + len(data) <= limit
        if not fits:
            data = data[: limit - len(self._bytes)]
        if not self._bytes:
            self._bytes = data  # the whole of most answers, and then it need not be copied
            return fits
        if isinstance(self._bytes, bytes):
            self._bytes = bytearray(self._bytes)
        self._bytes += data
        return fits

    def replace(self, whole: bytes) -> None:
        """Take another body instead."""
        self._bytes = whole

    def whole(self) -> bytes:
        """Return all of it."""
        whole = self._bytes
        return whole if isinstance(whole, bytes) else bytes(whole)


def failure_of(whole: Whole, surface: Surface, max_tokens: int | None) -> FailureKind | None:
    """Say what is wrong with a whole answer that carries no error; ``None`` if nothing is."""
    if whole.finish_reason == OUT_OF_RESOURCES:
        return FailureKind.OVERLOADED
    is_full = whole.has_content or max_tokens == 0 or (whole.usage and whole.usage.output_tokens)
    if not whole.has_choices or not is_full:
        return FailureKind.HOLLOW
    if whole.finish_reason is None and surface is not Surface.EMBEDDINGS:
        return FailureKind.CUT  # the server says itself that it did not come to an end
    return None


def error_of(body: bytes) -> ErrorBody | None:
    """Return the error that a body carries, if it is one that can be read."""
    try:
        return read_whole(body).error
    except MalformedChunk:
        return None


def content_type(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the answer's content type in lower case, with its parameters; empty if there is none."""
    return next((value.lower() for name, value in headers if name == b"content-type"), b"")
