"""Writes an answer for a client of the Messages API: chat chunks in the normal form become Anthropic's events.

Who did not ask for thinking gets none: such clients take the first block of content for the answer's text. What a model
thinks all the same shows only as pings, and in the count of output tokens. Who asked gets thinking blocks, with the
signature that came with them or one that says that there is none (``blocks.unsigned``).

The answer names the model that was asked for: Claude Code (2.1.197) drops thoughts from its history if their message
names another, and DeepSeek refuses the next turn then. Which model it was stands in a header.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.chunks import is_done
from overspill.wire.contract import REASONING_FIELDS
from overspill.wire.messages.blocks import unsigned
from overspill.wire.messages.ends import error_body, stop_of, to_messages_usage
from overspill.wire.messages.options import ThinkingDisplay, display_of, stop_sequences
from overspill.wire.messages.whole import arguments_of, text_of, write_message
from overspill.wire.request import Request
from overspill.wire.sse import SseDecoder

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_HIDDEN_PER_PING = 64
_LABEL = b": overspill"

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Call:
    """One call of a tool, as far as it has come."""

    __slots__ = ("arguments", "block", "call_id", "name")

    def __init__(self) -> None:
        self.call_id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.block: int | None = None
        """The number of its block once that has begun."""

    @property
    def is_complete(self) -> bool:
        """True if its arguments are an object, to which nothing can be added."""
        try:
            _decode_object("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class MessagesWriter:
    """See ``AnswerWriter``. Blocks follow one another; only calls that come interleaved are open side by side."""

    __slots__ = (
        "_calls",
        "_choice",
        "_decoder",
        "_display",
        "_hidden",
        "_input_tokens",
        "_is_over",
        "_is_started",
        "_last_call",
        "_message_id",
        "_model",
        "_next_block",
        "_open",
        "_open_calls",
        "_out",
        "_pieces",
        "_request_id",
        "_signature",
        "_stops",
        "_thought",
        "_usage",
    )

    def __init__(self, request: Request, request_id: str) -> None:
        self._request_id = request_id
        self._message_id = f"msg_{request_id}"
        self._model = request.model
        self._input_tokens = request.prompt_tokens
        self._display = display_of(request.native or {})
        self._stops = stop_sequences(request.native or {})
        self._decoder = SseDecoder()
        self._out: list[bytes] = []
        self._is_started = self._is_over = False
        self._open: str | None = None
        """The kind of the block that is open, ``text`` or ``thinking``; calls are counted apart."""
        self._next_block = 0
        self._signature: str | None = None
        self._thought: list[str] = []
        """What a client has of the open block without seeing it."""
        self._calls: dict[int, _Call] = {}
        self._open_calls: list[_Call] = []
        self._last_call = -1
        self._choice: dict[str, Any] = {}
        """What the last choice said of the end."""
        self._usage: dict[str, Any] = {}
        self._pieces = self._hidden = 0

    # -- AnswerWriter

    def feed(self, events: bytes) -> bytes:
        """See ``AnswerWriter``; raise ``MalformedChunk`` for an event that is no chunk."""
        for event in self._decoder.feed(events):
            data = event.data
            if self._is_over:
                break
            if data is None:
                if event.raw.startswith(_LABEL):
                    self._out.append(event.raw)
                elif event.raw.startswith(b":"):
                    self._out.append(PING)
            elif is_done(data):
                self._finish()
            else:
                self._take(data)
        return self._flush()

    def whole(self, body: bytes) -> bytes:
        """See ``AnswerWriter``."""
        return write_message(
            body,
            message_id=self._message_id,
            model=self._model,
            input_tokens=self._input_tokens,
            stops=self._stops,
            display=self._display,
        )

    def heartbeat(self) -> bytes:
        """See ``AnswerWriter``."""
        return PING

    def broken(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """See ``AnswerWriter``."""
        self._is_over = True
        body = error_body(message, kind=kind, code=code, request_id=self._request_id)
        return b"event: error\ndata: " + body + b"\n\n"

    def error(
        self, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
    ) -> bytes:
        """See ``AnswerWriter``."""
        return error_body(message, kind=kind, status=status, code=code, param=param, request_id=self._request_id)

    # -- what comes

    def _take(self, data: bytes) -> None:
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedChunk(f"{len(data)} bytes that are no chunk of an answer: {error}") from None
        if not self._is_started:
            self._start()
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or choice.get("index"):  # Messages has one choice
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._take_delta(delta)
        if choice.get("finish_reason"):
            self._choice = choice

    def _take_delta(self, delta: dict[str, Any]) -> None:
        thought = next((delta[name] for name in REASONING_FIELDS if isinstance(delta.get(name), str)), "")
        details = delta.get("reasoning_details")
        if thought:
            self._think(thought)
        if isinstance(details, list):
            for detail in details:
                if isinstance(detail, dict):
                    self._take_detail(detail, has_text=bool(thought))
        text = text_of(delta.get("content")) or text_of(delta.get("refusal"))
        if text:
            self._say(text)
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict):
                    self._take_call(call)

    def _think(self, text: str) -> None:
        self._pieces += 1
        if self._display is ThinkingDisplay.HIDDEN:
            self._hidden += 1
            if self._hidden % _HIDDEN_PER_PING == 0:
                self._out.append(PING)
            return
        if self._open != "thinking":
            self._open_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if self._display is ThinkingDisplay.SHOWN:
            self._delta(self._next_block - 1, {"type": "thinking_delta", "thinking": text})
        else:
            self._thought.append(text)

    def _take_detail(self, detail: dict[str, Any], *, has_text: bool) -> None:
        """Take a piece of ``reasoning_details``: a signature, a redacted block, or text that is nowhere else."""
        if self._display is ThinkingDisplay.HIDDEN:
            return
        data, signature, text = detail.get("data"), detail.get("signature"), detail.get("text")
        if isinstance(data, str) and detail.get("type") == "reasoning.encrypted":
            self._close()
            self._open_block("redacted", {"type": "redacted_thinking", "data": data})
            self._close()
            return
        if isinstance(text, str) and text and not has_text and self._open != "thinking":
            self._think(text)
        if isinstance(signature, str) and signature:
            if self._open != "thinking":
                self._open_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            self._signature = signature
            self._close()

    def _say(self, text: str) -> None:
        self._pieces += 1
        if self._open != "text" or self._open_calls:
            self._open_block("text", {"type": "text", "text": ""})
        self._delta(self._next_block - 1, {"type": "text_delta", "text": text})

    def _take_call(self, fields: dict[str, Any]) -> None:
        """Take a part of a call. Gemini counts no calls: one with an id is a new one, one without goes on."""
        self._pieces += 1
        index = fields.get("index")
        if not isinstance(index, int):
            index = self._last_call + 1 if fields.get("id") or self._last_call < 0 else self._last_call
        self._last_call = max(self._last_call, index)
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Call()
        function = fields.get("function")
        if not isinstance(function, dict):
            function = {}
        call.call_id = call.call_id or str(fields.get("id") or "")
        call.name = call.name or str(function.get("name") or "")
        arguments = arguments_of(function)
        if arguments:
            call.arguments.append(arguments)
        if call.block is not None:
            self._delta_of(call, arguments)
        elif call.name:
            self._begin_call(call, index)

    def _begin_call(self, call: _Call, index: int) -> None:
        self._close(keeps_calls=True)
        for earlier in [earlier for earlier in self._open_calls if earlier.is_complete]:
            self._stop(earlier)
        call.block = self._next_block
        self._open_calls.append(call)
        call_id = call.call_id or f"toolu_{self._request_id}_{index}"
        self._start_block({"type": "tool_use", "id": call_id, "name": call.name, "input": {}})
        self._delta_of(call, "".join(call.arguments))

    def _delta_of(self, call: _Call, arguments: str) -> None:
        if arguments and call in self._open_calls:
            assert call.block is not None
            self._delta(call.block, {"type": "input_json_delta", "partial_json": arguments})

    # -- what goes

    def _start(self) -> None:
        self._is_started = True
        usage = to_messages_usage({}, input_tokens=self._input_tokens, output_tokens=0)
        message: dict[str, Any] = {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        self._event("message_start", {"message": message})

    def _open_block(self, kind: str, block: dict[str, Any]) -> None:
        self._close()
        self._open = kind
        self._start_block(block)

    def _start_block(self, block: dict[str, Any]) -> None:
        self._event("content_block_start", {"index": self._next_block, "content_block": block})
        self._next_block += 1

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        self._event("content_block_delta", {"index": index, "delta": delta})

    def _close(self, *, keeps_calls: bool = False) -> None:
        """End what is open."""
        if self._open is not None:
            index = self._next_block - 1
            if self._open == "thinking":
                signature = self._signature or unsigned("".join(self._thought))
                self._delta(index, {"type": "signature_delta", "signature": signature})
                self._signature = None
                self._thought.clear()
            self._event("content_block_stop", {"index": index})
            self._open = None
        if not keeps_calls:
            for call in list(self._open_calls):
                self._stop(call)

    def _stop(self, call: _Call) -> None:
        self._open_calls.remove(call)
        self._event("content_block_stop", {"index": call.block})

    def _finish(self) -> None:
        if not self._is_started:
            self._start()
        self._close()
        self._is_over = True
        has_calls = any(call.block is not None for call in self._calls.values())
        stop_reason, stop_sequence = stop_of(self._choice, has_calls=has_calls, stops=self._stops)
        usage = to_messages_usage(self._usage, input_tokens=self._input_tokens, output_tokens=self._pieces)
        delta = {"stop_reason": stop_reason, "stop_sequence": stop_sequence}
        self._event("message_delta", {"delta": delta, "usage": usage})
        self._event("message_stop", {})

    def _event(self, name: str, fields: dict[str, Any]) -> None:
        body = msgspec.json.encode({"type": name, **fields})
        self._out.append(b"event: %b\ndata: %b\n\n" % (name.encode(), body))

    def _flush(self) -> bytes:
        flushed = b"".join(self._out)
        self._out.clear()
        return flushed
