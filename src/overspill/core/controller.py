"""The controller: facts in, commands out. All decisions of Overspill are made here, and nothing else happens here.

Four drivers run this object: live and rehearsal (asyncio), simulate (an event heap) and replay (a recording). So it has
no clock, no randomness, no I/O and no logging: time is an argument, and the same events at the same times give the same
commands in every process.
"""

from __future__ import annotations

from typing import assert_never

from overspill.core.admission import admit, bind
from overspill.core.commands import AnyCommand, CancelAttempt, Complete, Reject
from overspill.core.dispatch import Dispatcher
from overspill.core.estimate import Mean
from overspill.core.events import (
    AnyEvent,
    Arrived,
    ClientGone,
    ClockRead,
    DrainStarted,
    Failed,
    Finished,
    FirstToken,
    OtherEvent,
    PolicyChanged,
    Progress,
    Queued,
    SpentBefore,
    TargetChanged,
    TargetReported,
    TargetVerified,
    Tick,
)
from overspill.core.lanes import LaneKey
from overspill.core.options import Never, Option, Start, Wait
from overspill.core.queueing import Request
from overspill.core.racing import Races
from overspill.core.rescue import why_not
from overspill.core.routing import Survey, decide
from overspill.core.target import Attempt, TargetState
from overspill.core.types import FailureKind, Health, LimitHit, Outcome, Policy, RejectReason, Route

_BUSY = frozenset({FailureKind.OVERLOADED, FailureKind.RATE_LIMITED})
"""Failures that say "later": asked again until the deadline, not until the attempts run out."""
_ANSWERED = frozenset({FailureKind.BAD_REQUEST, FailureKind.MODERATION, FailureKind.HISTORY})
"""Failures that are the target's answer to this request; no other target is asked."""
_COMPLETED = Outcome.COMPLETED  # at every end of a request; in Python 3.11 a member of an enum costs 90 ns
_NEVER = float("inf")


