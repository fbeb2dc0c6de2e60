"""All that wait: the lanes, what each key has been given, and the alarms by which each is looked at again."""

from __future__ import annotations

from overspill.core.fairness import Fairness
from overspill.core.lanes import Lane, LaneKey
from overspill.core.options import Wait
from overspill.core.queueing import Alarms, Request


class Queue:
    """All lanes, and the alarms of those that wait in them."""

    __slots__ = ("alarms", "fairness", "lanes", "live", "next_ticket")

    def __init__(self) -> None:
        self.lanes: dict[LaneKey, Lane] = {}
        self.alarms = Alarms()
        self.fairness = Fairness()
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
            lane = self.lanes[key] = Lane(key, self.fairness)
        request.is_late = decision.is_late
        lane.push(request, self.next_ticket)
        self.next_ticket += 1
        self.live += 1
        self._hold(request, decision)

    def hold(self, request: Request, decision: Wait) -> None:
        """Count it among those that wait for a target's slot, and look at it again in time."""
        lane = request.lane
        assert lane is not None  # it waits
        if decision.is_late and not request.is_late:
            lane.turn_late(request)
        self._hold(request, decision)

    def _hold(self, request: Request, decision: Wait) -> None:
        request.holding = decision.holding
        if decision.holding is not None:
            decision.holding.holding += 1
        until = decision.until
        self.alarms.set(request, until if until < request.deadline_at else request.deadline_at)

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
            if self.live == 0:
                self.fairness.forget()
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
        first: Lane | None = None
        for lane in self.lanes.values():
            if lane.live and lane.key not in blocked and (first is None or lane.turn() < first.turn()):
                first = lane
        return first
