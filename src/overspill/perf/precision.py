"""Number formats of weights, and which weights a checkpoint keeps in which format.

A format's bits include its scales: one FP32 for 128 x 128 weights in DeepSeek's FP8, one E8M0 byte for 32 in MXFP4, one
FP8 for 16 in NVFP4, half-precision scales and zeros for each group of AWQ and GPTQ, and those inside GGUF's blocks
(ggml-quants.h; llama.cpp's and the gguf package's sizes are checked by the tests).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from overspill.errors import UnknownName
from overspill.perf.architecture import Architecture, DenseFeedForward, ExpertFeedForward, ParameterCount, Role

FP8_BLOCK = 128 * 128

FORMAT_BITS: Mapping[str, float] = MappingProxyType({
    "fp32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "fp8_block": 8.0 + 32 / FP8_BLOCK,
    "mxfp8": 8.0 + 8 / 32,
    "int8": 8.0,
    "mxfp4": 4.0 + 8 / 32,
    "nvfp4": 4.0 + 8 / 16,
    "int4_g32": 4.0 + (16 + 4) / 32,
    "int4_g64": 4.0 + (16 + 4) / 64,
    "int4_g128": 4.0 + (16 + 4) / 128,
    "nf4": 4.0 + 8 / 64,
    # GGUF: bytes of a block x 8 / weights in it.
    "q8_0": 34 * 8 / 32,
    "q6_K": 210 * 8 / 256,
    "q5_K": 176 * 8 / 256,
    "q4_K": 144 * 8 / 256,
    "q3_K": 110 * 8 / 256,
    "q2_K": 84 * 8 / 256,
    "q5_1": 24 * 8 / 32,
    "q5_0": 22 * 8 / 32,
    "q4_1": 20 * 8 / 32,
    "q4_0": 18 * 8 / 32,
    "iq4_nl": 18 * 8 / 32,
    "iq4_xs": 136 * 8 / 256,
    "iq3_s": 110 * 8 / 256,
    "iq3_xxs": 98 * 8 / 256,
    "iq2_s": 82 * 8 / 256,
    "iq2_xs": 74 * 8 / 256,
    "iq2_xxs": 66 * 8 / 256,
    "iq1_m": 56 * 8 / 256,
    "iq1_s": 50 * 8 / 256,
})  # fmt: skip
"""Bits per weight, scales included, by the name of the format."""

_MATRICES = (Role.ATTENTION, Role.DENSE, Role.SHARED, Role.EXPERTS)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Which format each role's weights have."""

    name: str
    formats: dict[Role, str]
    value_and_down: str | None = None
    """A finer format for part of the value and down projections, as in llama.cpp's mixes."""
    finer_share: float = 0.0
    """The share of layers whose value and down projections have it."""


def uniform(name: str, matrices: str, *, rest: str = "bf16") -> Recipe:
    """Return a recipe with all matrices of the layers in one format, embeddings, head, router and norms in another."""
    return Recipe(name=name, formats={role: matrices if role in _MATRICES else rest for role in Role})


def experts_only(name: str, experts: str, *, rest: str = "bf16") -> Recipe:
    """Return a recipe with the routed experts alone in a small format, as gpt-oss and Kimi K2.5 come."""
    return Recipe(name=name, formats={role: experts if role is Role.EXPERTS else rest for role in Role})


def _gguf(name: str, matrices: str, *, head: str = "q6_K", finer: str | None = None, share: float = 0.0) -> Recipe:
    formats = dict.fromkeys(Role, matrices)
    formats |= {Role.HEAD: head, Role.ROUTER: "fp32", Role.SMALL: "fp32"}
    return Recipe(name=name, formats=formats, value_and_down=finer, finer_share=share)


