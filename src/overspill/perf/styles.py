"""Families of models with grouped attention: what their ``config.json`` leaves unsaid.

The shapes were checked against the definitions in transformers 5.24 (see ``tests/unit/perf/test_parameter_totals.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec


class Style(msgspec.Struct, frozen=True, kw_only=True):
    """What all models of a ``model_type`` have in common and their configurations do not say."""

    is_gated: bool = True
    has_qkv_bias: bool | None = None
    """``None``: as ``attention_bias`` says."""
    has_output_bias: bool | None = None
    """``None``: as ``attention_bias`` says."""
    has_mlp_bias: bool | None = None
    """``None``: as ``mlp_bias`` says."""
    has_head_bias: bool | None = False
    """``None``: as ``lm_head_bias`` says."""
    has_output_gate: bool = False
    """What attention gives is gated, column by column, by the hidden state."""
    qk_norm: Literal["none", "head", "full"] = "none"
    """Norms of queries and keys: over one head, or over all."""
    norms: int = 2
    """Of the hidden size, in each layer."""
    norm_vectors: int = 1
    """Of each norm: 0 has no weights, 1 a scale, 2 a scale and a bias."""
    shared: Literal["none", "count", "width"] = "none"
    """Shared experts: ``n_shared_experts`` of the routed ones' width, or a width of their own."""
    has_shared_gate: bool = False
    has_router_bias: bool = False
    has_sinks: bool = False
    slides: Literal["never", "listed", "pattern", "asked", "always"] = "listed"
    """Which layers have the window: as ``layer_types`` lists; the pattern's all but last; if asked; or all."""
    learns_positions: bool = False
    position_offset: int = 0
    """Rows of the position embedding beyond the context."""
    defaults: Mapping[str, Any] = {}


_PLAIN = Style()
_BIASED = Style(
    is_gated=False, has_qkv_bias=True, has_output_bias=True, has_mlp_bias=True, norm_vectors=2, slides="never"
)
_GPTJ = Style(
    is_gated=False,
    has_qkv_bias=False,
    has_output_bias=False,
    has_mlp_bias=True,
    norms=1,
    norm_vectors=2,
    has_head_bias=True,
    slides="never",
)
_GEMMA = {"tie_word_embeddings": True, "head_dim": 256}

