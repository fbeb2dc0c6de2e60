"""The conversation of a Messages request as a chat: system prompt, turns, results of tools, thinking.

What chat cannot say is either left out, and named in ``dropped`` (a hint like ``cache_control``, what a server tool
left in the history), or makes the request one for native targets only (``native_only``): a file that the model must
see.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.messages.blocks import (
    Block,
    Turn,
    bad,
    decoded,
    is_absent,
    is_signed,
    needed,
    read_content,
    read_source,
    thought_in,
)

PARAGRAPH = "\n\n"
"""Stands between blocks of text: servers of chat differ in what they make of a list of texts, and some take none."""
THINKING_FORMAT = "anthropic-claude-v1"
"""OpenRouter's name of the form of ``reasoning_details`` that carries Claude's signatures."""
_LEFT_BY_SERVER_TOOLS = ("server_tool_use", "mcp_tool_use", "mcp_tool_result", "compaction", "fallback")
_ERROR_WORDS = 200

_decode_text = msgspec.json.Decoder(str).decode
_Part = dict[str, Any]
_Place = tuple[str, Block]


class Conversation:
    """Builds the ``messages`` of a chat request."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.dropped: dict[str, None] = {}
        self.native_only: dict[str, None] = {}
        """What only a target that speaks Messages can be given; in the order it came, each once."""

    def add_system(self, content: str | list[Block], path: str) -> None:
        """Take a system prompt; those before the first turn become one."""
        text = content if isinstance(content, str) else self._texts(content, path)
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == "system":
            last["content"] += PARAGRAPH + text
        elif text:
            self.messages.append({"role": "system", "content": text})

    def add_turns(self, turns: list[Turn]) -> None:
        """Take the messages; neighbours of one role are one turn, as Anthropic has it."""
        role = ""
        places: list[_Place] = []
        for number, turn in enumerate(turns):
            path = f"messages.{number}"
            if turn.role not in ("user", "assistant", "system"):
                raise bad(f"{path}.role", f"Input should be 'user', 'assistant' or 'system', not {turn.role[:40]!r}")
            if turn.role != role:
                self._add_turn(role, places)
                role, places = turn.role, []
            content = turn.content
            if isinstance(content, str):
                places.append((f"{path}.content", Block("text", text=content)))
            else:
                places += [(f"{path}.content.{index}", block) for index, block in enumerate(content)]
        self._add_turn(role, places)

    def _add_turn(self, role: str, places: list[_Place]) -> None:
        for _, block in places:
            if not is_absent(block.cache_control):
                self.dropped["cache_control"] = None
        if role == "user":
            self._add_user(places)
        elif role == "assistant":
            self._add_assistant(places)
        elif role == "system":
            text = PARAGRAPH.join(self._text(path, block) for path, block in places)
            self.add_system(text, "")

    def _texts(self, blocks: list[Block], path: str) -> str:
        texts = []
        for index, block in enumerate(blocks):
            if not is_absent(block.cache_control):
                self.dropped["cache_control"] = None
            texts.append(self._text(f"{path}.{index}", block))
        return PARAGRAPH.join(text for text in texts if text)

    def _text(self, path: str, block: Block) -> str:
        if block.type != "text":
            raise bad(f"{path}.type", f"Input should be 'text', not {block.type[:40]!r}")
        return needed(block.text, f"{path}.text")

    # -- what the user says

    def _add_user(self, places: list[_Place]) -> None:
        """Results of tools come first: a chat wants them right behind the calls."""
        shown: list[_Part] = []
        for path, block in places:
            if block.type == "tool_result":
                shown += self._add_result(path, block)
        for path, block in places:
            if block.type != "tool_result":
                shown += self._parts(path, block)
        if shown or not any(block.type == "tool_result" for _, block in places):
            self.messages.append({"role": "user", "content": _joined(shown)})

    def _add_result(self, path: str, block: Block) -> list[_Part]:
        """Take a tool's result; return what of it no chat can take from a tool, for the user to show."""
        call_id = needed(block.tool_use_id, f"{path}.tool_use_id")
        content = "" if is_absent(block.content) else read_content(block.content, f"{path}.content")
        if isinstance(content, str):
            parts: list[_Part] = [_text_part(content)]
        else:
            parts = []
            for index, inner in enumerate(content):
                parts += self._parts(f"{path}.content.{index}", inner)
        texts = [part["text"] for part in parts if part["type"] == "text"]
        others = [part for part in parts if part["type"] != "text"]
        text = PARAGRAPH.join(texts)
        if block.is_error:
            text = _marked_as_error(text)
        if others:
            note = f"What tool call {call_id} returned beside text:"
            others.insert(0, _text_part(note))
            text = text or "(see what the user shows next)"
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        return others

    def _parts(self, path: str, block: Block) -> list[_Part]:
        match block.type:
            case "text":
                return [_text_part(needed(block.text, f"{path}.text"))]
            case "image":
                return self._image(path, block)
            case "document":
                return self._document(path, block)
            case "audio":
                return self._audio(path, block)
            case "search_result":
                content = read_content(block.content, f"{path}.content")
                text = content if isinstance(content, str) else self._texts(content, f"{path}.content")
                source = "" if is_absent(block.source) else decoded(_decode_text, block.source, f"{path}.source")
                return [_text_part("\n".join(line for line in (block.title, source, text) if line))]
            case "tool_reference":
                return [_text_part(f"Tool: {needed(block.tool_name, f'{path}.tool_name')}")]
            case "thinking" | "redacted_thinking" | "tool_use":
                raise bad(f"{path}.type", f"'{block.type}' blocks can only be in 'assistant' messages")
            case _:
                self.native_only[f"content of type {block.type[:40]!r}"] = None
                return []

    def _image(self, path: str, block: Block) -> list[_Part]:
        source = read_source(block, path)
        match source.type:
            case "base64":
                url = _data_url(source.media_type or "image/png", needed(source.data, f"{path}.source.data"))
            case "url":
                url = needed(source.url, f"{path}.source.url")
            case _:
                self.native_only[f"an image whose source is of type {source.type[:40]!r}"] = None
                return []
        return [{"type": "image_url", "image_url": {"url": url}}]

    def _document(self, path: str, block: Block) -> list[_Part]:
        source = read_source(block, path)
        heads = [line for line in (block.title, block.context) if line]
        match source.type:
            case "text":
                return [_text_part("\n".join([*heads, needed(source.data, f"{path}.source.data")]))]
            case "content":
                inner = read_content(source.content, f"{path}.source.content")
                if isinstance(inner, str):
                    return [_text_part("\n".join([*heads, inner]))]
                parts = [_text_part("\n".join(heads))] if heads else []
                for index, item in enumerate(inner):
                    parts += self._parts(f"{path}.source.content.{index}", item)
                return parts
            case "base64":
                media_type = source.media_type or "application/pdf"
                data = _data_url(media_type, needed(source.data, f"{path}.source.data"))
            case "url":
                data = needed(source.url, f"{path}.source.url")
            case _:
                self.native_only[f"a document whose source is of type {source.type[:40]!r}"] = None
                return []
        file = {"filename": block.title or "document.pdf", "file_data": data}
        parts = [_text_part(block.context)] if block.context else []
        return [*parts, {"type": "file", "file": file}]

    def _audio(self, path: str, block: Block) -> list[_Part]:
        """Not Anthropic's, but of servers that took over its form; chat has a place for it."""
        source = read_source(block, path)
        data = needed(source.data, f"{path}.source.data")
        kind = (source.media_type or "audio/wav").removeprefix("audio/")
        return [{"type": "input_audio", "input_audio": {"data": data, "format": "mp3" if kind == "mpeg" else kind}}]

    # -- what the model said

    def _add_assistant(self, places: list[_Place]) -> None:
        content = ""
        before = ""
        thoughts: list[str] = []
        details: list[dict[str, Any]] = []
        calls: list[dict[str, Any]] = []
        for path, block in places:
            match block.type:
                case "text":
                    text = needed(block.text, f"{path}.text")
                    content += text if before in ("", "text") or not content else PARAGRAPH + text
                case "thinking":
                    text = needed(block.thinking, f"{path}.thinking") or thought_in(block.signature)
                    thoughts.append(text)
                    details.append(signed_thought(text, block.signature))
                case "redacted_thinking":
                    details.append(hidden_thought(needed(block.data, f"{path}.data")))
                case "tool_use":
                    calls.append(_call(path, block))
                case _:
                    self._leave_out(block)
            before = block.type
        message: dict[str, Any] = {"role": "assistant", "content": content if content or not calls else None}
        if any(thoughts):
            message["reasoning_content"] = "\n".join(thoughts)
        if any("signature" in detail or "data" in detail for detail in details):
            message["reasoning_details"] = details
        if calls:
            message["tool_calls"] = calls
        self.messages.append(message)

    def _leave_out(self, block: Block) -> None:
        """Leave out what a provider's own tools left in the history: no other model can use it."""
        if block.type in _LEFT_BY_SERVER_TOOLS or block.type.endswith("_tool_result"):
            self.dropped[f"messages.content.{block.type}"] = None
        else:
            self.native_only[f"content of type {block.type[:40]!r}"] = None


