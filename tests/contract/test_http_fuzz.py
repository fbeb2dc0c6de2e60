"""Arbitrary bytes and arbitrary boundaries, in process: the protocol classes on a transport that only records."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.http_support import FakeClock, Heard, answer_with_body

from overspill.gateway.http.client import ConnectionPool, HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.client_connection import ClientConnection
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import ClientLimits, Limits
from overspill.gateway.http.server import Server
from overspill.gateway.http.server_connection import ServerConnection
from overspill.wire.http import Origin

_LIMITS = Limits(max_header_bytes=400, max_headers=8, max_body_bytes=200, max_target_bytes=60, max_pipelined=4)

_FRAGMENTS = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a%20b?c HTTP/1.1\r\nHost: x\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"\r\n",
    b"\n",
    b" ",
    b"\0",
    b":",
    b"X: y\r\n",
]
_noise = st.lists(st.one_of(st.sampled_from(_FRAGMENTS), st.binary(max_size=40)), max_size=12).map(b"".join)


class RecordingTransport(asyncio.Transport):
    """Keeps what is written and knows whether it was closed; never touches a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def _serve(pieces: list[bytes], handler: Any) -> tuple[RecordingTransport, Server, ServerConnection, FakeClock]:
    clock = FakeClock()
    server = Server(handler, limits=_LIMITS, clock=clock)
    connection, transport = ServerConnection(server), RecordingTransport()
    connection.connection_made(transport)
    for piece in pieces:
        if not transport.closing:
            connection.data_received(piece)
    return transport, server, connection, clock


@settings(max_examples=400, deadline=None)
@given(_noise, st.lists(st.integers(0, 1000), max_size=6))
def test_no_bytes_crash_the_server_or_keep_a_connection_open_for_ever(data: bytes, cuts: list[int]) -> None:
    async def main() -> None:
        transport, server, connection, clock = _serve(_cut(data, cuts), answer_with_body)
        for _ in range(3):
            server.sweep(clock.advance(_LIMITS.idle_timeout_s + _LIMITS.body_timeout_s + 1))
        assert transport.closing
        assert b"500 Internal" not in transport.written
        connection.connection_lost(None)
        assert server.connections == 0
        await server.close()

    asyncio.run(main())


_REQUESTS = (
    b'POST /v1/chat?x=1 HTTP/1.1\r\nHost: h\r\nX-A:  b \r\nContent-Length: 7\r\n\r\n{"a":1}'
    b"POST /%E4%BD%A0 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;e=f\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"
    b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(_REQUESTS)), max_size=40))
def test_requests_read_the_same_wherever_they_are_cut(cuts: list[int]) -> None:
    async def main() -> None:
        seen: list[tuple[str, str, bytes, bytes, bytes | None]] = []

        def handler(exchange: Exchange) -> None:
            request = exchange.request
            seen.append((request.method, request.path, request.query, request.body, request.header(b"x-a")))
            exchange.reply(200, [], b"")

        transport, server, connection, _ = _serve(_cut(_REQUESTS, cuts), handler)
        assert seen == [
            ("POST", "/v1/chat", b"x=1", b'{"a":1}', b"b"),
            ("POST", "/你", b"", b"abcde", None),
            ("POST", "/", b"", b"hi", None),
            ("GET", "/", b"", b"", None),
        ]
        assert transport.closing
        connection.connection_lost(None)
        await server.close()

    asyncio.run(main())


async def _hear(pieces: list[bytes], limits: ClientLimits) -> tuple[Heard, ClientConnection, RecordingTransport]:
    client = HttpClient(limits=limits)
    pool = ConnectionPool(client, Origin())
    connection, transport = ClientConnection(pool), RecordingTransport()
    connection.connection_made(transport)
    heard = Heard()
    call = ClientCall([b"GET"], heard, is_head=False, closes=False, connect_timeout_s=1.0)
    connection.send(call, is_reused=False)
    for piece in pieces:
        if not transport.closing:
            connection.data_received(piece)
    await client.close()
    return heard, connection, transport


@settings(max_examples=400, deadline=None)
@given(_noise, st.lists(st.integers(0, 1000), max_size=6))
def test_no_bytes_crash_the_client_and_every_call_ends_exactly_once(data: bytes, cuts: list[int]) -> None:
    async def main() -> None:
        heard, connection, _ = await _hear(_cut(data, cuts), ClientLimits(max_header_bytes=300))
        connection.connection_lost(None)
        assert heard.ends + len(heard.faults) == 1
        if heard.ends:
            assert heard.status >= 200

    asyncio.run(main())


_RESPONSE = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A:  b \r\nTransfer-Encoding: chunked\r\n\r\n"
    b"6\r\ndata: \r\n4;x\r\n1\n\n\xe4\r\n2\r\n\xbd\xa0\r\n0\r\nT: v\r\n\r\n"
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(_RESPONSE)), max_size=40))
def test_a_response_reads_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    async def main() -> None:
        heard, connection, _ = await _hear(_cut(_RESPONSE, cuts), ClientLimits())
        connection.connection_lost(None)
        assert (heard.status, heard.ends, heard.faults) == (200, 1, [])
        assert heard.headers == [(b"x-a", b"b"), (b"transfer-encoding", b"chunked")]
        assert heard.body == "data: 1\n\n你".encode()

    asyncio.run(main())


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(_RESPONSE) - 1))
def test_a_response_cut_anywhere_before_its_end_never_ends_well(length: int) -> None:
    async def main() -> None:
        heard, connection, _ = await _hear([_RESPONSE[:length]] if length else [], ClientLimits())
        connection.connection_lost(None)
        assert heard.ends == 0
        assert len(heard.faults) == 1

    asyncio.run(main())
