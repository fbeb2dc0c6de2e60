"""Sizing: the article's case, why each smaller option fails, and what an SLO and a rate cost."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from tests.unit.perf.known_models import known

from overspill.catalog.gpus import load_gpus
from overspill.catalog.latency import load_prior
from overspill.perf.architecture import count_parameters
from overspill.perf.memory import Layout
from overspill.perf.model_config import read_model
from overspill.perf.precision import recipe
from overspill.planner.capacity import Candidate, Failure, Lengths, Obstacle, ReplicaFit, Slo, fit_replica, layouts
from overspill.planner.prediction import Predictor
from overspill.planner.sizing import Demand, Sizing, describe_layout, size

PUBLISHED = Path(__file__).parents[1] / "perf" / "published_models.json"
LENGTHS = Lengths(prompt_tokens=512, answer_tokens=128, longest_tokens=2048)


def candidate(model: str, gpu: str, precision: str, engine: str = "vllm", *, is_cautious: bool = False) -> Candidate:
    return Candidate(
        model=known(model),
        count=count_parameters(known(model)),
        recipe=recipe(precision),
        row=load_gpus().find(gpu),
        engine=engine,
        cache_element_bytes=2.0 if precision in {"bf16", "fp16"} else 1.0,
        predictor=Predictor(load_prior()),
        is_cautious=is_cautious,
    )


def sized(model: str, gpu: str, precision: str, rate: float = 1.0, slo: Slo | None = None) -> Sizing:
    demand = Demand(requests_per_s=rate, lengths=LENGTHS, source="test")
    return size(candidate(model, gpu, precision), demand, slo or Slo(), headroom=0.2)


def test_bloom_176b_in_fp16_fits_eight_a100_80gb() -> None:
    plan = sized("BLOOM-176B", "A100-80GB", "fp16")
    assert plan.replica is not None
    assert (plan.gpus, plan.replicas, plan.replica.layout) == (8, 1, Layout(tp=8))
    assert [failure.why for failure in plan.failures] == [
        "weights do not fit: 328 GiB > 80 GiB",
        "weights do not fit: 328 GiB > 160 GiB",
        "weights do not fit: 328 GiB > 320 GiB",
    ]
    assert plan.needs is not None
    assert plan.needs.network_gb_per_s is None
    assert plan.needs.power_w == 8 * 400


def test_175b_in_fp16_does_not_fit_eight_a100_40gb() -> None:
    """The article's p4d.24xlarge."""
    failed = fit_replica(candidate("GPT-3-175B", "A100-40GB", "fp16"), Layout(tp=8), LENGTHS, Slo())
    assert isinstance(failed, Failure)
    assert (failed.obstacle, failed.why) == (Obstacle.WEIGHTS, "weights do not fit: 326 GiB > 320 GiB")
    plan = sized("GPT-3-175B", "A100-40GB", "fp16")
    assert plan.replica is not None
    assert plan.replica.layout == Layout(tp=8, pp=2)
    assert plan.needs is not None
    assert plan.needs.network_gb_per_s == 25


def test_the_engine_itself_may_take_what_weights_leave() -> None:
    failed = fit_replica(candidate("DeepSeek-V3", "H100", "fp8_block"), Layout(tp=8, ep=8), LENGTHS, Slo())
    assert isinstance(failed, Failure)
    assert failed.why == (
        "weights leave no room for a cache: 628 GiB and 51 GiB for the engine itself > 573 GiB that it takes of 637 "
        "unless told otherwise"
    )


def test_a_cache_too_small_for_the_longest_request_is_said() -> None:
    lengths = Lengths(prompt_tokens=512, answer_tokens=128, longest_tokens=400_000)
    failed = fit_replica(candidate("Llama-3.1-8B", "RTX-4090", "bf16"), Layout(), lengths, Slo())
    assert isinstance(failed, Failure)
    assert failed.obstacle is Obstacle.CACHE
    assert "holds less than one request of 400,000 tokens: 48.8 GiB >" in failed.why


