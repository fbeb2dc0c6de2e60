"""The HTTP/1.1 server: sockets, the sweep that finds time-outs, and the orderly end.

First station of a request's path: ``ServerConnection`` reads it, ``Handler`` gets it as an ``Exchange``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.proxies import NO_PROXIES, TrustedProxies
from overspill.gateway.http.request import Request
from overspill.gateway.http.response import encode_date
from overspill.gateway.http.server_connection import ServerConnection
from overspill.wire.http import Headers

Handler = Callable[[Exchange], None]
"""Called with each whole request; answers it now or later, through the exchange. An exception becomes a 500."""
HeadCheck = Callable[[Request], "tuple[int, Headers, bytes] | None"]
"""Called when a head is complete; an answer (status, headers, body) refuses the request before its body is read and
closes the connection."""

_BACKLOG = 1024


class Server:
    """A running server. ``now_s`` and ``date_line`` are as fresh as the last sweep; the hot path reads no clock."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits,
        head_check: HeadCheck | None = None,
        proxies: TrustedProxies = NO_PROXIES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.handler = handler
        self.proxies = proxies
        self.head_check = head_check
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.is_draining = False
        self._clock = clock or self.loop.time
        self.now_s = self._clock()
        self.date_line = b""
        self._connections: set[ServerConnection] = set()
        self._listener: asyncio.AbstractServer | None = None
        self._addresses: list[str] = []
        self._uds_path: str | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    @property
    def addresses(self) -> list[str]:
        """Where it listens: ``host:port`` or the path of a unix socket."""
        return list(self._addresses)

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        return len(self._connections)

    async def listen(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        uds_path: str | None = None,
        sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Bind and accept. One of ``sock``, ``uds_path``, or ``host`` and ``port`` (0: any free one)."""
        if sock is not None:
            listener = await self.loop.create_server(self._connect, sock=sock, ssl=tls, backlog=_BACKLOG)
        elif uds_path is not None:
            listener = await self.loop.create_unix_server(self._connect, path=uds_path, ssl=tls, backlog=_BACKLOG)
            self._uds_path = uds_path
        else:
            listener = await self.loop.create_server(self._connect, host, port, ssl=tls, backlog=_BACKLOG)
        self._listener = listener
        self._addresses = [_address(bound) for bound in listener.sockets]

    def _connect(self) -> ServerConnection:
        return ServerConnection(self)

    def admit(self, connection: ServerConnection) -> bool:
        """Count a connection in; false if it is one too many (it is still counted until it is gone)."""
        self._connections.add(connection)
        return len(self._connections) <= self.limits.max_connections

    def forget(self, connection: ServerConnection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if not self._connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def forget_heads(self) -> None:
        """Have the next head of every connection checked, also one that was checked before: the check has changed."""
        for connection in self._connections:
            connection.forget_head()

    def sweep(self, now_s: float) -> None:
        """Close or refuse whatever has taken too long at ``now_s`` (the clock's seconds)."""
        self.now_s = now_s
        for connection in list(self._connections):
            connection.sweep(now_s)

    def _tick(self) -> None:
        utc = time.gmtime()
        self.date_line = encode_date(*utc[:6], weekday=utc.tm_wday)
        self.sweep(self._clock())
        self._timer = self.loop.call_later(self.limits.sweep_interval_s, self._tick)

    def stop_accepting(self) -> None:
        """Close the listening sockets; open connections live on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._uds_path is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(self._uds_path).unlink()
            self._uds_path = None

    async def drain(self, grace_s: float) -> bool:
        """Stop accepting, close idle connections and wait for the others; true if all ended within ``grace_s``.

        Responses that start from now on say ``Connection: close``. What is left is for ``close`` to cut.
        """
        self.stop_accepting()
        self.is_draining = True
        for connection in list(self._connections):
            connection.drain()
        return await self._wait_until_empty(grace_s)

    async def close(self) -> None:
        """Stop now: cut every connection (their exchanges learn it through ``on_gone``)."""
        self.stop_accepting()
        self.is_draining = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        await self._wait_until_empty(5.0)

    async def _wait_until_empty(self, limit_s: float) -> bool:
        if self._connections:
            self._emptied = self.loop.create_future()
            await asyncio.wait([self._emptied], timeout=limit_s)
        return not self._connections


async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    uds_path: str | None = None,
    sock: socket.socket | None = None,
    limits: Limits | None = None,
    tls: ssl.SSLContext | None = None,
    head_check: HeadCheck | None = None,
    proxies: TrustedProxies = NO_PROXIES,
    clock: Callable[[], float] | None = None,
) -> Server:
    """Start a server on the running loop; ``OSError`` if the address cannot be bound."""
    server = Server(handler, limits=limits or Limits(), head_check=head_check, proxies=proxies, clock=clock)
    try:
        await server.listen(host=host, port=port, uds_path=uds_path, sock=sock, tls=tls)
    except OSError:
        await server.close()
        raise
    return server


def _address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{host}:{name[1]}"
