"""The client's side of one socket: one call at a time, its response parsed and handed on per wake-up."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, cast

import httptools

from overspill.gateway.http.client_call import ClientCall, Passage
from overspill.gateway.http.fault import FaultKind, TransportFault
from overspill.gateway.http.limits import bound_reads

if TYPE_CHECKING:
    from overspill.gateway.http.client import ConnectionPool

_SINGLE = frozenset((b"content-length", b"transfer-encoding"))


class _Part(Enum):
    """How far the response has been read."""

    HEAD = 1
    FRAMED_BODY = 2
    """Its end is in the framing: an end of file before it is a cut."""
    BODY_TO_EOF = 3
    WHOLE = 4


class Malformed(Exception):  # noqa: N818 - becomes a TransportFault; never leaves this package
    """Stops the parser: the response cannot be used."""


class ClientConnection(asyncio.Protocol):
    """A connection to an origin, alone with a call or idle in its pool."""

    __slots__ = (
        "_body",
        "_call",
        "_has_extra",
        "_has_received",
        "_head",
        "_headers",
        "_is_aborted",
        "_is_between",
        "_is_between_chunks",
        "_is_fresh",
        "_is_kept_alive",
        "_is_reused",
        "_opening",
        "_overhead_bytes",
        "_parser",
        "_part",
        "_pool",
        "_status",
        "_transport",
        "last_read_s",
        "opened_s",
        "passage",
    )

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._call: ClientCall | None = None
        self._is_reused = False
        self._is_aborted = False
        self._is_fresh = False
        """Something has passed since the last sweep."""
        self.passage: Passage | None = None
        """Offered each chunk of a chunked answer before it is parsed; ends with its call."""
        self.opened_s = pool.client.now_s
        self.last_read_s = self.opened_s
        """When bytes last came, or the call was sent, or (idle) its last response ended."""
        self._part = _Part.HEAD
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: list[tuple[bytes, bytes]] | None = None
        """A complete final head, not yet handed on."""
        self._overhead_bytes = 0
        """Received since the response began or since the last byte of a body."""
        self._body: list[bytes] = []
        self._is_kept_alive = False
        self._has_received = False
        self._has_extra = False
        self._is_between = True
        """The parser has seen nothing of a next message."""
        self._is_between_chunks = False
        """The parser has seen a chunk's end and nothing of a next one."""
        self._opening = b""
        """What was received with the first byte of the response."""

    @property
    def is_usable(self) -> bool:
        """Whether an idle connection still stands, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def _is_stale(self) -> bool:
        """Whether this was a kept connection that gave nothing at all: the peer had most likely closed it before."""
        return self._is_reused and not self._has_received

    @property
    def is_idle(self) -> bool:
        """Whether it has no call."""
        return self._call is None

    def send(self, call: ClientCall, *, is_reused: bool) -> None:
        """Write the call at once."""
        transport = self._transport
        assert transport is not None
        self._call = call
        self._is_reused = is_reused
        self._part = _Part.HEAD
        self._overhead_bytes = 0
        self._has_received = self._has_extra = False
        self._is_between_chunks = False
        self.last_read_s = self._pool.client.now_s
        call.attach(connection=self, task=None)
        for piece in call.payload:
            transport.write(piece)
        if call.is_paused:
            transport.pause_reading()

    def abort(self) -> None:
        """Close now, or as soon as it opens; the call, if any, has been cancelled and hears nothing."""
        self._call = self.passage = None
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()

    def shut_down(self, message: str) -> None:
        """Close now, and say why to the call."""
        if self._call is None:
            self.abort()
        else:
            self._give_up(self._call, FaultKind.CUT, message)

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on; silence counts from now."""
        self.last_read_s = self._pool.client.now_s
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def sweep(self, now_s: float, silence_timeout_s: float) -> None:
        """Give up on a peer that has been silent for too long while we were listening."""
        call = self._call
        if self._is_fresh:
            self._is_fresh = False
            self.last_read_s = now_s
        if call is None or call.is_paused or now_s - self.last_read_s <= silence_timeout_s:
            return
        self._give_up(call, FaultKind.IDLE_TIMEOUT, f"{self._pool.name} sent nothing for {silence_timeout_s:g} s")

    # -- the transport's callbacks ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for a first call."""
        self._transport = cast("asyncio.Transport", transport)
        bound_reads(transport)
        self._parser = httptools.HttpResponseParser(self)
        if self._is_aborted:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call by what the loss means: a clean end, a stale connection to try again, or a cut."""
        self._transport = None
        self._parser = None
        self._pool.forget(self)
        call, self._call = self._call, None
        self.passage = None
        if call is None or call.is_done:
            return
        if self._part is _Part.BODY_TO_EOF and exc is None:
            call.is_done = True
            call.receiver.on_end()
        elif self._is_stale and call.can_retry and not self._pool.client.is_closed:
            call.can_retry = False
            self._pool.client.connect(self._pool, call)
        else:
            why = "" if exc is None else f" ({exc})"
            when = "before its response" if not self._has_received else "in the middle of its response"
            self._give_up(call, FaultKind.CUT, f"{self._pool.name} closed the connection {when}{why}")

    def eof_received(self) -> None:
        """Close at once: waiting until a peer that has left has read our request could last for ever."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse, then hand on what was parsed: a receiver never runs inside the parser."""
        passage = self.passage
        if passage is not None and self._is_between_chunks and passage.take(data):
            self._is_fresh = True
            return
        call, parser = self._call, self._parser
        if call is None or parser is None:
            self.abort()  # nobody asked
            return
        self._has_received = True
        self.last_read_s = self._pool.client.now_s
        if self._is_between:
            body = self._pool.answers.body_of(data)
            if body is not None and not call.is_head:
                self._deliver_known(call, body)
                return
            self._opening = data
        why = ""
        try:
            self._overhead_bytes += len(data)
            parser.feed_data(data)
            if self._is_between_chunks and not data.endswith(b"\r\n"):
                self._is_between_chunks = False  # a piece of the next chunk's size, of which no callback tells
            if self._overhead_bytes > self._pool.client.limits.max_header_bytes and self._part is not _Part.WHOLE:
                why = "its head, chunk extensions or trailers are too large"
        except httptools.HttpParserUpgrade:
            why = "it switches protocols"
        except httptools.HttpParserError as error:
            why = str(error.__context__ or error)
        self._deliver(call, why)

    def _deliver_known(self, call: ClientCall, body: bytes) -> None:
        """Hand on a response whose head has come before; the parser stays where it is, between two messages."""
        answers, receiver = self._pool.answers, call.receiver
        receiver.on_head(answers.status, answers.headers)
        if body and not call.is_done:
            receiver.on_body(body)
        if call.is_done:
            return
        call.is_done = True
        self._part = _Part.WHOLE
        self._is_kept_alive = True
        self._release(call, is_clean=True)
        receiver.on_end()

    def _deliver(self, call: ClientCall, malformed: str) -> None:
        """Hand on in order; any callback may cancel the call."""
        receiver = call.receiver
        if self._head is not None:
            head, self._head = self._head, None
            receiver.on_head(self._status, head)
        body = self._body
        if body:
            if len(body) == 1:
                data = body.pop()
            else:
                data = b"".join(body)
                body.clear()
            if not call.is_done:
                receiver.on_body(data)
        if call.is_done:
            return
        if self._part is _Part.WHOLE:
            call.is_done = True
            self._release(call, is_clean=not malformed)
            receiver.on_end()
        elif malformed:
            self._give_up(call, FaultKind.MALFORMED, f"{self._pool.name} sent no usable HTTP response: {malformed}")

    def _release(self, call: ClientCall, *, is_clean: bool) -> None:
        """Go back to the pool, if nothing speaks against using this connection again."""
        self._call = self.passage = None
        transport = self._transport
        if transport is None:
            return
        keeps = is_clean and self._is_kept_alive and not (self._has_extra or call.closes)
        if keeps and transport.get_write_buffer_size() == 0:
            if call.is_paused:
                transport.resume_reading()
            self._pool.put_back(self)
        else:
            transport.abort()

    def _give_up(self, call: ClientCall, kind: FaultKind, message: str) -> None:
        """Close now and end the call with a fault."""
        is_before = self._part is _Part.HEAD
        self.abort()
        call.fail(TransportFault(kind, message, bytes_received=self._has_received, is_before_response=is_before))

    # -- the parser's callbacks ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notice a response that nobody asked for."""
        self._is_between = False
        if self._part is _Part.WHOLE:
            self._has_extra = True
            raise Malformed("bytes after the end of the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; a trailer is dropped."""
        if self._part is _Part.HEAD:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Take the final head; drop interim ones."""
        parser, call = self._parser, self._call
        if parser is None or call is None:
            return
        headers, self._headers = self._headers, []
        self._status = parser.get_status_code()
        if self._status < 200:
            self._opening = b""
            return
        framing = self._read_framing(headers)
        self._is_kept_alive = parser.should_keep_alive()
        self._head = headers
        if self._is_kept_alive and self._status == 200 and not call.is_head:
            self._pool.answers.keep(self._opening, self._status, headers)
        self._opening = b""
        if call.is_head:  # llhttp cannot know that no body follows
            self._part = _Part.WHOLE
            self._is_kept_alive = False
        elif framing or self._status in {204, 304}:
            self._part = _Part.FRAMED_BODY
        else:
            self._part = _Part.BODY_TO_EOF

    def _read_framing(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Say whether the response says where it ends; refuse it if two readers could disagree."""
        limits = self._pool.client.limits
        if len(headers) > limits.max_headers:
            raise Malformed(f"{len(headers)} headers; at most {limits.max_headers} are read")
        framing = b""
        for name, value in headers:
            if name in _SINGLE:
                if framing:
                    raise Malformed("Content-Length and Transfer-Encoding together, or one of them repeated")
                if name == b"transfer-encoding" and value.lower() != b"chunked":
                    raise Malformed("a Transfer-Encoding other than chunked")
                framing = name
        return framing != b""

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body."""
        if self._part is not _Part.WHOLE:
            self._body.append(data)
            self._overhead_bytes = 0

    def on_chunk_header(self) -> None:
        """Note the beginning of a chunk."""
        self._is_between_chunks = False

    def on_chunk_complete(self) -> None:
        """Note the end of a chunk."""
        self._is_between_chunks = True

    def on_message_complete(self) -> None:
        """Note that the response is whole; an interim one only makes way for the next."""
        self._is_between = True
        self._is_between_chunks = False
        if self._status >= 200:
            self._part = _Part.WHOLE
