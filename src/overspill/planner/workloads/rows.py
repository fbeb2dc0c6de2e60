"""A log of single requests, of any format: its rows put in order, shifted to 0, and counted where they are none."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

import msgspec

from overspill.errors import TraceError
from overspill.planner.demand import DemandSeries, summed
from overspill.planner.workload import Dropped, TraceRequest

_REORDERED_ROWS = 65_536
"""Rows that are held back, so that a row which is late by so many others still comes in order."""

Row = TraceRequest | Dropped
"""A request with ``at_s`` counted from any origin (Unix seconds where the log has dates), or why a row is none."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader needs to know beside the file; formats that have no use for one of these ignore it."""

    model: str | None = None
    """Only requests for this model, where the log names models."""
    seed: int = 1
    """Of everything that is drawn."""
    starts_at_unix_s: float | None = None
    """When the first request came, for logs that tell no date."""
    cv: float = 2.0
    """Coefficient of variation of the gaps between arrivals, where only sums are known."""
    cache_blocks: int | None = None
    """Blocks that a prefix cache holds, for logs with hashes of blocks; ``None`` is without a bound."""
    rate_factor: float = 1.0
    """Multiplies how many requests are generated."""


class RequestLog:
    """A workload that is a list of requests."""

    def __init__(
        self,
        name: str,
        format: str,  # noqa: A002 - what it is called
        rows: Callable[[], Iterator[Row]],
        *,
        has_dates: bool = False,
        starts_at_unix_s: float | None = None,
        assumptions: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.format = format
        self.assumptions = assumptions
        self._rows = rows
        self._has_dates = has_dates
        self._starts_at_unix_s = starts_at_unix_s
        self._dropped: dict[Dropped, int] = {}

    @property
    def dropped(self) -> Mapping[Dropped, int]:
        """Rows that were left out, by reason; complete once the requests have been read."""
        return dict(sorted(self._dropped.items()))

    @property
    def starts_at_unix_s(self) -> float | None:
        """When the first request came; known once that has been read, ``None`` where nobody told."""
        return self._starts_at_unix_s

    def requests(self) -> Iterator[TraceRequest]:
        """Yield the requests in order of time, the first one at 0; raise ``TraceError`` for what cannot be read."""
        origin_s: float | None = None
        for request in _in_order(self._kept(), self.name):
            if origin_s is None:
                origin_s = request.at_s
                if self._has_dates:
                    self._starts_at_unix_s = origin_s
            yield msgspec.structs.replace(request, at_s=request.at_s - origin_s)
        if origin_s is None:
            raise TraceError(
                f"{self.name}: no request is left in this trace ({sum(self._dropped.values())} rows left out: "
                f"{', '.join(f'{count} {reason}' for reason, count in self.dropped.items()) or 'none'})"
            )

    def demand(self, window_s: float) -> DemandSeries:
        """Sum the requests into windows."""
        return summed(self.requests(), window_s, lambda: self._starts_at_unix_s)

    def _kept(self) -> Iterator[TraceRequest]:
        self._dropped = {}
        for row in self._rows():
            if isinstance(row, Dropped):
                self._dropped[row] = self._dropped.get(row, 0) + 1
            else:
                yield row


def checked(at_s: float, prompt_tokens: int, output_tokens: int, key_id: str = "", cached_tokens: int = 0) -> Row:
    """Return a row, or why it is no request."""
    if prompt_tokens <= 0:
        return Dropped.NO_PROMPT
    if output_tokens <= 0:
        return Dropped.NO_OUTPUT
    return TraceRequest(at_s, prompt_tokens, output_tokens, key_id, max(0, min(cached_tokens, prompt_tokens)))


def _in_order(requests: Iterator[TraceRequest], name: str) -> Iterator[TraceRequest]:
    held: list[tuple[float, int, TraceRequest]] = []
    said_s = float("-inf")
    for number, request in enumerate(requests):
        if request.at_s < said_s:
            raise TraceError(
                f"{name}: a request comes {said_s - request.at_s:.0f} s before others that stand {_REORDERED_ROWS} "
                "rows above it; sort the file by time"
            )
        heapq.heappush(held, (request.at_s, number, request))
        if len(held) > _REORDERED_ROWS:
            said_s, _, first = heapq.heappop(held)
            yield first
    while held:
        yield heapq.heappop(held)[2]
