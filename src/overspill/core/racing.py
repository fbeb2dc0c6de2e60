"""A second attempt beside one that has not spoken: when it starts, which one wins, and what the other's end means.

A target that has queued a request says so with nothing: comments, blank lines, or silence. When the request's first
token is due before it could come from elsewhere, another target is asked as well; both stay open, the first that speaks
has the request, and the other is cancelled. There are never more than two: if the second is as silent as the first, the
first gives its place to a third target.
"""

from __future__ import annotations

from overspill.core.commands import AnyCommand, CancelAttempt
from overspill.core.dispatch import Dispatcher
from overspill.core.options import Option, Start
from overspill.core.queueing import Request
from overspill.core.routing import Survey, best_of
from overspill.core.target import Attempt, TargetState
from overspill.core.types import FailureKind, Spill

_MARGIN_S = 0.02
"""A rival starts this much before its last chance to be in time: timers ring late, and sums round."""
_AGAIN_S = 0.1
"""A silent attempt that nothing could be done about is looked at again after this, and more seldom as it grows old."""
_AGAIN_SHARE = 0.125
_SLOW_CALL = 2.0
"""Times the TTFT that was promised or predicted."""


class Races:
    """The operations on requests with a silent attempt. Each appends its commands to ``out``."""

    __slots__ = ("_dispatch",)

    def __init__(self, dispatch: Dispatcher) -> None:
        self._dispatch = dispatch

    def win(self, request: Request, attempt: Attempt, out: list[AnyCommand], now: float) -> None:
        """Give a request that has two attempts to one of them alone: it has spoken, or it is whole."""
        other = request.attempt if attempt is request.rival else request.rival
        assert other is not None
        self._give_up(request, other, out, now)
        self._dispatch.pump(out, now, other.target)

    def lost(self, other: Attempt, now: float) -> None:
        """Look after the one that is left of two."""
        if other in self._dispatch.silent:
            self._dispatch.silent.set(other, look_again_at(other, now))

    def queued(self, attempt_id: int, out: list[AnyCommand], now: float) -> None:
        """Take in that an attempt waits in its target's own queue.

        Of an answer that comes in one piece, silence says nothing; this does.
        """
        dispatch = self._dispatch
        attempt = dispatch.attempts.get(attempt_id)
        if attempt is None or attempt.first_token_at is not None:
            return
        attempt.target.queued(attempt)
        if dispatch.requests[attempt.request_id].route.pattern in dispatch.roster.routes.with_choice:
            if attempt not in dispatch.silent:
                dispatch.silent.add(attempt, now)
            self._look(attempt, out, now)

    def ring(self, out: list[AnyCommand], now: float) -> None:
        """Look at every silent attempt whose time has come."""
        for attempt in self._dispatch.silent.due(now):  # a look may end an older attempt, and never a younger one
            self._look(attempt, out, now)

    def _look(self, attempt: Attempt, out: list[AnyCommand], now: float) -> None:
        """Start another attempt beside a silent one, or say when to look again."""
        dispatch = self._dispatch
        request = dispatch.requests[attempt.request_id]
        older = None if attempt is request.attempt else request.attempt
        if older is None and request.rival is not None:
            return  # the younger one decides
        option = rival_of(request, dispatch.roster.targets, attempt, older, now)
        at = now if option is None else starts_at(request, option, attempt, now)
        if at > now:
            dispatch.silent.set(attempt, at)
        elif option is None or not dispatch.budget.withdraw(now):
            dispatch.silent.set(attempt, look_again_at(attempt, now))
        else:
            if older is not None:
                self._give_up(request, older, out, now)
            spill = late_reason(request, now) if option.tier > 0 else None
            start = Start(option.target, option.model, option.ttft_s, option.tier)
            dispatch.start(request, start, spill, out, now)
            if older is not None:  # only now: what waits must not take the slot that was looked at
                dispatch.pump(out, now, older.target)

    def _give_up(self, request: Request, attempt: Attempt, out: list[AnyCommand], now: float) -> None:
        """Cancel one of two attempts; the other is the request's only one then. Its slot is not given on yet."""
        request.attempt = request.rival if attempt is request.attempt else request.attempt
        request.rival = None
        target = attempt.target
        if is_slow_call(request, attempt, now):
            target.failed(attempt, FailureKind.TIMEOUT, None, now)
        else:
            target.said_nothing(attempt)
        target.gave_up(attempt, now)
        self._dispatch.end(attempt, now)
        out.append(CancelAttempt(attempt_id=attempt.attempt_id))


def look_again_at(attempt: Attempt, now: float) -> float:
    """Return when to look again at an attempt that is still silent and for which nothing could be done."""
    return now + max(_AGAIN_S, _AGAIN_SHARE * (now - attempt.started_at))


def rival_of(
    request: Request, targets: dict[str, TargetState], silent: Attempt, other: Attempt | None, now: float
) -> Option | None:
    """Return the target to ask as well; ``None`` if there is no other with room."""
    taken = (silent.target,) if other is None else (silent.target, other.target)
    seen = Survey(request, targets, 0, now).all()
    free = [o for o in seen if o.refusal is None and o.target not in taken]
    return best_of(request, free, now) if free else None


def starts_at(request: Request, option: Option, attempt: Attempt, now: float) -> float:
    """Return when to start ``option`` beside ``attempt``: at the last moment at which it is predicted to be in time.

    One that never could have been in time is not started before the first token is late, and what a hedge waits for is
    another matter.
    """
    hedge_s = request.route.hedge_after_s
    if hedge_s is not None and now >= attempt.started_at + hedge_s:
        return now
    at = request.slo_at - option.ttft_s - _MARGIN_S
    return max(now, at if at >= attempt.started_at else request.slo_at)


def is_slow_call(request: Request, attempt: Attempt, now: float) -> bool:
    """Tell whether an attempt that is given up without a token is evidence against its target."""
    expected_s = max(request.route.slo.ttft_s, attempt.predicted_ttft_s)
    return attempt.is_queued or now - attempt.started_at >= _SLOW_CALL * expected_s


def late_reason(request: Request, now: float) -> Spill:
    """Say why a second target is asked."""
    return Spill.HEDGED if request.route.hedge_after_s is not None and now < request.slo_at else Spill.SILENT
