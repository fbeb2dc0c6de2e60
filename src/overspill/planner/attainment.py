"""Whether a sized plan keeps its SLO when requests come as they do: its replicas are simulated, bursts and all.

What a replica carries is reckoned for equal requests in a closed loop. Real ones differ in length and come in bursts,
so some wait for a slot, and some meet more neighbours than the mean. With many requests at once that evens out; with a
few it does not: a replica for 7 at once, loaded to 80 %, keeps an SLO for half of its requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from overspill.core.types import LatencyPrior, Policy, Route, RouteTarget, TargetSpec
from overspill.core.types import Slo as RouteSlo
from overspill.perf.engine_model import EngineModel
from overspill.perf.roofline import Load
from overspill.planner.capacity import Candidate, Lengths, ReplicaFit, Slo
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.workload import TraceRequest

_MODEL = "sized"
_MOST_REPLICAS = 16
"""More are not simulated: as many get the requests at their share of the rate, which is the harder case."""
_MOST_GROWTH = 4
"""More than so many times what the mean load needs is no plan any more."""
_CHUNK_TOKENS = 8192
"""Prompt tokens of one step, as the speeds are reckoned with."""
_REACHABLE = 0.97
"""Of what engines for each request alone would keep: more than that takes replicas without end."""
_JOINS = "join_"
_FOREVER_S = 1e6
_QUEUE_LIMIT = 1_000_000


class Attainment(msgspec.Struct, frozen=True, kw_only=True):
    """Which share of the simulated requests met the SLO."""

    met: float
    """Of both its parts."""
    ttft_met: float
    tpot_met: float
    ttft_p95_s: float
    tpot_p95_s: float
    requests: int
    """Without those that came while the engines filled up and ran empty."""
    replicas: int
    """Simulated; of more, as many at their share of the rate."""
    alone: float
    """The share that would meet it with an engine for each request alone."""


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that a plan is held to, and where they are from."""

    requests: tuple[TraceRequest, ...]
    source: str


