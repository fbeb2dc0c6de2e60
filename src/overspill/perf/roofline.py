"""How long a decode step and a prefill take: what must be moved and computed, as a sum of terms.

A *term* is a time at the hardware's published speed, or a count of something that costs time by itself (a layer's
kernels, an all-reduce's start). Times are linear in the terms:

    step   = sum of w_k x decode term k          (prompts that join meanwhile included, spread over the tokens)
    prefill = sum of v_k x prefill term k

with a few weights that hold for all models, fitted once to published measurements (``catalog/latency_prior.json`` says
how). Sums instead of the roofline's maximum: with continuous batching memory-bound and compute-bound kernels alternate.
What is read of the experts follows the number hit by a batch of T tokens, E x (1 - (1 - k/E)^T): with k/E = 8/256 and
64 tokens that is 222 of 256, so a batch reads nearly all of them.

TPOT in a closed loop of B requests: step(B, prompt + answer/2) and (B - 1)/answer prefills of others for each token.

TTFT there: the prompt itself, the prompts of others, a step, room in the KV cache. How many prompts are ahead depends
on how answers end: all at once (B prompts, as in the first wave of a benchmark) or one by one (next to none), so B
counts in a linear and a square-root term. With experts a chunk takes time that no split shortens: prefills measured on
eight GPUs take far more than an eighth, by some three quarters of a reading of all experts at one GPU's bandwidth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from overspill.perf.architecture import Architecture, ExpertFeedForward, ParameterCount, Role
from overspill.perf.hardware import Gpu
from overspill.perf.memory import EngineKind, Layout, kv_bytes, kv_read_bytes, memory_budget
from overspill.perf.precision import Recipe, role_bytes

DECODE_TERMS = (
    "weights",
    "experts",
    "cache",
    "arithmetic",
    "layers",
    "sync_starts",
    "sync_bytes",
    "join_arithmetic",
    "join_attention",
    "join_sync",
    "join_layers",
    "join_weights",
)
PREFILL_TERMS = (
    "request",
    "arithmetic",
    "attention",
    "weights",
    "all_experts",
    "layers",
    "sync_bytes",
    "prompts_ahead",
    "prompts_bunched",
    "step",
    "room",
)
_PREFILL_CHUNK = 8192
_KNOWN_ENGINES = frozenset(kind.value for kind in EngineKind)
_LAYER_S, _SYNC_S, _REQUEST_S = 1e-4, 1e-5, 1e-2
"""Units of the terms that count things: so that their weights are near 1."""
DECODE_OVERHEAD = ("layers",)
PREFILL_OVERHEAD = ("prompts_ahead", "prompts_bunched")
"""The terms that each engine has a factor on: how it runs kernels, how it schedules prompts."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One replica: a model in a precision on some GPUs under an engine."""

    model: Architecture
    count: ParameterCount
    recipe: Recipe
    gpu: Gpu
    engine: str
    """Of ``EngineKind``, or another name: then its overheads are those of the average engine."""
    layout: Layout = Layout()
    cache_element_bytes: float = 2.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one attention group of a replica is asked to do, again and again."""

    concurrency: int
    """Requests in flight at each of ``Layout.dp_attention`` groups."""
    prompt_tokens: int
    answer_tokens: int
    is_static: bool = False
    """True if prompts start and end together, as in batch benchmarks: none joins while others decode."""
    is_apart: bool = False
    """True if prompts are prefilled by other GPUs: none joins here, and they come one by one."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of terms, and each engine's factor on its overheads."""

    weights: dict[str, float]
    engines: dict[str, float]
    """Factors on ``DECODE_OVERHEAD`` or ``PREFILL_OVERHEAD``; an engine that is not here has 1."""


class Prior(msgspec.Struct, frozen=True, kw_only=True):
    """The weights that hold for all deployments, as shipped."""

    decode: Weights
    prefill: Weights
    source: str
    fitted: str


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of a load before anything of the deployment was observed."""

    tpot_s: float
    ttft_s: float
    decode_shares: dict[str, float]
    """Each term's part of the TPOT."""
    prefill_shares: dict[str, float]
    """Each term's part of the TTFT."""
    running: float
    """Requests that the KV cache has room for at once, of those in flight."""
    has_room: bool
    """False if requests wait for room in the KV cache: then TTFT is mostly waiting."""
    fits: bool
    """False if by its figures the weights leave no room for a cache at all."""