class Controller:
    """Decides for every request where it runs, whether it waits, and how it ends. See the module's docstring."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._dispatch = Dispatcher(policy)
        self._races = Races(self._dispatch)
        self._output_tokens: dict[str, Mean] = {}
        self._is_draining = False

    def handle(self, event: AnyEvent, now: float) -> list[AnyCommand]:
        """Take in one fact and return what to do about it, in order. ``now`` is in seconds and never goes back."""
        out: list[AnyCommand] = []
        # Three of four events are one of these; an exact type is told at a fraction of the cost of a case.
        if type(event) is Arrived:
            self._arrived(event, out, now)
        elif type(event) is Finished:
            self._finished(event, out, now)
        elif type(event) is FirstToken:
            self._first_token(event, out, now)
        else:
            self._other(event, out, now)
        return out

    def _other(self, event: OtherEvent, out: list[AnyCommand], now: float) -> None:  # noqa: C901 - a branch for each
        match event:
            case Progress():
                self._progress(event)
            case Queued():
                self._races.queued(event.attempt_id, out, now)
            case Failed():
                self._failed(event, out, now)
            case ClientGone():
                self._client_gone(event, out, now)
            case Tick():
                self._dispatch.ring(out, now)
                self._races.ring(out, now)
            case TargetReported():
                self._reported(event, out, now)
            case TargetChanged():
                self._target_changed(event, out, now)
            case TargetVerified():
                self._target_verified(event, out, now)
            case PolicyChanged():
                self._policy_changed(event, out, now)
            case DrainStarted():
                self._is_draining = True
            case ClockRead():
                self._dispatch.limiter.set_clock(event.unix_s, now)
            case SpentBefore():
                self._dispatch.limiter.spent_before(event.scope, event.name, event.window, event.usd, now)
            case _:
                assert_never(event)

    def next_wakeup(self, now: float) -> float | None:  # noqa: ARG002 - part of the sans-IO shape
        """Return when a ``Tick`` is due, or ``None`` if only events can change anything.

        After a ``Tick`` at ``t`` this is ``None`` or later than ``t``.
        """
        dispatch = self._dispatch
        at = dispatch.silent.next_at()
        if dispatch.queue.live:
            alarm_at = dispatch.queue.alarms.next_at()
            if alarm_at < at:
                at = alarm_at
        return None if at == _NEVER else at

    # -- arrivals

    def _arrived(self, event: Arrived, out: list[AnyCommand], now: float) -> None:
        dispatch = self._dispatch
        route = dispatch.roster.routes.find(event.model)
        if self._is_draining:
            out.append(_reject(event.request_id, RejectReason.DRAINING, retry_after_s=5.0))
            return
        if route is None:
            out.append(_reject(event.request_id, RejectReason.UNKNOWN_MODEL))
            return
        request = self._admit(event, route, now)
        if dispatch.limiter.is_used:
            refused = admit(dispatch.limiter, request, now)
            if refused is not None:
                out.append(refused)
                return
        dispatch.requests[request.request_id] = request
        dispatch.budget.deposit(now)
        dispatch.place(request, out, now)

    def _admit(self, event: Arrived, route: Route, now: float) -> Request:
        mean = self._output_tokens.get(route.pattern)
        expected = float(self.policy.default_output_tokens) if mean is None else mean.value
        if event.max_tokens is not None:
            limit = float(event.max_tokens)
            expected = limit if limit < expected else expected
        priority, last = event.priority, self.policy.priorities - 1
        if not 0 <= priority <= last:
            priority = min(max(priority, 0), last)
        request = Request(event, route, expected, priority, now)
        if self.policy.reserved:
            request.headroom = sum(self.policy.reserved[:priority])
        return request

    # -- what attempts tell

    def _first_token(self, event: FirstToken, out: list[AnyCommand], now: float) -> None:
        dispatch = self._dispatch
        attempt = dispatch.attempts.get(event.attempt_id)
        if attempt is not None and attempt.first_token_at is None:
            dispatch.silent.drop(attempt)
            attempt.target.first_token(attempt, now)
            attempt.output_tokens = 1
            request = dispatch.requests[attempt.request_id]
            if request.rival is not None:
                self._races.win(request, attempt, out, now)

    def _progress(self, event: Progress) -> None:
        attempt = self._dispatch.attempts.get(event.attempt_id)
        if attempt is not None:
            attempt.output_tokens = max(attempt.output_tokens, event.output_tokens)

    def _finished(self, event: Finished, out: list[AnyCommand], now: float) -> None:
        dispatch = self._dispatch
        attempt = dispatch.attempts.get(event.attempt_id)
        if attempt is None:
            return
        request, target = dispatch.requests[attempt.request_id], attempt.target
        if request.rival is not None:
            self._races.win(request, attempt, out, now)
        self._learn(request, attempt, event, now)
        target.succeeded(attempt, now)
        dispatch.end(attempt, now, event)
        dispatch.close(request, now)
        out.append(Complete(request_id=request.request_id, outcome=_COMPLETED, attempt_id=event.attempt_id))
        if dispatch.queue.live:
            dispatch.pump(out, now, target)

    def _learn(self, request: Request, attempt: Attempt, event: Finished, now: float) -> None:
        target = attempt.target
        if event.output_tokens is not None:
            attempt.output_tokens = event.output_tokens
        produced = attempt.output_tokens
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
        attempt = self._dispatch.attempts.get(event.attempt_id)
        if attempt is None:
            return
        request = self._dispatch.requests[attempt.request_id]
        attempt.target.failed(attempt, event.kind, event.retry_after_s, now)
        attempt.output_tokens = max(attempt.output_tokens, event.output_tokens)
        self._dispatch.end(attempt, now, is_refused=attempt.output_tokens == 0 and event.status != 200)
        request.last_failure = event.kind
        request.last_status = event.status
        other = request.rival if attempt is request.attempt else request.attempt
        request.attempt, request.rival = other, None
        if other is None:
            self._after_failure(request, attempt, event, out, now)
        else:
            request.back_off(attempt.target.spec.target_id, event, now)
            self._races.lost(other, now)
        self._dispatch.pump(out, now, attempt.target)

    def _after_failure(
        self, request: Request, attempt: Attempt, event: Failed, out: list[AnyCommand], now: float
    ) -> None:
        if event.output_tokens > 0 or request.half is not None:
            self._broke(request, attempt, event, out, now)
            return
        if event.kind is FailureKind.HISTORY and not request.was_repaired:
            request.was_repaired = True  # the driver writes it as the target wants from now on
            self._dispatch.place(request, out, now)
            return
        if event.kind in _ANSWERED:
            self._complete_failed(request, Outcome.CLIENT_ERROR, attempt, out, now)
            return
        if event.kind not in _BUSY:
            request.failures += 1
        if request.failures >= request.route.max_attempts:
            self._dispatch.refuse(request, RejectReason.ATTEMPTS_EXHAUSTED, out, now, retry_after_s=5.0)
            return
        request.back_off(attempt.target.spec.target_id, event, now)
        if now >= request.deadline_at:
            self._dispatch.refuse(request, RejectReason.DEADLINE_EVICTED, out, now, retry_after_s=5.0)
            return
        self._dispatch.place(request, out, now)

    def _broke(self, request: Request, attempt: Attempt, event: Failed, out: list[AnyCommand], now: float) -> None:
        """Look for a target that goes on with an answer of which the client has a part."""
        if event.cut is not None:
            request.broke_off(event.cut, attempt.weights, now)
        elif event.output_tokens > 0:
            request.half = None  # it wrote what nobody kept
        if event.kind not in _BUSY:
            request.failures += 1
        refusal = why_not(request, event)
        if refusal is not None:
            self._dispatch.give_up(request, refusal, out, now, event.attempt_id)
            return
        request.back_off(attempt.target.spec.target_id, event, now)
        self._dispatch.place(request, out, now)

    def _complete_failed(
        self, request: Request, outcome: Outcome, attempt: Attempt, out: list[AnyCommand], now: float
    ) -> None:
        self._dispatch.close(request, now)
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
        request = self._dispatch.requests.get(event.request_id)
        if request is None:
            return
        self._dispatch.queue.leave(request)
        last = request.rival or request.attempt
        for attempt in (request.attempt, request.rival):
            if attempt is not None:
                attempt.target.said_nothing(attempt)
                self._dispatch.end(attempt, now)
                out.append(CancelAttempt(attempt_id=attempt.attempt_id))
        self._dispatch.close(request, now)
        out.append(
            Complete(
                request_id=request.request_id,
                outcome=Outcome.SHUTDOWN if event.is_shutdown else Outcome.CLIENT_GONE,
                attempt_id=None if last is None else last.attempt_id,
            )
        )
        for attempt in (request.attempt, request.rival):
            if attempt is not None:
                self._dispatch.pump(out, now, attempt.target)
        if last is None:
            self._dispatch.pump(out, now)

    # -- targets and policy

    def _reported(self, event: TargetReported, out: list[AnyCommand], now: float) -> None:
        target = self._dispatch.roster.targets.get(event.target_id)
        if target is not None:
            target.report(event, now)
            self._dispatch.pump(out, now, target)

    def _target_changed(self, event: TargetChanged, out: list[AnyCommand], now: float) -> None:
        target = self._dispatch.roster.find(event.target_id)
        if target is None:
            return
        if event.health is Health.READY and target.health is not Health.READY:
            target.renewed()
        target.health = event.health
        if event.slots is not None:
            target.slots = event.slots
        if event.context_tokens is not None:
            target.context_tokens = event.context_tokens
        self._dispatch.reconsider_all(out, now)

    def _target_verified(self, event: TargetVerified, out: list[AnyCommand], now: float) -> None:
        target = self._dispatch.roster.find(event.target_id)
        if target is not None:
            target.continues[event.model] = event.continues
            self._dispatch.roster.note_rescuers()
            self._dispatch.reconsider_all(out, now)

    def _policy_changed(self, event: PolicyChanged, out: list[AnyCommand], now: float) -> None:
        self.policy = event.policy
        self._dispatch.adopt(event.policy)
        waiting = self._dispatch.queue.empty()
        routed = {request.request_id: self._rebind(request) for request in self._dispatch.requests.values()}
        for request in waiting:
            if routed[request.request_id]:
                self._dispatch.place(request, out, now)
            else:
                self._dispatch.refuse(request, RejectReason.UNKNOWN_MODEL, out, now)

    def _rebind(self, request: Request) -> bool:
        """Give a request its new route, so that a retry obeys the new policy; return whether there is one.

        A running request without a new route keeps the old one.
        """
        route = self._dispatch.roster.routes.find(request.model)
        if route is not None:
            request.bind(route)
        request.headroom = sum(self.policy.reserved[: request.priority])
        bind(self._dispatch.limiter, request)
        return route is not None

    # -- looking in, without changing anything

    def explain(self, event: Arrived, now: float) -> tuple[Route | None, list[Option], Start | Wait | Never | None]:
        """Say what would be decided for ``event`` now, and how each target looked. Nothing is changed."""
        route = self._dispatch.roster.routes.find(event.model)
        if route is None:
            return None, [], None
        request = self._admit(event, route, now)
        bind(self._dispatch.limiter, request)
        lane = self._dispatch.queue.lane_of(request)
        behind = lane.behind(request) if lane is not None else 0
        may_wait = lane is None or lane.live < route.queue_limit
        targets = self._dispatch.roster.targets
        decision = decide(request, Survey(request, targets, behind, now), may_wait, now)
        return route, Survey(request, targets, behind, now).all(), decision

    def limits_of(self, key_id: str, route: Route, now: float) -> list[LimitHit]:
        """Return what the requests of a key for a route are held to, and what is left of each."""
        return self._dispatch.limiter.levels(key_id, route, now)

    def may_ask_for(self, key_id: str, model: str) -> bool:
        """Tell whether a key may ask for a model."""
        return self._dispatch.limiter.may_ask_for(key_id, model)

    @property
    def has_budgets(self) -> bool:
        """True if money is limited somewhere."""
        return self._dispatch.limiter.has_budgets

    @property
    def needs_time(self) -> bool:
        """True if the time of day matters: budgets are for windows of the calendar, prices may follow it."""
        return self._dispatch.limiter.has_budgets or self._dispatch.roster.has_tariffs

    def find_route(self, model: str) -> Route | None:
        """Return the route that ``model`` takes, or ``None``."""
        return self._dispatch.roster.routes.find(model)

    @property
    def targets(self) -> dict[str, TargetState]:
        """The targets of the current policy, by id; to be read, not changed."""
        return self._dispatch.roster.targets

    @property
    def open_requests(self) -> int:
        """Requests without a final answer."""
        return len(self._dispatch.requests)

    def waiting_by_lane(self) -> dict[LaneKey, int]:
        """Return how many requests wait in each lane."""
        return {key: lane.live for key, lane in self._dispatch.queue.lanes.items()}


def _reject(request_id: str, reason: RejectReason, retry_after_s: float | None = None) -> Reject:
    return Reject(request_id=request_id, reason=reason, outcome=Outcome.REJECTED, retry_after_s=retry_after_s)
