"""What holds for every trace and every world that is simulated."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.core.making import route
from tests.unit.planner.worlds import ENGINE, away, home, run

from overspill.core.types import Outcome
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest

GAPS = st.floats(0, 0.5) | st.just(0.0)
REQUESTS = st.tuples(GAPS, st.integers(1, 400), st.integers(1, 60))


@st.composite
def traces(draw: st.DrawFn) -> list[TraceRequest]:
    at_s = 0.0
    trace = []
    for gap_s, prompt_tokens, output_tokens in draw(st.lists(REQUESTS, min_size=1, max_size=40)):
        at_s += gap_s
        trace.append(TraceRequest(at_s, prompt_tokens, output_tokens))
    return trace


@st.composite
def engines(draw: st.DrawFn) -> EngineModel:
    return EngineModel(
        slots=draw(st.integers(1, 8)),
        step_base_s=draw(st.sampled_from([0.001, 0.02, 0.3])),
        step_s_per_running=draw(st.sampled_from([0.0, 0.002])),
        prefill_s_per_token=draw(st.sampled_from([0.0, 0.0005])),
        prefill_chunk_tokens=draw(st.sampled_from([16, 2048])),
        context_tokens=draw(st.sampled_from([None, 128, 300])),
        kv_capacity_tokens=draw(st.sampled_from([None, 500])),
    )


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, object]:
    engine = draw(engines())
    gpu = home(slots=draw(st.sampled_from([None, 1, engine.slots])), context_tokens=draw(st.sampled_from([None, 200])))
    tiers = draw(st.sampled_from([(("gpu",), ("api",)), (("gpu",),), (("api",),), (("gpu", "api"),)]))
    rule = route(
        *tiers,
        ttft_s=draw(st.sampled_from([0.05, 1.0, 10.0])),
        deadline_s=draw(st.sampled_from([0.0, 0.5, 60.0])),
        queue_limit=draw(st.sampled_from([0, 3, 256])),
    )
    model = TargetModel(engine=engine, delay_s=draw(st.sampled_from([0.0, 0.1])))
    return {"targets": (gpu, away()), "routes": (rule,), "models": {"gpu": model}, "local_only": draw(st.booleans())}


def played(trace: list[TraceRequest], world: dict[str, object]) -> list[SimulatedRequest]:
    rest = {name: value for name, value in world.items() if name != "targets"}
    return run(trace, *world["targets"], **rest)  # type: ignore[misc,arg-type]


@settings(max_examples=150, deadline=None)
@given(traces(), worlds())
def test_every_request_gets_exactly_one_end_and_plausible_times(
    trace: list[TraceRequest], world: dict[str, object]
) -> None:
    rows = played(trace, world)
    assert [(row.at_s, row.prompt_tokens) for row in rows] == [(r.at_s, r.prompt_tokens) for r in trace]
    for row, request in zip(rows, trace, strict=True):
        assert row.e2e_s is not None
        if row.outcome is Outcome.COMPLETED:
            assert row.reason is None
            assert row.target_id in ("gpu", "api")
            assert row.queue_wait_s is not None
            assert row.ttft_s is not None
            assert 0 <= row.queue_wait_s < row.ttft_s <= row.e2e_s
            assert 1 <= row.output_tokens <= request.output_tokens
        else:
            assert row.outcome in (Outcome.REJECTED, Outcome.EVICTED, Outcome.FAILED)
            assert row.reason is not None
            assert row.ttft_s is None
        if world["local_only"]:
            assert row.target_id in ("gpu", None)


@settings(max_examples=60, deadline=None)
@given(traces(), worlds())
def test_the_same_trace_twice_gives_the_same_rows(trace: list[TraceRequest], world: dict[str, object]) -> None:
    assert played(trace, world) == played(trace, world)


@settings(max_examples=60, deadline=None)
@given(traces())
def test_nothing_spills_from_a_home_without_limits(trace: list[TraceRequest]) -> None:
    engine = msgspec.structs.replace(ENGINE, slots=1000, prefill_s_per_token=0.0, step_s_per_running=0.0)
    gpu = home(engine=engine, slots=None)
    rows = run(trace, gpu, away(), models={"gpu": TargetModel(engine=engine)})
    assert {(row.target_id, row.spill, row.queue_wait_s) for row in rows} == {("gpu", None, 0.0)}