def test_heads_that_gpus_cannot_share_are_said() -> None:
    failed = fit_replica(candidate("Qwen3.5-27B", "H100", "bf16"), Layout(tp=64), LENGTHS, Slo())
    assert isinstance(failed, Failure)
    assert failed.obstacle is Obstacle.HEADS
    assert "64 GPUs cannot share" in failed.why


def test_formats_without_units_are_said() -> None:
    failed = fit_replica(candidate("Llama-3.1-8B", "V100", "fp8"), Layout(), LENGTHS, Slo())
    assert isinstance(failed, Failure)
    assert (failed.obstacle, failed.why) == (
        Obstacle.FORMAT,
        "V100-32GB has no units for fp8, and no kernels unpack it there",
    )
    ampere = fit_replica(candidate("Llama-3.1-8B", "A100", "fp8"), Layout(), LENGTHS, Slo())
    assert isinstance(ampere, ReplicaFit)
    assert ampere.notes == (
        "A100-80GB has no units for fp8: it saves memory, not arithmetic",
        "the KV cache is reckoned in FP8: set the engine so (vLLM: --kv-cache-dtype fp8) or say --kv-precision bf16",
    )
    volta = fit_replica(candidate("Llama-3.1-8B", "V100", "bf16"), Layout(), LENGTHS, Slo())
    assert isinstance(volta, ReplicaFit)
    assert volta.notes[0] == "V100-32GB has no BF16 units: run it in FP16 (--dtype float16)"
    packed = fit_replica(candidate("Llama-3.1-8B", "V100", "q4_K_M", "llamacpp"), Layout(), LENGTHS, Slo())
    assert isinstance(packed, ReplicaFit)
    assert packed.notes[0] == "no measurement of llamacpp is behind its speed: measure some rows, say --observed"


def test_formats_that_an_engine_does_not_load_are_said() -> None:
    for engine, precision, instead in (
        ("llamacpp", "fp8", "llamacpp has no weights in fp8: say --precision, as GGUF formats such as q8_0 or q4_K_M"),
        ("llamacpp", "awq", "llamacpp has no weights in int4_g128"),
        ("trtllm", "q4_K_M", "trtllm has no weights in q4_K: say --precision, as fp8, int4 or nvfp4"),
    ):
        failed = fit_replica(candidate("Llama-3.1-8B", "H100", precision, engine), Layout(), LENGTHS, Slo())
        assert isinstance(failed, Failure)
        assert failed.obstacle is Obstacle.FORMAT
        assert failed.why.startswith(instead)
    for engine, precision in (("llamacpp", "mxfp4_experts"), ("vllm", "q4_K_M"), ("trtllm", "nvfp4")):
        kept = fit_replica(candidate("gpt-oss-20b", "H100", precision, engine), Layout(), LENGTHS, Slo())
        assert isinstance(kept, ReplicaFit)


def test_a_context_that_the_cache_has_no_room_for_is_said() -> None:
    whole = fit_replica(candidate("Llama-3.1-8B", "RTX-4090", "bf16"), Layout(), LENGTHS, Slo())
    assert isinstance(whole, ReplicaFit)
    assert whole.notes == (
        "no room for one request of the model's whole context, 131,072 tokens: limit it (vLLM: --max-model-len)",
    )
    large = fit_replica(candidate("Llama-3.1-8B", "H100", "bf16"), Layout(), LENGTHS, Slo())
    assert isinstance(large, ReplicaFit)
    assert large.notes == ()


