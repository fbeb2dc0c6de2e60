"""What an engine is, as the model of continuous batching sees it, and what it tells of a request: values.

Apart from ``batching``, which works with them and can be compiled.
"""

from __future__ import annotations

import msgspec


class EngineModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scalars that say how fast one engine is and how much it holds."""

    slots: int
    """Requests it runs at once, 1 or more."""
    step_base_s: float
    """What any step costs: reading the weights once, launching kernels. More than 0."""
    step_s_per_running: float = 0.0
    prefill_s_per_token: float = 0.0
    prefill_chunk_tokens: int = 2048
    """Prompt tokens of one step, over all requests."""
    kv_capacity_tokens: int | None = None
    """Tokens that the KV cache holds over all requests; ``None`` is enough for every slot."""
    context_tokens: int | None = None
    """Prompt and answer of one request; ``None`` is no limit but the KV cache."""

    def __post_init__(self) -> None:
        whole = (self.slots, self.prefill_chunk_tokens, self.kv_capacity_tokens, self.context_tokens)
        if any(count is not None and count < 1 for count in whole):
            raise ValueError("slots, prefill_chunk_tokens, kv_capacity_tokens and context_tokens must be 1 or more")
        if self.step_base_s <= 0:
            raise ValueError(f"step_base_s must be more than 0, not {self.step_base_s}: time would stand still")
        if self.step_s_per_running < 0 or self.prefill_s_per_token < 0:
            raise ValueError("step_s_per_running and prefill_s_per_token must not be negative")

    def answer_tokens(self, prompt_tokens: int, output_tokens: int) -> int:
        """Return how many of the wanted tokens fit beside the prompt; 0 if the prompt alone is too long."""
        room, capacity = self.context_tokens, self.kv_capacity_tokens
        if room is None or (capacity is not None and capacity < room):
            room = capacity
        if room is None or output_tokens <= room - prompt_tokens:
            return output_tokens
        return max(0, room - prompt_tokens)


class BatchEvent(msgspec.Struct, frozen=True, gc=False):
    """A request got its first token, or its last (a request of one token has both at the same time)."""

    at_s: float
    request_id: int
    is_last: bool
