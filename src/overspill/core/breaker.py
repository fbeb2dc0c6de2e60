"""The breaker of one target: what its failures say about it, and when it may be tried again.

Only evidence counts. A client's own 4xx and a client that left say nothing; a 429 is a pause that the target asked for;
a bad key, an empty account and a missing model are states of their own, because time alone does not heal them. What is
left is a failure rate over a window with a minimum count. After the rest, one probe at a time is let through.

States::

    CLOSED ──failure rate──▶ OPEN ──open_s passed──▶ HALF_OPEN ──probe ok──▶ CLOSED
                              ▲                          │
                              └───────probe failed───────┘  (open_s doubles, up to open_max_s)
    any ──429──▶ COOLING_DOWN ──time passed──▶ CLOSED
    any ──401/402/404──▶ BAD_KEY / NO_MONEY / NO_MODEL ──time passed──▶ HALF_OPEN
"""

from __future__ import annotations

import enum
from collections import deque

from overspill.core.types import BreakerPolicy, FailureKind, Refusal


class BreakerState(enum.StrEnum):
    """See the module's diagram."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    COOLING_DOWN = "cooling_down"
    BAD_KEY = "bad_key"
    NO_MONEY = "no_money"
    NO_MODEL = "no_model"


_REFUSAL = {
    BreakerState.OPEN: Refusal.BREAKER_OPEN,
    BreakerState.HALF_OPEN: Refusal.BREAKER_OPEN,
    BreakerState.COOLING_DOWN: Refusal.COOLING_DOWN,
    BreakerState.BAD_KEY: Refusal.BAD_KEY,
    BreakerState.NO_MONEY: Refusal.NO_MONEY,
    BreakerState.NO_MODEL: Refusal.NO_MODEL,
}


CLOSED = BreakerState.CLOSED  # looked up at every decision; in Python 3.11 a member of an enum costs 90 ns
_TAKES_NEWS = frozenset({BreakerState.CLOSED, BreakerState.COOLING_DOWN})


class Breaker:
    """One target's breaker. Not a value: it changes in place, and only the controller holds it."""

    __slots__ = ("_open_s", "_outcomes", "_probe", "policy", "retry_at", "state")

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=256)
        self._open_s = policy.open_s
        self._probe: int | None = None
        self.state = BreakerState.CLOSED
        self.retry_at = 0.0
        """When the state may change by itself; meaningless while closed."""

    def refusal(self, now: float) -> Refusal | None:
        """Say why the target may not be tried now, or ``None`` if it may."""
        if self.state is CLOSED:
            return None
        if now >= self.retry_at and self._probe is None:
            return None
        return _REFUSAL[self.state]

    def retry_at_s(self) -> float | None:
        """Return the time at which a refused target may be tried, or ``None`` if an event will say (a probe runs)."""
        return None if self._probe is not None else self.retry_at

    def started(self, attempt_id: int, now: float) -> None:
        """Note that an attempt starts; in any state but closed it is the probe."""
        if self.state is CLOSED:
            return
        if self.state is BreakerState.COOLING_DOWN:
            self.state = CLOSED
            return
        self.state = BreakerState.HALF_OPEN
        self._probe = attempt_id
        self.retry_at = now

    def succeeded(self, attempt_id: int, now: float) -> None:
        """Note a whole answer. Only the probe closes a breaker that is not closed."""
        if self.state is CLOSED:
            self._outcomes.append((now, True))
        elif attempt_id == self._probe:
            self._close()

    def no_evidence(self, attempt_id: int) -> None:
        """Note that an attempt ended without saying anything about the target; a probe's place is free again."""
        if attempt_id == self._probe:
            self._probe = None

    def failed(self, attempt_id: int, kind: FailureKind, retry_after_s: float | None, now: float) -> None:
        """Note a failed attempt. What began before the breaker left ``CLOSED`` cannot change its state any more."""
        policy = self.policy
        was_probe = attempt_id == self._probe
        if was_probe:
            self._probe = None
        elif self.state not in _TAKES_NEWS:
            return
        match kind:
            case FailureKind.BAD_REQUEST | FailureKind.MODERATION | FailureKind.CONTEXT_TOO_LONG:
                return
            case FailureKind.RATE_LIMITED:
                pause_s = policy.cooldown_s if retry_after_s is None else retry_after_s
                self._rest(BreakerState.COOLING_DOWN, pause_s, now)
            case FailureKind.BAD_KEY:
                self._rest(BreakerState.BAD_KEY, policy.bad_key_s, now)
            case FailureKind.NO_MONEY:
                self._rest(BreakerState.NO_MONEY, policy.no_money_s, now)
            case FailureKind.NO_MODEL:
                self._rest(BreakerState.NO_MODEL, policy.no_model_s, now)
            case _:
                self._count_failure(was_probe, retry_after_s, now)

    def _count_failure(self, was_probe: bool, retry_after_s: float | None, now: float) -> None:
        if was_probe:
            self._open_s = min(self._open_s * 2, self.policy.open_max_s)
        else:
            self._outcomes.append((now, False))
            if not self._rate_is_too_high(now):
                return
        self._rest(BreakerState.OPEN, max(self._open_s, retry_after_s or 0.0), now)

    def _rate_is_too_high(self, now: float) -> bool:
        oldest = now - self.policy.window_s
        outcomes = self._outcomes
        while outcomes[0][0] < oldest:
            outcomes.popleft()
        if len(outcomes) < self.policy.min_count:
            return False
        failures = sum(1 for _, ok in outcomes if not ok)
        return failures >= self.policy.failure_rate * len(outcomes)

    def _rest(self, state: BreakerState, pause_s: float, now: float) -> None:
        self.state = state
        # Never sooner than an earlier failure said: attempts in flight end one after the other.
        self.retry_at = max(self.retry_at, now + max(pause_s, 0.001))

    def _close(self) -> None:
        self.state = CLOSED
        self.retry_at = 0.0
        self._probe = None
        self._open_s = self.policy.open_s
        self._outcomes.clear()

    def reset(self) -> None:
        """Forget everything: the target is a new process."""
        self._close()
