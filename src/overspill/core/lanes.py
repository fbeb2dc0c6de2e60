"""Requests that wait: one lane per (route, placement constraint); within a lane by class, then fair between keys.

One lane for all would let a request that waits for a local slot block one that may run anywhere. In a lane the better
priority class goes first; within a class the key whose turn it is (``fairness``); within a key those that can still
keep their SLO, by deadline, and then the others: under overload an order by age alone would serve only requests that
are too late already. Heaps with lazy deletion: to enter, to leave and to find the first cost O(log n).
"""

from __future__ import annotations

import heapq

from overspill.core.fairness import Fairness, Share, step
from overspill.core.queueing import Request

LaneKey = tuple[str, bool]
"""Route pattern, and whether only local targets are permitted."""
Turn = tuple[int, float, bool, float, int]
"""Where a request stands, to be compared with those of other lanes: class, its key's tag, late, deadline, ticket."""
Entry = tuple[float, int, Request]
"""(deadline, ticket, request): compared in that order, and tickets differ."""
_FIRST = (0.0, 0)
_LAST_TICKET = 1 << 62
_COMPACT_FROM = 64
"""Heaps shorter than this are not worth cleaning of stale entries."""


class _Line:
    """The requests of a flow that are late, or those that are not: a heap by deadline."""

    __slots__ = ("_heap", "_is_late", "_last", "live")

    def __init__(self, is_late: bool) -> None:
        self._is_late = is_late
        self._heap: list[Entry] = []
        self._last = _FIRST
        """No request here comes later than this; it may itself be gone."""
        self.live = 0

    def add(self, request: Request) -> None:
        self._last = max(self._last, (request.deadline_at, request.ticket))
        heapq.heappush(self._heap, (request.deadline_at, request.ticket, request))
        self.live += 1

    def drop(self) -> None:
        """Count a request out that is no longer live here, and clean up once stale entries prevail."""
        self.live -= 1
        if self.live == 0:
            self._heap.clear()
            self._last = _FIRST
        elif len(self._heap) > max(_COMPACT_FROM, 4 * self.live):
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)

    def first(self) -> Request:
        """Return the first in turn; there is one."""
        heap = self._heap
        while not self._is_live(heap[0]):
            heapq.heappop(heap)
        return heap[0][2]

    def last(self) -> Request:
        """Return the last in turn; there is one. It takes a look at each, and is asked for when a lane is full."""
        return max(entry for entry in self._heap if self._is_live(entry))[2]

    def ahead_of(self, deadline_at: float, ticket: int) -> int:
        """Count those that come before this place."""
        place = (deadline_at, ticket)
        if place > self._last:  # so it is for most: those of one route come in the order of their deadlines
            return self.live
        return sum(1 for entry in self._heap if entry[:2] < place and self._is_live(entry))

    def in_turn(self) -> list[Request]:
        return [entry[2] for entry in sorted(self._heap, key=lambda e: e[:2]) if self._is_live(entry)]

    def _is_live(self, entry: Entry) -> bool:
        request = entry[2]
        return request.lane is not None and request.ticket == entry[1] and request.is_late == self._is_late


class _Flow:
    """The requests of one key in one class of one lane: those that can keep their SLO, and then the others."""

    __slots__ = ("_late", "_on_time", "is_queued", "live", "share")

    def __init__(self, share: Share) -> None:
        self.share = share
        self._on_time = _Line(False)
        self._late = _Line(True)
        self.is_queued = False
        """True while the class has an entry for it, be it stale."""
        self.live = 0

    def add(self, request: Request) -> None:
        self.live += 1
        (self._late if request.is_late else self._on_time).add(request)

    def drop(self, request: Request) -> None:
        self.live -= 1
        (self._late if request.is_late else self._on_time).drop()

    def turn_late(self, request: Request) -> None:
        request.is_late = True
        self._on_time.drop()
        self._late.add(request)

    def first(self) -> Request:
        return (self._on_time if self._on_time.live else self._late).first()

    def last(self) -> Request:
        return (self._late if self._late.live else self._on_time).last()

    def ahead_of(self, request: Request, ticket: int) -> int:
        if request.is_late:
            return self._on_time.live + self._late.ahead_of(request.deadline_at, ticket)
        return self._on_time.ahead_of(request.deadline_at, ticket)

    def in_turn(self) -> list[Request]:
        return self._on_time.in_turn() + self._late.in_turn()


class _Class:
    """The requests of one priority class in one lane."""

    __slots__ = ("_order", "flows", "live", "waiting")

    def __init__(self) -> None:
        self.flows: dict[str, _Flow] = {}
        """By key, also of keys of which nothing waits any more: a thousand clients in a day."""
        self.waiting: dict[str, _Flow] = {}
        """Those of them that have requests."""
        self._order: list[tuple[float, int, _Flow]] = []
        """Heap by tag as it was when pushed. Tags only grow, so an entry that comes up too early is put right then."""
        self.live = 0

    def flow_of(self, share: Share) -> _Flow:
        flow = self.flows.get(share.key_id)
        if flow is None:
            flow = self.flows[share.key_id] = _Flow(share)
        return flow

    def queue(self, flow: _Flow) -> None:
        if not flow.is_queued:
            flow.is_queued = True
            heapq.heappush(self._order, (flow.share.tag, flow.share.number, flow))

    def first(self) -> _Flow:
        """Return the flow whose turn it is; there is one."""
        order = self._order
        while True:
            tag, number, flow = order[0]
            if not flow.live:
                heapq.heappop(order)
                flow.is_queued = False
            elif tag != flow.share.tag:
                heapq.heapreplace(order, (flow.share.tag, number, flow))
            else:
                return flow


