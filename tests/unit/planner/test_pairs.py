"""Two scenarios on the same requests."""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.unit.core.making import policy, route
from tests.unit.planner.worlds import CLOUD, ENGINE, away, even, home

from overspill.core.types import Outcome
from overspill.errors import ConfigError, UnknownName
from overspill.planner.figures import Promise
from overspill.planner.pairs import Blocks, Difference, sentence
from overspill.planner.scenario import Scenario, scenario, shaped, told
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest

TRACE = even(900, 1.0, output_tokens=50)
NAMES = ("a.yaml", "b.yaml")


def world(slots: int, usd_per_hour: float = 1.0) -> Scenario:
    engine = msgspec.structs.replace(ENGINE, slots=slots, step_base_s=0.05)
    spec, rented = home(engine=engine), away()
    return scenario(
        f"{slots}.yaml",
        policy(spec, rented, routes=(route(("gpu",), ("api",), ttft_s=0.5),)),
        "m",
        models={"gpu": TargetModel(engine=engine), "api": TargetModel(engine=CLOUD), "gone": TargetModel(engine=CLOUD)},
        usd_per_hour={"local": usd_per_hour},
    )


def compared(first: Scenario, second: Scenario, trace: list[TraceRequest] = TRACE) -> tuple[dict[str, Difference], int]:
    blocks = Blocks((first.promise, second.promise), (first.units_usd_per_hour, second.units_usd_per_hour))
    for which, one in enumerate((first, second)):
        one.play(trace, blocks.seen(which, 0))
    found, count = blocks.differences()
    return {one.name: one for one in found}, count


def test_the_same_scenario_twice_differs_in_nothing() -> None:
    found, count = compared(world(2), world(2))
    assert count == 15
    assert {(one.difference, one.low, one.high, one.is_told) for one in found.values()} == {(0.0, 0.0, 0.0, False)}
    assert sentence(list(found.values()), NAMES).startswith("Both did the same with every request")


def test_more_slots_spill_less_and_are_told_to() -> None:
    found, _ = compared(world(1), world(4, 1.5))
    spilled, cost = found["spilled"], found["usd_per_hour"]
    assert spilled.is_told
    assert spilled.low <= spilled.difference <= spilled.high < 0
    assert cost.first == pytest.approx(1.0, abs=0.5)
    assert set(found) >= {"slo_met", "refused", "goodput_per_s", "ttft_s.p50", "ttft_s.p99", "tpot_s.p50", "e2e_s.p99"}
    assert compared(world(1), world(4, 1.5))[0] == found  # the same draws each time


def test_too_short_a_trace_tells_nothing() -> None:
    found, count = compared(world(1), world(4), TRACE[:200])
    assert count < 8
    assert {(one.low, one.high) for one in found.values()} == {(-math.inf, math.inf)}


def test_quantiles_are_within_a_bin_of_the_exact_ones() -> None:
    blocks = Blocks((Promise(ttft_s=1.0), Promise(ttft_s=1.0)), (0.0, 0.0))
    for which, factor in ((0, 1.0), (1, 2.0)):
        add = blocks.seen(which, 0)
        for number in range(1000):
            ttft_s = factor * (1 + number % 100) / 100
            row = SimulatedRequest(number, number * 2.0, 10, 1, outcome=Outcome.COMPLETED, ttft_s=ttft_s, e2e_s=ttft_s)
            add(row, 0.0)
    found = {one.name: one for one in blocks.differences()[0]}
    assert found["ttft_s.p50"].first == pytest.approx(0.5, rel=0.03)
    assert found["ttft_s.p99"].second == pytest.approx(1.98, rel=0.03)
    assert found["slo_met"].difference == pytest.approx(-0.5)
    assert "tpot_s.p50" not in found  # answers of one token have none


def test_where_a_price_is_unknown_nothing_is_said_of_the_cost() -> None:
    blocks = Blocks((Promise(ttft_s=1.0), Promise(ttft_s=1.0)), (0.0, 0.0))
    for which in (0, 1):
        refused = SimulatedRequest(0, 0.0, 10, 1, outcome=Outcome.REJECTED, e2e_s=0.0)
        blocks.seen(which, 0)(refused, None)
    found = blocks.differences()[0]
    assert blocks.unpriced == 2
    assert "usd_per_hour" not in {one.name for one in found}
    assert "the cost is unknown" in sentence(found, NAMES)


def difference(name: str, first: float, second: float, spread: float) -> Difference:
    return Difference(name=name, first=first, second=second, low=second - first - spread, high=second - first + spread)


@pytest.mark.parametrize(
    ("slo", "cost", "said"),
    [
        ((0.9, 0.95, 0.01), (5.0, 4.0, 0.1), "b.yaml is better: it keeps the SLO for 5.00 points more"),
        ((0.9, 0.9, 0.01), (5.0, 4.0, 0.1), "b.yaml is better: it costs $1.00 an hour less"),
        ((0.95, 0.9, 0.01), (5.0, 5.0, 0.1), "a.yaml is better: it keeps the SLO"),
        ((0.95, 0.9, 0.01), (5.0, 4.0, 0.1), "Neither is better in both: a.yaml keeps the SLO for 5.00 points more"),
        ((0.9, 0.95, 0.1), (5.0, 4.0, 2.0), "It cannot be told which is better"),
        ((0.9, 0.95, 0.01), None, "b.yaml keeps the SLO for 5.00 points more"),
    ],
)
def test_the_sentence_says_who_is_better_in_what(
    slo: tuple[float, float, float], cost: tuple[float, float, float] | None, said: str
) -> None:
    found = [difference("slo_met", *slo)]
    if cost is not None:
        found.append(difference("usd_per_hour", *cost))
    assert sentence(found, NAMES).startswith(said)


def test_a_scenario_needs_a_route_and_pools_that_are_there() -> None:
    with pytest.raises(ConfigError, match="no route serves the model 'other'; its routes are m"):
        scenario("a.yaml", policy(home(), routes=(route(("gpu",)),)), "other")
    with pytest.raises(UnknownName, match=r"pool of a\.yaml"):
        scenario("a.yaml", policy(home(), routes=(route(("gpu",)),)), "m", usd_per_hour={"lokal": 1.0})


def test_a_trace_is_cut_squeezed_and_scaled_as_it_comes() -> None:
    trace = [TraceRequest(0.0, 10, 3, "k", 4), TraceRequest(8.0, 10, 1), TraceRequest(20.0, 1, 1)]
    assert list(shaped(trace)) == trace
    assert list(shaped(trace, seconds=10.0, speed_up=4.0, token_factor=0.5)) == [
        TraceRequest(0.0, 5, 2, "k", 2),
        TraceRequest(2.0, 5, 1),
    ]
    seen: list[tuple[int, float]] = []
    assert len(list(told(even(4100, 0.5), lambda count, at_s: seen.append((count, at_s))))) == 4100
    assert seen == [(0, 0.0), (2048, 1024.0), (4096, 2048.0)]
