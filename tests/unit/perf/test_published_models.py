"""Models that the catalogue does not have, by what their ``config.json`` says: totals, caches, what must not be read.

Totals are those of the model cards and of the definitions in transformers 5.24 on the meta device (2026-11-27): Falcon
with its head tied, GLM-4.5 without its MTP module (358 B on the hub are both), LongCat without its no-op experts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.perf.known_models import small

from overspill.catalog.models import model_names
from overspill.errors import ConfigError
from overspill.perf.architecture import Architecture, Role, count_parameters
from overspill.perf.memory import kv_bytes, kv_read_bytes
from overspill.perf.model_config import read_model

PUBLISHED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "published_models.json").read_bytes())
ACTIVE_BILLIONS = {
    "Phi-3.5-MoE": 6.6,
    "DBRX": 36.0,
    "Jamba-1.5-Large": 94.0,
    "Granite-4.0-H-Small": 9.0,
    "GLM-4.5": 32.0,
    "GLM-4.5-Air": 12.0,
    "Kimi-Linear-48B": 3.0,
    "ERNIE-4.5-300B-A47B": 47.0,
    "Hunyuan-A13B": 13.0,
    "MiniMax-Text-01": 45.9,
    "LongCat-Flash": 27.0,
    "LFM2-8B-A1B": 1.5,
    "Qwen3-Next-80B": 3.6,
}


def published(name: str, **changes: Any) -> Architecture:
    return read_model({**PUBLISHED[name]["config"], **changes}, name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_totals_are_the_published_ones(name: str) -> None:
    model = published(name)
    assert count_parameters(model).total / 1e9 == pytest.approx(PUBLISHED[name]["billions"], rel=0.005)
    assert model.unread_fields == (("block_dim", "conv_dim", "num_heads") if name == "LFM2-1.2B" else ())


@pytest.mark.parametrize(("name", "billions"), ACTIVE_BILLIONS.items())
def test_active_weights_are_the_published_ones_within_their_rounding(name: str, billions: float) -> None:
    """Published figures count the embedding and the head or leave them out, as each maker likes."""
    count = count_parameters(published(name))
    looked_up, head = count.by_role[Role.EMBEDDING] / 1e9, count.by_role[Role.HEAD] / 1e9
    assert min(abs(count.active / 1e9 + more - billions) for more in (0.0, looked_up, -head)) < 0.045 * billions + 0.1


@pytest.mark.parametrize(
    ("name", "per_token"),
    [
        # 2 x layers x key-value heads x size of a head x 2 bytes; layers that keep a state add nothing per token.
        ("Falcon-7B", 2 * 32 * 1 * 64 * 2),
        ("Falcon-40B", 2 * 60 * 8 * 64 * 2),
        ("StarCoder", 2 * 40 * 1 * 128 * 2),
        ("GLM-4-9B", 2 * 40 * 2 * 128 * 2),
        ("DBRX", 2 * 40 * 8 * 128 * 2),
        ("MPT-30B", 2 * 48 * 64 * 112 * 2),
        ("Jamba-1.5-Large", 2 * 9 * 8 * 128 * 2),
        ("Granite-4.0-H-Small", 2 * 4 * 8 * 128 * 2),
        ("Falcon-H1-34B", 2 * 72 * 4 * 128 * 2),
        ("MiniMax-Text-01", 2 * 10 * 8 * 128 * 2),
        ("LFM2-1.2B", 2 * 6 * 8 * 64 * 2),
        ("Kimi-Linear-48B", 7 * (512 + 64) * 2),
        ("LongCat-Flash", 2 * 28 * (512 + 64) * 2),
        ("DeepSeek-V2-Lite", 27 * (512 + 64) * 2),
        ("Nemotron-4-340B", 2 * 96 * 8 * 192 * 2),
    ],
)
def test_caches_grow_by_what_the_layers_with_attention_keep(name: str, per_token: int) -> None:
    model = published(name)
    assert kv_bytes(model, 3000) - kv_bytes(model, 2000) == 1000 * per_token


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Jamba-1.5-Large", 63 * (16_384 * 16 * 4 + 16_384 * 3 * 2)),
        ("Granite-4.0-H-Small", 36 * (8192 * 128 * 4 + (8192 + 256) * 3 * 2)),
        ("MiniMax-Text-01", 70 * 64 * 128 * 128 * 4),
        ("LFM2-1.2B", 10 * 2048 * 2 * 2),
    ],
)
def test_states_are_kept_whatever_the_length(name: str, state: int) -> None:
    assert kv_bytes(published(name), 0) == state
    assert kv_bytes(published(name), 0, tp=2) == state / 2


def test_windows_bend_the_cache_of_published_models() -> None:
    """Command A: three of four layers see 4,096 tokens back; Gemma 3: five of six 1,024."""
    assert kv_bytes(published("Command-A"), 100_000) == 2 * 8 * 128 * 2 * (16 * 100_000 + 48 * 4096)
    assert kv_bytes(published("Gemma-3-4B"), 100_000) == 2 * 4 * 256 * 2 * (5 * 100_000 + 29 * 1024)
    four_own = published("Gemma-3n-E4B")  # of seven full layers three reuse a cache, of 28 with a window twelve
    assert kv_bytes(four_own, 10_000) == 2 * 2 * 256 * 2 * (4 * 10_000 + 16 * 512)
    neo = read_model(
        {"model_type": "gpt_neo", "hidden_size": 64, "num_layers": 4, "num_heads": 8, "vocab_size": 1000,
         "max_position_embeddings": 2048, "attention_types": [[["global", "local"], 2]], "window_size": 256}
    )  # fmt: skip
    assert kv_bytes(neo, 1000) == 2 * 64 * 2 * 2 * (1000 + 256)


SPARSE = {"sparse_attention_freq": [0, 1, 1, 1], "sparse_num_index_heads": 4, "sparse_index_dim": 16,
          "sparse_topk_blocks": 2, "sparse_block_size": 8, "use_sparse_attention": True}  # fmt: skip


def minimax_m3(**fields: Any) -> dict[str, Any]:
    shape = small("minimax_m3", num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, **fields)
    return {**shape, "shared_intermediate_size": 32}


def test_the_sparse_index_of_minimax_m3_has_weights_and_a_cache_and_saves_reading() -> None:
    plain, sparse = read_model(minimax_m3()), read_model(minimax_m3(sparse_attention_config=SPARSE))
    more = count_parameters(sparse).total - count_parameters(plain).total
    assert more == 3 * (64 * 16 * (4 + 1) + 2 * 16)
    assert kv_bytes(sparse, 100) - kv_bytes(plain, 100) == 3 * 100 * 16 * 2
    assert kv_bytes(sparse, 100, tp=2) == 4 * 100 * 2 * 8 * 2 + 3 * 100 * 16 * 2
    assert kv_read_bytes(sparse, 100) == 2 * 2 * 8 * 2 * (100 + 3 * 16) + 3 * 100 * 16 * 2
    written_by_transformers = minimax_m3(
        layer_types=["full_attention", *["minimax_m3_sparse"] * 3], index_n_heads=4, index_head_dim=16,
        index_topk_blocks=2, index_block_size=8,
    )  # fmt: skip
    assert read_model(written_by_transformers).layers == sparse.layers


def test_hunyuan_may_differ_in_nothing_but_what_is_known() -> None:
    lists = {"moe_topk": [8] * 31 + [4]}
    with pytest.raises(ConfigError, match=r"moe_topk differs between layers, which is not supported: \[4, 8\]"):
        published("Hunyuan-A13B", **lists)
    shared = published("Hunyuan-A13B", use_cla=True)
    assert kv_bytes(shared, 1000) == kv_bytes(published("Hunyuan-A13B"), 1000) / 2
    assert kv_read_bytes(shared, 1000) == kv_read_bytes(published("Hunyuan-A13B"), 1000)
    dense = small("hunyuan_v1_dense", num_experts=1, use_mixed_mlp_moe=False, num_shared_expert=1)
    assert read_model(dense).experts is None


def test_multi_query_may_be_off() -> None:
    assert read_model(small("gpt_bigcode", multi_query=False)).kv_heads == 8
    assert read_model(small("falcon", multi_query=False)).kv_heads == 8
    shape = {**small("mpt", d_model=64, n_layers=2, n_heads=8), "attn_config": {"attn_type": "multiquery_attention"}}
    assert read_model(shape).kv_heads == 1


def test_layers_that_a_search_chose_have_shapes_of_their_own() -> None:
    def block(group: int | None, width: float | None) -> dict[str, Any]:
        return {
            "attention": {"n_heads_in_group": group, "no_op": group is None, "replace_with_linear": False},
            "ffn": {"ffn_mult": width, "no_op": width is None, "replace_with_linear": False},
        }

    shape = small("nemotron-nas", block_configs=[block(4, 6.0), block(None, 6.0), block(8, None), block(None, None)])
    model = read_model({**shape, "intermediate_size": None})
    count = count_parameters(model)
    assert count.by_role[Role.ATTENTION] == 64 * (128 + 2 * 2 * 8) + 64 * (128 + 2 * 8)
    assert count.by_role[Role.DENSE] == 2 * 3 * 64 * 256
    assert kv_bytes(model, 10) == 10 * 2 * 3 * 8 * 2
    linear = block(4, 6.0)
    linear["ffn"]["replace_with_linear"] = True
    with pytest.raises(ConfigError, match="block_configs has replace_with_linear, which is not supported"):
        read_model(small("nemotron-nas", block_configs=[linear] * 4))
    with pytest.raises(ConfigError, match="block_configs is missing"):
        read_model(small("nemotron-nas"))


def test_what_transformers_5_writes_is_read_as_what_makers_publish() -> None:
    kimi = PUBLISHED["Kimi-Linear-48B"]["config"]
    full = kimi["linear_attn_config"]["full_attn_layers"]
    flat = {field: value for field, value in kimi.items() if field != "linear_attn_config"}
    flat |= {
        "layer_types": ["full_attention" if index + 1 in full else "linear_attention" for index in range(27)],
        "linear_num_heads": 32, "linear_head_dim": 128, "linear_conv_kernel_dim": 4,
    }  # fmt: skip
    assert read_model(flat) == read_model(kimi)
    windows = {"sliding_window": 16, "num_key_value_heads": 2, "head_dim": 8}
    mimo = small("mimo_v2_flash", layer_types=["full_attention", "sliding_attention"] * 2, **windows)
    old = small("mimo_v2_flash", hybrid_layer_pattern=[0, 1, 0, 1], swa_num_key_value_heads=4, **windows)
    assert read_model(mimo).layers == read_model(old).layers
    gemma = small("gemma4", head_dim=8, num_key_value_heads=2, sliding_window=16,
                  layer_types=["sliding_attention", "full_attention"] * 2)  # fmt: skip
    by_layer = {**gemma, "per_layer_config": {"01": {"head_dim": 16}, "03": {"head_dim": 16}}}
    assert read_model(by_layer).layers == read_model({**gemma, "global_head_dim": 16}).layers
    for odd in ({"head_dim": 32}, {"intermediate_size": 9}):
        with pytest.raises(ConfigError, match="of which only one size of heads is known"):
            read_model({**gemma, "per_layer_config": {"01": {"head_dim": 16}, "03": odd}})


def test_deepseek_v4_may_name_the_kinds_of_its_layers() -> None:
    from tests.unit.perf.known_models import config

    published_one = config("DeepSeek-V4-Flash")
    kinds = {0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}
    rates = {kind: ratio for ratio, kind in kinds.items() if ratio}
    listed = [kinds[ratio] for ratio in published_one["compress_ratios"]]
    written = {**published_one, "compress_ratios": None, "layer_types": listed, "compress_rates": rates}
    assert read_model(written).layers == read_model(published_one).layers


def test_gemma_3n_has_one_width_or_one_for_each_layer() -> None:
    shape = PUBLISHED["Gemma-3n-E4B"]["config"]["text_config"]
    assert read_model({**shape, "intermediate_size": 16_384}).layers == published("Gemma-3n-E4B").layers


def test_granite_4_may_be_dense_and_have_attention_alone() -> None:
    shape = small("granitemoehybrid", num_local_experts=0, shared_intermediate_size=128, layer_types=["attention"] * 4)
    count = count_parameters(read_model({**shape, "tie_word_embeddings": True}))
    assert count.total == 64_000 + 4 * (4 * 64 * 64 + 3 * 64 * 128 + 128) + 64


def test_the_parts_that_speak_are_left_out() -> None:
    text = small("qwen3_omni_moe_text", num_experts=4, num_experts_per_tok=2, head_dim=8)
    model = read_model({"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": text, "vision_config": {}},
                        "talker_config": {"text_config": {"hidden_size": 7}}})  # fmt: skip
    assert model.hidden == 64
    assert model.leaves_out == ("the vision and audio towers",)


def test_how_large_a_vision_tower_about_is_is_told() -> None:
    """InternVL's InternViT-6B has 5.5 B parameters; its tower is larger than many language models."""
    vision = {"hidden_size": 3200, "num_hidden_layers": 45, "intermediate_size": 12_800}
    model = read_model({"model_type": "internvl_chat", "llm_config": small("qwen2"), "vision_config": vision})
    assert model.leaves_out == ("the vision and audio towers (vision: about 5.5 B parameters)",)
    odd = read_model({**small("qwen2_vl"), "vision_config": {"depth": "deep", "embed_dim": 8}})
    assert odd.leaves_out == ("the vision and audio towers",)


