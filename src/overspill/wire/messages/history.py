"""The conversation of a chat request as Messages has it: turns of the user and the model, made of blocks."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from overspill.errors import WireError
from overspill.wire.messages.blocks import is_signed
from overspill.wire.messages.native import good_id

_Block = dict[str, Any]
_THOUGHTS = ("thinking", "redacted_thinking")
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?(;base64)?,(.*)", re.DOTALL)

_decode_messages = msgspec.json.Decoder(list[dict[str, Any]]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class History:
    """Builds ``system`` and ``messages`` of a Messages request from a chat's messages."""

    def __init__(self) -> None:
        self.system: list[str] = []
        """What stands before the first turn."""
        self.turns: list[dict[str, Any]] = []
        self.dropped: dict[str, None] = {}
        self.is_unsigned = False
        """True if the model's last turn calls tools and lacks a thought that Anthropic signed."""

    def read(self, raw: msgspec.Raw) -> None:
        """Read a chat's ``messages``; raise ``WireError`` for what Messages cannot say."""
        try:
            messages = _decode_messages(raw)
        except msgspec.DecodeError as error:
            raise WireError(f"'messages' cannot be read: {error}", param="messages") from None
        for number, message in enumerate(messages):
            path = f"messages[{number}]"
            match message.get("role"):
                case "system" | "developer":
                    self._add_system(message, path)
                case "user":
                    self._add("user", self._blocks(message.get("content"), f"{path}.content"))
                case "assistant":
                    self._add("assistant", self._assistant(message, path))
                case "tool" | "function":
                    self._add("user", [self._result(message, path)])
                case role:
                    raise _cannot(f"{path}.role", f"the role {role!r} is not known to Anthropic's Messages API")
        self._trim()

    def drop_thoughts(self) -> None:
        """Leave out all thoughts; a turn of nothing else goes with them."""
        for turn in self.turns:
            turn["content"] = [block for block in turn["content"] if block["type"] not in _THOUGHTS]
        self.turns = [turn for turn in self.turns if turn["content"]]

    def _add_system(self, message: dict[str, Any], path: str) -> None:
        blocks = self._blocks(message.get("content"), f"{path}.content")
        if any(block["type"] != "text" for block in blocks):
            raise _cannot(f"{path}.content", "a system prompt can only be text")
        if self.turns:
            self._add("system", blocks)
        else:
            self.system += [block["text"] for block in blocks]

    def _add(self, role: str, blocks: list[_Block]) -> None:
        """Add to the last turn, if it is of that role: so all results of tools are in one."""
        if not blocks:  # Anthropic takes no empty turn, nor an empty text
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": role, "content": blocks})

    def _trim(self) -> None:
        """Take the white space off the end of an answer that is to be continued: Anthropic refuses it."""
        last = self.turns[-1] if self.turns else None
        if last is not None and last["role"] == "assistant" and last["content"][-1]["type"] == "text":
            text = last["content"].pop()["text"].rstrip()
            last["content"] += [_text(text)] if text else []
            if not last["content"]:
                self.turns.pop()

    def written(self) -> list[dict[str, Any]]:
        """Return the turns; what is only one text is written as text."""
        for turn in self.turns:
            blocks = turn["content"]
            if len(blocks) == 1 and blocks[0]["type"] == "text":
                turn["content"] = blocks[0]["text"]
        return self.turns

    # -- content

    def _blocks(self, content: Any, path: str) -> list[_Block]:
        if content is None or isinstance(content, str):
            return [_text(content)] if content else []
        if not isinstance(content, list):
            raise _cannot(path, "content must be a text or a list of parts")
        blocks = []
        for index, part in enumerate(content):
            if not isinstance(part, dict):
                raise _cannot(f"{path}[{index}]", "a part of a content must be an object")
            block = self._block(part, f"{path}[{index}]")
            if block is not None:
                blocks.append(block)
        return blocks

    def _block(self, part: dict[str, Any], path: str) -> _Block | None:
        kind = part.get("type")
        match kind:
            case "text" | "refusal":
                text = part.get(kind)
                return _text(text) if isinstance(text, str) and text else None
            case "image_url":
                image = part.get("image_url")
                url = image.get("url") if isinstance(image, dict) else image
                if not isinstance(url, str):
                    raise _cannot(f"{path}.image_url.url", "an image must have a URL")
                return {"type": "image", "source": _source(url, "image/png")}
            case "file":
                return _document(part.get("file"), path)
            case _:
                raise _cannot(path, f"Anthropic's Messages API takes no part of type {kind!r}")

    def _result(self, message: dict[str, Any], path: str) -> _Block:
        call_id = message.get("tool_call_id") or message.get("name")
        if not isinstance(call_id, str):
            raise _cannot(f"{path}.tool_call_id", "a tool's result must name its call")
        content = message.get("content")
        shown = content if isinstance(content, str) else self._blocks(content, f"{path}.content")
        return {"type": "tool_result", "tool_use_id": good_id(call_id), "content": shown}

    # -- the model's turns

    def _assistant(self, message: dict[str, Any], path: str) -> list[_Block]:
        blocks = list(_signed_thoughts(message.get("reasoning_details")))
        has_thought = bool(blocks)
        blocks += self._blocks(message.get("content"), f"{path}.content")
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            blocks.append(_text(refusal))
        calls = message.get("tool_calls")
        uses = [_tool_use(call, f"{path}.tool_calls[{index}]") for index, call in enumerate(calls or ())]
        legacy = message.get("function_call")
        if isinstance(legacy, dict):
            uses.append(_tool_use({"id": legacy.get("name"), "function": legacy}, f"{path}.function_call"))
        self.is_unsigned = bool(uses) and not has_thought
        return blocks + uses


