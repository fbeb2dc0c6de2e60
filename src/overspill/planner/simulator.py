"""The simulate driver: the gateway's own controller on an event heap, with modelled engines instead of real ones.

It answers in aggregates (spill share, quantiles, goodput, cost). Single requests are not predicted: an answer's length
is known here to the engine's model only, as in reality, and a small difference early changes who gets which slot later.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import msgspec

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, Finished, FirstToken, Tick
from overspill.core.types import Outcome, Policy, RejectReason, Spill
from overspill.errors import UnknownName
from overspill.perf.batching import Batch, EngineModel
from overspill.planner.workload import TraceRequest


class TargetModel(msgspec.Struct, frozen=True, kw_only=True):
    """How a target behaves: an engine, behind a fixed delay for the network and whatever else stands before it."""

    engine: EngineModel
    delay_s: float = 0.0


class SimulatedRequest(msgspec.Struct, kw_only=True, gc=False):
    """One request's fate. Times are seconds from its arrival; ``None`` where it did not get so far."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    outcome: Outcome | None = None
    target_id: str | None = None
    spill: Spill | None = None
    reason: RejectReason | None = None
    queue_wait_s: float | None = None
    ttft_s: float | None = None
    e2e_s: float | None = None


class _Engine:
    """One modelled target: its batch, and which attempts are on their way there."""

    __slots__ = ("batch", "delay_s", "due", "model")

    def __init__(self, model: TargetModel) -> None:
        self.model = model
        self.batch = Batch(model.engine)
        self.delay_s = model.delay_s
        self.due: float | None = None


class Simulator:
    """Runs one trace against one policy. Make a new one for each run."""

    def __init__(self, policy: Policy, models: Mapping[str, TargetModel]) -> None:
        missing = [spec.target_id for spec in policy.targets if spec.target_id not in models]
        if missing:
            raise UnknownName("model of target", missing[0], models)
        self._controller = Controller(policy)
        self._engines = {spec.target_id: _Engine(models[spec.target_id]) for spec in policy.targets}
        self._rows: list[SimulatedRequest] = []
        self._attempts: dict[int, tuple[int, str]] = {}
        """Attempt → (row, target)."""
        self._on_the_way: list[tuple[float, int, str]] = []
        """Heap of (when it reaches the engine, attempt, target)."""
        self._told: list[tuple[float, int, AnyEvent]] = []
        """Heap of (when the gateway hears it, sequence, event)."""
        self._sequence = 0

    def run(self, trace: Sequence[TraceRequest], model: str, *, local_only: bool = False) -> list[SimulatedRequest]:
        """Play the trace to its end and return one row per request, in the trace's order (sorted by ``at_s``)."""
        self._rows = [
            SimulatedRequest(at_s=r.at_s, prompt_tokens=r.prompt_tokens, output_tokens=r.output_tokens) for r in trace
        ]
        next_row = 0
        while True:
            arrival_s = self._rows[next_row].at_s if next_row < len(self._rows) else None
            at_s = self._next_time(arrival_s)
            if at_s is None:
                return self._rows
            if at_s == arrival_s:
                self._feed(self._arrived(next_row, model, local_only), at_s)
                next_row += 1
            else:
                self._step(at_s)

    def _arrived(self, row: int, model: str, local_only: bool) -> Arrived:
        request = self._rows[row]
        return Arrived(
            request_id=str(row),
            model=model,
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.output_tokens,
            local_only=local_only,
        )

    def _next_time(self, arrival_s: float | None) -> float | None:
        times = [engine.due for engine in self._engines.values() if engine.due is not None]
        if arrival_s is not None:
            times.append(arrival_s)
        if self._on_the_way:
            times.append(self._on_the_way[0][0])
        if self._told:
            times.append(self._told[0][0])
        alarm_s = self._controller.next_wakeup(0.0)
        if alarm_s is not None:
            times.append(alarm_s)
        return min(times, default=None)

    def _step(self, now_s: float) -> None:
        """Let everything happen that is due at ``now_s`` and is no arrival."""
        while self._on_the_way and self._on_the_way[0][0] <= now_s:
            _, attempt_id, target_id = heapq.heappop(self._on_the_way)
            self._admit(attempt_id, target_id, now_s)
        for engine in self._engines.values():
            if engine.due is not None and engine.due <= now_s:
                self._advance(engine, now_s)
        while self._told and self._told[0][0] <= now_s:
            self._feed(heapq.heappop(self._told)[2], now_s)
        alarm_s = self._controller.next_wakeup(now_s)
        if alarm_s is not None and alarm_s <= now_s:
            self._feed(Tick(), now_s)

    def _admit(self, attempt_id: int, target_id: str, now_s: float) -> None:
        row, _ = self._attempts[attempt_id]
        engine = self._engines[target_id]
        self._advance(engine, now_s)
        request = self._rows[row]
        engine.batch.admit(attempt_id, request.prompt_tokens, request.output_tokens, now_s)
        engine.due = engine.batch.next_wakeup_s()

    def _advance(self, engine: _Engine, now_s: float) -> None:
        for happened in engine.batch.advance(now_s):
            heard_s = happened.at_s + engine.delay_s / 2
            if happened.is_last:
                row, _ = self._attempts[happened.request_id]
                request = self._rows[row]
                event: AnyEvent = Finished(
                    attempt_id=happened.request_id,
                    prompt_tokens=request.prompt_tokens,
                    output_tokens=request.output_tokens,
                )
            else:
                event = FirstToken(attempt_id=happened.request_id)
            self._sequence += 1
            heapq.heappush(self._told, (max(heard_s, now_s), self._sequence, event))
        engine.due = engine.batch.next_wakeup_s()

    def _feed(self, event: AnyEvent, now_s: float) -> None:
        if isinstance(event, FirstToken):
            row, _ = self._attempts[event.attempt_id]
            self._rows[row].ttft_s = now_s - self._rows[row].at_s
        for command in self._controller.handle(event, now_s):
            self._obey(command, now_s)

    def _obey(self, command: AnyCommand, now_s: float) -> None:
        if isinstance(command, StartAttempt):
            row = int(command.request_id)
            request = self._rows[row]
            request.target_id = command.target_id
            request.spill = command.spill
            request.queue_wait_s = command.queue_wait_s
            self._attempts[command.attempt_id] = (row, command.target_id)
            delay_s = self._engines[command.target_id].delay_s
            heapq.heappush(self._on_the_way, (now_s + delay_s / 2, command.attempt_id, command.target_id))
        elif isinstance(command, Complete):
            request = self._rows[int(command.request_id)]
            request.outcome = command.outcome
            request.e2e_s = now_s - request.at_s
            if command.attempt_id is not None:
                del self._attempts[command.attempt_id]
        elif isinstance(command, Reject):
            request = self._rows[int(command.request_id)]
            request.outcome = command.outcome
            request.reason = command.reason
        else:
            assert isinstance(command, CancelAttempt)  # nobody cancels here: clients stay and engines do not fail


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
