"""The precision that a checkpoint comes in, as its ``config.json`` says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from overspill.errors import ConfigError
from overspill.perf.architecture import Role
from overspill.perf.config_fields import Fields
from overspill.perf.precision import Recipe, recipe, uniform

_PLACES: Mapping[Role, tuple[str, ...]] = {
    # A module of each role as checkpoints name it; a pattern that matches it leaves the role unquantised.
    Role.ATTENTION: (
        "model.layers.N.self_attn.q_proj",
        "model.layers.N.self_attn.q_b_proj",
        "layers.N.attn.wq_b",
        "backbone.layers.N.mixer.in_proj",
    ),
    Role.DENSE: ("model.layers.N.mlp.gate_proj", "model.layers.N.mlp.down_proj"),
    Role.SHARED: ("model.layers.N.mlp.shared_experts.down_proj", "layers.N.ffn.shared_experts.w1"),
    Role.EXPERTS: ("model.layers.N.mlp.experts.E.down_proj", "layers.N.ffn.experts.E.w1"),
}
_ROLES: Mapping[Role, re.Pattern[str]] = {
    Role.SHARED: re.compile("shared_expert"),
    Role.EXPERTS: re.compile("experts"),
    Role.HEAD: re.compile("lm_head|^head$"),
    Role.ATTENTION: re.compile("attn|attention|mixer|mamba"),
    Role.DENSE: re.compile("mlp|ffn|feed_forward"),
}
"""Which role a module has, by its name; the first that fits."""
_ALGORITHMS: Mapping[str, str] = {
    "MXFP4": "mxfp4",
    "FP4": "nvfp4",
    "FP8_PB": "fp8_block",
    "FP8_BLOCK": "fp8_block",
    "FP8": "fp8",
    "INT4": "int4_g128",
    "W4A16_AWQ": "int4_g128",
    "W4A8_AWQ": "int4_g128",
    "INT8": "int8",
    "W8A8": "int8",
}
"""ModelOpt's names of algorithms: the first that is in one."""
_LAYER = re.compile(r"layers[.\\]+(\d+)\b")
_METHODS = "awq, bitsandbytes, compressed-tensors, fp8, gptq, modelopt, mxfp4"


def checkpoint_recipe(config: Mapping[str, Any], file: str | None = None) -> Recipe:
    """Return how the checkpoint keeps its weights; without a ``quantization_config`` that is its ``dtype``.

    Raises ``ConfigError`` if the quantisation method is not known.
    """
    fields = Fields(config, file)
    quantised = fields.mapping("quantization_config") or fields.mapping("compression_config")
    if quantised is None:
        if "quantization" in fields:
            raise fields.error("quantization is MLX's, which is not supported: say the precision with --precision")
        return recipe(fields.text("torch_dtype") or fields.text("dtype") or "bf16")
    by_layer = _by_layers(quantised, file)
    if by_layer is not None:
        return by_layer
    kept = _recipe(Fields(quantised, file), fields)
    expert_format = {"fp4": "mxfp4", "mxfp4": "mxfp4"}.get(str(fields.get("expert_dtype")))
    if expert_format is not None and kept.formats[Role.EXPERTS].startswith("fp8"):
        kept = msgspec.structs.replace(
            kept, name=f"{kept.name}+{expert_format}_experts", formats={**kept.formats, Role.EXPERTS: expert_format}
        )
    return _without_excluded(kept, quantised, fields.whole_or_none("num_hidden_layers", "n_layer") or 1)


def _by_layers(quantised: Mapping[str, Any], file: str | None) -> Recipe | None:
    """Return the recipe of a checkpoint that names the format of each module (ModelOpt's mixed precision), if it does.

    What is not named is as it was: in BF16, or in FP8 where the rest of the checkpoint is.
    """
    named = _named_modules(quantised)
    if not named:
        return None
    base = "fp8_block" if quantised.get("quant_method") == "fp8" else "bf16"
    votes: dict[Role, Counter[str]] = {}
    for module, algorithm in named:
        role = next((role for role, pattern in _ROLES.items() if pattern.search(module)), None)
        if role is not None:
            votes.setdefault(role, Counter())[_format_of(algorithm, file)] += 1
    formats = uniform("mixed", base).formats | {role: count.most_common(1)[0][0] for role, count in votes.items()}
    names = "+".join(sorted({kept for kept in formats.values() if kept != "bf16"}))
    return Recipe(name=f"mixed_{names}" if names else "bf16", formats=formats)


