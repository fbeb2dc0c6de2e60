"""Token counts as Responses show them."""

from __future__ import annotations

from typing import Any

from overspill.wire.answers import Usage


def shown_usage(usage: Usage | None) -> dict[str, Any] | None:
    """Show the counts; one that no target told is 0, because the types have no place for what is not known."""
    if usage is None:
        return None
    prompt, output = usage.prompt_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": prompt + output,
    }
