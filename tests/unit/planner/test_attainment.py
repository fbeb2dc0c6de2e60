"""A sized plan is held to bursts: the simulator's engine is as fast as predicted, and requests wait for it."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.planner.test_sizing import candidate
from tests.unit.planner.worlds import even

from overspill.perf.batching import Batch
from overspill.perf.memory import Layout
from overspill.planner.attainment import Arrivals, attained, engine_of, replicas_that_attain
from overspill.planner.capacity import Candidate, Lengths, Obstacle, ReplicaFit, Slo, fit_replica
from overspill.planner.simulated import TargetModel
from overspill.planner.sizing import Demand, size
from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.synthetic import SyntheticWorkload

LENGTHS = Lengths(prompt_tokens=1200, answer_tokens=300, longest_tokens=1500)
SLO = Slo(ttft_s=2.0, tpot_s=0.03)


def replica(gpu: str, layout: Layout, slo: Slo = SLO, **changes: object) -> tuple[Candidate, ReplicaFit]:
    one = msgspec.structs.replace(candidate("Llama-3.1-70B", gpu, "bf16"), **changes)
    fit = fit_replica(one, layout, LENGTHS, slo)
    assert isinstance(fit, ReplicaFit)
    return one, fit


def drawn(rate: float, cv: float = 2.0, count: int = 1000) -> tuple[TraceRequest, ...]:
    flat = f"rps={rate},peak={rate},in=1200,out=300,cv={cv},hours={count / rate / 3600}"
    return tuple(SyntheticWorkload(flat, Options()).requests())


def closed_loop_tpot_s(target: TargetModel, concurrency: int) -> float:
    """Keep as many requests of mean length in an engine, each followed by the next, and measure the later half."""
    batch, started, tpots, now = Batch(target.engine), dict[int, float](), list[float](), 0.0
    for number in range(concurrency):
        batch.admit(number, LENGTHS.prompt_tokens, LENGTHS.answer_tokens - number % 37, 0.0)
    number = concurrency
    while len(tpots) < 6 * concurrency:
        now = batch.next_wakeup_s() or now
        for event in batch.advance(now):
            if not event.is_last:
                started[event.request_id] = event.at_s
                continue
            tpots.append((event.at_s - started[event.request_id]) / (LENGTHS.answer_tokens - 1))
            batch.admit(number, LENGTHS.prompt_tokens, LENGTHS.answer_tokens, now)
            number += 1
    later = tpots[3 * concurrency :]
    return sum(later) / len(later)


@pytest.mark.parametrize("gpu", ["H100", "A100"])
@pytest.mark.parametrize("tp", [4, 8])
def test_the_engine_is_as_fast_as_the_prediction_alone_and_full(gpu: str, tp: int) -> None:
    one, fit = replica(gpu, Layout(tp=tp), Slo(ttft_s=5.0, tpot_s=0.06))
    target = engine_of(one, fit, LENGTHS)
    assert closed_loop_tpot_s(target, fit.concurrency) == pytest.approx(fit.prediction.tpot_s, rel=0.06)
    alone = attained(target, 1, even(3, 100.0, LENGTHS.prompt_tokens, LENGTHS.answer_tokens), Slo(ttft_s=1.0))
    again = fit_replica(one, Layout(tp=tp), LENGTHS, Slo(tpot_s=alone.tpot_p95_s * 1.0001))
    assert isinstance(again, ReplicaFit)
    assert alone.ttft_p95_s == pytest.approx(again.prediction.ttft_s, rel=0.02)


def test_a_cautious_engine_is_slower() -> None:
    bold, careful = (
        engine_of(*replica("H100", Layout(tp=4), Slo(), is_cautious=is_cautious), LENGTHS)
        for is_cautious in (False, True)
    )
    assert careful.engine.step_base_s > 1.5 * bold.engine.step_base_s


def test_one_at_once_has_no_slope() -> None:
    one, fit = replica("A100", Layout(tp=4))
    engine = engine_of(one, msgspec.structs.replace(fit, concurrency=1), LENGTHS).engine
    assert (engine.slots, engine.step_s_per_running) == (1, 0.0)
    assert engine.prefill_s_per_token > 0


def test_bursts_break_a_plan_for_few_at_once_and_replicas_mend_it() -> None:
    """By its mean load one replica for 7 at once would do: 0.5 requests/s are less than 80 % of what it carries."""
    one, fit = replica("A100", Layout(tp=4))
    target, requests = engine_of(one, fit, LENGTHS), drawn(0.5)
    assert fit.requests_per_s * 0.8 > 0.5
    assert attained(target, 1, requests, SLO).met < 0.7
    found = replicas_that_attain(target, 1, requests, SLO, 0.9)
    assert found.is_met
    assert found.replicas > 1
    assert found.attainment.met >= 0.9
    assert found.failed[-1][0] == found.replicas - 1
    assert found.failed[-1][1].met < 0.9
    even_ones = attained(target, 1, even(300, 2.0, 1200, 300), SLO)
    assert even_ones.met == 1.0


def test_no_number_of_replicas_makes_long_requests_short() -> None:
    one, fit = replica("A100", Layout(tp=8))
    target = engine_of(one, fit, LENGTHS)
    halves = tuple(
        msgspec.structs.replace(request, prompt_tokens=60_000 if index % 2 else 100, output_tokens=20)
        for index, request in enumerate(even(200, 30.0))
    )
    found = replicas_that_attain(target, 2, halves, SLO, 0.95)
    assert found.attainment.alone == 0.5
    assert (found.is_met, found.replicas) == (False, 2)
    assert found.attainment.met == pytest.approx(0.5, abs=0.01)


def test_an_slo_that_more_replicas_do_not_bring_nearer_costs_no_more_of_them() -> None:
    """Each answer of two tokens meets the prompt of another: alone it is fast, and never alone."""
    one, fit = replica("A100", Layout(tp=8))
    target = engine_of(one, fit, LENGTHS)
    crowd = tuple(TraceRequest(100.0 * (index // 60), 1200, 2) for index in range(600))
    found = replicas_that_attain(target, 1, crowd, Slo(ttft_s=1.0, tpot_s=0.02), 0.95)
    assert (found.is_met, found.replicas) == (False, 1)
    assert [count for count, _ in found.failed][-1] == 8


def test_many_replicas_are_simulated_by_some_at_their_share_of_the_rate() -> None:
    one, fit = replica("H100", Layout(tp=4))
    target, requests = engine_of(one, fit, LENGTHS), drawn(40.0, count=400)
    found = attained(target, 64, requests, SLO)
    assert found.replicas == 16
    assert len(requests) / 2 <= found.requests < len(requests)
    slow = tuple(msgspec.structs.replace(request, at_s=request.at_s * 4) for request in requests)
    assert found == attained(target, 16, slow, SLO)


def test_a_plan_says_how_well_the_slo_is_kept_and_why_smaller_ones_do_not() -> None:
    demand = Demand(requests_per_s=0.5, lengths=LENGTHS, source="test")
    arrivals = Arrivals(requests=drawn(0.5), source="test")
    one = candidate("Llama-3.1-70B", "A100", "bf16")
    by_mean = size(one, demand, SLO, headroom=0.2)
    held = size(one, demand, SLO, headroom=0.2, arrivals=arrivals)
    assert (by_mean.gpus, by_mean.attainment) == (4, None)
    assert held.gpus == 8
    assert held.attainment is not None
    assert held.attainment.met >= 0.95
    missed = [failure for failure in held.failures if failure.obstacle is Obstacle.ATTAINMENT]
    assert [failure.gpus for failure in missed if failure.gpus == 4]
    assert "of requests meet the SLO at the peak, not 95.0%: mostly TTFT is late" in missed[0].why
    assert size(one, demand, Slo(), headroom=0.2, arrivals=arrivals).attainment is None


def test_replicas_that_bursts_ask_for_carry_less_each() -> None:
    demand = Demand(requests_per_s=2.0, lengths=LENGTHS, source="test")
    one = candidate("Llama-3.1-70B", "A100", "bf16")
    held = size(one, demand, Slo(ttft_s=0.7, tpot_s=0.024), headroom=0.0, attainment=0.9,
                arrivals=Arrivals(requests=drawn(2.0), source="test"))  # fmt: skip
    assert held.replica is not None
    assert held.burst_limited_per_s == 2.0 / held.replicas
    assert held.burst_limited_per_s < held.replica.requests_per_s
    plain = size(one, demand, SLO, headroom=0.0)
    assert plain.burst_limited_per_s is None
