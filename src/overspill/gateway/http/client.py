"""The pooled HTTP/1.1 client: the last station of a request's path before a target.

``HttpClient.request`` is synchronous. Where an idle connection stands, the call is on the wire when it returns, and
neither a task nor a future was made. A task exists only while a connection is being opened.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from overspill.gateway.http.client_call import ClientCall, Receiver, encode_body, encode_call_head, encode_host
from overspill.gateway.http.client_connection import ClientConnection
from overspill.gateway.http.fault import FaultKind, TransportFault, connect_fault
from overspill.gateway.http.limits import ClientLimits
from overspill.gateway.http.repeat import AnswerHeads
from overspill.wire.http import Headers, HttpCall, Origin

_KEPT_HEADS = 64
"""Of the calls to one origin. A dialect has a few; one that writes a new head for each call gains nothing here."""


class ConnectionPool:
    """The idle connections to one origin, the most recently used last."""

    __slots__ = ("_heads", "_last", "answers", "client", "host_line", "idle", "name", "open_count", "origin")

    def __init__(self, client: HttpClient, origin: Origin) -> None:
        self.client = client
        self.origin = origin
        self.host_line = encode_host(origin)
        self.name = origin.uds_path or f"{origin.scheme}://{origin.host}:{origin.port}"
        self.idle: list[ClientConnection] = []
        self.open_count = 0
        """Idle ones and those with a call."""
        self.answers = AnswerHeads()
        self._heads: dict[tuple[bytes, bytes, Headers, bool], bytes] = {}
        self._last: tuple[Headers, bytes, bool, bytes] | None = None
        """Headers, path and ``closes`` of the last call, and the head that they came to: nearly always of the next."""

    def encode(self, call: HttpCall, *, closes: bool) -> list[bytes]:
        """Write a call as the pieces to send. A target's calls differ in their bodies: their heads are kept."""
        method, path, headers = call.method, call.path, call.headers
        if method == b"POST":
            last = self._last
            if last is not None and headers is last[0] and path is last[1] and closes == last[2]:
                return encode_body(method, last[3], call.body)
        key = (method, path, headers, closes)
        head = self._heads.get(key)
        if head is None:
            head = encode_call_head(call, self.host_line, closes=closes)
            if len(self._heads) >= _KEPT_HEADS:
                self._heads.clear()
            self._heads[key] = head
        if method == b"POST":
            self._last = headers, path, closes, head
        return encode_body(method, head, call.body)

    def take(self) -> ClientConnection | None:
        """Remove and return a connection that can be used, newest first; close those that are too old."""
        oldest_s = self.client.now_s - self.client.limits.max_lifetime_s
        while self.idle:
            connection = self.idle.pop()
            if not connection.is_usable:
                continue
            if connection.opened_s >= oldest_s:
                return connection
            connection.abort()
        return None

    def put_back(self, connection: ClientConnection) -> None:
        """Keep a connection whose response has ended."""
        limits = self.client.limits
        if self.client.is_closed or len(self.idle) >= limits.max_idle_connections:
            connection.abort()
            return
        self.idle.append(connection)

    def adopt(self, connection: ClientConnection) -> None:
        """Count a new connection in: when it has its call, not when it stands.

        A dial that is cancelled in between is closed by uvloop without ``connection_lost``.
        """
        self.open_count += 1
        self.client.connections.add(connection)

    def forget(self, connection: ClientConnection) -> None:
        """Take out a connection that was lost."""
        if connection not in self.client.connections:
            return
        self.open_count -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        self.client.forget(connection)

    def sweep(self, now_s: float) -> None:
        """Close what has been idle for too long."""
        limits = self.client.limits
        self.answers.rest()
        for connection in self.idle:
            is_old = now_s - connection.opened_s > limits.max_lifetime_s
            if is_old or now_s - connection.last_read_s > limits.idle_timeout_s:
                connection.abort()
        self.idle = [connection for connection in self.idle if connection.is_usable]


