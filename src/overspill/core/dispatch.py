"""Carries requests to targets: starts them, lets them wait, refuses them, and looks again when something changes.

It holds what waits and what runs; which events do what is the controller's.
"""

from __future__ import annotations

from overspill.core.budget import RetryBudget
from overspill.core.charges import charge, settle, used
from overspill.core.commands import AnyCommand, Complete, Reject, StartAttempt
from overspill.core.events import Finished
from overspill.core.lanes import Lane, LaneKey
from overspill.core.limits import Limiter
from overspill.core.options import Never, Option, Start, Wait
from overspill.core.queueing import Request
from overspill.core.rescue import weights_of, why_nowhere
from overspill.core.roster import Roster
from overspill.core.routing import Survey, decide, over_budget
from overspill.core.short_way import start_at_home, start_or_hold
from overspill.core.silence import Silent, first_look_at, speaks
from overspill.core.target import Attempt, TargetState
from overspill.core.types import (
    Health,
    LimitHit,
    Missing,
    Outcome,
    Policy,
    Refusal,
    RejectReason,
    RescueRefusal,
    Spill,
)
from overspill.core.waiting import Queue
from overspill.features import NATIVE_WHY, features_of

_OFFERS = 32
"""Requests behind the head of a lane that are asked whether they can use a slot which no head wanted."""

_NEVER = float("inf")
_RETRY_AFTER_S = 5.0
"""Told to clients where nothing says when a target will take a request again."""
_NO_BUDGET_S = 0.5
"""A retry that the budget does not allow now is looked at again after this."""