FURTHER: list[tuple[dict[str, Any], str]] = [
    (small("llama", kv_lora_rank=512), "kv_lora_rank 512 means latent attention (MLA), which a llama does not have"),
    (small("llama", mamba_d_state=16), "mamba_d_state 16 means Mamba or other recurrent layers"),
    (small("llama", cross_attention_layers=[3, 8]), "cross_attention_layers [3, 8] means cross attention"),
    (small("llama", hc_mult=4), "hc_mult 4 means several residual streams"),
    (small("mixtral", num_local_experts=4, num_experts_per_tok=2, n_shared_experts=1),
     "n_shared_experts 1 means shared experts, which a mixtral does not have"),
    (small("bamba", mamba_n_heads=8, mamba_d_state=8, mamba_n_groups=1, num_experts=8),
     "num_experts 8 means routed experts"),
    (small("llama", layer_types=["linear_attention"] * 4), "layer_types has 'linear_attention', which a llama does"),
    (small("minimax_m2", attn_type_list=[0, 1, 1, 1]), "attn_type_list has linear attention, which a minimax_m2 does"),
    (small("qwen3", num_kv_shared_layers=2), "num_kv_shared_layers 2 means layers that share a cache"),
    (small("llama", compress_ratios=[4] * 40), "compress_ratios [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, ... means compr"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "message"), FURTHER)
