"""Starts one engine process, watches it, and starts it again when it dies.

The gateway owns one ``Supervisor`` for each managed engine and hears of it through ``on_change``; the controller
decides what that means for requests. The supervisor knows no engine: an adapter says how to launch, the process says on
its standard output how it is (one JSON line for each status: ``loading``, ``ready`` with ``slots`` and
``context_tokens``, or ``failed`` with ``reason``).

Address and key stay the same for the supervisor's whole life, so a restarted engine is found where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from overspill.pools.engines.engine_log import EngineLog
from overspill.pools.engines.protocol import EngineSpec, ManagedEngine
from overspill.pools.engines.restarts import RestartPolicy, RestartSchedule

PARENT_VARIABLE = "OVERSPILL_PARENT_PID"
"""Tells the process whose child it is, so that it notices a parent that died before it could ask to be told."""
_LINE_LIMIT = 64 * 1024


class Phase(enum.StrEnum):
    """Where an engine is in its life."""

    STARTING = "starting"  # launched, loading
    READY = "ready"
    DOWN = "down"  # dead, to be started again soon; or stopped
    DRAINING = "draining"  # being stopped
    BROKEN = "broken"  # it cannot work as it is; tried again after a long pause


class SupervisorState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the engine. What it has not said is ``None``."""

    phase: Phase
    reason: str = ""
    """Why it is down or broken, for people."""
    pid: int | None = None
    slots: int | None = None
    context_tokens: int | None = None
    """Per request, as the engine counts it: it may be less than was asked for."""
    load_s: float | None = None
    restarts: int = 0


class _Ended(msgspec.Struct, frozen=True):
    """How one run of the process ended."""

    reason: str
    is_final: bool
    """True if the process itself said that it cannot work: starting it again at once would change nothing."""


