"""One answer of the rehearsal engine: tokens that can be checked, in OpenAI's form, streamed or whole.

Token i (from 0) of every answer is the text `` t{i}``, so a lost, repeated or reordered token shows in the text alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.rehearsal.faults import CutAfterTokens, Fault, StallAfterTokens
from overspill.wire.request import Request

JSON_HEADERS = ((b"content-type", b"application/json"),)
SSE_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
_DONE = b"data: [DONE]\n\n"


def text_of(tokens: int) -> str:
    """Return the text of the first ``tokens`` tokens of any answer."""
    return "".join(f" t{index}" for index in range(tokens))


class Answer:
    """Writes one answer to its exchange as the batch produces it."""

    __slots__ = (
        "_after",
        "_before",
        "_cut_at",
        "_exchange",
        "_finish_reason",
        "_id",
        "_is_chat",
        "_output",
        "_request",
        "_sent",
        "_stall_at",
    )

    def __init__(
        self,
        exchange: Exchange,
        request: Request,
        *,
        number: int,
        is_chat: bool,
        output_tokens: int,
        finish_reason: str,
        fault: Fault | None,
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._is_chat = is_chat
        self._output = output_tokens
        self._finish_reason = finish_reason
        self._id = f"{'chatcmpl' if is_chat else 'cmpl'}-rehearsal-{number}"
        self._sent = 0
        self._cut_at = fault.tokens if isinstance(fault, CutAfterTokens) else None
        self._stall_at = fault.tokens if isinstance(fault, StallAfterTokens) else None
        marker = "\N{OBJECT REPLACEMENT CHARACTER}"
        body = self._event({"content": marker} if is_chat else marker)
        self._before, _, self._after = body.rpartition(marker.encode())

    def start(self) -> None:
        """Send what a stream has before its first token: the head and, for chat, a delta with the role only."""
        if self._request.stream:
            self._exchange.start(200, SSE_HEADERS, length=None)
            if self._is_chat:
                self._exchange.write(self._event({"role": "assistant", "content": ""}))

    def advance_to(self, produced: int) -> bool:
        """Send the tokens up to ``produced``; return False if the answer was cut there and wants no more."""
        limit = produced
        if self._cut_at is not None:
            limit = min(limit, self._cut_at)
        if self._stall_at is not None:
            limit = min(limit, self._stall_at)
        if self._request.stream and limit > self._sent:
            tokens = range(self._sent, limit)
            self._exchange.write(b"".join(b"%b t%d%b" % (self._before, index, self._after) for index in tokens))
        self._sent = limit
        if self._cut_at == limit:
            self._exchange.abort()
            return False
        return True

    def end(self) -> None:
        """Send the rest and what follows the last token, unless a fault holds it back."""
        if not self.advance_to(self._output) or self._sent < self._output:
            return
        if not self._request.stream:
            self._exchange.reply(200, JSON_HEADERS, msgspec.json.encode(self._whole()))
            return
        self._exchange.write(self._event({} if self._is_chat else "", finish_reason=self._finish_reason))
        if self._request.include_usage:
            self._exchange.write(self._data({**self._head(), "choices": [], "usage": self._usage()}))
        self._exchange.write(_DONE)
        self._exchange.finish()

    def _head(self) -> dict[str, Any]:
        kind = "text_completion"
        if self._is_chat:
            kind = "chat.completion.chunk" if self._request.stream else "chat.completion"
        return {"id": self._id, "object": kind, "created": 0, "model": self._request.model}

    def _event(self, delta: dict[str, str] | str, finish_reason: str | None = None) -> bytes:
        choice = {
            "index": 0,
            "delta" if self._is_chat else "text": delta,
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return self._data({**self._head(), "choices": [choice]})

    def _whole(self) -> dict[str, Any]:
        text = text_of(self._output)
        content = {"message": {"role": "assistant", "content": text}} if self._is_chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": self._finish_reason}
        return {**self._head(), "choices": [choice], "usage": self._usage()}

    def _usage(self) -> dict[str, int]:
        prompt = self._request.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": self._output, "total_tokens": prompt + self._output}

    def _data(self, chunk: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
