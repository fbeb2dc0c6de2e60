"""A log that has only sums: requests and tokens per stretch of time. Its demand is exact, its requests are drawn.

What is shorter than a stretch cannot be seen in such a log: demand is spread evenly over it, and a plan made from sums
of an hour or a day knows nothing of the peaks within. ``assumptions`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from overspill.errors import TraceError
from overspill.planner.demand import DemandSeries, whole_windows
from overspill.planner.remarks import Remark, length_zh
from overspill.planner.workload import Dropped, TraceRequest
from overspill.planner.workloads.arrivals import gamma_gaps, generator, lognormal, squeezed, whole_count
from overspill.planner.workloads.rows import Options
from overspill.units import format_duration

PROMPT_CV = 1.0
OUTPUT_CV = 0.8
"""Spread of lengths where only their mean is known: 0.96 and 0.77 in Azure's conversations of 2023."""


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """What was asked for within ``[start_s, end_s)``."""

    start_s: float
    end_s: float
    requests: float
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    output_tokens: float = 0.0


class BucketWorkload:
    """A workload of which only the sums of stretches are known."""

    def __init__(
        self,
        name: str,
        format: str,  # noqa: A002 - what it is called
        buckets: Sequence[Bucket],
        options: Options,
        *,
        has_dates: bool,
        dropped: Mapping[Dropped, int] | None = None,
    ) -> None:
        if not any(bucket.requests > 0 for bucket in buckets):
            raise TraceError(f"{name}: no request is left in this log, so there is nothing to plan for")
        self.name = name
        self.format = format
        self.dropped = dict(dropped or {})
        self._buckets = sorted(buckets, key=lambda bucket: bucket.start_s)
        self._origin_s = self._buckets[0].start_s
        self.starts_at_unix_s = self._origin_s if has_dates else options.starts_at_unix_s
        self._options = options
        longest_s = max(bucket.end_s - bucket.start_s for bucket in self._buckets)
        self.assumptions = (
            Remark(
                f"the log has sums of {format_duration(longest_s)}: demand is even within them, peaks that are shorter "
                "are not seen",
                f"日志只有每 {length_zh(longest_s)}的合计：视为期间均匀分布，看不到更短的高峰",
            ),
        )

    def requests(self) -> Iterator[TraceRequest]:
        """Draw requests whose number and mean lengths are those of each stretch, with Gamma gaps of ``options.cv``."""
        if not any(bucket.output_tokens > 0 for bucket in self._buckets):
            raise TraceError(
                f"{self.name} has no token counts, so no requests can be drawn from it; only its rate can be planned "
                "for, with a capacity in requests per second"
            )
        rng = generator(self._options.seed)
        gap = gamma_gaps(rng, self._options.cv)
        for bucket in self._buckets:
            count = whole_count(rng, bucket.requests * self._options.rate_factor)
            if not count or not bucket.output_tokens or not bucket.prompt_tokens:
                continue
            prompt = lognormal(rng, bucket.prompt_tokens / bucket.requests, PROMPT_CV)
            output = lognormal(rng, bucket.output_tokens / bucket.requests, OUTPUT_CV)
            hit_share = bucket.cached_tokens / bucket.prompt_tokens
            for at_s in squeezed(gap, count, bucket.start_s - self._origin_s, bucket.end_s - bucket.start_s):
                tokens = prompt()
                yield TraceRequest(at_s, tokens, output(), cached_tokens=min(tokens, round(tokens * hit_share)))

    def demand(self, window_s: float) -> DemandSeries:
        """Spread each stretch evenly over the windows that it touches; a window less than whole is left out."""
        if not window_s > 0:
            raise ValueError(f"a window must be longer than 0 s, not {window_s}")
        whole_s = max(bucket.end_s for bucket in self._buckets) - self._origin_s
        window_s = min(window_s, whole_s)
        count = whole_windows(whole_s, window_s)
        sums = [[0.0] * count for _ in range(4)]
        left_out = 0.0
        for bucket in self._buckets:
            amounts = (bucket.requests, bucket.prompt_tokens, bucket.cached_tokens, bucket.output_tokens)
            for place, share in _shares(bucket, self._origin_s, window_s):
                factor = share * self._options.rate_factor
                if place >= count:
                    left_out += bucket.requests * factor
                    continue
                for column, amount in zip(sums, amounts, strict=True):
                    column[place] += amount * factor
        return DemandSeries(
            window_s=window_s,
            requests=tuple(sums[0]),
            prompt_tokens=tuple(sums[1]),
            cached_tokens=tuple(sums[2]),
            output_tokens=tuple(sums[3]),
            starts_at_unix_s=self.starts_at_unix_s,
            left_out_requests=left_out,
        )


def _shares(bucket: Bucket, origin_s: float, window_s: float) -> Iterator[tuple[int, float]]:
    """Yield the windows that a bucket touches, each with the part of the bucket that lies in it."""
    start_s, end_s = bucket.start_s - origin_s, bucket.end_s - origin_s
    place = math.floor(start_s / window_s + 1e-9)
    while place * window_s < end_s - 1e-6:
        within_s = min(end_s, (place + 1) * window_s) - max(start_s, place * window_s)
        yield place, within_s / (end_s - start_s)
        place += 1