def capacity(deployment: Deployment, seq_tokens: int) -> float:
    """Return how many sequences of a length the KV cache of one attention group holds; 0 if weights do not fit."""
    engine = EngineKind(deployment.engine) if deployment.engine in _KNOWN_ENGINES else EngineKind.VLLM
    budget = memory_budget(
        engine,
        deployment.model,
        deployment.count,
        deployment.recipe,
        deployment.layout,
        capacity_bytes=deployment.gpu.memory_bytes,
    )
    layout = deployment.layout
    each = kv_bytes(
        deployment.model,
        seq_tokens,
        element_bytes=deployment.cache_element_bytes,
        tp=layout.attention_tp,
        pp=layout.pp,
    )
    return max(0.0, budget.kv_bytes) / each


def estimate(prior: Prior, deployment: Deployment, load: Load) -> Estimate:
    """Return TPOT and TTFT of a load with the prior's weights."""
    running, fits = running_at_once(deployment, load)
    decode = _weighted(prior.decode, decode_terms(deployment, load, running), deployment.engine, DECODE_OVERHEAD)
    tpot_s = sum(decode.values())
    waiting_s = max(0.0, load.concurrency / running - 1) * load.answer_tokens * tpot_s
    terms = {**prefill_terms(deployment, load, running), "step": tpot_s, "room": waiting_s}
    prefill = _weighted(prior.prefill, terms, deployment.engine, PREFILL_OVERHEAD)
    ttft_s = sum(prefill.values())
    return Estimate(
        tpot_s=tpot_s,
        ttft_s=ttft_s,
        decode_shares={name: value / tpot_s for name, value in decode.items()},
        prefill_shares={name: value / ttft_s for name, value in prefill.items()},
        running=running,
        has_room=running >= load.concurrency,
        fits=fits,
    )


def running_at_once(deployment: Deployment, load: Load) -> tuple[float, bool]:
    """Return how many of the requests in flight the KV cache has room for, and whether weights leave any.

    If they do not, and yet the load is asked about, somebody runs it with less reserve than reckoned here: then room is
    taken to be no limit.
    """
    room = capacity(deployment, load.prompt_tokens + load.answer_tokens)
    if room <= 0:
        return float(load.concurrency), False
    return min(float(load.concurrency), max(1.0, room)), True


def decode_terms(deployment: Deployment, load: Load, running: float) -> dict[str, float]:
    """Return the terms of one token's time with so many requests running in each attention group."""
    model, gpu, layout = deployment.model, deployment.gpu, deployment.layout
    batch = running / layout.pp
    read = _read_bytes(deployment)
    dense_s, experts_s = read[0] / gpu.bandwidth_bytes_per_s, read[1] / gpu.bandwidth_bytes_per_s
    context = load.prompt_tokens + load.answer_tokens // 2
    cache = kv_read_bytes(model, context, element_bytes=deployment.cache_element_bytes, tp=layout.attention_tp)
    token_s = _token_s(deployment)
    layers = len(model.layers)
    joins = 0.0 if load.is_static or load.is_apart else max(0.0, running - 1) / load.answer_tokens
    prompt = load.prompt_tokens
    weights_s = dense_s + experts_s * _hit(model, prompt * layout.dp_attention)
    return {
        "weights": dense_s,
        "experts": experts_s * _hit(model, batch * layout.dp_attention),
        "cache": batch * cache / gpu.bandwidth_bytes_per_s,
        "arithmetic": batch * token_s,
        "layers": layers * _LAYER_S,
        "sync_starts": 2 * layers * _SYNC_S * math.log2(layout.tp) if layout.tp > 1 else 0.0,
        "sync_bytes": _sync_s(deployment, batch),
        "join_arithmetic": joins * prompt * token_s,
        "join_attention": joins * _attention_s(deployment, prompt),
        "join_sync": joins * _sync_s(deployment, prompt),
        "join_layers": joins * layers * _LAYER_S,
        "join_weights": joins * weights_s,
    }


