"""What a response repeats of its request: every field that OpenAI's and the Open Responses specification's types want.

What the client left out is shown with the value that the specification gives it; nothing is ever kept here, so
``store`` is always false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_NULL = b"null"
_DEFAULTS: dict[str, Any] = {
    "background": False,
    "frequency_penalty": 0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "disabled",
    "user": None,
}


def repeat(asked: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Return the fields, ready to be encoded."""
    shown = dict(_DEFAULTS)
    shown.update({name: asked[name] for name in _DEFAULTS if _is_given(asked, name)})
    if _is_given(asked, "service_tier") and bytes(asked["service_tier"]) == b'"auto"':
        shown["service_tier"] = "default"
    shown["store"] = False
    shown["reasoning"] = {"effort": None, "summary": None, **_object(asked, "reasoning")}
    text = _object(asked, "text")
    shown["text"] = {**text, "format": _format(text.get("format"))}
    tools = msgspec.json.decode(asked["tools"]) if _is_given(asked, "tools") else []
    shown["tools"] = [_tool(tool) for tool in tools]
    return shown


def _is_given(asked: Mapping[str, msgspec.Raw], name: str) -> bool:
    return name in asked and bytes(asked[name]) != _NULL


def _object(asked: Mapping[str, msgspec.Raw], name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(asked[name]) if _is_given(asked, name) else {}
    return found


def _format(form: dict[str, Any] | None) -> dict[str, Any]:
    if form is None:
        return {"type": "text"}
    if form["type"] != "json_schema":
        return form
    shown = {"description": None, "strict": False, **form}
    shown["strict"] = bool(shown["strict"])
    return shown


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """Show a function's fields even where the client left them out."""
    if tool["type"] == "function":
        return {"description": None, "parameters": None, "strict": None, **tool}
    return tool
