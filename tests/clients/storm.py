"""A provider that answers 503 to everything, as clients without a gateway meet it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Self

_ERROR = {"message": "The engine is overloaded, please try again later", "type": "overloaded_error", "code": None}
_BODY = json.dumps({"type": "error", "error": {**_ERROR, "param": None}}).encode()
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Storm:
    """Listens on loopback, for all surfaces; ``received`` counts what was posted."""

    def __init__(self) -> None:
        self.received = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        while self._writers:  # noqa: ASYNC110 - it is over in a moment
            await asyncio.sleep(0.001)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await self._one(reader, writer)
        writer.close()
        self._writers.discard(writer)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")]
        await reader.readexactly(int(lengths[0]) if lengths else 0)
        self.received += head.startswith("post ")
        writer.write(_BUSY % (len(_BODY), b"" if head.startswith("head ") else _BODY))
        await writer.drain()