class Supervisor:
    """One managed engine.

    Use it from one event loop, on a thread that lives as long as the process does: the kernel's parent-death signal
    means the parent *thread*. ``stop`` must be called even if ``start`` was not: it removes the engine's directory.
    """

    def __init__(
        self,
        engine: ManagedEngine,
        spec: EngineSpec,
        on_change: Callable[[SupervisorState], None],
        *,
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; ``start`` starts. ``on_change`` is called on the loop and must not block.

        ``clock`` (default: the loop's) and ``sleep`` are for tests.
        """
        self._on_change = on_change
        self._schedule = RestartSchedule(policy or RestartPolicy())
        self._clock = clock
        self._sleep = sleep
        self._run_dir = tempfile.mkdtemp(prefix="overspill-")  # mode 0700
        self._launch = engine.launch(spec, run_dir=self._run_dir, api_key=secrets.token_urlsafe(32))
        self._log = EngineLog()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._restarts = 0
        self.origin = self._launch.origin
        self.api_key = self._launch.api_key
        self.state = SupervisorState(phase=Phase.DOWN, reason="not started")

    def start(self) -> None:
        """Launch the engine and keep it running until ``stop``."""
        if self._task is not None:
            raise RuntimeError("this supervisor has been started before; make a new one")
        self._task = asyncio.get_running_loop().create_task(self._keep_running())

    async def stop(self, grace_s: float = 5.0) -> None:
        """End the engine: SIGTERM, then SIGKILL after ``grace_s``; remove its directory.

        llama.cpp cuts its streams at SIGTERM, so the gateway drains them before it calls this.
        """
        self._publish(Phase.DRAINING, reason="stopping")
        process = self._process
        if process is not None and process.returncode is None:
            _signal_group(process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await process.wait()
        if self._task is not None:
            self._task.cancel()  # kills what is still alive
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        shutil.rmtree(self._run_dir, ignore_errors=True)
        self._publish(Phase.DOWN, reason="stopped")

    def log_tail(self) -> list[str]:
        """Return the engine's last log lines, oldest first."""
        return self._log.tail()

    async def _keep_running(self) -> None:
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            ended = await self._run_once()
            if self.state.phase is Phase.DRAINING:
                return
            pause = self._schedule.after_end(clock(), is_final=ended.is_final)
            phase = Phase.BROKEN if pause.is_broken else Phase.DOWN
            self._publish(phase, reason=f"{pause.prefix}{ended.reason}")
            await self._sleep(pause.pause_s)
            self._restarts += 1

    async def _run_once(self) -> _Ended:
        """Run the process from start to end."""
        self._log = EngineLog()
        try:
            process = await self._spawn()
        except OSError as error:
            return _Ended(f"{self._launch.argv[0]} cannot be started: {error.strerror}", is_final=False)
        self._process = process
        self._publish(Phase.STARTING, pid=process.pid)
        feeding = asyncio.ensure_future(self._feed(process))
        logging = asyncio.ensure_future(self._read_log(process))
        try:
            return await self._watch(process, logging)
        finally:
            await _reap(process)
            await asyncio.gather(feeding, logging)
            self._process = None

    async def _watch(self, process: asyncio.subprocess.Process, logging: asyncio.Future[None]) -> _Ended:
        """Follow the status lines until the process is gone, and say why it went."""
        failure: str | None = None
        became_ready = False
        try:
            async with asyncio.timeout(self._launch.load_timeout_s) as deadline:
                async for status in _statuses(process):
                    match status.get("status"):
                        case "ready":
                            deadline.reschedule(None)
                            became_ready = True
                            self._on_ready(process.pid, status)
                        case "failed":
                            failure = str(status.get("reason") or "it does not say why")
                        case _:
                            pass
                returncode = await process.wait()
        except TimeoutError:
            return _Ended(
                f"the engine was not ready within {self._launch.load_timeout_s:g} s and was killed; raise load_timeout,"
                " or lower context_tokens or max_batch_size",
                is_final=False,
            )
        # Its last words are in the pipe still: read them before saying why it died.
        await logging
        if failure is not None:
            return _Ended(self._log.explain(failure), is_final=True)
        return _Ended(self._log.explain_death(returncode, was_ready=became_ready), is_final=False)

    async def _spawn(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._launch.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self._launch.env, PARENT_VARIABLE: str(os.getpid())},
            start_new_session=True,  # Ctrl-C in the gateway's terminal must not reach it before the drain
            limit=_LINE_LIMIT,
        )

    async def _feed(self, process: asyncio.subprocess.Process) -> None:
        """Write the configuration and close, which a process that died at once does not take."""
        if process.stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            process.stdin.write(self._launch.stdin)
            await process.stdin.drain()
        process.stdin.close()

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        while process.stderr is not None and (piece := await process.stderr.read(_LINE_LIMIT)):
            self._log.feed(piece)
        self._log.close()

    def _on_ready(self, pid: int, status: dict[str, Any]) -> None:
        self._publish(
            Phase.READY,
            pid=pid,
            slots=status.get("slots"),
            context_tokens=status.get("context_tokens"),
            load_s=status.get("load_s"),
        )

    def _publish(self, phase: Phase, **known: Any) -> None:
        """Tell the gateway, unless the engine is being stopped: then only the end of that is news."""
        if self.state.phase is Phase.DRAINING and phase is not Phase.DOWN:
            return
        self.state = SupervisorState(phase=phase, restarts=self._restarts, **known)
        self._on_change(self.state)


async def _statuses(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    """Yield each JSON object that the process writes as a line; what is none is skipped."""
    while process.stdout is not None:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than the limit, and dropped by the reader
            continue
        if not line:
            return
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            continue


async def _reap(process: asyncio.subprocess.Process) -> None:
    """Leave neither a living process nor a zombie."""
    if process.returncode is None:
        _signal_group(process, signal.SIGKILL)
    await process.wait()


def _signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the process and its children; ``start_new_session`` made it the leader of their group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
