"""Layers of models with grouped attention, as ``config.json`` and the family's style say."""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.perf.architecture import DenseFeedForward, ExpertFeedForward, FeedForward, Layer
from overspill.perf.attention import GroupedAttention
from overspill.perf.config_fields import Fields
from overspill.perf.styles import Style


def grouped_layers(fields: Fields, style: Style, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of a model of one of the families above."""
    windows = _windows(fields, style, count)
    routed = routed_layers(fields, count)
    norm = hidden * fields.whole("norms", default=style.norms) * style.norm_vectors
    indexed = fields.per_layer("index_layers", count) or (False,) * count
    shared_by = fields.whole("cache_shared_by_layers", default=1)
    return tuple(
        Layer(
            mixer=_attention(
                fields,
                style,
                hidden,
                windows[index],
                has_index=bool(indexed[index]),
                keeps_cache=index % shared_by == 0,
            ),
            feed_forward=_feed_forward(fields, style, hidden, is_routed=routed[index]),
            small_params=norm,
        )
        for index in range(count)
    )


def head_shape(fields: Fields, hidden: int) -> tuple[int, int, int]:
    """Return the query heads, key-value heads and the dimension of a head."""
    heads = fields.whole("num_attention_heads", "n_head")
    if heads == 0:
        raise fields.error("num_attention_heads must be 1 or more")
    kv_heads = fields.whole_or_none("num_key_value_heads") or heads
    dim = fields.whole_or_none("head_dim")
    if dim is None:
        if hidden % heads:
            raise fields.error(f"head_dim is missing, and hidden_size {hidden} is no multiple of {heads} heads")
        dim = hidden // heads
    return heads, kv_heads, dim


def routed_layers(fields: Fields, count: int) -> tuple[bool, ...]:
    """Return for each layer whether it has routed experts."""
    if not experts_of(fields):
        return (False,) * count
    listed = fields.per_layer("mlp_layer_types", count)
    if listed is not None:
        return tuple(kind == "sparse" for kind in listed)
    if isinstance(fields.get("moe_layer_freq"), list):
        return tuple(bool(on) for on in fields.per_layer("moe_layer_freq", count) or ())
    if fields.get("interleave_moe_layer_step") is not None:
        step = fields.whole("interleave_moe_layer_step")
        return tuple(step > 0 and (index + 1) % step == 0 for index in range(count))
    dense = set(fields.get("mlp_only_layers") or ())
    first = fields.whole("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers", default=0)
    step = fields.whole("decoder_sparse_step", "moe_layer_freq", "moe_layer_interval", default=1)
    return tuple(index >= first and index not in dense and (index + 1) % step == 0 for index in range(count))


def experts_of(fields: Fields) -> int:
    """Return how many routed experts a layer with some has; 0 for a dense model."""
    names = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
    return fields.whole_or_none(*names) or 0


def experts(fields: Fields, style: Style, *, small_params: int = 0) -> ExpertFeedForward:
    """Return the routed and shared experts of a layer."""
    width = fields.whole("moe_intermediate_size", "intermediate_size")
    shared = 0
    if style.shared == "count":
        number = fields.whole("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=0)
        shared = number * fields.whole("moe_shared_expert_intermediate_size", default=width)
    elif style.shared == "width":
        names = ("shared_expert_intermediate_size", "share_expert_dim", "shared_intermediate_size")
        shared = fields.whole(*names, default=0)
    return ExpertFeedForward(
        experts=experts_of(fields),
        top_k=fields.whole("num_experts_per_tok", "num_experts_per_token", "moe_k", "top_k_experts", "moe_topk"),
        width=width,
        shared_width=shared,
        is_gated=style.is_gated,
        has_shared_gate=style.has_shared_gate,
        small_params=small_params,
    )


def _attention(
    fields: Fields, style: Style, hidden: int, window: int | None, *, has_index: bool, keeps_cache: bool
) -> GroupedAttention:
    heads, kv_heads, dim = head_shape(fields, hidden)
    v_dim = fields.whole("v_head_dim", default=dim)
    if window is not None:
        heads = fields.whole("swa_num_attention_heads", default=heads)
        kv_heads = fields.whole("swa_num_key_value_heads", default=kv_heads)
        dim = fields.whole("swa_head_dim", default=dim)
        v_dim = fields.whole("swa_v_head_dim", default=v_dim)
    asked = fields.flag("attention_bias") if style.has_qkv_bias is None or style.has_output_bias is None else False
    sinks = style.has_sinks or (window is not None and fields.flag("add_swa_attention_sink_bias"))
    small = heads if sinks else 0
    if asked if style.has_qkv_bias is None else style.has_qkv_bias:
        small += heads * dim + (kv_heads * (dim + v_dim) if keeps_cache else 0)
    if asked if style.has_output_bias is None else style.has_output_bias:
        small += hidden
    if style.qk_norm == "head" or (fields.get("use_qk_norm") is True and style.qk_norm == "none"):
        small += 2 * dim
    elif style.qk_norm == "full" or fields.get("qk_layernorm") is True:
        small += (heads + kv_heads) * dim
    index_dim = fields.whole("index_head_dim", default=0) if has_index else 0
    return GroupedAttention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=dim,
        v_head_dim=v_dim,
        window_tokens=window,
        gate_columns=_gate_columns(fields, style, heads, dim),
        keeps_cache=keeps_cache,
        index_heads=fields.whole("index_n_heads", default=0) if has_index else 0,
        index_dim=index_dim,
        attends_tokens=fields.whole_or_none("index_topk") if has_index else None,
        small_params=small + 2 * index_dim,
    )


def _gate_columns(fields: Fields, style: Style, heads: int, dim: int) -> int:
    """Return the width of the gate on what attention gives: none, one number a head, or all columns."""
    if style.has_output_gate:
        return heads * dim
    return heads if fields.get("gating") is True else 0


def _feed_forward(fields: Fields, style: Style, hidden: int, *, is_routed: bool) -> FeedForward:
    has_bias = fields.flag("mlp_bias") if style.has_mlp_bias is None else style.has_mlp_bias
    if is_routed:
        found = experts(fields, style)
        small = found.experts if style.has_router_bias else 0
        small += found.experts * (2 * found.width + hidden) if has_bias else 0
        return msgspec.structs.replace(found, small_params=small)
    width = fields.whole(
        "dense_intermediate_size",
        "prefix_dense_intermediate_size",
        "intermediate_size_mlp",
        "intermediate_size",
        "ffn_dim",
        "n_inner",
        default=4 * hidden,
    )
    return DenseFeedForward(
        width=width,
        is_gated=style.is_gated,
        small_params=((2 if style.is_gated else 1) * width + hidden) if has_bias else 0,
    )


def _windows(fields: Fields, style: Style, count: int) -> tuple[int | None, ...]:
    """Return each layer's window in tokens, ``None`` where it sees everything."""
    chunk = fields.whole_or_none("attention_chunk_size")
    if fields.get("hybrid_layer_pattern") is not None:
        window = fields.whole("sliding_window")
        return tuple(window if on else None for on in fields.per_layer("hybrid_layer_pattern", count) or ())
    if chunk is not None:
        # Llama 4: every fourth layer has no rotary embedding and sees everything.
        step = fields.whole("no_rope_layer_interval", default=4)
        return tuple(None if (index + 1) % step == 0 else chunk for index in range(count))
    window_tokens = fields.whole_or_none("sliding_window")
    if window_tokens is None or style.slides == "never":
        return (None,) * count
    listed = fields.per_layer("layer_types", count)
    if listed is not None:
        _check_kinds(fields, listed)
        return tuple(window_tokens if kind == "sliding_attention" else None for kind in listed)
    if style.slides == "pattern":
        step = fields.whole("sliding_window_pattern", "_sliding_window_pattern")
        return tuple(None if (index + 1) % step == 0 else window_tokens for index in range(count))
    if style.slides == "asked":
        first = fields.whole("max_window_layers", default=0)
        is_on = fields.flag("use_sliding_window")
        return tuple(window_tokens if is_on and index >= first else None for index in range(count))
    return (window_tokens if style.slides == "always" else None,) * count


def _check_kinds(fields: Fields, listed: tuple[Any, ...]) -> None:
    known = {"full_attention", "sliding_attention"}
    odd = next((kind for kind in listed if kind not in known), None)
    if odd is not None:
        raise fields.error(f"layer_types has {odd!r}, which is not known for this model_type; known: {sorted(known)}")
