"""A client that asks once and says exactly what it saw; it believes nothing that it was not sent."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import TransportFault
from overspill.wire.answers import ErrorBody, MalformedChunk
from overspill.wire.chunks import is_done, read_chunk, read_whole
from overspill.wire.http import HttpCall, Origin
from overspill.wire.sse import SseDecoder, SseTooLong

_BODY_BYTES = 1024 * 1024


class Sight(msgspec.Struct, kw_only=True):
    """What a client saw of one answer. Times are seconds from sending."""

    is_stream: bool
    """Whether it asked for a stream."""
    status: int | None = None
    headers: dict[str, str] = {}
    ttft_s: float | None = None
    """To the first content, reasoning or piece of a tool call; of a whole body, to its end."""
    total_s: float = 0.0
    reasoning: str = ""
    content: str = ""
    """Or a completion's text."""
    tool_arguments: str = ""
    finish_reason: str | None = None
    signs_of_life: int = 0
    """Comments, or pieces of white space, before anything else came."""
    has_done: bool = False
    """Whether the stream said ``[DONE]``."""
    error: ErrorBody | None = None
    """The error body, or the stream's error event."""
    is_readable: bool = True
    """False if the body, or an event, is not of OpenAI's form."""
    is_ended: bool = False
    """Whether the response ended as HTTP says; otherwise ``fault`` says what happened, or it still went on."""
    fault: str = ""

    @property
    def text(self) -> str:
        """All that came, in the order of the answer's parts."""
        return self.reasoning + self.content + self.tool_arguments


async def ask(client: HttpClient, origin: Origin, call: HttpCall, *, is_stream: bool, patience_s: float) -> Sight:
    """Send ``call`` and watch its answer to its end, but no longer than ``patience_s``."""
    witness = Witness(is_stream=is_stream)
    under_way = client.request(origin, call, witness)
    return await witness.watch(under_way, patience_s)


class Witness:
    """The receiver of one answer."""

    def __init__(self, *, is_stream: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._sent_s = self._loop.time()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._decoder: SseDecoder | None = None
        self._body = bytearray()
        self.sight = Sight(is_stream=is_stream)

    async def watch(self, call: ClientCall, patience_s: float) -> Sight:
        """Wait for the end and return what was seen; what goes on for too long is left."""
        await asyncio.wait([self._over], timeout=patience_s)
        if not self._over.done():
            call.cancel()
        self.sight.total_s = self._elapsed_s()
        return self.sight

    def _elapsed_s(self) -> float:
        return self._loop.time() - self._sent_s

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the head; a stream is one only if it says so."""
        self.sight.status = status
        self.sight.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        if status == 200 and self.sight.headers.get("content-type", "").startswith("text/event-stream"):
            self._decoder = SseDecoder()

    def on_body(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._decoder is None:
            if not self._body and data.isspace():
                self.sight.signs_of_life += 1
            else:
                self._body += data[: _BODY_BYTES - len(self._body)]
            return
        try:
            for event in self._decoder.feed(data):
                if event.data:
                    self._read(event.data)
                elif self.sight.ttft_s is None and not self.sight.has_done:
                    self.sight.signs_of_life += 1
        except (MalformedChunk, SseTooLong):
            self.sight.is_readable = False

    def on_end(self) -> None:
        """Note a response that ended as it should."""
        self.sight.is_ended = True
        if self._decoder is None:
            self._read_body()
        self._close()

    def on_fault(self, fault: TransportFault) -> None:
        """Note a response that did not."""
        self.sight.fault = fault.message
        self._close()

    def _close(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _read(self, data: bytes) -> None:
        sight = self.sight
        if is_done(data):
            sight.has_done = True
            return
        chunk = read_chunk(data)
        sight.error = sight.error or chunk.error
        sight.finish_reason = sight.finish_reason or chunk.finish_reason
        for choice in _choices(data):
            self._add(choice.get("delta") or {}, choice.get("text"))

    def _read_body(self) -> None:
        body = bytes(self._body)
        sight = self.sight
        try:
            whole = read_whole(body)
            sight.error = whole.error
            sight.finish_reason = whole.finish_reason
            for choice in _choices(body):
                self._add(choice.get("message") or {}, choice.get("text"))
        except MalformedChunk:
            sight.is_readable = False

    def _add(self, part: dict[str, Any], text: str | None) -> None:
        sight = self.sight
        sight.reasoning += part.get("reasoning_content") or ""
        sight.content += part.get("content") or text or ""
        for tool_call in part.get("tool_calls") or ():
            sight.tool_arguments += tool_call.get("function", {}).get("arguments") or ""
        if sight.ttft_s is None and sight.text:
            sight.ttft_s = self._elapsed_s()


def _choices(data: bytes) -> list[dict[str, Any]]:
    """Return the choices of what was read as an answer before."""
    return msgspec.json.decode(data, type=dict[str, Any]).get("choices") or []
