"""Whether a model fits a group of GPUs, and how many sequences fit beside it.

All sizes are bytes of one GPU. The KV cache is asked for with the sequence's length, never as a constant per token:
windows and compression make it bend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from overspill.perf.architecture import Architecture, ParameterCount, Role
from overspill.perf.attention import Mixer
from overspill.perf.precision import Recipe, role_bytes
from overspill.units import GIB, MIB


class EngineKind(StrEnum):
    """Inference servers whose memory is known."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TRTLLM = "trtllm"
    LLAMACPP = "llamacpp"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How one replica is spread over its GPUs."""

    tp: int = 1
    """GPUs that share every layer."""
    pp: int = 1
    """Stages that share the layers between them."""
    dp_attention: int = 1
    """Groups within ``tp`` that each hold whole attention, for sequences of their own."""
    ep: int = 1
    """Groups within ``tp`` that share the experts by number; within a group each expert is divided."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tp * self.pp

    @property
    def attention_tp(self) -> int:
        """GPUs that share the attention of one sequence."""
        return max(1, self.tp // self.dp_attention)


class Reserves(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine needs on one GPU beside weights and KV cache."""

    activation_bytes: float
    communication_bytes: float
    other_bytes: float
    """The driver's context, libraries' workspaces, captured graphs, fragments."""

    @property
    def total_bytes(self) -> float:
        """All of it."""
        return self.activation_bytes + self.communication_bytes + self.other_bytes


class MemoryBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What one GPU's memory is spent on."""

    capacity_bytes: float
    weights_bytes: float
    reserves: Reserves
    kv_bytes: float
    """What is left for the KV cache; negative if the weights alone do not fit."""

    @property
    def fits(self) -> bool:
        """True if there is any room for a KV cache."""
        return self.kv_bytes > 0

    @property
    def usable_bytes(self) -> float:
        """What the engine takes of the GPU in all."""
        return self.weights_bytes + self.reserves.total_bytes + self.kv_bytes


class _Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine spends memory: NVIDIA's aiconfigurator 0.12, base_backend.py, from measurements; last one ours."""

    least_activation_bytes: float
    dense: tuple[float, float, float, float]
    """Activation per token and column of the query heads, in half-precision numbers, at TP 1, 2, 4 and 8."""
    routed: tuple[float, float, float, float]
    other_bytes: float
    fraction: float
    """Of the memory that the engine takes."""
    fraction_of_rest: bool = False
    """True if it takes the fraction of what weights and activations leave (TensorRT-LLM)."""


_HABITS: Mapping[EngineKind, _Habits] = MappingProxyType({
    EngineKind.VLLM: _Habits(
        least_activation_bytes=70 * MIB, dense=(11, 6.5, 5, 5), routed=(22, 13, 10, 10), other_bytes=3.5 * GIB,
        fraction=0.9,
    ),
    EngineKind.SGLANG: _Habits(
        least_activation_bytes=90 * MIB, dense=(16.1, 9.775, 7.475, 7.475), routed=(32.2, 19.55, 14.95, 14.95),
        other_bytes=4.2 * GIB, fraction=0.88,
    ),
    EngineKind.TRTLLM: _Habits(
        least_activation_bytes=70 * MIB, dense=(11, 6.5, 5, 5), routed=(22, 13, 10, 10), other_bytes=3.5 * GIB,
        fraction=0.9, fraction_of_rest=True,
    ),
    EngineKind.LLAMACPP: _Habits(
        least_activation_bytes=70 * MIB, dense=(6, 6, 6, 6), routed=(8, 8, 8, 8), other_bytes=0.6 * GIB, fraction=1.0,
    ),
})  # fmt: skip
_COMMUNICATION_BYTES = {1: 0, 2: 342 * MIB}
_COMMUNICATION_MANY_BYTES = 392 * MIB


def kv_bytes(
    model: Architecture, seq_tokens: int, *, element_bytes: float = 2.0, tp: int = 1, pp: int = 1, dp_attention: int = 1
) -> float:
    """Return what one sequence takes of one GPU's memory, on average over the GPUs that attend it in turn.

    Under tensor parallelism grouped heads are divided (and replicated beyond their number), a latent cache is not.
    With data-parallel attention a sequence lies on one of ``dp_attention`` groups.
    """
    if seq_tokens < 0 or tp < 1 or pp < 1 or dp_attention < 1:
        raise ValueError("seq_tokens must be 0 or more, tp, pp and dp_attention 1 or more")
    share = max(1, tp // dp_attention)
    held = sum(mixer.cache_bytes(seq_tokens, element_bytes, share) for mixer in _mixers(model))
    return held / (dp_attention * pp)


def kv_read_bytes(model: Architecture, context_tokens: int, *, element_bytes: float = 2.0, tp: int = 1) -> float:
    """Return what one GPU reads of a sequence's cache for its next token: an index reads less than is kept."""
    return sum(mixer.read_bytes(context_tokens, element_bytes, tp) for mixer in _mixers(model))


def weights_per_gpu_bytes(model: Architecture, count: ParameterCount, kept: Recipe, layout: Layout) -> float:
    """Return the weights on one GPU: experts are divided by all GPUs, attention by its own group.

    Norms and routers are on every GPU; a pipeline's stages are taken as equal.
    """
    sizes = role_bytes(model, count, kept)
    total = sizes[Role.EXPERTS] / layout.tp + sizes[Role.SMALL] + sizes[Role.ROUTER]
    total += sizes[Role.ATTENTION] / layout.attention_tp
    total += (sizes[Role.DENSE] + sizes[Role.SHARED] + sizes[Role.EMBEDDING] + sizes[Role.HEAD]) / layout.tp
    return total / layout.pp


def reserves(engine: EngineKind, model: Architecture, layout: Layout, *, batched_tokens: int = 8192) -> Reserves:
    """Return what an engine needs beside weights and cache; ``batched_tokens`` is the most in one forward pass."""
    habits = _HABITS[engine]
    by_tp = habits.routed if model.experts is not None else habits.dense
    numbers = by_tp[min(3, int(math.log2(layout.tp)))]
    activation = max(habits.least_activation_bytes, 2.0 * batched_tokens * model.head_columns * numbers)
    return Reserves(
        activation_bytes=activation,
        communication_bytes=_COMMUNICATION_BYTES.get(layout.tp, _COMMUNICATION_MANY_BYTES),
        other_bytes=habits.other_bytes,
    )


def memory_budget(
    engine: EngineKind,
    model: Architecture,
    count: ParameterCount,
    kept: Recipe,
    layout: Layout,
    *,
    capacity_bytes: float,
    batched_tokens: int = 8192,
    fraction: float | None = None,
) -> MemoryBudget:
    """Return what one GPU's memory goes to; ``fraction`` is the engine's own setting, its default if left out."""
    habits = _HABITS[engine]
    share = habits.fraction if fraction is None else fraction
    weights = weights_per_gpu_bytes(model, count, kept, layout)
    needs = reserves(engine, model, layout, batched_tokens=batched_tokens)
    fixed = weights + needs.total_bytes
    left = (capacity_bytes - fixed) * share if habits.fraction_of_rest else capacity_bytes * share - fixed
    return MemoryBudget(capacity_bytes=capacity_bytes, weights_bytes=weights, reserves=needs, kv_bytes=left)


def _mixers(model: Architecture) -> list[Mixer]:
    return [layer.mixer for layer in model.layers if layer.mixer is not None]
