"""The simulate driver: the gateway's own controller on an event heap, with modelled engines instead of real ones.

It answers in aggregates (spill share, quantiles, goodput, cost). Single requests are not predicted: an answer's length
is known here to the engine's model only, as in reality, and a small difference early changes who gets which slot later.

Nothing is kept of a request that has its answer: ``Simulator.play`` hands each to its caller, so a day of 1.4 million
requests needs the memory of those that are in flight. This module is compiled by ``make compiled``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, ClockRead, Failed, Finished, FirstToken, Tick
from overspill.core.types import FailureKind, Policy
from overspill.errors import UnknownName
from overspill.perf.batching import Batch
from overspill.planner.simulated import LostAttempt, SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest

_NEVER = float("inf")
_TICK = Tick()


class _Engine:
    """One modelled target: its batch, and when that has something to tell."""

    __slots__ = ("batch", "delay_s", "due_s")

    def __init__(self, model: TargetModel) -> None:
        self.batch = Batch(model.engine)
        self.delay_s: float = model.delay_s
        self.due_s = _NEVER


class _Call:
    """An attempt; in the agenda, on its way to its engine."""

    __slots__ = ("engine", "row", "start", "started_s")

    def __init__(self, start: StartAttempt, engine: _Engine, row: SimulatedRequest, started_s: float) -> None:
        self.start = start
        self.engine = engine
        self.row = row
        self.started_s = started_s


_Due = _Call | _Engine | AnyEvent
"""What can happen: a call reaches its engine, an engine has something to tell, the controller hears of it."""


class Simulator:
    """Runs one trace against one policy. Make a new one for each run."""

    def __init__(
        self, policy: Policy, models: Mapping[str, TargetModel], *, starts_at_unix_s: float | None = None
    ) -> None:
        """Make one whose trace begins at a time of day, where tariffs or budgets look at it."""
        missing = [spec.target_id for spec in policy.targets if spec.target_id not in models]
        if missing:
            raise UnknownName("model of target", missing[0], models)
        self._controller = Controller(policy)
        self._engines = {spec.target_id: _Engine(models[spec.target_id]) for spec in policy.targets}
        self._rows: dict[str, SimulatedRequest] = {}
        """By request; those that have their answer are gone."""
        self._ended: Callable[[SimulatedRequest], object] = _forget
        self._calls: dict[int, _Call] = {}
        """By attempt; those that were cancelled are gone."""
        self._agenda: list[tuple[float, int, _Due]] = []
        """Heap by time, then by when it was planned. An engine's entry is void once its ``due_s`` is another."""
        self._planned = 0
        self._alarm_s = _NEVER
        """When the controller wants to be woken; only what it is told can change that."""
        if starts_at_unix_s is not None:
            self._tell(ClockRead(unix_s=starts_at_unix_s), 0.0)

    def run(self, trace: Iterable[TraceRequest], model: str, *, local_only: bool = False) -> list[SimulatedRequest]:
        """Play the trace to its end and return one row per request, in the trace's order (sorted by ``at_s``)."""
        rows: list[SimulatedRequest] = []
        self.play(trace, model, rows.append, local_only=local_only)
        rows.sort(key=_number)
        return rows

    def play(
        self,
        trace: Iterable[TraceRequest],
        model: str,
        ended: Callable[[SimulatedRequest], object],
        *,
        local_only: bool = False,
        tells_lengths: bool = True,
    ) -> int:
        """Play the trace to its end, hand each request to ``ended`` when it has its answer, and return their count.

        ``tells_lengths`` is true where clients limit their answers to the length that they then have, as rehearsals do.
        """
        self._ended = ended
        route = self._controller.find_route(model)
        screening = 0 if route is None else route.screening  # a trace has no texts: nothing is found in them
        count = 0
        for request in trace:
            at_s = request.at_s
            self._play_until(at_s)
            name = str(count)
            self._rows[name] = SimulatedRequest(
                count, at_s, request.prompt_tokens, request.output_tokens, request.key_id, request.cached_tokens
            )
            count += 1
            arrived = Arrived(
                request_id=name,
                model=model,
                prompt_tokens=request.prompt_tokens,
                max_tokens=request.output_tokens if tells_lengths else None,
                local_only=local_only,
                key_id=request.key_id,
                screening=screening,
            )
            self._tell(arrived, at_s)
        self._play_until(_NEVER)
        return count

    def _play_until(self, end_s: float) -> None:
        """Let everything happen that is due before ``end_s``; at equal times the controller's alarm rings last."""
        agenda = self._agenda
        while True:
            at_s = agenda[0][0] if agenda else _NEVER
            alarm_s = self._alarm_s
            if alarm_s < at_s:
                if alarm_s >= end_s:
                    return
                self._tell(_TICK, alarm_s)
            elif at_s >= end_s:
                return
            else:
                due = heapq.heappop(agenda)[2]
                if isinstance(due, _Engine):
                    if due.due_s == at_s:
                        self._listen(due, at_s)
                        self._expect(due)
                elif isinstance(due, _Call):
                    self._admit(due, at_s)
                else:
                    self._tell(due, at_s)

    def _plan(self, at_s: float, due: _Due) -> None:
        self._planned += 1
        heapq.heappush(self._agenda, (at_s, self._planned, due))

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
        if isinstance(event, FirstToken):
            call = self._calls.get(event.attempt_id)
            if call is not None:
                call.row.ttft_s = now_s - call.row.at_s
        elif isinstance(event, Failed):
            self._calls.pop(event.attempt_id, None)
        for command in self._controller.handle(event, now_s):
            self._obey(command, now_s)
        alarm_s = self._controller.next_wakeup(now_s)
        self._alarm_s = _NEVER if alarm_s is None else alarm_s

    def _obey(self, command: AnyCommand, now_s: float) -> None:
        if isinstance(command, StartAttempt):
            self._start(command, now_s)
        elif isinstance(command, CancelAttempt):
            self._cancel(command.attempt_id, now_s)
        else:
            self._end(command, now_s)

    def _start(self, command: StartAttempt, now_s: float) -> None:
        row = self._rows[command.request_id]
        row.target_id = command.target_id
        row.spill = command.spill
        row.queue_wait_s = command.queue_wait_s
        row.started_s = now_s
        engine = self._engines[command.target_id]
        call = self._calls[command.attempt_id] = _Call(command, engine, row, now_s)
        self._plan(now_s + engine.delay_s / 2, call)

    def _cancel(self, attempt_id: int, now_s: float) -> None:
        """Take an attempt out of its engine, at once: what the engine has not told by now is not heard any more."""
        call = self._calls[attempt_id]
        engine = call.engine
        self._listen(engine, now_s)
        engine.batch.cancel(attempt_id, now_s)
        del self._calls[attempt_id]
        self._expect(engine)
        if call.row.lost is None:
            call.row.lost = []
        call.row.lost.append(LostAttempt(call.start.target_id, call.started_s))

    def _end(self, command: Complete | Reject, now_s: float) -> None:
        row = self._rows.pop(command.request_id)
        row.outcome = command.outcome
        row.e2e_s = now_s - row.at_s
        if isinstance(command, Reject):
            row.reason = command.reason
        elif command.attempt_id is not None:  # of two, not always the one that started last
            call = self._calls.pop(command.attempt_id)
            row.target_id, row.spill, row.started_s = call.start.target_id, call.start.spill, call.started_s
        self._ended(row)


def _number(row: SimulatedRequest) -> int:
    return row.number


def _forget(row: SimulatedRequest) -> None:
    """Do nothing with a request's fate."""


def simulate(
    trace: Iterable[TraceRequest],
    policy: Policy,
    models: Mapping[str, TargetModel],
    model: str,
    *,
    local_only: bool = False,
) -> list[SimulatedRequest]:
    """Play ``trace`` through the controller under ``policy`` and return each request's fate."""
    return Simulator(policy, models).run(trace, model, local_only=local_only)