STYLES: Mapping[str, Style] = {
    "llama": Style(slides="never"),
    "mistral": Style(slides="always"),
    "ministral": _PLAIN,
    "ministral3": _PLAIN,
    "mixtral": Style(slides="always"),
    "qwen2": Style(has_qkv_bias=True, has_output_bias=False, slides="asked"),
    "mimo": Style(has_output_bias=False, slides="asked"),
    "qwen2_moe": Style(has_qkv_bias=True, has_output_bias=False, slides="asked", shared="width", has_shared_gate=True),
    "qwen3": Style(qk_norm="head", slides="asked"),
    "qwen3_moe": Style(qk_norm="head", slides="asked"),
    "gemma": Style(slides="never", defaults=_GEMMA),
    "gemma2": Style(norms=4, slides="pattern", defaults={**_GEMMA, "sliding_window_pattern": 2}),
    "gemma3_text": Style(
        norms=4,
        qk_norm="head",
        slides="pattern",
        defaults={
            **_GEMMA,
            "sliding_window_pattern": 6,
            "vocab_size": 262208,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
        },
    ),
    "phi3": Style(slides="never"),
    "granite": Style(slides="never"),
    "smollm3": _PLAIN,
    "seed_oss": Style(slides="never", defaults={"attention_bias": True}, has_output_bias=False),
    "ernie4_5": Style(slides="never"),
    "ernie4_5_moe": Style(slides="never", shared="count"),
    "olmo2": Style(qk_norm="full", slides="never"),
    "olmo3": Style(qk_norm="full"),
    "olmoe": Style(qk_norm="full", slides="never"),
    "exaone4": Style(qk_norm="head"),
    "glm4": Style(norms=4, has_output_bias=False, slides="never"),
    "glm4_moe": Style(has_output_bias=False, shared="count", slides="never"),
    "dots1": Style(qk_norm="head", shared="count"),
    "cohere": Style(norms=1, slides="never", defaults={"tie_word_embeddings": True}),
    "cohere2": Style(norms=1, slides="pattern", defaults={"tie_word_embeddings": True, "sliding_window_pattern": 4}),
    "gpt_oss": Style(has_mlp_bias=True, has_router_bias=True, has_sinks=True),
    "minimax_m2": Style(qk_norm="full", slides="never"),
    "minimax_m3": Style(qk_norm="head", slides="never", shared="width"),
    "mimo_v2_flash": Style(),
    "step3p7": Style(qk_norm="head", shared="width"),
    "llama4_text": Style(slides="never", shared="count", defaults={"n_shared_experts": 1}),
    "starcoder2": msgspec.structs.replace(_BIASED, slides="always", defaults={"tie_word_embeddings": True}),
    "gpt_neox": _BIASED,
    "gpt2": msgspec.structs.replace(_BIASED, learns_positions=True, defaults={"tie_word_embeddings": True}),
    "opt": msgspec.structs.replace(
        _BIASED, learns_positions=True, position_offset=2, defaults={"tie_word_embeddings": True}
    ),
    "gpt_bigcode": msgspec.structs.replace(_BIASED, learns_positions=True, defaults={"tie_word_embeddings": True}),
    "bloom": msgspec.structs.replace(_BIASED, defaults={"tie_word_embeddings": True}),
    "falcon": Style(is_gated=False, norm_vectors=2, slides="never", defaults={"tie_word_embeddings": True}),
    "gptj": _GPTJ,
    "codegen": _GPTJ,
    "gpt_neo": Style(
        is_gated=False,
        has_qkv_bias=False,
        has_output_bias=True,
        has_mlp_bias=True,
        norm_vectors=2,
        learns_positions=True,
        defaults={"tie_word_embeddings": True, "sliding_window": 256},
    ),
    "phi": msgspec.structs.replace(_BIASED, norms=1, has_head_bias=True),
    "mpt": Style(is_gated=False, slides="never", defaults={"tie_word_embeddings": True}),
    "stablelm": Style(has_output_bias=False, norm_vectors=2, slides="never"),
    "olmo": Style(norm_vectors=0, slides="never"),
    "nemotron": Style(is_gated=False, norm_vectors=2, slides="never"),
    "arcee": Style(is_gated=False, slides="never"),
    "apertus": Style(is_gated=False, qk_norm="head", slides="never"),
    "glm": Style(has_output_bias=False, slides="never", defaults={"attention_bias": True}),
    "chatglm": Style(has_output_bias=False, slides="never"),
    "qwen": Style(has_qkv_bias=True, has_output_bias=False, slides="never"),
    "exaone": Style(slides="never"),
    "exaone_moe": Style(qk_norm="head", shared="count", slides="pattern", defaults={"sliding_window_pattern": 4}),
    "baichuan": Style(slides="never"),
    "internlm": Style(slides="never", defaults={"attention_bias": True}),
    "internlm2": Style(slides="never"),
    "internlm3": Style(slides="never"),
    "minicpm": Style(slides="never", defaults={"tie_word_embeddings": True}),
    "helium": Style(has_output_bias=False, slides="never"),
    "hunyuan_v1_dense": Style(qk_norm="head", slides="never"),
    "hunyuan_v1_moe": Style(qk_norm="head", shared="count", slides="never"),
    "hy_v3": Style(qk_norm="head", shared="count", slides="never"),
    "deepseek": Style(shared="count", slides="never"),
    "bailing_moe": Style(shared="count", slides="never"),
    "bailing_moe_v2": Style(qk_norm="head", shared="count", slides="never"),
    "phimoe": Style(norm_vectors=2, has_head_bias=None, slides="never"),
    "dbrx": Style(slides="never"),
    "granitemoe": Style(shared="width", slides="never"),
    "flex_olmo": Style(qk_norm="full", slides="never"),
    "afmoe": Style(norms=4, qk_norm="head", has_output_gate=True, shared="count"),
    "solar_open": Style(has_output_bias=False, shared="count", slides="never"),
    "cohere2_moe": Style(
        norms=1,
        shared="count",
        slides="pattern",
        defaults={"tie_word_embeddings": True, "sliding_window_pattern": 4},
    ),
}
