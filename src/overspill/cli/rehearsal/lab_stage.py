"""The stage of one cell of the fault lab: a real gateway, one faulty target and, mostly, one healthy one.

All of it is real HTTP over loopback. The gateway runs in this process, where each of its decisions can be recorded,
except where what goes wrong is its process's own; then it is a child, and its answer's headers must do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from overspill.cli.rehearsal.lab_child import child_gateway, origin_of, until
from overspill.config.load import load_text
from overspill.core.commands import AnyCommand, StartAttempt
from overspill.core.events import AnyEvent, Finished
from overspill.core.types import Health
from overspill.gateway.rehearsal.engine import EngineConfig, FakeEngine
from overspill.gateway.rehearsal.faults import Fault
from overspill.gateway.rehearsal.scenarios import Backup, Place, Scenario, Surroundings
from overspill.gateway.service import Gateway
from overspill.perf.engine_model import EngineModel
from overspill.pools.facts import load_facts
from overspill.wire.http import HttpCall, Origin

MODEL = "lab"
PRIMARY = "home"
BACKUP = "backup"
_KEY_VARIABLE = "OVERSPILL_LAB_KEY"
_SPEED = EngineModel(slots=32, step_base_s=0.005)
_WEIGHTS = "rehearsed"
_SLOW = EngineModel(slots=32, step_base_s=0.2)
"""Slow enough that something can happen to the gateway in mid-answer, and between two tokens."""
_STALL_S = 1.0
_FIRST_TOKEN_S = 3.0
_COMMIT_S = 0.5
_NO_SUCH_HOST = "overspill-rehearsal.invalid"  # RFC 6761: no resolver may know it
_READY_S = 60.0
_CHECK_S = 0.02
_JUMPS_S = {Surroundings.CLOCK_BACK: -3600.0, Surroundings.CLOCK_AHEAD: 86400.0}
_CHILDREN = frozenset({Surroundings.DISK_FULL, Surroundings.PAUSE})
_IN_MID_ANSWER = frozenset({Surroundings.PAUSE, *_JUMPS_S})
_LIMITS = {"models": {MODEL: {"requests_per_minute": 6000, "budget": {"hour": 1, "day": 10}}}}
"""Where the clock is set there are budgets, which go by it, and rates, which do not. No request comes near them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """How the lab is run. All cells have the same route but for its targets."""

    slo_ttft_s: float = 1.0
    deadline_s: float = 5.0
    patience_s: float = 20.0
    """The longest that a cell waits for the end of an answer."""
    requests: int = 1
    """Sent at once in each cell, unless its scenario wants more."""
    parallel: int = 12
    """Requests at once in all cells, which wait most of the time; one cell runs in any case."""


@dataclass(slots=True)
class Watch:
    """What the gateway decided, as its recorder heard it."""

    targets: dict[int, str] = field(default_factory=dict)
    """Attempt → target, in the order of starting."""
    per_request: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    """Target → answers that it ended."""
    wall_offset_s: float = 0.0
    jump_s: float = 0.0

    def record(self, now: float, event: AnyEvent, commands: list[AnyCommand]) -> None:  # noqa: ARG002 - a Recorder
        """Take note of one step."""
        for command in commands:
            if isinstance(command, StartAttempt):
                self.targets[command.attempt_id] = command.target_id
                self.per_request[command.request_id] += 1
                self.wall_offset_s = self.jump_s
        if isinstance(event, Finished) and event.attempt_id in self.targets:
            self.answered[self.targets[event.attempt_id]] += 1

    def wall_clock(self) -> float:
        """Return the time of day as this cell's gateway sees it."""
        return time.time() + self.wall_offset_s

    @property
    def attempts(self) -> int:
        """The most that one request needed."""
        return max(self.per_request.values(), default=0)


@dataclass(frozen=True, slots=True)
class LabStage:
    """A gateway that can be asked; ``watch`` is ``None`` if it is another process."""

    origin: Origin
    watch: Watch | None
    pid: int | None = None
    """Its process, if it is another."""


@contextlib.asynccontextmanager
async def build_lab_stage(
    scenario: Scenario, options: LabOptions, folder: Path, *, in_one_piece: bool = False
) -> AsyncIterator[LabStage]:
    """Set the stage for ``scenario`` and clear it away afterwards; ``folder`` is for its files and for it alone.

    ``in_one_piece`` says that the faulty target cannot stream.
    """
    async with contextlib.AsyncExitStack() as stack:
        pools: dict[str, Any] = {PRIMARY: await _primary(scenario, stack)}
        if in_one_piece:
            pools[PRIMARY]["stream_whole_answers"] = False
        if scenario.backup is not Backup.NONE:
            pools[BACKUP] = _attached(scenario, await stack.enter_async_context(_fake_engine(scenario.backup_faults)))
        is_full = scenario.surroundings is Surroundings.DISK_FULL
        ledger = folder / "ledger.db" if is_full else None
        text = json.dumps(lab_config(scenario, options, pools, ledger))
        if scenario.surroundings in _CHILDREN:
            child = await stack.enter_async_context(child_gateway(text, folder, environ(), ledger=ledger))
            yield LabStage(child.origin, None, child.pid)
            return
        watch = Watch(jump_s=_JUMPS_S.get(scenario.surroundings, 0.0))
        yield LabStage(await stack.enter_async_context(_gateway(text, watch, rescues=_may_rescue(scenario))), watch)


