"""What a sequence takes of the KV cache: heads divide, a latent does not, windows and compression bend."""

from __future__ import annotations

import pytest
from tests.unit.perf.known_models import config, known, small

from overspill.perf.memory import kv_bytes, kv_read_bytes
from overspill.perf.model_config import read_model
from overspill.units import MIB


@pytest.mark.parametrize(
    ("name", "per_token"),
    [("BLOOM-176B", 4_014_080), ("GPT-3-175B", 4_718_592), ("DeepSeek-V3", 70_272), ("Llama-3.1-8B", 131_072)],
)
def test_plain_caches_are_proportional_to_the_length(name: str, per_token: int) -> None:
    assert kv_bytes(known(name), 1) == per_token
    assert kv_bytes(known(name), 2048) == 2048 * per_token
    assert kv_bytes(known(name), 2048, element_bytes=1.0) == 1024 * per_token


def test_grouped_heads_are_divided_and_then_replicated() -> None:
    model = known("Llama-3.1-70B")
    whole = kv_bytes(model, 1000)
    assert kv_bytes(model, 1000, tp=4) == whole / 4
    assert kv_bytes(model, 1000, tp=16) == kv_bytes(model, 1000, tp=8) == whole / 8


def test_a_latent_cache_is_not_divided_but_by_data_parallel_attention() -> None:
    model = known("DeepSeek-V3")
    assert kv_bytes(model, 1000, tp=8) == kv_bytes(model, 1000)
    assert kv_bytes(model, 1000, tp=8, dp_attention=8) == kv_bytes(model, 1000) / 8
    assert kv_bytes(model, 1000, pp=2) == kv_bytes(model, 1000) / 2


def test_the_sparse_index_of_v3_2_costs_memory_and_saves_reading() -> None:
    model = known("DeepSeek-V3.2")
    assert kv_bytes(model, 1) == 78_324
    assert kv_bytes(model, 1, element_bytes=1.0) == 47_092
    read = kv_read_bytes(model, 100_000)
    assert read < kv_bytes(model, 100_000) / 4
    assert kv_read_bytes(model, 1000) == kv_bytes(model, 1000)


@pytest.mark.parametrize(
    ("name", "tokens", "mib"),
    [
        ("DeepSeek-V4-Pro", 4096, 57),
        ("DeepSeek-V4-Pro", 32_768, 287),
        ("DeepSeek-V4-Pro", 131_072, 1075),
        ("DeepSeek-V4-Flash", 4096, 39),
        ("DeepSeek-V4-Flash", 32_768, 200),
        ("DeepSeek-V4-Flash", 131_072, 750),
        ("DeepSeek-V3", 4096, 274),
        ("DeepSeek-V3", 131_072, 8784),
    ],
)
def test_v4_compresses_what_v3_keeps(name: str, tokens: int, mib: float) -> None:
    """Figures of aiconfigurator 0.12's deepseek_v4.py and base.py."""
    assert kv_bytes(known(name), tokens) / MIB == pytest.approx(mib, abs=0.6)


def test_v4_reads_less_than_it_keeps_once_the_index_picks() -> None:
    model = known("DeepSeek-V4-Pro")
    assert kv_read_bytes(model, 131_072) < kv_bytes(model, 131_072)


def test_window_layers_keep_no_more_than_their_window() -> None:
    model = known("gpt-oss-120b")
    per_layer = 2 * 8 * 64 * 2
    assert kv_bytes(model, 100) == 36 * per_layer * 100
    assert kv_bytes(model, 10_000) == 18 * per_layer * (10_000 + 128)
    assert kv_read_bytes(model, 10_000, tp=8) == kv_bytes(model, 10_000, tp=8)
    by_pattern = read_model(small("gemma3", head_dim=8, sliding_window=16, sliding_window_pattern=2))
    assert kv_bytes(by_pattern, 100) == 2 * 4 * 8 * 2 * (2 * 100 + 2 * 16)
    everywhere = read_model(small("mistral", sliding_window=16))
    assert kv_bytes(everywhere, 100) == 4 * 2 * 8 * 8 * 2 * 16
    chunked = known("Llama-4-Scout")
    assert kv_bytes(chunked, 100_000) == 2 * 8 * 128 * 2 * (12 * 100_000 + 36 * 8192)


def test_a_sliding_window_that_is_not_asked_for_is_not_there() -> None:
    assert kv_bytes(read_model(small("qwen2", sliding_window=16)), 100) == 4 * 2 * 64 * 2 * 100
    asked = small("qwen2", sliding_window=16, use_sliding_window=True, max_window_layers=3)
    assert kv_bytes(read_model(asked), 100) == 2 * 64 * 2 * (3 * 100 + 16)


def test_recurrent_layers_keep_a_state_of_fixed_size() -> None:
    model = known("Qwen3.5-35B-A3B")
    grown = kv_bytes(model, 2000) - kv_bytes(model, 1000)
    assert grown == 10 * 2 * 2 * 256 * 2 * 1000
    state = kv_bytes(model, 0)
    assert state == 30 * (32 * 128 * 128 * 4 + (2 * 2048 + 4096) * 3 * 2)
    assert kv_bytes(model, 0, tp=2) == state / 2
    assert kv_read_bytes(model, 0) == 2 * state


def test_layers_that_reuse_a_cache_keep_none() -> None:
    shape = small(
        "gemma4", head_dim=8, global_head_dim=8, num_key_value_heads=2, sliding_window=16,
        layer_types=["sliding_attention", "full_attention"] * 2, num_kv_shared_layers=2,
    )  # fmt: skip
    model = read_model(shape)
    assert kv_bytes(model, 100) == 2 * 2 * 8 * 2 * (100 + 16)
    assert kv_read_bytes(model, 100) == 2 * kv_bytes(model, 100)


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="seq_tokens must be 0 or more"):
        kv_bytes(known("Llama-3.1-8B"), -1)
    with pytest.raises(ValueError, match="tp, pp and dp_attention 1 or more"):
        kv_bytes(known("Llama-3.1-8B"), 1, tp=0)


def test_only_full_layers_of_glm_5_2_have_an_index() -> None:
    listed = config("GLM-5", indexer_types=["full"] * 3 + ["shared"] * 75)
    assert kv_bytes(read_model(listed), 1) == 78 * (512 * 2 + 64 * 2) + 3 * (128 + 4)
