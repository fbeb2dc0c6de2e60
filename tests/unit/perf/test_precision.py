"""Bytes of weights by format: GGUF's own block sizes, published file sizes, and what checkpoints leave in BF16."""

from __future__ import annotations

from typing import Any

import gguf
import pytest
from tests.unit.perf.known_models import known, small

from overspill.catalog.models import find_model
from overspill.errors import UnknownName
from overspill.perf.architecture import Role, count_parameters
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.model_config import read_model
from overspill.perf.precision import FORMAT_BITS, RECIPES, recipe, role_bytes, weights_bytes
from overspill.units import GIB


def bytes_of(name: str, precision: str) -> float:
    model = known(name)
    return weights_bytes(model, count_parameters(model), recipe(precision))


@pytest.mark.parametrize(
    "name", [name for name in FORMAT_BITS if name.lower().startswith(("q", "iq")) and name != "mxfp4"]
)
def test_gguf_formats_have_the_block_sizes_of_the_gguf_package(name: str) -> None:
    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    assert FORMAT_BITS[name] == size * 8 / weights


@pytest.mark.parametrize(
    ("precision", "gigabytes"),
    [("q8_0", 8.54), ("q6_K", 6.60), ("q5_K_M", 5.73), ("q4_K_M", 4.92), ("q4_0", 4.66), ("iq4_xs", 4.45)],
)
def test_llama_3_1_8b_in_gguf_has_the_published_file_sizes(precision: str, gigabytes: float) -> None:
    assert bytes_of("Llama-3.1-8B", precision) / 1e9 == pytest.approx(gigabytes, rel=0.015)


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8)])
def test_gpt_oss_checkpoints_have_the_size_of_their_model_card(name: str, gib: float) -> None:
    """Experts in MXFP4, all else in BF16."""
    model, kept = known(name), checkpoint_recipe(find_model(name).config)
    assert kept.formats[Role.EXPERTS] == "mxfp4"
    assert kept.formats[Role.ATTENTION] == kept.formats[Role.HEAD] == "bf16"
    assert weights_bytes(model, count_parameters(model), kept) / GIB == pytest.approx(gib, abs=0.05)


def test_deepseek_v3_is_fp8_with_block_scales_and_bf16_embeddings() -> None:
    """688.6 GB on the hub: these weights, the MTP module, and its copies of embedding and head in BF16."""
    model, kept = known("DeepSeek-V3"), checkpoint_recipe(find_model("DeepSeek-V3").config)
    count = count_parameters(model)
    assert kept.formats[Role.EXPERTS] == kept.formats[Role.ATTENTION] == "fp8_block"
    assert kept.formats[Role.EMBEDDING] == kept.formats[Role.HEAD] == "bf16"
    copies = 2 * (count.by_role[Role.EMBEDDING] + count.by_role[Role.HEAD])
    assert (weights_bytes(model, count, kept, with_mtp=True) + copies) / 1e9 == pytest.approx(688.6, rel=0.001)
    llama = known("Llama-3.1-8B")
    assert weights_bytes(llama, count_parameters(llama), kept, with_mtp=True) == weights_bytes(
        llama, count_parameters(llama), kept
    )


def test_gigabytes_and_gibibytes_are_not_mixed() -> None:
    assert bytes_of("GPT-3-175B", "fp16") == pytest.approx(349.2e9, rel=0.001)
    assert bytes_of("GPT-3-175B", "fp16") / GIB == pytest.approx(325.2, abs=0.1)
    assert bytes_of("GPT-3-175B", "fp32") == 2 * bytes_of("GPT-3-175B", "fp16")
    assert bytes_of("GPT-3-175B", "fp8") / bytes_of("GPT-3-175B", "fp32") == pytest.approx(0.25, abs=0.003)


def test_mixes_keep_values_and_down_projections_finer() -> None:
    for name in ("Llama-3.1-8B", "BLOOM-176B", "DeepSeek-V3", "Qwen3-30B-A3B", "DeepSeek-V4-Pro", "Qwen3.5-27B"):
        assert bytes_of(name, "q4_K_S") < bytes_of(name, "q4_K_M") < bytes_of(name, "q5_K_M") < bytes_of(name, "q6_K")


