"""The stage of a rehearsal: a gateway in its own process, and a fake engine as the cloud in another.

The processes are separate so that what is measured is what a user would have: the player, the gateway and the engines
compete for cores, but none waits for another's interpreter lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import yaml

from overspill.core.types import Health
from overspill.errors import EngineError
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.perf.engine_model import EngineModel
from overspill.wire.http import HttpCall, Origin

HYBRID = "hybrid"
LOCAL_ONLY = "local-only"
CLOUD_ONLY = "cloud-only"
"""The routes of a rehearsal are named after what they allow."""
PROBE = "probe"
"""The route of the measurements before it: to the local engine, however long that takes."""
CLOUD_KEY_VARIABLE = "OVERSPILL_REHEARSAL_CLOUD_KEY"
_LLAMACPP_BATCH_TOKENS = 2048  # n_batch
_READY_S = 180.0
_CHECK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is rehearsed."""

    engine: str = "llamacpp"
    model: str = "builtin"
    max_batch_size: int = 8
    context_tokens: int = 2048
    threads: int | None = None
    engine_options: Mapping[str, Any]
    slo_ttft_s: float = 1.0
    deadline_s: float = 30.0
    queue_limit: int = 256
    cloud: EngineModel
    price_input: float
    price_output: float

    def prefill_chunk_tokens(self) -> int:
        """Return how many prompt tokens the local engine takes in one step: llama.cpp's default, or the fake's own."""
        engine: Mapping[str, Any] = self.engine_options.get("engine", {})
        return int(engine.get("prefill_chunk_tokens", _LLAMACPP_BATCH_TOKENS))


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that stands."""

    gateway: Origin
    ledger: Path
    gateway_pid: int


def gateway_config(scene: Scene, cloud_port: int, ledger: Path) -> dict[str, Any]:
    """Return the configuration of the rehearsed gateway, as a user would write it."""
    slo = {"ttft": f"{scene.slo_ttft_s}s"}
    common = {"slo": slo, "deadline": f"{scene.deadline_s}s", "queue_limit": scene.queue_limit}
    local: dict[str, Any] = {
        "engine": scene.engine,
        "model": scene.model,
        "served_name": "rehearsed",
        "max_batch_size": scene.max_batch_size,
        "context_tokens": scene.context_tokens,
        "options": dict(scene.engine_options),
    }
    if scene.threads is not None:
        local["threads"] = scene.threads
    return {
        "server": {"port": 0},
        "pools": {
            "local": local,
            "cloud": {
                "upstream": "openai_compatible",
                "base_url": f"http://127.0.0.1:{cloud_port}/v1",
                "accounts": [{"name": "rehearsal", "api_key": f"env:{CLOUD_KEY_VARIABLE}"}],
                "price": {"input": scene.price_input, "output": scene.price_output},
            },
        },
        "routes": [
            {"model": HYBRID, "tiers": [["local"], [{"pool": "cloud", "model": "rehearsal"}]], **common},
            {"model": LOCAL_ONLY, "tiers": [["local"]], "local_only": True, **common},
            {"model": CLOUD_ONLY, "tiers": [[{"pool": "cloud", "model": "rehearsal"}]], **common},
            {"model": PROBE, "tiers": [["local"]], "local_only": True, "deadline": "1h", "queue_limit": 1_000_000},
        ],
        "ledger": {"path": str(ledger)},
        "log": {"level": "warning"},
    }


@contextlib.asynccontextmanager
async def build_stage(scene: Scene, folder: Path) -> AsyncIterator[Stage]:
    """Start the cloud and the gateway, wait until both are ready, and end them afterwards."""
    ledger = folder / "ledger.db"
    async with contextlib.AsyncExitStack() as stack:
        cloud = await stack.enter_async_context(_process("cloud", _cloud_argv(scene), os.environ))
        cloud_port = await _cloud_port(cloud)
        config = folder / "overspill.yaml"
        config.write_text(yaml.safe_dump(gateway_config(scene, cloud_port, ledger), sort_keys=False), encoding="utf-8")
        addresses = folder / "addresses"
        argv = (
            sys.executable, "-P", "-m", "overspill", "serve",
            "--config", str(config), "--quiet", "--address-file", str(addresses),
        )  # fmt: skip
        environ = {**os.environ, CLOUD_KEY_VARIABLE: "rehearsal"}
        log_path = folder / "gateway.log"
        log = stack.enter_context(log_path.open("wb"))
        when_ended = stack.enter_context(contextlib.ExitStack())
        gateway = await stack.enter_async_context(_process("gateway", argv, environ, stderr=log))
        try:
            origin = await _ready(gateway, addresses)
        except _NotReady as error:
            raise EngineError(f"{error}: {_last_words(log_path)}") from None
        when_ended.callback(_show, log_path)
        yield Stage(origin, ledger, gateway.pid)


def _last_words(log: Path) -> str:
    """Return the last line that the gateway wrote, without the time and the place it begins with."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1].partition(": ")[2] or lines[-1] if lines else "it does not say why"


