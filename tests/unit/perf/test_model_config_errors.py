"""A config.json that cannot be used: the message names the field or the model_type, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.perf.known_models import config, small

from overspill.errors import ConfigError
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.model_config import SUPPORTED, read_model


def test_an_unknown_model_type_is_named_with_those_supported_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(small("qwen33"), "somewhere/config.json")
    message = str(caught.value)
    assert message.startswith("somewhere/config.json: model_type 'qwen33' is not supported (did you mean 'qwen3'?)")
    assert all(name in message for name in SUPPORTED)
    assert "write that one's name as model_type into a copy of the file" in message


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "model_type is missing: this is not a model's config.json"),
    ({"model_type": 3}, "model_type must be a string, not 3"),
    ({"model_type": "llama"}, "hidden_size or n_embd or n_embed or d_model is missing"),
    (small("llama", vocab_size="many"), "vocab_size must be a whole number, not 'many'"),
    (small("llama", vocab_size=True), "vocab_size must be a whole number, not True"),
    (small("llama", vocab_size=-1), "vocab_size must be a whole number, not -1"),
    (small("llama", vocab_size=0), "hidden_size, vocab_size and num_hidden_layers must be 1 or more"),
    (small("llama", num_attention_heads=0), "num_attention_heads must be 1 or more"),
    (small("llama", num_attention_heads=7), "head_dim is missing, and hidden_size 64 is no multiple of 7 heads"),
    (small("llama", tie_word_embeddings="yes"), "tie_word_embeddings must be true or false, not 'yes'"),
    (small("gpt_oss", sliding_window=8, layer_types=["full_attention"]), "a value for each of the 4 layers"),
    (small("gpt_oss", sliding_window=8, layer_types="full"), "layer_types must list a value for each of the 4 layers"),
    (small("gpt_oss", sliding_window=8, layer_types=["odd_attention"] * 4), "layer_types has 'odd_attention'"),
    (config("Qwen3.5-27B", text_config={**config("Qwen3.5-27B")["text_config"], "layer_types": ["odd"] * 64}),
     "layer_types has 'odd'; known for this model_type: ['full_attention', 'linear_attention']"),
    (config("DeepSeek-V4-Pro", compress_ratios=None), "compress_ratios is missing"),
    (config("DeepSeek-V4-Pro", compress_ratios=[8] * 61), "compress_ratios has 8; known are 0, 4 and 128"),
    (small("kimi_linear"), "linear_attn_config is missing"),
    (small("kimi_linear", linear_attn_config=[1]), "linear_attn_config must be an object, not [1]"),
    (small("nemotron_h", hybrid_override_pattern="M*"), "must name each of the 4 blocks"),
    (small("nemotron_h", layers_block_type=["mamba", "moe", "mlp", "odd"]), "must name each of the 4 blocks"),
    (small("gemma4"), "layer_types is missing: it says which layers have the sliding window"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_what_is_missing_or_wrong_is_named(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_model(bad)
    assert message in str(caught.value)
    assert str(caught.value).startswith("config.json: ")


def test_an_unknown_quantisation_is_named_with_those_supported() -> None:
    with pytest.raises(ConfigError, match="quant_method 'squeeze', which is not supported; supported: awq, bitsandb"):
        checkpoint_recipe(small("llama", quantization_config={"quant_method": "squeeze"}))
    with pytest.raises(ConfigError, match="has 3 bits; known are 4 and 8"):
        checkpoint_recipe(small("llama", quantization_config={"quant_method": "gptq", "bits": 3}))
    with pytest.raises(ConfigError, match="quantization is MLX's, which is not supported: say the precision"):
        checkpoint_recipe(small("llama", quantization={"bits": 4, "group_size": 64}))
    odd = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 2}}}}
    with pytest.raises(ConfigError, match="has 2 bits; known are 4 and 8"):
        checkpoint_recipe(small("llama", quantization_config=odd))