def _signed_thoughts(details: Any) -> list[_Block]:
    """Return thoughts that Anthropic will know as its own; others it would refuse."""
    blocks: list[_Block] = []
    pending = ""
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        text, signature, data = detail.get("text"), detail.get("signature"), detail.get("data")
        if isinstance(data, str) and detail.get("type") == "reasoning.encrypted":
            blocks.append({"type": "redacted_thinking", "data": data})
        pending += text if isinstance(text, str) else ""
        if isinstance(signature, str) and is_signed(signature):
            blocks.append({"type": "thinking", "thinking": pending, "signature": signature})
            pending = ""
    return blocks


def _tool_use(call: Any, path: str) -> _Block:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise _cannot(path, "only calls of functions have a form in Anthropic's Messages API")
    arguments = function.get("arguments") or "{}"
    if isinstance(arguments, dict):
        given: Any = arguments
    else:
        try:
            _decode_object(arguments)
            given = msgspec.Raw(arguments.encode())
        except (msgspec.DecodeError, TypeError, AttributeError, RecursionError):
            given = {"arguments": arguments}  # what the model wrote was no object; it should see that it was wrong
    name = function.get("name")
    call_id = call.get("id") or name
    if not isinstance(name, str) or not isinstance(call_id, str):
        raise _cannot(path, "a call must have an id and the name of its function")
    return {"type": "tool_use", "id": good_id(call_id), "name": name, "input": given}


def _text(text: str) -> _Block:
    return {"type": "text", "text": text}


def _source(url: str, media_type: str) -> dict[str, Any]:
    match = _DATA_URL.fullmatch(url)
    if match is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": match[1] or media_type, "data": match[3]}


def _document(file: Any, path: str) -> _Block:
    data = file.get("file_data") if isinstance(file, dict) else None
    if not isinstance(data, str):
        raise _cannot(f"{path}.file.file_data", "a file must come with its data: its id is known to its host alone")
    source = _source(data, "application/pdf")
    block: _Block = {"type": "document", "source": source}
    name = file.get("filename")
    if isinstance(name, str) and name and name != "document.pdf":
        block["title"] = name
    return block


def _cannot(path: str, why: str) -> WireError:
    return WireError(f"'{path}': {why}.", param=path)
