"""One client's connection: bytes in, whole requests in order to the handler, responses out.

llhttp parses; its callbacks only collect. What they collected is acted upon after the parser has returned, so that a
handler never runs inside the parser. No task, no future and no timer belongs to a request: the server's sweep looks
at ``_since_s`` now and then.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from overspill.gateway.http.coding import decoded
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import bound_reads
from overspill.gateway.http.proxies import TrustedProxies
from overspill.gateway.http.refusal import EarlyAnswer, Refusal, refusal_of
from overspill.gateway.http.repeat import RepeatedHead, learn
from overspill.gateway.http.request import (
    Request,
    body_too_large,
    head_bytes,
    header_too_large,
    read_head,
)
from overspill.gateway.http.response import encode_head

if TYPE_CHECKING:
    from overspill.gateway.http.server import Server

_LOG = logging.getLogger("overspill.http")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ServerConnection(asyncio.Protocol):
    """The server's side of one socket."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_exchange",
        "_feed_bytes",
        "_framing_bytes",
        "_head_bytes",
        "_headers",
        "_is_between",
        "_is_dispatching",
        "_is_fresh",
        "_is_in_head",
        "_is_lingering",
        "_is_reading_paused",
        "_known",
        "_known_request",
        "_opening",
        "_parser",
        "_peer",
        "_proxies",
        "_queued_bytes",
        "_ready",
        "_refusal",
        "_request",
        "_server",
        "_since_s",
        "_stalled_since_s",
        "_target",
        "_transport",
        "compress_from_bytes",
        "is_writable",
        "write_buffer_bytes",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._peer = ""
        self._proxies: TrustedProxies | None = None
        """Set if the peer is one of them."""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        """Received of the head that is being read; 0 between requests."""
        self._feed_bytes = 0
        """An upper bound of the head's size while the parser runs."""
        self._is_in_head = False
        self._is_between = True
        """The parser has seen nothing of a next message."""
        self._opening = b""
        """What was received with the first byte of the head that is being read."""
        self._known: RepeatedHead | None = None
        """The last head, if it may come again."""
        self._known_request: Request | None = None
        """What was read from it."""
        self._request: Request | None = None
        """Its head is complete, its body is not."""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._framing_bytes = 0
        """Received since the last byte of a chunked body: extensions, trailers."""
        self._ready: deque[Request] = deque()
        self._exchange: Exchange | None = None
        self._refusal: Refusal | None = None
        """Set once; nothing is parsed after it."""
        self._queued_bytes = 0
        self._is_fresh = True
        self._is_dispatching = False
        self._is_reading_paused = False
        self._is_lingering = False
        self._since_s = server.now_s
        self._stalled_since_s: float | None = None
        self.is_writable = True
        self.write_buffer_bytes = server.limits.write_buffer_bytes
        self.compress_from_bytes = server.limits.compress_from_bytes

    # -- what the exchange sees ------------------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether responses that start now announce the close of the connection."""
        return self._server.is_draining

    @property
    def date_line(self) -> bytes:
        """The current ``Date`` line."""
        return self._server.date_line

    @property
    def passage(self) -> Callable[[bytes], None] | None:
        """The transport's own write."""
        return None if self._transport is None else self._transport.write

    def send(self, data: bytes) -> None:
        """Hand bytes to the transport."""
        if self._transport is not None:
            self._transport.write(data)

    def end_exchange(self, *, closes: bool) -> None:
        """Go on with the next request, or close after what was sent."""
        self._exchange = None
        self._since_s = self._server.now_s
        if closes or self._server.is_draining:
            self._ready.clear()
            self._close()
        elif not self._is_dispatching:
            self._dispatch()

    def break_off(self, *, resets: bool) -> None:
        """Close without a clean end of the response."""
        self._exchange = None
        self._since_s = self._server.now_s
        self._ready.clear()
        transport = self._transport
        if transport is None:
            return
        if resets:
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        else:
            transport.close()

    # -- the transport's callbacks ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading, or turn the client away where there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self.write_buffer_bytes)
        bound_reads(transport)
        self._peer = _peer_name(transport)
        self._proxies = self._server.proxies.for_peer(self._peer)
        self._parser = httptools.HttpRequestParser(self)
        if not self._server.admit(self):
            limit = self._server.limits.max_connections
            self._refuse(Refusal(503, "too_many_connections", f"{limit} connections are open; try again later"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it was lost does not matter here
        """Forget everything and tell the handler of an unfinished exchange."""
        self._server.forget(self)
        self._transport = None
        self._parser = None  # it holds our bound methods: a cycle
        self._ready.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.lose_client()

    def eof_received(self) -> None:
        """Treat a client that sends no more as gone: a half-closed socket cannot be told from a killed client."""
        if self._exchange is not None and self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """Note that the client has fallen behind."""
        self.is_writable = False
        self._stalled_since_s = self._server.now_s
        exchange = self._exchange
        if exchange is not None and exchange.on_stalled is not None:
            exchange.on_stalled()

    def resume_writing(self) -> None:
        """Let the source go on."""
        self.is_writable = True
        self._stalled_since_s = None
        exchange = self._exchange
        if exchange is not None and exchange.on_writable is not None:
            exchange.on_writable()

    def data_received(self, data: bytes) -> None:
        """Parse, then act on what was parsed."""
        if self._refusal is not None or self._parser is None:
            return
        request = self._request
        if request is None:
            if self._is_between:
                if self._known is not None and self._exchange is None and self._take_known(self._known, data):
                    return
                self._opening = data
            self._head_bytes += len(data)
            self._feed_bytes = self._head_bytes
        elif request.is_chunked:
            self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
            self._check_progress()
        except httptools.HttpParserUpgrade as signal:
            self._ignore_upgrade(data[signal.args[0] :])
            return
        except httptools.HttpParserCallbackError as error:
            self._refusal = refusal_of(error)
        except httptools.HttpParserError as error:
            self._refusal = Refusal(400, "bad_request", f"not a valid HTTP/1.1 request: {error}")
        except Refusal as refusal:
            self._refusal = refusal
        if self._exchange is None:
            self._dispatch()
        else:
            self._hold_back(len(data))

    # -- the parser's callbacks ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note the first byte of a request."""
        self._is_between = False

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._target += url
        if len(self._target) > self._server.limits.max_target_bytes:
            limit = self._server.limits.max_target_bytes
            raise Refusal(414, "target_too_long", f"the request target is over {limit} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header. A trailer is read and dropped: nothing decides by one."""
        if self._request is None:
            self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        """Check the head and decide whether the body is wanted."""
        server, parser, headers, target = self._server, self._parser, self._headers, self._target
        if parser is None:
            return
        limits = server.limits
        if self._feed_bytes > limits.max_header_bytes < head_bytes(target, headers):
            raise header_too_large(limits)
        request = read_head(parser.get_method(), target, parser.get_http_version(), headers, limits)
        if parser.should_upgrade():
            return  # on_message_complete follows at once, without the body: see _ignore_upgrade
        request.is_kept_alive = parser.should_keep_alive()
        request.peer = self._peer
        if self._proxies is not None:
            self._proxies.apply(request)
        if server.head_check is not None:
            request.answer = server.head_check(request)
            if request.answer is not None and (request.is_chunked or request.content_length):
                # and close, rather than read a body that nobody wants
                raise EarlyAnswer(*request.answer, request.extra_lines)
        self._request = request
        if request.content_length > limits.max_body_bytes:
            raise body_too_large(limits)
        self._is_fresh = self._is_in_head = False
        self._since_s = server.now_s
        if request.can_come_again:
            self._known, self._known_request = learn(self._opening, limits.max_header_bytes), request
        elif not request.is_kept_alive:
            self.forget_head()  # nothing that still comes is served
        self._opening = b""  # a second request in the same bytes begins elsewhere in them

    def on_body(self, data: bytes) -> None:
        """Collect a piece of the body."""
        self._body.append(data)
        self._body_bytes += len(data)
        self._framing_bytes = 0
        if self._body_bytes > self._server.limits.max_body_bytes:
            raise body_too_large(self._server.limits)

    def on_message_complete(self) -> None:
        """Queue the whole request."""
        request = self._request
        if request is None:
            return
        if len(self._ready) >= self._server.limits.max_pipelined:
            limit = self._server.limits.max_pipelined
            raise Refusal(429, "too_many_pipelined", f"more than {limit} requests wait on this connection")
        body = self._body
        if body:
            request.body = body[0] if len(body) == 1 else b"".join(body)
            self._body = []
            self._body_bytes = 0
        self._request = None
        self._target = b""
        self._headers = []
        self._head_bytes = 0
        self._is_between = True
        self._ready.append(request)

    # -- what follows from what was parsed -------------------------------------------------------------------------

    def _take_known(self, known: RepeatedHead, data: bytes) -> bool:
        """Hand a request on whose head is the last one's again; the parser stays where it is, between two messages."""
        body = known.body_of(data)
        request = self._known_request
        server = self._server
        if body is None or request is None or len(body) > server.limits.max_body_bytes:
            return False
        if self._ready:  # from the same read, before an offer to upgrade: see _ignore_upgrade
            return False
        self._exchange = exchange = Exchange(request.again(body), self, server.loop)
        self._hand_over(exchange)
        return True

    def forget_head(self) -> None:
        """Read the next head in full."""
        self._known = self._known_request = None

    def _check_progress(self) -> None:
        """Bound what is neither a finished head nor a body: half a head, chunk extensions, trailers."""
        limit = self._server.limits.max_header_bytes
        request = self._request
        if request is not None:
            if self._framing_bytes > limit and request.is_chunked:
                raise Refusal(400, "chunk_framing_too_large", f"over {limit} bytes of chunk extensions or trailers")
        elif not self._target and not self._headers:
            self._head_bytes = 0
        else:
            if self._head_bytes > limit:
                raise header_too_large(self._server.limits)
            if not self._is_in_head:
                self._is_in_head = True
                self._since_s = self._server.now_s

    def _dispatch(self) -> None:
        """Hand waiting requests to the handler until one stays in flight; then see what else the client is owed."""
        self._is_dispatching = True
        server, ready = self._server, self._ready
        while self._exchange is None and ready:
            self._exchange = Exchange(ready.popleft(), self, server.loop)
            self._hand_over(self._exchange)
        self._is_dispatching = False
        transport = self._transport
        if self._exchange is not None or transport is None or transport.is_closing():
            return
        if self._refusal is not None:
            self._send_refusal(transport, self._refusal)
        elif self._request is not None and self._request.expects_continue:
            self._request.expects_continue = False
            transport.write(_CONTINUE)
        self._queued_bytes = 0
        if self._is_reading_paused:
            self._is_reading_paused = False
            transport.resume_reading()

    def _hand_over(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.answer is not None:
            exchange.reply(*request.answer)
            return
        if request.coding is not None and request.body:
            try:
                request.body = decoded(request.body, request.coding, self._server.limits.max_body_bytes)
            except Refusal as refusal:
                exchange.reply(refusal.status, refusal.headers, refusal.body)
                return
        try:
            self._server.handler(exchange)
        except Exception:  # noqa: BLE001 - see below
            # The HTTP edge: one request's failure must not take the connection, or the server, with it.
            _LOG.exception("the handler failed on %s %s", request.method, request.path)
            exchange.fail()

    def _hold_back(self, received_bytes: int) -> None:
        """Stop reading from a client that sends far ahead of its answers; its leaving is then seen by our writing."""
        self._queued_bytes += received_bytes
        transport = self._transport
        if self._queued_bytes > self._server.limits.max_header_bytes and transport is not None:
            self._is_reading_paused = True
            transport.pause_reading()

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Serve a request that offers an upgrade as if it did not (RFC 9110 §7.8).

        Clients offer h2c on ordinary requests. llhttp then skips the body, so the head is given to a new parser
        without the offer, followed by the bytes that llhttp has not read.
        """
        parser = self._parser
        if parser is None:
            return
        tokens = b",".join(value for name, value in self._headers if name == b"connection").lower()
        kept = [(n, v) for n, v in self._headers if n not in {b"upgrade", b"connection", b"http2-settings"}]
        if b"close" in (token.strip() for token in tokens.split(b",")):
            kept.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in kept)
        head = b"%b %b HTTP/%b\r\n" % (parser.get_method(), self._target, parser.get_http_version().encode())
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers = []
        self._head_bytes = 0
        self._is_between = True
        self.forget_head()  # it may be this one without the offer, and the parser is to note that a head has come
        self.data_received(head + lines + b"\r\n" + rest)

    # -- refusing and closing --------------------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        if self._exchange is None:
            self._dispatch()

    def _send_refusal(self, transport: asyncio.Transport, refusal: Refusal) -> None:
        """Answer, then throw away what still comes: closing with unread input would reset the answer away."""
        if self._is_lingering:
            return
        self._is_lingering = True
        self._since_s = self._server.now_s
        self._body.clear()
        framing = b"content-length: %d\r\n" % len(refusal.body)
        extra = refusal.extra_lines if self._request is None else self._request.extra_lines
        head = encode_head(refusal.status, refusal.headers, extra + framing, self._server.date_line, closes=True)
        transport.write(head + refusal.body)
        if transport.can_write_eof():
            transport.write_eof()

    def _close(self) -> None:
        self._since_s = self._server.now_s
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; an unfinished exchange learns it through ``on_gone``."""
        if self._transport is not None:
            self._transport.abort()

    def drain(self) -> None:
        """Close if nothing is under way; else the response to come will say that the connection closes."""
        if self._exchange is None and self._request is None and not self._is_in_head and not self._is_lingering:
            self._close()

    def sweep(self, now_s: float) -> None:
        """Act on whatever has taken too long."""
        transport, limits = self._transport, self._server.limits
        if transport is None:
            return
        age_s = now_s - self._since_s
        if self._stalled_since_s is not None and now_s - self._stalled_since_s > limits.write_stall_s:
            transport.abort()
        elif transport.is_closing():
            if age_s > limits.write_stall_s:
                transport.abort()
        elif self._is_lingering:
            if age_s > limits.linger_s:
                transport.abort()
        elif self._exchange is None:
            self._sweep_reading(age_s)

    def _sweep_reading(self, age_s: float) -> None:
        limits = self._server.limits
        if self._request is not None:
            if age_s > limits.body_timeout_s + self._body_bytes / limits.min_body_bytes_per_s:
                self._refuse(Refusal(408, "body_timeout", "the request's body arrived too slowly"))
        elif self._is_in_head:
            if age_s > limits.header_timeout_s:
                self._refuse(Refusal(408, "header_timeout", "the request's head arrived too slowly"))
        elif age_s > (limits.header_timeout_s if self._is_fresh else limits.idle_timeout_s):
            self._close()


def _peer_name(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "local"
