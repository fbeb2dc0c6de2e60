from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from tests.support.embedded_engine import damaged_copy, why_not_ready

from overspill.models import shipped_path
from overspill.pools.engines.supervisor import Phase

pytestmark = pytest.mark.local_engine
Q8_0_BLOCK_BYTES = 34  # a 16-bit scale and 32 weights


def overwrite_scales(content: bytearray, tensor: str, scale: bytes) -> None:
    """Give every block of a tensor this scale."""
    found = next(entry for entry in GGUFReader(shipped_path()).tensors if entry.name == tensor)
    start = int(found.data_offset)
    for offset in range(start, start + int(found.n_bytes), Q8_0_BLOCK_BYTES):
        content[offset : offset + 2] = scale


def test_a_flipped_bit_is_found_by_the_digest(tmp_path: Path) -> None:
    def flip(content: bytearray) -> None:
        content[len(content) // 2] ^= 1

    state = why_not_ready(model=damaged_copy(tmp_path, flip))
    assert state.phase is Phase.BROKEN
    assert "damaged.gguf is damaged or is another file: its SHA-256 is" in state.reason


def test_without_a_digest_a_flipped_bit_is_not_found(tmp_path: Path) -> None:
    def flip(content: bytearray) -> None:
        content[len(content) // 2] ^= 1

    assert why_not_ready(model=damaged_copy(tmp_path, flip), sha256=None).phase is Phase.READY


def test_a_truncated_file_is_explained_by_the_engine(tmp_path: Path) -> None:
    def cut(content: bytearray) -> None:
        del content[1_000_000:]

    state = why_not_ready(model=damaged_copy(tmp_path, cut), sha256=None)
    assert state.phase is Phase.BROKEN
    assert "cannot load" in state.reason
    assert "model is corrupted or incomplete" in state.reason


@pytest.mark.parametrize("tensor", ["blk.2.ffn_down_exps.weight", "blk.0.attn_output.weight", "output.weight"])
@pytest.mark.parametrize("scale", [b"\x00\x7e", b"\x00\x7c"], ids=["nan", "inf"])
def test_weights_that_are_no_numbers_fail_the_canary(tensor: str, scale: bytes, tmp_path: Path) -> None:
    model = damaged_copy(tmp_path, lambda content: overwrite_scales(content, tensor, scale))
    state = why_not_ready(model=model, sha256=hashlib.sha256(Path(model).read_bytes()).hexdigest())
    assert state.phase is Phase.BROKEN
    assert "its log-probabilities are not finite" in state.reason


def test_an_output_of_zeros_fails_the_canary(tmp_path: Path) -> None:
    model = damaged_copy(tmp_path, lambda content: overwrite_scales(content, "output.weight", b"\x00\x00"))
    state = why_not_ready(model=model, sha256=None)
    assert state.phase is Phase.BROKEN
    assert "every word equally likely" in state.reason


def test_damage_that_leaves_finite_numbers_fails_the_question_with_a_known_answer(tmp_path: Path) -> None:
    model = damaged_copy(tmp_path, lambda content: overwrite_scales(content, "blk.1.attn_output.weight", b"\x00\x30"))
    state = why_not_ready(model=model, sha256=None)
    assert state.phase is Phase.BROKEN
    assert "the model answers 'What is 4821 + 977?' with" in state.reason
    assert why_not_ready(model=model, sha256=None, known_answer=None).phase is Phase.READY


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "/no/such/model.gguf"}, "the model file /no/such/model.gguf cannot be read: No such file"),
        ({"model": __file__}, "is no GGUF file"),
        ({"max_batch_size": 0}, "max_batch_size is 0; llama.cpp runs 1 to 256"),
        ({"max_batch_size": 300}, "max_batch_size is 300; llama.cpp runs 1 to 256"),
        ({"kv_cache_type": "fp8"}, "kv_cache_type is 'fp8'; llama.cpp knows bf16, f16, f32, q4_0"),
        ({"extra": {"n_batch": 1}}, "options.n_batch is 1; llama.cpp aborts on tiny batches"),
        (
            {"extra": {"flash_atn_type": 1}},
            "options.flash_atn_type is no parameter of llama.cpp (did you mean 'flash_attn_type'?)",
        ),
        (
            {"extra": {"n_ubatch": 64, "warmup": "?", "rope_freq_base": "high"}},
            "options.rope_freq_base cannot be 'high'",
        ),
        ({"extra": {"port": 80}}, "options.port cannot be set"),
    ],
)
def test_what_cannot_work_is_refused_in_words(changes: dict[str, Any], reason: str) -> None:
    state = why_not_ready(**changes)
    assert state.phase is Phase.BROKEN
    assert reason in state.reason


def test_the_largest_batch_is_served() -> None:
    assert why_not_ready(max_batch_size=256, context_tokens=64).slots == 256


@pytest.mark.parametrize("changes", [{"kv_cache_type": "q8_0"}, {"extra": {"n_ubatch": 64, "sampling.top_k": 20}}])
def test_options_reach_the_engine(changes: dict[str, Any]) -> None:
    state = why_not_ready(**changes)
    assert state.phase is Phase.READY, state.reason
