"""Requests that wait: one lane per (route, placement constraint), each ordered by priority class and deadline.

One lane for all would let a request that waits for a local slot block one that may run anywhere. A lane is a heap with
lazy deletion; a request that left is skipped when it comes up.
"""

from __future__ import annotations

import heapq

from overspill.core.events import Arrived, Failed
from overspill.core.options import Wait
from overspill.core.target import Attempt, TargetState
from overspill.core.types import FailureKind, Route, Spill, Surface

Entry = tuple[int, float, int, "Request"]
"""(priority, deadline, ticket, request): compared in that order, and tickets differ."""
LaneKey = tuple[str, bool]
"""Route pattern, and whether only local targets are permitted."""
Turn = tuple[int, float, float]
"""Where an entry stands in its lane: its first three members."""
_FIRST: Turn = (-1, 0.0, 0.0)
_LAST_TICKET = float("inf")
_COMPACT_FROM = 64
"""Heaps shorter than this are not worth cleaning of stale entries."""
_BACKOFF_S = 0.25
_BACKOFF_MAX_S = 8.0
_BACKOFF_DOUBLINGS = 5
"""From the first to the longest back-off; a busy target may be asked a thousand times in a long deadline."""


class Request:
    """One request from its arrival to its final answer. The controller's own record; it changes in place."""

    __slots__ = (
        "alarm",
        "arrived_at",
        "attempt",
        "attempts",
        "backoff",
        "deadline_at",
        "expected_output",
        "failures",
        "holding",
        "is_stream",
        "lane",
        "last_failure",
        "last_status",
        "local_only",
        "max_tokens",
        "model",
        "priority",
        "prompt_tokens",
        "request_id",
        "rival",
        "route",
        "slo_at",
        "spill",
        "surface",
        "ticket",
        "tpot_slo_s",
    )

    def __init__(self, event: Arrived, route: Route, expected_output: float, priority: int, now: float) -> None:
        self.request_id = event.request_id
        self.model = event.model
        self.surface = event.surface
        self.prompt_tokens = event.prompt_tokens
        self.max_tokens = event.max_tokens
        self.local_only = event.local_only or route.local_only
        self.is_stream = event.is_stream
        self.priority = priority
        self.route = route
        self.expected_output = expected_output
        """Output tokens it is expected to produce."""
        self.arrived_at = now
        slo_s = event.ttft_slo_s
        self.slo_at = now + (route.slo.ttft_s if slo_s is None else slo_s)
        """When its first token is due."""
        self.tpot_slo_s = None if event.surface is Surface.EMBEDDINGS else route.slo.tpot_s
        """Seconds per output token that are promised to it; ``None`` if that is not judged."""
        wait_s = event.deadline_s
        self.deadline_at = now + (route.deadline_s if wait_s is None else min(wait_s, route.deadline_s))
        """When it is evicted if it still waits."""
        self.attempt: Attempt | None = None
        """The attempt that runs; the older one while there are two."""
        self.rival: Attempt | None = None
        """The attempt that was started beside it because it did not speak in time."""
        self.attempts = 0
        self.failures = 0
        """Failed attempts that were no "busy"."""
        self.backoff: dict[str, float] | None = None
        """Target → time before which this request does not try it again."""
        self.last_failure: FailureKind | None = None
        self.last_status: int | None = None
        self.spill: Spill | None = None
        self.lane: Lane | None = None
        """Where it waits, or ``None`` if it does not."""
        self.holding: TargetState | None = None
        """The target whose slot it waits for."""
        self.alarm = 0
        """The number of its latest alarm, 0 if it never had one; all others are void."""
        self.ticket = 0
        """Its latest place in a lane, 0 if it never waited; an entry with another ticket is stale."""

    def back_off(self, target_id: str, failed: Failed, now: float) -> None:
        """Leave this target alone for a while; for good, if the prompt does not fit there or it has not the model."""
        pause_s = min(_BACKOFF_S * 2 ** min(self.attempts - 1, _BACKOFF_DOUBLINGS), _BACKOFF_MAX_S)
        if failed.retry_after_s is not None:
            pause_s = max(pause_s, failed.retry_after_s)
        if failed.kind is FailureKind.CONTEXT_TOO_LONG:
            pause_s = float("inf")
        elif failed.kind is FailureKind.NO_MODEL:
            pause_s = self.deadline_at - now + 1.0
        if self.backoff is None:
            self.backoff = {}
        self.backoff[target_id] = now + pause_s


