"""The simulate driver: the gateway's own controller on an event heap, with modelled engines instead of real ones.

It answers in aggregates (spill share, quantiles, goodput, cost). Single requests are not predicted: an answer's length
is known here to the engine's model only, as in reality, and a small difference early changes who gets which slot later.

Nothing is kept of a request that has its answer: ``Simulator.play`` hands each to its caller, so a day of 1.4 million
requests needs the memory of those that are in flight. This module is compiled by ``make compiled``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush

from overspill.core.commands import CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, ClockRead, Failed, Finished, FirstToken, Tick
from overspill.core.types import FailureKind, Policy, RejectReason
from overspill.errors import UnknownName
from overspill.perf.batching import Batch
from overspill.perf.engine_model import BatchEvent
from overspill.planner.simulated import LostAttempt, SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest

_NEVER = float("inf")
_TICK = Tick()


class _Engine:
    """One modelled target: its batch, and when something is heard of that next."""

    __slots__ = ("batch", "due_s", "half_s")

    def __init__(self, model: TargetModel) -> None:
        self.batch = Batch(model.engine)
        self.half_s: float = model.delay_s / 2
        """The way to it, and back."""
        self.due_s = _NEVER
        """When its batch has something to do, as it is planned: what comes of that is heard ``half_s`` later."""


class _Flight:
    """A request that has not its answer yet."""

    __slots__ = ("call", "lost", "number", "output_tokens", "request", "ttft_s")

    def __init__(self, number: int, request: TraceRequest) -> None:
        self.number = number
        self.request = request
        self.output_tokens: int = request.output_tokens
        self.call: _Call | None = None
        """Its attempt that started last."""
        self.ttft_s: float | None = None
        self.lost: list[LostAttempt] | None = None

    def fate(
        self, command: Complete | Reject, reason: RejectReason | None, answered: _Call | None, now_s: float
    ) -> SimulatedRequest:
        """Return what became of it. Of two attempts, not always the one that started last had the answer."""
        request, last = self.request, self.call
        at_s = request.at_s
        if last is None:
            target_id = spill = queue_wait_s = started_s = None
        else:
            call = last if answered is None else answered
            start, started_s, queue_wait_s = call.start, call.started_s, last.start.queue_wait_s
            target_id, spill = start.target_id, start.spill
        return SimulatedRequest(
            self.number,
            at_s,
            request.prompt_tokens,
            self.output_tokens,
            request.key_id,
            request.cached_tokens,
            command.outcome,
            target_id,
            spill,
            reason,
            queue_wait_s,
            self.ttft_s,
            now_s - at_s,
            started_s,
            self.lost,
        )


class _Call:
    """An attempt; in the agenda, on its way to its engine."""

    __slots__ = ("engine", "flight", "start", "started_s")

    def __init__(self, start: StartAttempt, engine: _Engine, flight: _Flight, started_s: float) -> None:
        self.start = start
        self.engine = engine
        self.flight = flight
        self.started_s = started_s


_Due = _Call | _Engine | BatchEvent | Failed | Tick
"""What can happen: a call reaches its engine, an engine has something to do, the controller hears of it.

