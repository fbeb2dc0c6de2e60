"""What one GPU's memory goes to, and how much is left for sequences."""

from __future__ import annotations

import pytest
from tests.unit.perf.known_models import known

from overspill.perf.architecture import Architecture, count_parameters
from overspill.perf.memory import EngineKind, Layout, kv_bytes, memory_budget, reserves, weights_per_gpu_bytes
from overspill.perf.precision import recipe
from overspill.units import GIB, MIB


def weights(model: Architecture, precision: str, layout: Layout) -> float:
    return weights_per_gpu_bytes(model, count_parameters(model), recipe(precision), layout)


def test_175b_in_fp16_fits_eight_a100_80_and_not_eight_a100_40() -> None:
    model = known("GPT-3-175B")
    layout = Layout(tp=8)
    budgets = {
        size: memory_budget(
            EngineKind.VLLM, model, count_parameters(model), recipe("fp16"), layout, capacity_bytes=size * GIB
        )
        for size in (40, 80)
    }
    assert 8 * budgets[40].weights_bytes / GIB == pytest.approx(325.4, abs=0.5)
    assert not budgets[40].fits
    assert budgets[40].usable_bytes == budgets[80].usable_bytes / 2 == 36 * GIB
    assert budgets[80].fits
    # About 222 GiB are left of the 640, which is 24 sequences of 2,048 tokens.
    assert 8 * budgets[80].kv_bytes / GIB == pytest.approx(222, rel=0.05)
    assert budgets[80].kv_bytes // kv_bytes(model, 2048, tp=8) in (23, 24)


def test_tensor_parallelism_divides_matrices_and_replicates_norms() -> None:
    model = known("Llama-3.1-8B")
    whole, half = weights(model, "bf16", Layout()), weights(model, "bf16", Layout(tp=2))
    assert 0 < half - whole / 2 < MIB
    assert weights(model, "bf16", Layout(pp=2)) == whole / 2


def test_data_parallel_attention_keeps_whole_attention_on_each_group() -> None:
    model = known("DeepSeek-V3")
    shared = weights(model, "fp8_block", Layout(tp=8))
    apart = weights(model, "fp8_block", Layout(tp=8, dp_attention=8, ep=8))
    assert (apart - shared) / 1e9 == pytest.approx(11.4 * 7 / 8, rel=0.02)
    assert Layout(tp=8, dp_attention=8, pp=2).gpus == 16


def test_reserves_follow_engine_parallelism_and_batch() -> None:
    dense, routed = known("Llama-3.1-70B"), known("DeepSeek-V3")
    one, eight = reserves(EngineKind.VLLM, dense, Layout()), reserves(EngineKind.VLLM, dense, Layout(tp=8))
    assert one.communication_bytes == 0
    assert eight.communication_bytes == 392 * MIB
    assert one.activation_bytes == 2 * 8192 * 8192 * 11
    assert one.activation_bytes > eight.activation_bytes
    assert reserves(EngineKind.VLLM, routed, Layout(tp=8)).activation_bytes > eight.activation_bytes
    few = reserves(EngineKind.SGLANG, dense, Layout(tp=2), batched_tokens=1)
    assert few.activation_bytes == 90 * MIB
    assert few.total_bytes == 90 * MIB + 342 * MIB + 4.2 * GIB
    assert reserves(EngineKind.LLAMACPP, known("Qwen3.5-27B"), Layout(), batched_tokens=512).other_bytes < GIB


def test_engines_take_their_share_of_all_or_of_the_rest() -> None:
    model = known("Llama-3.1-8B")
    count, kept = count_parameters(model), recipe("bf16")
    budgets = {
        engine: memory_budget(engine, model, count, kept, Layout(), capacity_bytes=80 * GIB) for engine in EngineKind
    }
    fixed = budgets[EngineKind.VLLM].weights_bytes + budgets[EngineKind.VLLM].reserves.total_bytes
    assert budgets[EngineKind.VLLM].kv_bytes == pytest.approx(72 * GIB - fixed)
    assert budgets[EngineKind.TRTLLM].kv_bytes == pytest.approx((80 * GIB - fixed) * 0.9)
    low = memory_budget(EngineKind.VLLM, model, count, kept, Layout(), capacity_bytes=80 * GIB, fraction=0.5)
    assert low.kv_bytes == pytest.approx(40 * GIB - fixed)


def test_a_model_tells_its_heads() -> None:
    assert not memory_budget(
        EngineKind.VLLM,
        known("Llama-3.1-8B"),
        count_parameters(known("Llama-3.1-8B")),
        recipe("bf16"),
        Layout(),
        capacity_bytes=GIB,
    ).fits
    assert known("Qwen3.5-27B").head_columns == 24 * 256
    assert known("Nemotron-3-Nano-30B-A3B").head_columns == 32 * 128
    blocks = known("Nemotron-3-Nano-30B-A3B").layers
    recurrent = Architecture(model_type="none", hidden=64, vocabulary=1, layers=(blocks[0],), ties_embeddings=True)
    assert recurrent.head_columns == 64
    alone = Architecture(model_type="none", hidden=64, vocabulary=1, layers=(), ties_embeddings=True)
    assert (alone.head_columns, alone.attention_heads, alone.kv_heads, alone.experts) == (64, 1, None, None)
    assert known("DeepSeek-V3").kv_heads is None
    assert known("Llama-3.1-70B").kv_heads == 8
    assert known("DeepSeek-V3").head_columns == 128 * 128
    assert known("DeepSeek-V3").experts is not None
    assert known("Llama-3.1-70B").experts is None
