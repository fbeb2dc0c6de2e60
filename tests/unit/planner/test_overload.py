"""Overload with nowhere to spill, in virtual time: no collapse, waits within deadlines, and to each key its share."""

from __future__ import annotations

from zlib import crc32

import msgspec
import pytest
from tests.unit.core.making import policy, route
from tests.unit.planner.worlds import ENGINE, home

from overspill.core.types import Client, Outcome, Policy
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import simulate
from overspill.planner.workload import TraceRequest

SLO_S, DEADLINE_S, SECONDS, WARM_S = 1.5, 15.0, 200.0, 30.0
TOKENS = 40
CAPACITY = ENGINE.slots / (TOKENS * (ENGINE.step_base_s + ENGINE.slots * ENGINE.step_s_per_running))
ROUTE = route(("gpu",), ttft_s=SLO_S, deadline_s=DEADLINE_S, queue_limit=64)


def chance(*names: object) -> float:
    return crc32("/".join(map(str, names)).encode()) / 2**32


def arrivals(key: str, per_s: float, tokens: int) -> list[TraceRequest]:
    """Make uneven arrivals of one key, with answers from a fifth to nine fifths of ``tokens``."""
    return [
        TraceRequest(
            (n + chance("at", key, n)) / per_s, 10 + n % 90, max(2, round(tokens * (0.2 + 1.6 * chance(key, n)))), key
        )
        for n in range(int(SECONDS * per_s))
    ]


def play(trace: list[TraceRequest], **weights: float) -> list[SimulatedRequest]:
    clients = tuple(Client(key_id=key, weight=weight) for key, weight in weights.items())
    world: Policy = msgspec.structs.replace(policy(home(), routes=(ROUTE,)), clients=clients)
    return simulate(sorted(trace, key=lambda r: r.at_s), world, {"gpu": TargetModel(engine=ENGINE)}, "m")


def goodput(rows: list[SimulatedRequest]) -> float:
    """Return requests per second that were answered whole, their first token within the SLO."""
    ended = [row for row in rows if WARM_S <= row.at_s + (row.e2e_s or 0.0) < SECONDS]
    good = [r for r in ended if r.outcome is Outcome.COMPLETED and r.ttft_s is not None and r.ttft_s <= SLO_S]
    return len(good) / (SECONDS - WARM_S)


def shares(rows: list[SimulatedRequest]) -> dict[str, float]:
    """Return each key's share of the slots' time between the warm-up and the end of the arrivals."""
    held: dict[str, float] = {}
    for row in rows:
        begin = row.at_s + (row.queue_wait_s or 0.0)
        end = row.at_s + (row.e2e_s or 0.0)
        if row.target_id is not None:
            held[row.key_id] = held.get(row.key_id, 0.0) + max(0.0, min(end, SECONDS) - max(begin, WARM_S))
    return {key: seconds / sum(held.values()) for key, seconds in sorted(held.items())}


def test_goodput_does_not_collapse_under_overload_and_no_wait_outlasts_its_deadline() -> None:
    figures = {}
    for times in (0.8, 1.0, 1.5, 2.0, 3.0, 5.0):
        rows = play(arrivals("", CAPACITY * times, TOKENS))
        figures[times] = goodput(rows)
        waits = [row.queue_wait_s for row in rows if row.queue_wait_s is not None]
        waits += [row.e2e_s or 0.0 for row in rows if row.outcome in (Outcome.EVICTED, Outcome.REJECTED)]
        assert max(waits) <= DEADLINE_S + 1e-6
        assert {row.outcome for row in rows} <= {Outcome.COMPLETED, Outcome.EVICTED, Outcome.REJECTED}
    peak = max(figures.values())
    assert peak > 0.8 * CAPACITY
    assert figures[5.0] >= 0.9 * peak, figures


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}),
        ({"a": 1.0, "b": 1.0, "c": 2.0}, {"a": 0.25, "b": 0.25, "c": 0.5}),
    ],
)
def test_each_key_gets_its_share_whatever_it_asks_for(weights: dict[str, float], expected: dict[str, float]) -> None:
    """All ask for more than their share: one twice as often as the others, one for answers three times as long."""
    trace = [
        *arrivals("a", CAPACITY, TOKENS),
        *arrivals("b", 2.0 * CAPACITY, TOKENS),
        *arrivals("c", CAPACITY * 2 / 3, 3 * TOKENS),
    ]
    found = shares(play(trace, **weights))
    assert found == pytest.approx(expected, abs=0.05 * min(expected.values()))


def test_what_one_key_does_not_want_is_divided_among_the_others() -> None:
    trace = [
        *arrivals("a", 0.1 * CAPACITY, TOKENS),
        *arrivals("b", 3.0 * CAPACITY, TOKENS),
        *arrivals("c", 2.0 * CAPACITY, TOKENS),
    ]
    rows = play(trace)
    found = shares(rows)
    assert found["a"] == pytest.approx(0.1, abs=0.02)
    assert found["b"] == pytest.approx(found["c"], rel=0.05)
    modest = [row for row in rows if row.key_id == "a"]
    in_time = [row for row in modest if row.ttft_s is not None and row.ttft_s <= SLO_S]
    assert len(in_time) > 0.9 * len(modest)  # others' backlogs are not its own
