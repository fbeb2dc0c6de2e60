"""The terms of a step and a prefill, and their sum: by hand for a small model, and against measured rows."""

from __future__ import annotations

import math

import msgspec
import pytest
from tests.unit.perf.known_models import known, small

from overspill.catalog.gpus import load_gpus
from overspill.catalog.latency import load_prior
from overspill.perf.architecture import Role, count_parameters
from overspill.perf.hardware import Gpu
from overspill.perf.memory import Layout
from overspill.perf.model_config import read_model
from overspill.perf.precision import recipe
from overspill.perf.roofline import (
    DECODE_TERMS,
    PREFILL_TERMS,
    Deployment,
    Load,
    capacity,
    decode_terms,
    estimate,
    prefill_terms,
)

GPU = Gpu(
    name="plain",
    memory_bytes=80 * 2**30,
    bandwidth_bytes_per_s=1e12,
    bf16_flops=1e14,
    fp8_flops=2e14,
    link_bytes_per_s=1e11,
)


def deployment(name: str, precision: str = "bf16", **changes: object) -> Deployment:
    model = known(name)
    plain = Deployment(model=model, count=count_parameters(model), recipe=recipe(precision), gpu=GPU, engine="vllm")
    return msgspec.structs.replace(plain, **changes)


LOAD = Load(concurrency=4, prompt_tokens=1000, answer_tokens=200)


def test_a_dense_model_reads_all_weights_but_the_embedding_once_a_step() -> None:
    one = deployment("Llama-3.1-8B")
    terms = decode_terms(one, LOAD, 4)
    embedding = one.count.by_role[Role.EMBEDDING]
    assert terms["weights"] == pytest.approx(2 * (one.count.total - embedding) / 1e12)
    assert terms["experts"] == 0
    assert terms["cache"] == pytest.approx(4 * 131_072 * 1100 / 1e12)
    matrices = one.count.by_role[Role.ATTENTION] + one.count.by_role[Role.DENSE]
    assert terms["arithmetic"] == pytest.approx(4 * 2 * matrices / 1e14)
    assert terms["layers"] == pytest.approx(32 * 1e-4)
    assert terms["sync_starts"] == terms["sync_bytes"] == 0
    assert tuple(terms) == DECODE_TERMS


def test_others_prompts_are_spread_over_an_answers_tokens() -> None:
    one = deployment("Llama-3.1-8B")
    terms = decode_terms(one, LOAD, 4)
    prefill = prefill_terms(one, LOAD, 4)
    assert terms["join_arithmetic"] == pytest.approx(3 / 200 * prefill["arithmetic"])
    assert terms["join_attention"] == pytest.approx(3 / 200 * prefill["attention"])
    static = msgspec.structs.replace(LOAD, is_static=True)
    assert decode_terms(one, static, 4)["join_arithmetic"] == 0
    assert prefill_terms(one, static, 4)["arithmetic"] == pytest.approx(4 * prefill["arithmetic"])
    assert prefill_terms(one, static, 4)["prompts_ahead"] == 0
    apart = msgspec.structs.replace(LOAD, is_apart=True)
    assert decode_terms(one, apart, 4)["join_arithmetic"] == 0
    assert prefill_terms(one, apart, 4) == prefill
    assert {*prefill, "step", "room"} == set(PREFILL_TERMS)


def test_prompts_of_all_attention_groups_are_ahead() -> None:
    large = msgspec.structs.replace(GPU, memory_bytes=180 * 2**30)
    apart = deployment("DeepSeek-V3", "fp8_block", gpu=large, layout=Layout(tp=8, dp_attention=8))
    one, four = prefill_terms(apart, LOAD, 1), prefill_terms(apart, LOAD, 4)
    assert one["prompts_ahead"] == one["prompts_bunched"] == 0
    each_s = one["arithmetic"] / 0.6 + one["attention"] / 0.5 + one["sync_bytes"] / 0.6
    assert four["prompts_ahead"] == pytest.approx(3 * 8 * each_s)
    assert four["prompts_bunched"] > math.sqrt(3 * 8) * each_s