class Lane:
    """The queue of one (route, placement constraint)."""

    __slots__ = ("_classes", "_fairness", "key", "live")

    def __init__(self, key: LaneKey, fairness: Fairness) -> None:
        self.key = key
        self._fairness = fairness
        self._classes: dict[int, _Class] = {}
        self.live = 0
        """Requests that wait here."""

    def push(self, request: Request, ticket: int) -> None:
        """Add a request; ``ticket`` orders equals by arrival and is never used twice."""
        request.lane = self
        request.ticket = ticket
        share = self._fairness.joins(request.priority, request.key_id)
        group = self._classes.get(request.priority)
        if group is None:
            group = self._classes[request.priority] = _Class()
        flow = group.flow_of(share)
        flow.add(request)
        group.waiting[request.key_id] = flow
        group.live += 1
        self.live += 1
        group.queue(flow)

    def leave(self, request: Request) -> None:
        """Take a request out; its entry is dropped when it comes up, or with all others once stale ones prevail."""
        group = self._classes[request.priority]
        flow = group.flows[request.key_id]
        self._fairness.leaves(flow.share)
        request.lane = None
        request.alarm = 0
        group.live -= 1
        self.live -= 1
        if self.live:
            flow.drop(request)
            if not flow.live:
                del group.waiting[request.key_id]
        else:
            self._classes.clear()

    def turn_late(self, request: Request) -> None:
        """Put a request that waits here behind those of its key that can still keep their SLO."""
        self._classes[request.priority].flows[request.key_id].turn_late(request)

    def first(self) -> Request | None:
        """Return the request whose turn it is, or ``None``."""
        if not self.live:
            return None
        return self._first_class()[1].first().first()

    def turn(self) -> Turn:
        """Return where the first stands; there is one."""
        priority, group = self._first_class()
        flow = group.first()
        request = flow.first()
        return priority, flow.share.tag, request.is_late, request.deadline_at, request.ticket

    def _first_class(self) -> tuple[int, _Class]:
        priority = min([priority for priority, group in self._classes.items() if group.live])
        return priority, self._classes[priority]

    def behind(self, request: Request) -> int:
        """Predict how many of those that wait here come after ``request``, which need not wait here itself.

        Exact where only one key waits. Between keys it is what the tags say, each request of a key holding its slot for
        as long as that key's last one.
        """
        waits_here = request.lane is self
        ahead = 0
        for priority, group in self._classes.items():
            if priority < request.priority:
                ahead += group.live
            elif priority == request.priority:
                ahead += self._ahead_in(group, request, request.ticket if waits_here else _LAST_TICKET)
        return self.live - ahead - waits_here

    def _ahead_in(self, group: _Class, request: Request, ticket: int) -> int:
        own = group.waiting.get(request.key_id)
        ahead = own.ahead_of(request, ticket) if own is not None else 0
        if len(group.waiting) == (own is not None):
            return ahead
        tag, step_s, number = self._fairness.standing(request.priority, request.key_id)
        tag += ahead * step_s
        return ahead + sum([_served_before(flow, tag, number) for flow in group.waiting.values() if flow is not own])

    def waiting(self) -> list[Request]:
        """Return all that wait here, in the order in which their turn is predicted to come."""
        found: list[tuple[int, float, int, int, Request]] = []
        for priority, group in self._classes.items():
            for flow in group.flows.values():
                share = flow.share
                step_s = step(share)
                requests = enumerate(flow.in_turn())
                found += [(priority, share.tag + i * step_s, share.number, i, request) for i, request in requests]
        found.sort(key=lambda row: row[:4])
        return [row[4] for row in found]

    def gives_way(self, newcomer: Request) -> Request | None:
        """Return who leaves a full lane for a newcomer, or ``None`` if the newcomer may not stay.

        The last of the worst class; within a class the last of the key that has most waiting for its weight, so that
        nobody is crowded out by another key's backlog.
        """
        worst = max(priority for priority, group in self._classes.items() if group.live)
        if worst < newcomer.priority:
            return None
        flows = [flow for flow in self._classes[worst].flows.values() if flow.live]
        longest = max(flows, key=lambda flow: (flow.live / flow.share.weight, flow.share.number))
        if worst > newcomer.priority:
            return longest.last()
        own = self._classes[worst].flows.get(newcomer.key_id)
        own_length = ((own.live if own is not None else 0) + 1) / self._fairness.weight_of(newcomer.key_id)
        if longest is not own and longest.live / longest.share.weight > own_length:
            return longest.last()
        if own is None or not own.live:
            return None
        last = own.last()
        is_before = (newcomer.is_late, newcomer.deadline_at) < (last.is_late, last.deadline_at)
        return last if is_before else None


def _served_before(flow: _Flow, tag: float, number: int) -> int:
    """Count the requests of a flow that are predicted to be served before one with this tag."""
    gap = tag - flow.share.tag
    if gap < 0.0:
        return 0
    steps, rest = divmod(gap, step(flow.share))
    is_first_of_equals = rest == 0.0 and flow.share.number > number
    return min(flow.live, int(steps) + (not is_first_of_equals))
