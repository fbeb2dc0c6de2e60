from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.scripted_engine import READY, ScriptedEngine, Watcher, is_alive

from overspill.pools.engines.protocol import EngineSpec
from overspill.pools.engines.restarts import RestartPolicy
from overspill.pools.engines.supervisor import Phase, Supervisor

SERVE = "sys.stdin.read()\n" + READY + "time.sleep(60)\n"


class Pauses:
    """Notes how long the supervisor would have slept, and lets it go on while the script allows."""

    def __init__(self, allowed: int) -> None:
        self.taken: list[float] = []
        self._allowed = allowed

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        if len(self.taken) > self._allowed:
            await asyncio.Event().wait()


def supervised(
    script: str,
    scenario: Callable[[Supervisor, Watcher, Pauses], Awaitable[None]],
    *,
    restarts: int = 0,
    load_timeout_s: float = 60.0,
    policy: RestartPolicy | None = None,
) -> tuple[Watcher, Pauses, Supervisor]:
    async def run() -> tuple[Watcher, Pauses, Supervisor]:
        watcher, pauses = Watcher(), Pauses(restarts)
        spec = EngineSpec(name="local", model="m", served_name="m", load_timeout_s=load_timeout_s)
        supervisor = Supervisor(
            ScriptedEngine(script), spec, watcher, policy=policy, clock=lambda: 0.0, sleep=pauses.sleep
        )
        supervisor.start()
        try:
            await scenario(supervisor, watcher, pauses)
        finally:
            await supervisor.stop(grace_s=30.0)
        return watcher, pauses, supervisor

    return asyncio.run(run())


def test_an_engine_is_started_is_ready_and_is_stopped() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        ready = await watcher.until(Phase.READY)
        assert (ready.slots, ready.context_tokens, ready.load_s, ready.restarts) == (4, 512, 0.5, 0)
        assert supervisor.state is ready
        assert len(supervisor.api_key) >= 32

    watcher, _, supervisor = supervised(SERVE, scenario)
    assert watcher.phases == [Phase.STARTING, Phase.READY, Phase.DRAINING, Phase.DOWN]
    assert watcher.states[-1].reason == "stopped"
    assert supervisor.origin.uds_path is not None
    assert not Path(supervisor.origin.uds_path).parent.exists()


def test_the_process_gets_its_configuration_its_parent_and_a_private_directory() -> None:
    script = (
        "config = json.load(sys.stdin)\n"
        "mode = os.stat(os.environ['FAKE_RUN_DIR']).st_mode & 0o777\n"
        "parent_is_told = os.environ['OVERSPILL_PARENT_PID'] == str(os.getppid())\n"
        "alone = os.getsid(0) == os.getpid()\n"
        "reason = json.dumps([config, mode, parent_is_told, alone])\n"
        "print(json.dumps({'status': 'failed', 'reason': reason}), flush=True)\n"
    )

    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        state = await watcher.until(Phase.BROKEN)
        assert state.reason == f'[{{"slots": 4}}, {0o700}, true, true]'

    supervised(script, scenario)


def test_a_killed_engine_is_noticed_and_started_again_at_the_same_address() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        origin, key = supervisor.origin, supervisor.api_key
        first = await watcher.until(Phase.READY)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        second = await watcher.until(lambda state: state.phase is Phase.READY and state.restarts == 1)
        assert second.pid != first.pid
        assert (supervisor.origin, supervisor.api_key) == (origin, key)

    watcher, pauses, _ = supervised(SERVE, scenario, restarts=1)
    down = next(state for state in watcher.states if state.phase is Phase.DOWN)
    assert "was killed (SIGKILL) while it served; if nobody did that, memory ran out" in down.reason
    assert pauses.taken == [0.1]


def test_a_crash_loop_is_broken_and_says_why() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        await watcher.until(Phase.BROKEN)

    script = "print('0.01 E load: no such tensor', file=sys.stderr)\nsys.exit(1)\n"
    policy = RestartPolicy(first_s=1.0, crash_limit=3, broken_s=99.0)
    watcher, pauses, supervisor = supervised(script, scenario, restarts=2, policy=policy)
    assert pauses.taken == [1.0, 2.0, 99.0]
    broken = next(state for state in watcher.states if state.phase is Phase.BROKEN)
    assert broken.reason == (
        "it died 3 times within 60 s and rests for 99 s; last: the engine exited with code 1 while it loaded:"
        " no such tensor"
    )
    assert supervisor.log_tail() == ["0.01 E load: no such tensor"]