def _show(log: Path) -> None:
    """Pass on what the gateway warned of."""
    sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))


def _cloud_argv(scene: Scene) -> tuple[str, ...]:
    config = {"engine": scene.cloud, "served_name": "rehearsal"}
    return (
        sys.executable,
        "-P",
        "-m",
        "overspill.gateway.rehearsal.engine",
        msgspec.json.encode(config).decode(),
    )


@contextlib.asynccontextmanager
async def _process(
    name: str, argv: Sequence[str], environ: Mapping[str, str], *, stderr: BinaryIO | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *argv, env=dict(environ), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr
    )
    try:
        yield process
    finally:
        await _end(name, process)


async def _end(name: str, process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(40.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise EngineError(f"the rehearsal's {name} did not end when asked to and was killed") from None


async def _cloud_port(cloud: asyncio.subprocess.Process) -> int:
    assert cloud.stdout is not None  # asked for above
    line = await cloud.stdout.readline()
    status = msgspec.json.decode(line or b"{}", type=dict[str, Any])
    if status.get("status") != "ready":
        raise EngineError(f"the rehearsed cloud did not start: {status.get('reason', 'it ended at once')}")
    return int(str(status["address"]).rpartition(":")[2])


class _NotReady(Exception):  # noqa: N818 - reads as the state it reports
    """The gateway cannot be rehearsed with; its log says why."""


async def _ready(gateway: asyncio.subprocess.Process, addresses: Path) -> Origin:
    """Wait until the gateway listens and its local engine is ready."""
    client = HttpClient()
    try:
        async with asyncio.timeout(_READY_S):
            while True:
                if gateway.returncode is not None:
                    raise _NotReady(f"the rehearsed gateway ended with exit code {gateway.returncode}")
                if addresses.exists() and (text := addresses.read_text(encoding="utf-8").strip()):
                    host, _, port = text.rpartition(":")
                    origin = Origin(host=host, port=int(port))
                    if await _all_ready(client, origin):
                        return origin
                await asyncio.sleep(_CHECK_S)
    except TimeoutError:
        raise _NotReady(f"the rehearsed gateway's engines were not ready within {_READY_S:.0f} s") from None
    finally:
        await client.close()


async def _all_ready(client: HttpClient, origin: Origin) -> bool:
    """Ask how the targets are; raise ``_NotReady`` if one has given up."""
    call = HttpCall(b"GET", b"/debug/route?model=" + HYBRID.encode(), (), b"")
    answer = await fetch(client, origin, call, timeout_s=2.0)
    if isinstance(answer, TransportFault):
        return False
    targets = msgspec.json.decode(answer.body, type=dict[str, Any]).get("targets", [])
    health = {target["target"]: target["health"] for target in targets}
    for target_id, word in health.items():
        if word == Health.BROKEN.value:
            raise _NotReady(f"{target_id} cannot be rehearsed with")
    return bool(health) and all(word == Health.READY.value for word in health.values())
