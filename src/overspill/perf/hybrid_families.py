"""Families of models with Mamba, convolutions and linear attention beside some layers of full attention."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from overspill.perf.architecture import DenseFeedForward, ExpertFeedForward, FeedForward, Layer
from overspill.perf.attention import GroupedAttention, RecurrentMixer
from overspill.perf.config_fields import Fields
from overspill.perf.grouped_families import experts, head_shape, routed_layers
from overspill.perf.styles import Style

_FP32 = 4
_BF16 = 2
_PLAIN = Style()
_NAS_STEP = 256
"""Widths of feed-forward layers are rounded up to multiples of it."""
_FULL = ("attention", "full_attention")
_LINEAR = ("mamba", "linear_attention", "conv")


def jamba_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Jamba: Mamba but for every eighth layer, experts in every second."""
    attends = _periods(fields, "attn_layer", count)
    routed = _periods(fields, "expert_layer", count)
    found, mamba = experts(fields, _PLAIN), _mamba1(fields, hidden)
    dense = DenseFeedForward(width=fields.whole("intermediate_size"))
    return tuple(
        Layer(
            mixer=_attention(fields, hidden) if attends[index] else mamba,
            feed_forward=found if routed[index] and found.experts > 1 else dense,
            small_params=2 * hidden,
        )
        for index in range(count)
    )


def bamba_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Bamba: Mamba-2 but for those that ``attn_layer_indices`` lists."""
    full = set(fields.get("attn_layer_indices") or ())
    dense = DenseFeedForward(width=fields.whole("intermediate_size"))
    mamba, attention = _mamba2(fields, hidden), _attention(fields, hidden)
    return tuple(
        Layer(mixer=attention if index in full else mamba, feed_forward=dense, small_params=2 * hidden)
        for index in range(count)
    )


def granite_hybrid_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of Granite 4: Mamba-2 or attention, each with a shared expert and maybe routed ones."""
    shared = fields.whole("shared_intermediate_size")
    feed_forward: FeedForward = DenseFeedForward(width=shared)
    if fields.whole("num_local_experts", default=0):
        feed_forward = msgspec.structs.replace(experts(fields, _PLAIN), shared_width=shared)
    kinds = _kinds(fields, count)
    mamba = _mamba2(fields, hidden) if any(kind in _LINEAR for kind in kinds) else None
    attention = _attention(fields, hidden)
    return tuple(
        Layer(mixer=attention if kind in _FULL else mamba, feed_forward=feed_forward, small_params=2 * hidden)
        for kind in kinds
    )


def falcon_h1_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the blocks of Falcon-H1, in which attention and Mamba-2 work side by side: two blocks for each."""
    dense = DenseFeedForward(width=fields.whole("intermediate_size"))
    side = Layer(mixer=_attention(fields, hidden), feed_forward=None, small_params=hidden)
    main = Layer(
        mixer=_mamba2(fields.with_defaults({"mamba_rms_norm": False}), hidden), feed_forward=dense, small_params=hidden
    )
    return (side, main) * count


def lfm2_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of LFM2: short convolutions and attention; those of the larger ones with experts."""
    routed = routed_layers(fields, count)
    width = fields.whole("block_ff_dim", "intermediate_size")
    if fields.flag("block_auto_adjust_ff_dim", default=not any(routed)):
        step = fields.whole("block_multiple_of", default=256)
        scale = float(fields.get("block_ffn_dim_multiplier") or 1.0)
        width = step * math.ceil(int(scale * int(2 * width / 3)) / step)
    taps = fields.whole("conv_L_cache")
    convolution = RecurrentMixer(
        weights=4 * hidden * hidden,
        state_bytes=hidden * (taps - 1) * _BF16,
        flops_per_token=2 * hidden * taps,
        heads=fields.whole("num_attention_heads"),
        small_params=hidden * taps + (5 * hidden if fields.flag("conv_bias") else 0),
    )
    attention = _attention(fields, hidden)
    attention = msgspec.structs.replace(attention, small_params=2 * attention.head_dim)
    full = fields.get("full_attn_idxs")
    kinds = (
        _kinds(fields, count)
        if full is None or "layer_types" in fields
        else tuple("full_attention" if index in full else "conv" for index in range(count))
    )
    return tuple(
        Layer(
            mixer=attention if kinds[index] in _FULL else convolution,
            feed_forward=_with_bias(experts(fields, _PLAIN)) if routed[index] else DenseFeedForward(width=width),
            small_params=2 * hidden,
        )
        for index in range(count)
    )