_RECIPES = (
    Recipe(name="fp32", formats=dict.fromkeys(Role, "fp32")),
    Recipe(name="bf16", formats=dict.fromkeys(Role, "bf16")),
    Recipe(name="fp16", formats=dict.fromkeys(Role, "fp16")),
    uniform("fp8", "fp8"),
    uniform("fp8_block", "fp8_block"),
    uniform("mxfp8", "mxfp8"),
    uniform("int8", "int8"),
    uniform("int4", "int4_g128", rest="fp16"),
    uniform("awq", "int4_g128", rest="fp16"),
    uniform("gptq", "int4_g128", rest="fp16"),
    uniform("nf4", "nf4"),
    uniform("nvfp4", "nvfp4"),
    uniform("mxfp4", "mxfp4"),
    experts_only("mxfp4_experts", "mxfp4"),
    experts_only("int4_experts", "int4_g32"),
    _gguf("q8_0", "q8_0", head="q8_0"),
    _gguf("q6_K", "q6_K"),
    _gguf("q5_K_S", "q5_K"),
    # "Use more bits" in llama.cpp: the first and last eighth of the layers and every third between, about half.
    _gguf("q5_K_M", "q5_K", finer="q6_K", share=0.5),
    _gguf("q4_K_S", "q4_K", finer="q5_K", share=0.125),
    _gguf("q4_K_M", "q4_K", finer="q6_K", share=0.5),
    _gguf("q4_0", "q4_0"),
    _gguf("q4_1", "q4_1"),
    _gguf("q5_0", "q5_0"),
    _gguf("q5_1", "q5_1"),
    _gguf("q3_K_M", "q3_K", finer="q4_K", share=0.9),
    _gguf("q2_K", "q2_K", finer="q3_K", share=1.0),
    _gguf("iq4_nl", "iq4_nl"),
    _gguf("iq4_xs", "iq4_xs"),
    _gguf("iq3_s", "iq3_s"),
    _gguf("iq3_xxs", "iq3_xxs"),
    _gguf("iq2_s", "iq2_s"),
    _gguf("iq2_xs", "iq2_xs"),
    _gguf("iq2_xxs", "iq2_xxs"),
    _gguf("iq1_m", "iq1_m"),
    _gguf("iq1_s", "iq1_s"),
)
RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
_OTHER_NAMES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "fp4": "nvfp4",
    "w8a8": "int8",
}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name, in any case; raise ``UnknownName`` with the known ones."""
    wanted = name.strip().lower()
    wanted = _OTHER_NAMES.get(wanted, wanted)
    by_name = {known.lower(): known for known in RECIPES}
    if wanted not in by_name:
        raise UnknownName("precision", name, RECIPES)
    return RECIPES[by_name[wanted]]


def role_bytes(model: Architecture, count: ParameterCount, kept: Recipe) -> dict[Role, float]:
    """Return the bytes of each role's weights in a recipe; MTP modules are not included."""
    sizes = {role: number * FORMAT_BITS[kept.formats[role]] / 8 for role, number in count.by_role.items()}
    if kept.value_and_down is None:
        return sizes
    finer_bits = FORMAT_BITS[kept.value_and_down]
    values = sum(layer.mixer.value_params(model.hidden) for layer in model.layers if layer.mixer is not None)
    parts = {Role.ATTENTION: float(values)}
    parts |= {role: count.by_role[role] * _down_share(model) for role in (Role.DENSE, Role.SHARED, Role.EXPERTS)}
    for role, number in parts.items():
        sizes[role] += number * kept.finer_share * (finer_bits - FORMAT_BITS[kept.formats[role]]) / 8
    return sizes


def weights_bytes(model: Architecture, count: ParameterCount, kept: Recipe, *, with_mtp: bool = False) -> float:
    """Return the bytes of all weights; MTP modules, where asked for, as the experts or dense layers are kept."""
    total = sum(role_bytes(model, count, kept).values())
    if with_mtp:
        role = Role.EXPERTS if model.experts is not None else Role.DENSE
        total += count.mtp * FORMAT_BITS[kept.formats[role]] / 8
    return total


def _down_share(model: Architecture) -> float:
    """Return the down projection's share of a feed-forward layer."""
    parts = (layer.feed_forward for layer in model.layers)
    gated = next((part.is_gated for part in parts if isinstance(part, DenseFeedForward | ExpertFeedForward)), True)
    return 1 / 3 if gated else 1 / 2
