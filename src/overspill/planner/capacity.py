"""What one replica carries within its SLO, and why a layout cannot carry anything.

A layout is a group of GPUs that serve one replica. Checks come in the order in which they would fail in practice: can
the GPU work with the format, can the model be divided so, do the weights fit, does one request's cache fit, is one
request alone fast enough; then the most requests at once that keep the SLO are searched for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from overspill.catalog.gpus import CatalogGpu
from overspill.perf.architecture import Architecture, ParameterCount
from overspill.perf.attention import LatentAttention
from overspill.perf.hardware import Gpu
from overspill.perf.memory import EngineKind, Layout, MemoryBudget, kv_bytes, memory_budget
from overspill.perf.precision import FORMAT_BITS, Recipe, weights_bytes
from overspill.perf.roofline import Deployment, Load, capacity
from overspill.planner.prediction import Prediction, Predictor
from overspill.units import GIB, format_duration

_MOST_AT_ONCE = 1024
"""Engines take no more requests at once by default (vLLM: 1,024; SGLang and TensorRT-LLM: 2,048)."""
_MOST_GPUS = 64
_LACKED_FORMATS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        EngineKind.LLAMACPP: ("fp8", "mxfp8", "int8", "int4", "nf4"),
        EngineKind.TRTLLM: ("q", "iq", "nf4"),
    }
)
"""What formats' names begin with that an engine does not load: GGUF has no FP8, TensorRT-LLM reads no GGUF."""


