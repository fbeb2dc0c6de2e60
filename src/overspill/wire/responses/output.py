"""The items of a response while they are being written: thoughts, messages, calls.

Each tells the events that it is made of; what it is in the end is the last of them, and what a whole body has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from overspill.wire.responses.events import Said
from overspill.wire.responses.freeform import FreeformInput
from overspill.wire.responses.packed import Packed, pack
from overspill.wire.responses.tools import Tool, ToolKind


class Item(Protocol):
    """One item of the output."""

    def end(self, status: str) -> list[Said]:
        """End it, once: as ``completed`` or ``incomplete``."""
        ...

    def shown(self, status: str) -> dict[str, Any]:
        """Return the item as it is now."""
        ...


class _Numbered:
    """What every item has: its id and its place in the output."""

    __slots__ = ("index", "item_id")

    def __init__(self, item_id: str, index: int) -> None:
        self.item_id = item_id
        self.index = index

    def _place(self, **fields: Any) -> dict[str, Any]:
        return {"item_id": self.item_id, "output_index": self.index, **fields}

    def _added(self, item: dict[str, Any]) -> Said:
        return "output_item.added", {"output_index": self.index, "item": item}

    def _done(self, item: dict[str, Any]) -> Said:
        return "output_item.done", {"output_index": self.index, "item": item}


class Thought(_Numbered):
    """A thought, shown as its own summary: the one form of it that all clients show and the specification has."""

    __slots__ = ("_is_packed", "_pieces")

    def __init__(self, item_id: str, index: int, *, is_packed: bool) -> None:
        super().__init__(item_id, index)
        self._is_packed = is_packed
        self._pieces: list[str] = []

    def begin(self) -> list[Said]:
        """Begin it."""
        part = {"type": "summary_text", "text": ""}
        place = self._place(summary_index=0, part=part)
        return [self._added(self.shown("in_progress")), ("reasoning_summary_part.added", place)]

    def add(self, text: str) -> list[Said]:
        """Go on with it."""
        self._pieces.append(text)
        return [self.delta(text)]

    def delta(self, text: str) -> Said:
        """Return the event that more of it is."""
        return "reasoning_summary_text.delta", self._place(summary_index=0, delta=text)

    def keep(self, text: str) -> None:
        """Take more of it whose event has been written."""
        self._pieces.append(text)

    def end(self, status: str) -> list[Said]:
        """See ``Item``."""
        text = "".join(self._pieces)
        part = {"type": "summary_text", "text": text}
        return [
            ("reasoning_summary_text.done", self._place(summary_index=0, text=text)),
            ("reasoning_summary_part.done", self._place(summary_index=0, part=part)),
            self._done(self.shown(status)),
        ]

    def shown(self, status: str) -> dict[str, Any]:
        """See ``Item``."""
        text = "".join(self._pieces)
        summary = [{"type": "summary_text", "text": text}] if text else []
        item = {"id": self.item_id, "type": "reasoning", "status": status, "summary": summary}
        if self._is_packed and text:
            item["encrypted_content"] = pack(Packed.THOUGHT, text)
        return item


class Message(_Numbered):
    """A text, a refusal, or both."""

    __slots__ = ("_logprobs", "_parts", "_pieces")

    def __init__(self, item_id: str, index: int) -> None:
        super().__init__(item_id, index)
        self._parts: list[dict[str, Any]] = []
        self._pieces: list[str] = []
        """Of the last part."""
        self._logprobs: list[dict[str, Any]] = []

    def begin(self) -> list[Said]:
        """Begin it."""
        return [self._added(self.shown("in_progress"))]

    def add(self, text: str, logprobs: list[dict[str, Any]]) -> list[Said]:
        """Go on with the text."""
        said = self._turn_to({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        self._pieces.append(text)
        self._logprobs += logprobs
        said.append(self.delta(text, logprobs))
        return said

    def delta(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Said:
        """Return the event that more of the text is."""
        return "output_text.delta", self._place(content_index=len(self._parts) - 1, delta=text, logprobs=logprobs)

    def keep(self, text: str) -> None:
        """Take more of the text whose event has been written."""
        self._pieces.append(text)

    def refuse(self, text: str) -> list[Said]:
        """Go on with the refusal."""
        said = self._turn_to({"type": "refusal", "refusal": ""})
        self._pieces.append(text)
        said.append(("refusal.delta", self._place(content_index=len(self._parts) - 1, delta=text)))
        return said

    def end(self, status: str) -> list[Said]:
        """See ``Item``."""
        return [*self._end_part(), self._done(self.shown(status))]

    def shown(self, status: str) -> dict[str, Any]:
        """See ``Item``."""
        self._collect()
        content = [dict(part) for part in self._parts]
        return {"id": self.item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _turn_to(self, part: dict[str, Any]) -> list[Said]:
        """Begin this part, unless it is the one that goes on."""
        if self._parts and self._parts[-1]["type"] == part["type"]:
            return []
        said = self._end_part()
        said.append(("content_part.added", self._place(content_index=len(self._parts), part=dict(part))))
        self._parts.append(part)
        return said

    def _end_part(self) -> list[Said]:
        if not self._parts:
            return []
        self._collect()
        part = self._parts[-1]
        place = self._place(content_index=len(self._parts) - 1)
        if part["type"] == "refusal":
            done: Said = ("refusal.done", {**place, "refusal": part["refusal"]})
        else:
            done = ("output_text.done", {**place, "text": part["text"], "logprobs": part["logprobs"]})
        return [done, ("content_part.done", {**place, "part": dict(part)})]

    def _collect(self) -> None:
        if not self._pieces:
            return
        part = self._parts[-1]
        name = "refusal" if part["type"] == "refusal" else "text"
        part[name] += "".join(self._pieces)
        if self._logprobs:
            part["logprobs"] = [*part["logprobs"], *self._logprobs]
        self._pieces, self._logprobs = [], []


class FunctionCall(_Numbered):
    """A call of a function."""

    __slots__ = ("_arguments", "_call_id", "_tool")

    def __init__(self, item_id: str, index: int, call_id: str, tool: Tool) -> None:
        super().__init__(item_id, index)
        self._call_id = call_id
        self._tool = tool
        self._arguments: list[str] = []

    def begin(self) -> list[Said]:
        """Begin it."""
        return [self._added(self.shown("in_progress"))]

    def add(self, arguments: str) -> list[Said]:
        """Go on with its arguments."""
        self._arguments.append(arguments)
        return [("function_call_arguments.delta", self._place(delta=arguments))]

    def end(self, status: str) -> list[Said]:
        """See ``Item``."""
        place = self._place(name=self._tool.name, arguments="".join(self._arguments))
        return [("function_call_arguments.done", place), self._done(self.shown(status))]

    def shown(self, status: str) -> dict[str, Any]:
        """See ``Item``."""
        return {
            "id": self.item_id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            **named(self._tool),
            "arguments": "".join(self._arguments),
        }


class CustomCall(_Numbered):
    """A call of a custom tool."""

    __slots__ = ("_call_id", "_input", "_text", "_tool")

    def __init__(self, item_id: str, index: int, call_id: str, tool: Tool) -> None:
        super().__init__(item_id, index)
        self._call_id = call_id
        self._tool = tool
        self._input = FreeformInput()
        self._text: list[str] = []

    def begin(self) -> list[Said]:
        """Begin it."""
        return [self._added(self.shown("in_progress"))]

    def add(self, arguments: str) -> list[Said]:
        """Go on with its input."""
        return self._say(self._input.add(arguments))

    def end(self, status: str) -> list[Said]:
        """See ``Item``."""
        said = self._say(self._input.finish())
        done = self._place(input="".join(self._text))
        return [*said, ("custom_tool_call_input.done", done), self._done(self.shown(status))]

    def shown(self, status: str) -> dict[str, Any]:
        """See ``Item``."""
        text = "".join(self._text)
        item = {"id": self.item_id, "type": "custom_tool_call", "status": status, "call_id": self._call_id}
        return {**item, **named(self._tool), "input": text}

    def _say(self, text: str) -> list[Said]:
        if not text:
            return []
        self._text.append(text)
        return [("custom_tool_call_input.delta", self._place(delta=text))]


Call = FunctionCall | CustomCall


def new_call(item_id: str, index: int, call_id: str, tool: Tool) -> Call:
    """Return the item that a call of this tool is."""
    kind = FunctionCall if tool.kind is ToolKind.FUNCTION else CustomCall
    return kind(item_id, index, call_id, tool)


def named(tool: Tool) -> dict[str, Any]:
    """Return the fields that name a tool."""
    return {"name": tool.name} if tool.namespace is None else {"name": tool.name, "namespace": tool.namespace}
