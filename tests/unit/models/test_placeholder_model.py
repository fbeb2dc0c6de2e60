from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from gguf import GGUFReader

from overspill.models import placeholder_path, placeholder_sha256

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def model() -> GGUFReader:
    return GGUFReader(placeholder_path())


def test_the_committed_file_is_what_its_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, REPOSITORY / "models/placeholder/generate.py", tmp_path], check=True)
    made = hashlib.sha256((tmp_path / "placeholder.gguf").read_bytes()).hexdigest()
    assert made == placeholder_sha256() == hashlib.sha256(placeholder_path().read_bytes()).hexdigest()
    manifest = json.loads((tmp_path / "MANIFEST.json").read_text())
    assert manifest["placeholder.gguf"]["size_bytes"] == placeholder_path().stat().st_size < 3_000_000


def test_it_has_the_shape_of_deepseek_v3_without_the_known_traps(model: GGUFReader) -> None:
    def field(name: str) -> object:
        return model.fields[name].contents()

    assert field("general.architecture") == "deepseek2"
    assert field("deepseek2.expert_gating_func") == 2  # sigmoid; without the key llama.cpp silently takes softmax
    assert field("deepseek2.attention.q_lora_rank") == 96  # without it, only some layer counts load
    assert field("deepseek2.block_count") == 4  # 26, 27, 47, 48, 60 and 61 are special-cased
    assert field("deepseek2.expert_group_used_count") < field("deepseek2.expert_group_count")  # type: ignore[operator]
    assert field("deepseek2.expert_shared_count") == 1


def test_no_layer_writes_into_the_channels_that_keep_answers_readable(model: GGUFReader) -> None:
    from gguf.quants import dequantize

    writers = [
        tensor
        for tensor in model.tensors
        if tensor.name.endswith(
            ("attn_output.weight", "ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight")
        )
    ]
    assert len(writers) == 4 + 1 + 3 + 3
    for tensor in writers:
        assert not dequantize(tensor.data, tensor.tensor_type)[..., :32, :].any()


def test_every_merge_makes_a_token_and_no_token_is_there_twice(model: GGUFReader) -> None:
    tokens = model.fields["tokenizer.ggml.tokens"].contents()
    merges = model.fields["tokenizer.ggml.merges"].contents()
    assert len(tokens) == len(set(tokens))
    assert {merge.replace(" ", "") for merge in merges} <= set(tokens)