def lab_config(
    scenario: Scenario, options: LabOptions, pools: Mapping[str, Any], ledger: Path | None
) -> dict[str, Any]:
    """Return a cell's configuration, as a user would write it."""
    names = {PRIMARY: "rehearsed", BACKUP: "other" if scenario.backup is Backup.OTHER_WEIGHTS else "rehearsed"}
    route = {
        "model": MODEL,
        "tiers": [[{"pool": pool, "model": names[pool]}] for pool in pools],
        "slo": {"ttft": f"{options.slo_ttft_s}s"},
        "deadline": f"{options.deadline_s}s",
        "first_token_timeout": f"{_FIRST_TOKEN_S}s",
        "stall_timeout": f"{_STALL_S}s",
        "whole_timeout": f"{_FIRST_TOKEN_S}s",
    }
    limits = {"limits": _LIMITS} if scenario.surroundings in _JUMPS_S else {}
    return {
        "server": {
            "port": 0,
            "drain_timeout": "100ms",
            "commit_deadline": f"{_COMMIT_S if scenario.shows_life else 60.0}s",
            "heartbeat": "200ms",
        },
        "pools": dict(pools),
        "routes": [route],
        "ledger": {"enabled": False} if ledger is None else {"path": str(ledger)},
        "log": {"level": "error"},
        **limits,
    }


async def _primary(scenario: Scenario, stack: contextlib.AsyncExitStack) -> dict[str, Any]:
    """Start what stands where the faulty target should be, and return its pool."""
    match scenario.place:
        case Place.UPSTREAM:
            speed = _SLOW if scenario.surroundings in _IN_MID_ANSWER else _SPEED
            return _upstream(await stack.enter_async_context(_fake_engine(scenario.faults, speed)))
        case Place.NO_TLS:
            return _upstream(await stack.enter_async_context(_fake_engine()), "https")
        case Place.NOBODY:
            return _upstream(stack.enter_context(_reserved_port()))
        case Place.NO_NAME:
            return _upstream(Origin(host=_NO_SUCH_HOST, port=443), "https")
        case Place.ENGINE:
            faults = msgspec.to_builtins(scenario.faults)
            step = {"step_base_s": _SPEED.step_base_s}
            options = {"faults": faults, "engine": step}
            return {"engine": "fake", "max_batch_size": _SPEED.slots, "options": options, "weights": _WEIGHTS}


def _upstream(origin: Origin, scheme: str = "http") -> dict[str, Any]:
    return {
        "upstream": "openai_compatible",
        "base_url": f"{scheme}://{origin.host}:{origin.port}/v1",
        "accounts": [{"name": "lab", "api_key": f"env:{_KEY_VARIABLE}"}],
        "price": {"input": 1.0, "output": 2.0},
        "weights": _WEIGHTS,
    }


def _attached(scenario: Scenario, origin: Origin) -> dict[str, Any]:
    """Attach the healthy target as a llama.cpp, whose way of going on with an answer the rehearsal engine has."""
    return {
        "attach": "llamacpp",
        "url": f"http://{origin.host}:{origin.port}",
        "slots": _SPEED.slots,
        "weights": _WEIGHTS if scenario.backup is Backup.SAME_WEIGHTS else f"not {_WEIGHTS}",
        "verify_continuation": _may_rescue(scenario),
    }


def _may_rescue(scenario: Scenario) -> bool:
    """Tell whether the healthy target is to be looked at; that would use up the faults of one that has some."""
    return scenario.backup is not Backup.NONE and not scenario.backup_faults


@contextlib.asynccontextmanager
async def _fake_engine(faults: tuple[Fault, ...] = (), speed: EngineModel = _SPEED) -> AsyncIterator[Origin]:
    engine = FakeEngine(EngineConfig(engine=speed, faults=faults, served_name="rehearsed"))
    await engine.listen()
    try:
        yield engine.origin
    finally:
        await engine.close()


@contextlib.contextmanager
def _reserved_port() -> Any:
    """Yield an address that refuses connections: bound, so that nobody else gets it, and not listened at."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield Origin(host="127.0.0.1", port=reserved.getsockname()[1])


# -- gateways


@contextlib.asynccontextmanager
async def _gateway(text: str, watch: Watch, *, rescues: bool) -> AsyncIterator[Origin]:
    facts = load_facts()
    config = load_text(text, facts, file="the lab's configuration")
    gateway = Gateway(config, facts, environ=environ(), recorder=watch.record, wall_clock=watch.wall_clock)
    await gateway.start()
    try:
        targets = gateway.driver.controller.targets
        await until(lambda: all(target.health is Health.READY for target in targets.values()), "its targets are ready")
        if rescues:
            await until(
                lambda: any(target.continues for target in targets.values()), "one was seen to continue answers"
            )
        yield origin_of(gateway.addresses[0])
    finally:
        await gateway.stop()


def environ() -> dict[str, str]:
    """Return the environment of a stage's gateway."""
    return {**os.environ, _KEY_VARIABLE: "rehearsal"}


def lab_call(surface: str, fields: Mapping[str, Any]) -> HttpCall:
    """Return a call to a stage's gateway."""
    own = {"prompt": "hello"} if surface == "completions" else {"messages": [{"role": "user", "content": "hello"}]}
    path = b"/v1/completions" if surface == "completions" else b"/v1/chat/completions"
    body = msgspec.json.encode({"model": MODEL, **own, "max_tokens": 64, **fields})
    return HttpCall(b"POST", path, ((b"content-type", b"application/json"),), body)
