"""From a Hugging Face ``config.json`` to a model's architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from overspill.errors import ConfigError, did_you_mean
from overspill.perf.architecture import Architecture, Layer
from overspill.perf.config_fields import Fields
from overspill.perf.grouped_families import grouped_layers
from overspill.perf.hybrid_families import (
    bamba_layers,
    falcon_h1_layers,
    granite_hybrid_layers,
    jamba_layers,
    lfm2_layers,
    lightning_layers,
    nemotron_h_layers,
    searched_layers,
)
from overspill.perf.other_families import (
    compressed_layers,
    gated_delta_layers,
    gemma3n_layers,
    gemma4_layers,
    kimi_linear_layers,
    latent_layers,
    longcat_layers,
)
from overspill.perf.renamed_fields import with_usual_names
from overspill.perf.styles import STYLES, Style
from overspill.perf.unread_fields import unread_fields

_Layers = Callable[[Fields, int, int], tuple[Layer, ...]]

_LATENT = ("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2", "glm4_moe_lite", "glm_moe_dsa", "mistral4")
_OTHERS: Mapping[str, _Layers] = {
    **dict.fromkeys(_LATENT, latent_layers),
    "deepseek_v4": compressed_layers,
    "qwen3_next": gated_delta_layers,
    "qwen3_5_text": gated_delta_layers,
    "qwen3_5_moe_text": gated_delta_layers,
    "kimi_linear": kimi_linear_layers,
    "nemotron_h": nemotron_h_layers,
    "gemma4_text": gemma4_layers,
    "gemma3n_text": gemma3n_layers,
    "longcat_flash": longcat_layers,
    "jamba": jamba_layers,
    "bamba": bamba_layers,
    "granitemoehybrid": granite_hybrid_layers,
    "falcon_h1": falcon_h1_layers,
    "lfm2": lfm2_layers,
    "lfm2_moe": lfm2_layers,
    "minimax": lightning_layers,
    "nemotron-nas": searched_layers,
}
_SAME_AS: Mapping[str, str] = {
    # The language part of multimodal models, and names used by remote code.
    "llama4": "llama4_text",
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl_text": "qwen2",
    "qwen3_vl": "qwen3",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
    "mistral3": "mistral",
    "deepseek_ref": "deepseek_v4",
    "kimi_k25": "deepseek_v3",
    "kimi_k3": "kimi_linear",
    "minimax_m3_vl": "minimax_m3",
    "minimax_m3_vl_text": "minimax_m3",
    "step3p7_text": "step3p7",
    "glm4v_moe": "glm4_moe",
    "glm4v_moe_text": "glm4_moe",
    "glm4v": "glm4",
    "glm4v_text": "glm4",
    "qwen2_5_omni": "qwen2",
    "qwen2_5_omni_text": "qwen2",
    "qwen3_omni_moe": "qwen3_moe",
    "qwen3_omni_moe_text": "qwen3_moe",
    "granitemoeshared": "granitemoe",
    "minimax_text_01": "minimax",
    "minimax_m1": "minimax",
    "hunyuan": "hunyuan_v1_moe",
    "RefinedWeb": "falcon",
    "RefinedWebModel": "falcon",
    "Yi": "llama",
    "deci": "nemotron-nas",
    "aquila": "llama",
    "aquila3": "llama",
}
SUPPORTED: tuple[str, ...] = tuple(sorted({*STYLES, *_OTHERS, *_SAME_AS}))
"""Every ``model_type`` that can be read."""
_TIES = {name for name, style in STYLES.items() if style.defaults.get("tie_word_embeddings")} | {
    "gemma3n_text",
    "gemma4_text",
    "lfm2",
    "lfm2_moe",
}


def read_model(config: Mapping[str, Any], file: str | None = None) -> Architecture:
    """Return the architecture that a ``config.json`` describes.

    Raises ``ConfigError`` if its ``model_type`` is not known, or if a field is missing or of the wrong kind.
    """
    fields = Fields(config, file)
    model_type = _model_type(fields)
    style = STYLES.get(model_type)
    fields = with_usual_names(fields.with_defaults(style.defaults if style is not None else {}), model_type)
    hidden = fields.whole("hidden_size", "n_embd", "n_embed", "d_model")
    vocabulary = fields.whole("vocab_size")
    blocks = fields.get("layers_block_type")
    count = fields.whole(
        "num_hidden_layers", "n_layer", "num_layers", default=len(blocks) if isinstance(blocks, list) else None
    )
    if not (hidden and vocabulary and count):
        raise fields.error("hidden_size, vocab_size and num_hidden_layers must be 1 or more")
    layers = grouped_layers(fields, style, hidden, count) if style else _OTHERS[model_type](fields, hidden, count)
    context = fields.whole_or_none("max_position_embeddings", "n_positions", "n_ctx", "seq_length")
    extra = hidden if style is None else _style_params(fields, style, hidden, vocabulary, context or 0)
    model = Architecture(
        model_type=model_type,
        hidden=hidden,
        vocabulary=vocabulary,
        layers=layers,
        ties_embeddings=fields.flag(
            "tie_word_embeddings", default=fields.flag("tie_embedding", default=model_type in _TIES)
        ),
        context_tokens=context,
        extra_params=extra + _further_params(fields, model_type, hidden, vocabulary, count),
        mtp_layers=_mtp_layers(fields, model_type, layers),
        mtp_extra_params=_mtp_modules(fields) * (2 * hidden * hidden + 3 * hidden),
        leaves_out=_left_out(fields),
    )
    return msgspec.structs.replace(model, unread_fields=unread_fields(fields, model))


def _left_out(fields: Fields) -> tuple[str, ...]:
    """Return what of a multimodal model is not counted, with the size of its vision tower where that can be told."""
    if not fields.is_multimodal:
        return ()
    weights = 0
    try:
        vision = Fields(fields.mapping("vision_config") or {}, fields.file)
        width = vision.whole("hidden_size", "embed_dim", "width", "vt_hidden_size", default=0)
        depth = vision.whole("num_hidden_layers", "depth", "layers", "vt_num_hidden_layers", default=0)
        inner = vision.whole("intermediate_size", "vt_intermediate_size", default=4 * width)
        weights = depth * (4 * width * width + 2 * width * inner)
    except ConfigError:
        pass  # it is not counted anyway
    about = f" (vision: about {weights / 1e9:.1f} B parameters)" if weights else ""
    return (f"the vision and audio towers{about}",)


def _model_type(fields: Fields) -> str:
    """Return the family to read it as: the language model's own name, or else that of the whole."""
    inner, outer = fields.text("model_type"), fields.outer_type
    for name in (inner, outer):
        known = _SAME_AS.get(str(name), str(name))
        if known in STYLES or known in _OTHERS:
            return known
    if inner is None:
        raise fields.error("model_type is missing: this is not a model's config.json from Hugging Face")
    raise fields.error(
        f"model_type {inner!r} is not supported{did_you_mean(inner, SUPPORTED)}; supported: {', '.join(SUPPORTED)}. "
        "If it is built like one of these, write that one's name as model_type into a copy of the file"
    )


