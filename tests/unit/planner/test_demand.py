"""Demand: windows on the clock, partial ones left out."""

from __future__ import annotations

import pytest

from overspill.errors import TraceError
from overspill.planner.demand import DemandSeries, summed, summed_over
from overspill.planner.workload import TraceRequest


def requests(*times: float) -> list[TraceRequest]:
    return [TraceRequest(at, 100, 10, cached_tokens=40) for at in times]


def test_windows_begin_on_the_clock_and_partial_ones_are_left_out() -> None:
    demand = summed(requests(0, 100, 350, 600, 950, 1000), 300, lambda: 1_000_000_270.0)
    assert demand.starts_at_unix_s == 1_000_000_500.0
    assert sum(demand.requests) + demand.left_out_requests == 6
    assert demand.requests == (1, 1)
    assert demand.prompt_tokens == (100, 100)
    assert demand.times_unix_s()[0] == demand.starts_at_unix_s + 150


def test_a_log_without_dates_starts_at_its_first_request() -> None:
    demand = summed(requests(0, 10, 70, 130), 60, lambda: None)
    assert demand.requests == (2, 1)
    assert demand.left_out_requests == 1
    with pytest.raises(TraceError, match="tells no date"):
        demand.times_unix_s()


def test_a_log_shorter_than_two_windows_is_kept_as_it_is() -> None:
    assert summed(requests(0, 1), 60, lambda: None).requests == (2,)
    with pytest.raises(TraceError, match="no request is left"):
        summed([], 60, lambda: None)
    with pytest.raises(ValueError, match="longer than 0"):
        summed(requests(0), 0, lambda: None)


def test_a_known_length_makes_windows_without_requests_too() -> None:
    demand = summed_over(requests(0, 70), 60, 300, 60.0)
    assert demand.requests == (1, 1, 0, 0, 0)
    assert (demand.length_s, demand.length_h, demand.starts_at_unix_s) == (300, 1 / 12, 60.0)


def test_parts_and_multiples() -> None:
    whole = DemandSeries(window_s=60, requests=(1, 2, 3), prompt_tokens=(10, 20, 30), cached_tokens=(0, 0, 3),
                         output_tokens=(1, 1, 1), starts_at_unix_s=600)  # fmt: skip
    assert whole.part(1, 3).requests == (2, 3)
    assert whole.part(1, 3).starts_at_unix_s == 660
    assert whole.scaled(2).cached_tokens == (0, 0, 6)
