"""Latencies of a report: as a ledger recorded them, else as they are predicted for the sized unit, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from overspill.planner.workloads.served import Served

_PERCENTILES = (*range(1, 100), 99.9)


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests took: a distribution by its percentiles."""

    where: str
    """``local``, or ``spilled`` to another target."""
    measure: str
    """``ttft`` or ``tpot``."""
    requests: int
    percent: tuple[float, ...]
    seconds: tuple[float, ...]

    def at(self, percent: float) -> float:
        """Return one of the percentiles."""
        return self.seconds[self.percent.index(percent)]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An expected value and what holds nine times of ten."""

    expected_s: float
    low_s: float
    high_s: float
    limit_s: float | None
    """Of the SLO."""


class PredictedSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is expected to do at the most requests at once that keep the SLO."""

    model: str
    gpu: str
    precision: str
    layout: str
    concurrency: int
    ttft: Interval
    tpot: Interval
    observed_ttft_rows: int
    observed_tpot_rows: int
    source: str


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of latency."""

    recorded: tuple[Quantiles, ...]
    """Empty without a ledger."""
    predicted: PredictedSpeed | None
    """``None`` where a unit's rate was given instead of a size."""
    recorded_spilled_share: float | None
    """Of the ledger's answered requests, those that another target than the first choice served."""


def latencies(served: Iterable[Served], predicted: PredictedSpeed | None) -> Latencies:
    """Sum up what a ledger recorded beside what is predicted."""
    seconds: dict[tuple[str, str], list[float]] = {}
    count = spilled = 0
    for request in served:
        count += 1
        spilled += request.is_spilled
        where = "spilled" if request.is_spilled else "local"
        for measure, value in (("ttft", request.ttft_s), ("tpot", request.tpot_s)):
            if value is not None:
                seconds.setdefault((where, measure), []).append(value)
    return Latencies(
        recorded=tuple(_quantiles(where, measure, found) for (where, measure), found in sorted(seconds.items())),
        predicted=predicted,
        recorded_spilled_share=spilled / count if count else None,
    )


def _quantiles(where: str, measure: str, seconds: Sequence[float]) -> Quantiles:
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Quantiles(
        where=where,
        measure=measure,
        requests=len(ordered),
        percent=_PERCENTILES,
        seconds=tuple(ordered[round(percent / 100 * last)] for percent in _PERCENTILES),
    )
