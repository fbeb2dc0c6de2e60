"""One answer of the rehearsal engine: tokens that can be checked, in OpenAI's form, streamed or whole.

What it says is its ``Speech``: the first tokens may be reasoning, and the others may be the arguments of a tool call.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, assert_never

import msgspec

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.rehearsal.faults import (
    BadEventAfterTokens,
    CutAfterTokens,
    EndAfterTokens,
    ErrorEventAfterTokens,
    Late,
    SignalAfterTokens,
    StallAfterTokens,
)
from overspill.gateway.rehearsal.speech import Speech
from overspill.wire.request import Request

JSON_HEADERS = ((b"content-type", b"application/json"),)
SSE_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
_DONE = b"data: [DONE]\n\n"
_BAD_EVENT = b'data: {"id":"chatcmpl-rehearsal","choices":[{"index":0,"delta":{"conte\n\n'
_ERROR = {"error": {"message": "this error was rehearsed", "type": "server_error", "param": None, "code": None}}
_MISSING_BYTES = 20
_SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}
_SIGNAL_DELAY_S = 0.02
"""What was written must have left before the process is struck."""


class Answer:
    """Writes one answer to its exchange as the batch produces it."""

    __slots__ = (
        "_exchange",
        "_fault",
        "_fault_at",
        "_finish_reason",
        "_first",
        "_frames",
        "_id",
        "_is_chat",
        "_output",
        "_request",
        "_sent",
        "_speech",
    )

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        speech: Speech,
        *,
        number: int,
        is_chat: bool,
        first_token: int = 0,
        output_tokens: int,
        finish_reason: str,
        fault: Late | None,
    ) -> None:
        """Make it; an answer that is continued begins with ``first_token``, and has ``output_tokens`` from there."""
        self._exchange = exchange
        self._request = request
        self._speech = speech
        self._is_chat = is_chat
        self._first = first_token
        self._output = first_token + output_tokens
        self._finish_reason = "tool_calls" if speech.tool and finish_reason == "stop" else finish_reason
        self._id = f"{'chatcmpl' if is_chat else 'cmpl'}-rehearsal-{number}"
        self._sent = first_token
        self._fault = fault
        self._fault_at = None if fault is None else fault.tokens
        self._frames = (self._frame("reasoning_content"), self._frame("content"))

    def _frame(self, name: str) -> tuple[bytes, bytes]:
        """Return what stands before and behind the text of one token's event."""
        marker = "\N{OBJECT REPLACEMENT CHARACTER}"
        delta: dict[str, Any] | str = marker
        if self._is_chat:
            is_call = self._speech.tool is not None and name == "content"
            delta = _call_delta(marker) if is_call else {name: marker}
        before, _, after = self._event(delta).rpartition(marker.encode())
        return before, after

    def start(self) -> None:
        """Send what a stream has before its first token: the head and, for chat, a delta with the role only."""
        if self._request.stream:
            self._exchange.start(200, SSE_HEADERS, length=None)
            if self._is_chat:
                self._exchange.write(self._event({"role": "assistant", "content": ""}))

    def advance_by(self, produced: int) -> bool:
        """Send tokens up to the ``produced``-th of its own; return False if a fault ended the answer at one of them."""
        limit = self._first + produced
        if self._fault_at is not None:
            limit = max(self._first, min(limit, self._fault_at))
        if self._request.stream and limit > self._sent:
            self._exchange.write(b"".join(self._token(index) for index in range(self._sent, limit)))
        self._sent = limit
        fault = self._fault
        if fault is None or self._fault_at is None or limit < self._fault_at:
            return True
        self._fault = None
        return self._misbehave(fault)

    def _token(self, index: int) -> bytes:
        speech = self._speech
        before, after = self._frames[0 if index < speech.reasoning else 1]
        token = before + speech.token(index) + after
        return self._event(self._call_head()) + token if speech.tool and index == speech.reasoning else token

    def _call_head(self) -> dict[str, Any]:
        function = {"name": self._speech.tool, "arguments": self._speech.call_head}
        return {"tool_calls": [{"index": 0, "id": f"call-{self._id}", "type": "function", "function": function}]}

    def _misbehave(self, fault: Late) -> bool:
        """Do what the fault says at its token; return whether the answer still wants its turns of the batch."""
        exchange, is_stream = self._exchange, self._request.stream
        match fault:
            case CutAfterTokens():
                exchange.abort()
            case StallAfterTokens():
                return True
            case SignalAfterTokens():
                strike = _SIGNALS[fault.signal]
                asyncio.get_running_loop().call_later(_SIGNAL_DELAY_S, os.kill, os.getpid(), strike)
                return True
            case BadEventAfterTokens() if is_stream:
                self._fault_at = None  # and on it goes
                exchange.write(_BAD_EVENT)
                return True
            case BadEventAfterTokens():
                exchange.reply(200, JSON_HEADERS, msgspec.json.encode(self._whole(None))[:-_MISSING_BYTES])
            case ErrorEventAfterTokens() if is_stream:
                exchange.write(self._data(_ERROR))
                exchange.finish()
            case ErrorEventAfterTokens():
                exchange.reply(200, JSON_HEADERS, msgspec.json.encode(_ERROR))
            case EndAfterTokens():
                self._finish(fault.finish_reason, has_done=fault.has_done)
            case _:
                assert_never(fault)
        return False

    def end(self) -> None:
        """Send the rest and what follows the last token, unless a fault holds it back."""
        if self.advance_by(self._output - self._first) and not self._is_held_back:
            self._finish(self._finish_reason)

    @property
    def _is_held_back(self) -> bool:
        """Whether a fault that has struck lets nothing more out."""
        return self._fault is None and self._fault_at is not None

    def _finish(self, finish_reason: str | None, *, has_done: bool = True) -> None:
        if not self._request.stream:
            self._exchange.reply(200, JSON_HEADERS, msgspec.json.encode(self._whole(finish_reason)))
            return
        speech = self._speech
        if speech.call_end and speech.tool and self._sent > speech.reasoning:
            self._exchange.write(self._event(_call_delta(speech.call_end)))
        if finish_reason is not None:
            self._exchange.write(self._event({} if self._is_chat else "", finish_reason=finish_reason))
        if self._request.include_usage:
            self._exchange.write(self._data({**self._head(), "choices": [], "usage": self._usage()}))
        if has_done:
            self._exchange.write(_DONE)
        self._exchange.finish()

    def _head(self) -> dict[str, Any]:
        kind = "text_completion"
        if self._is_chat:
            kind = "chat.completion.chunk" if self._request.stream else "chat.completion"
        return {"id": self._id, "object": kind, "created": 0, "model": self._request.model}

    def _event(self, delta: dict[str, Any] | str, finish_reason: str | None = None) -> bytes:
        choice = {
            "index": 0,
            "delta" if self._is_chat else "text": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return self._data({**self._head(), "choices": [choice]})

    def _whole(self, finish_reason: str | None) -> dict[str, Any]:
        content = (
            {"message": self._message()} if self._is_chat else {"text": self._speech.text(self._sent, self._first)}
        )
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head(), "choices": [choice], "usage": self._usage()}

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        speech = self._speech
        said = max(self._first, speech.reasoning)
        if speech.reasoning > self._first:
            message["reasoning_content"] = speech.text(min(speech.reasoning, self._sent), self._first)
        if not speech.tool:
            return {**message, "content": speech.text(self._sent, said)}
        function = {"name": speech.tool, "arguments": speech.arguments(self._sent, said)}
        call = {"id": f"call-{self._id}", "type": "function", "function": function}
        return {**message, "content": None, "tool_calls": [call]}

    def _usage(self) -> dict[str, int]:
        prompt, output = self._request.prompt_tokens, self._sent - self._first
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}

    def _data(self, chunk: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _call_delta(piece: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
