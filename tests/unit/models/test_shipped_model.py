"""The files of the built-in model: reproducible from the committed weights, and what their metadata says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from gguf import GGUFReader

import export
from overspill.models import VARIANTS, shipped_path, shipped_sha256

WEIGHTS = Path("models/tiny-reasoner/weights")


@pytest.fixture(scope="module")
def model() -> GGUFReader:
    return GGUFReader(shipped_path())


def value(model: GGUFReader, key: str) -> object:
    field = model.get_field(key)
    assert field is not None, key
    return field.contents()


def test_the_export_writes_the_bytes_that_ship(tmp_path: Path) -> None:
    export.write_shipped(WEIGHTS, tmp_path)
    for variant in VARIANTS:
        made = hashlib.sha256((tmp_path / shipped_path(variant).name).read_bytes()).hexdigest()
        assert made == shipped_sha256(variant) == hashlib.sha256(shipped_path(variant).read_bytes()).hexdigest()


def test_it_has_the_architecture_of_deepseek_v3(model: GGUFReader) -> None:
    assert value(model, "general.architecture") == "deepseek2"
    assert value(model, "tokenizer.ggml.pre") == "deepseek-v3"
    assert value(model, "deepseek2.attention.q_lora_rank") == 128
    assert value(model, "deepseek2.attention.kv_lora_rank") == 96
    assert value(model, "deepseek2.expert_count") == 8
    assert value(model, "deepseek2.expert_used_count") == 2
    assert value(model, "deepseek2.expert_shared_count") == 1
    assert value(model, "deepseek2.context_length") == 4096


def test_routing_is_by_sigmoid_which_left_out_would_silently_be_softmax(model: GGUFReader) -> None:
    assert value(model, "deepseek2.expert_gating_func") == 2


def test_the_weights_configuration_keeps_what_transformers_drops() -> None:
    config = json.loads((WEIGHTS / "config.json").read_text())
    assert (config["scoring_func"], config["topk_method"]) == ("sigmoid", "noaux_tc")
    assert config == json.loads(Path("models/tiny-reasoner/config.json").read_text())


def test_the_smaller_variant_is_smaller() -> None:
    assert shipped_path("q4").stat().st_size < 0.75 * shipped_path("q8_0").stat().st_size
