"""One example: a conversation that ends with the model's turn, and how a reply to it is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
"""As in OpenAI's chat API: ``role``, ``content``, and for the assistant ``reasoning_content`` and ``tool_calls``."""

ENGLISH, CHINESE = "en", "zh"
LANGUAGES = (ENGLISH, CHINESE)


@dataclass(frozen=True, slots=True)
class Expected:
    """How a reply is judged: ``kind`` is one of those that ``overspill eval`` knows, ``value`` what it must find."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt (``messages``, and ``tools`` if there are any), the model's turn, and what is expected of it."""

    task: str
    language: str
    messages: tuple[Message, ...]
    thought: str
    content: str
    expected: Expected
    calls: tuple[dict[str, Any], ...] = ()
    tools: tuple[dict[str, Any], ...] = field(default=())

    @property
    def question(self) -> str:
        """The last thing the user said."""
        return next(str(message["content"]) for message in reversed(self.messages) if message["role"] == "user")


def ask(text: str) -> tuple[Message, ...]:
    """Make a conversation of one question."""
    return ({"role": "user", "content": text},)