class Lane:
    """The queue of one (route, placement constraint)."""

    __slots__ = ("_heap", "_last", "key", "live")

    def __init__(self, key: LaneKey) -> None:
        self.key = key
        self._heap: list[Entry] = []
        self._last = _FIRST
        """No request here has a later turn than this; it may itself be gone."""
        self.live = 0
        """Requests that really wait here."""

    def push(self, request: Request, ticket: int) -> None:
        """Add a request; ``ticket`` orders equals by arrival and is never used twice."""
        request.lane = self
        request.ticket = ticket
        self.live += 1
        self._last = max(self._last, (request.priority, request.deadline_at, ticket))
        heapq.heappush(self._heap, (request.priority, request.deadline_at, ticket, request))

    def leave(self, request: Request) -> None:
        """Take a request out; its entry is dropped when it comes up, or with all others once stale ones prevail."""
        request.lane = None
        self.live -= 1
        if self.live == 0:
            self._heap.clear()
            self._last = _FIRST
        elif len(self._heap) > max(_COMPACT_FROM, 4 * self.live):
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)

    def head(self) -> Entry | None:
        """Return the entry that is first in turn, or ``None``."""
        heap = self._heap
        while heap and not self._is_live(heap[0]):
            heapq.heappop(heap)
        return heap[0] if heap else None

    def behind(self, request: Request) -> int:
        """Count those that wait here and come after ``request``, which need not wait here itself."""
        ticket = request.ticket if request.lane is self else _LAST_TICKET
        turn = (request.priority, request.deadline_at, ticket, request)
        if turn > self._last:  # so it is for most: those of one route and priority come in the order of their deadlines
            return 0
        return sum(1 for entry in self._heap if entry > turn and self._is_live(entry))

    def waiting(self) -> list[Request]:
        """Return all that wait here, in turn."""
        return [entry[3] for entry in sorted(self._heap, key=lambda e: e[:3]) if self._is_live(entry)]

    def _is_live(self, entry: Entry) -> bool:
        request = entry[3]
        return request.lane is self and request.ticket == entry[2]


class Alarms:
    """Times at which a waiting request must be looked at again.

    Void entries are skipped when they come up, and all dropped whenever the heap has doubled since they last were.
    """

    __slots__ = ("_compact_at", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Request]] = []
        self._sequence = 0
        self._compact_at = _COMPACT_FROM

    def set(self, request: Request, at: float) -> None:
        """Wake ``request`` at ``at``; an earlier alarm of it is void."""
        self._sequence += 1
        request.alarm = self._sequence
        heapq.heappush(self._heap, (at, self._sequence, request))
        if len(self._heap) > self._compact_at:
            self._heap = [entry for entry in self._heap if _is_due(entry)]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_FROM, 2 * len(self._heap))

    def next_at(self) -> float | None:
        """Return the time of the next alarm that is not void."""
        heap = self._heap
        while heap and not _is_due(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Request | None:
        """Take out the next request whose alarm has gone off, or ``None``."""
        at = self.next_at()
        if at is None or at > now:
            return None
        return heapq.heappop(self._heap)[2]


class Queue:
    """All lanes, and the alarms of those that wait in them."""

    __slots__ = ("alarms", "lanes", "live", "next_ticket")

    def __init__(self) -> None:
        self.lanes: dict[LaneKey, Lane] = {}
        self.alarms = Alarms()
        self.live = 0
        """Requests that wait, in all lanes."""
        self.next_ticket = 1

    def lane_of(self, request: Request) -> Lane | None:
        """Return the lane where a request would wait, or ``None`` if nothing ever waited there."""
        return self.lanes.get((request.route.pattern, request.local_only))

    def enqueue(self, request: Request, decision: Wait) -> None:
        """Let a request wait."""
        key = (request.route.pattern, request.local_only)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(key)
        lane.push(request, self.next_ticket)
        self.next_ticket += 1
        self.live += 1
        self.hold(request, decision)

    def hold(self, request: Request, decision: Wait) -> None:
        """Count it among those that wait for a target's slot, and look at it again in time."""
        request.holding = decision.holding
        if decision.holding is not None:
            decision.holding.holding += 1
        self.alarms.set(request, min(decision.until, request.deadline_at))

    def release(self, request: Request) -> None:
        """Take back ``hold``."""
        if request.holding is not None:
            request.holding.holding -= 1
            request.holding = None

    def leave(self, request: Request) -> None:
        """Take a request out, if it waits."""
        if request.lane is not None:
            request.lane.leave(request)
            self.live -= 1
        self.release(request)

    def empty(self) -> list[Request]:
        """Take all out and forget the lanes: those of routes that are gone would stay for ever. In turn."""
        waiting = [request for lane in self.lanes.values() for request in lane.waiting()]
        waiting.sort(key=lambda r: (r.priority, r.deadline_at, r.ticket))
        for request in waiting:
            self.leave(request)
        self.lanes = {}
        return waiting

    def first(self, blocked: set[LaneKey]) -> Lane | None:
        """Return the lane whose head is first in turn, but none of ``blocked``; ``None`` if nothing waits."""
        heads = [
            (head[:3], lane)
            for key, lane in self.lanes.items()
            if lane.live and key not in blocked and (head := lane.head()) is not None
        ]
        return min(heads, key=lambda pair: pair[0])[1] if heads else None


def _is_due(entry: tuple[float, int, Request]) -> bool:
    # By number and not by time: a void alarm must stay void when a later one is set to its time, or the order of
    # equals would depend on when void ones were dropped.
    _, number, request = entry
    return request.lane is not None and request.alarm == number
