"""Asks a target every question of the test set, so many at once, over OpenAI's chat API, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from overspill.cli.evaluation.test_set import Item, Reply, is_right
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.limits import ClientLimits
from overspill.wire.aggregate import Aggregator, AnswerTooLong
from overspill.wire.answers import MalformedChunk
from overspill.wire.chunks import is_done, read_chunk
from overspill.wire.http import Headers, HttpCall, Origin
from overspill.wire.sse import SseDecoder, SseTooLong

_ERROR_BYTES = 4096


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asked, and how."""

    origin: Origin
    """Its prefix is the base of the API, such as ``/v1``."""
    model: str
    api_key: str | None = None
    temperature: float | None = 0.0
    max_tokens: int = 1024
    timeout_s: float = 120.0
    concurrency: int = 8


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one question. Times count from sending it; ``error`` says why there is no whole answer."""

    id: str
    task: str
    language: str
    is_right: bool = False
    output_tokens: int = 0
    ttft_s: float | None = None
    e2e_s: float = 0.0
    said: str = ""
    error: str | None = None


async def ask_all(
    target: Target, items: Sequence[Item], *, on_result: Callable[[Result], None] | None = None
) -> tuple[list[Result], float]:
    """Ask everything; return the results in the order of ``items``, and how many seconds it took."""
    client = HttpClient(limits=ClientLimits(silence_timeout_s=target.timeout_s))
    loop = asyncio.get_running_loop()
    waiting = iter(enumerate(items))
    results: dict[int, Result] = {}

    async def work() -> None:
        for index, item in waiting:
            results[index] = await _ask(client, target, item)
            if on_result is not None:
                on_result(results[index])

    started_s = loop.time()
    try:
        await asyncio.gather(*(work() for _ in range(min(target.concurrency, len(items)))))
    finally:
        await client.close()
    return [results[index] for index in range(len(items))], loop.time() - started_s


async def _ask(client: HttpClient, target: Target, item: Item) -> Result:
    body: dict[str, Any] = {
        "model": target.model,
        "messages": item.messages,
        "max_tokens": target.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if target.temperature is not None:
        body["temperature"] = target.temperature
    if item.tools:
        body["tools"] = item.tools
    headers: Headers = ((b"content-type", b"application/json"), (b"accept", b"text/event-stream"))
    if target.api_key is not None:
        headers = (*headers, (b"authorization", b"Bearer " + target.api_key.encode()))
    call = HttpCall(b"POST", target.origin.prefix + b"/chat/completions", headers, msgspec.json.encode(body))
    answer = _Answer()
    # A connection of its own: some servers close theirs after a stream without saying so.
    answer.call = client.request(target.origin, call, answer, reuse=False)
    try:
        await asyncio.wait_for(answer.over, target.timeout_s)
    except TimeoutError:
        answer.call.cancel()
        answer.error = f"no whole answer within {target.timeout_s:g} s"
    return answer.result(item)


class _Answer:
    """One answer under way: the receiver of the HTTP client."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self.call: ClientCall | None = None
        self.error: str | None = None
        self._now = loop.time
        self._sent_s = loop.time()
        self._first_s: float | None = None
        self._status = 0
        self._error_body = b""
        self._decoder = SseDecoder()
        self._whole = Aggregator("chat")
        self._is_finished = False
        self._tokens = 0
        self._reported_tokens: int | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:  # noqa: ARG002 - the protocol's
        self._status = status

    def on_body(self, data: bytes) -> None:
        if self._status != 200:
            self._error_body += data[: _ERROR_BYTES - len(self._error_body)]
            return
        try:
            for event in self._decoder.feed(data):
                if event.data is not None and not is_done(event.data):
                    self._read(event.data)
        except (MalformedChunk, SseTooLong, AnswerTooLong) as error:
            self._fail(str(error))

    def _read(self, data: bytes) -> None:
        chunk = read_chunk(data)
        if chunk.error is not None:
            self._fail(chunk.error.message)
            return
        if chunk.has_token:
            self._tokens += 1
            self._first_s = self._first_s or self._now()
        if chunk.usage is not None and chunk.usage.output_tokens is not None:
            self._reported_tokens = chunk.usage.output_tokens
        self._is_finished = self._is_finished or chunk.finish_reason is not None
        self._whole.add(data)

    def on_end(self) -> None:
        if self._status != 200:
            self._fail(f"HTTP {self._status}: {self._error_body.decode('utf-8', 'replace')[:300]}")
        elif not self._is_finished:
            self._fail("the stream ended without a finish reason")
        self._settle()

    def on_fault(self, fault: TransportFault) -> None:
        self._fail(fault.message)
        self._settle()

    def _fail(self, error: str) -> None:
        self.error = self.error or error
        if self.call is not None and self._status == 200:
            self.call.cancel()
            self._settle()

    def _settle(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def result(self, item: Item) -> Result:
        """Judge what came."""
        reply = Reply() if self.error is not None else _reply(self._whole)
        return Result(
            id=item.id,
            task=item.task,
            language=item.language,
            is_right=self.error is None and is_right(item.expected, reply),
            output_tokens=self._tokens if self._reported_tokens is None else self._reported_tokens,
            ttft_s=None if self._first_s is None else self._first_s - self._sent_s,
            e2e_s=self._now() - self._sent_s,
            said=reply.content[:2000],
            error=self.error,
        )


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)


class _Body(msgspec.Struct):
    choices: list[_Choice] = []


def _reply(whole: Aggregator) -> Reply:
    body = msgspec.json.decode(whole.finish(), type=_Body)
    if not body.choices:
        return Reply()
    message = body.choices[0].message
    calls = tuple((call.function.name or "", call.function.arguments or "") for call in message.tool_calls or ())
    return Reply(content=message.content or "", calls=calls)
