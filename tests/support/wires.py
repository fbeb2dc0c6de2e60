"""A connection without a socket: a test says which bytes come in one read, and sees what was written at each step."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from overspill.gateway.http.client import ConnectionPool
from overspill.gateway.http.client_call import ClientCall, Receiver
from overspill.gateway.http.client_connection import ClientConnection
from overspill.wire.http import HttpCall, Origin


class Wire(asyncio.Transport):
    """A transport whose peer is the test. It keeps asyncio's promises: nothing is received while reading is paused,
    ``pause_writing`` comes out of ``write``, and ``connection_lost`` at the loop's next turn.
    """

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._high_bytes = 64 * 1024
        self._is_full = False
        self.sent = b""
        """All that was written."""
        self.read_bytes = 0
        """How much of it the peer has read; without ``is_slow`` all of it, always."""
        self.is_slow = False
        self.is_reading = True
        self.is_closed = False
        self.has_ended = False
        protocol.connection_made(self)

    def receive(self, data: bytes) -> None:
        """Have one read bring ``data``."""
        assert self.is_reading
        if not self.is_closed:
            self._protocol.data_received(data)

    def end(self) -> None:
        """Have the peer close."""
        if not self.is_closed and not self._protocol.eof_received():
            self.close()

    def drain(self, count: int | None = None) -> None:
        """Have the peer read ``count`` bytes, or all that there is."""
        left = len(self.sent) - self.read_bytes
        self.read_bytes += left if count is None else min(count, left)
        if self._is_full and self.get_write_buffer_size() <= self._high_bytes // 4:
            self._is_full = False
            self._protocol.resume_writing()

    # -- what the protocol calls

    def write(self, data: Any) -> None:
        if self.is_closed:
            return
        assert not self.has_ended
        self.sent += data
        if not self.is_slow:
            self.read_bytes = len(self.sent)
        elif not self._is_full and self.get_write_buffer_size() > self._high_bytes:
            self._is_full = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        self.has_ended = True

    def can_write_eof(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_bytes = high or self._high_bytes

    def get_write_buffer_size(self) -> int:
        return len(self.sent) - self.read_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


class Line:
    """An ``HttpClient`` as a relay sees it, whose one origin is the test: a connection stands when it is needed."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self.wires: list[Wire] = []

    @property
    def wire(self) -> Wire:
        """The last connection that was opened."""
        return self.wires[-1]

    def request(
        self, origin: Origin, call: HttpCall, receiver: Receiver, *, reuse: bool = True, connect_timeout_s: float = 1.0
    ) -> ClientCall:
        payload = self.pool.encode(call, closes=not reuse)
        is_head = call.method == b"HEAD"
        made = ClientCall(payload, receiver, is_head=is_head, closes=not reuse, connect_timeout_s=connect_timeout_s)
        connection = self.pool.take() if reuse else None
        is_reused = connection is not None
        if connection is None:
            connection = ClientConnection(self.pool)
            self.wires.append(Wire(connection))
            self.pool.adopt(connection)
        connection.send(made, is_reused=is_reused)
        return made


def dechunked(data: bytes) -> tuple[bytes, bool]:
    """Return what a chunked body's bytes say, and whether its last chunk is there; what is no chunk fails."""
    body = b""
    while data:
        line, separator, rest = data.partition(b"\r\n")
        assert separator, data
        size = int(line, 16)
        assert line == b"%x" % size, line
        assert rest[size : size + 2] == b"\r\n", (size, rest)
        body += rest[:size]
        data = rest[size + 2 :]
        if size == 0:
            assert not data
            return body, True
    return body, False


def connection_of(wire: Wire) -> ClientConnection:
    return cast("ClientConnection", wire._protocol)
