"""Plays a trace as a real HTTP client: open loop, so a slow answer never delays the next question.

This is the client's end of a rehearsal. Requests leave at the times of the trace whatever happens to those before; what
each one experienced comes back as a ``RequestResult`` (``summary.summarise`` adds them up).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.limits import ClientLimits
from overspill.gateway.rehearsal.summary import RequestResult
from overspill.wire.answers import MalformedChunk
from overspill.wire.chunks import is_done, read_chunk
from overspill.wire.http import Headers, HttpCall, Origin
from overspill.wire.sse import SseDecoder, SseTooLong

_ERROR_BODY_BYTES = 64 * 1024
_WORDS = (
    "sun",
    "map",
    "tea",
    "oak",
    "ice",
    "jar",
    "fig",
    "bee",
    "owl",
    "rug",
    "net",
    "cup",
    "log",
    "pen",
    "hat",
    "key",
)
_CHARACTERS_PER_TOKEN = 4
_MESSAGE_CHARACTERS = len('[{"role":"user","content":""}]')


class PlannedRequest(Protocol):
    """What a trace says of one request (``planner.workload.TraceRequest`` is one)."""

    @property
    def at_s(self) -> float:
        """Seconds from the start."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Wanted length of the prompt."""
        ...

    @property
    def output_tokens(self) -> int:
        """Sent as ``max_tokens``."""
        ...


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a trace is played."""

    model: str
    api_key: str | None = None
    timeout_s: float = 120.0
    """From sending a request to the end of its answer; then it is cancelled and has failed."""
    max_open: int = 2000
    """Requests under way at once; one that would be more is not sent and has failed."""
    first_number: int = 0
    """Number of the first prompt; two plays whose numbers differ share no prompt that an engine may have cached. Each
    request bears its number as ``x-request-id``."""
    keeps_text: bool = False
    """Whether results carry the answer's text."""
    fields: Mapping[str, Any] = {}
    """Further fields of each request's body (``ignore_eos``…)."""


