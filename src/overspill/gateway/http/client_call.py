"""One call to a target: what the caller holds, and what the caller hears."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from overspill.gateway.http.fault import TransportFault
from overspill.wire.http import HttpCall, Origin

if TYPE_CHECKING:
    from overspill.gateway.http.client_connection import ClientConnection

# Written by the client itself.
_FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection"))
_BODY_METHODS: Final = frozenset((b"POST", b"PUT", b"PATCH"))
_JOIN_BELOW_BYTES: Final = 64 * 1024
"""A longer body is written by itself rather than copied behind its head."""


class Receiver(Protocol):
    """Hears a response, on the loop, never from inside ``request``.

    The order is ``on_head``, any number of ``on_body``, then one of ``on_end`` and ``on_fault``; a fault may come at
    any time. Nothing comes after ``cancel``.
    """

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the final status and its headers (names lower case)."""
        ...

    def on_body(self, data: bytes) -> None:
        """Take what one wake-up brought of the body, transfer coding removed."""
        ...

    def on_end(self) -> None:
        """Take note that the response is whole."""
        ...

    def on_fault(self, fault: TransportFault) -> None:
        """Take note that there will be no (more) response."""
        ...


class Passage(Protocol):
    """A way past the parser, for the chunks of an answer that its receiver has nothing to learn from."""

    def take(self, chunk: bytes) -> bool:
        """Pass on what came in one read, if it is one whole chunk that may pass; else return False."""
        ...


class ClientCall:
    """A call under way."""

    __slots__ = (
        "_connecting",
        "_connection",
        "can_retry",
        "closes",
        "connect_timeout_s",
        "is_done",
        "is_head",
        "is_paused",
        "payload",
        "receiver",
    )

    def __init__(
        self, payload: list[bytes], receiver: Receiver, *, is_head: bool, closes: bool, connect_timeout_s: float
    ) -> None:
        self.payload = payload
        self.receiver = receiver
        self.is_head = is_head
        self.closes = closes
        self.connect_timeout_s = connect_timeout_s
        self.can_retry = True
        """It may be sent a second time, if a pooled connection turns out to be stale."""
        self.is_done = False
        self.is_paused = False
        self._connection: ClientConnection | None = None
        self._connecting: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Close the connection at once, so that the peer stops working; the receiver hears nothing more."""
        if self.is_done:
            return
        self.is_done = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.abort()

    def pause(self) -> None:
        """Stop reading from the peer: its socket fills, and it waits."""
        self.is_paused = True
        if self._connection is not None and not self.is_done:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self.is_paused = False
        if self._connection is not None and not self.is_done:
            self._connection.resume()

    def set_passage(self, passage: Passage | None) -> None:
        """Have each chunk of a chunked answer offered to ``passage`` before it is parsed; ``None`` ends that."""
        if self._connection is not None and not self.is_done:
            self._connection.passage = passage

    def attach(self, *, connection: ClientConnection | None, task: asyncio.Task[None] | None) -> None:
        """Note on which connection, or in which connection attempt, the call now is (called by the client)."""
        self._connection = connection
        self._connecting = task

    def fail(self, fault: TransportFault) -> None:
        """End the call badly, once (called by the client)."""
        if self.is_done:
            return
        self.is_done = True
        self.receiver.on_fault(fault)


def encode_call_head(call: HttpCall, host_line: bytes, *, closes: bool) -> bytes:
    """Write a request's head up to its length; ``ValueError`` if a part of it could be read as a second request."""
    target = call.path
    parts = [call.method, b" ", target, b" HTTP/1.1\r\n", host_line]
    count = 2
    for name, value in call.headers:
        if name in _FRAMING:
            continue
        parts += (name, b": ", value, b"\r\n")
        count += 1
    if closes:
        parts.append(b"connection: close\r\n")
        count += 1
    head = b"".join(parts)
    if head.count(b"\n") != count or head.count(b"\r") != count or b" " in target or not target.startswith(b"/"):
        raise ValueError(
            f"call to {target!r}: its target or a header has a space, CR or LF that would change its meaning"
        )
    return head


def encode_body(method: bytes, head: bytes, body: bytes) -> list[bytes]:
    """Put a body behind its head, with its length between them; return the pieces to send."""
    if not body and method not in _BODY_METHODS:
        return [head + b"\r\n"]
    if len(body) < _JOIN_BELOW_BYTES:
        return [b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body)]
    return [b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body]


def encode_host(origin: Origin) -> bytes:
    """Write the ``Host`` line; a unix socket has no name, so it says ``localhost``."""
    if origin.uds_path is not None:
        return b"host: localhost\r\n"
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    name = host.encode("ascii" if host.isascii() else "idna")
    if origin.port == (443 if origin.scheme == "https" else 80):
        return b"host: %b\r\n" % name
    return b"host: %b:%d\r\n" % (name, origin.port)
