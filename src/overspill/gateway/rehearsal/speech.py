"""What a rehearsal engine says: counted tokens, or what a script has it say.

Token i (from 0) of a counted answer is the text `` t{i}``, so a lost, repeated or reordered token shows in the text
alone. A script has words instead: a thought, a call of a tool that the request offers, the answer that follows its
result. So an application that works with tools runs against it without a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from overspill.errors import WireError
from overspill.wire.request import Request

TOOL_NAME = "rehearse"
_TOOL_HEAD = '{"text":"'
_TOOL_END = '"}'
_WORDS = re.compile(r"\s*(?:[\u3000-\u9fff]|[^\s\u3000-\u9fff]+)(?:\s+\Z)?")
_RESULT = "{result}"
_NOT_BACK = "The `reasoning_content` in the thinking mode must be passed back to the API."
"""DeepSeek's words, as reported in opencode#24722 and elsewhere."""


def text_of(tokens: int, first: int = 0) -> str:
    """Return the text of the tokens from ``first`` up to ``tokens`` of any counted answer."""
    return "".join(f" t{index}" for index in range(first, tokens))


def tool_arguments(tokens: int, first: int = 0) -> str:
    """Return the arguments of the tool call that those tokens are, where the request has tools."""
    return _TOOL_HEAD + text_of(tokens, first) + _TOOL_END


class ScriptedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool."""

    name: str
    arguments: dict[str, Any] = {}


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to say to every request."""

    answer: Annotated[str, msgspec.Meta(min_length=1)]
    """``{result}`` in it stands for what the last tool returned."""
    reasoning: str = ""
    """Thought before each answer and each call."""
    calls: tuple[ScriptedCall, ...] = ()
    """Made one after another, each once its predecessor's result is there; one that is not offered is left out."""
    demands_reasoning: bool = False
    """Refuse a history whose tool calls have lost their ``reasoning_content``, as DeepSeek does."""


class Speech:
    """All of one answer, in tokens: first the thought, then the content or one call of a tool."""

    __slots__ = ("call_end", "call_head", "reasoning", "tool")

    def __init__(self, reasoning: int, tool: str | None, *, call_head: str = "", call_end: str = "") -> None:
        self.reasoning = reasoning
        """Tokens of the thought."""
        self.tool = tool
        """Name of the tool that is called."""
        self.call_head = call_head
        self.call_end = call_end

    @property
    def length(self) -> int | None:
        """How many tokens it has; ``None`` if as many as are asked for."""
        return None

    def token(self, index: int) -> bytes:
        """Return a token as a part of a JSON string."""
        return b" t%d" % index

    def text(self, tokens: int, first: int = 0) -> str:
        """Return the text of the tokens from ``first`` up to ``tokens``."""
        return text_of(tokens, first)

    def arguments(self, tokens: int, first: int = 0) -> str:
        """Return the call's arguments that those tokens are."""
        return self.call_head + self.text(tokens, first) + self.call_end


class Counted(Speech):
    """Tokens that tell their own number; with tools all behind the thought are the one argument of a call."""

    __slots__ = ()

    def __init__(self, request: Request, *, is_chat: bool, reasoning: int) -> None:
        tool = TOOL_NAME if is_chat and request.has_tools else None
        super().__init__(reasoning if is_chat else 0, tool, call_head=_TOOL_HEAD, call_end=_TOOL_END)


class Scripted(Speech):
    """What a script says to one request; ``WireError`` where it refuses it."""

    __slots__ = ("_words",)

    def __init__(self, script: Script, request: Request, *, is_chat: bool) -> None:
        messages = _messages(request) if is_chat else []
        if script.demands_reasoning and any(map(_has_lost_its_thought, messages)):
            raise WireError(_NOT_BACK, param="messages")
        thought = words_of(script.reasoning) if is_chat else []
        call = _call(script, request, messages) if is_chat else None
        super().__init__(len(thought), None if call is None else call.name)
        if call is None:
            said = script.answer.replace(_RESULT, _last_result(messages))
        else:
            said = msgspec.json.encode(call.arguments).decode()
        self._words = [*thought, *words_of(said)]

    @property
    def length(self) -> int | None:
        """How many words."""
        return len(self._words)

    def token(self, index: int) -> bytes:
        """Return a word as a part of a JSON string; behind the last one there is nothing."""
        return msgspec.json.encode(self.text(index + 1, index))[1:-1]

    def text(self, tokens: int, first: int = 0) -> str:
        """Return the words from ``first`` up to ``tokens``."""
        return "".join(self._words[first:tokens])


def words_of(text: str) -> list[str]:
    """Split a text into tokens that make it up again: words with the space before them, and Chinese characters."""
    return _WORDS.findall(text) or [text]


def _messages(request: Request) -> list[dict[str, Any]]:
    return msgspec.json.decode(request.fields["messages"], type=list[dict[str, Any]])


def _has_lost_its_thought(message: dict[str, Any]) -> bool:
    return bool(message.get("tool_calls")) and message.get("reasoning_content") is None


def _call(script: Script, request: Request, messages: Sequence[dict[str, Any]]) -> ScriptedCall | None:
    """Return the call that is due: one for each turn of tools since the user spoke."""
    if not request.has_tools:
        return None
    tools = msgspec.json.decode(request.fields["tools"], type=list[dict[str, Any]])
    offered = {tool["function"]["name"] for tool in tools if "function" in tool}
    due = [call for call in script.calls if call.name in offered]
    last_user = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=0)
    made = sum(bool(message.get("tool_calls")) for message in messages[last_user:])
    return due[made] if made < len(due) else None


def _last_result(messages: Sequence[dict[str, Any]]) -> str:
    results = [message for message in messages if message.get("role") == "tool"]
    content = results[-1].get("content") if results else ""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
