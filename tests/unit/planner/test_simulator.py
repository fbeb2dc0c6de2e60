"""The simulate driver: the gateway's controller against modelled engines in virtual time."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.core.making import policy, route
from tests.unit.planner.worlds import CLOUD, ENGINE, away, even, home, run

from overspill.core.types import Outcome, RejectReason, Spill
from overspill.errors import UnknownName
from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.workload import TraceRequest, cut, scale_tokens
from overspill.planner.workloads.reading import bundled_trace


def test_one_target_without_overload_is_the_batching_model_itself() -> None:
    trace = [TraceRequest(0.11 * n, 20 + 13 * n % 90, 1 + 7 * n % 30) for n in range(40)]
    engine = msgspec.structs.replace(ENGINE, slots=64)
    rows = run(trace, home(engine=engine), models={"gpu": TargetModel(engine=engine)})
    batch = Batch(engine)
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for number, request in enumerate(trace):
        for seen in batch.advance(request.at_s):
            (last if seen.is_last else first)[seen.request_id] = seen.at_s
        batch.admit(number, request.prompt_tokens, request.output_tokens, request.at_s)
    for seen in batch.advance(1e9):
        (last if seen.is_last else first)[seen.request_id] = seen.at_s
    assert [row.ttft_s for row in rows] == [first[n] - request.at_s for n, request in enumerate(trace)]
    assert [row.e2e_s for row in rows] == [last[n] - request.at_s for n, request in enumerate(trace)]
    assert {(row.target_id, row.spill, row.queue_wait_s, row.outcome) for row in rows} == {
        ("gpu", None, 0.0, Outcome.COMPLETED)
    }


def test_a_delay_is_paid_once_on_the_way_there_and_back() -> None:
    (near,) = run(even(1, 1.0), home())
    (far,) = run(even(1, 1.0), home(), models={"gpu": TargetModel(engine=ENGINE, delay_s=0.3)})
    assert near.ttft_s is not None
    assert near.e2e_s is not None
    assert far.ttft_s == pytest.approx(near.ttft_s + 0.3)
    assert far.e2e_s == pytest.approx(near.e2e_s + 0.3)


def test_an_idle_home_keeps_every_request() -> None:
    rows = run(even(30, 1.0), home(), away())
    assert {(row.target_id, row.spill) for row in rows} == {("gpu", None)}


def test_an_overloaded_home_is_kept_busy_and_the_rest_spills_in_time() -> None:
    trace = even(600, 0.04, output_tokens=50)
    rows = run(trace, home(), away(), routes=(route(("gpu",), ("api",), ttft_s=1.0),))
    assert {row.outcome for row in rows} == {Outcome.COMPLETED}
    assert {row.spill for row in rows} == {None, Spill.LOCAL_FULL}
    assert all((row.spill is None) == (row.target_id == "gpu") for row in rows)
    assert max(row.ttft_s or 99.0 for row in rows) < 1.0
    end_s = trace[-1].at_s
    held_s = sum(
        min(end_s, row.at_s + (row.e2e_s or 0.0)) - row.at_s - (row.queue_wait_s or 0.0)
        for row in rows
        if row.target_id == "gpu" and row.at_s + (row.queue_wait_s or 0.0) < end_s
    )
    assert held_s / (end_s * ENGINE.slots) > 0.95


def test_local_only_never_leaves_and_evicts_what_waits_too_long() -> None:
    routes = (route(("gpu",), ("api",), ttft_s=1.0, deadline_s=3.0, queue_limit=50),)
    rows = run(even(300, 0.04, output_tokens=50), home(), away(), routes=routes, local_only=True)
    assert {row.target_id for row in rows} <= {"gpu", None}
    outcomes = {row.outcome for row in rows}
    assert outcomes == {Outcome.COMPLETED, Outcome.EVICTED, Outcome.REJECTED}
    evicted = [row for row in rows if row.outcome is Outcome.EVICTED]
    assert {row.reason for row in evicted} == {RejectReason.DEADLINE_EVICTED, RejectReason.QUEUE_FULL}
    overdue = [row for row in evicted if row.reason is RejectReason.DEADLINE_EVICTED]
    assert {round(row.e2e_s or 0.0, 6) for row in overdue} == {3.0}
    assert all(0.0 < (row.e2e_s or 0.0) < 3.0 for row in evicted if row not in overdue)  # they gave way
    rejected = [row for row in rows if row.outcome is Outcome.REJECTED]
    assert {(row.reason, row.e2e_s, row.ttft_s) for row in rejected} == {(RejectReason.QUEUE_FULL, 0.0, None)}


def test_a_route_without_home_runs_in_the_cloud_and_is_no_overload() -> None:
    rows = run(even(50, 0.01), home(), away(), routes=(route(("api",)),))
    assert {(row.target_id, row.spill) for row in rows} == {("api", None)}


def test_a_name_without_a_route_is_rejected() -> None:
    rows = run(even(2, 1.0), home(), routes=(route(("gpu",), pattern="other"),))
    assert {(row.outcome, row.reason, row.e2e_s) for row in rows} == {
        (Outcome.REJECTED, RejectReason.UNKNOWN_MODEL, 0.0)
    }


def test_an_answer_that_the_context_has_no_room_for_is_cut() -> None:
    engine = msgspec.structs.replace(ENGINE, context_tokens=60)
    (row,) = run([TraceRequest(0.0, 50, 40)], home(), models={"gpu": TargetModel(engine=engine)})
    assert (row.outcome, row.output_tokens) == (Outcome.COMPLETED, 10)


def test_a_prompt_that_the_engine_finds_too_long_goes_where_it_fits() -> None:
    engine = msgspec.structs.replace(ENGINE, context_tokens=40)
    (row,) = run([TraceRequest(0.0, 50, 5)], home(), away(), models={"gpu": TargetModel(engine=engine, delay_s=0.2)})
    assert (row.outcome, row.target_id, row.spill) == (Outcome.COMPLETED, "api", Spill.CONTEXT_TOO_LONG)
    assert row.queue_wait_s == pytest.approx(0.2)


def test_a_prompt_that_fits_nowhere_fails() -> None:
    engine = msgspec.structs.replace(ENGINE, context_tokens=40)
    (row,) = run([TraceRequest(0.0, 50, 5)], home(), models={"gpu": TargetModel(engine=engine)})
    assert (row.outcome, row.reason) == (Outcome.FAILED, RejectReason.PROMPT_TOO_LONG)


def test_an_engine_with_fewer_slots_than_the_gateway_believes_queues_by_itself() -> None:
    engine = EngineModel(slots=1, step_base_s=0.1)
    rows = run(even(2, 0.0, output_tokens=10), home(), models={"gpu": TargetModel(engine=engine)})
    assert [row.queue_wait_s for row in rows] == [0.0, 0.0]
    assert [row.ttft_s for row in rows] == [pytest.approx(0.1), pytest.approx(1.1)]


def test_a_target_without_a_model_is_named() -> None:
    with pytest.raises(UnknownName, match=r"unknown model of target 'api'.*known: gpu"):
        Simulator(policy(home(), away()), {"gpu": TargetModel(engine=ENGINE)})


def test_a_model_of_a_target_that_is_not_in_the_policy_is_not_needed() -> None:
    rows = run(even(1, 1.0), home(), models={"api": TargetModel(engine=CLOUD)})
    assert rows[0].target_id == "gpu"


def test_nothing_comes_of_an_empty_trace() -> None:
    assert run([], home()) == []


def test_the_bundled_trace_is_answered_whole_where_there_is_a_cloud() -> None:
    trace = list(scale_tokens(cut(bundled_trace(), 0.0, 120.0), factor=0.25).requests)
    rows = run(trace, home(), away(), routes=(route(("gpu",), ("api",), ttft_s=1.0),))
    assert len(rows) == len(trace) > 400
    assert {row.outcome for row in rows} == {Outcome.COMPLETED}
    assert {row.target_id for row in rows} == {"gpu", "api"}
