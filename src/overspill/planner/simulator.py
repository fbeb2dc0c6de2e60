"""The simulate driver: the gateway's own controller on an event heap, with modelled engines instead of real ones.

It answers in aggregates (spill share, quantiles, goodput, cost). Single requests are not predicted: an answer's length
is known here to the engine's model only, as in reality, and a small difference early changes who gets which slot later.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, Failed, Finished, FirstToken, Tick
from overspill.core.types import FailureKind, Outcome, Policy, RejectReason, Spill
from overspill.errors import UnknownName
from overspill.perf.batching import Batch, EngineModel
from overspill.planner.workload import TraceRequest

_NEVER = float("inf")


class TargetModel(msgspec.Struct, frozen=True, kw_only=True):
    """How a target behaves: an engine, behind a fixed delay for the network and whatever else stands before it."""

    engine: EngineModel
    delay_s: float = 0.0


class SimulatedRequest(msgspec.Struct, kw_only=True, gc=False):
    """One request's fate. Times are seconds from its arrival; ``None`` where it did not get so far."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    """As the trace wants it; less, once an engine whose context has no room for more has taken it in."""
    key_id: str = ""
    outcome: Outcome | None = None
    """Never ``None`` after a run."""
    target_id: str | None = None
    """Where its last attempt ran."""
    spill: Spill | None = None
    reason: RejectReason | None = None
    queue_wait_s: float | None = None
    ttft_s: float | None = None
    e2e_s: float | None = None
    """To its final answer, a refusal included."""


class _Engine:
    """One modelled target: its batch, and when that has something to tell."""

    __slots__ = ("batch", "delay_s", "due_s")

    def __init__(self, model: TargetModel) -> None:
        self.batch = Batch(model.engine)
        self.delay_s = model.delay_s
        self.due_s = _NEVER


class _Call(msgspec.Struct, frozen=True, gc=False):
    """An attempt; in the agenda, on its way to its engine."""

    start: StartAttempt
    engine: _Engine
    row: SimulatedRequest


_Due = _Call | _Engine | AnyEvent
"""What can happen: a call reaches its engine, an engine has something to tell, the controller hears of it."""


