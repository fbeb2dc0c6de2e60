"""Reads the answer of a target that speaks Messages into chat chunks in the normal form, for any client.

Thinking comes as ``reasoning_content``; behind each block of it, one entry of ``reasoning_details`` (OpenRouter's form)
has the block again with its signature, so that a client that sends its history back as it came sends a valid one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.messages.ends import finish_of, to_chat_usage
from overspill.wire.messages.turns import hidden_thought, signed_thought
from overspill.wire.sse import Event

DONE = b"[DONE]"

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Block:
    """One block that is open. Anthropic has one at a time; others may have calls side by side."""

    __slots__ = ("arguments", "call", "kind", "signature", "thought")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.thought: list[str] = []
        self.signature = ""
        self.call = 0
        """The number of the call that it is."""
        self.arguments = ""


class MessagesReader:
    """See ``AnswerReader``. ``created_s`` is seconds since 1970: Anthropic's answers do not say when they were made."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_created_s",
        "_finish",
        "_identity",
        "_model",
        "_usage",
    )

    def __init__(self, created_s: int) -> None:
        self._created_s = created_s
        self._identity = self._model = ""
        self._blocks: dict[Any, _Block] = {}
        self._calls = 0
        self._usage: dict[str, Any] = {}
        self._finish: dict[str, Any] | None = None

    @property
    def is_transparent(self) -> bool:
        """See ``AnswerReader``."""
        return False

    def read(self, event: Event) -> list[bytes]:
        """See ``AnswerReader``."""
        if event.data is None:
            return []
        fields = _read(event.data)
        match fields.get("type"):
            case "message_start":
                return self._start(_object(fields, "message"))
            case "content_block_start":
                return self._begin(_index(fields), _object(fields, "content_block"))
            case "content_block_delta":
                return self._add(_index(fields), _object(fields, "delta"))
            case "content_block_stop":
                return self._end_block(_index(fields))
            case "message_delta":
                return self._end(_object(fields, "delta"), fields.get("usage"))
            case "message_stop":
                return self._stop()
            case "error":
                return [chat_error(fields)]
            case _:  # a ping, or an event that is newer than this
                return []

    def whole(self, body: bytes) -> bytes:
        """See ``AnswerReader``."""
        message = _read(body)
        if message.get("type") == "error":
            return chat_error(message)
        content = message.get("content")
        if message.get("type") != "message" or not isinstance(content, list):
            raise MalformedChunk(f"{len(body)} bytes that are no message")
        usage = message.get("usage")
        chat_usage = to_chat_usage(usage) if isinstance(usage, dict) else None
        return msgspec.json.encode(
            {
                "id": message.get("id") or "",
                "object": "chat.completion",
                "created": self._created_s,
                "model": message.get("model") or "",
                "choices": [
                    {
                        "index": 0,
                        "message": _chat_message(content),
                        "logprobs": None,
                        **finish_of(message.get("stop_reason"), message.get("stop_sequence")),
                    }
                ],
                **({} if chat_usage is None else {"usage": chat_usage}),
            }
        )

    # -- events

    def _start(self, message: dict[str, Any]) -> list[bytes]:
        self._identity, self._model = str(message.get("id") or ""), str(message.get("model") or "")
        self._note(message.get("usage"))
        return [self._chunk({"role": "assistant", "content": ""})]

    def _begin(self, index: int, fields: dict[str, Any]) -> list[bytes]:
        block = self._blocks[index] = _Block(fields.get("type"))
        match block.kind:
            case "text":
                return self._say("content", fields.get("text"))
            case "thinking":
                block.signature = str(fields.get("signature") or "")
                return self._think(block, fields.get("thinking"))
            case "redacted_thinking":
                return [self._chunk({"reasoning_details": [hidden_thought(str(fields.get("data") or ""))]})]
            case "tool_use":
                return [self._begin_call(block, fields)]
            case _:  # a tool that the provider ran itself
                return []

    def _begin_call(self, block: _Block, fields: dict[str, Any]) -> bytes:
        given = fields.get("input")
        block.arguments = msgspec.json.encode(given).decode() if given else ""
        block.call = self._calls
        self._calls += 1
        function = {"name": fields.get("name") or "", "arguments": block.arguments}
        call = {"index": block.call, "id": fields.get("id") or "", "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _add(self, index: int, delta: dict[str, Any]) -> list[bytes]:
        block = self._blocks.get(index)
        if block is None:
            raise MalformedChunk(f"a part of block {index}, which has not begun or is over")
        match delta.get("type"):
            case "text_delta":
                return self._say("content", delta.get("text"))
            case "thinking_delta":
                return self._think(block, delta.get("thinking"))
            case "signature_delta":
                block.signature += str(delta.get("signature") or "")
                return []
            case "input_json_delta" if block.kind == "tool_use":
                return self._add_arguments(block, delta.get("partial_json"))
            case _:  # citations, and the input of tools that the provider runs
                return []

    def _add_arguments(self, block: _Block, text: Any) -> list[bytes]:
        if not isinstance(text, str) or not text:
            return []
        block.arguments += text
        return [self._chunk({"tool_calls": [{"index": block.call, "function": {"arguments": text}}]})]

    def _think(self, block: _Block, text: Any) -> list[bytes]:
        if isinstance(text, str):
            block.thought.append(text)
        return self._say("reasoning_content", text)

    def _say(self, field: str, text: Any) -> list[bytes]:
        return [self._chunk({field: text})] if isinstance(text, str) and text else []

    def _end_block(self, index: int) -> list[bytes]:
        """Send what only a block's end tells: its signature, or that a call has no arguments."""
        block = self._blocks.pop(index, None)
        if block is None:
            return []
        if block.kind == "thinking" and block.signature:
            detail = signed_thought("".join(block.thought), block.signature)
            return [self._chunk({"reasoning_details": [detail]})] if "signature" in detail else []
        return self._add_arguments(block, "{}") if block.kind == "tool_use" and not block.arguments else []

    def _end(self, delta: dict[str, Any], usage: Any) -> list[bytes]:
        self._note(usage)
        if delta.get("stop_reason") is not None:
            self._finish = finish_of(delta["stop_reason"], delta.get("stop_sequence"))
        return []

    def _note(self, usage: Any) -> None:
        """Keep the counts: those that come later are sums, and leave out what has not changed."""
        if isinstance(usage, dict):
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _stop(self) -> list[bytes]:
        """End the chat stream; one that was told no reason ends without, as any that was cut."""
        if self._finish is None:
            return []
        chunks = [self._chunk({}, self._finish)]
        usage = to_chat_usage(self._usage)
        if usage is not None:
            chunks.append(self._written({"choices": [], "usage": usage}))
        return [*chunks, DONE]

    def _chunk(self, delta: dict[str, Any], finish: dict[str, Any] | None = None) -> bytes:
        return self._written({"choices": [{"index": 0, "delta": delta, **(finish or {"finish_reason": None})}]})

    def _written(self, fields: dict[str, Any]) -> bytes:
        head = {
            "id": self._identity,
            "object": "chat.completion.chunk",
            "created": self._created_s,
            "model": self._model,
        }
        return msgspec.json.encode({**head, **fields})


def chat_error(fields: dict[str, Any]) -> bytes:
    """Write an error of Anthropic's in the form of OpenAI's."""
    error = fields.get("error")
    if not isinstance(error, dict):
        error = {"message": str(error or "the target reported an error and did not say which")}
    kind = error.get("type")
    return msgspec.json.encode(
        {"error": {"message": error.get("message") or str(kind), "type": kind, "param": None, "code": kind}}
    )


def _chat_message(content: list[Any]) -> dict[str, Any]:
    text = ""
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in content:
        if not isinstance(block, dict):
            raise MalformedChunk("a message with a block that is no object")
        match block.get("type"):
            case "text":
                text += str(block.get("text") or "")
            case "thinking":
                thoughts.append(str(block.get("thinking") or ""))
                detail = signed_thought(thoughts[-1], block.get("signature"))
                details += [detail] if "signature" in detail else []
            case "redacted_thinking":
                details.append(hidden_thought(str(block.get("data") or "")))
            case "tool_use":
                arguments = msgspec.json.encode(block.get("input") or {}).decode()
                function = {"name": block.get("name") or "", "arguments": arguments}
                calls.append({"id": block.get("id") or "", "type": "function", "function": function})
            case _:  # what tools of the provider's own did
                pass
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    return message


def _read(data: bytes) -> dict[str, Any]:
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedChunk(f"{len(data)} bytes that are nothing of Anthropic's: {error}") from None


def _index(fields: dict[str, Any]) -> int:
    index = fields.get("index")
    if not isinstance(index, int):
        raise MalformedChunk(f"an event of type {fields.get('type')!r} without its 'index'")
    return index


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if not isinstance(value, dict):
        raise MalformedChunk(f"an event of type {fields.get('type')!r} without its '{name}'")
    return value
