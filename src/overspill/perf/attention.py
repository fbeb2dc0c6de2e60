"""What a layer mixes tokens with: its weights, and what it keeps of every token it has seen.

Each kind answers the same questions, for one layer: how many weights, how many bytes of cache one sequence takes on one
GPU, how many of those a decode step reads, and how much arithmetic a pair of tokens costs. Sequence lengths are tokens,
``element_bytes`` is the size of one cached number (2 for BF16, 1 for FP8), ``tp`` the GPUs that share the attention
of one sequence (with data-parallel attention: of its own rank only).
"""

from __future__ import annotations

import math

import msgspec


class GroupedAttention(msgspec.Struct, frozen=True, kw_only=True):
    """Multi-head, multi-query and grouped-query attention, over everything or a sliding window."""

    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    window_tokens: int | None = None
    """It sees only so many tokens back and keeps no more; ``None`` is all of them."""
    has_value_weights: bool = True
    """False if the values are the keys (Gemma 4): one projection less, the cache keeps both all the same."""
    keeps_cache: bool = True
    """False if it reads the cache of an earlier layer and has no key and value weights (Gemma 3n and 4)."""
    gate_columns: int = 0
    """Width of an output gate computed from the hidden state."""
    index_heads: int = 0
    """Heads of an index that picks blocks of tokens (MiniMax M3); 0: it has none."""
    index_dim: int = 0
    attends_tokens: int | None = None
    """Only so many tokens are attended, those that the index picks; ``None`` is all of them."""
    small_params: int = 0
    """Biases, norms and sinks."""

    @property
    def pair_flops(self) -> int:
        """Floating-point operations for one query with one key and its value."""
        return 2 * self.heads * (self.head_dim + self.v_head_dim)

    def matrix_params(self, hidden: int) -> int:
        """Count the weights of its matrices."""
        keys = self.kv_heads * self.head_dim if self.keeps_cache else 0
        values = self.kv_heads * self.v_head_dim if self.keeps_cache and self.has_value_weights else 0
        index = self.index_dim * (self.index_heads + 1)
        return hidden * (self.heads * (self.head_dim + self.v_head_dim) + keys + values + self.gate_columns + index)

    def part_params(self, hidden: int) -> dict[str, int]:
        """Count the weights of projections that some formats store apart: ``query``, ``key``, ``value``, ``output``."""
        keys = hidden * self.kv_heads * self.head_dim if self.keeps_cache else 0
        values = hidden * self.kv_heads * self.v_head_dim if self.keeps_cache and self.has_value_weights else 0
        query, output = hidden * self.heads * self.head_dim, hidden * self.heads * self.v_head_dim
        return {"query": query, "key": keys, "value": values, "output": output}

    def attended(self, context_tokens: int) -> int:
        """Count the tokens that a query after so many tokens looks at."""
        seen = self._seen(context_tokens)
        return seen if self.attends_tokens is None else min(seen, self.attends_tokens)

    def cache_bytes(self, seq_tokens: int, element_bytes: float, tp: int) -> float:
        """Return the bytes that a sequence takes on one GPU: heads are divided, the last ones replicated."""
        if not self.keeps_cache:
            return 0.0
        return self._seen(seq_tokens) * (self._token_bytes(element_bytes, tp) + self.index_dim * element_bytes)

    def read_bytes(self, context_tokens: int, element_bytes: float, tp: int) -> float:
        """Return the bytes of cache that one GPU reads for the next token of a sequence: all of an index it has."""
        index = self._seen(context_tokens) * self.index_dim * element_bytes
        return self.attended(context_tokens) * self._token_bytes(element_bytes, tp) + index

    def _seen(self, tokens: int) -> int:
        return tokens if self.window_tokens is None else min(tokens, self.window_tokens)

    def _token_bytes(self, element_bytes: float, tp: int) -> float:
        return math.ceil(self.kv_heads / tp) * (self.head_dim + self.v_head_dim) * element_bytes