class HttpClient:
    """Calls to any number of origins over kept connections. Belongs to the loop it was made on."""

    def __init__(
        self,
        *,
        limits: ClientLimits | None = None,
        ca_file: str | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``ca_file`` names certificates (PEM) trusted besides the system's."""
        self.limits = limits or ClientLimits()
        self.loop = asyncio.get_running_loop()
        self.connections: set[ClientConnection] = set()
        self.is_closed = False
        self._ca_file = ca_file
        self._clock = clock or self.loop.time
        self.now_s = self._clock()
        """As fresh as the last sweep."""
        self._pools: dict[Origin, ConnectionPool] = {}
        self._tls: ssl.SSLContext | None = None
        self._connecting: dict[asyncio.Task[None], ClientCall] = {}
        self._emptied: asyncio.Future[None] | None = None
        self._timer = self.loop.call_later(self.limits.sweep_interval_s, self._tick)

    def request(
        self,
        origin: Origin,
        call: HttpCall,
        receiver: Receiver,
        *,
        reuse: bool = True,
        connect_timeout_s: float | None = None,
    ) -> ClientCall:
        """Send ``call``; the response comes to ``receiver``, never before this returns.

        ``reuse=False`` opens a connection of its own and closes it afterwards, for servers that close without saying
        so. Raises ``ValueError`` if the call cannot be written safely, ``RuntimeError`` after ``close``.
        """
        if self.is_closed:
            raise RuntimeError("this client is closed; make another")
        pool = self._pool(origin)
        payload = pool.encode(call, closes=not reuse)
        limit_s = self.limits.connect_timeout_s if connect_timeout_s is None else connect_timeout_s
        this = ClientCall(
            payload, receiver, is_head=call.method == b"HEAD", closes=not reuse, connect_timeout_s=limit_s
        )
        connection = pool.take() if reuse else None
        if connection is None:
            self.connect(pool, this)
        else:
            connection.send(this, is_reused=True)
        return this

    def _pool(self, origin: Origin) -> ConnectionPool:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = ConnectionPool(self, origin)
        return pool

    def connect(self, pool: ConnectionPool, call: ClientCall) -> None:
        """Open a connection for ``call`` in a task of its own."""
        task = self.loop.create_task(self._open(pool, call), name=f"connect {pool.name}")
        call.attach(connection=None, task=task)
        self._connecting[task] = call
        task.add_done_callback(self._connecting.pop)

    async def _open(self, pool: ConnectionPool, call: ClientCall) -> None:
        connection = ClientConnection(pool)
        try:
            async with asyncio.timeout(call.connect_timeout_s):
                await self._dial(pool.origin, connection)
        except OSError as error:
            call.fail(connect_fault(error, pool.name, call.connect_timeout_s))
        except UnicodeError as error:  # what Python's IDNA codec raises for a label it cannot encode
            call.fail(TransportFault(FaultKind.DNS, f"{pool.name} is not a host name: {error}"))
        else:
            if connection.is_usable and not call.is_done:
                pool.adopt(connection)
                connection.send(call, is_reused=False)
            else:
                call.fail(TransportFault(FaultKind.CUT, f"{pool.name} closed the connection as it opened"))
        finally:
            if connection.is_idle:
                connection.abort()

    async def _dial(self, origin: Origin, connection: ClientConnection) -> None:
        tls = self._tls_context() if origin.scheme == "https" else None
        if origin.uds_path is not None:
            name = origin.host if tls else None
            await self.loop.create_unix_connection(lambda: connection, origin.uds_path, ssl=tls, server_hostname=name)
        else:
            await self.loop.create_connection(lambda: connection, origin.host, origin.port, ssl=tls)

    def _tls_context(self) -> ssl.SSLContext:
        """Make the context once, when first needed: loading the certificates takes some 20 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._ca_file is not None:
                self._tls.load_verify_locations(self._ca_file)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def forget(self, connection: ClientConnection) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        if not self.connections and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)

    def sweep(self, now_s: float) -> None:
        """Close what is idle, old or silent for too long at ``now_s``; forget origins without connections."""
        self.now_s = now_s
        for connection in list(self.connections):
            connection.sweep(now_s, self.limits.silence_timeout_s)
        for pool in self._pools.values():
            pool.sweep(now_s)
        if not self._connecting:
            self._pools = {origin: pool for origin, pool in self._pools.items() if pool.open_count}

    def _tick(self) -> None:
        self.sweep(self._clock())
        self._timer = self.loop.call_later(self.limits.sweep_interval_s, self._tick)

    async def close(self) -> None:
        """End every call with a fault and close every connection."""
        self.is_closed = True
        self._timer.cancel()
        why = "the client was closed"
        for task, call in list(self._connecting.items()):
            task.cancel()
            call.fail(TransportFault(FaultKind.CUT, why))
        if self._connecting:
            await asyncio.wait(list(self._connecting))
        for connection in list(self.connections):
            connection.shut_down(why)
        if self.connections:
            self._emptied = self.loop.create_future()
            await asyncio.wait([self._emptied], timeout=5.0)