class Attaining(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas keep the SLO for the wanted share of the requests.

    If no number does, those that the mean load needs: more would cost more and not help.
    """

    replicas: int
    attainment: Attainment
    is_met: bool
    failed: tuple[tuple[int, Attainment], ...]
    """Numbers that were looked at and do not do, small ones first; larger ones too, if none does."""


def engine_of(candidate: Candidate, fit: ReplicaFit, lengths: Lengths) -> TargetModel:
    """Return the replica as the simulator sees it: steps that cost what the speeds between 1 and full say.

    TPOT in a closed loop is ``base + slope x running`` and a share of the others' prompts; the two parts are known
    apart at 1 and at ``concurrency``. What a first token takes beyond its prompt and a step is a delay before it.
    """
    alone, full = _speed(candidate, fit, lengths, 1), _speed(candidate, fit, lengths, fit.concurrency)
    joins = (full.running - 1) / lengths.answer_tokens
    prefill_s = full.joins_s / joins if joins > 0 else alone.ttft_s / 2
    slope_s = max(0.0, full.step_s - alone.step_s) / max(1, full.running - 1)
    groups = fit.layout.dp_attention
    base_s = alone.step_s - slope_s
    prefill_s = min(prefill_s, alone.ttft_s)
    return TargetModel(
        engine=EngineModel(
            slots=fit.concurrency,
            step_base_s=base_s if base_s > 0 else alone.step_s,
            step_s_per_running=slope_s / groups,
            prefill_s_per_token=prefill_s / lengths.prompt_tokens / groups,
            prefill_chunk_tokens=_CHUNK_TOKENS * groups,
            kv_capacity_tokens=max(fit.cache_sequences, 1) * (lengths.prompt_tokens + lengths.answer_tokens),
        ),
        delay_s=max(0.0, alone.ttft_s - alone.step_s - prefill_s),
    )


class _Speed(msgspec.Struct, frozen=True):
    """A closed loop of so many requests in each attention group."""

    running: int
    step_s: float
    joins_s: float
    """What others' prompts add to a token."""
    ttft_s: float


def _speed(candidate: Candidate, fit: ReplicaFit, lengths: Lengths, concurrency: int) -> _Speed:
    running = max(1, concurrency // fit.layout.dp_attention)
    load = Load(concurrency=running, prompt_tokens=lengths.prompt_tokens, answer_tokens=lengths.answer_tokens)
    found = candidate.predictor.predict_load(candidate.deployment(fit.layout), load)
    tpot_s, ttft_s = found.tpot_s, found.ttft_s
    if candidate.is_cautious:
        tpot_s, ttft_s = found.tpot_high_s, found.ttft_high_s
    joins = sum(share for term, share in found.estimate.decode_shares.items() if term.startswith(_JOINS))
    return _Speed(running, tpot_s * (1 - joins), tpot_s * joins, ttft_s)


def attained(target: TargetModel, replicas: int, requests: Sequence[TraceRequest], slo: Slo) -> Attainment:
    """Return which share of the requests meets the SLO with so many replicas and nowhere to spill to."""
    simulated = min(replicas, _MOST_REPLICAS)
    kept = requests if simulated == replicas else _slowed(requests, replicas / simulated)
    policy = _policy(target, simulated, slo)
    played = Simulator(policy, {spec.target_id: target for spec in policy.targets}).run(kept, _MODEL)
    first_s, last_s = _settled(target, kept)
    rows = [row for row in played if first_s <= row.at_s <= last_s]
    ttfts = [math.inf if row.ttft_s is None else row.ttft_s for row in rows]
    tpots = [_tpot_s(row) for row in rows]
    in_time = [slo.ttft_s is None or value <= slo.ttft_s for value in ttfts]
    in_pace = [slo.tpot_s is None or value <= slo.tpot_s for value in tpots]
    count = len(rows)
    return Attainment(
        met=sum(both[0] and both[1] for both in zip(in_time, in_pace, strict=True)) / count,
        ttft_met=sum(in_time) / count,
        tpot_met=sum(in_pace) / count,
        ttft_p95_s=_p95(ttfts),
        tpot_p95_s=_p95(tpots),
        requests=count,
        replicas=simulated,
        alone=sum(_is_met_alone(target, request, slo) for request in kept) / len(kept),
    )


def _settled(target: TargetModel, requests: Sequence[TraceRequest]) -> tuple[float, float]:
    """Return from when to when requests count: before, engines fill up, and at the end they run empty."""
    start_s, end_s = requests[0].at_s, requests[-1].at_s
    engine = target.engine
    answer = sum(request.output_tokens for request in requests) / len(requests)
    stay_s = target.delay_s + answer * (engine.step_base_s + engine.step_s_per_running * engine.slots)
    span_s = end_s - start_s
    return start_s + min(span_s / 3, 3 * stay_s), end_s - min(span_s / 6, stay_s)


def replicas_that_attain(
    target: TargetModel, least: int, requests: Sequence[TraceRequest], slo: Slo, wanted: float
) -> Attaining:
    """Return the fewest replicas from ``least`` on that keep the SLO for the wanted share of the requests.

    Where some requests are too long for the SLO whatever is done, nearly all of the others must keep it.
    """
    seen: dict[int, Attainment] = {}

    def share(replicas: int) -> float:
        if replicas not in seen:
            seen[replicas] = attained(target, replicas, requests, slo)
        return seen[replicas].met

    share(least)
    goal = min(wanted, seen[least].alone * _REACHABLE)
    most = least * _MOST_GROWTH + 4
    low, high = least - 1, least
    while share(high) < goal and high < most:
        low, high = high, min(most, math.ceil(high * 1.3) + 1)
    if share(high) < goal:
        others = tuple((count, seen[count]) for count in sorted(seen) if count != least)
        return Attaining(replicas=least, attainment=seen[least], is_met=False, failed=others)
    while high - low > 1 and high > least:
        middle = (low + high) // 2
        low, high = (low, middle) if share(middle) >= goal else (middle, high)
    return Attaining(
        replicas=high,
        attainment=seen[high],
        is_met=seen[high].met >= wanted,
        failed=tuple((count, seen[count]) for count in sorted(seen) if count < high),
    )


def _is_met_alone(target: TargetModel, request: TraceRequest, slo: Slo) -> bool:
    """Return whether a request keeps the SLO on an engine that does nothing else."""
    engine = target.engine
    chunks = math.ceil(request.prompt_tokens / engine.prefill_chunk_tokens)
    ttft_s = target.delay_s + chunks * engine.step_base_s + request.prompt_tokens * engine.prefill_s_per_token
    tpot_s = engine.step_base_s + engine.step_s_per_running
    is_in_time = slo.ttft_s is None or ttft_s <= slo.ttft_s
    return is_in_time and (slo.tpot_s is None or request.output_tokens == 1 or tpot_s <= slo.tpot_s)


def _slowed(requests: Sequence[TraceRequest], factor: float) -> list[TraceRequest]:
    """Return the requests so many times as far apart."""
    return [msgspec.structs.replace(request, at_s=request.at_s * factor) for request in requests]


def _policy(target: TargetModel, replicas: int, slo: Slo) -> Policy:
    engine = target.engine
    prior = LatencyPrior(
        ttft_base_s=engine.step_base_s + target.delay_s,
        prefill_s_per_token=engine.prefill_s_per_token,
        tpot_base_s=engine.step_base_s,
        tpot_s_per_running=engine.step_s_per_running,
    )
    targets = tuple(
        TargetSpec(target_id=f"replica-{number}", pool=_MODEL, is_local=True, slots=engine.slots, prior=prior)
        for number in range(replicas)
    )
    route = Route(
        pattern=_MODEL,
        tiers=(tuple(RouteTarget(target_id=spec.target_id, model="") for spec in targets),),
        slo=RouteSlo(ttft_s=slo.ttft_s or _FOREVER_S, tpot_s=slo.tpot_s),
        deadline_s=_FOREVER_S,
        queue_limit=_QUEUE_LIMIT,
    )
    return Policy(targets=targets, routes=(route,))


def _tpot_s(row: SimulatedRequest) -> float:
    if row.ttft_s is None or row.e2e_s is None:
        return math.inf
    return (row.e2e_s - row.ttft_s) / (row.output_tokens - 1) if row.output_tokens > 1 else 0.0


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[max(0, math.ceil(len(values) * 0.95) - 1)]