def prefill_terms(deployment: Deployment, load: Load, running: float) -> dict[str, float]:
    """Return the terms of a first token's time but the decode step and the wait for room, which follow from TPOT."""
    layout, bandwidth = deployment.layout, deployment.gpu.bandwidth_bytes_per_s
    prompt = load.prompt_tokens
    chunks = math.ceil(prompt / _PREFILL_CHUNK)
    together = load.concurrency if load.is_static else 1
    arithmetic_s = prompt * _token_s(deployment)
    attention_s, sync_s = _attention_s(deployment, prompt), _sync_s(deployment, prompt)
    dense_bytes, experts_bytes = _read_bytes(deployment)
    experts_bytes *= _hit(deployment.model, together * min(prompt, _PREFILL_CHUNK))
    weights_s = (dense_bytes + experts_bytes) / bandwidth
    all_experts_s = experts_bytes * layout.tp / bandwidth
    layers_s = len(deployment.model.layers) * _LAYER_S
    # Attention groups step together, so that each waits for the prompts of all.
    ahead = 0.0 if load.is_static else max(0.0, running - 1) * layout.dp_attention
    other_s = arithmetic_s / 0.6 + attention_s / 0.5 + sync_s / 0.6
    return {
        "request": _REQUEST_S,
        "arithmetic": together * arithmetic_s,
        "attention": together * attention_s,
        "weights": chunks * weights_s,
        "all_experts": chunks * all_experts_s,
        "layers": chunks * layers_s,
        "sync_bytes": together * sync_s,
        "prompts_ahead": ahead * other_s,
        "prompts_bunched": math.sqrt(ahead) * (other_s + weights_s / 0.75 + 0.7 * all_experts_s + layers_s),
    }


def _weighted(weights: Weights, terms: Mapping[str, float], engine: str, overhead: Sequence[str]) -> dict[str, float]:
    factor = weights.engines.get(engine, 1.0)
    return {
        name: weights.weights[name] * value * (factor if name in overhead else 1.0) for name, value in terms.items()
    }


def _read_bytes(deployment: Deployment) -> tuple[float, float]:
    """Return the bytes of weights on one GPU that a forward pass reads: those of all tokens, and all experts'."""
    layout = deployment.layout
    sizes = role_bytes(deployment.model, deployment.count, deployment.recipe)
    head = sizes[Role.HEAD] or sizes[Role.EMBEDDING]
    shared = (sizes[Role.ATTENTION] + sizes[Role.DENSE] + sizes[Role.SHARED]) / layout.attention_tp
    return shared + head / layout.tp + sizes[Role.ROUTER] + sizes[Role.SMALL], sizes[Role.EXPERTS] / layout.tp


def _token_s(deployment: Deployment) -> float:
    """Return the time of one token's multiplications at the published speed of the formats' units."""
    count, layout = deployment.count.by_role, deployment.layout
    speed = {role: deployment.gpu.flops(kept) for role, kept in deployment.recipe.formats.items()}
    dense_s = 2 * sum(count[role] / speed[role] for role in (Role.ATTENTION, Role.DENSE, Role.SHARED))
    routed = deployment.model.experts
    chosen = 0.0 if routed is None else routed.top_k / routed.experts
    experts_s = 2 * count[Role.EXPERTS] * chosen / speed[Role.EXPERTS]
    return dense_s / layout.attention_tp + experts_s * layout.dp_attention / layout.tp


def _attention_s(deployment: Deployment, prompt_tokens: int) -> float:
    """Return the time of a prompt's attention at the published speed of BF16: half a square, or a band."""
    flops = 0.0
    for layer in deployment.model.layers:
        if layer.mixer is not None:
            seen = layer.mixer.attended(prompt_tokens)
            flops += layer.mixer.pair_flops * (seen * prompt_tokens - seen * seen / 2)
    return flops / deployment.gpu.bf16_flops / deployment.layout.attention_tp


def _sync_s(deployment: Deployment, tokens: float) -> float:
    """Return the time of two ring all-reduces per layer for so many tokens in half precision."""
    gpus = deployment.layout.tp
    sent = 2 * len(deployment.model.layers) * tokens * deployment.model.hidden * 2 * 2 * (gpus - 1) / gpus
    return sent / deployment.gpu.link_bytes_per_s


def _hit(model: Architecture, tokens: float) -> float:
    """Return the share of the experts that a batch of so many tokens reads."""
    routed: ExpertFeedForward | None = model.experts
    if routed is None:
        return 0.0
    return 1 - math.pow(1 - routed.top_k / routed.experts, tokens)