def signed_thought(text: str, signature: str | None) -> dict[str, Any]:
    """Write a thinking block in the form in which chat servers and clients carry one (OpenRouter's)."""
    detail = {"type": "reasoning.text", "text": text, "format": THINKING_FORMAT}
    if signature is not None and is_signed(signature):
        detail["signature"] = signature
    return detail


def hidden_thought(data: str) -> dict[str, Any]:
    """Write a redacted thinking block likewise."""
    return {"type": "reasoning.encrypted", "data": data, "format": THINKING_FORMAT}


def _call(path: str, block: Block) -> dict[str, Any]:
    raw = bytes(block.input)
    if is_absent(block.input):
        raw = b"{}"
    elif not raw.startswith(b"{"):
        raise bad(f"{path}.input", "Input should be a valid dictionary")
    function = {"name": needed(block.name, f"{path}.name"), "arguments": raw.decode()}
    return {"id": needed(block.id, f"{path}.id"), "type": "function", "function": function}


def _text_part(text: str) -> _Part:
    return {"type": "text", "text": text}


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def _joined(parts: list[_Part]) -> str | list[_Part]:
    """Make one text of texts alone; else drop the empty ones, which some servers refuse."""
    if all(part["type"] == "text" for part in parts):
        return PARAGRAPH.join(part["text"] for part in parts if part["text"])
    return [part for part in parts if part.get("text") != ""]


def _marked_as_error(text: str) -> str:
    if not text:
        return "Error: the tool failed and did not say why."
    return text if "error" in text[:_ERROR_WORDS].lower() else f"Error: {text}"
