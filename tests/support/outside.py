"""Somebody else's API as a leak test sees it: it records every byte that reaches it, and does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from tests.support.scripted_upstream import DONE, JSON, ROLE, SSE, delta, usage

STREAM = ROLE + delta("made") + delta(" outside") + delta(finish="stop")
_WHOLE = msgspec.json.encode(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "made outside"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
)
MODES = ("answer", "answer", "busy", "cut", "keepalive", "hang")


class Outside:
    """Listens on loopback; ``seen`` is all that came, heads and all."""

    def __init__(self) -> None:
        self.seen = b""
        self.mode = "answer"
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, marker: str) -> int:
        return self.seen.count(marker.encode())

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.transport.abort()
        self._tasks.discard(task)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.seen += head
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
        self.seen += body
        return body

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        body = await self._read(reader)
        is_stream = b'"stream":true' in body
        match self.mode:
            case "busy":
                writer.write(f"HTTP/1.1 503 X\r\n{JSON}content-length: 2\r\n\r\n{{}}".encode())
                return True
            case "hang":
                await asyncio.Event().wait()
            case "keepalive":
                writer.write(f"HTTP/1.1 200 X\r\n{SSE}\r\n: keep-alive\n\n: keep-alive\n\n".encode())
                await asyncio.Event().wait()
            case "cut":
                writer.write(f"HTTP/1.1 200 X\r\n{SSE}\r\n".encode() + STREAM[: len(STREAM) // 2])
                return False
        if is_stream:
            writer.write(f"HTTP/1.1 200 X\r\n{SSE}connection: close\r\n\r\n".encode() + STREAM + usage() + DONE)
            await writer.drain()
            writer.write_eof()
            return False
        writer.write(f"HTTP/1.1 200 X\r\n{JSON}content-length: {len(_WHOLE)}\r\n\r\n".encode() + _WHOLE)
        return True


@contextlib.asynccontextmanager
async def outside() -> AsyncIterator[Outside]:
    target = Outside()
    await target.listen()
    try:
        yield target
    finally:
        await target.close()