class Simulator:
    """Runs one trace against one policy. Make a new one for each run."""

    def __init__(self, policy: Policy, models: Mapping[str, TargetModel]) -> None:
        missing = [spec.target_id for spec in policy.targets if spec.target_id not in models]
        if missing:
            raise UnknownName("model of target", missing[0], models)
        self._controller = Controller(policy)
        self._engines = {spec.target_id: _Engine(models[spec.target_id]) for spec in policy.targets}
        self._rows: list[SimulatedRequest] = []
        self._calls: dict[int, _Call] = {}
        """By attempt; those that were cancelled are gone."""
        self._agenda: list[tuple[float, int, _Due]] = []
        """Heap by time, then by when it was planned. An engine's entry is void once its ``due_s`` is another."""
        self._planned = 0

    def run(self, trace: Sequence[TraceRequest], model: str, *, local_only: bool = False) -> list[SimulatedRequest]:
        """Play the trace to its end and return one row per request, in the trace's order (sorted by ``at_s``)."""
        self._rows = [
            SimulatedRequest(at_s=r.at_s, prompt_tokens=r.prompt_tokens, output_tokens=r.output_tokens, key_id=r.key_id)
            for r in trace
        ]
        route = self._controller.find_route(model)
        screening = 0 if route is None else route.screening  # a trace has no texts: nothing is found in them
        for number, row in enumerate(self._rows):
            self._play_until(row.at_s)
            arrived = Arrived(
                request_id=str(number),
                model=model,
                prompt_tokens=row.prompt_tokens,
                max_tokens=row.output_tokens,
                local_only=local_only,
                key_id=row.key_id,
                screening=screening,
            )
            self._tell(arrived, row.at_s)
        self._play_until(_NEVER)
        return self._rows

    def _play_until(self, end_s: float) -> None:
        """Let everything happen that is due before ``end_s``; at equal times the controller's alarm rings last."""
        agenda = self._agenda
        while True:
            at_s = agenda[0][0] if agenda else _NEVER
            alarm_s = self._controller.next_wakeup(at_s)
            if alarm_s is not None and alarm_s < at_s:
                if alarm_s >= end_s:
                    return
                self._tell(Tick(), alarm_s)
            elif at_s >= end_s:
                return
            else:
                self._happen(heapq.heappop(agenda)[2], at_s)

    def _plan(self, at_s: float, due: _Due) -> None:
        self._planned += 1
        heapq.heappush(self._agenda, (at_s, self._planned, due))

    def _happen(self, due: _Due, now_s: float) -> None:
        if isinstance(due, _Engine):
            if due.due_s == now_s:
                self._advance(due, now_s)
        elif isinstance(due, _Call):
            self._admit(due, now_s)
        else:
            self._tell(due, now_s)

    def _admit(self, call: _Call, now_s: float) -> None:
        engine, row, attempt_id = call.engine, call.row, call.start.attempt_id
        if attempt_id not in self._calls:
            return
        batch = engine.batch
        self._listen(engine, now_s)
        tokens = batch.model.answer_tokens(row.prompt_tokens, row.output_tokens)
        if not tokens:
            failed = Failed(attempt_id=attempt_id, kind=FailureKind.CONTEXT_TOO_LONG, status=400)
            self._plan(now_s + engine.delay_s / 2, failed)
            return
        row.output_tokens = tokens
        batch.admit(attempt_id, row.prompt_tokens, tokens, now_s)
        self._expect(engine)

    def _advance(self, engine: _Engine, now_s: float) -> None:
        self._listen(engine, now_s)
        self._expect(engine)

    def _expect(self, engine: _Engine) -> None:
        """Plan when the engine is looked at next."""
        due_s = engine.batch.next_wakeup_s()
        if due_s is None:
            engine.due_s = _NEVER
        elif due_s != engine.due_s:
            engine.due_s = due_s
            self._plan(due_s, engine)

    def _listen(self, engine: _Engine, now_s: float) -> None:
        """Let the engine work until now, and plan when the gateway hears what it has said."""
        for happened in engine.batch.advance(now_s):
            event: AnyEvent
            if happened.is_last:
                row = self._calls[happened.request_id].row
                event = Finished(
                    attempt_id=happened.request_id, prompt_tokens=row.prompt_tokens, output_tokens=row.output_tokens
                )
            else:
                event = FirstToken(attempt_id=happened.request_id)
            self._plan(happened.at_s + engine.delay_s / 2, event)

    def _tell(self, event: AnyEvent, now_s: float) -> None:
        if isinstance(event, FirstToken) and (call := self._calls.get(event.attempt_id)) is not None:
            call.row.ttft_s = now_s - call.row.at_s
        for command in self._controller.handle(event, now_s):
            self._obey(command, now_s)

    def _obey(self, command: AnyCommand, now_s: float) -> None:
        match command:
            case StartAttempt():
                self._start(command, now_s)
            case CancelAttempt():
                self._cancel(command.attempt_id, now_s)
            case Complete() | Reject():
                self._end(command, now_s)
            case _:
                assert_never(command)

    def _start(self, command: StartAttempt, now_s: float) -> None:
        row = self._rows[int(command.request_id)]
        row.target_id = command.target_id
        row.spill = command.spill
        row.queue_wait_s = command.queue_wait_s
        engine = self._engines[command.target_id]
        call = self._calls[command.attempt_id] = _Call(command, engine, row)
        self._plan(now_s + engine.delay_s / 2, call)

    def _cancel(self, attempt_id: int, now_s: float) -> None:
        """Take an attempt out of its engine, at once: what the engine has not told by now is not heard any more."""
        engine = self._calls[attempt_id].engine
        self._listen(engine, now_s)
        engine.batch.cancel(attempt_id, now_s)
        del self._calls[attempt_id]
        self._expect(engine)

    def _end(self, command: Complete | Reject, now_s: float) -> None:
        row = self._rows[int(command.request_id)]
        row.outcome = command.outcome
        row.e2e_s = now_s - row.at_s
        if isinstance(command, Reject):
            row.reason = command.reason
        elif command.attempt_id is not None:  # of two, not always the one that started last
            start = self._calls.pop(command.attempt_id).start
            row.target_id, row.spill = start.target_id, start.spill


def simulate(
    trace: Sequence[TraceRequest],
    policy: Policy,
    models: Mapping[str, TargetModel],
    model: str,
    *,
    local_only: bool = False,
) -> list[SimulatedRequest]:
    """Play ``trace`` through the controller under ``policy`` and return each request's fate."""
    return Simulator(policy, models).run(trace, model, local_only=local_only)
