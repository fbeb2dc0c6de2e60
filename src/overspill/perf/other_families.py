"""Families of models with latent and compressed attention and delta nets, and Gemma 4."""

from __future__ import annotations

import msgspec

from overspill.perf.architecture import DenseFeedForward, ExpertFeedForward, FeedForward, Layer
from overspill.perf.attention import CompressedAttention, GroupedAttention, LatentAttention, Mixer, RecurrentMixer
from overspill.perf.config_fields import Fields
from overspill.perf.grouped_families import experts, head_shape, routed_layers
from overspill.perf.styles import Style

_SHARED = Style(shared="count")
_SHARED_WIDTH = Style(shared="width", has_shared_gate=True)
_FP32 = 4
_BF16 = 2


def latent_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of DeepSeek V2, V3 and V3.2, Kimi K2 and GLM-5."""
    routed = routed_layers(fields, count)
    kinds = fields.per_layer("indexer_types", count) or ("full",) * count
    return tuple(
        Layer(
            mixer=_latent(fields, has_index=kinds[index] == "full"),
            feed_forward=_experts_or_dense(fields, _SHARED, is_routed=routed[index]),
            small_params=2 * hidden,
        )
        for index in range(count)
    )


def longcat_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of LongCat Flash: two latent attentions and two dense feed-forwards for one of experts.

    Some experts are no-ops (``zero_expert_num``), so that a token meets fewer weights than it chooses experts.
    """
    named, idle = fields.whole("n_routed_experts"), fields.whole("zero_expert_num", default=0)
    chosen = fields.whole("moe_topk", "num_experts_per_tok")
    half = Layer(
        mixer=_latent(fields, has_index=False),
        feed_forward=DenseFeedForward(width=fields.whole("ffn_hidden_size", "intermediate_size")),
        small_params=2 * hidden,
    )
    routed = ExpertFeedForward(
        experts=named,
        top_k=round(chosen * named / (named + idle)),
        width=fields.whole("expert_ffn_hidden_size", "moe_intermediate_size"),
        small_params=hidden * idle + named + idle,
    )
    return (half, half, Layer(mixer=None, feed_forward=routed)) * count


def _latent(fields: Fields, *, has_index: bool) -> LatentAttention:
    q_rank, kv_rank = fields.whole_or_none("q_lora_rank"), fields.whole("kv_lora_rank")
    index_dim = fields.whole("index_head_dim", default=0) if has_index else 0
    return LatentAttention(
        heads=fields.whole("num_attention_heads"),
        q_rank=q_rank,
        kv_rank=kv_rank,
        nope_dim=fields.whole("qk_nope_head_dim"),
        rope_dim=fields.whole("qk_rope_head_dim"),
        v_head_dim=fields.whole("v_head_dim"),
        index_heads=fields.whole("index_n_heads", default=0) if index_dim else 0,
        index_dim=index_dim,
        attends_tokens=fields.whole_or_none("index_topk"),
        small_params=(q_rank or 0) + kv_rank + 2 * index_dim,
    )


def _experts_or_dense(fields: Fields, style: Style, *, is_routed: bool) -> FeedForward:
    if is_routed:
        found = experts(fields, style)
        return msgspec.structs.replace(found, small_params=found.experts)
    return DenseFeedForward(width=fields.whole("intermediate_size"))


def compressed_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of DeepSeek V4, its MTP module's last."""
    ratios = fields.per_layer("compress_ratios", count)
    if ratios is None:
        raise fields.error("compress_ratios is missing: it says how each layer's cache is compressed")
    streams = fields.whole("hc_mult", default=1)
    columns = streams * (2 + streams)
    mixing = 2 * (columns * streams * hidden + columns + 3)
    return tuple(
        Layer(
            mixer=_compressed(fields, ratio),
            feed_forward=_experts_or_dense(fields, _SHARED, is_routed=True),
            small_params=2 * hidden + mixing,
        )
        for ratio in ratios
    )


