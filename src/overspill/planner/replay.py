"""Replay: the fourth driver. It feeds a recording to a controller again and compares the commands.

Under the same policy every command must come out as recorded, to the last digit: that is an audit of what the gateway
did, and the regression test of the core. Under another policy a replay is worth something only up to the first other
decision, since from there on the recorded world is no longer the one that the decisions would have made; so there it
stops.
"""

from __future__ import annotations

from dataclasses import dataclass

from overspill.core.commands import AnyCommand
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, PolicyChanged, Tick
from overspill.core.recording import Recording, Step
from overspill.core.types import Policy

_LATE_TICK_S = 0.1
"""How late a live driver's timer may ring. Under another policy a wake-up that passed longer ago was never recorded."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One step at which the controller said something else."""

    step: int
    """Its number, from 0; for a wake-up that the recording does not have, that of the step after it."""
    now: float
    event: AnyEvent
    expected: tuple[AnyCommand, ...]
    actual: tuple[AnyCommand, ...]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found."""

    steps: int
    """Steps compared."""
    commands: int
    """Recorded commands among them."""
    differing: int
    """Steps that differ; at most 1 under another policy."""
    first_difference: Difference | None


def replay(recording: Recording, policy: Policy | None = None) -> ReplayReport:
    """Replay under the recorded policy: all of it; or under another ``policy``: up to the first difference."""
    return _same(recording) if policy is None else _other(recording, policy)


def _same(recording: Recording) -> ReplayReport:
    controller = Controller(recording.policy)
    commands = differing = 0
    first: Difference | None = None
    for number, step in enumerate(recording.steps):
        commands += len(step.commands)
        difference = _feed(controller, number, step)
        if difference is not None:
            differing += 1
            first = first or difference
    return ReplayReport(len(recording.steps), commands, differing, first)


def _other(recording: Recording, policy: Policy) -> ReplayReport:
    """Replay under ``policy``, which also stands in for every policy that the recording changes to."""
    controller = Controller(policy)
    before = float("-inf")
    steps = commands = 0
    for number, step in enumerate(recording.steps):
        if isinstance(step.event, PolicyChanged):
            continue
        difference = _unrecorded_tick(controller, number, before, step.now) or _feed(controller, number, step)
        steps += 1
        commands += len(step.commands)
        if difference is not None:
            return ReplayReport(steps, commands, 1, difference)
        before = step.now
    return ReplayReport(steps, commands, 0, None)


def _feed(controller: Controller, number: int, step: Step) -> Difference | None:
    actual = tuple(controller.handle(step.event, step.now))
    if actual == step.commands:
        return None
    return Difference(number, step.now, step.event, step.commands, actual)


def _unrecorded_tick(controller: Controller, number: int, before: float, until: float) -> Difference | None:
    """Wake the controller where it asks for it and the recorded driver had no reason to."""
    while (at := controller.next_wakeup(before)) is not None and at < until - _LATE_TICK_S:
        before = max(before, at)
        actual = tuple(controller.handle(Tick(), before))
        if actual:
            return Difference(number, before, Tick(), (), actual)
    return None
