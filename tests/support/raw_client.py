"""A client that shows the exact bytes of a response's body, as far as they have come."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import msgspec

Headers = tuple[tuple[str, str], ...]


class Reply:
    """A response: its head, and the body so far with the transfer coding removed."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.body = b""
        self.is_whole = False
        """True once the end came as HTTP says it."""

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.json()["error"])


class RawClient:
    """One connection to an address such as ``127.0.0.1:8788``; use it as a context manager."""

    def __init__(self, address: str, *, receive_buffer_bytes: int | None = None) -> None:
        self._address = address
        self._receive_buffer_bytes = receive_buffer_bytes

    async def __aenter__(self) -> Self:
        host, _, port = self._address.rpartition(":")
        limit = self._receive_buffer_bytes or 2**16
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=limit)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close at once, whatever is unread."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def send(self, method: str, path: str, body: bytes = b"", headers: Headers = ()) -> None:
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if "host" not in dict(headers):
            lines.append(f"host: {self._address}")
        if body:
            lines.append(f"content-length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def ask(self, body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", headers: Headers = ()) -> None:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.send("POST", path, raw, (("content-type", "application/json"), *headers))

    async def head(self) -> Reply:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines[1:] if line]
        return Reply(int(lines[0].split(" ")[1]), {name.lower(): value for name, _, value in pairs})

    async def read_until(self, reply: Reply, marker: bytes) -> None:
        """Read on until the body so far ends with or contains ``marker``."""
        while marker not in reply.body:
            assert await self._piece(reply), f"the body ended without {marker!r}: {reply.body!r}"

    async def rest(self, reply: Reply) -> Reply:
        """Read the body to its end, or to where it was broken off."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._piece(reply):
                pass
        return reply

    async def reply(self) -> Reply:
        return await self.rest(await self.head())

    async def _piece(self, reply: Reply) -> bool:
        if reply.headers.get("transfer-encoding") != "chunked":
            reply.body = await self.reader.readexactly(int(reply.headers.get("content-length", "0")))
            reply.is_whole = True
            return False
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        reply.body += data[:-2]
        reply.is_whole = size == 0
        return size > 0


async def ask(
    address: str, body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", headers: Headers = ()
) -> Reply:
    """Ask once over a connection of its own."""
    async with RawClient(address) as client:
        client.ask(body, path, headers)
        return await client.reply()


async def get(address: str, path: str, headers: Headers = (), method: str = "GET") -> Reply:
    async with RawClient(address) as client:
        client.send(method, path, headers=headers)
        return await client.reply()
