"""Counting weights from config.json: the official totals, and those of the definitions in transformers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.perf.known_models import config, known, small

from overspill.catalog.models import model_names
from overspill.perf.architecture import Role, count_parameters
from overspill.perf.model_config import read_model

OFFICIAL_BILLIONS = {
    # Totals that the makers publish, as precisely as they do.
    "DeepSeek-V3": 671.0,
    "DeepSeek-R1": 671.0,
    "DeepSeek-V2": 236.0,
    "DeepSeek-V4-Flash": 284.0,
    "Kimi-K2": 1026.4,
    "Qwen3-235B-A22B": 235.0,
    "Qwen3-Coder-480B-A35B": 480.0,
    "Qwen3-30B-A3B": 30.5,
    "Qwen3-32B": 32.8,
    "Qwen3-8B": 8.2,
    "Qwen2.5-72B": 72.7,
    "Llama-3.1-8B": 8.03,
    "Llama-3.1-70B": 70.6,
    "Llama-3.1-405B": 405.9,
    "Llama-2-70B": 68.98,
    "Mixtral-8x7B": 46.7,
    "Mixtral-8x22B": 140.6,
    "gpt-oss-120b": 116.83,
    "gpt-oss-20b": 20.91,
    "BLOOM-176B": 176.247,
    "GPT-3-175B": 174.6,
    "Gemma-3-27B": 27.0,
    "Nemotron-3-Nano-30B-A3B": 31.6,
    "MiMo-V2-Flash": 309.0,
    "MiniMax-M2.5": 229.0,
    "Llama-4-Maverick": 400.7,
    "Llama-4-Scout": 107.8,
}
TRANSFORMERS = {
    # Parameters of the language model built on the meta device by transformers 5.24.0, 2026-11-27.
    "DeepSeek-V3": 671_026_404_352,
    "DeepSeek-V3.2": 671_877_929_216,
    "DeepSeek-V4-Flash": 284_332_230_231,
    "DeepSeek-V4-Pro": 1_572_997_179_491,
    "GLM-5": 743_911_199_232,
    "Gemma-4-26B-A4B": 25_233_141_760,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Llama-3.1-405B": 405_853_388_800,
    "Llama-4-Maverick": 400_711_848_960,
    "Llama-4-Scout": 107_769_861_120,
    "MiMo-V2-Flash": 308_778_768_832,
    "MiniMax-M2.5": 228_689_748_992,
    "Mixtral-8x7B": 46_702_792_704,
    "Mixtral-8x22B": 140_620_634_112,
    "Nemotron-3-Nano-30B-A3B": 31_577_937_344,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-32B": 32_762_123_264,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-235B-A22B": 235_093_634_560,
    "Qwen3-Coder-480B-A35B": 480_154_875_392,
    "Qwen3.5-27B": 26_895_998_464,
    "Qwen3.5-35B-A3B": 34_660_610_688,
    "Qwen3.5-397B-A17B": 396_346_350_336,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
}
ACTIVE_BILLIONS = {
    "DeepSeek-V3": 37.0,
    "Qwen3-235B-A22B": 22.0,
    "gpt-oss-120b": 5.1,
    "gpt-oss-20b": 3.6,
    "Kimi-K2": 32.0,
    "Mixtral-8x7B": 12.9,
    "DeepSeek-V4-Flash": 13.0,
    "Qwen3.5-397B-A17B": 17.0,
}


@pytest.mark.parametrize(("name", "billions"), OFFICIAL_BILLIONS.items())
def test_totals_are_within_half_a_percent_of_the_official_ones(name: str, billions: float) -> None:
    assert count_parameters(known(name)).total / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize(("name", "number"), TRANSFORMERS.items())
def test_totals_are_those_of_the_definitions_in_transformers(name: str, number: int) -> None:
    """Transformers keeps the routers' correction as a buffer, which it does not count: 61 x 384 numbers at most."""
    assert count_parameters(known(name)).total - number in range(30_000)


