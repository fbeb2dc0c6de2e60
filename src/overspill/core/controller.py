"""The controller: facts in, commands out. All decisions of Overspill are made here, and nothing else happens here.

Four drivers run this object: live and rehearsal (asyncio), simulate (an event heap) and replay (a recording). So it has
no clock, no randomness, no I/O and no logging: time is an argument, and the same events at the same times give the same
commands in every process.
"""

from __future__ import annotations

from typing import assert_never

from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject, StartAttempt
from overspill.core.estimate import Mean
from overspill.core.events import (
    AnyEvent,
    Arrived,
    ClientGone,
    DrainStarted,
    Failed,
    Finished,
    FirstToken,
    PolicyChanged,
    Progress,
    TargetChanged,
    TargetReported,
    Tick,
)
from overspill.core.options import Never, Option, Start, Wait
from overspill.core.queueing import Alarms, Lane, LaneKey, Request
from overspill.core.routing import RouteTable, Survey, decide, spill_reason, start_at_home
from overspill.core.target import Attempt, TargetState
from overspill.core.types import FailureKind, Health, Outcome, Policy, RejectReason, Route

_BUSY = frozenset({FailureKind.OVERLOADED, FailureKind.RATE_LIMITED})
"""Failures that say "later": asked again until the deadline, not until the attempts run out."""
_ANSWERED = frozenset({FailureKind.BAD_REQUEST, FailureKind.MODERATION})
"""Failures that are the target's answer to this request; no other target is asked."""
_OFFERS = 32
"""Requests behind the head of a lane that are asked whether they can use a slot which no head wanted."""