class Slo(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may take; ``None`` is no limit."""

    ttft_s: float | None = None
    tpot_s: float | None = None


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a request."""

    prompt_tokens: int
    answer_tokens: int
    longest_tokens: int
    """Prompt and answer of the longest request that must fit."""


class Obstacle(StrEnum):
    """Why a layout does not do."""

    FORMAT = "format"
    HEADS = "heads"
    WEIGHTS = "weights"
    CACHE = "cache"
    TTFT = "ttft"
    TPOT = "tpot"
    LOAD = "load"
    ATTAINMENT = "attainment"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A layout that does not do, and why, with the figures."""

    gpu: str
    layout: Layout
    precision: str
    obstacle: Obstacle
    why: str
    replicas: int = 1
    """Of that layout."""
    alone: Slo | None = None
    """The parts of the SLO as one request alone would keep them there, where that is too slow."""

    @property
    def gpus(self) -> int:
        """GPUs of all of them."""
        return self.replicas * self.layout.gpus


class ReplicaFit(msgspec.Struct, frozen=True, kw_only=True):
    """A layout that does, at the most requests at once that keep the SLO."""

    gpu: str
    layout: Layout
    precision: str
    budget: MemoryBudget
    weights_bytes: float
    """Of the whole model."""
    cache_sequences: int
    """Requests of mean length for which the KV cache has room."""
    concurrency: int
    """Requests at once within the SLO."""
    prediction: Prediction
    requests_per_s: float
    output_tokens_per_s: float
    limit: str
    """What keeps it from more."""
    notes: tuple[str, ...]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A model in a precision on a kind of GPU under an engine."""

    model: Architecture
    count: ParameterCount
    recipe: Recipe
    row: CatalogGpu
    engine: str
    cache_element_bytes: float
    predictor: Predictor
    is_cautious: bool = False
    """True if the upper ends of the 90 % intervals must keep the SLO, not the expected values."""

    @property
    def gpu(self) -> Gpu:
        """The GPU in base units."""
        return self.row.gpu()

    def deployment(self, layout: Layout) -> Deployment:
        """Return it in a layout."""
        return Deployment(
            model=self.model,
            count=self.count,
            recipe=self.recipe,
            gpu=self.gpu,
            engine=self.engine,
            layout=layout,
            cache_element_bytes=self.cache_element_bytes,
        )


def layouts(model: Architecture, gpu: Gpu) -> Iterator[Layout]:
    """Yield the layouts worth trying, small ones first: tensor parallelism within a node, a pipeline beyond it.

    With a latent cache data-parallel attention is tried beside: tensor parallelism would keep the cache on every GPU.
    """
    is_latent = any(isinstance(layer.mixer, LatentAttention) for layer in model.layers)
    tp = 1
    while tp <= min(gpu.largest_group, 16):
        ep = tp if model.experts is not None else 1
        yield Layout(tp=tp, ep=ep)
        if is_latent and tp > 1:
            yield Layout(tp=tp, dp_attention=tp, ep=ep)
        tp *= 2
    nodes = 2
    while nodes * gpu.gpus_per_node <= _MOST_GPUS:
        yield Layout(tp=gpu.gpus_per_node, pp=nodes, ep=gpu.gpus_per_node if model.experts is not None else 1)
        nodes *= 2


def fit_replica(candidate: Candidate, layout: Layout, lengths: Lengths, slo: Slo) -> ReplicaFit | Failure:
    """Return what a replica in a layout carries, or the first reason why it does not do."""
    notes = _format_notes(candidate)
    if isinstance(notes, str):
        return _failure(candidate, layout, Obstacle.FORMAT, notes)
    unshared = _unshared_heads(candidate.model, layout.attention_tp)
    if unshared is not None:
        return _failure(candidate, layout, Obstacle.HEADS, unshared)
    budget = _budget(candidate, layout)
    lacking = _memory_lack(candidate, layout, lengths, budget)
    if lacking is not None:
        return lacking
    alone = _predict(candidate, layout, lengths, 1)
    slow = _slow(candidate, alone, slo)
    if slow is not None:
        failure = _failure(candidate, layout, slow[0], f"{slow[1]} with one request alone")
        return msgspec.structs.replace(failure, alone=_kept_alone(candidate, alone, slo))
    return _fill(candidate, layout, lengths, slo, budget, (*notes, *_cache_notes(candidate, layout, budget)))


def _unshared_heads(model: Architecture, tp: int) -> str | None:
    """Return why so many GPUs cannot share the attention of a sequence, if they cannot.

    Query heads must divide; key-value heads too, or each GPU of a whole number has the same one.
    """
    heads, kv_heads = model.attention_heads, model.kv_heads
    if tp > heads or heads % tp:
        return f"{tp} GPUs cannot share {heads} attention heads evenly"
    if kv_heads is not None and kv_heads % tp and tp % kv_heads:
        return f"{tp} GPUs cannot share {kv_heads} key-value heads evenly"
    return None


def _cache_notes(candidate: Candidate, layout: Layout, budget: MemoryBudget) -> tuple[str, ...]:
    """Return what must be set so that the cache is as it was reckoned."""
    notes = []
    if candidate.cache_element_bytes == 1.0:
        notes.append(
            "the KV cache is reckoned in FP8: set the engine so (vLLM: --kv-cache-dtype fp8) or say --kv-precision bf16"
        )
    context = candidate.model.context_tokens
    if context is not None:
        whole = kv_bytes(
            candidate.model,
            context,
            element_bytes=candidate.cache_element_bytes,
            tp=layout.attention_tp,
            pp=layout.pp,
        )
        if whole > budget.kv_bytes:
            notes.append(
                f"no room for one request of the model's whole context, {context:,} tokens: limit it "
                "(vLLM: --max-model-len)"
            )
    return tuple(notes)


def _budget(candidate: Candidate, layout: Layout) -> MemoryBudget:
    known = {kind.value for kind in EngineKind}
    return memory_budget(
        EngineKind(candidate.engine) if candidate.engine in known else EngineKind.VLLM,
        candidate.model,
        candidate.count,
        candidate.recipe,
        layout,
        capacity_bytes=candidate.gpu.memory_bytes,
    )


def _format_notes(candidate: Candidate) -> tuple[str, ...] | str:
    """Return what is to be said of the formats on this GPU, or why it cannot work with one of them."""
    gpu, notes = candidate.gpu, []
    odd = _format_of_another_engine(candidate)
    if odd is not None:
        return odd
    for kept in dict.fromkeys(candidate.recipe.formats.values()):
        if gpu.has_units(kept):
            continue
        if kept == "bf16":
            notes.append(f"{gpu.name} has no BF16 units: run it in FP16 (--dtype float16)")
        elif not gpu.has_bf16 and (kept.startswith(("fp8", "mxfp", "nvfp"))):
            return f"{gpu.name} has no units for {kept}, and no kernels unpack it there"
        elif FORMAT_BITS[kept] <= 8 and kept in {"fp8", "fp8_block", "mxfp8", "int8", "nvfp4", "mxfp4"}:
            notes.append(f"{gpu.name} has no units for {kept}: it saves memory, not arithmetic")
    if not candidate.predictor.has_measured(candidate.engine):
        notes.append(f"no measurement of {candidate.engine} is behind its speed: measure some rows, say --observed")
    return tuple(notes)


def _format_of_another_engine(candidate: Candidate) -> str | None:
    """Return why the engine cannot load the weights, as far as that is known."""
    lacks = _LACKED_FORMATS.get(candidate.engine, ())
    kept = next((one for one in candidate.recipe.formats.values() if one.startswith(lacks)), None) if lacks else None
    if kept is None:
        return None
    instead = "GGUF formats such as q8_0 or q4_K_M" if candidate.engine == EngineKind.LLAMACPP else "fp8, int4 or nvfp4"
    return f"{candidate.engine} has no weights in {kept}: say --precision, as {instead}, or another --engine"


def _memory_lack(candidate: Candidate, layout: Layout, lengths: Lengths, budget: MemoryBudget) -> Failure | None:
    gpus, per_gpu = layout.gpus, candidate.gpu.memory_bytes
    weights, has = budget.weights_bytes * gpus / GIB, per_gpu * gpus / GIB
    if budget.weights_bytes > per_gpu:
        why = f"weights do not fit: {weights:,.0f} GiB > {has:,.0f} GiB"
        return _failure(candidate, layout, Obstacle.WEIGHTS, why)
    if not budget.fits:
        reserved = budget.reserves.total_bytes * gpus / GIB
        why = (
            f"weights leave no room for a cache: {weights:,.0f} GiB and {reserved:,.0f} GiB for the engine itself > "
            f"{budget.usable_bytes * gpus / GIB:,.0f} GiB that it takes of {has:,.0f} unless told otherwise"
        )
        return _failure(candidate, layout, Obstacle.WEIGHTS, why)
    longest = kv_bytes(
        candidate.model,
        lengths.longest_tokens,
        element_bytes=candidate.cache_element_bytes,
        tp=layout.attention_tp,
        pp=layout.pp,
    )
    if longest > budget.kv_bytes:
        why = (
            f"the KV cache holds less than one request of {lengths.longest_tokens:,} tokens: "
            f"{longest / GIB:,.1f} GiB > {budget.kv_bytes / GIB:,.1f} GiB a GPU"
        )
        return _failure(candidate, layout, Obstacle.CACHE, why)
    return None


def _fill(
    candidate: Candidate,
    layout: Layout,
    lengths: Lengths,
    slo: Slo,
    budget: MemoryBudget,
    notes: tuple[str, ...],
) -> ReplicaFit:
    """Return the replica at the most requests at once that keep the SLO."""
    room = int(capacity(candidate.deployment(layout), lengths.prompt_tokens + lengths.answer_tokens))
    most, limit = min(room, _MOST_AT_ONCE), "KV cache" if room <= _MOST_AT_ONCE else "requests at once"
    low, high = 1, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        slow = _slow(candidate, _predict(candidate, layout, lengths, middle), slo)
        if slow is None:
            low = middle
        else:
            high, limit = middle, slow[1]
    prediction = _predict(candidate, layout, lengths, low)
    request_s = prediction.ttft_s + max(0, lengths.answer_tokens - 1) * prediction.tpot_s
    at_once = low * layout.dp_attention
    rate = at_once / request_s
    return ReplicaFit(
        gpu=candidate.row.name,
        layout=layout,
        precision=candidate.recipe.name,
        budget=budget,
        weights_bytes=weights_bytes(candidate.model, candidate.count, candidate.recipe),
        cache_sequences=room * layout.dp_attention,
        concurrency=at_once,
        prediction=prediction,
        requests_per_s=rate,
        output_tokens_per_s=rate * lengths.answer_tokens,
        limit=limit,
        notes=notes,
    )


def _predict(candidate: Candidate, layout: Layout, lengths: Lengths, concurrency: int) -> Prediction:
    load = Load(concurrency=concurrency, prompt_tokens=lengths.prompt_tokens, answer_tokens=lengths.answer_tokens)
    return candidate.predictor.predict_load(candidate.deployment(layout), load)


def _slow(candidate: Candidate, prediction: Prediction, slo: Slo) -> tuple[Obstacle, str] | None:
    """Return which part of the SLO a load misses, with the figures."""
    cautious = candidate.is_cautious
    for obstacle, is_s, may_s in (
        (Obstacle.TPOT, prediction.tpot_high_s if cautious else prediction.tpot_s, slo.tpot_s),
        (Obstacle.TTFT, prediction.ttft_high_s if cautious else prediction.ttft_s, slo.ttft_s),
    ):
        if may_s is not None and is_s > may_s:
            return obstacle, f"{obstacle.value.upper()} {_apart(is_s, may_s)} > {format_duration(may_s)}"
    return None


def _kept_alone(candidate: Candidate, prediction: Prediction, slo: Slo) -> Slo:
    """Return what would be kept of the parts that an SLO has."""
    is_high = candidate.is_cautious
    ttft_s = prediction.ttft_high_s if is_high else prediction.ttft_s
    tpot_s = prediction.tpot_high_s if is_high else prediction.tpot_s
    return Slo(ttft_s=None if slo.ttft_s is None else ttft_s, tpot_s=None if slo.tpot_s is None else tpot_s)


def _apart(is_s: float, may_s: float) -> str:
    """Return a time that is more than another one in so many digits that it shows."""
    text = format_duration(is_s)
    return text if text != format_duration(may_s) else f"{is_s * 1e3:.5g} ms"


def _failure(candidate: Candidate, layout: Layout, obstacle: Obstacle, why: str) -> Failure:
    return Failure(gpu=candidate.row.name, layout=layout, precision=candidate.recipe.name, obstacle=obstacle, why=why)


def replicas_for(rate_per_s: float, fit: ReplicaFit, headroom: float) -> int:
    """Return how many replicas carry a rate with a share of each kept free."""
    return max(1, math.ceil(rate_per_s / (fit.requests_per_s * (1 - headroom))))
