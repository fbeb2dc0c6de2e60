"""How much a model is to think: one meaning, read from every form that clients use and written in a target's own.

``thinking`` and ``reasoning_effort`` are DeepSeek's and OpenAI's, ``enable_thinking`` and ``thinking_budget`` those of
Qwen's hosts, ``chat_template_kwargs`` goes to a template in vLLM, SGLang and llama.cpp, ``reasoning`` is OpenRouter's.
What a target has no word for becomes the nearest it has; nothing is sent that the client did not ask.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.wire.form import ThinkingForm

FIELDS = frozenset(
    {
        "thinking",
        "reasoning_effort",
        "enable_thinking",
        "thinking_budget",
        "chat_template_kwargs",
        "reasoning",
    }
)
"""Fields of a chat request that may say something of thinking."""
RETIRED = {"deepseek-chat": False, "deepseek-reasoner": True}
"""Names of 2025 that chose by themselves whether the model thought; thinking is on by default where they lead now."""
_IN_TEMPLATES = ("thinking", "enable_thinking", "reasoning_effort", "thinking_budget")


class Effort(enum.StrEnum):
    """How much to think."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants; ``None`` where it says nothing of it."""

    is_on: bool | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None


_EFFORTS = {
    "minimal": Effort.LOW,
    "low": Effort.LOW,
    "medium": Effort.MEDIUM,
    "high": Effort.HIGH,
    "xhigh": Effort.MAX,
    "max": Effort.MAX,
}
_OFF_WORDS = ("none", "off", "disabled")
# DeepSeek has no medium; its own table (thinking_mode, 2026-10) makes high of it.
_DEEPSEEK = {Effort.LOW: "low", Effort.MEDIUM: "high", Effort.HIGH: "high", Effort.MAX: "max"}
_OPENAI = {Effort.LOW: "low", Effort.MEDIUM: "medium", Effort.HIGH: "high", Effort.MAX: "high"}
_OPENROUTER = {**_OPENAI, Effort.MAX: "xhigh"}

_decode = msgspec.json.Decoder().decode


def read_thinking(fields: Mapping[str, msgspec.Raw], model: str = "") -> Thinking | None:
    """Return what a request says of thinking, by its fields or by a retired ``model`` name; ``None`` if nothing."""
    found: dict[str, Any] = {}
    for name in FIELDS:
        if name in fields:
            try:
                found[name] = _decode(fields[name])
            except (msgspec.DecodeError, RecursionError):
                return None  # what is wrong with it is the target's to say
    template = found.get("chat_template_kwargs")
    if isinstance(template, dict):
        found = {**{name: template[name] for name in _IN_TEMPLATES if name in template}, **found}
    router = found.get("reasoning")
    own = found.get("thinking")
    if not isinstance(router, dict):
        router = {}
    switch = own if isinstance(own, dict) else {"type": own}
    effort_word = _first(str, found.get("reasoning_effort"), router.get("effort"))
    budget = _first(int, switch.get("budget_tokens"), found.get("thinking_budget"), router.get("max_tokens"))
    effort = _EFFORTS.get(effort_word or "")
    is_on = _switch(switch.get("type"), found.get("enable_thinking"), router.get("enabled"))
    if is_on is None and effort_word in _OFF_WORDS:
        is_on = False
    if is_on is None:
        is_on = True if effort is not None or budget else RETIRED.get(model)
    if is_on is None:
        return None
    return Thinking(is_on=is_on, effort=effort if is_on else None, budget_tokens=(budget or None) if is_on else None)


def write_thinking(
    thinking: Thinking, form: ThinkingForm, fields: Mapping[str, msgspec.Raw]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that say it in ``form``, and the names of those of the client that are to go."""
    said = _said(thinking, form, fields)
    gone = [name for name in FIELDS if name in fields and name not in said]
    if "chat_template_kwargs" in gone:
        rest = _rest_of_template(fields)
        if rest:
            gone.remove("chat_template_kwargs")
            said["chat_template_kwargs"] = rest
    return said, gone


def _said(thinking: Thinking, form: ThinkingForm, fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    is_on, effort, budget = bool(thinking.is_on), thinking.effort, thinking.budget_tokens
    match form:
        case ThinkingForm.DEEPSEEK:
            switch = {"thinking": {"type": "enabled" if is_on else "disabled"}}
            return switch if effort is None else {**switch, "reasoning_effort": _DEEPSEEK[effort]}
        case ThinkingForm.TYPE:
            return {"thinking": {"type": "enabled" if is_on else "disabled"}}
        case ThinkingForm.ENABLE_THINKING:
            return (
                {"enable_thinking": is_on} if budget is None else {"enable_thinking": is_on, "thinking_budget": budget}
            )
        case ThinkingForm.CHAT_TEMPLATE_KWARGS:
            kwargs = {**_rest_of_template(fields), "thinking": is_on, "enable_thinking": is_on}
            if effort is None:
                return {"chat_template_kwargs": kwargs}
            return {"chat_template_kwargs": kwargs, "reasoning_effort": _OPENAI[effort]}
        case ThinkingForm.REASONING_EFFORT:
            return {"reasoning_effort": _OPENAI[effort or Effort.MEDIUM] if is_on else "none"}
        case ThinkingForm.OPENROUTER:
            return {"reasoning": _router(is_on, effort, budget, fields)}
        case _:
            raise ValueError(f"{form} has no form of its own")


def _router(
    is_on: bool, effort: Effort | None, budget: int | None, fields: Mapping[str, msgspec.Raw]
) -> dict[str, Any]:
    """Return OpenRouter's object: effort and a budget exclude each other there."""
    before = _decode(fields["reasoning"]) if "reasoning" in fields else None
    kept = {"exclude": before["exclude"]} if isinstance(before, dict) and "exclude" in before else {}
    if not is_on:
        return {**kept, "enabled": False}
    if effort is not None:
        return {**kept, "effort": _OPENROUTER[effort]}
    return {**kept, "enabled": True} if budget is None else {**kept, "max_tokens": budget}


def _rest_of_template(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Return what the client gives the template beside what it says of thinking."""
    kwargs = _decode(fields["chat_template_kwargs"]) if "chat_template_kwargs" in fields else None
    return (
        {name: value for name, value in kwargs.items() if name not in _IN_TEMPLATES} if isinstance(kwargs, dict) else {}
    )


def _switch(*values: Any) -> bool | None:
    """Return the first value that switches thinking on or off."""
    for value in values:
        if isinstance(value, bool):
            return value
        if value in ("enabled", "adaptive", "auto"):
            return True
        if value == "disabled":
            return False
    return None


def _first(kind: type, *values: Any) -> Any:
    return next((value for value in values if isinstance(value, kind) and not isinstance(value, bool)), None)