def test_what_a_family_does_not_have_is_an_error_and_never_passed_over(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(config)
    assert message in str(caught.value)


def test_fields_that_only_look_like_shapes_are_told() -> None:
    assert read_model(small("llama", memory_dim=64, memory_size=0)).unread_fields == ("memory_dim",)
    assert read_model(small("llama", n_shared_experts=1, layer_types=["full_attention"])).unread_fields == ()
    one = small("bamba", mamba_n_heads=8, mamba_d_state=8, mamba_n_groups=1, num_experts=1)
    assert read_model(one).unread_fields == ()
    assert read_model(small("minimax_m2", attn_type_list=[1, 1, 1, 1])).unread_fields == ()


@pytest.mark.parametrize("name", model_names())
def test_nothing_of_the_catalogue_is_passed_over(name: str) -> None:
    from tests.unit.perf.known_models import known

    assert set(known(name).unread_fields) <= {"mtp_transformer_layers"}


BAD: list[tuple[dict[str, Any], str]] = [
    (small("jamba", num_experts=4, num_experts_per_tok=2), "attn_layer_period is missing"),
    (small("jamba", attn_layer_period=0, attn_layer_offset=0), "attn_layer_period must be 1 or more"),
    (small("minimax", num_local_experts=4, num_experts_per_tok=2), "layer_types is missing: it says which layers have"),
    (small("lfm2", conv_L_cache=3, layer_types=["conv", "odd"] * 2), "layer_types has 'odd'; known for"),
    (small("gemma3n", altup_num_inputs=4), "layer_types is missing: it says which layers have the sliding window"),
    (small("opt", word_embed_proj_dim=32), "word_embed_proj_dim is not hidden_size"),
    (small("chatglm"), "ffn_hidden_size is missing"),
    (small("dbrx", n_layers=4, n_heads=8), "kv_n_heads is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_what_a_family_needs_is_named(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(bad)
    assert message in str(caught.value)
