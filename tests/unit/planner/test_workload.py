"""Cutting and scaling traces."""

from __future__ import annotations

import pytest

from overspill.planner.workload import (
    Trace,
    TraceRequest,
    cut,
    offered_load,
    scale_time,
    scale_tokens,
)


def trace(*requests: tuple[float, int, int]) -> Trace:
    return Trace(source="made", requests=tuple(TraceRequest(*request) for request in requests))


def test_cutting_keeps_the_time_before_the_first_request_of_the_cut() -> None:
    whole = trace((0, 1, 1), (10, 2, 2), (19.5, 3, 3), (20, 4, 4))
    assert cut(whole, 5, 15).requests == (TraceRequest(5, 2, 2), TraceRequest(14.5, 3, 3))
    assert cut(whole, 100, 5).requests == ()


def test_scaling_time_by_a_half_doubles_the_load() -> None:
    whole = trace((0, 100, 10), (10, 100, 10), (20, 100, 10))
    assert [request.at_s for request in scale_time(whole, 0.5).requests] == [0, 5, 10]
    assert offered_load(scale_time(whole, 0.5)).requests_per_s == 2 * offered_load(whole).requests_per_s
    for factor in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="above 0"):
            scale_time(whole, factor)


def test_scaling_tokens_multiplies_then_limits_and_never_reaches_zero() -> None:
    whole = trace((0, 1000, 3), (1, 10, 400))
    scaled = scale_tokens(whole, max_prompt=64, max_output=32, factor=0.1)
    assert scaled.requests == (TraceRequest(0, 64, 1), TraceRequest(1, 1, 32))
    assert scale_tokens(whole) == whole
    for wrong in ({"factor": 0}, {"max_prompt": -1}, {"max_output": -5}):
        with pytest.raises(ValueError, match="must be"):
            scale_tokens(whole, **wrong)  # type: ignore[arg-type]


def test_offered_load_adds_up() -> None:
    load = offered_load(trace((0, 100, 10), (4, 300, 30)))
    assert (load.requests, load.length_s, load.requests_per_s) == (2, 4, 0.5)
    assert (load.prompt_tokens_per_s, load.output_tokens_per_s) == (100, 10)
    assert (load.mean_prompt_tokens, load.mean_output_tokens) == (200, 20)
    assert offered_load(trace()).requests_per_s == 0
    assert offered_load(trace((0, 5, 5))).mean_prompt_tokens == 5
