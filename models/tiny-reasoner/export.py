"""Turn a checkpoint into weights as transformers reads them, and those into GGUF files as llama.cpp reads them.

    python export.py weights run/checkpoint weights          # checkpoint → safetensors (needs torch and transformers)
    python export.py weights run/1 run/2 run/3 weights        # the same of the mean of several checkpoints
    python export.py gguf weights ../../src/overspill/models  # weights → GGUF, MANIFEST.json (needs gguf, numpy)

What is easily got wrong, and then answers nonsense without an error:

- transformers leaves ``scoring_func`` and ``topk_method`` out when it saves a configuration; without the gating
  function llama.cpp routes by softmax. Ours is copied as it stands here, and the gating function is always written.
- llama.cpp wants the joint up-projection of keys and values apart, the keys' part transposed (it absorbs it).
- ``attention.key_length`` and ``value_length`` are those of the latent; the heads' own have ``_mla`` in their names.
- Rotary dimensions stay interleaved in both; nothing is permuted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from gguf import ExpertGatingFuncType, GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from gguf.quants import quantize
from numpy.typing import NDArray

HERE = Path(__file__).parent
NAME = "overspill-tiny"
Array = NDArray[Any]
Q = GGMLQuantizationType

FILE_TYPES = {
    "f16": (Q.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (Q.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (Q.Q4_0, LlamaFileType.MOSTLY_Q4_0),
    "q4_1": (Q.Q4_1, LlamaFileType.MOSTLY_Q4_1),
}
_PLAIN = ("norm.weight", "mlp.gate.weight", "mlp.gate.e_score_correction_bias")
"""Small tensors that stay in float32 whatever the file type: norms and routers."""
_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_a_proj.weight": "attn_q_a.weight",
    "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
    "self_attn.q_b_proj.weight": "attn_q_b.weight",
    "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
    "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "mlp.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.shared_experts.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_experts.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_experts.down_proj.weight": "ffn_down_shexp.weight",
}
_TOP_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def tensors_of(weights: Mapping[str, Array], config: Mapping[str, Any]) -> Iterator[tuple[str, Array, bool]]:
    """Yield llama.cpp's tensors: name, values in float32, and whether they stay in float32."""
    for name, ours in _TOP_NAMES.items():
        yield ours, weights[name].astype(np.float32), name.endswith("norm.weight")
    heads, nope, value = config["num_attention_heads"], config["qk_nope_head_dim"], config["v_head_dim"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, ours in _NAMES.items():
            if prefix + name in weights:
                yield f"blk.{layer}.{ours}", weights[prefix + name].astype(np.float32), name.endswith(_PLAIN)
        joint = weights[f"{prefix}self_attn.kv_b_proj.weight"].astype(np.float32)
        keys, values = np.split(joint.reshape(heads, nope + value, -1), [nope], axis=1)
        yield f"blk.{layer}.attn_k_b.weight", np.ascontiguousarray(keys.transpose(0, 2, 1)), False
        yield f"blk.{layer}.attn_v_b.weight", np.ascontiguousarray(values), False
        for part in ("gate", "up", "down"):
            names = [f"{prefix}mlp.experts.{expert}.{part}_proj.weight" for expert in range(config["n_routed_experts"])]
            if names[0] in weights:
                stack = np.stack([weights[name].astype(np.float32) for name in names])
                yield f"blk.{layer}.ffn_{part}_exps.weight", stack, False


def write_gguf(weights_folder: Path, path: Path, file_type: str, *, keeps: Sequence[str] = ()) -> None:
    """Write one GGUF; tensors with one of ``keeps`` in their names have 8 bits where the file's type has fewer."""
    config = json.loads((weights_folder / "config.json").read_text(encoding="utf-8"))
    weights = read_weights(weights_folder)
    kind, label = FILE_TYPES[file_type]
    out = GGUFWriter(path, "deepseek2")
    _write_metadata(out, config, label)
    _write_tokenizer(out, weights_folder, config)
    for name, values, is_plain in tensors_of(weights, config):
        if is_plain:
            out.add_tensor(name, values)
            continue
        stored = Q.Q8_0 if kind != Q.F16 and any(part in name for part in keeps) else kind
        out.add_tensor(name, quantize(values, stored), raw_dtype=stored)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def read_weights(folder: Path) -> dict[str, Array]:
    """Read ``model.safetensors`` without torch: a length, a JSON header, raw values."""
    content = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    kinds = {"F16": np.float16, "F32": np.float32}
    arrays = {}
    for name, each in header.items():
        if name != "__metadata__":
            first, last = each["data_offsets"]
            values = np.frombuffer(content[start + first : start + last], kinds[each["dtype"]])
            arrays[name] = values.reshape(each["shape"])
    return arrays


def _write_metadata(out: GGUFWriter, config: Mapping[str, Any], label: LlamaFileType) -> None:
    if config["scoring_func"] != "sigmoid" or config["rope_parameters"]["rope_type"] != "default":
        raise ValueError("this exporter writes sigmoid gating and plain rotary embeddings only")
    out.add_name(NAME)
    out.add_description("A tiny reasoner in the architecture of DeepSeek-V3: sums, sorting, counting, and little else.")
    out.add_license("apache-2.0")
    out.add_file_type(label)
    out.add_quantization_version(2)
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(config["num_attention_heads"])
    out.add_head_count_kv(1)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    out.add_rope_dimension_count(config["qk_rope_head_dim"])
    out.add_vocab_size(config["vocab_size"])
    out.add_q_lora_rank(config["q_lora_rank"])
    out.add_kv_lora_rank(config["kv_lora_rank"])
    out.add_key_length(config["kv_lora_rank"] + config["qk_rope_head_dim"])
    out.add_value_length(config["kv_lora_rank"])
    out.add_key_length_mla(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
    out.add_value_length_mla(config["v_head_dim"])
    out.add_leading_dense_block_count(config["first_k_dense_replace"])
    out.add_expert_count(config["n_routed_experts"])
    out.add_expert_used_count(config["num_experts_per_tok"])
    out.add_expert_shared_count(config["n_shared_experts"])
    out.add_expert_feed_forward_length(config["moe_intermediate_size"])
    out.add_expert_group_count(config["n_group"])
    out.add_expert_group_used_count(config["topk_group"])
    out.add_expert_weights_scale(config["routed_scaling_factor"])
    out.add_expert_weights_norm(config["norm_topk_prob"])
    out.add_expert_gating_func(ExpertGatingFuncType.SIGMOID)


def _write_tokenizer(out: GGUFWriter, folder: Path, config: Mapping[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = {identifier: token for token, identifier in tokenizer["model"]["vocab"].items()}
    types = dict.fromkeys(tokens, TokenType.NORMAL)
    for added in tokenizer["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("deepseek-v3")
    out.add_token_list([tokens[identifier] for identifier in range(config["vocab_size"])])
    out.add_token_types([int(types[identifier]) for identifier in range(config["vocab_size"])])
    out.add_token_merges(merges)
    out.add_bos_token_id(config["bos_token_id"])
    out.add_eos_token_id(config["eos_token_id"])
    out.add_pad_token_id(config["pad_token_id"])
    out.add_add_bos_token(False)  # the template writes it
    out.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))


def save_weights(checkpoint_folders: Sequence[Path], folder: Path) -> None:
    """Write a checkpoint, or the mean of several, as ``model.safetensors`` in float16 (routers in float32)."""
    import torch
    from train import build_model
    from trainer import checkpoint

    model, each = build_model(0), build_model(0)
    total = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for source in checkpoint_folders:
        checkpoint.load(source, each)
        for name, value in each.state_dict().items():
            total[name] += value / len(checkpoint_folders)
    model.load_state_dict(total)
    routers = {name: value.clone() for name, value in model.state_dict().items() if ".mlp.gate." in name}
    model = model.half()
    for name, value in routers.items():
        owner, _, attribute = name.rpartition(".")
        getattr(model.get_submodule(owner), attribute).data = value
    model.save_pretrained(folder)
    (folder / "config.json").write_text((HERE / "config.json").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "generation_config.json").unlink(missing_ok=True)


SHIPPED = {"q8_0": "q8_0", "q4": "q4_1"}
"""What travels in the package, by the last part of its file's name."""


def write_shipped(weights_folder: Path, folder: Path) -> None:
    """Write the GGUF files of the package, and the manifest that names their sizes and digests."""
    manifest = {}
    for suffix, file_type in SHIPPED.items():
        path = folder / f"{NAME}-{suffix}.gguf"
        write_gguf(weights_folder, path, file_type)
        manifest[path.name] = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
            "architecture": "deepseek2",
            "file_type": file_type,
            "licence": "Apache-2.0",
            "made_by": "models/tiny-reasoner/export.py",
            "made_with": f"gguf {version('gguf')}",
        }
    (folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["weights", "gguf", "f16"])
    parser.add_argument("source", type=Path, nargs="+")
    parser.add_argument("target", type=Path)
    asked = parser.parse_args()
    if asked.what == "weights":
        save_weights(asked.source, asked.target)
        return
    (source,) = asked.source
    if asked.what == "f16":
        write_gguf(source, asked.target, "f16")
    else:
        write_shipped(source, asked.target)


if __name__ == "__main__":
    main()
