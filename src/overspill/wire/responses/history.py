"""The items of a conversation, read into the messages of a chat.

What one answer said comes as several items: a thought, a text, calls. In a chat they are one message, so they are put
together again: whatever the assistant said between two things of somebody else's. Texts that are messages of their own
stay so, unless a call stands between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from overspill.wire.responses.fields import Fields, bad, missing, unknown_value, unsupported, wrong_type
from overspill.wire.responses.ids import answer_of
from overspill.wire.responses.packed import Packed, unpack
from overspill.wire.responses.parts import read_content
from overspill.wire.responses.tools import INPUT, Toolbox

_ROLES = ("user", "assistant", "system", "developer")
_PHASES = ("commentary", "final_answer")
_LEFT_OUT = frozenset(
    {
        "code_interpreter_call",
        "configuration_update",
        "file_search_call",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "tool_search_call",
        "web_search_call",
    }
)
"""What OpenAI's own tools did in earlier turns; what came of it is in the assistant's own words."""
_UNREADABLE = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_output",
    }
)
"""What the conversation would not be the same without, and a chat has no place for."""

_SUMMARY = "The conversation so far, in a summary that the assistant wrote to go on from:"


class History:
    """A chat's messages, as far as the items have been read."""

    __slots__ = ("_calls", "_images", "_messages", "_readers", "_toolbox", "_turn", "dropped", "native_only")

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._messages: list[dict[str, Any]] = []
        self._turn: _Turn | None = None
        self._images: list[dict[str, Any]] = []
        """Parts of tools' outputs that are no text; a message of a tool has no place for them."""
        self._calls: set[str] = set()
        self.dropped: set[str] = set()
        self.native_only: list[str] = []
        """The items that only OpenAI's own API can read, in words."""
        self._readers: dict[str, Callable[[Fields], None]] = {
            "message": self._message,
            "reasoning": self._reasoning,
            "compaction": self._compaction,
            "function_call": self._function_call,
            "custom_tool_call": self._custom_call,
            "function_call_output": self._output,
            "custom_tool_call_output": self._output,
        }

    def say(self, text: str) -> None:
        """Take the request's instructions."""
        self._messages.append({"role": "system", "content": text})

    def add(self, item: Fields) -> None:
        """Take the next item."""
        kind = item.optional_text("type") or ("message" if "role" in item.values else item.text("type"))
        read = self._readers.get(kind)
        if read is not None:
            read(item)
        elif kind in _LEFT_OUT:
            self.dropped.add(f"input.{kind}")
        elif kind in _UNREADABLE:
            self._cannot_read(item, kind)
        elif kind == "item_reference":
            raise unsupported(
                item.at("type"),
                "refers to an item kept on a server, but this gateway keeps none; send the item itself.",
            )
        else:
            raise unknown_value(item.at("type"), kind, tuple(self._readers))

    def finish(self) -> list[dict[str, Any]]:
        """Return the messages. Those of the system before all others are one: many chat templates take no second."""
        self._end_turn()
        self._end_outputs()
        leading = 0
        while leading < len(self._messages) and self._messages[leading]["role"] == "system":
            leading += 1
        if leading > 1 and all(isinstance(message["content"], str) for message in self._messages[:leading]):
            text = "\n\n".join(message["content"] for message in self._messages[:leading])
            return [{"role": "system", "content": text}, *self._messages[leading:]]
        return self._messages

    # -- one item

    def _message(self, item: Fields) -> None:
        role = item.one_of("role", _ROLES)
        if role is None:
            raise missing(item.at("role"))
        content = read_content(item, "content")
        if role == "assistant":
            if item.one_of("phase", _PHASES) is not None:
                self.dropped.add("input.phase")
            if content.others:
                raise bad(
                    f"'{item.at('content')}' of the assistant can be texts and refusals only.",
                    item.at("content"),
                    "invalid_value",
                )
            self._say("".join(content.texts), "".join(content.refusals), answer_of(item.optional_text("id")))
            return
        self._end_turn()
        self._end_outputs()
        self._messages.append({"role": "user" if role == "user" else "system", "content": content.plain()})

    def _reasoning(self, item: Fields) -> None:
        packed = item.optional_text("encrypted_content")
        thought = None if packed is None else unpack(Packed.THOUGHT, packed)
        if thought is None:
            thought = _texts(item, "content") or _texts(item, "summary")
            if packed is not None and not thought:
                self.dropped.add("input.encrypted_content")
        self._own_turn().think(thought)

    def _compaction(self, item: Fields) -> None:
        summary = unpack(Packed.SUMMARY, item.text("encrypted_content"))
        if summary is None:
            self._cannot_read(item, "compaction")
            return
        self._end_turn()
        self._end_outputs()
        self._messages.append(summary_message(summary))

    def _cannot_read(self, item: Fields, kind: str) -> None:
        self.native_only.append(f"{item.at('type').removesuffix('.type')}, an item of type {kind!r}")

    def _function_call(self, item: Fields) -> None:
        self._call(item, item.text("arguments"))

    def _custom_call(self, item: Fields) -> None:
        self._call(item, msgspec.json.encode({INPUT: item.text("input")}).decode())

    def _call(self, item: Fields, arguments: str) -> None:
        call_id = item.name("call_id")
        name = self._toolbox.chat_name(item.optional_text("namespace"), item.name("name"))
        self._calls.add(call_id)
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self._own_turn().call(call)

    def _output(self, item: Fields) -> None:
        call_id = item.name("call_id")
        if call_id not in self._calls:
            message = f"'{item.at('call_id')}' is {call_id!r}, but no call before it has that id; send the call too."
            raise bad(message, item.at("call_id"), "invalid_value")
        content = read_content(item, "output")
        self._end_turn()
        text = "\n".join(content.texts)
        if content.others:
            text = f"{text}\n(attached below)" if text else "(attached below)"
            self._images += [{"type": "text", "text": f"Output of the tool call {call_id}:"}, *content.others]
        self._messages.append({"role": "tool", "tool_call_id": call_id, "content": text})

    # -- turns

    def _own_turn(self) -> _Turn:
        """Return what the assistant is saying."""
        if self._turn is None:
            self._end_outputs()
            self._turn = _Turn()
        return self._turn

    def _say(self, text: str, refusal: str, answer: str | None) -> None:
        turn = self._own_turn()
        if not turn.takes(answer):
            thought = turn.release()
            self._end_turn()
            turn = self._own_turn()
            if thought is not None:
                turn.think(thought)
        turn.say(text, refusal, answer)

    def _end_turn(self) -> None:
        if self._turn is not None:
            self._messages.append(self._turn.message())
            self._turn = None

    def _end_outputs(self) -> None:
        """Show what tools gave beside text, once all their messages are there: nothing may stand between those."""
        if self._images:
            self._messages.append({"role": "user", "content": self._images})
            self._images = []