def test_reading_all_experts_is_not_shortened_by_tensor_parallelism() -> None:
    sparse = {tp: deployment("gpt-oss-120b", "mxfp4", layout=Layout(tp=tp)) for tp in (1, 8)}
    whole = {tp: prefill_terms(one, LOAD, 1) for tp, one in sparse.items()}
    assert whole[8]["all_experts"] == pytest.approx(whole[1]["all_experts"])
    assert whole[8]["weights"] < whole[1]["weights"] / 6
    assert prefill_terms(deployment("Llama-3.1-8B"), LOAD, 1)["all_experts"] == 0
    long = prefill_terms(sparse[8], msgspec.structs.replace(LOAD, prompt_tokens=16_385), 1)
    assert long["all_experts"] == pytest.approx(3 * whole[8]["all_experts"])
    short = prefill_terms(sparse[8], msgspec.structs.replace(LOAD, prompt_tokens=1), 1)
    assert short["all_experts"] == pytest.approx(whole[8]["all_experts"] * 4 / 128)


def test_a_batch_reads_nearly_all_experts() -> None:
    """With 8 of 256 experts a batch of 64 reads 222 of them."""
    one = deployment("DeepSeek-V3", "fp8_block", layout=Layout(tp=8))
    all_s = decode_terms(one, LOAD, 1e9)["experts"]
    assert decode_terms(one, LOAD, 64)["experts"] / all_s * 256 == pytest.approx(222, abs=0.5)
    assert decode_terms(one, LOAD, 1)["experts"] / all_s * 256 == pytest.approx(8)


def test_tensor_parallelism_divides_and_adds_all_reduces() -> None:
    alone, eight = deployment("Llama-3.1-70B"), deployment("Llama-3.1-70B", layout=Layout(tp=8))
    one, shared = decode_terms(alone, LOAD, 4), decode_terms(eight, LOAD, 4)
    assert shared["weights"] == pytest.approx(one["weights"] / 8, rel=1e-3)
    assert shared["sync_starts"] == pytest.approx(2 * 80 * 3 * 1e-5)
    assert shared["sync_bytes"] == pytest.approx(2 * 80 * 4 * 8192 * 2 * 2 * 7 / 8 / 1e11)
    pipeline = deployment("Llama-3.1-70B", layout=Layout(tp=8, pp=2))
    assert decode_terms(pipeline, LOAD, 4)["cache"] == pytest.approx(shared["cache"] / 2)


def test_data_parallel_attention_reads_whole_attention_for_fewer_sequences() -> None:
    large = msgspec.structs.replace(GPU, memory_bytes=180 * 2**30)
    apart = deployment("DeepSeek-V3", "fp8_block", gpu=large, layout=Layout(tp=8, dp_attention=8))
    together = deployment("DeepSeek-V3", "fp8_block", gpu=large, layout=Layout(tp=8))
    assert decode_terms(apart, LOAD, 4)["weights"] > 6 * decode_terms(together, LOAD, 4)["weights"]
    assert decode_terms(apart, LOAD, 4)["experts"] > decode_terms(together, LOAD, 4)["experts"]
    assert capacity(apart, 1200) < capacity(together, 1200)
    assert 8 * capacity(apart, 1200) > capacity(together, 1200)


def test_formats_without_units_are_computed_in_bf16() -> None:
    assert GPU.flops("fp8") == 2e14
    assert GPU.flops("mxfp8") == 2e14
    assert GPU.flops("nvfp4") == GPU.flops("int4_g128") == GPU.flops("int8") == GPU.flops("bf16") == 1e14
    assert GPU.has_units("fp8")
    assert GPU.has_units("bf16")
    assert GPU.has_units("fp16")
    assert not GPU.has_units("nvfp4")
    assert msgspec.structs.replace(GPU, fp4_flops=4e14, int8_ops=2e14).flops("mxfp4") == 4e14
    assert msgspec.structs.replace(GPU, int8_ops=2e14).flops("int8") == 2e14
    assert not msgspec.structs.replace(GPU, has_bf16=False).has_units("bf16")
    assert GPU.largest_group == 8
    assert msgspec.structs.replace(GPU, gpus_per_domain=72).largest_group == 72


