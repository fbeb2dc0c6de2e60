"""Families whose ``config.json`` names things in a way of its own: into the names that most use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from overspill.perf.config_fields import Fields

_Values = dict[str, Any]


def with_usual_names(fields: Fields, model_type: str) -> Fields:
    """Return the fields with those of a family under their usual names as well."""
    rename = _RENAMES.get(model_type)
    return fields if rename is None else fields.with_values(rename(fields))


def _falcon(fields: Fields) -> _Values:
    """Only the new architecture of 40B and 180B has the key-value heads that the field names; 7B has one."""
    is_new, has_bias = fields.flag("new_decoder_architecture"), fields.flag("bias")
    is_grouped = is_new or not fields.flag("multi_query", default=True)
    heads = fields.whole("num_kv_heads", "n_head_kv", default=fields.whole("num_attention_heads", "n_head"))
    is_double = fields.whole("num_ln_in_parallel_attn", default=2 if is_new else 1) == 2
    return {
        "num_key_value_heads": heads if is_grouped else 1,
        "attention_bias": has_bias,
        "mlp_bias": has_bias,
        "intermediate_size": fields.whole_or_none("ffn_hidden_size"),
        "norms": 2 if is_double or not fields.flag("parallel_attn", default=True) else 1,
    }


def _gpt_bigcode(fields: Fields) -> _Values:
    return {"num_key_value_heads": 1} if fields.flag("multi_query", default=True) else {}


def _gpt_neo(fields: Fields) -> _Values:
    """Every other layer looks back ``window_size`` tokens, unless ``attention_types`` says something else."""
    count, heads = fields.whole("num_layers"), fields.whole("num_heads")
    pattern = ("global", "local")
    blocks = fields.get("attention_types")
    kinds = [kind for names, times in blocks for kind in names * times] if blocks else [*(pattern * count)][:count]
    layer_types = ["sliding_attention" if kind == "local" else "full_attention" for kind in kinds]
    return {
        "num_attention_heads": heads,
        "layer_types": layer_types,
        "sliding_window": fields.whole_or_none("window_size"),
    }


def _mpt(fields: Fields) -> _Values:
    attention = Fields(fields.mapping("attn_config") or {}, fields.file)
    if attention.text("attn_type") == "multiquery_attention":
        kv_heads: int | None = 1
    else:
        kv_heads = attention.whole_or_none("kv_n_heads")
    return {
        "num_hidden_layers": fields.whole("n_layers"),
        "num_attention_heads": fields.whole("n_heads"),
        "num_key_value_heads": kv_heads,
        "intermediate_size": fields.whole("expansion_ratio", default=4) * fields.whole("d_model", "hidden_size"),
        "max_position_embeddings": fields.whole_or_none("max_seq_len"),
    }


def _dbrx(fields: Fields) -> _Values:
    attention = Fields(fields.mapping("attn_config") or {}, fields.file)
    experts = Fields(fields.mapping("ffn_config") or {}, fields.file)
    return {
        "num_hidden_layers": fields.whole("n_layers"),
        "num_attention_heads": fields.whole("n_heads"),
        "num_key_value_heads": attention.whole("kv_n_heads"),
        "num_experts": experts.whole("moe_num_experts"),
        "num_experts_per_tok": experts.whole("moe_top_k"),
        "intermediate_size": experts.whole("ffn_hidden_size"),
        "max_position_embeddings": fields.whole_or_none("max_seq_len"),
    }


def _chatglm(fields: Fields) -> _Values:
    """ChatGLM2, ChatGLM3 and GLM-4 9B as first published; the first ChatGLM has no ``ffn_hidden_size``."""
    has_groups = fields.flag("multi_query_attention")
    return {
        "vocab_size": fields.whole("padded_vocab_size", "vocab_size"),
        "intermediate_size": fields.whole("ffn_hidden_size"),
        "head_dim": fields.whole_or_none("kv_channels"),
        "num_key_value_heads": fields.whole("multi_query_group_num") if has_groups else None,
        "attention_bias": fields.flag("add_qkv_bias"),
        "mlp_bias": fields.flag("add_bias_linear"),
    }


def _qwen(fields: Fields) -> _Values:
    """Halve the first Qwen's ``intermediate_size``, which is that of both halves of the gated layer."""
    return {
        "intermediate_size": fields.whole("intermediate_size") // 2,
        "head_dim": fields.whole_or_none("kv_channels"),
    }


def _stablelm(fields: Fields) -> _Values:
    return {
        "attention_bias": fields.flag("use_qkv_bias"),
        "norms": 1 if fields.flag("use_parallel_residual") else 2,
    }


def _internlm(fields: Fields) -> _Values:
    has_bias = fields.flag("bias", default=fields.text("model_type") == "internlm")
    return {"attention_bias": has_bias or fields.flag("qkv_bias")}


def _bailing(fields: Fields) -> _Values:
    return {"attention_bias": fields.flag("use_qkv_bias") or fields.flag("use_bias")}


def _hunyuan(fields: Fields) -> _Values:
    """Take the one value out of lists by layers; with ``use_cla`` some layers share the cache of one before."""
    lists = {"moe_topk": "num_experts_per_tok", "moe_intermediate_size": "moe_intermediate_size",
             "num_shared_expert": "num_shared_experts"}  # fmt: skip
    values: _Values = {}
    for name, usual in lists.items():
        value = fields.get(name)
        if isinstance(value, list):
            if len(set(value)) != 1:
                raise fields.error(f"{name} differs between layers, which is not supported: {sorted(set(value))}")
            value = value[0]
        values[usual] = value
    if not fields.flag("use_mixed_mlp_moe", default=True):
        values["num_shared_experts"] = None
    if fields.flag("use_cla"):
        values["cache_shared_by_layers"] = fields.whole("cla_share_factor")
    if fields.whole("num_experts", default=1) == 1:
        values["num_experts"] = None
    return values