def _style_params(fields: Fields, style: Style, hidden: int, vocabulary: int, context: int) -> int:
    """Count the final norm, the position embedding and the head's bias."""
    has_bias = fields.flag("lm_head_bias") if style.has_head_bias is None else style.has_head_bias
    positions = (context + style.position_offset) * hidden if style.learns_positions else 0
    return hidden * style.norm_vectors + positions + (vocabulary if has_bias else 0)


def _further_params(fields: Fields, model_type: str, hidden: int, vocabulary: int, count: int) -> int:
    """Count what a family has beside layers, embedding and final norm."""
    if model_type == "bloom":
        return 2 * hidden  # a norm after the embedding
    if model_type == "deepseek_v4":
        streams = fields.whole("hc_mult", default=1)
        return streams * streams * hidden + streams + 1
    if model_type not in ("gemma3n_text", "gemma4_text"):
        return 0
    width = fields.whole("hidden_size_per_layer_input", default=0)
    rows = fields.whole("vocab_size_per_layer_input", default=vocabulary)
    streams = 2 * (fields.whole("altup_num_inputs") - 1) if model_type == "gemma3n_text" else 0
    return width * (rows * count + hidden * count + 1) + streams * hidden * hidden


def _mtp_modules(fields: Fields) -> int:
    return fields.whole("num_nextn_predict_layers", "mtp_num_hidden_layers", default=0)


def _mtp_layers(fields: Fields, model_type: str, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the MTP modules' layers: each is like the model's last one with attention."""
    if model_type == "nemotron_h":
        attention = next((layer for layer in reversed(layers) if hasattr(layer.mixer, "kv_heads")), layers[-1])
        routed = next((layer for layer in reversed(layers) if layer.mixer is None), layers[-1])
        return (attention, routed) * _mtp_modules(fields)
    return (layers[-1],) * _mtp_modules(fields)
