"""Attempts that have not spoken yet, and when to look at them next."""

from __future__ import annotations

from overspill.core.queueing import Request
from overspill.core.target import Attempt, TargetState
from overspill.core.types import Surface

_FIRST_LOOK = 0.5
"""Of the time until the first token is due."""
_LEAST_SLACK_S = 0.01
"""Less is none: it would come to a look at this very moment."""
_NEVER = float("inf")


class Silent:
    """The attempts without a first token for which there may be another target."""

    __slots__ = ("_attempts", "_due_at")

    def __init__(self) -> None:
        self._attempts: dict[int, Attempt] = {}
        self._due_at = _NEVER

    def add(self, attempt: Attempt, due_at: float) -> None:
        """Look at ``attempt`` at ``due_at``, unless it has spoken or ended by then."""
        self._attempts[attempt.attempt_id] = attempt
        self.set(attempt, due_at)

    def set(self, attempt: Attempt, due_at: float) -> None:
        """Look at it at another time."""
        attempt.due_at = due_at
        if due_at < self._due_at:
            self._due_at = due_at

    def drop(self, attempt: Attempt) -> None:
        """Forget it: it has spoken, or it has ended."""
        self._attempts.pop(attempt.attempt_id, None)

    def next_at(self) -> float:
        """Return when to look next; infinity if never. It may be sooner: what was looked for may have spoken since."""
        return self._due_at if self._attempts else _NEVER

    def __contains__(self, attempt: Attempt) -> bool:
        return attempt.attempt_id in self._attempts

    def due(self, now: float) -> list[Attempt]:
        """Return those to look at now, oldest first; each must be given another time, or be dropped, before ``rest``.

        Their times are put off for ever meanwhile.
        """
        if now < self._due_at:
            return []
        found = [attempt for attempt in self._attempts.values() if attempt.due_at <= now]
        for attempt in found:
            attempt.due_at = _NEVER
        self._due_at = min([attempt.due_at for attempt in self._attempts.values()], default=_NEVER)
        return found


def speaks(request: Request, target: TargetState) -> bool:
    """Tell whether tokens of an answer can be seen coming; of one that comes in one piece, silence says nothing."""
    return request.surface is not Surface.EMBEDDINGS and (request.is_stream or target.spec.streams_whole)


def first_look_at(request: Request, attempt: Attempt, now: float) -> float:
    """Return when to look whether an attempt that starts now has spoken."""
    hedge_s = request.route.hedge_after_s
    slack_s = request.slo_at - now
    if slack_s < _LEAST_SLACK_S:  # it started too late to be in time: give it what it was predicted to need
        slack_s = 2.0 * max(attempt.predicted_ttft_s, request.route.slo.ttft_s)
    wait_s = slack_s * _FIRST_LOOK
    return now + (wait_s if hedge_s is None or wait_s < hedge_s else hedge_s)