class LatentAttention(msgspec.Struct, frozen=True, kw_only=True):
    """Multi-head latent attention (DeepSeek V2, V3, Kimi K2), with a sparse index where it has one (V3.2, GLM-5).

    What is kept of a token is one latent vector for all heads, so tensor parallelism does not divide it: every GPU of
    the group holds all of it. Only data-parallel attention splits it, by sequences.
    """

    heads: int
    q_rank: int | None
    """``None``: queries are not compressed (DeepSeek V2 Lite)."""
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_head_dim: int
    index_heads: int = 0
    """Heads of the lightning indexer; 0: it has none of its own."""
    index_dim: int = 0
    attends_tokens: int | None = None
    """Only so many tokens are attended, those that the index picks; ``None`` is all of them."""
    gate_columns: int = 0
    small_params: int = 0

    @property
    def pair_flops(self) -> int:
        """Floating-point operations for one query with one key and its value, in prefill."""
        return 2 * self.heads * (self.nope_dim + self.rope_dim + self.v_head_dim)

    def matrix_params(self, hidden: int) -> int:
        """Count the weights of its matrices, the indexer's included."""
        q_columns = self.heads * (self.nope_dim + self.rope_dim)
        queries = hidden * q_columns if self.q_rank is None else self.q_rank * (hidden + q_columns)
        latent = hidden * (self.kv_rank + self.rope_dim)
        unfolded = self.kv_rank * self.heads * (self.nope_dim + self.v_head_dim)
        q_width = hidden if self.q_rank is None else self.q_rank
        index = q_width * self.index_heads * self.index_dim + hidden * (self.index_dim + self.index_heads)
        output = self.heads * self.v_head_dim * hidden
        gate = hidden * self.gate_columns
        return queries + latent + unfolded + output + gate + (index if self.index_heads else 0)

    def part_params(self, hidden: int) -> dict[str, int]:
        """Count the weights of projections that some formats store apart: the latent ones have other names."""
        return {"output": self.heads * self.v_head_dim * hidden}

    def attended(self, context_tokens: int) -> int:
        """Count the tokens that a query after so many tokens looks at."""
        return context_tokens if self.attends_tokens is None else min(context_tokens, self.attends_tokens)

    def cache_bytes(self, seq_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes that a sequence takes on one GPU: the same for every ``tp``."""
        return seq_tokens * (self._latent_bytes(element_bytes) + self._index_bytes())

    def read_bytes(self, context_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes of cache that one GPU reads for the next token: the index of all, the latent of some."""
        picked = self.attended(context_tokens) * self._latent_bytes(element_bytes)
        return picked + context_tokens * self._index_bytes()

    def _latent_bytes(self, element_bytes: float) -> float:
        # With the index the kernels keep the rotary part in BF16 whatever the latent is in.
        rope_bytes = element_bytes if self.attends_tokens is None else 2.0
        return self.kv_rank * element_bytes + self.rope_dim * rope_bytes

    def _index_bytes(self) -> float:
        """Return the bytes of one token's index key: FP8 with one FP32 scale."""
        return self.index_dim + 4 if self.index_heads else 0


class CompressedAttention(msgspec.Struct, frozen=True, kw_only=True):
    """DeepSeek V4's: a window of recent tokens, and older ones merged ``ratio`` to one (0: the window alone).

    What it keeps is not proportional to the length: the window, a compressed part, and a state of the compressor.
    """

    heads: int
    head_dim: int
    q_rank: int
    o_rank: int
    o_groups: int
    window_tokens: int
    ratio: int
    index_heads: int = 0
    index_dim: int = 0
    attends_entries: int | None = None
    """Compressed entries that the index picks; ``None`` is all of them."""
    small_params: int = 0

    @property
    def pair_flops(self) -> int:
        """Floating-point operations for one query with one key, which is also its value."""
        return 4 * self.heads * self.head_dim

    def matrix_params(self, hidden: int) -> int:
        """Count the weights of its matrices: queries, keys, the grouped output, compressor and indexer."""
        queries = self.q_rank * (hidden + self.heads * self.head_dim)
        output = self.heads * self.head_dim * self.o_rank + self.o_groups * self.o_rank * hidden
        compressor = hidden * self._compressor_columns(self.head_dim)
        index = 0
        if self.index_heads:
            index = self.q_rank * self.index_heads * self.index_dim
            index += hidden * (self._compressor_columns(self.index_dim) + self.index_heads)
        return queries + hidden * self.head_dim + output + compressor + index

    def part_params(self, hidden: int) -> dict[str, int]:  # noqa: ARG002
        """Count the weights of projections that some formats store apart: there are none of those here."""
        return {}

    def attended(self, context_tokens: int) -> int:
        """Count the entries that a query after so many tokens looks at, a compressed one counting as one."""
        entries = context_tokens // self.ratio if self.ratio else 0
        picked = entries if self.attends_entries is None else min(entries, self.attends_entries)
        return min(context_tokens, self.window_tokens) + picked

    def cache_bytes(self, seq_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes that a sequence takes on one GPU: one key for all heads, so the same for every ``tp``."""
        kept = min(seq_tokens, self.window_tokens) * self.head_dim * element_bytes
        if not self.ratio:
            return kept
        entries = seq_tokens // self.ratio
        kept += entries * self.head_dim * element_bytes + self._state_bytes(self.head_dim)
        if self.index_heads:
            kept += entries * self.index_dim * 0.5 + self._state_bytes(self.index_dim)
        return kept

    def read_bytes(self, context_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes of cache that one GPU reads for the next token of a sequence."""
        index = context_tokens // self.ratio * self.index_dim * 0.5 if self.index_heads else 0.0
        return self.attended(context_tokens) * self.head_dim * element_bytes + index

    def _compressor_columns(self, width: int) -> int:
        """Return the columns of keys and gates; the overlapping compressor (ratio 4) makes two of each."""
        if not self.ratio:
            return 0
        return 2 * width * (2 if self.ratio == 4 else 1)

    def _state_bytes(self, width: int) -> float:
        """Return the compressor's FP32 state: keys and gates of the tokens not merged yet."""
        return 2 * self.ratio * (2 if self.ratio == 4 else 1) * width * 4


class RecurrentMixer(msgspec.Struct, frozen=True, kw_only=True):
    """Linear attention and state-space layers: a state of fixed size, whatever the length."""

    weights: int
    """Weights of its matrices."""
    state_bytes: int
    """State of one sequence, convolution included; divided by ``tp``."""
    flops_per_token: int
    """Arithmetic on the state for one token."""
    heads: int
    small_params: int = 0

    @property
    def pair_flops(self) -> int:
        """Floating-point operations for one token, which meets the state alone."""
        return self.flops_per_token

    def matrix_params(self, hidden: int) -> int:  # noqa: ARG002 - alike for all kinds
        """Count the weights of its matrices."""
        return self.weights

    def part_params(self, hidden: int) -> dict[str, int]:  # noqa: ARG002
        """Count the weights of projections that some formats store apart: there are none of those here."""
        return {}

    def attended(self, context_tokens: int) -> int:
        """Count what a token looks at: the state."""
        return min(context_tokens, 1)

    def cache_bytes(self, seq_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes that a sequence takes on one GPU."""
        return self.state_bytes / tp

    def read_bytes(self, context_tokens: int, element_bytes: float, tp: int) -> float:  # noqa: ARG002
        """Return the bytes that one GPU moves for the next token: the state is read and written."""
        return 2 * self.state_bytes / tp


Mixer = GroupedAttention | LatentAttention | CompressedAttention | RecurrentMixer