def test_key_value_heads_must_divide_or_be_divided() -> None:
    """Phi-4 has 40 heads and 10 for keys and values: vLLM takes 2 GPUs and not 4."""
    one = candidate("Llama-3.1-8B", "H100", "bf16")
    model = read_model(json.loads(PUBLISHED.read_bytes())["Phi-4"]["config"])
    phi = msgspec.structs.replace(one, model=model, count=count_parameters(model))
    assert isinstance(fit_replica(phi, Layout(tp=2), LENGTHS, Slo()), ReplicaFit)
    failed = fit_replica(phi, Layout(tp=4), LENGTHS, Slo())
    assert isinstance(failed, Failure)
    assert (failed.obstacle, failed.why) == (Obstacle.HEADS, "4 GPUs cannot share 10 key-value heads evenly")
    qwen = fit_replica(candidate("Qwen3-235B-A22B", "H200", "fp8"), Layout(tp=8, ep=8), LENGTHS, Slo())
    assert isinstance(qwen, ReplicaFit)


def test_an_slo_that_one_request_alone_misses_is_said() -> None:
    slow = fit_replica(candidate("Llama-3.1-70B", "L4", "fp8"), Layout(tp=8), LENGTHS, Slo(tpot_s=0.02))
    assert isinstance(slow, Failure)
    assert slow.obstacle is Obstacle.TPOT
    assert slow.why.endswith("> 20 ms with one request alone")
    late = fit_replica(candidate("Llama-3.1-70B", "L4", "fp8"), Layout(tp=8), LENGTHS, Slo(ttft_s=0.01))
    assert isinstance(late, Failure)
    assert late.obstacle is Obstacle.TTFT


def test_a_tighter_slo_takes_fewer_at_once_and_more_gpus() -> None:
    loose, tight = (sized("Llama-3.1-70B", "H100", "fp8", 20, Slo(tpot_s=may_s)) for may_s in (0.06, 0.025))
    assert loose.replica is not None
    assert tight.replica is not None
    assert loose.gpus <= tight.gpus
    for plan, may_s in ((loose, 0.06), (tight, 0.025)):
        assert plan.replica is not None
        assert plan.replica.prediction.tpot_s <= may_s
        assert plan.carries_per_s * 0.8 >= 20


def test_a_cautious_plan_keeps_the_slo_at_the_upper_end() -> None:
    slo = Slo(tpot_s=0.05)
    bold = fit_replica(candidate("Llama-3.1-70B", "H100", "fp8"), Layout(tp=4), LENGTHS, slo)
    careful = fit_replica(candidate("Llama-3.1-70B", "H100", "fp8", is_cautious=True), Layout(tp=4), LENGTHS, slo)
    assert isinstance(bold, ReplicaFit)
    assert isinstance(careful, ReplicaFit)
    assert careful.concurrency < bold.concurrency
    assert careful.prediction.tpot_high_s <= 0.05


def test_twice_the_rate_takes_about_twice_the_replicas() -> None:
    one, two = (sized("Llama-3.1-8B", "L4", "fp8", rate) for rate in (10, 20))
    assert two.replicas in range(2 * one.replicas - 1, 2 * one.replicas + 1)
    assert one.alternatives


def test_a_latent_cache_is_tried_with_data_parallel_attention() -> None:
    gpu = load_gpus().find("H200").gpu()
    tried = list(layouts(known("DeepSeek-V3"), gpu))
    assert Layout(tp=8, dp_attention=8, ep=8) in tried
    assert Layout(tp=8, pp=2, ep=8) in tried
    assert all(layout.dp_attention == 1 for layout in layouts(known("Llama-3.1-8B"), gpu))


def test_what_fits_nowhere_has_reasons_and_no_plan() -> None:
    plan = sized("Llama-3.1-70B", "V100", "fp8")
    assert (plan.replica, plan.gpus, plan.needs) == (None, 0, None)
    assert {failure.obstacle for failure in plan.failures} == {Obstacle.FORMAT}


def test_layouts_are_described_in_words() -> None:
    assert describe_layout(Layout()) == "TP 1"
    assert describe_layout(Layout(tp=8, pp=2, ep=8)) == "TP 8, EP 8, PP 2"
    assert describe_layout(Layout(tp=8, dp_attention=4, ep=8)) == "DP attention 4, TP 2, EP 8"
