"""The meters under every limit: a rate per minute, slots, and money in a window of the calendar.

All are reserve-then-settle: an estimate is taken before the work and corrected by what the work used.
"""

from __future__ import annotations

from overspill.core.estimate import Mean
from overspill.core.types import Budget, Limits
from overspill.core.windows import bounds

_NEVER = float("inf")
_USUAL_HOLD_S = 10.0
"""How long a request is believed to keep its place until one has been seen."""


class Rate:
    """A token bucket as one number: the time at which it is full again (GCRA, the generic cell rate algorithm).

    What is asked for and is more than the bucket can hold is let through when the bucket is full, and leaves it in
    debt; so nothing is refused for ever. Over any stretch of time no more than the burst, what flows in meanwhile and
    one such debt is let through.
    """

    __slots__ = ("_full_at", "burst", "per_minute", "per_s")

    def __init__(self, per_minute: float, burst_s: float) -> None:
        self._full_at = 0.0
        self.respecify(per_minute, burst_s)

    def respecify(self, per_minute: float, burst_s: float) -> None:
        """Take a new rate; the time at which it is full again stays."""
        self.per_minute = per_minute
        self.per_s = per_minute / 60.0
        self.burst = max(1.0, self.per_s * burst_s)

    def ready_at(self, amount: float, ahead: float = 0.0) -> float:
        """Return from when ``amount`` may be taken after ``ahead`` has been; a time that has passed means now."""
        return self._full_at - (self.burst - min(amount, self.burst) - ahead) / self.per_s

    def take(self, amount: float, now: float) -> None:
        """Take ``amount`` out, whether or not it is there."""
        self._full_at = max(self._full_at, now) + amount / self.per_s

    def settle(self, reserved: float, used: float, now: float) -> None:
        """Correct what was taken: give the rest back, or take what it was too little."""
        if used > reserved:
            self.take(used - reserved, now)
        else:
            self._full_at -= (reserved - used) / self.per_s

    def left(self, now: float) -> float:
        """Return what may be taken now."""
        return max(0.0, self.burst - max(0.0, self._full_at - now) * self.per_s)


class Slots:
    """Places for requests at once."""

    __slots__ = ("_hold", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._hold = Mean(_USUAL_HOLD_S)

    def ready_at(self, now: float) -> float:
        """Return when a place is expected to be free: now, or when the next of those in use should end."""
        if self.used < self.limit:
            return now
        return now + self._hold.value / self.used

    def leave(self, held_s: float) -> None:
        """Free a place that was kept this long."""
        self.used -= 1
        self._hold.observe(held_s)


class Clock:
    """What the wall says, from what the controller's own clock says; the difference is told by an event."""

    __slots__ = ("_ahead_s", "is_set")

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self.is_set = False
        """False until it has been told the time."""

    def set(self, unix_s: float, now: float) -> None:
        """Learn the time of day."""
        self._ahead_s = unix_s - now
        self.is_set = True

    def unix_s(self, now: float) -> float:
        """Return the time of day in Unix seconds."""
        return now + self._ahead_s


class Purse:
    """What one budget has left in its present window. A clock that is set back never brings spent money back."""

    __slots__ = ("_clock", "_end", "_reserved_usd", "_spent_usd", "budget")

    def __init__(self, budget: Budget, clock: Clock) -> None:
        self.budget = budget
        self._clock = clock
        self._end = -_NEVER
        self._spent_usd = 0.0
        self._reserved_usd = 0.0

    def left_usd(self, now: float) -> float:
        """Return what may still be spent in this window; below zero where a request cost more than expected."""
        self._turn(now)
        return self.budget.usd - self._spent_usd - self._reserved_usd

    def ready_at(self, usd: float, now: float) -> float:
        """Return when ``usd`` may be spent: now, when the next window begins, or never."""
        if usd <= 0.0 or usd <= self.left_usd(now):
            return now
        return _NEVER if usd > self.budget.usd else now + self._end - self._clock.unix_s(now)

    def reserve(self, usd: float) -> None:
        """Set an expected price aside."""
        self._reserved_usd += usd

    def settle(self, reserved_usd: float, spent_usd: float, now: float) -> None:
        """Replace a reservation by what was spent; it counts in the window in which it ends, as on a bill."""
        self._turn(now)
        self._reserved_usd -= reserved_usd
        self._spent_usd += spent_usd

    def spent_before(self, usd: float, now: float) -> None:
        """Learn what had been spent in this window before this controller was born."""
        self._turn(now)
        self._spent_usd += usd

    def _turn(self, now: float) -> None:
        unix_s = self._clock.unix_s(now)
        if unix_s < self._end:
            return
        self._end = bounds(self.budget.window, unix_s)[1]
        self._spent_usd = 0.0


class Meter:
    """All limits of one holder: a key, a team, a model or a target."""

    __slots__ = ("limits", "purses", "requests", "slots", "tokens")

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self.requests = _rate(limits.requests_per_minute, limits.burst_s)
        self.tokens = _rate(limits.tokens_per_minute, limits.burst_s)
        self.slots = None if limits.concurrency is None else Slots(limits.concurrency)
        self.purses = tuple(Purse(budget, clock) for budget in limits.budgets)

    def respecify(self, limits: Limits, clock: Clock) -> None:
        """Take over changed limits and keep what has been used."""
        before, after = self, Meter(limits, clock)
        self.requests = _kept(before.requests, after.requests, limits.burst_s)
        self.tokens = _kept(before.tokens, after.tokens, limits.burst_s)
        if before.slots is None or after.slots is None:
            self.slots = after.slots
        else:
            before.slots.limit = after.slots.limit
        known = {purse.budget.window: purse for purse in before.purses}
        self.purses = tuple(_kept_purse(known.get(purse.budget.window), purse) for purse in after.purses)
        self.limits = limits


def _rate(per_minute: float | None, burst_s: float) -> Rate | None:
    return None if per_minute is None else Rate(per_minute, burst_s)


def _kept(before: Rate | None, after: Rate | None, burst_s: float) -> Rate | None:
    if before is None or after is None:
        return after
    before.respecify(after.per_minute, burst_s)
    return before


def _kept_purse(before: Purse | None, after: Purse) -> Purse:
    if before is None:
        return after
    before.budget = after.budget
    return before
