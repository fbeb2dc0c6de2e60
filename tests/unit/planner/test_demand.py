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


def test_a_log_without_a_whole_window_is_one_of_its_own_length() -> None:
    crossing = summed(requests(0, 100, 200, 300), 600, lambda: 1_000_000_200.0)  # two windows, each in part
    assert (crossing.requests, crossing.window_s, crossing.starts_at_unix_s) == ((4,), 300, 1_000_000_200.0)
    assert (crossing.prompt_tokens, crossing.cached_tokens, crossing.output_tokens) == ((400,), (160,), (40,))
    short = summed(requests(0, 1), 600, lambda: None)
    assert (short.requests, short.window_s) == ((2,), 60)  # of less than a minute nothing is known of a rate
    assert summed(requests(0), 30, lambda: None).window_s == 30
    known = summed_over(requests(0, 70), 600, 100, None)
    assert (known.requests, known.window_s) == ((2,), 100)


def test_demand_needs_requests_and_windows_that_can_be_reckoned_with() -> None:
    with pytest.raises(TraceError, match="no request is left"):
        summed([], 60, lambda: None)
    with pytest.raises(ValueError, match="longer than 0"):
        summed(requests(0), 0, lambda: None)
    with pytest.raises(TraceError, match="look for a wrong date in the log"):
        summed(requests(0, 1e9), 60, lambda: None)
    with pytest.raises(TraceError, match="take longer windows"):
        summed_over(requests(0), 0.01, 86_400, None)


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
