"""In which of the forms of chat a target wants to be asked, and says its thoughts: what adapters and files declare.

Chat Completions is one dialect in name only. What differs most is thinking: how it is switched, where it comes out, and
whether the thoughts of earlier turns must, may or must not be in the history. ``gateway.asking`` writes each request in
the form of its target; ``wire.reasoning`` reads each answer out of it.
"""

from __future__ import annotations

import enum
import re

import msgspec


class ReasoningForm(enum.StrEnum):
    """Where a target puts its thoughts, or where a client wants them."""

    AUTO = "auto"  # look at the beginning of each answer
    REASONING_CONTENT = "reasoning_content"  # DeepSeek, llama.cpp, SGLang: the normal form
    REASONING = "reasoning"  # OpenRouter, Ollama, vLLM since 0.11
    THINKING = "thinking"
    THINK = "think"  # in the content, between <think> and </think>
    THINK_OPEN = "think_open"  # likewise, but the prompt has the first tag, so that only the second one comes
    NONE = "none"  # nowhere


SHOWN = ("reasoning_content", "reasoning", "thinking", "think", "none")
"""The forms that a client may ask for."""


class History(enum.StrEnum):
    """What becomes of the thoughts of earlier turns."""

    AUTO = "auto"  # by the model's name: see ``rule_for``
    AS_IS = "as_is"  # they go out as the client sent them
    KEEP = "keep"  # each that is known, also where the client has dropped it
    KEEP_WITH_TOOLS = "keep_with_tools"  # every turn with calls of tools must have one, even if it is empty
    STRIP = "strip"  # none goes out: it refuses them, or would only pay for them


class ThinkingForm(enum.StrEnum):
    """By which fields a target is told whether, and how much, to think."""

    NONE = "none"  # nothing is known: they go out as the client wrote them
    DEEPSEEK = "deepseek"  # thinking: {type}, reasoning_effort: low | high | max
    TYPE = "type"  # thinking: {type} alone
    ENABLE_THINKING = "enable_thinking"  # enable_thinking, thinking_budget
    CHAT_TEMPLATE_KWARGS = "chat_template_kwargs"  # what the template reads: thinking, enable_thinking
    REASONING_EFFORT = "reasoning_effort"  # none | low | medium | high
    OPENROUTER = "openrouter"  # reasoning: {enabled, effort, max_tokens}


class ChatForm(msgspec.Struct, frozen=True, kw_only=True):
    """The form of one target."""

    reasoning: ReasoningForm = ReasoningForm.AUTO
    history: History = History.AUTO
    thinking: ThinkingForm = ThinkingForm.NONE
    reasoning_field: str = "reasoning_content"
    """The field of an earlier turn that it reads a thought from."""
    takes_details: bool = False
    """True if it reads ``reasoning_details``, with the signatures of its thoughts."""
    user_field: str | None = "user"
    """The field that tells it one user from another; ``None`` if it has none."""
    system_first: bool = False
    """True if its chat templates may refuse a system message behind the first turn."""
    is_guided: bool = False
    """True for vLLM, whose versions call the other bounds of an answer ``guided_…`` or ``structured_outputs``."""
    needs_json_schema: bool = False
    """True if it does not know ``json_object``: then a schema that any object follows says the same."""


# As written by all hosts: "deepseek-ai/DeepSeek-V3.2", "deepseek-v4p1-flash", "DeepSeek-R1-Distill-Qwen-7B-GGUF".
_WITH_TOOLS = re.compile(r"deepseek[-_./]?(?:v3[._p-]?2(?!\d)|v[4-9]|flash|pro|chat)", re.IGNORECASE)
_WITHOUT = re.compile(r"deepseek[-_./]?(?:r1|reasoner)|r1[-_]distill|\bqwq\b", re.IGNORECASE)


def rule_for(model: str) -> History:
    """Return what a model's maker says of its history: R1 and its distills read no thoughts; V3.2 and V4 must.

    Sources: api-docs.deepseek.com, guides/reasoning_model (2025-01) and guides/thinking_mode (2026-10). The names that
    were retired are those of V4 by now, on which thoughts are kept.
    """
    if model in ("deepseek-chat", "deepseek-reasoner"):
        return History.KEEP_WITH_TOOLS
    if _WITHOUT.search(model):
        return History.STRIP
    return History.KEEP_WITH_TOOLS if _WITH_TOOLS.search(model) else History.AS_IS