def _compressed(fields: Fields, ratio: object) -> CompressedAttention:
    if ratio not in (0, 4, 128):
        raise fields.error(f"compress_ratios has {ratio!r}; known are 0, 4 and 128")
    assert isinstance(ratio, int)  # one of the three
    dim, index_dim = fields.whole("head_dim"), fields.whole("index_head_dim")
    heads, q_rank = fields.whole("num_attention_heads"), fields.whole("q_lora_rank")
    has_index = ratio == 4
    positions = ratio * ((2 if has_index else 1) * dim + (2 * index_dim if has_index else 0))
    norms = q_rank + dim + (dim if ratio else 0) + (index_dim if has_index else 0)
    return CompressedAttention(
        heads=heads,
        head_dim=dim,
        q_rank=q_rank,
        o_rank=fields.whole("o_lora_rank"),
        o_groups=fields.whole("o_groups"),
        window_tokens=fields.whole("sliding_window"),
        ratio=ratio,
        index_heads=fields.whole("index_n_heads") if has_index else 0,
        index_dim=index_dim if has_index else 0,
        attends_entries=fields.whole("index_topk") if has_index else None,
        small_params=norms + positions + heads,
    )


def gated_delta_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Qwen3-Next and Qwen3.5: gated delta nets, every fourth one full attention."""
    step = fields.whole("full_attention_interval", default=4)
    kinds = fields.per_layer("layer_types", count) or tuple(
        "full_attention" if (index + 1) % step == 0 else "linear_attention" for index in range(count)
    )
    routed = routed_layers(fields, count)
    heads, kv_heads, dim = head_shape(fields, hidden)
    full = GroupedAttention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=dim,
        v_head_dim=dim,
        gate_columns=heads * dim if fields.flag("attn_output_gate", default=True) else 0,
        small_params=2 * dim,
    )
    mixers: dict[object, Mixer] = {"full_attention": full, "linear_attention": _gated_delta(fields, hidden)}
    _check_kinds(fields, kinds, mixers)
    return tuple(
        Layer(
            mixer=mixers[kinds[index]],
            feed_forward=experts(fields, _SHARED_WIDTH)
            if routed[index]
            else DenseFeedForward(width=fields.whole("intermediate_size")),
            small_params=2 * hidden,
        )
        for index in range(count)
    )


def _check_kinds(fields: Fields, kinds: tuple[object, ...], mixers: dict[object, Mixer]) -> None:
    odd = next((kind for kind in kinds if kind not in mixers), None)
    if odd is not None:
        raise fields.error(f"layer_types has {odd!r}; known for this model_type: {sorted(map(str, mixers))}")


def _gated_delta(fields: Fields, hidden: int) -> RecurrentMixer:
    k_heads, v_heads = fields.whole("linear_num_key_heads"), fields.whole("linear_num_value_heads")
    k_dim, v_dim = fields.whole("linear_key_head_dim"), fields.whole("linear_value_head_dim")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    keys, values = k_heads * k_dim, v_heads * v_dim
    channels = 2 * keys + values
    state = v_heads * k_dim * v_dim
    return RecurrentMixer(
        weights=hidden * (channels + 2 * values + 2 * v_heads),
        state_bytes=state * _FP32 + channels * (kernel - 1) * _BF16,
        flops_per_token=8 * state,
        heads=v_heads,
        small_params=channels * kernel + 2 * v_heads + v_dim,
    )


def kimi_linear_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Kimi Linear and K3: delta attention, some layers latent."""
    linear = fields.mapping("linear_attn_config")
    if linear is None:
        raise fields.error("linear_attn_config is missing: it says which layers have full attention")
    shape = Fields(linear, fields.file)
    full = set(shape.get("full_attn_layers") or ())
    routed = routed_layers(fields, count)
    latent = _latent(fields, has_index=False)
    gate = latent.heads * latent.v_head_dim if fields.flag("mla_use_output_gate") else 0
    latent = msgspec.structs.replace(latent, gate_columns=gate)
    delta = _kimi_delta(shape, hidden)
    dense = DenseFeedForward(width=fields.whole("intermediate_size"))
    narrow = fields.whole_or_none("routed_expert_hidden_size")
    found = msgspec.structs.replace(experts(fields, _SHARED), latent=narrow)
    small = found.experts + (narrow or 0)
    return tuple(
        Layer(
            mixer=latent if index + 1 in full else delta,
            feed_forward=msgspec.structs.replace(found, small_params=small) if routed[index] else dense,
            small_params=2 * hidden,
        )
        for index in range(count)
    )


