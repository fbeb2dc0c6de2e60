"""The peak that is planned for: of numbers, of logs, and the requests around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from overspill.errors import TraceError
from overspill.planner.capacity import Lengths
from overspill.planner.peak import busiest_stretch, peak_of
from overspill.planner.workloads.reading import open_workload
from overspill.planner.workloads.rows import Options

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def log(path: Path, per_minute: list[int]) -> Path:
    lines = [
        f"2023-11-16 18:{minute:02d}:{number * 60 / count:010.7f},500,100"
        for minute, count in enumerate(per_minute)
        for number in range(count)
    ]
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_numbers_are_planned_for_at_their_daily_peak() -> None:
    """The same words mean the same load here and where it is simulated or priced."""
    options = Options()
    peak = peak_of(open_workload("rps=2,in=1000,out=300", options=options), options)
    assert peak.demand.requests_per_s == 4.0
    assert peak.demand.lengths == Lengths(prompt_tokens=1000, answer_tokens=300, longest_tokens=1300)
    assert peak.demand.source.endswith("the peak of a mean of 2")
    drawn = peak.arrivals.requests
    assert len(drawn) / drawn[-1].at_s == pytest.approx(4.0, rel=0.15)
    assert "coefficient of variation of 2" in peak.arrivals.source


def test_a_flat_load_is_planned_for_as_it_is() -> None:
    options = Options(rate_factor=3.0)
    peak = peak_of(open_workload("rps=2,peak=2,cv=1,in=1000,out=300", options=options), options, 9000)
    assert peak.demand.requests_per_s == 6.0
    assert peak.demand.lengths.longest_tokens == 9000
    assert peak.demand.source.endswith(": flat")
    assert len(peak.arrivals.requests) == pytest.approx(1800, rel=0.1)
    options = Options()
    long = peak_of(open_workload("rps=20,peak=20,in=1000,out=600", options=options), options)
    assert long.arrivals.requests[-1].at_s == pytest.approx(8 * 600 * 0.05, rel=0.05)
    many = peak_of(open_workload("rps=500,peak=500,in=1000,out=600", options=options), options)
    assert len(many.arrivals.requests) == pytest.approx(9000, rel=0.15)


def test_a_log_is_planned_for_at_its_busiest_minute_and_held_to_those_around_it(tmp_path: Path) -> None:
    place = log(tmp_path / "log.csv", [6] * 20 + [60] + [6] * 30)
    options = Options()
    peak = peak_of(open_workload(place, options=options), options)
    assert peak.demand.requests_per_s == 1.0
    assert peak.demand.lengths == Lengths(prompt_tokens=500, answer_tokens=100, longest_tokens=600)
    assert len(peak.arrivals.requests) == 29 * 6 + 60
    assert 0 <= peak.arrivals.requests[0].at_s <= 30
    assert peak.arrivals.source == "30 min around the busiest one of log.csv"
    assert busiest_stretch(open_workload(place, options=options)) == peak.arrivals


def test_a_busy_log_is_held_to_a_few_minutes(tmp_path: Path) -> None:
    place = log(tmp_path / "log.csv", [1200] * 20)
    peak = peak_of(open_workload(place), Options())
    assert peak.arrivals.source.startswith("8 min around")
    assert len(peak.arrivals.requests) <= 9000


def test_a_log_without_requests_is_said(tmp_path: Path) -> None:
    place = tmp_path / "none.csv"
    place.write_text(HEADER + "2023-11-16 18:00:00.0000000,0,0\n", encoding="utf-8")
    with pytest.raises(TraceError, match="no request is left in this trace"):
        peak_of(open_workload(place), Options())
