"""Raw sockets on loopback, for tests of the HTTP edge that say exactly which bytes go in and come out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import uvloop

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.server import Handler, Server, serve
from overspill.wire.http import HttpCall, Origin

Run = Callable[[Coroutine[Any, Any, None]], None]
LOOPS: dict[str, Run] = {"asyncio": asyncio.run, "uvloop": uvloop.run}
PATIENCE_S = 10.0
"""Nothing waits this long unless it is broken."""
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> float:
        self.now_s += seconds
        return self.now_s


class Peer:
    """A raw client of the server under test, or a raw server's view of the client under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_until(self, separator: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(separator)

    async def read_exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(count)

    async def read_to_end(self) -> bytes:
        """Read until the other side closes or resets."""
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    received += piece
        return received

    async def read_message(self) -> bytes:
        """Read a head and the body that its Content-Length announces."""
        head = await self.read_until(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.read_exactly(int(line.partition(b":")[2]))
        return head

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[Server]:
    server = await serve(handler, **options)
    try:
        yield server
    finally:
        await server.close()


def port_of(server: Server) -> int:
    return int(server.addresses[0].rpartition(":")[2])


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port_of(server)))
    try:
        yield peer
    finally:
        await peer.close()


async def talk(server: Server, data: bytes) -> bytes:
    """Send ``data`` on a connection of its own and return all that comes until the server closes it."""
    async with connected(server) as peer:
        peer.send(data)
        return await peer.read_to_end()


async def until(claim: Callable[[], object]) -> None:
    """Let the loop run until ``claim`` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not claim():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def answer_ok(exchange: Exchange) -> None:
    exchange.reply(200, [(b"content-type", b"text/plain")], b"ok")


def answer_with_body(exchange: Exchange) -> None:
    exchange.reply(200, [], exchange.request.body)


def unreachable(exchange: Exchange) -> None:
    raise AssertionError(f"the handler got {exchange.request.method} {exchange.request.path}")


class Heard:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.pieces = 0
        self.ends = 0
        self.faults: list[TransportFault] = []

    @property
    def is_over(self) -> bool:
        return bool(self.ends or self.faults)

    async def over(self) -> None:
        """Wait for the end or the fault."""
        await until(lambda: self.is_over)

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        assert not self.status
        self.status = status
        self.headers = headers

    def on_body(self, data: bytes) -> None:
        self.body += data
        self.pieces += 1

    def on_end(self) -> None:
        self.ends += 1

    def on_fault(self, fault: TransportFault) -> None:
        self.faults.append(fault)


@contextlib.asynccontextmanager
async def scripted(script: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[Origin]:
    """Serve each connection with ``script``, then close it."""
    failures: list[BaseException] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            await script(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except AssertionError as error:
            failures.append(error)
        finally:
            await peer.close()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield Origin(port=server.sockets[0].getsockname()[1])
    finally:
        server.close()
    if failures:
        raise failures[0]


@contextlib.asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[HttpClient]:
    client = HttpClient(**options)
    try:
        yield client
    finally:
        await client.close()


CALL = HttpCall(b"POST", b"/v1/x", ((b"content-type", b"text/plain"),), b"ping")
READ = HttpCall(b"GET", b"/v1/x", (), b"")
