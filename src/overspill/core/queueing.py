"""A request, from its arrival to its final answer, and the alarms of those that wait. They wait in ``lanes``."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from overspill.core.events import Arrived, Cut, Failed
from overspill.core.limits import Reservation
from overspill.core.rates import Purse
from overspill.core.target import Attempt, TargetState
from overspill.core.types import FailureKind, Route, Scope, Spill, Surface

if TYPE_CHECKING:
    from overspill.core.lanes import Lane

_COMPACT_FROM = 64
"""Heaps shorter than this are not worth cleaning of stale entries."""
_NEVER = float("inf")
_BACKOFF_S = 0.25
_BACKOFF_MAX_S = 8.0
_BACKOFF_DOUBLINGS = 5
"""From the first to the longest back-off; a busy target may be asked a thousand times in a long deadline."""


def is_bound(route: Route, screening: int) -> bool:
    """Say whether ``route`` keeps a request local: by itself, or because other detectors than its own let it pass."""
    return route.local_only or (route.screening != 0 and route.screening != screening)


class HalfAnswer:
    """What the client has of an answer that broke off, where that may be continued."""

    __slots__ = ("cut", "weights")

    def __init__(self, cut: Cut, weights: str) -> None:
        self.cut = cut
        self.weights = weights
        """What wrote it: only the same goes on with it."""


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
        "half",
        "headroom",
        "holding",
        "is_late",
        "is_stream",
        "key_id",
        "lane",
        "last_failure",
        "last_status",
        "local_only",
        "max_tokens",
        "model",
        "needs",
        "priority",
        "prompt_tokens",
        "purses",
        "request_id",
        "reservation",
        "rival",
        "route",
        "screening",
        "slo_at",
        "spill",
        "surface",
        "ticket",
        "tpot_slo_s",
        "was_repaired",
    )

    def __init__(self, event: Arrived, route: Route, expected_output: float, priority: int, now: float) -> None:
        self.request_id = event.request_id
        self.model = event.model
        self.surface = event.surface
        self.prompt_tokens = event.prompt_tokens
        self.needs = event.needs
        self.max_tokens = event.max_tokens
        self.is_stream = event.is_stream
        self.key_id = event.key_id
        self.screening = event.screening
        self.local_only = event.local_only or is_bound(route, event.screening)
        self.priority = priority
        self.route = route
        self.expected_output = expected_output
        """Output tokens it is expected to produce."""
        self.headroom = 0
        """Slots of each target that it must leave to better classes."""
        self.reservation: Reservation | None = None
        """What it has taken from the limits of its key, team and model, where there are any."""
        self.purses: tuple[tuple[Scope, str, Purse], ...] = ()
        """The budgets that its expenses are counted on."""
        self.arrived_at = now
        self.slo_at = now + (route.slo.ttft_s if event.ttft_slo_s is None else event.ttft_slo_s)
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
        self.attempts = self.failures = 0
        """Attempts that were started, and those of them that failed and were no "busy"."""
        self.backoff: dict[str, float] | None = None
        """Target → time before which this request does not try it again."""
        self.was_repaired = False  # a target wanted its history otherwise; it does not get to say so again
        self.last_failure: FailureKind | None = None
        self.last_status: int | None = None
        self.half: HalfAnswer | None = None
        self.spill: Spill | None = None
        self.lane: Lane | None = None
        """Where it waits, or ``None`` if it does not."""
        self.is_late = False
        """True once it waits without a prospect of keeping its SLO: those of its key that have one go first."""
        self.holding: TargetState | None = None
        """The target whose slot it waits for."""
        self.alarm = self.ticket = 0
        """Numbers of its latest alarm and its latest place in a lane, 0 if it had none; what has another is void."""

    @property
    def is_plain(self) -> bool:
        """True if neither a failure nor a budget keeps it from a target."""
        return self.backoff is None and self.half is None and not self.purses

    @property
    def expected_tokens(self) -> float:
        """Prompt and answer, as far as can be said before it runs."""
        return self.prompt_tokens + self.expected_output

    def bind(self, route: Route) -> None:
        """Take the route of a new policy. What was ``local_only`` stays so, and what it has not screened becomes so."""
        self.route = route
        self.local_only = self.local_only or is_bound(route, self.screening)

    def broke_off(self, cut: Cut, weights: str, now: float) -> None:
        """Take note of half an answer: to whoever goes on with it, it is a part of the prompt."""
        self.prompt_tokens += cut.output_tokens - (0 if self.half is None else self.half.cut.output_tokens)
        self.half = HalfAnswer(cut, weights)
        self.deadline_at = now + self.route.rescue_wait_s

    def back_off(self, target_id: str, failed: Failed, now: float) -> None:
        """Leave this target alone for a while; for good, if the prompt does not fit there or it has not the model."""
        pause_s = min(_BACKOFF_S * 2 ** min(self.attempts - 1, _BACKOFF_DOUBLINGS), _BACKOFF_MAX_S)
        if failed.retry_after_s is not None:
            pause_s = max(pause_s, failed.retry_after_s)
        if failed.kind is FailureKind.CONTEXT_TOO_LONG:
            pause_s = _NEVER
        elif failed.kind is FailureKind.NO_MODEL:
            pause_s = self.deadline_at - now + 1.0
        if self.backoff is None:
            self.backoff = {}
        self.backoff[target_id] = now + pause_s


class Alarms:
    """Times at which a waiting request must be looked at again.

    An entry is void once its request has another number, or 0 because it waits no longer. By number and not by time: a
    void alarm must stay void when a later one is set to its time, or the order of equals would depend on when void ones
    were dropped. Void entries are skipped when they come up, and all dropped whenever the heap has doubled since they
    last were.
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
            self._heap = [entry for entry in self._heap if entry[2].alarm == entry[1]]
            heapq.heapify(self._heap)
            self._compact_at = max(_COMPACT_FROM, 2 * len(self._heap))

    def next_at(self) -> float:
        """Return the time of the next alarm that is not void; infinity if there is none."""
        heap = self._heap
        while heap:
            first = heap[0]
            if first[2].alarm == first[1]:
                return first[0]
            heapq.heappop(heap)
        return _NEVER

    def pop_due(self, now: float) -> Request | None:
        """Take out the next request whose alarm has gone off, or ``None``."""
        return None if self.next_at() > now else heapq.heappop(self._heap)[2]