def _with_bias(found: ExpertFeedForward) -> ExpertFeedForward:
    return msgspec.structs.replace(found, small_params=found.experts)


def lightning_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of MiniMax-01 and M1: lightning attention, every eighth layer full."""
    heads, _, dim = head_shape(fields, hidden)
    width = heads * dim
    lightning = RecurrentMixer(
        weights=hidden * 5 * width,
        state_bytes=heads * dim * dim * _FP32,
        flops_per_token=4 * heads * dim * dim,
        heads=heads,
        small_params=width,
    )
    listed = fields.per_layer("attn_type_list", count)
    named = None if listed is None else tuple("attention" if on else "linear_attention" for on in listed)
    kinds = named or _kinds(fields, count)
    attention = _attention(fields, hidden)
    return tuple(
        Layer(
            mixer=attention if kind in _FULL else lightning,
            feed_forward=experts(fields, _PLAIN),
            small_params=2 * hidden,
        )
        for kind in kinds
    )


def searched_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the layers of DeciLM and Nemotron Super and Ultra: a search chose each one's shape, or left parts out."""
    blocks = fields.per_layer("block_configs", count)
    if blocks is None:
        raise fields.error("block_configs is missing: it says what each layer is made of")
    heads = fields.whole("num_attention_heads")
    dim = fields.whole("head_dim", default=hidden // heads)
    return tuple(_searched(fields, block, hidden, heads, dim) for block in blocks)


def _searched(fields: Fields, block: Any, hidden: int, heads: int, dim: int) -> Layer:
    attention, feed_forward = Fields(block["attention"], fields.file), Fields(block["ffn"], fields.file)
    for part in (attention, feed_forward):
        if part.flag("replace_with_linear"):
            raise fields.error("block_configs has replace_with_linear, which is not supported")
    mixer = dense = None
    if not attention.flag("no_op"):
        mixer = GroupedAttention(
            heads=heads, kv_heads=heads // attention.whole("n_heads_in_group"), head_dim=dim, v_head_dim=dim
        )
    if not feed_forward.flag("no_op"):
        width = int(2 * float(feed_forward.get("ffn_mult") or 0) * hidden / 3)
        dense = DenseFeedForward(width=_NAS_STEP * math.ceil(width / _NAS_STEP))
    return Layer(mixer=mixer, feed_forward=dense, small_params=hidden * ((mixer is not None) + (dense is not None)))


def _kinds(fields: Fields, count: int) -> tuple[str, ...]:
    """Return each layer's kind as ``layer_types`` or an older name of it says."""
    kinds = fields.per_layer("layer_types", count) or fields.per_layer("layers_block_type", count)
    known = {*_FULL, *_LINEAR}
    if kinds is None:
        raise fields.error("layer_types is missing: it says which layers have attention")
    odd = next((kind for kind in kinds if kind not in known), None)
    if odd is not None:
        raise fields.error(f"layer_types has {odd!r}; known for this model_type: {sorted(known)}")
    return kinds


def _periods(fields: Fields, name: str, count: int) -> tuple[bool, ...]:
    period, offset = fields.whole(f"{name}_period"), fields.whole(f"{name}_offset")
    if not period:
        raise fields.error(f"{name}_period must be 1 or more")
    return tuple(index % period == offset for index in range(count))


def _attention(fields: Fields, hidden: int) -> GroupedAttention:
    heads, kv_heads, dim = head_shape(fields, hidden)
    return GroupedAttention(heads=heads, kv_heads=kv_heads, head_dim=dim, v_head_dim=dim)


def _mamba1(fields: Fields, hidden: int) -> RecurrentMixer:
    """Return a Mamba-1 layer with norms of what its state is stepped by, as Jamba has them."""
    inner, size = fields.whole("mamba_expand", default=2) * hidden, fields.whole("mamba_d_state")
    named = fields.get("mamba_dt_rank")
    rank = math.ceil(hidden / 16) if named in (None, "auto") else fields.whole("mamba_dt_rank")
    kernel = fields.whole("mamba_d_conv", default=4)
    return RecurrentMixer(
        weights=hidden * 3 * inner + inner * (rank + 2 * size) + rank * inner,
        state_bytes=inner * size * _FP32 + inner * (kernel - 1) * _BF16,
        flops_per_token=6 * inner * size,
        heads=fields.whole("num_attention_heads"),
        small_params=inner * (kernel + 3 + size) + rank + 2 * size,
    )


def nemotron_h_layers(fields: Fields, hidden: int, count: int) -> tuple[Layer, ...]:
    """Return the blocks of Nemotron-H and Nemotron 3: Mamba-2, attention, feed-forward, one thing each."""
    blocks = _nemotron_blocks(fields, count)
    heads, kv_heads = fields.whole("num_attention_heads"), fields.whole("num_key_value_heads")
    dim = fields.whole("head_dim", "attention_head_dim")
    attention = GroupedAttention(heads=heads, kv_heads=kv_heads, head_dim=dim, v_head_dim=dim)
    dense = DenseFeedForward(width=fields.whole("intermediate_size"), is_gated=False)
    mamba = _mamba2(fields, hidden)
    by_letter = {
        "M": Layer(mixer=mamba, feed_forward=None, small_params=hidden),
        "*": Layer(mixer=attention, feed_forward=None, small_params=hidden),
        "-": Layer(mixer=None, feed_forward=dense, small_params=hidden),
    }
    if "E" in blocks:
        by_letter["E"] = Layer(mixer=None, feed_forward=_nemotron_experts(fields), small_params=hidden)
    return tuple(by_letter[letter] for letter in blocks)


def _nemotron_blocks(fields: Fields, count: int) -> tuple[str, ...]:
    """Return each block's letter; newer configurations spell them out."""
    letters = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E", "linear_attention": "M", "full_attention": "*"}
    listed = fields.per_layer("layers_block_type", count)
    named = fields.text("hybrid_override_pattern") or ""
    blocks = tuple(letters.get(str(kind), "?") for kind in listed) if listed is not None else tuple(named)[:count]
    if len(blocks) < count or not set(blocks) <= set("M*-E"):
        raise fields.error(
            f"hybrid_override_pattern or layers_block_type must name each of the {count} blocks: "
            "M (mamba), * (attention), - (mlp) or E (moe)"
        )
    return blocks


def _nemotron_experts(fields: Fields) -> ExpertFeedForward:
    found = experts(fields, Style(is_gated=False))
    return msgspec.structs.replace(
        found,
        shared_width=fields.whole("moe_shared_expert_intermediate_size", default=0)
        * fields.whole("n_shared_experts", default=1),
        latent=fields.whole_or_none("moe_latent_size"),
        small_params=found.experts,
    )


def _mamba2(fields: Fields, hidden: int) -> RecurrentMixer:
    """Return a Mamba-2 layer; its width is that of its heads together."""
    heads, dim = fields.whole("mamba_num_heads"), fields.whole("mamba_head_dim")
    size, groups = fields.whole("ssm_state_size"), fields.whole("n_groups")
    kernel = fields.whole("conv_kernel", default=4)
    width = heads * dim
    channels = width + 2 * groups * size
    return RecurrentMixer(
        weights=hidden * (width + channels + heads) + width * hidden,
        state_bytes=width * size * _FP32 + channels * (kernel - 1) * _BF16,
        flops_per_token=6 * width * size,
        heads=heads,
        small_params=channels * (kernel + 1)
        + 3 * heads
        + (width if fields.flag("mamba_rms_norm", default=True) else 0),
    )
