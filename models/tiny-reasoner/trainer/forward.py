"""The forward pass for training: the parameters of transformers' ``DeepseekV3ForCausalLM``, the same numbers, faster.

transformers loops over the experts; here all experts see all tokens as two matrix products, and the router's weights,
zero for the experts that were not chosen, select. With experts this small that is several times faster on any device,
and it compiles. Rows are packed: attention stays within a segment. ``tests/torch`` holds both passes together.

Shapes: B rows, L tokens, T = B·L, H hidden, E experts, I their width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch.nn import functional as F  # noqa: N812 - its customary name

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]
_EPS = 1e-6


class Forward:
    """A model's forward pass; ``loads`` has, after each, the share of choices that each expert of each layer got."""

    def __init__(self, model: Any, *, is_compiled: bool = False) -> None:
        self.model = model
        self.config = model.config
        self.loads: dict[int, Tensor] = {}
        self._layers = [dict(layer.named_parameters()) for layer in model.model.layers]
        for layer, weights in zip(model.model.layers, self._layers, strict=True):
            weights.update({name: buffer for name, buffer in layer.named_buffers() if "correction" in name})
        if is_compiled:
            torch._dynamo.config.recompile_limit = 32  # three lengths, two kinds of layer, with and without gradients
        self._block: Callable[..., tuple[Tensor, Tensor]] = (
            torch.compile(_block, dynamic=False) if is_compiled else _block
        )

    def hidden(self, ids: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Return the last hidden states, [B, L, H], normed; all three arguments are [B, L]."""
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        mask = (segments[:, None, :, None] == segments[:, None, None, :]) & causal
        half = self.config.qk_rope_head_dim // 2
        theta = self.config.rope_parameters["rope_theta"]
        speeds = theta ** (-torch.arange(half, dtype=torch.float32, device=ids.device) / half)
        angles = (positions[:, None, :, None].float() * speeds).float()  # [B, 1, L, rope/2]
        x = self.model.model.embed_tokens(ids)
        for number, weights in enumerate(self._layers):
            x, load = self._block(x, mask, angles.cos(), angles.sin(), weights, _sizes(self.config))
            self.loads[number] = load
        return _norm(x, self.model.model.norm.weight)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of the next token, [..., vocabulary]."""
        return F.linear(hidden, self.model.lm_head.weight)


def _sizes(config: Any) -> tuple[int, ...]:
    return (
        config.num_attention_heads,
        config.qk_nope_head_dim,
        config.qk_rope_head_dim,
        config.v_head_dim,
        config.kv_lora_rank,
        config.num_experts_per_tok,
        round(config.routed_scaling_factor * 1000),
    )


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + _EPS))


def _block(
    x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor, weights: Weights, sizes: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Run one layer, [B, L, H] to [B, L, H]; also return the experts' load, [E] (empty for a dense layer)."""
    x = x + _attention(_norm(x, weights["input_layernorm.weight"]), mask, cos, sin, weights, sizes)
    normed = _norm(x, weights["post_attention_layernorm.weight"])
    if "mlp.gate.weight" not in weights:
        return x + _gated(normed, weights, "mlp"), x.new_empty(0)
    routed, load = _experts(normed, weights, sizes)
    return x + routed + _gated(normed, weights, "mlp.shared_experts"), load


def _attention(x: Tensor, mask: Tensor, cos: Tensor, sin: Tensor, weights: Weights, sizes: tuple[int, ...]) -> Tensor:
    heads, nope, rope, value, latent, _, _ = sizes
    rows, length, _ = x.shape
    low = _norm(F.linear(x, weights["self_attn.q_a_proj.weight"]), weights["self_attn.q_a_layernorm.weight"])
    query = F.linear(low, weights["self_attn.q_b_proj.weight"]).view(rows, length, heads, nope + rope).transpose(1, 2)
    joint = F.linear(x, weights["self_attn.kv_a_proj_with_mqa.weight"])
    compressed, key_rope = joint.split([latent, rope], dim=-1)
    compressed = _norm(compressed, weights["self_attn.kv_a_layernorm.weight"])
    expanded = F.linear(compressed, weights["self_attn.kv_b_proj.weight"])
    expanded = expanded.view(rows, length, heads, nope + value).transpose(1, 2)
    key_nope, values = expanded.split([nope, value], dim=-1)
    key_rope = _rotate(key_rope.view(rows, 1, length, rope), cos, sin).expand(-1, heads, -1, -1)
    query = torch.cat([query[..., :nope], _rotate(query[..., nope:], cos, sin).to(query.dtype)], dim=-1)
    key = torch.cat([key_nope, key_rope.to(key_nope.dtype)], dim=-1)
    mixed = F.scaled_dot_product_attention(query, key, values, attn_mask=mask, scale=(nope + rope) ** -0.5)
    return F.linear(mixed.transpose(1, 2).reshape(rows, length, heads * value), weights["self_attn.o_proj.weight"])


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate interleaved pairs, and put first and second members of the pairs side by side, as transformers does."""
    first, second = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _gated(x: Tensor, weights: Weights, name: str) -> Tensor:
    up = F.silu(F.linear(x, weights[f"{name}.gate_proj.weight"])) * F.linear(x, weights[f"{name}.up_proj.weight"])
    return F.linear(up, weights[f"{name}.down_proj.weight"])


def _experts(x: Tensor, weights: Weights, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Choose by sigmoid score plus correction bias, weigh by the score alone, normalised and scaled (one group)."""
    top, scale = sizes[5], sizes[6] / 1000
    flat = x.reshape(-1, x.shape[-1])
    with torch.autocast(x.device.type, enabled=False):
        scores = F.linear(flat.float(), weights["mlp.gate.weight"].float()).sigmoid()
        chosen = torch.topk(scores + weights["mlp.gate.e_score_correction_bias"], top, dim=-1).indices
        picked = scores.gather(1, chosen)
        picked = picked / (picked.sum(-1, keepdim=True) + 1e-20) * scale
        gates = torch.zeros_like(scores).scatter(1, chosen, picked)  # [T, E]
    load = (gates > 0).float().mean(0)
    up, down = weights["mlp.experts.gate_up_proj"], weights["mlp.experts.down_proj"]  # [E, 2I, H], [E, H, I]
    experts, width = down.shape[0], down.shape[2]
    both = F.linear(flat, up.reshape(experts * 2 * width, -1)).view(-1, experts, 2 * width)
    inner = F.silu(both[..., :width]) * both[..., width:] * gates[..., None].to(both.dtype)
    mixed = F.linear(inner.reshape(-1, experts * width), down.permute(1, 0, 2).reshape(-1, experts * width))
    return mixed.view(x.shape), load
