"""Demand: a workload summed into windows of equal length, which is what capacity is planned and priced for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec

from overspill.errors import TraceError
from overspill.planner.workload import TraceRequest

_MOST_WINDOWS = 1_000_000
_SHORTEST_LOG_S = 60.0
"""A log that is shorter says nothing of a rate; it counts as if it were so long."""


class DemandSeries(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for in each window, in order of time; windows in which nothing was are there, with 0."""

    window_s: float
    requests: tuple[float, ...]
    prompt_tokens: tuple[float, ...]
    """With those that a prefix cache had."""
    cached_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]
    starts_at_unix_s: float | None = None
    """When the first window began; ``None`` where the source tells no date, so that no tariff can be applied to it."""
    left_out_requests: float = 0.0
    """Requests of the windows at both ends that the source covers only in part."""

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def length_s(self) -> float:
        """Seconds from the beginning of the first window to the end of the last."""
        return len(self.requests) * self.window_s

    @property
    def length_h(self) -> float:
        """The same in hours."""
        return self.length_s / 3600

    def times_unix_s(self) -> tuple[float, ...]:
        """Return the middle of each window; raise ``TraceError`` if the source tells no date."""
        if self.starts_at_unix_s is None:
            raise TraceError("this workload tells no date, so no tariff can be applied; say when it starts")
        return tuple(self.starts_at_unix_s + (index + 0.5) * self.window_s for index in range(len(self)))

    def part(self, first: int, last: int) -> DemandSeries:
        """Return the windows from ``first`` up to, but not including, ``last``."""
        start = self.starts_at_unix_s
        return DemandSeries(
            window_s=self.window_s,
            requests=self.requests[first:last],
            prompt_tokens=self.prompt_tokens[first:last],
            cached_tokens=self.cached_tokens[first:last],
            output_tokens=self.output_tokens[first:last],
            starts_at_unix_s=None if start is None else start + first * self.window_s,
        )

    def scaled(self, factor: float) -> DemandSeries:
        """Return the same with ``factor`` times as many requests of the same lengths."""

        def times(values: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(value * factor for value in values)

        return msgspec.structs.replace(
            self,
            requests=times(self.requests),
            prompt_tokens=times(self.prompt_tokens),
            cached_tokens=times(self.cached_tokens),
            output_tokens=times(self.output_tokens),
        )


def summed(
    requests: Iterable[TraceRequest], window_s: float, starts_at_unix_s: Callable[[], float | None]
) -> DemandSeries:
    """Sum requests into windows; ``starts_at_unix_s`` is asked when the first one came, once that has been read.

    Where that is known, windows begin at multiples of ``window_s`` on the clock, as tariffs do. The windows at both
    ends of which the log covers only a part are left out; if none remains, the log is one window of its own length.
    """
    sums = _Sums(window_s)
    for request in requests:
        if not sums.windows:
            sums.starts_at(starts_at_unix_s())
        sums.add(request)
    if not sums.windows:
        raise TraceError("no request is left in this workload, so there is no demand to plan for")
    first, last = (1 if sums.ahead_s > window_s / 100 else 0), max(sums.windows)
    if last - first < 1:
        return sums.whole(min(window_s, max(sums.last_s, _SHORTEST_LOG_S)))
    return sums.series(first, last)


def summed_over(
    requests: Iterable[TraceRequest], window_s: float, length_s: float, starts_at_unix_s: float | None
) -> DemandSeries:
    """Sum requests of a workload that is known to last ``length_s`` from 0 on; a window less than whole is left out.

    If it is shorter than a window, it is one of its own length.
    """
    sums = _Sums(min(window_s, length_s))
    for request in requests:
        sums.add(request)
    series = sums.series(0, whole_windows(length_s, sums.window_s))
    return msgspec.structs.replace(series, starts_at_unix_s=starts_at_unix_s)


def whole_windows(length_s: float, window_s: float) -> int:
    """Return how many whole windows there are, at least one; raise ``TraceError`` if they are too many to reckon."""
    count = max(1, math.floor(length_s / window_s + 1e-9))
    if count > _MOST_WINDOWS:
        raise TraceError(
            f"{length_s / 86_400:,.0f} days in windows of {window_s:g} s are {count:,}, more than the "
            f"{_MOST_WINDOWS:,} that are reckoned with; take longer windows, or look for a wrong date in the log"
        )
    return count


class _Sums:
    """Windows that are being filled, by their number."""

    def __init__(self, window_s: float) -> None:
        if not window_s > 0:
            raise ValueError(f"a window must be longer than 0 s, not {window_s}")
        self.window_s = window_s
        self.windows: dict[int, list[float]] = {}
        self.origin_unix_s: float | None = None
        self.ahead_s = 0.0
        """How much of the first window had passed when the first request came."""
        self.last_s = 0.0

    def starts_at(self, unix_s: float | None) -> None:
        self.origin_unix_s = unix_s
        self.ahead_s = 0.0 if unix_s is None else unix_s % self.window_s

    def add(self, request: TraceRequest) -> None:
        self.last_s = max(self.last_s, request.at_s)
        place = int((request.at_s + self.ahead_s) // self.window_s)
        window = self.windows.get(place)
        if window is None:
            window = self.windows[place] = [0.0, 0.0, 0.0, 0.0]
        window[0] += 1
        window[1] += request.prompt_tokens
        window[2] += request.cached_tokens
        window[3] += request.output_tokens

    def whole(self, length_s: float) -> DemandSeries:
        """Return all of it as one window from the first request on."""
        columns = [(sum(window[column] for window in self.windows.values()),) for column in range(4)]
        return DemandSeries(
            window_s=length_s,
            requests=columns[0],
            prompt_tokens=columns[1],
            cached_tokens=columns[2],
            output_tokens=columns[3],
            starts_at_unix_s=self.origin_unix_s,
        )

    def series(self, first: int, last: int) -> DemandSeries:
        whole_windows((last - first) * self.window_s, self.window_s)
        empty = [0.0, 0.0, 0.0, 0.0]
        columns = [tuple(self.windows.get(place, empty)[column] for place in range(first, last)) for column in range(4)]
        origin = self.origin_unix_s
        return DemandSeries(
            window_s=self.window_s,
            requests=columns[0],
            prompt_tokens=columns[1],
            cached_tokens=columns[2],
            output_tokens=columns[3],
            starts_at_unix_s=None if origin is None else origin - self.ahead_s + first * self.window_s,
            left_out_requests=sum(window[0] for place, window in self.windows.items() if not first <= place < last),
        )
