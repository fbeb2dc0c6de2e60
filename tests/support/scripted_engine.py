"""An engine adapter whose process is a Python script: real processes and pipes, no model."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.protocol import EngineSpec, Launch
from overspill.pools.engines.supervisor import Phase, SupervisorState
from overspill.wire.http import Origin

READY = 'print(json.dumps({"status": "ready", "slots": 4, "context_tokens": 512, "load_s": 0.5}), flush=True)\n'
PRELUDE = "import json, os, signal, sys, time\n"


class ScriptedEngine(EmbeddedLlamaCpp):
    """Runs ``script`` with the names of ``PRELUDE`` in scope."""

    kind = "scripted"

    def __init__(self, script: str) -> None:
        self._script = script

    def launch(self, spec: EngineSpec, *, run_dir: str, api_key: str) -> Launch:
        return Launch(
            argv=(sys.executable, "-I", "-c", PRELUDE + self._script),
            env={"FAKE_RUN_DIR": run_dir},
            stdin=b'{"slots": 4}',
            origin=Origin(uds_path=f"{run_dir}/engine.sock"),
            api_key=api_key,
            load_timeout_s=spec.load_timeout_s,
        )


class Watcher:
    """Takes a supervisor's states, and waits for one."""

    def __init__(self) -> None:
        self.states: list[SupervisorState] = []
        self._news = asyncio.Event()

    def __call__(self, state: SupervisorState) -> None:
        self.states.append(state)
        self._news.set()

    async def until(self, wanted: Callable[[SupervisorState], bool] | Phase, *, after: int = 0) -> SupervisorState:
        """Return the first state of the wanted kind among those from number ``after`` on; give up after a minute."""
        is_wanted = (lambda state: state.phase is wanted) if isinstance(wanted, Phase) else wanted
        async with asyncio.timeout(60):
            while True:
                self._news.clear()
                for state in self.states[after:]:
                    if is_wanted(state):
                        return state
                await self._news.wait()

    @property
    def phases(self) -> list[Phase]:
        return [state.phase for state in self.states]


def is_alive(pid: int | None) -> bool:
    """Say whether the process is there; a zombie is."""
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