class Controller:
    """Decides for every request where it runs, whether it waits, and how it ends. See the module's docstring."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._targets: dict[str, TargetState] = {}
        self._leaving: dict[str, TargetState] = {}
        self._routes = RouteTable(())
        self._requests: dict[str, Request] = {}
        self._attempts: dict[int, Attempt] = {}
        self._lanes: dict[LaneKey, Lane] = {}
        self._alarms = Alarms()
        self._output_tokens: dict[str, Mean] = {}
        self._next_attempt = 1
        self._next_ticket = 1
        self._waiting = 0
        self._is_draining = False
        self._adopt(policy)

    def handle(self, event: AnyEvent, now: float) -> list[AnyCommand]:
        """Take in one fact and return what to do about it, in order. ``now`` is in seconds and never goes back."""
        out: list[AnyCommand] = []
        match event:
            case Arrived():
                self._arrived(event, out, now)
            case Finished():
                self._finished(event, out, now)
            case FirstToken():
                self._first_token(event, now)
            case Progress():
                self._progress(event)
            case Failed():
                self._failed(event, out, now)
            case ClientGone():
                self._client_gone(event, out, now)
            case Tick():
                self._tick(out, now)
            case TargetReported():
                self._reported(event, out, now)
            case TargetChanged():
                self._target_changed(event, out, now)
            case PolicyChanged():
                self._policy_changed(event, out, now)
            case DrainStarted():
                self._is_draining = True
            case _:
                assert_never(event)
        return out

    def next_wakeup(self, now: float) -> float | None:  # noqa: ARG002 - part of the sans-IO shape
        """Return when a ``Tick`` is due, or ``None`` if only events can change anything.

        After a ``Tick`` at ``t`` this is ``None`` or later than ``t``.
        """
        return self._alarms.next_at()

    # -- arrivals

    def _arrived(self, event: Arrived, out: list[AnyCommand], now: float) -> None:
        route = self._routes.find(event.model)
        if self._is_draining:
            out.append(_reject(event.request_id, RejectReason.DRAINING, retry_after_s=5.0))
            return
        if route is None:
            out.append(_reject(event.request_id, RejectReason.UNKNOWN_MODEL))
            return
        request = self._admit(event, route, now)
        self._requests[request.request_id] = request
        self._place(request, out, now)

    def _admit(self, event: Arrived, route: Route, now: float) -> Request:
        mean = self._output_tokens.get(route.pattern)
        expected = float(self.policy.default_output_tokens) if mean is None else mean.value
        if event.max_tokens is not None:
            expected = min(expected, float(event.max_tokens))
        priority = min(max(event.priority, 0), self.policy.priorities - 1)
        return Request(event, route, expected, priority, now)

    def _place(self, request: Request, out: list[AnyCommand], now: float) -> None:
        """Decide for a request that is in no lane: start it, queue it or refuse it."""
        if request.backoff is None:
            start = start_at_home(request, self._targets, now)
            if start is not None:
                self._start(request, start, [], out, now)
                return
        lane = self._lanes.get((request.route.pattern, request.local_only))
        waiting = lane.live if lane is not None else 0
        behind = lane.behind(request) if lane is not None and waiting else 0
        may_wait = waiting < request.route.queue_limit
        survey = Survey(request, self._targets, behind, now)
        decision = decide(request, survey, may_wait, now)
        if not isinstance(decision, Wait):
            self._act(request, decision, survey.seen, out, now)
        elif may_wait:
            self._enqueue(request, lane, decision)
        else:
            self._refuse(request, RejectReason.QUEUE_FULL, out, self._retry_after_s(survey.seen))

    def _act(
        self, request: Request, decision: Start | Never, seen: list[Option], out: list[AnyCommand], now: float
    ) -> None:
        if isinstance(decision, Start):
            self._start(request, decision, seen, out, now)
        elif decision is Never.CONTEXT_TOO_LONG:
            self._refuse(request, RejectReason.PROMPT_TOO_LONG, out)
        elif decision is Never.UNSUPPORTED:
            self._refuse(request, RejectReason.UNSUPPORTED, out)
        else:
            self._refuse(request, RejectReason.NO_TARGET, out, self._retry_after_s(seen))

    def _retry_after_s(self, seen: list[Option]) -> float:
        """Return when it is worth asking again: the shortest predicted wait, kept between 1 and 60 seconds."""
        waits = [o.wait_s for o in seen if o.wait_s > 0.0]
        return min(max(min(waits, default=5.0), 1.0), 60.0)

    def _enqueue(self, request: Request, lane: Lane | None, decision: Wait) -> None:
        if lane is None:
            key = (request.route.pattern, request.local_only)
            lane = self._lanes[key] = Lane(key)
        lane.push(request, self._next_ticket)
        self._next_ticket += 1
        self._waiting += 1
        self._hold(request, decision)

    def _hold(self, request: Request, decision: Wait) -> None:
        request.holding = decision.holding
        if decision.holding is not None:
            decision.holding.holding += 1
        self._alarms.set(request, min(decision.until, request.deadline_at))

    def _release(self, request: Request) -> None:
        if request.holding is not None:
            request.holding.holding -= 1
            request.holding = None

    def _dequeue(self, request: Request) -> None:
        if request.lane is not None:
            request.lane.leave(request)
            self._waiting -= 1
        self._release(request)

    def _start(self, request: Request, decision: Start, seen: list[Option], out: list[AnyCommand], now: float) -> None:
        self._dequeue(request)
        target = decision.target
        expected_s = target.service_s(request.prompt_tokens, request.expected_output, now)
        attempt = Attempt(self._next_attempt, request.request_id, target, now, request.prompt_tokens, expected_s)
        self._next_attempt += 1
        self._attempts[attempt.attempt_id] = attempt
        target.started(attempt, now)
        request.attempt = attempt
        request.attempts += 1
        request.spill = spill_reason(seen) if decision.tier > 0 else None
        out.append(
            StartAttempt(
                request_id=request.request_id,
                attempt_id=attempt.attempt_id,
                target_id=target.spec.target_id,
                model=decision.model,
                spill=request.spill,
                queue_wait_s=now - request.arrived_at,
                predicted_ttft_s=decision.ttft_s,
            )
        )

    # -- what attempts tell

    def _first_token(self, event: FirstToken, now: float) -> None:
        attempt = self._attempts.get(event.attempt_id)
        if attempt is not None and attempt.first_token_at is None:
            attempt.target.first_token(attempt, now)
            attempt.output_tokens = 1

    def _progress(self, event: Progress) -> None:
        attempt = self._attempts.get(event.attempt_id)
        if attempt is not None:
            attempt.output_tokens = max(attempt.output_tokens, event.output_tokens)

    def _finished(self, event: Finished, out: list[AnyCommand], now: float) -> None:
        attempt = self._attempts.get(event.attempt_id)
        if attempt is None:
            return
        request = self._requests.pop(attempt.request_id)
        self._learn(request, attempt, event, now)
        attempt.target.breaker.succeeded(attempt.attempt_id, now)
        self._end(attempt)
        out.append(Complete(request_id=request.request_id, outcome=Outcome.COMPLETED, attempt_id=attempt.attempt_id))
        self._pump(out, now, attempt.target)

    def _learn(self, request: Request, attempt: Attempt, event: Finished, now: float) -> None:
        target = attempt.target
        produced = event.output_tokens if event.output_tokens is not None else attempt.output_tokens
        if attempt.first_token_at is not None and produced >= 4:
            tpot_s = (now - attempt.first_token_at) / (produced - 1)
            target.speed.tpot.observe(len(target.running), tpot_s, now)
        if produced:
            pattern = request.route.pattern
            mean = self._output_tokens.get(pattern)
            if mean is None:
                mean = self._output_tokens[pattern] = Mean(float(self.policy.default_output_tokens))
            mean.observe(produced)
        if event.prompt_tokens and request.prompt_tokens:
            target.token_ratio.observe(event.prompt_tokens / request.prompt_tokens)

    def _failed(self, event: Failed, out: list[AnyCommand], now: float) -> None:
        attempt = self._attempts.get(event.attempt_id)
        if attempt is None:
            return
        request = self._requests[attempt.request_id]
        if event.kind is FailureKind.NO_MODEL and attempt.target.spec.target_id in self._routes.of_many_models:
            attempt.target.breaker.no_evidence(attempt.attempt_id)  # it may well have the others
        else:
            attempt.target.breaker.failed(attempt.attempt_id, event.kind, event.retry_after_s, now)
        self._end(attempt)
        request.attempt = None
        request.last_failure = event.kind
        request.last_status = event.status
        self._after_failure(request, attempt, event, out, now)
        self._pump(out, now, attempt.target)

    def _after_failure(
        self, request: Request, attempt: Attempt, event: Failed, out: list[AnyCommand], now: float
    ) -> None:
        if event.output_tokens > 0:
            self._complete_failed(request, Outcome.BROKEN, attempt, out)
            return
        if event.kind in _ANSWERED:
            self._complete_failed(request, Outcome.CLIENT_ERROR, attempt, out)
            return
        if event.kind not in _BUSY:
            request.failures += 1
        if request.failures >= request.route.max_attempts:
            self._refuse(request, RejectReason.ATTEMPTS_EXHAUSTED, out, retry_after_s=5.0)
            return
        request.back_off(attempt.target.spec.target_id, event, now)
        if now >= request.deadline_at:
            self._refuse(request, RejectReason.DEADLINE_EVICTED, out, retry_after_s=5.0)
            return
        self._place(request, out, now)

    def _complete_failed(self, request: Request, outcome: Outcome, attempt: Attempt, out: list[AnyCommand]) -> None:
        del self._requests[request.request_id]
        out.append(
            Complete(
                request_id=request.request_id,
                outcome=outcome,
                attempt_id=attempt.attempt_id,
                failure=request.last_failure,
                status=request.last_status,
            )
        )

    def _client_gone(self, event: ClientGone, out: list[AnyCommand], now: float) -> None:
        request = self._requests.pop(event.request_id, None)
        if request is None:
            return
        self._dequeue(request)
        attempt = request.attempt
        if attempt is not None:
            attempt.target.breaker.no_evidence(attempt.attempt_id)
            self._end(attempt)
            out.append(CancelAttempt(attempt_id=attempt.attempt_id))
        out.append(
            Complete(
                request_id=request.request_id,
                outcome=Outcome.SHUTDOWN if event.is_shutdown else Outcome.CLIENT_GONE,
                attempt_id=None if attempt is None else attempt.attempt_id,
            )
        )
        self._pump(out, now, None if attempt is None else attempt.target)

    def _end(self, attempt: Attempt) -> None:
        del self._attempts[attempt.attempt_id]
        target = attempt.target
        target.ended(attempt)
        if not target.running:
            self._leaving.pop(target.spec.target_id, None)

    def _refuse(
        self,
        request: Request,
        reason: RejectReason,
        out: list[AnyCommand],
        retry_after_s: float | None = None,
    ) -> None:
        self._dequeue(request)
        del self._requests[request.request_id]
        outcome = Outcome.FAILED if request.attempts else Outcome.EVICTED if request.ticket else Outcome.REJECTED
        out.append(
            Reject(
                request_id=request.request_id,
                reason=reason,
                outcome=outcome,
                retry_after_s=retry_after_s,
                failure=request.last_failure,
                status=request.last_status,
            )
        )

    # -- the queue

    def _tick(self, out: list[AnyCommand], now: float) -> None:
        while (request := self._alarms.pop_due(now)) is not None:
            lane = request.lane
            assert lane is not None  # an alarm without a lane is void
            self._reconsider(request, lane.behind(request), out, now)

    def _reconsider(self, request: Request, behind: int, out: list[AnyCommand], now: float) -> bool:
        """Decide again for a request that waits; return whether it left the queue."""
        self._release(request)
        if now >= request.deadline_at:
            self._refuse(request, RejectReason.DEADLINE_EVICTED, out, retry_after_s=5.0)
            return True
        survey = Survey(request, self._targets, behind, now)
        decision = decide(request, survey, True, now)
        if isinstance(decision, Wait):
            self._hold(request, decision)
            return False
        self._act(request, decision, survey.seen, out, now)
        return True

    def _pump(self, out: list[AnyCommand], now: float, freed: TargetState | None = None) -> None:
        """Look at the head of each lane, first in turn first, until every head has to wait."""
        if not self._waiting:
            return
        blocked: set[LaneKey] = set()
        while (lane := self._first_lane(blocked)) is not None:
            head = lane.head()
            assert head is not None
            if not self._reconsider(head[3], lane.live - 1, out, now):
                blocked.add(lane.key)
        if blocked and freed is not None and freed.slots is not None:
            self._offer(freed, out, now)

    def _offer(self, freed: TargetState, out: list[AnyCommand], now: float) -> None:
        """Offer a slot that no head took to those behind: a head may not fit there, or wait out its back-off."""
        for lane in self._lanes.values():
            if not freed.has_slot(now):
                return
            waiting = lane.waiting()
            for turn, request in enumerate(waiting[1 : _OFFERS + 1], start=2):
                if freed.has_slot(now):
                    self._reconsider(request, len(waiting) - turn, out, now)

    def _first_lane(self, blocked: set[LaneKey]) -> Lane | None:
        heads = [
            (head[:3], lane)
            for key, lane in self._lanes.items()
            if lane.live and key not in blocked and (head := lane.head()) is not None
        ]
        return min(heads, key=lambda pair: pair[0])[1] if heads else None

    # -- targets and policy

    def _reported(self, event: TargetReported, out: list[AnyCommand], now: float) -> None:
        target = self._targets.get(event.target_id)
        if target is not None:
            target.report(event, now)
            self._pump(out, now, target)

    def _target_changed(self, event: TargetChanged, out: list[AnyCommand], now: float) -> None:
        target = self._targets.get(event.target_id) or self._leaving.get(event.target_id)
        if target is None:
            return
        if event.health is Health.READY and target.health is not Health.READY:
            target.breaker.reset()
        target.health = event.health
        if event.slots is not None:
            target.slots = event.slots
        if event.context_tokens is not None:
            target.context_tokens = event.context_tokens
        self._reconsider_all(out, now)

    def _policy_changed(self, event: PolicyChanged, out: list[AnyCommand], now: float) -> None:
        self._adopt(event.policy)
        waiting = [request for lane in self._lanes.values() for request in lane.waiting()]
        waiting.sort(key=lambda r: (r.priority, r.deadline_at, r.ticket))
        for request in waiting:
            self._dequeue(request)
        self._lanes = {}  # lanes of routes that are gone would stay for ever
        routed = {request.request_id: self._rebind(request) for request in self._requests.values()}
        for request in waiting:
            if routed[request.request_id]:
                self._place(request, out, now)
            else:
                self._refuse(request, RejectReason.UNKNOWN_MODEL, out)

    def _rebind(self, request: Request) -> bool:
        """Give a request its new route, so that a retry obeys the new policy; return whether there is one.

        A running request without a new route keeps the old one. What was ``local_only`` stays so.
        """
        route = self._routes.find(request.model)
        if route is None:
            return False
        request.route = route
        request.local_only = request.local_only or route.local_only
        return True

    def _adopt(self, policy: Policy) -> None:
        known = {**self._leaving, **self._targets}
        self._targets = {}
        for spec in policy.targets:
            target = known.pop(spec.target_id, None)
            if target is None:
                target = TargetState(spec, policy.breaker)
            else:
                target.respecify(spec, policy.breaker)
            self._targets[spec.target_id] = target
        self._leaving = {name: target for name, target in known.items() if target.running}
        self._routes = RouteTable(policy.routes)
        self.policy = policy

    def _reconsider_all(self, out: list[AnyCommand], now: float) -> None:
        """Look at every waiting request: what a target's change means may differ for each."""
        for lane in list(self._lanes.values()):
            waiting = lane.waiting()
            for turn, request in enumerate(waiting, start=1):
                if request.holding is None or request.holding.health is not Health.READY:
                    self._reconsider(request, len(waiting) - turn, out, now)
        self._pump(out, now)

    # -- looking in, without changing anything

    def explain(self, event: Arrived, now: float) -> tuple[Route | None, list[Option], Start | Wait | Never | None]:
        """Say what would be decided for ``event`` now, and how each target looked. Nothing is changed."""
        route = self._routes.find(event.model)
        if route is None:
            return None, [], None
        request = self._admit(event, route, now)
        lane = self._lanes.get((route.pattern, request.local_only))
        behind = lane.behind(request) if lane is not None else 0
        may_wait = lane is None or lane.live < route.queue_limit
        decision = decide(request, Survey(request, self._targets, behind, now), may_wait, now)
        return route, Survey(request, self._targets, behind, now).all(), decision

    def find_route(self, model: str) -> Route | None:
        """Return the route that ``model`` takes, or ``None``."""
        return self._routes.find(model)

    @property
    def targets(self) -> dict[str, TargetState]:
        """The targets of the current policy, by id; to be read, not changed."""
        return self._targets

    @property
    def open_requests(self) -> int:
        """Requests without a final answer."""
        return len(self._requests)

    def waiting_by_lane(self) -> dict[LaneKey, int]:
        """Return how many requests wait in each lane."""
        return {key: lane.live for key, lane in self._lanes.items()}


def _reject(request_id: str, reason: RejectReason, retry_after_s: float | None = None) -> Reject:
    return Reject(request_id=request_id, reason=reason, outcome=Outcome.REJECTED, retry_after_s=retry_after_s)