@pytest.mark.parametrize(("name", "billions"), ACTIVE_BILLIONS.items())
def test_active_parameters_are_those_published_within_their_rounding(name: str, billions: float) -> None:
    assert count_parameters(known(name)).active / 1e9 == pytest.approx(billions, rel=0.045)


def test_mtp_modules_are_counted_apart() -> None:
    """685 B on the hub: 671 B, one module of 11.6 B and its copies of embedding and head, which are not counted."""
    count = count_parameters(known("DeepSeek-V3"))
    copies = count.by_role[Role.EMBEDDING] + count.by_role[Role.HEAD]
    assert count.total_with_mtp - count.total == count.mtp
    assert (count.total_with_mtp + copies) / 1e9 == pytest.approx(684.5, abs=0.1)
    super_config = config("Nemotron-3-Nano-30B-A3B", num_nextn_predict_layers=1)
    assert count_parameters(read_model(super_config)).mtp / 1e9 == pytest.approx(1.335, abs=0.01)


@pytest.mark.parametrize("name", model_names())
def test_every_model_of_the_catalogue_can_be_read(name: str) -> None:
    model = known(name)
    assert count_parameters(model).active <= count_parameters(model).total
    assert model.attention_heads > 1
    assert model.context_tokens


# What 4 layers, 64 wide, 8 heads of 8, 1,000 words and a feed-forward width of 128 come to, by hand.
EMBEDDING, ATTENTION, GATED, PLAIN = 64_000, 4 * 64 * 64, 3 * 64 * 128, 2 * 64 * 128
SMALL: list[tuple[str, dict[str, Any], int]] = [
    ("llama", {}, 2 * EMBEDDING + 4 * (ATTENTION + GATED + 128) + 64),
    ("llama", {"tie_word_embeddings": True, "mlp_bias": True, "attention_bias": True},
     EMBEDDING + 4 * (ATTENTION + GATED + 128 + 4 * 64 + 2 * 128 + 64) + 64),
    ("llama", {"num_key_value_heads": 2}, 2 * EMBEDDING + 4 * (ATTENTION - 2 * 64 * 48 + GATED + 128) + 64),
    ("qwen2", {}, 2 * EMBEDDING + 4 * (ATTENTION + GATED + 128 + 3 * 64) + 64),
    ("qwen3", {}, 2 * EMBEDDING + 4 * (ATTENTION + GATED + 128 + 16) + 64),
    ("olmo2", {}, 2 * EMBEDDING + 4 * (ATTENTION + GATED + 128 + 128) + 64),
    ("gemma2", {"head_dim": 8}, EMBEDDING + 4 * (ATTENTION + GATED + 4 * 64) + 64),
    ("gpt_neox", {}, 2 * EMBEDDING + 4 * (ATTENTION + PLAIN + 256 + 4 * 64 + 128 + 64) + 128),
    ("gpt2", {"n_positions": 100, "intermediate_size": None, "n_inner": 128},
     EMBEDDING + 4 * (ATTENTION + PLAIN + 256 + 4 * 64 + 128 + 64) + 128 + 6_400),
    ("bloom", {"intermediate_size": None}, EMBEDDING + 4 * (ATTENTION + 2 * PLAIN + 256 + 4 * 64 + 256 + 64) + 256),
    ("falcon", {"multi_query": True, "num_kv_heads": 8},
     EMBEDDING + 4 * (ATTENTION - 2 * 64 * 56 + 2 * PLAIN + 128) + 128),
    ("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2},
     2 * EMBEDDING + 4 * (ATTENTION + 4 * GATED + 4 * 64 + 128) + 64),
    ("qwen2_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "mlp_only_layers": [0],
                   "shared_expert_intermediate_size": 128},
     2 * EMBEDDING + 4 * (ATTENTION + GATED + 128 + 3 * 64) + 3 * (GATED + 5 * 64) + 64),
    ("glm4_moe", {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128, "head_dim": 8,
                  "n_shared_experts": 1, "first_k_dense_replace": 1, "use_qk_norm": True},
     2 * EMBEDDING + 4 * (ATTENTION + GATED + 128 + 16) + 3 * (4 * GATED + 4 * 64) + 64),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "fields", "number"), SMALL)