def test_precisions_have_other_names_and_any_case() -> None:
    assert recipe("BFloat16").name == "bf16"
    assert recipe("Q4_k_m").name == "q4_K_M"
    with pytest.raises(UnknownName, match=r"unknown precision 'fp9' .*known: awq, bf16"):
        recipe("fp9")
    assert set(RECIPES["nvfp4"].formats.values()) == {"nvfp4", "bf16"}


def quantised(**quantization: Any) -> dict[str, str]:
    shape = small("mixtral", quantization_config=quantization)
    return {role.value: kept for role, kept in checkpoint_recipe(shape).formats.items()}


def test_each_method_of_quantisation_is_read() -> None:
    assert checkpoint_recipe(small("llama")).name == "bf16"
    assert checkpoint_recipe(small("llama", torch_dtype="float16")).name == "fp16"
    assert checkpoint_recipe(small("llama", dtype="float32")).name == "fp32"
    assert quantised(quant_method="fp8")["dense"] == "fp8"
    assert quantised(quant_method="awq", bits=4, group_size=64)["experts"] == "int4_g64"
    assert quantised(quant_method="gptq", bits=4, group_size=-1)["experts"] == "int4_g128"
    assert quantised(quant_method="gptq", bits=8)["experts"] == "int8"
    assert quantised(quant_method="bitsandbytes", load_in_4bit=True)["dense"] == "nf4"
    assert quantised(quant_method="bitsandbytes", load_in_8bit=True)["dense"] == "int8"
    assert quantised(quant_algo="NVFP4", quant_method="modelopt")["dense"] == "nvfp4"
    assert quantised(quant_algo="FP8", quant_method="modelopt")["dense"] == "fp8"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"num_bits": 8, "type": "float"}, "fp8"),
        ({"num_bits": 8, "type": "int"}, "int8"),
        ({"num_bits": 4, "type": "float", "group_size": 16}, "nvfp4"),
        ({"num_bits": 4, "type": "float", "group_size": 32}, "mxfp4"),
        ({"num_bits": 4, "type": "int", "group_size": 32}, "int4_g32"),
        ({"num_bits": 4, "type": "int", "group_size": 128}, "int4_g128"),
    ],
)
def test_compressed_tensors_are_read_by_their_first_group(weights: dict[str, Any], expected: str) -> None:
    assert (
        quantised(quant_method="compressed-tensors", config_groups={"group_0": {"weights": weights}})["dense"]
        == expected
    )
    assert quantised(config_groups={"group_0": {"weights": weights}})["dense"] == expected


def test_what_a_checkpoint_leaves_out_stays_in_bf16() -> None:
    kimi = checkpoint_recipe(find_model("Kimi-K2.5").config).formats
    assert (kimi[Role.EXPERTS], kimi[Role.ATTENTION], kimi[Role.SHARED], kimi[Role.DENSE]) == (
        "int4_g32", "bf16", "bf16", "bf16",
    )  # fmt: skip
    by_layer = quantised(
        quant_method="modelopt", quant_algo="NVFP4",
        ignore=[*(f"model.layers.{index}.self_attn*" for index in range(3)), "model.layers.0.mlp.experts*", "lm_head"],
    )  # fmt: skip
    assert (by_layer["attention"], by_layer["experts"]) == ("bf16", "nvfp4")
    assert quantised(quant_method="modelopt", quant_algo="NVFP4", ignore=["re:*broken("])["attention"] == "nvfp4"


def test_deepseek_v4_has_fp4_experts_beside_fp8() -> None:
    kept = checkpoint_recipe(find_model("DeepSeek-V4-Pro").config)
    assert kept.name == "fp8_block+mxfp4_experts"
    assert (kept.formats[Role.EXPERTS], kept.formats[Role.ATTENTION]) == ("mxfp4", "fp8_block")


def test_roles_add_up_to_the_whole() -> None:
    model = read_model(find_model("DeepSeek-V3").config)
    count = count_parameters(model)
    sizes = role_bytes(model, count, recipe("bf16"))
    assert sum(sizes.values()) == 2 * count.total