class _Turn:
    """What the assistant said, put together."""

    __slots__ = ("_afterthought", "_answer", "_calls", "_refusal", "_text", "_thought")

    def __init__(self) -> None:
        self._thought: str | None = None
        self._afterthought: str | None = None
        """A thought behind a text: of the same message, or of the one that comes."""
        self._text: str | None = None
        self._refusal = ""
        self._answer: str | None = None
        """Of which answer the text was an item."""
        self._calls: list[dict[str, Any]] = []

    def think(self, thought: str) -> None:
        if self._text is None or self._calls:
            self._thought = (self._thought or "") + thought
        else:
            self._afterthought = (self._afterthought or "") + thought

    def takes(self, answer: str | None) -> bool:
        """Tell whether a text is a part of this message: the first, one of the same answer, or one behind a call."""
        return self._text is None or bool(self._calls) or (answer is not None and answer == self._answer)

    def say(self, text: str, refusal: str, answer: str | None) -> None:
        self._remember()
        is_apart = self._text and text and (answer is None or answer != self._answer)
        self._text = f"{self._text}\n\n{text}" if is_apart else (self._text or "") + text
        self._refusal += refusal
        self._answer = answer

    def call(self, call: dict[str, Any]) -> None:
        self._remember()
        self._calls.append(call)

    def release(self) -> str | None:
        """Give the thought away that belongs to the next message."""
        thought, self._afterthought = self._afterthought, None
        return thought

    def message(self) -> dict[str, Any]:
        self._remember()
        text: str | None = self._text or ""
        if not text and (self._calls or self._refusal):
            text = None
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if self._thought is not None:
            message["reasoning_content"] = self._thought
        if self._refusal:
            message["refusal"] = self._refusal
        if self._calls:
            message["tool_calls"] = self._calls
        return message

    def _remember(self) -> None:
        if self._afterthought is not None:
            self._thought = (self._thought or "") + self._afterthought
            self._afterthought = None


def summary_message(summary: str) -> dict[str, Any]:
    """Return the message that a compacted conversation is read as; it is the same in a chat and in Responses."""
    return {"role": "user", "content": f"{_SUMMARY}\n\n{summary}"}


def _texts(item: Fields, name: str) -> str:
    value = item.values.get(name)
    if isinstance(value, str):
        return value
    if value is not None and not isinstance(value, list):
        raise wrong_type(item.at(name), value, "an array of parts")
    return "".join(part.text("text") for part in item.objects(name))
