"""Number formats of weights, and which weights a checkpoint keeps in which format.

A format's bits include its scales: one FP32 for 128 x 128 weights in DeepSeek's FP8, one E8M0 byte for 32 in MXFP4, one
FP8 for 16 in NVFP4, half-precision scales and zeros for each group of AWQ and GPTQ, and those inside GGUF's blocks
(ggml-quants.h; llama.cpp's and the gguf package's sizes are checked by the tests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

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


class Finer(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a role's weights in another format than the rest, as llama.cpp's mixes have them."""

    part: Literal["query", "key", "value", "output", "down"]
    format: str
    share: float = 1.0
    """The share of the layers."""
    when: Literal["always", "grouped", "apart", "eight"] = "always"
    """Only where four query heads or more share a key, or there are four experts or more; where not; or with eight."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Which format each role's weights have."""

    name: str
    formats: dict[Role, str]
    finer: tuple[Finer, ...] = ()
    """Parts in other formats; of two for one part the later counts."""


def uniform(name: str, matrices: str, *, rest: str = "bf16") -> Recipe:
    """Return a recipe with all matrices of the layers in one format, embeddings, head, router and norms in another."""
    return Recipe(name=name, formats={role: matrices if role in _MATRICES else rest for role in Role})


def experts_only(name: str, experts: str, *, rest: str = "bf16") -> Recipe:
    """Return a recipe with the routed experts alone in a small format, as gpt-oss and Kimi K2.5 come."""
    return Recipe(name=name, formats={role: experts if role is Role.EXPERTS else rest for role in Role})


def _gguf(name: str, matrices: str, *finer: Finer, head: str = "q6_K", embedding: str | None = None) -> Recipe:
    formats = dict.fromkeys(Role, matrices)
    formats |= {
        Role.EMBEDDING: embedding or matrices,
        Role.HEAD: head,
        Role.ROUTER: "fp32",
        Role.SMALL: "fp32",
    }
    return Recipe(name=name, formats=formats, finer=finer)


def _parts(format: str, *parts: str, share: float = 1.0, when: str = "always") -> tuple[Finer, ...]:  # noqa: A002
    return tuple(msgspec.convert({"part": one, "format": format, "share": share, "when": when}, Finer) for one in parts)


_EIGHT = (*_parts("q8_0", "value", "key", when="eight"), *_parts("q5_K", "output", when="eight"))
"""Of models with eight experts, in formats of 4 bits and less."""


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
    # llama.cpp's llama-quant.cpp, llama_tensor_get_type. "Use more bits": the first and last eighth of the layers and
    # every third between, which is half of them. Small formats are those made with an importance matrix.
    _gguf("q8_0", "q8_0", head="q8_0"),
    _gguf("q6_K", "q6_K"),
    _gguf("q5_K_S", "q5_K"),
    _gguf("q5_K_M", "q5_K", *_parts("q6_K", "value", "down", share=0.5)),
    _gguf("q4_K_S", "q4_K", *_parts("q5_K", "value", "down", share=0.125), *_EIGHT),
    _gguf("q4_K_M", "q4_K", *_parts("q6_K", "value", "down", share=0.5), *_EIGHT),
    _gguf("q4_0", "q4_0"),
    _gguf("q4_1", "q4_1"),
    _gguf("q5_0", "q5_0"),
    _gguf("q5_1", "q5_1"),
    _gguf("q3_K_S", "q3_K", *_EIGHT),
    _gguf("q3_K_M", "q3_K", *_parts("q4_K", "value", "output", "down"), *_EIGHT),
    _gguf("q3_K_L", "q3_K", *_parts("q5_K", "value", "output", "down"), *_EIGHT),
    _gguf(
        "q2_K", "q2_K", *_parts("q3_K", "value", "output", "down"), *_parts("q4_K", "value", when="grouped"), *_EIGHT
    ),
    _gguf("iq4_nl", "iq4_nl", *_parts("q5_K", "value", when="grouped"), *_parts("q5_K", "down", share=0.125), *_EIGHT),
    _gguf("iq4_xs", "iq4_xs", *_parts("q5_K", "value", when="grouped"), *_parts("q5_K", "down", share=0.125), *_EIGHT),
    _gguf("iq3_m", "iq3_s", *_parts("q4_K", "value", "output"), *_parts("q4_K", "down", share=0.125), *_EIGHT),
    _gguf("iq3_s", "iq3_s", *_parts("q4_K", "value", when="grouped"), *_EIGHT),
    _gguf(
        "iq3_xxs", "iq3_xxs", *_parts("q4_K", "value", when="grouped"), *_parts("iq2_s", "query", "key"),
        *_parts("iq3_s", "output"), *_EIGHT, head="q5_K", embedding="iq3_s",
    ),
    _gguf(
        "iq2_m", "iq2_s", *_parts("iq3_s", "value", "output"), *_parts("q4_K", "value", when="grouped"),
        *_parts("iq3_s", "down", share=0.125), head="q5_K", embedding="iq3_s",
    ),
    _gguf(
        "iq2_s", "iq2_xs", *_parts("iq3_s", "value", "output"), *_parts("q4_K", "value", when="grouped"),
        *_parts("iq3_s", "down", share=0.125), head="q5_K", embedding="iq3_s",
    ),
    *(
        _gguf(
            name, name, *_parts("q2_K", "value", when="apart"), *_parts("q4_K", "value", when="grouped"),
            *_parts("q2_K", "down", share=0.125), *(_parts("iq2_xxs", "output") if name.startswith("iq1") else ()),
            head="q5_K", embedding="q2_K",
        )
        for name in ("iq2_xs", "iq2_xxs", "iq1_m", "iq1_s")
    ),
    Recipe(
        name="mxfp4_moe",
        formats={**dict.fromkeys(Role, "q8_0"), Role.EXPERTS: "mxfp4", Role.ROUTER: "fp32", Role.SMALL: "fp32"},
    ),
)  # fmt: skip
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
    parts = _part_params(model, count)
    is_grouped = _is_grouped(model)
    is_eight = model.experts is not None and model.experts.experts == 8
    applies = {"always": True, "grouped": is_grouped, "apart": not is_grouped, "eight": is_eight}
    chosen = {finer.part: finer for finer in kept.finer if applies[finer.when]}
    for part, finer in chosen.items():
        for role, number in parts[part].items():
            sizes[role] += number * finer.share * (FORMAT_BITS[finer.format] - FORMAT_BITS[kept.formats[role]]) / 8
    return sizes


def _part_params(model: Architecture, count: ParameterCount) -> dict[str, dict[Role, float]]:
    """Return the weights of each part that formats may keep apart, by their role."""
    attention: Counter[str] = Counter()
    for layer, times in Counter(model.layers).items():
        if layer.mixer is not None:
            attention.update({part: number * times for part, number in layer.mixer.part_params(model.hidden).items()})
    down = _down_share(model)
    parts = {part: {Role.ATTENTION: float(attention[part])} for part in ("query", "key", "value", "output")}
    return {**parts, "down": {role: count.by_role[role] * down for role in (Role.DENSE, Role.SHARED, Role.EXPERTS)}}


def _is_grouped(model: Architecture) -> bool:
    if model.experts is not None and model.experts.experts >= 4:
        return True
    return model.kv_heads is not None and model.attention_heads >= 4 * model.kv_heads


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
