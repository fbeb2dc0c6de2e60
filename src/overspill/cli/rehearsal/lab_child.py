"""A gateway of the fault lab as a process of its own, for what can only happen to a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from overspill.errors import EngineError
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.ledger.store import LedgerStore
from overspill.wire.http import HttpCall, Origin

PAUSE_S = 2.5
"""How long a process stands still: longer than the lab's longest stall and the second that it takes to notice one."""
_READY_S = 60.0
_CHECK_S = 0.02
_LEDGER_BYTES = 64 * 1024
"""Room for the ledger's shared memory (32 KiB) and for a transaction or two of its log."""
_LIMITED = (
    "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); "
    "os.execv(sys.executable, [sys.executable, '-P', '-m', 'overspill', *sys.argv[2:]])"
)
"""No privilege is needed for this; to SQLite it is the same as a full disk: a write that fails."""


class Child(NamedTuple):
    """A gateway that runs and listens."""

    origin: Origin
    pid: int


@contextlib.asynccontextmanager
async def child_gateway(
    text: str, folder: Path, environ: Mapping[str, str], *, ledger: Path | None
) -> AsyncIterator[Child]:
    """Run a gateway with the configuration ``text``; with a ``ledger``, on a disk that has no room for it any more."""
    config, addresses = folder / "overspill.yaml", folder / "addresses"
    config.write_text(text, encoding="utf-8")
    serve = ("serve", "--config", str(config), "--quiet", "--address-file", str(addresses))
    argv: tuple[str, ...] = ("-P", "-m", "overspill", *serve)
    if ledger is not None:
        LedgerStore.open(ledger).close()
        argv = ("-c", _LIMITED, str(max(_LEDGER_BYTES, ledger.stat().st_size)), *serve)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: process.returncode is not None or _has_line(addresses), "the gateway listens")
        if process.returncode is not None:
            raise EngineError(f"the lab's gateway ended with exit code {process.returncode}")
        origin = origin_of(addresses.read_text(encoding="utf-8").strip())
        if ledger is not None:
            await _fill_disk(origin)
        yield Child(origin, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # it may stand still, or spend its last seconds on writing what cannot be written
        await process.wait()


async def _fill_disk(origin: Origin) -> None:
    """Ask for what is not there until a record of it could not be written."""
    client = HttpClient()
    wrong = HttpCall(b"POST", b"/v1/completions", (), b'{"model":"no such model","prompt":"x"}')
    try:
        async with asyncio.timeout(_READY_S):
            while b"\noverspill_ledger_healthy 0" not in await _metrics(client, origin):
                await fetch(client, origin, wrong, timeout_s=5.0)
                await asyncio.sleep(_CHECK_S)
    except TimeoutError:
        raise EngineError(f"the lab's ledger could still be written after {_READY_S:.0f} s") from None
    finally:
        await client.close()


async def _metrics(client: HttpClient, origin: Origin) -> bytes:
    answer = await fetch(client, origin, HttpCall(b"GET", b"/metrics", (), b""), timeout_s=5.0)
    if isinstance(answer, TransportFault):
        raise EngineError(f"the lab's gateway does not answer: {answer.message}")
    return answer.body


def _has_line(addresses: Path) -> bool:
    return addresses.exists() and addresses.read_text(encoding="utf-8").endswith("\n")


async def pause(pid: int, after_s: float) -> None:
    """Let a process stand still for a while."""
    await asyncio.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        os.kill(pid, signal.SIGCONT)


def origin_of(address: str) -> Origin:
    """Read ``host:port``."""
    host, _, port = address.rpartition(":")
    return Origin(host=host.strip("[]"), port=int(port))


async def until(claim: Callable[[], object], words: str) -> None:
    """Wait for what no event tells of; raise ``EngineError`` if it does not come true."""
    try:
        async with asyncio.timeout(_READY_S):
            while not claim():  # noqa: ASYNC110 - it is about another object or process
                await asyncio.sleep(_CHECK_S)
    except TimeoutError:
        raise EngineError(f"the lab waited {_READY_S:.0f} s in vain until {words}") from None
