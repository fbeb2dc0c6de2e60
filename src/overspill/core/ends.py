"""When the requests that run on a target are expected to end: what says how long the next slot takes to free.

A decision asks this of every full target, and asks anew for each request that waits; a list of 64 took 20 µs to make
and sort each time. So the order is kept, and only as much of it is looked at as the answer needs.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heappush

_OVERDUE_SHARE = 0.25
"""A request near or past its expected end is given this part of its expectation, since answers have long tails."""


class ExpectedEnds:
    """The expected ends of some attempts, in order."""

    __slots__ = ("_ends", "_total_s")

    def __init__(self) -> None:
        self._ends: list[tuple[float, int, float]] = []
        """Expected end, attempt, expected seconds."""
        self._total_s = -1.0
        """Sum of the expected seconds; -1 until it is asked for."""

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, end_at: float, attempt_id: int, expected_s: float) -> None:
        """Take an attempt in."""
        insort(self._ends, (end_at, attempt_id, expected_s))
        self._total_s = -1.0

    def remove(self, end_at: float, attempt_id: int, expected_s: float) -> None:
        """Let one go that is in."""
        del self._ends[bisect_left(self._ends, (end_at, attempt_id, expected_s))]
        self._total_s = -1.0

    @property
    def mean_s(self) -> float:
        """Mean seconds that they were expected to take; there is at least one."""
        if self._total_s < 0.0:
            self._total_s = sum([expected_s for _, _, expected_s in self._ends], 0.0)
        return self._total_s / len(self._ends)

    def left_s(self, rank: int, now: float) -> float:
        """Return after how many seconds the ``rank``-th of them is expected to end, the next one being the 0th."""
        late: list[float] = []
        """A heap of what those are given that are near or past their end: later than that, so others may come first."""
        for end_at, _, expected_s in self._ends:
            left_s = end_at - now
            while late and late[0] <= left_s:
                if rank == 0:
                    return late[0]
                heappop(late)
                rank -= 1
            floor_s = _OVERDUE_SHARE * expected_s
            if left_s < floor_s:
                heappush(late, floor_s)
            elif rank == 0:
                return left_s
            else:
                rank -= 1
        late.sort()
        return late[rank]