def test_a_broken_engine_is_tried_again_after_its_rest() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        await watcher.until(lambda state: state.phase is Phase.STARTING and state.restarts == 1)

    script = "print(json.dumps({'status': 'failed', 'reason': 'the file is damaged'}), flush=True)\n"
    watcher, pauses, _ = supervised(script, scenario, restarts=1)
    assert watcher.phases[:3] == [Phase.STARTING, Phase.BROKEN, Phase.STARTING]
    assert watcher.states[1].reason == "the file is damaged"
    assert pauses.taken[0] == 60.0


def test_a_load_that_hangs_is_ended() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        started = await watcher.until(Phase.STARTING)
        down = await watcher.until(Phase.DOWN)
        assert "not ready within 0.2 s and was killed; raise load_timeout" in down.reason
        assert not is_alive(started.pid)

    supervised("time.sleep(60)\n", scenario, load_timeout_s=0.2)


def test_a_ready_engine_is_not_bound_by_the_load_timeout() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        await watcher.until(Phase.READY)
        down = await watcher.until(Phase.DOWN)
        assert down.reason == "the engine exited with code 7 while it served"

    supervised("sys.stdin.read()\n" + READY + "time.sleep(2.2)\nsys.exit(7)\n", scenario, load_timeout_s=2.0)


def test_an_engine_that_ignores_sigterm_is_killed() -> None:
    async def run() -> None:
        script = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
        watcher = Watcher()
        spec = EngineSpec(name="local", model="m", served_name="m")
        supervisor = Supervisor(ScriptedEngine(script), spec, watcher)
        supervisor.start()
        ready = await watcher.until(Phase.READY)
        await supervisor.stop(grace_s=0.1)
        assert watcher.phases[-2:] == [Phase.DRAINING, Phase.DOWN]
        assert not is_alive(ready.pid)

    asyncio.run(run())


def test_stopping_during_a_pause_starts_nothing_more() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        await watcher.until(Phase.DOWN)

    watcher, _, _ = supervised("sys.exit(1)\n", scenario)
    assert watcher.phases == [Phase.STARTING, Phase.DOWN, Phase.DRAINING, Phase.DOWN]


def test_a_supervisor_that_was_never_started_can_be_stopped() -> None:
    async def run() -> None:
        watcher = Watcher()
        supervisor = Supervisor(ScriptedEngine(SERVE), EngineSpec(name="local", model="m", served_name="m"), watcher)
        await supervisor.stop()
        assert supervisor.origin.uds_path is not None
        assert not Path(supervisor.origin.uds_path).parent.exists()

    asyncio.run(run())


def test_noise_on_standard_output_is_skipped_and_a_flood_of_log_is_bounded() -> None:
    script = (
        "sys.stdin.read()\n"
        "print('hello'); print('[1]'); print('x' * 200000); print('{\"status\": \"odd\"}')\n"
        "sys.stderr.write('line\\n' * 100000); sys.stderr.flush()\n" + READY + "time.sleep(60)\n"
    )

    async def scenario(supervisor: Supervisor, watcher: Watcher, pauses: Pauses) -> None:
        await watcher.until(Phase.READY)
        assert len(supervisor.log_tail()) <= 200

    supervised(script, scenario)


def test_a_program_that_is_not_there_is_reported() -> None:
    class Absent(ScriptedEngine):
        def launch(self, spec: EngineSpec, *, run_dir: str, api_key: str):  # type: ignore[no-untyped-def]
            launch = super().launch(spec, run_dir=run_dir, api_key=api_key)
            return type(launch)(
                argv=("/no/such/program",),
                env={},
                stdin=b"",
                origin=launch.origin,
                api_key=api_key,
                load_timeout_s=1.0,
            )

    async def run() -> None:
        watcher, pauses = Watcher(), Pauses(0)
        spec = EngineSpec(name="local", model="m", served_name="m")
        supervisor = Supervisor(Absent(""), spec, watcher, sleep=pauses.sleep)
        supervisor.start()
        down = await watcher.until(Phase.DOWN)
        assert down.reason == "/no/such/program cannot be started: No such file or directory"
        await supervisor.stop()

    asyncio.run(run())
