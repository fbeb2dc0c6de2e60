"""How many of which GPUs a model needs for a workload within an SLO: the best layout of each kind, and why no less.

Of the layouts that do, the one with the fewest GPUs in all wins, then the one with fewer per replica. Replicas are
added until the SLO is met by the wanted share of requests that come in bursts. What is smaller and fails is kept with
its reason.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from overspill.perf.memory import Layout
from overspill.planner.attainment import Arrivals, Attaining, Attainment, engine_of, replicas_that_attain
from overspill.planner.capacity import (
    Candidate,
    Failure,
    Lengths,
    Obstacle,
    ReplicaFit,
    Slo,
    fit_replica,
    layouts,
    replicas_for,
)
from overspill.planner.simulated import TargetModel

_BYTES_PER_TOKEN_SENT = 220
"""Of an SSE chunk with its JSON, measured on OpenAI-compatible streams: some 200 to 250."""
_BYTES_PER_TOKEN_READ = 5
_SPARE_DISK = 1.2
"""Room beside the weights: tokenizer, a second version while one is replaced partly, compiled kernels."""


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What the replicas together must carry."""

    requests_per_s: float
    """At the peak that is planned for."""
    lengths: Lengths
    source: str


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs beside GPUs."""

    storage_bytes: float
    """On each machine, for the weights."""
    load_s_per_gb_per_s: float
    """Seconds until the weights are read, at 1 GB/s; divide by what your storage does."""
    client_bytes_per_s: float
    """To and from clients at the peak."""
    link_gb_per_s: float
    """Between the GPUs of a replica, per GPU and direction, as the hardware has it."""
    network_gb_per_s: float | None
    """Between machines, where a replica spans several; ``None`` if it does not."""
    power_w: float
    """Of all GPUs at full load; machines around them take some 40 % more."""


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """The plan for one kind of GPU, or why there is none."""

    gpu: str
    precision: str
    replica: ReplicaFit | None
    replicas: int
    gpus: int
    carries_per_s: float
    """Requests per second of all replicas within the SLO, without headroom."""
    attainment: Attainment | None
    """What share of the requests meets the SLO at the peak, simulated; ``None`` if it was not asked for."""
    burst_limited_per_s: float | None
    """Requests per second of a replica, where bursts and not the mean load decided how many there are."""
    engine: TargetModel | None
    """The replica as it was simulated."""
    needs: Needs | None
    failures: tuple[Failure, ...]
    """Smaller layouts, and why they do not do."""
    alternatives: tuple[ReplicaFit, ...]
    """Other layouts that do, which need as many GPUs or more by the mean load alone."""
    gpu_source: str


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A layout, how many of it, and how well that keeps the SLO."""

    fit: ReplicaFit
    least: int
    """Replicas that the mean load needs."""
    replicas: int
    engine: TargetModel
    attaining: Attaining | None = None

    @property
    def gpus(self) -> int:
        return self.replicas * self.fit.layout.gpus

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Plans that keep the SLO come first, then small ones."""
        return (self.attaining is not None and not self.attaining.is_met, self.gpus, self.fit.layout.gpus)


def size(
    candidate: Candidate,
    demand: Demand,
    slo: Slo,
    *,
    headroom: float,
    arrivals: Arrivals | None = None,
    attainment: float = 0.95,
) -> Sizing:
    """Return the plan for a kind of GPU.

    With ``arrivals`` it is held to them: their share that meets the SLO must be ``attainment``. Without, the mean load
    within a replica's capacity less ``headroom`` is all that is asked.
    """
    fits, failures = _tried(candidate, demand.lengths, slo)
    row = candidate.row
    nothing = Sizing(
        gpu=row.name,
        precision=candidate.recipe.name,
        replica=None,
        replicas=0,
        gpus=0,
        carries_per_s=0.0,
        attainment=None,
        burst_limited_per_s=None,
        engine=None,
        needs=None,
        failures=tuple(failures),
        alternatives=(),
        gpu_source=f"{row.source} ({row.as_of.isoformat()}, {row.confidence})",
    )
    if not fits:
        return nothing
    ranked = sorted(fits, key=lambda fit: (_gpus(fit, demand, headroom), fit.layout.gpus))
    plans = _plans(candidate, ranked, demand, slo, headroom, arrivals, attainment)
    best = min(plans, key=lambda plan: plan.rank)
    fit = best.fit
    failures = [failure for failure in failures if failure.layout.gpus <= fit.layout.gpus]
    failures += [failure for plan in plans for failure in _smaller(candidate, plan, best, demand, headroom, attainment)]
    tried = {plan.fit.layout for plan in plans}
    return msgspec.structs.replace(
        nothing,
        replica=fit,
        replicas=best.replicas,
        gpus=best.gpus,
        carries_per_s=best.replicas * fit.requests_per_s,
        attainment=None if best.attaining is None else best.attaining.attainment,
        burst_limited_per_s=demand.requests_per_s / best.replicas if best.replicas > best.least else None,
        engine=best.engine,
        needs=_needs(candidate, fit, best.replicas, demand),
        failures=tuple(failures),
        alternatives=tuple(other for other in ranked if other.layout not in tried),
    )


def _tried(candidate: Candidate, lengths: Lengths, slo: Slo) -> tuple[list[ReplicaFit], list[Failure]]:
    """Return the layouts that keep the SLO for requests of mean length, and why others do not."""
    fits: list[ReplicaFit] = []
    failures: list[Failure] = []
    for layout in layouts(candidate.model, candidate.gpu):
        if fits and layout.pp > 1:
            break  # a pipeline over machines is for what does not fit one
        found = fit_replica(candidate, layout, lengths, slo)
        if isinstance(found, Failure):
            failures.append(found)
        else:
            fits.append(found)
    return fits, failures


def _plans(
    candidate: Candidate,
    ranked: Iterable[ReplicaFit],
    demand: Demand,
    slo: Slo,
    headroom: float,
    arrivals: Arrivals | None,
    attainment: float,
) -> list[_Plan]:
    """Return the plans among which the smallest that keeps the SLO is; others could only be larger."""
    plans: list[_Plan] = []
    for fit in ranked:
        least = replicas_for(demand.requests_per_s, fit, headroom)
        if any(least * fit.layout.gpus >= plan.gpus and not plan.rank[0] for plan in plans):
            break
        engine = engine_of(candidate, fit, demand.lengths)
        plan = _Plan(fit=fit, least=least, replicas=least, engine=engine)
        if arrivals is not None and slo != Slo():
            attaining = replicas_that_attain(engine, least, arrivals.requests, slo, attainment)
            plan = msgspec.structs.replace(plan, replicas=attaining.replicas, attaining=attaining)
        plans.append(plan)
    return plans


def _smaller(
    candidate: Candidate, plan: _Plan, best: _Plan, demand: Demand, headroom: float, attainment: float
) -> tuple[Failure, ...]:
    """Return why less of a layout does not do: the most that is smaller than the plan; if nothing does, the most."""
    fit, attaining = plan.fit, plan.attaining
    failed = () if attaining is None else attaining.failed
    below = [one for one in failed if one[0] * fit.layout.gpus < best.gpus or best.rank[0]]
    if attaining is not None and below:
        replicas, seen = below[-1]
        missed = "TTFT" if seen.ttft_met < seen.tpot_met else "TPOT"
        obstacle = Obstacle.ATTAINMENT
        goal = attainment if attaining.is_met else min(attainment, attaining.attainment.alone)
        why = f"{seen.met:.1%} of requests meet the SLO at the peak, not {goal:.1%}: mostly {missed} is late"
    elif plan is best and plan.replicas > 1:
        replicas, obstacle = plan.replicas - 1, Obstacle.LOAD
        carries = replicas * fit.requests_per_s
        why = (
            f"{carries:.3g} requests/s within the SLO, less {headroom:.0%} kept free are "
            f"{carries * (1 - headroom):.3g} < {demand.requests_per_s:.3g}"
        )
    else:
        return ()
    return (
        Failure(
            gpu=candidate.row.name,
            layout=fit.layout,
            replicas=replicas,
            precision=candidate.recipe.name,
            obstacle=obstacle,
            why=why,
        ),
    )


def describe_layout(layout: Layout) -> str:
    """Return a layout in words: ``TP 8``, ``TP 8 x PP 2``, ``DP attention 8, EP 8``."""
    parts = [f"TP {layout.attention_tp}"] if layout.dp_attention == 1 else [f"DP attention {layout.dp_attention}"]
    if layout.dp_attention > 1 and layout.attention_tp > 1:
        parts.append(f"TP {layout.attention_tp}")
    if layout.ep > 1:
        parts.append(f"EP {layout.ep}")
    if layout.pp > 1:
        parts.append(f"PP {layout.pp}")
    return ", ".join(parts)


def _gpus(fit: ReplicaFit, demand: Demand, headroom: float) -> int:
    return replicas_for(demand.requests_per_s, fit, headroom) * fit.layout.gpus


def _needs(candidate: Candidate, fit: ReplicaFit, replicas: int, demand: Demand) -> Needs:
    lengths = demand.lengths
    per_request = lengths.prompt_tokens * _BYTES_PER_TOKEN_READ + lengths.answer_tokens * _BYTES_PER_TOKEN_SENT
    spans = fit.layout.gpus > candidate.gpu.gpus_per_node
    return Needs(
        storage_bytes=fit.weights_bytes * _SPARE_DISK,
        load_s_per_gb_per_s=fit.weights_bytes / 1e9,
        client_bytes_per_s=demand.requests_per_s * per_request,
        link_gb_per_s=candidate.row.link_gb_per_s,
        network_gb_per_s=candidate.row.network_gb_per_s if spans else None,
        power_w=replicas * fit.layout.gpus * candidate.row.power_w,
    )