def _minimax_m3(fields: Fields) -> _Values:
    """Find the sparse index apart in published files, and among the other fields where transformers 5 wrote them."""
    sparse = Fields(fields.mapping("sparse_attention_config") or {}, fields.file)
    if not sparse.flag("use_sparse_attention", default="index_n_heads" in fields):
        return {"index_n_heads": None}
    heads = sparse.whole("sparse_num_index_heads", default=fields.whole("index_n_heads", default=0))
    blocks = sparse.whole("sparse_topk_blocks", default=fields.whole("index_topk_blocks", default=0))
    width = sparse.whole("sparse_block_size", default=fields.whole("index_block_size", default=0))
    listed = fields.get("layer_types") or ()
    return {
        "index_n_heads": heads,
        "index_head_dim": sparse.whole("sparse_index_dim", default=fields.whole("index_head_dim", default=0)),
        "index_topk": blocks * width,
        "index_layers": sparse.get("sparse_attention_freq") or [kind == "minimax_m3_sparse" for kind in listed],
        "layer_types": None,
    }


def _mimo_v2(fields: Fields) -> _Values:
    """Files that transformers 5 wrote leave out that layers with a window have twice the key-value heads."""
    if "hybrid_layer_pattern" in fields:
        return {}
    return {"swa_num_key_value_heads": 2 * fields.whole("num_key_value_heads")}


def _kimi_linear(fields: Fields) -> _Values:
    """Gather the shape of linear layers, which transformers 5 writes among the other fields."""
    kinds = fields.get("layer_types")
    if "linear_attn_config" in fields or not isinstance(kinds, list):
        return {}
    shape = {
        "full_attn_layers": [index + 1 for index, kind in enumerate(kinds) if kind == "full_attention"],
        "num_heads": fields.whole("linear_num_heads"),
        "head_dim": fields.whole("linear_head_dim"),
        "short_conv_kernel_size": fields.whole("linear_conv_kernel_dim", default=4),
    }
    return {"linear_attn_config": shape}


def _deepseek_v4(fields: Fields) -> _Values:
    """Look up what layers compress by, where transformers 5 wrote their kinds and what each kind compresses by."""
    kinds, rates = fields.get("layer_types"), fields.mapping("compress_rates")
    if "compress_ratios" in fields or rates is None or not isinstance(kinds, list):
        return {}
    return {"compress_ratios": [rates.get(kind, 0) for kind in kinds]}


def _gemma4(fields: Fields) -> _Values:
    """Find the size of heads with full attention where transformers 5 wrote it down for each of those layers."""
    listed = fields.mapping("per_layer_config")
    if listed is None or "global_head_dim" in fields:
        return {}
    known = {"head_dim": "global_head_dim", "num_key_value_heads": "num_global_key_value_heads"}
    values: _Values = {}
    for layer in listed.values():
        for name, value in layer.items():
            if values.setdefault(known.get(name, ""), value) != value or name not in known:
                raise fields.error(f"per_layer_config has {name} {value!r}, of which only one size of heads is known")
    return values


def _opt(fields: Fields) -> _Values:
    hidden = fields.whole("hidden_size")
    if fields.whole("word_embed_proj_dim", default=hidden) != hidden:
        raise fields.error("word_embed_proj_dim is not hidden_size, which is not supported (only OPT-350M has that)")
    return {}


def _mamba2(fields: Fields) -> _Values:
    hidden = fields.whole("hidden_size")
    heads = fields.whole_or_none("num_heads", "mamba_n_heads")
    width = fields.whole("mamba_d_ssm", default=fields.whole("expand", "mamba_expand", default=2) * hidden)
    dim = fields.whole_or_none("mamba_d_head") if "mamba_d_head" in fields else fields.whole_or_none("head_dim")
    return {
        "mamba_num_heads": heads,
        "mamba_head_dim": dim or (math.ceil(width / heads) if heads else None),
        "ssm_state_size": fields.whole_or_none("state_size", "mamba_d_state"),
        "n_groups": fields.whole_or_none("n_groups", "mamba_n_groups"),
        "conv_kernel": fields.whole_or_none("conv_kernel", "mamba_d_conv"),
    }


_RENAMES: Mapping[str, Callable[[Fields], _Values]] = {
    "falcon": _falcon,
    "gpt_bigcode": _gpt_bigcode,
    "gpt_neo": _gpt_neo,
    "mpt": _mpt,
    "dbrx": _dbrx,
    "chatglm": _chatglm,
    "qwen": _qwen,
    "stablelm": _stablelm,
    "internlm": _internlm,
    "internlm2": _internlm,
    "internlm3": _internlm,
    "bailing_moe": _bailing,
    "bailing_moe_v2": _bailing,
    "hunyuan_v1_dense": _hunyuan,
    "hunyuan_v1_moe": _hunyuan,
    "minimax_m3": _minimax_m3,
    "mimo_v2_flash": _mimo_v2,
    "kimi_linear": _kimi_linear,
    "deepseek_v4": _deepseek_v4,
    "gemma4_text": _gemma4,
    "opt": _opt,
    "bamba": _mamba2,
    "falcon_h1": _mamba2,
    "granitemoehybrid": _mamba2,
}
