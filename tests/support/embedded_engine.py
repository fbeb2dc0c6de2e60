"""The real embedded engine under a supervisor, and a minimal HTTP client for its unix socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from tests.support.scripted_engine import Watcher

from overspill.models import DEFAULT_TEMPERATURE, KNOWN_ANSWER, shipped_path, shipped_sha256
from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.protocol import EngineSpec
from overspill.pools.engines.supervisor import Phase, Supervisor, SupervisorState
from overspill.wire.http import HttpCall

SPEC = EngineSpec(
    name="local",
    model=str(shipped_path()),
    served_name="overspill-tiny",
    sha256=shipped_sha256(),
    max_batch_size=4,
    context_tokens=1024,
    threads=1,
    cache_ram_mib=16,
    known_answer=KNOWN_ANSWER,
    default_temperature=DEFAULT_TEMPERATURE,
)
Scenario = Callable[[Supervisor, Watcher], Awaitable[None]]


def with_engine(scenario: Scenario, **changes: Any) -> None:
    """Run ``scenario`` once the engine is ready."""

    async def run() -> None:
        watcher = Watcher()
        supervisor = Supervisor(EmbeddedLlamaCpp(), msgspec.structs.replace(SPEC, **changes), watcher)
        supervisor.start()
        try:
            state = await watcher.until(lambda state: state.phase in (Phase.READY, Phase.BROKEN))
            assert state.phase is Phase.READY, state.reason
            await scenario(supervisor, watcher)
        finally:
            await supervisor.stop()

    asyncio.run(run())


def why_not_ready(**changes: Any) -> SupervisorState:
    """Return how an engine that cannot serve reports it."""

    async def run() -> SupervisorState:
        watcher = Watcher()
        supervisor = Supervisor(EmbeddedLlamaCpp(), msgspec.structs.replace(SPEC, **changes), watcher)
        supervisor.start()
        try:
            return await watcher.until(lambda state: state.phase in (Phase.READY, Phase.DOWN, Phase.BROKEN))
        finally:
            await supervisor.stop()

    return asyncio.run(run())


def damaged_copy(folder: Path, change: Callable[[bytearray], object]) -> str:
    """Write a changed copy of the model that ships."""
    content = bytearray(shipped_path().read_bytes())
    change(content)
    path = folder / "damaged.gguf"
    path.write_bytes(content)
    return str(path)


async def send(supervisor: Supervisor, call: HttpCall) -> tuple[int, bytes]:
    """Make one call and read the whole answer; return its status and its body, chunks put together."""
    reader, writer = await asyncio.open_unix_connection(supervisor.origin.uds_path)
    head = [b"%s %s HTTP/1.1" % (call.method, call.path), b"host: localhost", b"connection: close"]
    head += [b"%s: %s" % header for header in call.headers] + [b"content-length: %d" % len(call.body)]
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + call.body)
    try:
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    front, _, body = answer.partition(b"\r\n\r\n")
    is_chunked = b"transfer-encoding: chunked" in front.lower()
    return int(front.split(b" ", 2)[1]), _unchunk(body) if is_chunked else body


def chunks_of(body: bytes) -> list[dict[str, Any]]:
    """Decode the events of a stream that ended as it should."""
    events = [event.removeprefix(b"data: ") for event in body.strip().split(b"\n\n")]
    assert events.pop() == b"[DONE]"
    return [json.loads(event) for event in events]


def _unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return whole