def prompt_text(number: int, tokens: int) -> str:
    """Write about ``tokens`` tokens of English words, different from the first word on for each ``number``."""
    wanted = max(_CHARACTERS_PER_TOKEN, tokens * _CHARACTERS_PER_TOKEN - _MESSAGE_CHARACTERS)
    words = [f"{number}"]
    state = number * 2 + 1
    for _ in range(wanted // _CHARACTERS_PER_TOKEN):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        words.append(_WORDS[state >> 16 & 15])
    return " ".join(words)[:wanted]


async def play(
    origin: Origin,
    requests: Iterable[PlannedRequest],
    options: LoadOptions,
    *,
    on_result: Callable[[RequestResult], None] | None = None,
) -> list[RequestResult]:
    """Send every request at its time and return what became of each, in the order given.

    Takes at most the trace's length plus ``timeout_s``. ``on_result`` hears each result as it comes.
    """
    client = HttpClient(limits=ClientLimits(silence_timeout_s=options.timeout_s, max_idle_connections=options.max_open))
    player = _Player(client, origin, list(requests), options, on_result)
    try:
        return await player.run()
    finally:
        player.stop()
        await client.close()


class _Player:
    """The trace under way."""

    def __init__(
        self,
        client: HttpClient,
        origin: Origin,
        requests: list[PlannedRequest],
        options: LoadOptions,
        on_result: Callable[[RequestResult], None] | None,
    ) -> None:
        self.client = client
        self.origin = origin
        self.options = options
        self.loop = asyncio.get_running_loop()
        self._order = sorted(range(len(requests)), key=lambda index: requests[index].at_s)
        self._requests = requests
        self._on_result = on_result
        self._results: list[RequestResult | None] = [None] * len(requests)
        self._missing = len(requests)
        self._open: set[_Flight] = set()
        self._next = 0
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = self.loop.create_future()
        self.start_s = self.loop.time()

    async def run(self) -> list[RequestResult]:
        if self._requests:
            self._send_due()
            await self._over
        return [result for result in self._results if result is not None]

    def stop(self) -> None:
        """Stop sending and cancel what is under way (its results are lost)."""
        if self._timer is not None:
            self._timer.cancel()
        for flight in self._open:
            flight.cancel()

    def _send_due(self) -> None:
        now_s = self.loop.time()
        while self._next < len(self._order):
            index = self._order[self._next]
            at_s = self.start_s + self._requests[index].at_s
            if at_s > now_s:
                self._timer = self.loop.call_at(at_s, self._send_due)
                return
            self._next += 1
            flight = _Flight(self, index, self._requests[index])
            if len(self._open) >= self.options.max_open:
                flight.end("not_sent", f"{self.options.max_open} requests were already under way")
            else:
                self._open.add(flight)
                flight.send()

    def settle(self, flight: _Flight, result: RequestResult) -> None:
        self._open.discard(flight)
        self._results[result.index] = result
        self._missing -= 1
        if self._on_result is not None:
            self._on_result(result)
        if not self._missing and not self._over.done():
            self._over.set_result(None)


class _Delta(msgspec.Struct, frozen=True):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = _Delta()


class _TextChunk(msgspec.Struct):
    choices: list[_Choice] = []


class _Flight:
    """One request under way: the receiver of its answer."""

    def __init__(self, player: _Player, index: int, planned: PlannedRequest) -> None:
        self._player = player
        self._index = index
        self._planned = planned
        self._sent_s = player.loop.time()
        self._call: ClientCall | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._decoder = SseDecoder()
        self._error_body = b""
        self._status: int | None = None
        self._headers: dict[bytes, str] = {}
        self._first_s: float | None = None
        self._tokens = 0
        self._finish_reason: str | None = None
        self._text: list[str] = []

    def send(self) -> None:
        player, options = self._player, self._player.options
        number = options.first_number + self._index
        content = prompt_text(number, self._planned.prompt_tokens)
        body = {
            "model": options.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._planned.output_tokens,
            "stream": True,
            **options.fields,
        }
        headers: Headers = (
            (b"content-type", b"application/json"),
            (b"accept", b"text/event-stream"),
            (b"x-request-id", b"%d" % number),
        )
        if options.api_key is not None:
            headers = (*headers, (b"authorization", b"Bearer " + options.api_key.encode()))
        call = HttpCall(b"POST", b"/v1/chat/completions", headers, msgspec.json.encode(body))
        self._timer = player.loop.call_later(options.timeout_s, self._expire)
        self._call = player.client.request(player.origin, call, self)

    def cancel(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._call is not None:
            self._call.cancel()

    def _expire(self) -> None:
        self.end("timeout", f"no whole answer within {self._player.options.timeout_s:g} s")

    # -- the client's receiver

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._headers = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"x-overspill-")}

    def on_body(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._status != 200:
            self._error_body += data[: _ERROR_BODY_BYTES - len(self._error_body)]
            return
        try:
            for event in self._decoder.feed(data):
                if event.data is not None and not self._is_over:
                    self._read(event.data)
        except (MalformedChunk, SseTooLong) as error:
            self.end("malformed", str(error))

    def _read(self, data: bytes) -> None:
        if is_done(data):
            self._end_stream()
            return
        chunk = read_chunk(data)
        if chunk.error is not None:
            self.end("error_event", chunk.error.message)
            return
        if chunk.has_token:
            self._tokens += 1
            if self._first_s is None:
                self._first_s = self._player.loop.time()
            if self._player.options.keeps_text:
                self._text += [choice.delta.content or "" for choice in _read_text(data).choices]
        self._finish_reason = chunk.finish_reason or self._finish_reason

    def on_end(self) -> None:
        if self._is_over:
            return
        if self._status == 200:
            self._end_stream()
        else:
            self.end("status", self._error_body.decode("utf-8", "replace"))

    def on_fault(self, fault: TransportFault) -> None:
        self.end(fault.kind.value, fault.message)

    def _end_stream(self) -> None:
        if self._finish_reason is None:
            self.end("cut", "the stream ended without a finish reason")
        else:
            self.end(None, "")

    def end(self, error: str | None, message: str) -> None:
        """Settle, once. After a whole answer the connection is left to end its response and be used again."""
        if self._is_over:
            return
        if error is not None:
            self.cancel()
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        now_s = self._player.loop.time()
        self._player.settle(
            self,
            RequestResult(
                index=self._index,
                planned_s=self._planned.at_s,
                sent_s=self._sent_s - self._player.start_s,
                e2e_s=now_s - self._sent_s,
                ttft_s=None if self._first_s is None else self._first_s - self._sent_s,
                status=self._status,
                output_tokens=self._tokens,
                finish_reason=self._finish_reason,
                target=self._headers.get(b"x-overspill-target"),
                reason=self._headers.get(b"x-overspill-reason"),
                error=error,
                message=message,
                text="".join(self._text) if self._player.options.keeps_text else None,
            ),
        )


def _read_text(data: bytes) -> _TextChunk:
    try:
        return msgspec.json.decode(data, type=_TextChunk)
    except msgspec.DecodeError as error:
        raise MalformedChunk(f"a chunk whose text cannot be read: {error}") from None