A ``Tick`` stands at the end of time, so that an agenda has a first entry.
"""


class Simulator:
    """Runs a trace against one policy; a later one too, which begins when all of the first has ended."""

    def __init__(
        self, policy: Policy, models: Mapping[str, TargetModel], *, starts_at_unix_s: float | None = None
    ) -> None:
        """Make one whose trace begins at a time of day, where tariffs or budgets look at it."""
        missing = [spec.target_id for spec in policy.targets if spec.target_id not in models]
        if missing:
            raise UnknownName("model of target", missing[0], models)
        self._controller = Controller(policy)
        self._engines = {spec.target_id: _Engine(models[spec.target_id]) for spec in policy.targets}
        self._flights: dict[str, _Flight] = {}
        """By request; those that have their answer are gone."""
        self._ended: Callable[[SimulatedRequest], object] = _forget
        self._calls: dict[int, _Call] = {}
        """By attempt; those that were cancelled are gone."""
        self._agenda: list[tuple[float, int, _Due]] = [(_NEVER, 0, _TICK)]
        """Heap by time, then by when it was planned. An engine's entry is void once its ``due_s`` is another."""
        self._planned = 0
        self._at_once: list[_Call] = []
        """Calls that reach their engines when all that was commanded with them has been done."""
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
            self._flights[name] = _Flight(count, request)
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
            at_s = agenda[0][0]
            alarm_s = self._alarm_s
            if alarm_s < at_s:
                if alarm_s >= end_s:
                    return
                self._tell(_TICK, alarm_s)
            elif at_s >= end_s:
                return
            else:
                due = heappop(agenda)[2]
                if isinstance(due, _Engine):
                    if due.due_s + due.half_s == at_s:
                        self._listen(due, at_s)
                elif isinstance(due, _Call):
                    self._admit(due, at_s)
                elif isinstance(due, BatchEvent):
                    self._hear(due, at_s)
                else:
                    if isinstance(due, Failed):
                        self._calls.pop(due.attempt_id, None)
                    self._tell(due, at_s)

    def _plan(self, at_s: float, due: _Due) -> None:
        self._planned += 1
        heappush(self._agenda, (at_s, self._planned, due))

    def _expect(self, engine: _Engine) -> None:
        """Plan when something is heard of the engine next."""
        due_s = engine.batch.due_s
        if due_s != engine.due_s:
            engine.due_s = due_s
            if due_s != _NEVER:
                self._planned += 1
                heappush(self._agenda, (due_s + engine.half_s, self._planned, engine))

    def _listen(self, engine: _Engine, now_s: float) -> None:
        """Hear what the engine had to say when it was due: the way back has passed since."""
        events = engine.batch.advance(engine.due_s)
        self._expect(engine)
        for event in events:
            self._hear(event, now_s)

    def _catch_up(self, engine: _Engine, now_s: float) -> None:
        """Let the engine work until now; what it says is on its way."""
        for event in engine.batch.advance(now_s):
            self._plan(event.at_s + engine.half_s, event)

    def _admit(self, call: _Call, now_s: float) -> None:
        attempt_id = call.start.attempt_id
        if attempt_id not in self._calls:
            return
        engine, flight = call.engine, call.flight
        batch, prompt_tokens = engine.batch, flight.request.prompt_tokens
        if batch.due_s <= now_s:
            self._catch_up(engine, now_s)
        tokens = batch.model.answer_tokens(prompt_tokens, flight.output_tokens)
        if not tokens:
            failed = Failed(attempt_id=attempt_id, kind=FailureKind.CONTEXT_TOO_LONG, status=400)
            self._plan(now_s + engine.half_s, failed)
        else:
            flight.output_tokens = tokens
            batch.admit(attempt_id, prompt_tokens, tokens, now_s)
        self._expect(engine)

    def _hear(self, happened: BatchEvent, now_s: float) -> None:
        """Tell the controller what an engine said, unless that attempt has been cancelled."""
        attempt_id = happened.request_id
        call = self._calls.get(attempt_id)
        if call is None:
            return
        flight = call.flight
        event: AnyEvent
        if happened.is_last:
            prompt_tokens, output_tokens = flight.request.prompt_tokens, flight.output_tokens
            event = Finished(attempt_id=attempt_id, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        else:
            flight.ttft_s = now_s - flight.request.at_s
            event = FirstToken(attempt_id=attempt_id)
        self._tell(event, now_s)

    def _tell(self, event: AnyEvent, now_s: float) -> None:
        for command in self._controller.handle(event, now_s):
            if type(command) is StartAttempt:
                self._start(command, now_s)
            elif type(command) is CancelAttempt:
                self._cancel(command.attempt_id, now_s)
            else:
                self._end(command, now_s)
        alarm_s = self._controller.next_wakeup(now_s)
        self._alarm_s = _NEVER if alarm_s is None else alarm_s
        if self._at_once:
            for call in self._at_once:
                self._admit(call, now_s)
            self._at_once.clear()

    def _start(self, command: StartAttempt, now_s: float) -> None:
        flight = self._flights[command.request_id]
        engine = self._engines[command.target_id]
        call = self._calls[command.attempt_id] = flight.call = _Call(command, engine, flight, now_s)
        if engine.half_s or self._agenda[0][0] <= now_s:
            self._plan(now_s + engine.half_s, call)
        else:  # nothing else happens now, so it need not stand in line
            self._at_once.append(call)

    def _cancel(self, attempt_id: int, now_s: float) -> None:
        """Take an attempt out of its engine, at once: what the engine has not told by now is not heard any more."""
        call = self._calls.pop(attempt_id)
        engine = call.engine
        self._catch_up(engine, now_s)
        engine.batch.cancel(attempt_id, now_s)
        self._expect(engine)
        flight = call.flight
        if flight.lost is None:
            flight.lost = []
        flight.lost.append(LostAttempt(call.start.target_id, call.started_s))

    def _end(self, command: Complete | Reject, now_s: float) -> None:
        flight = self._flights.pop(command.request_id)
        reason: RejectReason | None = None
        answered: _Call | None = None
        if type(command) is Reject:
            reason = command.reason
        elif command.attempt_id is not None:
            answered = self._calls.pop(command.attempt_id)
        self._ended(flight.fate(command, reason, answered, now_s))
        flight.call = None  # or the two would hold each other


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
