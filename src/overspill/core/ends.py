"""When the requests that run on a target are expected to end: what says how long the next slot takes to free.

A decision asks this of every full target, and asks anew for each request that waits; a list of 64 took 20 µs to make
and sort each time, and under overload nearly half of a simulation went into it. So two orders are kept: those on time
by their expected end, the late ones by what they are given. Time only makes a request late once, and what a late one is
given does not change, so the answer is found by halving in the two.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush
from operator import itemgetter

_OVERDUE_SHARE = 0.25
"""A request near or past its expected end is given this part of its expectation, since answers have long tails."""
_ROUNDING_S = 1e-6
"""Times are compared as they always were, ``end - now < floor``; the heap's keys may differ from that by a rounding."""
_COMPACT_FROM = 64
_WHOLE = itemgetter(2)


class ExpectedEnds:
    """The expected ends of some attempts, in order. ``now`` never goes back from one question to the next."""

    __slots__ = ("_floors", "_late", "_late_at", "_mean_s", "_on_time", "_wholes")

    def __init__(self) -> None:
        self._on_time: list[tuple[float, int, float]] = []
        """Expected end, attempt, expected seconds."""
        self._late: list[tuple[float, int, float]] = []
        """Those that were late when somebody last asked, likewise."""
        self._floors: list[float] = []
        """What each of the late ones is given, in order."""
        self._late_at: list[tuple[float, tuple[float, int, float]]] = []
        """Heap of those on time by when they are late; some are gone."""
        self._wholes: list[float] = []
        """The expected seconds of those on time, in the same order."""
        self._mean_s = -1.0
        """Of all expected seconds; -1 until it is asked for."""

    def __len__(self) -> int:
        return len(self._on_time) + len(self._late)

    def add(self, end_at: float, attempt_id: int, expected_s: float) -> None:
        """Take an attempt in."""
        entry = (end_at, attempt_id, expected_s)
        place = bisect_left(self._on_time, entry)
        self._on_time.insert(place, entry)
        self._wholes.insert(place, expected_s)
        heap = self._late_at
        heappush(heap, (end_at - _OVERDUE_SHARE * expected_s, entry))
        if len(heap) > _COMPACT_FROM and len(heap) > 2 * len(self._on_time):
            self._late_at = [
                (end - _OVERDUE_SHARE * whole, (end, number, whole)) for end, number, whole in self._on_time
            ]
            heapify(self._late_at)
        self._mean_s = -1.0

    def remove(self, end_at: float, attempt_id: int, expected_s: float) -> None:
        """Let one go that is in."""
        entry = (end_at, attempt_id, expected_s)
        on_time = self._on_time
        place = bisect_left(on_time, entry)
        if place < len(on_time) and on_time[place] == entry:
            del on_time[place]
            del self._wholes[place]
        else:
            del self._late[bisect_left(self._late, entry)]
            del self._floors[bisect_left(self._floors, _OVERDUE_SHARE * expected_s)]
        self._mean_s = -1.0

    @property
    def mean_s(self) -> float:
        """Mean seconds that they were expected to take; there is at least one."""
        if self._mean_s < 0.0:
            # In the order of their ends, late or not: the last digit of a sum depends on it, and decisions on that.
            late = self._late
            wholes = map(_WHOLE, sorted(late + self._on_time)) if late else self._wholes
            self._mean_s = sum(wholes, 0.0) / len(self)
        return self._mean_s

    def left_s(self, rank: int, now: float) -> float:
        """Return after how many seconds the ``rank``-th of them is expected to end, the next one being the 0th."""
        heap = self._late_at
        if heap and heap[0][0] <= now + _ROUNDING_S:
            self._turn_late(now)
        floors, on_time = self._floors, self._on_time
        if not floors:
            return on_time[rank][0] - now
        # The smallest count of late ones before it, so that no late one after it is sooner: found by halving.
        late = rank - len(on_time) if rank > len(on_time) else 0
        most = rank if rank < len(floors) else len(floors)
        while late < most:
            middle = (late + most) // 2
            if floors[middle] < on_time[rank - middle - 1][0] - now:
                late = middle + 1
            else:
                most = middle
        punctual = rank - late
        if late == len(floors):
            return on_time[punctual][0] - now
        floor_s = floors[late]
        if punctual == len(on_time):
            return floor_s
        left_s = on_time[punctual][0] - now
        return left_s if left_s < floor_s else floor_s

    def _turn_late(self, now: float) -> None:
        """Move those that are late by now to the late ones."""
        heap, on_time = self._late_at, self._on_time
        not_yet: list[tuple[float, tuple[float, int, float]]] = []
        while heap and heap[0][0] <= now + _ROUNDING_S:
            key, entry = heappop(heap)
            place = bisect_left(on_time, entry)
            if place == len(on_time) or on_time[place] != entry:
                continue  # it has ended
            end_at, _, expected_s = entry
            floor_s = _OVERDUE_SHARE * expected_s
            if end_at - now < floor_s:
                del on_time[place]
                del self._wholes[place]
                insort(self._late, entry)
                insort(self._floors, floor_s)
            else:
                not_yet.append((key, entry))
        for item in not_yet:
            heappush(heap, item)
