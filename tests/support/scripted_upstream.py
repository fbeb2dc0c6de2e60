"""A target that plays exact bytes when the test says so, behind a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from tests.support.loops import until

JSON = "content-type: application/json\r\n"
SSE = "content-type: text/event-stream\r\n"
DONE = b"data: [DONE]\n\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """Return one event of a chat stream."""
    fields = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": {**fields, **more}, "finish_reason": finish}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def usage(prompt: int = 5, output: int = 2, cached: int = 0) -> bytes:
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return event({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": counts})


ROLE = delta("", role="assistant")
STREAM = ROLE + delta("Hel") + delta("lo") + delta(finish="stop")
"""An answer of two tokens without its usage and its ``[DONE]``."""


class Call:
    """One request that came; the test answers it."""

    def __init__(self, head: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.body = body
        self._reader = reader
        self._writer = writer
        self.is_over = asyncio.Event()

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def start_stream(self, first: bytes = b"") -> None:
        """Begin an event stream that ends with the connection's chunked coding."""
        self.send(f"HTTP/1.1 200 OK\r\n{SSE}transfer-encoding: chunked\r\n\r\n".encode())
        if first:
            self.chunk(first)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self, last: bytes = b"") -> None:
        if last:
            self.chunk(last)
        self.send(b"0\r\n\r\n")
        self.is_over.set()

    def reply(self, status: int, body: bytes | dict[str, Any], headers: str = JSON) -> None:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        self.send(f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        self.is_over.set()

    def stream(self, body: bytes) -> None:
        """Answer with a whole stream of these bytes."""
        self.start_stream()
        self.end_stream(body)

    def cut(self) -> None:
        """Close the connection where it stands."""
        self._writer.close()
        self.is_over.set()

    async def gone(self) -> None:
        """Wait until the caller has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    async def drained(self) -> None:
        """Wait until what was sent has left for the caller, or the caller has left."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    @property
    def unsent_bytes(self) -> int:
        return self._writer.transport.get_write_buffer_size()


class ScriptedUpstream:
    """Hands each POST to the test; a GET (a poll) is answered by 404, or by what ``pages`` has."""

    def __init__(self) -> None:
        self.received = 0
        self.polls = 0
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.port = 0
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._open: set[Call] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def call(self) -> Call:
        """Return the next request, waiting for it."""
        return await self._calls.get()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for call in self._open:
            call.is_over.set()
        await until(lambda: not self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while not writer.is_closing():
                await self._one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if head.startswith("GET "):
            self.polls += 1
            page = self.pages.get(head.split(" ")[1])
            writer.write(_NOT_FOUND if page is None else _page(*page))
            return
        lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        call = Call(head, await reader.readexactly(int(lengths[0])), reader, writer)
        self.received += 1
        self._open.add(call)
        self._calls.put_nowait(call)
        await call.is_over.wait()
        self._open.discard(call)


def _page(status: int, body: bytes) -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedUpstream]:
    upstream = ScriptedUpstream()
    await upstream.listen()
    try:
        yield upstream
    finally:
        await upstream.close()
