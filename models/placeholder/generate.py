"""Write the placeholder model: a DeepSeek-V3-shaped GGUF of random weights, small enough to travel in the package.

It serves until the user names a model, and in tests. It is a real model to an engine (latent attention, experts behind
a sigmoid router with groups, a shared expert), so loading, batching, streaming and failing are real; what it says is
not: a table of which kind of word follows which (``vocabulary.py``) keeps the answers readable, random weights choose
the words. It knows nothing.

The weights come from an integer hash and not from a random generator, so that every platform writes the same bytes.

    python models/placeholder/generate.py src/overspill/models
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from math import log, prod, sqrt
from pathlib import Path

import numpy as np
from gguf import ExpertGatingFuncType, GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quantize
from numpy.typing import NDArray
from vocabulary import CHAT_TEMPLATE, FOLLOWS, KINDS, UNLIKELY, Vocabulary, build_vocabulary

Weights = NDArray[np.float32]

SEED = 20261123
HIDDEN, LAYERS, HEADS = 192, 4, 4
NOPE, ROPE, VALUE = 32, 32, 32  # per head
Q_LORA, KV_LORA = 96, 64
DENSE_FFN, EXPERT_FFN = 384, 96
EXPERTS, EXPERTS_USED, GROUPS, GROUPS_USED = 8, 2, 4, 2
CONTEXT = 32768

GRAMMAR = 32
"""Channels of the residual stream that carry the kind of the current token (one Q8_0 block); no layer writes there."""
KIND_SIGNAL = 4.0
"""Strength of that channel in the embedding."""
NORMED_SIGNAL = 2.7
"""About what is left of it after the last norm."""
WORD_SPREAD = 1.3
"""Standard deviation of the logits that the random part of the network adds."""


def gaussian(name: str, shape: tuple[int, ...], std: float) -> Weights:
    """Near-normal numbers from splitmix64 of (seed, name, index): the sum of four uniform 16-bit lanes."""
    salt = int.from_bytes(hashlib.sha256(f"{SEED}:{name}".encode()).digest()[:8], "little")
    x = (np.arange(prod(shape), dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    lanes = np.zeros(x.shape, dtype=np.int64)
    for lane in range(4):
        lanes += ((x >> np.uint64(16 * lane)) & np.uint64(0xFFFF)).astype(np.int64)
    unit = (lanes - 2 * 65535).astype(np.float32) / np.float32(65536 * sqrt(1 / 3))
    return np.asarray(unit * np.float32(std), dtype=np.float32).reshape(shape)


class Writer:
    """A GGUF under way; ``ones`` and ``random`` add tensors."""

    def __init__(self, path: Path) -> None:
        self.gguf = GGUFWriter(path, "deepseek2")

    def ones(self, name: str, size: int) -> None:
        """Add a norm that scales nothing."""
        self.gguf.add_tensor(name, np.ones(size, dtype=np.float32))

    def quantized(self, name: str, values: Weights) -> None:
        """Add a matrix as Q8_0."""
        q8 = GGMLQuantizationType.Q8_0
        self.gguf.add_tensor(name, quantize(values, q8), raw_dtype=q8)

    def random(self, name: str, *shape: int, gain: float = 1.0, writes_residual: bool = False) -> None:
        """Add a random matrix whose output has ``gain`` times the spread of its input."""
        values = gaussian(name, shape, gain / sqrt(shape[-1]))
        if writes_residual:
            values[..., :GRAMMAR, :] = 0.0
        self.quantized(name, values)


def write_metadata(out: GGUFWriter, words: Vocabulary) -> None:
    """Say what the model is, in the keys that llama.cpp reads."""
    out.add_name("Overspill placeholder")
    out.add_description("Random weights in the shape of DeepSeek-V3. It knows nothing; name a real model to serve one.")
    out.add_license("Apache-2.0")
    out.add_file_type(LlamaFileType.MOSTLY_Q8_0)
    out.add_block_count(LAYERS)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(DENSE_FFN)
    out.add_head_count(HEADS)
    out.add_head_count_kv(1)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(10000.0)
    out.add_rope_dimension_count(ROPE)
    out.add_vocab_size(len(words.tokens))
    out.add_q_lora_rank(Q_LORA)
    out.add_kv_lora_rank(KV_LORA)
    out.add_key_length(KV_LORA + ROPE)
    out.add_value_length(KV_LORA)
    out.add_key_length_mla(NOPE + ROPE)
    out.add_value_length_mla(VALUE)
    out.add_leading_dense_block_count(1)
    out.add_expert_count(EXPERTS)
    out.add_expert_used_count(EXPERTS_USED)
    out.add_expert_shared_count(1)
    out.add_expert_feed_forward_length(EXPERT_FFN)
    out.add_expert_group_count(GROUPS)
    out.add_expert_group_used_count(GROUPS_USED)
    out.add_expert_weights_scale(2.5)
    out.add_expert_weights_norm(True)
    # Left out, llama.cpp routes by softmax without a word: another model, and no error.
    out.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)


def write_tokenizer(out: GGUFWriter, words: Vocabulary) -> None:
    """Add the tokenizer and the chat template."""
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("deepseek-v3")
    out.add_token_list(words.tokens)
    out.add_token_types(words.types)
    out.add_token_merges(words.merges)
    out.add_bos_token_id(words.tokens.index("<|begin|>"))
    out.add_eos_token_id(words.tokens.index("<|end|>"))
    out.add_pad_token_id(words.tokens.index("<|end|>"))
    out.add_add_bos_token(False)  # the template writes it
    out.add_chat_template(CHAT_TEMPLATE)


def write_ends(out: Writer, words: Vocabulary) -> None:
    """Add the embedding, which marks each token's kind, and the output matrix, which says what may follow that kind."""
    embedding = gaussian("token_embd", (len(words.tokens), HIDDEN), 1.0)
    output = gaussian("output", (len(words.tokens), HIDDEN), WORD_SPREAD / sqrt(HIDDEN - GRAMMAR))
    embedding[:, :GRAMMAR] = 0.0
    output[:, :GRAMMAR] = 0.0
    for token, kind in enumerate(words.kinds):
        embedding[token, KINDS.index(kind)] = KIND_SIGNAL
        for before, chances in FOLLOWS.items():
            chance = chances.get(kind, 0.0)
            logit = log(chance / words.kinds.count(kind)) if chance else UNLIKELY
            output[token, KINDS.index(before)] = logit / NORMED_SIGNAL
    out.quantized("token_embd.weight", embedding)
    out.ones("output_norm.weight", HIDDEN)
    out.quantized("output.weight", output)


