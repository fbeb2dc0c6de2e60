"""Slots that follow what a host accepts: additive increase, multiplicative decrease (AIMD), as TCP does it.

For hosts that publish no limit but move it with their load and with how evenly one calls (Together, Fireworks). The
window grows by one slot in the time that a full window of requests takes to succeed, and only while it is used; a host
that says "busy" halves it, once for all the requests that were in flight when it said so.
"""

from __future__ import annotations

FIRST_SLOTS = 8
"""Requests in flight that a host is trusted with before it has answered any."""
_MOST_SLOTS = 4096
_USED_SHARE = 0.5
"""The window is in use while this share of it is in flight: a quiet hour proves nothing about a full one."""


class AdaptiveSlots:
    """The window of one target."""

    __slots__ = ("_cut_at", "_most", "_window")

    def __init__(self, most: int | None) -> None:
        self._most = _MOST_SLOTS if most is None else most
        self._window = float(min(FIRST_SLOTS, self._most))
        self._cut_at = -1.0

    @property
    def slots(self) -> int:
        """Requests that may be in flight now."""
        return int(self._window)

    def set_most(self, most: int | None) -> None:
        """Take a new upper bound; the window stays where it is, within it."""
        self._most = _MOST_SLOTS if most is None else most
        self._window = min(self._window, float(self._most))

    def succeeded(self, in_flight: int) -> None:
        """Learn that a request ended well while this many, itself included, were in flight."""
        if in_flight >= _USED_SHARE * self._window:
            self._window = min(self._window + 1.0 / self._window, float(self._most))

    def pushed_back(self, started_at: float, now: float) -> None:
        """Learn that the host refused, as too busy, a request that was sent at ``started_at``.

        One sent before the last cut says what that cut has already answered.
        """
        if started_at > self._cut_at:
            self._window = max(1.0, self._window / 2.0)
            self._cut_at = now
