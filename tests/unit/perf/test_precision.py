"""Bytes of weights by format: GGUF's own block sizes, published file sizes, and what checkpoints leave in BF16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from tests.unit.perf.known_models import known, small

from overspill.catalog.models import find_model, read_config
from overspill.errors import ConfigError, UnknownName
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


LLAMA_CPP_BITS = {
    # Bits per weight of Llama 3.1 8B in llama.cpp's tools/quantize/README.md, made without an importance matrix where
    # that is possible.
    "iq1_s": 2.0042, "iq1_m": 2.1460, "iq2_xxs": 2.3824, "iq2_xs": 2.5882, "iq2_s": 2.7403, "iq2_m": 2.9294,
    "iq3_xxs": 3.2548, "iq3_s": 3.6606, "iq3_m": 3.7628, "iq4_xs": 4.4597, "iq4_nl": 4.6818, "q2_K": 3.1593,
    "q3_K_S": 3.6429, "q3_K_M": 3.9960, "q3_K_L": 4.2979, "q4_K_S": 4.6672, "q4_K_M": 4.8944, "q5_K_S": 5.5704,
    "q5_K_M": 5.7036, "q6_K": 6.5633, "q8_0": 8.5008,
}  # fmt: skip


@pytest.mark.parametrize(("precision", "bits"), LLAMA_CPP_BITS.items())
def test_llama_3_1_8b_has_llama_cpps_bits_per_weight(precision: str, bits: float) -> None:
    """The first layers of Q3_K_M are finer still, which is not counted."""
    count = count_parameters(known("Llama-3.1-8B"))
    within = 0.005 if precision == "q3_K_M" else 1e-4
    assert bytes_of("Llama-3.1-8B", precision) * 8 / count.total == pytest.approx(bits, rel=within)


@pytest.mark.parametrize(
    ("name", "precision", "gigabytes"),
    [
        ("Llama-3.1-70B", "q8_0", 74.98), ("Llama-3.1-70B", "q5_K_M", 49.95), ("Llama-3.1-70B", "q4_K_M", 42.52),
        ("Llama-3.1-70B", "q3_K_L", 37.14), ("Llama-3.1-70B", "q3_K_M", 34.27), ("Llama-3.1-70B", "iq3_m", 31.94),
        ("DeepSeek-V3", "q8_0", 713.0), ("DeepSeek-V3", "q4_K_M", 404.0), ("DeepSeek-V3", "q2_K", 244.0),
        ("gpt-oss-120b", "mxfp4_moe", 63.4),
    ],
)  # fmt: skip
def test_larger_models_in_gguf_have_the_published_file_sizes(name: str, precision: str, gigabytes: float) -> None:
    assert bytes_of(name, precision) / 1e9 == pytest.approx(gigabytes, rel=0.012)


def test_mixes_depend_on_how_many_heads_share_a_key_and_on_eight_experts() -> None:
    apart, grouped, eight = known("BLOOM-176B"), known("Llama-3.1-8B"), known("Mixtral-8x7B")
    for model, finer in ((apart, 3.4375), (grouped, 4.5), (eight, 8.5)):
        count = count_parameters(model)
        values = sum(layer.mixer.part_params(model.hidden)["value"] for layer in model.layers if layer.mixer)
        outputs = sum(layer.mixer.part_params(model.hidden)["output"] for layer in model.layers if layer.mixer)
        keys = sum(layer.mixer.part_params(model.hidden)["key"] for layer in model.layers if layer.mixer)
        rest = count.by_role[Role.ATTENTION] - values - outputs - (keys if model is eight else 0)
        output_bits, key_bits = (5.5, 8.5 * keys) if model is eight else (3.4375, 0.0)
        expected = (values * finer + outputs * output_bits + key_bits + rest * 2.625) / 8
        assert role_bytes(model, count, recipe("q2_K"))[Role.ATTENTION] == pytest.approx(expected)


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
    older = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}
    assert checkpoint_recipe(small("llama", compression_config=older)).formats[Role.DENSE] == expected


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


def test_checkpoints_of_mixed_precision_name_the_format_of_each_module() -> None:
    """As NVIDIA's Qwen3.6-27B-NVFP4 and DeepSeek-V4-Flash-NVFP4 do."""
    layers = {
        "lm_head": {"quant_algo": "NVFP4", "group_size": 16},
        "model.layers.0.linear_attn.in_proj_qkv": {"quant_algo": "FP8"},
        "model.layers.1.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.mlp.experts.0.down_proj": {"quant_algo": "W4A16_NVFP4", "group_size": 16},
        "model.layers.0.mlp.shared_expert.down_proj": {"quant_algo": "W8A8_SQ_PER_CHANNEL"},
        "model.visual.merger": {"quant_algo": "FP8"},
        "model.layers.0.mlp.down_proj": "odd",
    }
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    kept = checkpoint_recipe(small("mixtral", quantization_config=mixed))
    assert kept.name == "mixed_fp8+int8+nvfp4"
    assert {role.value: kept.formats[role] for role in Role} == {
        "embedding": "bf16", "head": "nvfp4", "attention": "fp8", "dense": "bf16", "shared": "int8",
        "experts": "nvfp4", "router": "bf16", "small": "bf16",
    }  # fmt: skip
    rest_in_fp8 = checkpoint_recipe(small("mixtral", quantization_config={**mixed, "quant_method": "fp8"}))
    assert rest_in_fp8.formats[Role.DENSE] == "fp8_block"
    nothing = {"quant_method": "modelopt", "quantized_layers": {"vision": {"quant_algo": "FP8"}}}
    assert checkpoint_recipe(small("llama", quantization_config=nothing)).name == "bf16"


def test_an_algorithm_that_is_not_known_is_named_with_those_supported() -> None:
    layers = {"model.layers.0.mlp.down_proj": {"quant_algo": "W2A16"}}
    with pytest.raises(ConfigError, match="quant_algo 'W2A16', which is not supported; supported: MXFP4, FP4"):
        checkpoint_recipe(small("llama", quantization_config={"quant_method": "modelopt", "quantized_layers": layers}))
    with pytest.raises(ConfigError, match="quant_algo 'mixed_precision'"):
        quantised(quant_algo="MIXED_PRECISION", quant_method="modelopt")


def test_what_modelopt_writes_beside_a_configuration_is_read(tmp_path: Path) -> None:
    """NVIDIA's checkpoints of 2025 say nothing of it in config.json, by which they would be four times as large."""
    shape = {**small("llama"), "torch_dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    beside = tmp_path / "hf_quant_config.json"
    assert checkpoint_recipe(read_config(str(tmp_path)).config).name == "bf16"
    said = {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["*self_attn*"]}}
    beside.write_text(json.dumps(said), encoding="utf-8")
    kept = checkpoint_recipe(read_config(str(tmp_path)).config)
    assert (kept.formats[Role.DENSE], kept.formats[Role.ATTENTION]) == ("nvfp4", "bf16")
    beside.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"hf_quant_config.json: cannot be read as ModelOpt's quantisation"):
        read_config(str(tmp_path))
    own = {**shape, "quantization_config": {"quant_method": "fp8"}}
    (tmp_path / "config.json").write_text(json.dumps(own), encoding="utf-8")
    assert checkpoint_recipe(read_config(str(tmp_path)).config).name == "fp8"