def _kimi_delta(shape: Fields, hidden: int) -> RecurrentMixer:
    heads, dim = shape.whole("num_heads"), shape.whole("head_dim")
    kernel = shape.whole("short_conv_kernel_size", default=4)
    width = heads * dim
    gate = hidden * width if shape.flag("use_full_rank_gate") else dim * (hidden + width)
    state = heads * dim * dim
    return RecurrentMixer(
        weights=hidden * (4 * width + heads) + dim * (hidden + width) + gate,
        state_bytes=state * _FP32 + 3 * width * (kernel - 1) * _BF16,
        flops_per_token=8 * state,
        heads=heads,
        small_params=3 * width * kernel + width + heads + dim,
    )


def gemma4_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Gemma 4: window layers, and full ones with heads of another size."""
    kinds = fields.per_layer("layer_types", count)
    if kinds is None:
        raise fields.error("layer_types is missing: it says which layers have the sliding window")
    own_cache = count - fields.whole("num_kv_shared_layers", default=0)
    per_layer_input = fields.whole("hidden_size_per_layer_input", default=0)
    extra = 2 * hidden * per_layer_input + (hidden if per_layer_input else 0)
    has_experts = fields.flag("enable_moe_block")
    return tuple(
        Layer(
            mixer=_gemma4_attention(fields, is_full=kinds[index] == "full_attention", keeps_cache=index < own_cache),
            feed_forward=_gemma4_feed_forward(fields, hidden, is_doubled=index >= own_cache),
            small_params=hidden * (7 if has_experts else 4) + extra,
        )
        for index in range(count)
    )


def _gemma4_attention(fields: Fields, *, is_full: bool, keeps_cache: bool) -> GroupedAttention:
    dim = fields.whole("global_head_dim" if is_full else "head_dim")
    kv_heads = fields.whole("num_key_value_heads")
    if is_full:
        kv_heads = fields.whole("num_global_key_value_heads", default=kv_heads)
    return GroupedAttention(
        heads=fields.whole("num_attention_heads"),
        kv_heads=kv_heads,
        head_dim=dim,
        v_head_dim=dim,
        window_tokens=None if is_full else fields.whole("sliding_window"),
        has_value_weights=not (is_full and fields.flag("attention_k_eq_v")),
        keeps_cache=keeps_cache,
        small_params=2 * dim if keeps_cache else dim,
    )


def _gemma4_feed_forward(fields: Fields, hidden: int, *, is_doubled: bool) -> FeedForward:
    width = fields.whole("intermediate_size")
    if not fields.flag("enable_moe_block"):
        return DenseFeedForward(width=width * (2 if is_doubled and fields.flag("use_double_wide_mlp") else 1))
    found = experts(fields, Style())
    return msgspec.structs.replace(found, shared_width=width, small_params=hidden + found.experts)


def gemma3n_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Gemma 3n: Gemma 3's with inputs of their own, low-rank bypasses and parallel streams."""
    kinds = fields.per_layer("layer_types", count)
    if kinds is None:
        raise fields.error("layer_types is missing: it says which layers have the sliding window")
    widths = fields.per_layer("intermediate_size", count) if isinstance(fields.get("intermediate_size"), list) else None
    heads, kv_heads, dim = head_shape(fields, hidden)
    window, own_cache = fields.whole("sliding_window"), count - fields.whole("num_kv_shared_layers", default=0)
    streams, own_input = fields.whole("altup_num_inputs"), fields.whole("hidden_size_per_layer_input")
    bypass = 2 * hidden * fields.whole("laurel_rank") + hidden
    mixing = hidden * (streams + 2) + streams * streams * (1 + streams)
    small = 4 * hidden + bypass + mixing + 2 * hidden * own_input + hidden
    return tuple(
        Layer(
            mixer=GroupedAttention(
                heads=heads,
                kv_heads=kv_heads,
                head_dim=dim,
                v_head_dim=dim,
                window_tokens=window if kinds[index] == "sliding_attention" else None,
                keeps_cache=index < own_cache,
                small_params=2 * dim if index < own_cache else dim,
            ),
            feed_forward=DenseFeedForward(
                width=fields.whole("intermediate_size") if widths is None else int(widths[index])
            ),
            small_params=small,
        )
        for index in range(count)
    )