def test_windows_and_indexes_cut_attention_down() -> None:
    for name, shorter in (("gpt-oss-120b", 0.75), ("DeepSeek-V3.2", 0.5)):
        one = deployment(name)
        short = prefill_terms(one, msgspec.structs.replace(LOAD, prompt_tokens=10_000), 1)["attention"]
        long = prefill_terms(one, msgspec.structs.replace(LOAD, prompt_tokens=20_000), 1)["attention"]
        assert long / short < 4 * shorter + 1


def test_all_kinds_of_layers_have_times() -> None:
    for name in ("DeepSeek-V4-Pro", "Qwen3.5-27B", "Nemotron-3-Nano-30B-A3B", "Gemma-4-26B-A4B"):
        terms = {**decode_terms(deployment(name), LOAD, 4), **prefill_terms(deployment(name), LOAD, 4)}
        assert all(value >= 0 for value in terms.values())
        assert terms["attention"] > 0


def test_requests_without_room_wait_for_it() -> None:
    tiny = msgspec.structs.replace(GPU, memory_bytes=30 * 2**30)
    one = deployment("Llama-3.1-8B", gpu=tiny)
    room = capacity(one, 1200)
    prior = load_prior()
    within = estimate(prior, one, msgspec.structs.replace(LOAD, concurrency=int(room)))
    beyond = estimate(prior, one, msgspec.structs.replace(LOAD, concurrency=int(2 * room)))
    assert within.has_room
    assert not beyond.has_room
    assert beyond.running == pytest.approx(room)
    assert beyond.tpot_s == pytest.approx(within.tpot_s, rel=0.05)
    assert beyond.ttft_s > 100 * beyond.tpot_s
    nothing = deployment("Llama-3.1-70B", gpu=tiny)
    assert capacity(nothing, 1200) == 0
    seen = estimate(prior, nothing, LOAD)
    assert (seen.fits, seen.running, seen.has_room) == (False, LOAD.concurrency, True)
    assert within.fits


def test_an_engine_that_is_not_known_has_the_average_overheads() -> None:
    prior = load_prior()
    times = {engine: estimate(prior, deployment("Llama-3.1-8B", engine=engine), LOAD) for engine in ("odd", "trtllm")}
    layers = {engine: seen.decode_shares["layers"] * seen.tpot_s for engine, seen in times.items()}
    assert layers["trtllm"] / layers["odd"] == pytest.approx(prior.decode.engines["trtllm"])
    others = {engine: seen.prefill_shares["prompts_ahead"] * seen.ttft_s for engine, seen in times.items()}
    assert others["trtllm"] / others["odd"] == pytest.approx(prior.prefill.engines["trtllm"])
    for seen in times.values():
        assert math.isclose(sum(seen.decode_shares.values()), 1)
        assert math.isclose(sum(seen.prefill_shares.values()), 1)


def test_bloom_176b_on_eight_a100_is_near_what_was_measured() -> None:
    """Published: 47.6 ms a token at batch 1, 96.6 ms at 64, 174 ms for 512 tokens; no row of it is in the prior."""
    model = known("BLOOM-176B")
    one = Deployment(
        model=model,
        count=count_parameters(model),
        recipe=recipe("fp16"),
        gpu=load_gpus().find("A100-80GB").gpu(),
        engine="vllm-2023",
        layout=Layout(tp=8),
    )
    for batch, tpot_s in ((1, 0.0476), (64, 0.0966)):
        load = Load(concurrency=batch, prompt_tokens=512, answer_tokens=128, is_static=True)
        seen = estimate(load_prior(), one, load)
        assert seen.has_room
        assert seen.tpot_s == pytest.approx(tpot_s, rel=0.2)
    first = estimate(load_prior(), one, Load(concurrency=1, prompt_tokens=512, answer_tokens=128))
    assert first.ttft_s == pytest.approx(0.174, rel=0.25)


def test_a_model_without_a_head_of_its_own_reads_the_embedding() -> None:
    shape = small("llama", tie_word_embeddings=True)
    model = read_model(shape)
    one = msgspec.structs.replace(deployment("Llama-3.1-8B"), model=model, count=count_parameters(model))
    assert decode_terms(one, LOAD, 1)["weights"] == pytest.approx(2 * one.count.total / 1e12)