def write_attention(out: Writer, block: str) -> None:
    """Add one layer's multi-head latent attention; key and value up-projections are split as llama.cpp wants them."""
    out.ones(f"{block}.attn_norm.weight", HIDDEN)
    out.random(f"{block}.attn_q_a.weight", Q_LORA, HIDDEN)
    out.ones(f"{block}.attn_q_a_norm.weight", Q_LORA)
    out.random(f"{block}.attn_q_b.weight", HEADS * (NOPE + ROPE), Q_LORA, gain=1.5)
    out.random(f"{block}.attn_kv_a_mqa.weight", KV_LORA + ROPE, HIDDEN)
    out.ones(f"{block}.attn_kv_a_norm.weight", KV_LORA)
    out.random(f"{block}.attn_k_b.weight", HEADS, KV_LORA, NOPE)
    out.random(f"{block}.attn_v_b.weight", HEADS, VALUE, KV_LORA)
    out.random(f"{block}.attn_output.weight", HIDDEN, HEADS * VALUE, gain=1.5, writes_residual=True)


def write_ffn(out: Writer, block: str, *, is_dense: bool) -> None:
    """Add one layer's feed-forward part: dense, or a router with experts and the shared expert."""
    out.ones(f"{block}.ffn_norm.weight", HIDDEN)
    if is_dense:
        write_expert(out, block, "", (), DENSE_FFN)
        return
    out.gguf.add_tensor(f"{block}.ffn_gate_inp.weight", gaussian(f"{block}.router", (EXPERTS, HIDDEN), 0.1))
    out.gguf.add_tensor(f"{block}.exp_probs_b.bias", gaussian(f"{block}.router.bias", (EXPERTS,), 0.02))
    write_expert(out, block, "_exps", (EXPERTS,), EXPERT_FFN)
    write_expert(out, block, "_shexp", (), EXPERT_FFN)


def write_expert(out: Writer, block: str, suffix: str, stack: tuple[int, ...], width: int) -> None:
    """Add a gated feed-forward network, or a stack of them."""
    out.random(f"{block}.ffn_gate{suffix}.weight", *stack, width, HIDDEN)
    out.random(f"{block}.ffn_up{suffix}.weight", *stack, width, HIDDEN)
    out.random(f"{block}.ffn_down{suffix}.weight", *stack, HIDDEN, width, writes_residual=True)


def write_model(path: Path) -> None:
    """Write the whole model to ``path``."""
    words = build_vocabulary()
    out = Writer(path)
    write_metadata(out.gguf, words)
    write_tokenizer(out.gguf, words)
    write_ends(out, words)
    for layer in range(LAYERS):
        write_attention(out, f"blk.{layer}")
        write_ffn(out, f"blk.{layer}", is_dense=layer == 0)
    out.gguf.write_header_to_file()
    out.gguf.write_kv_data_to_file()
    out.gguf.write_tensors_to_file()
    out.gguf.close()


def main(folder: Path) -> None:
    """Write ``placeholder.gguf`` and its ``MANIFEST.json`` into ``folder``."""
    path = folder / "placeholder.gguf"
    write_model(path)
    manifest = {
        "placeholder.gguf": {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
            "architecture": "deepseek2",
            "licence": "Apache-2.0",
            "made_by": "models/placeholder/generate.py",
            "made_with": f"gguf {version('gguf')}",
        }
    }
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