def test_small_models_have_the_weights_counted_by_hand(model_type: str, fields: dict[str, Any], number: int) -> None:
    shape = {field: value for field, value in small(model_type, **fields).items() if value is not None}
    assert count_parameters(read_model(shape)).total == number


def test_experts_may_be_in_every_second_layer_or_as_listed() -> None:
    fields = {"num_local_experts": 4, "num_experts_per_tok": 2}
    by_step = read_model(small("mixtral", decoder_sparse_step=2, **fields))
    listed = read_model(small("mixtral", mlp_layer_types=["dense", "sparse", "dense", "sparse"], **fields))
    named = read_model(small("mixtral", moe_layer_freq=[0, 1, 0, 1], **fields))
    assert by_step.layers == listed.layers == named.layers
    assert by_step.layers[1] != by_step.layers[0]


def test_kimi_k3_has_narrow_experts_and_delta_attention() -> None:
    shape = small(
        "kimi_k3",
        num_experts=4,
        num_experts_per_token=2,
        num_shared_experts=2,
        moe_intermediate_size=32,
        routed_expert_hidden_size=16,
        first_k_dense_replace=1,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=8,
        mla_use_output_gate=True,
        linear_attn_config={"full_attn_layers": [4], "num_heads": 8, "head_dim": 8, "use_full_rank_gate": True},
    )
    model = read_model(shape)
    count = count_parameters(model)
    assert count.by_role[Role.EXPERTS] == 3 * 4 * 3 * 16 * 32
    assert count.by_role[Role.ROUTER] == 3 * (4 * 64 + 2 * 64 * 16)
    assert count.by_role[Role.SHARED] == 3 * 3 * 64 * 64
    latent = 64 * 96 + 64 * 20 + 16 * 8 * 16 + 64 * 64 + 64 * 64
    delta = 64 * (4 * 64 + 8) + 8 * 128 + 64 * 64
    assert count.by_role[Role.ATTENTION] == latent + 3 * delta
    low_rank = {**shape, "linear_attn_config": {"full_attn_layers": [4], "num_heads": 8, "head_dim": 8}}
    narrow = count_parameters(read_model(low_rank))
    assert count.by_role[Role.ATTENTION] - narrow.by_role[Role.ATTENTION] == 3 * (64 * 64 - 8 * 128)


def test_nemotron_blocks_may_be_letters_or_words() -> None:
    shape = small(
        "nemotron_h",
        hybrid_override_pattern="M-*-",
        num_key_value_heads=2,
        head_dim=8,
        mamba_num_heads=8,
        mamba_head_dim=8,
        ssm_state_size=16,
        n_groups=2,
        num_nextn_predict_layers=1,
    )
    words = {**shape, "layers_block_type": ["mamba", "mlp", "attention", "mlp"]}
    del words["hybrid_override_pattern"], words["num_hidden_layers"]
    assert read_model(words) == read_model(shape)
    assert len(read_model(shape).mtp_layers) == 2


def test_gemma_4_layers_may_share_their_cache_and_look_words_up_in_every_layer() -> None:
    shape = small(
        "gemma4",
        head_dim=8,
        global_head_dim=16,
        num_key_value_heads=2,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2,
        num_kv_shared_layers=2,
        use_double_wide_mlp=True,
        hidden_size_per_layer_input=4,
    )
    model = read_model(shape)
    count = count_parameters(model)
    assert [getattr(layer.feed_forward, "width", None) for layer in model.layers] == [128, 128, 256, 256]
    assert (
        count.by_role[Role.ATTENTION] == 64 * (2 * 64 + 2 * 16) + 64 * (2 * 128 + 2 * 32) + 2 * 64 * 64 + 2 * 64 * 128
    )
    assert count.by_role[Role.SMALL] > 4 * 4_000