class Dispatcher:
    """The operations on requests. Each appends its commands to ``out``."""

    __slots__ = ("_next_attempt", "attempts", "budget", "limiter", "queue", "requests", "roster", "silent")

    def __init__(self, policy: Policy) -> None:
        self.limiter = Limiter()
        self.roster = Roster()
        self.requests: dict[str, Request] = {}
        """Without a final answer, by id."""
        self.attempts: dict[int, Attempt] = {}
        """That run, by id."""
        self.queue = Queue()
        self.silent = Silent()
        self.budget = RetryBudget(policy.retry)
        self._next_attempt = 1
        self.adopt(policy)

    def adopt(self, policy: Policy) -> None:
        """Take over a new policy; what waits is not looked at."""
        self.limiter.adopt(policy)
        self.queue.fairness.adopt(self.limiter.weights())
        self.roster.adopt(policy, self.limiter)
        self.budget.policy = policy.retry

    def place(self, request: Request, out: list[AnyCommand], now: float) -> None:
        """Decide for a request that is in no lane: start it, queue it or refuse it."""
        if request.backoff is None:
            start = start_at_home(request, self.roster.targets, now)
            if start is not None:
                self.start(request, start, None, out, now)
                return
        lane = self.queue.lane_of(request)
        waiting = lane.live if lane is not None else 0
        behind = lane.behind(request) if lane is not None and waiting else 0
        is_full = waiting >= request.route.queue_limit and request.half is None
        decision, seen = (
            self._decide_closely(request, behind, True, now) if is_full else self._decide(request, behind, now)
        )
        if isinstance(decision, Wait) and is_full and not self._makes_room(request, lane, decision, seen, out, now):
            decision, seen = self._decide_closely(request, behind, False, now)  # anywhere, rather than not at all
            if isinstance(decision, Wait):
                self.refuse(request, RejectReason.QUEUE_FULL, out, now, self._retry_after_s(seen, now))
                return
        if isinstance(decision, Wait):
            self.queue.enqueue(request, decision)
        else:
            self._act(request, decision, seen, out, now)

    def _makes_room(
        self, request: Request, lane: Lane | None, decision: Wait, seen: list[Option], out: list[AnyCommand], now: float
    ) -> bool:
        """Send somebody away from a full lane, if there is one with less right to wait there than ``request``."""
        if lane is None or not lane.live:
            return False
        request.is_late = decision.is_late
        other = lane.gives_way(request)
        if other is None or other.half is not None:
            return False
        self.refuse(other, RejectReason.QUEUE_FULL, out, now, self._retry_after_s(seen, now))
        return True

    def _decide(self, request: Request, behind: int, now: float) -> tuple[Start | Wait | Never, list[Option]]:
        """Decide for a request that may wait. The options are those looked at; none, if the short way sufficed."""
        decision = start_or_hold(request, self.roster.targets, behind, now)
        if decision is not None:
            return decision, []
        return self._decide_closely(request, behind, True, now)

    def _decide_closely(
        self, request: Request, behind: int, may_wait: bool, now: float
    ) -> tuple[Start | Wait | Never, list[Option]]:
        """Decide, but leave a target that failed this request alone while there is no budget for asking it again."""
        lane = self.queue.lane_of(request)
        ahead = 0 if lane is None else lane.live - behind - (request.lane is not None)
        while True:
            survey = Survey(request, self.roster.targets, behind, now, ahead)
            decision = decide(request, survey, may_wait, now)
            if request.backoff is None or not isinstance(decision, Start):
                return decision, survey.seen
            target_id = decision.target.spec.target_id
            if target_id not in request.backoff or self.budget.withdraw(now):
                return decision, survey.seen
            request.backoff[target_id] = now + _NO_BUDGET_S

    def _act(
        self, request: Request, decision: Start | Never, seen: list[Option], out: list[AnyCommand], now: float
    ) -> None:
        if isinstance(decision, Start):
            spill = decision.spill
            if spill is not None and request.half is not None:
                spill = Spill.STREAM_BROKE
            self.start(request, decision, spill, out, now)
        elif request.half is not None:
            self.give_up(request, why_nowhere(seen), out, now)
        elif decision is Never.CONTEXT_TOO_LONG:
            self.refuse(request, RejectReason.PROMPT_TOO_LONG, out, now)
        elif decision is Never.UNSUPPORTED:
            self.refuse(request, RejectReason.UNSUPPORTED, out, now)
        elif decision is Never.LACKS_FEATURE:
            self.refuse(request, RejectReason.LACKS_FEATURE, out, now, missing=_missing(request, seen))
        elif decision is Never.OVER_BUDGET:
            self._refuse_money(request, seen, out, now)
        else:
            self.refuse(request, RejectReason.NO_TARGET, out, now, self._retry_after_s(seen, now))

    def _refuse_money(self, request: Request, seen: list[Option], out: list[AnyCommand], now: float) -> None:
        denials = [over_budget(request, o.target, now) for o in seen if o.refusal is Refusal.OVER_BUDGET]
        first = min([denied for denied in denials if denied is not None], key=lambda denied: denied.ready_at)
        after_s = first.ready_at - now
        retry_after_s = None if after_s == _NEVER else after_s
        self.refuse(request, RejectReason.BUDGET_EXCEEDED, out, now, retry_after_s, first.hit)

    def _retry_after_s(self, seen: list[Option], now: float) -> float:
        """Return when it is worth asking again, kept between 1 s and an hour.

        That is when the first target is expected to take a request: a slot frees, its rest ends, or it said so itself.
        """
        waits = [o.wait_s for o in seen if o.wait_s > 0.0]
        waits += [o.retry_at - now for o in seen if o.retry_at is not None and now < o.retry_at < _NEVER]
        return min(max(min(waits, default=_RETRY_AFTER_S), 1.0), 3600.0)

    def start(self, request: Request, decision: Start, spill: Spill | None, out: list[AnyCommand], now: float) -> None:
        """Send a request to a target: as its only attempt, or beside the one that runs."""
        if request.lane is not None:
            self.queue.leave(request)
        target, route, ttft_s = decision.target, request.route, decision.ttft_s
        expected_s = ttft_s + request.expected_output * target.tpot_s(False, now)
        attempt_id = self._next_attempt
        self._next_attempt = attempt_id + 1
        attempt = Attempt(
            attempt_id, request.request_id, target, now, request.prompt_tokens, ttft_s, expected_s, decision.model
        )
        is_kept = route.pattern in target.kept_for
        if is_kept:
            attempt.weights = weights_of(route, target.spec.target_id, decision.model)
        self.attempts[attempt_id] = attempt
        target.started(attempt, now)
        if not target.is_plain or request.purses:
            attempt.charge = charge(request, target, now)
        if self.queue.live and target.slots is not None:
            attempt.share = self.queue.fairness.charge(request.priority, request.key_id, expected_s)
        if request.attempt is None:
            request.attempt = attempt
        else:
            request.rival = attempt
        request.attempts += 1
        request.spill = spill
        if route.pattern in self.roster.routes.with_choice and speaks(request, target):
            self.silent.add(attempt, first_look_at(request, attempt, now))
        out.append(
            StartAttempt(
                request_id=request.request_id,
                attempt_id=attempt_id,
                target_id=target.target_id,
                model=decision.model,
                spill=spill,
                queue_wait_s=now - request.arrived_at,
                predicted_ttft_s=ttft_s,
                resumes=request.half is not None,
                is_kept=is_kept,
            )
        )

    def end(self, attempt: Attempt, now: float, usage: Finished | None = None, *, is_refused: bool = False) -> None:
        """Count an attempt out, however it ended; one that was refused was not worked on, so nobody bills it."""
        del self.attempts[attempt.attempt_id]
        if attempt.share is not None:
            self.queue.fairness.settle(attempt.share, now - attempt.started_at - attempt.expected_s)
        if attempt.charge is not None:
            settle(attempt, usage, is_refused, now)
        if self.limiter.is_used:
            reservation = self.requests[attempt.request_id].reservation
            if reservation is not None:
                reservation.used_tokens = max(reservation.used_tokens, sum(used(attempt, usage, is_refused)))
        target = attempt.target
        target.ended(attempt)
        if attempt.first_token_at is None:
            self.silent.drop(attempt)
        if not target.running:
            self.roster.emptied(target)

    def refuse(
        self,
        request: Request,
        reason: RejectReason,
        out: list[AnyCommand],
        now: float,
        retry_after_s: float | None = None,
        limit: LimitHit | None = None,
        missing: tuple[Missing, ...] = (),
    ) -> None:
        """Give a request an error as its final answer."""
        if request.half is not None:
            self.give_up(request, RescueRefusal.NO_TARGET, out, now)
            return
        self.queue.leave(request)
        self.close(request, now)
        outcome = Outcome.FAILED if request.attempts else Outcome.EVICTED if request.ticket else Outcome.REJECTED
        out.append(
            Reject(
                request_id=request.request_id,
                reason=reason,
                outcome=outcome,
                retry_after_s=retry_after_s,
                failure=request.last_failure,
                status=request.last_status,
                limit=limit,
                missing=missing,
            )
        )

    def give_up(
        self, request: Request, refusal: RescueRefusal, out: list[AnyCommand], now: float, attempt_id: int | None = None
    ) -> None:
        """End a request whose client has half an answer that nobody goes on with."""
        self.queue.leave(request)
        self.close(request, now)
        out.append(
            Complete(
                request_id=request.request_id,
                outcome=Outcome.BROKEN,
                attempt_id=attempt_id,
                failure=request.last_failure,
                status=request.last_status,
                unrescued=refusal,
            )
        )

    def close(self, request: Request, now: float) -> None:
        """Forget a request that has its final answer, and give back what it reserved and did not use."""
        del self.requests[request.request_id]
        if request.reservation is not None:
            request.reservation.settle(now)

    def ring(self, out: list[AnyCommand], now: float) -> None:
        """Look at every waiting request whose alarm has gone off."""
        while (request := self.queue.alarms.pop_due(now)) is not None:
            lane = request.lane
            assert lane is not None  # an alarm without a lane is void
            self._reconsider(request, lane.behind(request), out, now)

    def _reconsider(
        self, request: Request, behind: int, out: list[AnyCommand], now: float, *, has_freed: bool = False
    ) -> bool:
        """Decide again for a request that waits; return whether it left the queue.

        ``has_freed`` where a slot has just become free: then it may well start at home.
        """
        self.queue.release(request)
        if now >= request.deadline_at:
            seen = Survey(request, self.roster.targets, behind, now).all()
            self.refuse(request, RejectReason.DEADLINE_EVICTED, out, now, self._retry_after_s(seen, now))
            return True
        if has_freed and request.backoff is None:
            start = start_at_home(request, self.roster.targets, now)
            if start is not None:
                self.start(request, start, None, out, now)
                return True
        decision, seen = self._decide(request, behind, now)
        if isinstance(decision, Wait):
            self.queue.hold(request, decision)
            return False
        self._act(request, decision, seen, out, now)
        return True

    def pump(self, out: list[AnyCommand], now: float, freed: TargetState | None = None) -> None:
        """Look at the head of each lane, first in turn first, until every head has to wait."""
        if not self.queue.live:
            return
        blocked: set[LaneKey] = set()
        while (lane := self.queue.first(blocked)) is not None:
            head = lane.first()
            assert head is not None
            has_freed = freed is not None and freed.has_slot(now)
            if not self._reconsider(head, lane.live - 1, out, now, has_freed=has_freed):
                blocked.add(lane.key)
        if blocked and freed is not None and freed.slots is not None:
            self._offer(freed, out, now)

    def _offer(self, freed: TargetState, out: list[AnyCommand], now: float) -> None:
        """Offer a slot that no head took to those behind: a head may not fit there, or wait out its back-off."""
        for lane in self.queue.lanes.values():
            if not freed.has_slot(now):
                return
            waiting = lane.waiting()
            for turn, request in enumerate(waiting[1 : _OFFERS + 1], start=2):
                if freed.has_slot(now):
                    self._reconsider(request, len(waiting) - turn, out, now)

    def reconsider_all(self, out: list[AnyCommand], now: float) -> None:
        """Look at every waiting request: what a target's change means may differ for each."""
        for lane in list(self.queue.lanes.values()):
            waiting = lane.waiting()
            for turn, request in enumerate(waiting, start=1):
                if request.holding is None or request.holding.health is not Health.READY:
                    self._reconsider(request, len(waiting) - turn, out, now)
        self.pump(out, now)


def _missing(request: Request, seen: list[Option]) -> tuple[Missing, ...]:
    """Say what the request needs and the targets that might have run it do not do."""
    missing: list[Missing] = []
    for option in seen:
        if option.refusal is Refusal.LACKS_FEATURE:
            spec = option.target.spec
            why = {lack.feature: lack.why for lack in spec.lacks}
            for feature in features_of(request.needs & option.target.lacks):
                words = why.get(feature) or NATIVE_WHY[feature]
                missing.append(Missing(target_id=spec.target_id, feature=feature, why=words))
    return tuple(missing)
