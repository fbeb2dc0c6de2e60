"""What a report has beyond a case, its options and its verdict: curves, latencies, and every figure with its source."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from overspill.planner.case import Case
from overspill.planner.options import Comparison
from overspill.planner.remarks import Remark
from overspill.planner.report.curves import (
    BreakEvenCurve,
    DemandCurve,
    LoadDuration,
    Regretted,
    Swung,
    break_even,
    demand_curve,
    load_duration,
    regretted,
    swung,
)
from overspill.planner.report.daily import SpillByHour, spill_by_hour
from overspill.planner.report.inputs import Given, Input, inputs
from overspill.planner.report.latency import Latencies, latencies
from overspill.planner.report.simulation import SimulatedDay
from overspill.planner.verdict import Verdict
from overspill.planner.workloads.served import Served


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How far predictions were off on published measurements that they were not made from: medians, as shares."""

    observed_rows: int
    tpot_share: float
    ttft_share: float
    source: str = "benchmarks/planner/RESULTS.md"
    as_of: str = "2026-11-27"


ACCURACY = (
    Accuracy(observed_rows=0, tpot_share=0.145, ttft_share=0.357),
    Accuracy(observed_rows=1, tpot_share=0.084, ttft_share=0.242),
    Accuracy(observed_rows=3, tpot_share=0.047, ttft_share=0.141),
    Accuracy(observed_rows=6, tpot_share=0.032, ttft_share=0.091),
    Accuracy(observed_rows=12, tpot_share=0.02, ttft_share=0.08),
)
"""Of a deployment; ``docs/explanation/sizing.md`` says how they were measured."""


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn."""

    break_even: BreakEvenCurve
    load_duration: LoadDuration
    demand: DemandCurve
    spill_by_hour: SpillByHour
    simulated_spill: SimulatedDay | None
    """``None`` without a simulation."""
    sensitivity: tuple[Swung, ...]
    regret: tuple[Regretted, ...]


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; a part of what ``--json`` prints."""

    curves: Curves
    latencies: Latencies
    inputs: tuple[Input, ...]
    accuracy: tuple[Accuracy, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A case with its verdict and all that a report shows of it."""

    made_on: str
    """The day, ``YYYY-MM-DD``."""
    version: str
    workload: str
    format: str
    assumptions: tuple[str, ...]
    """What is not in the log and was assumed, in words."""
    left_out: dict[Remark, float]
    case: Case
    comparison: Comparison
    verdict: Verdict
    contents: Contents


def contents(
    case: Case,
    comparison: Comparison,
    verdict: Verdict,
    given: Given,
    served: Iterable[Served] = (),
    simulated: SimulatedDay | None = None,
) -> Contents:
    """Draw up what a report shows; ``served`` are a ledger's answered requests."""
    return Contents(
        curves=Curves(
            break_even=break_even(case, verdict),
            load_duration=load_duration(case, verdict),
            demand=demand_curve(case, verdict),
            spill_by_hour=spill_by_hour(case, verdict, given.offer),
            simulated_spill=simulated,
            sensitivity=swung(case, verdict),
            regret=regretted(comparison, verdict),
        ),
        latencies=latencies(served, given.predicted),
        inputs=inputs(given),
        accuracy=ACCURACY,
    )
