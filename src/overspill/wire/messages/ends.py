"""How an answer ends, in both forms: stop reasons, counts of tokens, errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Anthropic's stop reason → chat's."""
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_STATUS_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TYPES = frozenset({*_STATUS_TYPES.values(), "api_error"})
_CODE_TYPES = {
    "invalid_api_key": "authentication_error",
    "model_not_found": "not_found_error",
    "rate_limit_exceeded": "rate_limit_error",
    "budget_exceeded": "rate_limit_error",
    "model_not_allowed": "permission_error",
    "unknown_path": "not_found_error",
}
_TOO_LONG = "prompt is too long"
"""Anthropic's words, by which clients know that they must shorten their history."""
_MAX_COUNT = 2**53


def stop_of(choice: dict[str, Any], *, has_calls: bool, stops: Collection[str]) -> tuple[str, str | None]:
    """Return the stop reason and the stop sequence that a choice of a chat answer stands for.

    vLLM tells the sequence as ``stop_reason``, SGLang as ``matched_stop``; OpenRouter the provider's own reason as
    ``native_finish_reason``, as ``MessagesReader`` does.
    """
    own = choice.get("native_finish_reason")
    told = (choice.get(name) for name in ("stop_reason", "matched_stop"))
    sequence = next((text for text in told if isinstance(text, str) and text in stops), None)
    finish_reason = choice.get("finish_reason")
    if isinstance(own, str) and own in FINISH_REASONS and FINISH_REASONS[own] == finish_reason:
        return own, sequence if own == "stop_sequence" else None
    if has_calls and finish_reason in (None, "stop"):  # some servers say "stop" behind their calls
        return "tool_use", None
    if sequence is not None and finish_reason == "stop":
        return "stop_sequence", sequence
    return _STOP_REASONS.get(str(finish_reason), "end_turn"), None


def finish_of(stop_reason: Any, stop_sequence: Any) -> dict[str, Any]:
    """Return the fields of a chat choice that tell how an answer of Anthropic's ended."""
    if not isinstance(stop_reason, str):
        return {"finish_reason": "stop"}
    found = {"finish_reason": FINISH_REASONS.get(stop_reason, "stop"), "native_finish_reason": stop_reason}
    if isinstance(stop_sequence, str):
        found["stop_reason"] = stop_sequence
    return found


def count(value: Any) -> int | None:
    """Take a count only if it can be one."""
    return value if type(value) is int and 0 <= value < _MAX_COUNT else None


def _within(usage: dict[str, Any], place: str, name: str) -> int | None:
    details = usage.get(place)
    return count(details.get(name)) if isinstance(details, dict) else None


def to_messages_usage(usage: dict[str, Any], *, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Write a chat answer's usage in Anthropic's form, where what is cached is no part of the input.

    The two arguments stand in for what the target did not report.
    """
    prompt = count(usage.get("prompt_tokens"))
    cached = _within(usage, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = count(usage.get("prompt_cache_hit_tokens")) or 0  # DeepSeek's name
    written = _within(usage, "prompt_tokens_details", "cache_write_tokens") or 0
    output = count(usage.get("completion_tokens"))
    found: dict[str, Any] = {
        "input_tokens": input_tokens if prompt is None else max(0, prompt - cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": output_tokens if output is None else output,
    }
    thinking = _within(usage, "completion_tokens_details", "reasoning_tokens")
    if thinking is not None:
        found["output_tokens_details"] = {"thinking_tokens": thinking}
    return found


def to_chat_usage(usage: dict[str, Any]) -> dict[str, Any] | None:
    """Write Anthropic's usage in chat's form; ``None`` if it has neither input nor output.

    ``cache_write_tokens`` is OpenRouter's name for what was written to the cache, which costs more than input does.
    """
    fresh, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if fresh is None or output is None:
        return None
    cached = count(usage.get("cache_read_input_tokens")) or 0
    written = count(usage.get("cache_creation_input_tokens")) or 0
    prompt = fresh + cached + written
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }
    thinking = _within(usage, "output_tokens_details", "thinking_tokens")
    if thinking is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": thinking}
    return found


def error_type(status: int | None, kind: str, code: str | None) -> str:
    """Return Anthropic's type of an error; ``status`` is ``None`` within a stream that has begun."""
    if status is None:
        known = _CODE_TYPES.get(code or "")
        return known or (kind if kind in _TYPES else "api_error")
    if status in _STATUS_TYPES:
        return _STATUS_TYPES[status]
    return "invalid_request_error" if status < 500 else "api_error"


def error_body(
    message: str,
    *,
    kind: str,
    status: int | None = None,
    code: str | None = None,
    param: str | None = None,
    request_id: str | None = None,
) -> bytes:
    """Write an error in Anthropic's form; ``code`` and ``param`` are beside it, for who wants to know exactly."""
    if code == "context_length_exceeded" and _TOO_LONG not in message:
        message = f"{_TOO_LONG}: {message}"
    error: dict[str, Any] = {"type": error_type(status, kind, code), "message": message}
    if code is not None:
        error["code"] = code
    if param is not None:
        error["param"] = param
    return msgspec.json.encode({"type": "error", "error": error, "request_id": request_id})
