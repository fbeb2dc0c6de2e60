"""How many of which GPUs a model needs for a workload within an SLO: the best layout of each kind, and why no less.

Of the layouts that do, the one with the fewest GPUs in all wins, then the one with fewer per replica. A smaller layout
that fails is kept with its reason.
"""

from __future__ import annotations

import msgspec

from overspill.perf.memory import Layout
from overspill.planner.capacity import (
    Candidate,
    Failure,
    Lengths,
    ReplicaFit,
    Slo,
    fit_replica,
    layouts,
    replicas_for,
)

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
    needs: Needs | None
    failures: tuple[Failure, ...]
    """Smaller layouts, and why they do not do."""
    alternatives: tuple[ReplicaFit, ...]
    """Other layouts that do, which need more GPUs in all."""
    gpu_source: str


def size(candidate: Candidate, demand: Demand, slo: Slo, *, headroom: float) -> Sizing:
    """Return the plan for a kind of GPU."""
    fits: list[ReplicaFit] = []
    failures: list[Failure] = []
    for layout in layouts(candidate.model, candidate.gpu):
        if fits and layout.pp > 1:
            break  # a pipeline over machines is for what does not fit one
        found = fit_replica(candidate, layout, demand.lengths, slo)
        if isinstance(found, Failure):
            failures.append(found)
        else:
            fits.append(found)
    row = candidate.row
    source = f"{row.source} ({row.as_of.isoformat()}, {row.confidence})"
    if not fits:
        return Sizing(
            gpu=row.name,
            precision=candidate.recipe.name,
            replica=None,
            replicas=0,
            gpus=0,
            carries_per_s=0.0,
            needs=None,
            failures=tuple(failures),
            alternatives=(),
            gpu_source=source,
        )
    ranked = sorted(fits, key=lambda fit: (_gpus(fit, demand, headroom), fit.layout.gpus))
    best = ranked[0]
    replicas = replicas_for(demand.requests_per_s, best, headroom)
    return Sizing(
        gpu=row.name,
        precision=candidate.recipe.name,
        replica=best,
        replicas=replicas,
        gpus=replicas * best.layout.gpus,
        carries_per_s=replicas * best.requests_per_s,
        needs=_needs(candidate, best, replicas, demand),
        failures=tuple(failure for failure in failures if failure.layout.gpus <= best.layout.gpus),
        alternatives=tuple(ranked[1:]),
        gpu_source=source,
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
