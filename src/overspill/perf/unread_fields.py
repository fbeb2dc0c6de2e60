"""Fields of a ``config.json`` that a family's reader has not asked for: no shape is passed over in silence.

New models come under the name of an old family, or are copied under one, with layers that the family does not have. A
field that always means further weights or another cache is an error; one that merely looks like a shape is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from overspill.perf.architecture import Architecture, DenseFeedForward
from overspill.perf.config_fields import Fields

_MEANS: Mapping[str, re.Pattern[str]] = {
    "latent attention (MLA)": re.compile("(q|kv|o)_lora_rank|qk_nope_head_dim"),
    "a sparse index": re.compile("index_(n_heads|head_dim)|sparse_attention_config"),
    "compressed attention": re.compile("compress_ratios|compress_rates"),
    "Mamba or other recurrent layers": re.compile(
        "mamba_(num_heads|n_heads|head_dim|d_head|d_state|d_ssm|expand)|ssm_(state_size|cfg)|state_size|lru_width|"
        "hybrid_override_pattern|layers_block_type|_?block_types|attn_layer_(period|offset|indices)|"
        "linear_(num_|key_|value_|head_|attn_config).*|full_attention_interval|full_attn_idxs|conv_L_cache"
    ),
    "routed experts": re.compile("(num|n)_(local_|routed_)?experts|moe_num_experts|ffn_config"),
    "shared experts": re.compile(
        "(n|num|moe_num)_shared_experts?|shared_(expert_)?intermediate_size|moe_shared_expert_intermediate_size"
    ),
    "experts narrower than the model": re.compile("moe_latent_size|routed_expert_hidden_size"),
    "cross attention": re.compile("cross_attention_(layers|freq|interval)|add_cross_attention"),
    "an encoder": re.compile("is_encoder_decoder|encoder_layers"),
    "layers that share a cache": re.compile("num_kv_shared_layers|use_cla"),
    "inputs of each layer's own": re.compile("hidden_size_per_layer_input|altup_num_inputs|laurel_rank"),
    "layers of different shapes": re.compile("block_configs|per_layer_config"),
    "several residual streams": re.compile("hc_mult"),
}
_OTHER_KINDS = re.compile("linear|mamba|conv|recurrent|lru|ssm|cross")
"""In the name of a layer's kind."""
_SHAPE = re.compile("_(dim|rank|layers?|heads?|size|width|experts?|expand|multiple_of)$")
_NO_SHAPE = re.compile(
    "head_dim|qk_(rope_)?head_dim|rotary_(dim|emb_dim)|.*chunk_size.*|.*block_size|ep_size|(audio|image|vision|video|projector|mm|"
    "img|vit|patch)_.*|max_window_layers|no_rope_layers|num_hash_layers|moe_layers|sliding_window_size|"
    "num_key_value_heads|time_step_rank|(dense_)?intermediate_size(_mlp)?|attention_layers|"
    "(n|num)_(shared_)?experts?|(index|swa|beam|pool)_.*|(num_)?mtp_.*|global_attn_every.*|org_vocab_size|attention_head_dim|"
    "(original_)?max_.*|word_embed_proj_dim|use_.*|router_.*"
)
"""What ends like a shape and tells nothing about weights or the cache, or was read under another name."""


def unread_fields(fields: Fields, model: Architecture) -> tuple[str, ...]:
    """Return the fields that look like shapes and were not asked for.

    Raises ``ConfigError`` for one that means weights or a cache that were not counted.
    """
    unread = fields.not_asked()
    for name, value in unread.items():
        meaning = next((words for words, names in _MEANS.items() if names.fullmatch(name)), None)
        if meaning is not None and _says_so(value, meaning, model):
            raise fields.error(
                f"{name} {_short(value)} means {meaning}, which a {model.model_type} does not have: what it takes "
                "would not be counted. Take the field out if it does not mean that here, or say another model_type"
            )
    _check_kinds(fields, unread, model)
    return tuple(sorted(name for name in unread if _SHAPE.search(name) and not _NO_SHAPE.fullmatch(name)))


def _says_so(value: Any, meaning: str, model: Architecture) -> bool:
    """Return whether a field really has its meaning: one expert is none, and shared ones stand beside routed ones."""
    if meaning == "routed experts":
        return bool(value != 1)
    if meaning == "shared experts":
        parts = [layer.feed_forward for layer in model.layers if layer.feed_forward is not None]
        return not any(isinstance(part, DenseFeedForward) or part.shared_width for part in parts)
    return True


def _check_kinds(fields: Fields, unread: Mapping[str, Any], model: Architecture) -> None:
    listed = unread.get("layer_types")
    odd = next((kind for kind in listed if _OTHER_KINDS.search(str(kind))), None) if isinstance(listed, list) else None
    if odd is not None:
        raise fields.error(f"layer_types has {odd!r}, which a {model.model_type} does not have")
    types = unread.get("attn_type_list")
    if isinstance(types, list) and not all(types):
        raise fields.error(f"attn_type_list has linear attention, which a {model.model_type} does not have")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