def _named_modules(quantised: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the modules that are named one by one, each with its algorithm."""
    layers = quantised.get("quantized_layers")
    if not isinstance(layers, Mapping):
        return []
    return [(name, str(kept.get("quant_algo"))) for name, kept in layers.items() if isinstance(kept, Mapping)]


def _format_of(algorithm: str, file: str | None) -> str:
    name = algorithm.upper()
    found = next((kept for pattern, kept in _ALGORITHMS.items() if pattern in name), None)
    if found is None:
        raise ConfigError(
            f"quantized_layers has quant_algo {algorithm!r}, which is not supported; supported: "
            f"{', '.join(_ALGORITHMS)}. Say the precision with --precision instead",
            file=file or "config.json",
        )
    return found


def _recipe(quantised: Fields, fields: Fields) -> Recipe:
    method = (
        quantised.text("quant_method")
        or quantised.text("quant_algo")
        or ("modelopt" if "config_groups" in quantised else "")
    )
    match method.lower():
        case "fp8" if quantised.get("weight_block_size") is not None:
            return recipe("fp8_block")
        case "fp8" | "fbgemm_fp8":
            return recipe("fp8")
        case "mxfp4":
            return recipe("mxfp4")
        case "awq" | "gptq" | "awq_marlin" | "gptq_marlin" | "auto-round":
            return _grouped(quantised, method.lower())
        case "bitsandbytes":
            return recipe("nf4" if quantised.flag("load_in_4bit") else "int8")
        case "compressed-tensors" | "modelopt" | "modelopt_fp4" | "nvfp4" | "w4a16_awq" | "mixed_precision":
            return _by_groups(quantised, method.lower())
        case _:
            raise fields.error(
                f"quantization_config has quant_method {method!r}, which is not supported; supported: {_METHODS}. "
                "Say the precision with --precision instead"
            )


def _grouped(quantised: Fields, method: str) -> Recipe:
    """Return the recipe of whole numbers with a scale for each group of weights."""
    bits = quantised.whole("bits", "w_bit", default=4)
    if bits == 8:
        return recipe("int8")
    if bits != 4:
        raise quantised.error(f"quantization_config has {bits} bits; known are 4 and 8")
    group = quantised.get("group_size", "q_group_size")
    fitting = group if group in (32, 64) else 128
    return uniform(method.split("_", maxsplit=1)[0], f"int4_g{fitting}", rest="fp16")


def _by_groups(quantised: Fields, method: str) -> Recipe:
    """Return the recipe that the first group of a compressed-tensors or ModelOpt configuration gives."""
    groups = quantised.mapping("config_groups") or {}
    first: Mapping[str, Any] = next(iter(groups.values()), {})
    weights: Mapping[str, Any] = first.get("weights") or {}
    if not weights:
        algorithm = (quantised.text("quant_algo") or method).lower()
        return uniform(algorithm, _format_of(algorithm, quantised.file))
    bits, is_float, group = weights.get("num_bits"), weights.get("type") == "float", weights.get("group_size")
    if bits == 8:
        return recipe("fp8" if is_float else "int8")
    if bits == 4 and is_float:
        return recipe("mxfp4" if group == 32 else "nvfp4")
    if bits == 4:
        return uniform("int4", f"int4_g{group if group in (32, 64) else 128}")
    raise quantised.error(f"quantization_config has {bits!r} bits; known are 4 and 8")


def _without_excluded(kept: Recipe, quantised: Mapping[str, Any], layers: int) -> Recipe:
    """Return the recipe with the roles that the checkpoint leaves as they were in BF16."""
    names = ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers")
    patterns = [str(pattern) for name in names for pattern in quantised.get(name) or ()]
    formats = dict(kept.formats)
    for role, places in _PLACES.items():
        if any(_share_excluded(patterns, place, layers) > 0.5 for place in places):
            formats[role] = "bf16"
    return msgspec.structs.replace(kept, formats=formats)


def _share_excluded(patterns: Iterable[str], place: str, layers: int) -> float:
    """Return the share of layers in which a pattern leaves the module out."""
    excluded: set[str] = set()
    for pattern in patterns:
        number = _LAYER.search(pattern)
        module = place.replace("N", number[1] if number else "N").replace("E", "0")
        if not _matches(pattern, module):
            continue
        if number is None:
            return 1.0
        excluded.add(number[1])
    return len(excluded) / layers


def _matches(pattern: str, module: str) -> bool:
    if pattern.startswith("re:"):
        try:
            return re.match(pattern[3:], module) is not None
        except re.error:
            return False
    expression = re.escape(pattern).replace(r"\*", ".*")
    return re.search(rf"(^|\.){expression}($|\.)", module) is not None or re.fullmatch(expression, module) is not None
