from __future__ import annotations

import asyncio
import logging
import re
import socket
from pathlib import Path

import pytest
from tests.contract.http_support import (
    CALL,
    GET,
    GET_AND_CLOSE,
    LOOPS,
    Heard,
    Peer,
    Run,
    answer_ok,
    answer_with_body,
    body_of,
    calling,
    connected,
    port_of,
    serving,
    status_of,
    talk,
    unreachable,
    until,
)

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.request import Request
from overspill.gateway.http.server import serve
from overspill.wire.http import Origin


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return LOOPS[request.param]


def test_a_request_reaches_the_handler_whole(run: Run) -> None:
    async def main() -> None:
        seen: list[Request] = []

        def handler(exchange: Exchange) -> None:
            seen.append(exchange.request)
            answer_ok(exchange)

        async with serving(handler) as server:
            await talk(
                server,
                b"POST /v1/a%20b?x=1&y=%20 HTTP/1.1\r\nHost: x\r\nX-Thing:  some thing \t\r\n"
                b"Connection: close\r\nContent-Length: 4\r\n\r\nbody",
            )
        (request,) = seen
        assert (request.method, request.path, request.query) == ("POST", "/v1/a b", b"x=1&y=%20")
        assert request.body == b"body"
        assert request.header(b"x-thing") == b"some thing"
        assert request.header(b"x-other") is None
        assert request.peer == "127.0.0.1"
        assert request.http_version == "1.1"

    run(main())


def test_a_reply_is_exact_and_carries_a_date(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server:
            response = await talk(server, GET_AND_CLOSE)
        pattern = (
            rb"HTTP/1\.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n"
            rb"date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\n"
            rb"connection: close\r\n\r\nok"
        )
        assert re.fullmatch(pattern, response)

    run(main())


def test_a_connection_serves_one_request_after_another(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_with_body) as server, connected(server) as peer:
            for body in (b"one", b"two", b"three"):
                peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                assert body_of(await peer.read_message()) == body
            assert server.connections == 1

    run(main())


def test_pipelined_requests_are_handled_one_by_one_and_answered_in_order(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(5)))
            for n in range(5):
                await until(lambda: waiting)
                await asyncio.sleep(0)
                (exchange,) = waiting
                waiting.clear()
                assert exchange.request.path == f"/{n}"
                exchange.reply(200, [], b"%d" % n)
                assert body_of(await peer.read_message()) == b"%d" % n

    run(main())


def test_too_many_pipelined_requests_are_refused_after_the_first_ones_are_answered(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok, limits=Limits(max_pipelined=3)) as server:
            response = await talk(server, GET * 10)
        assert response.count(b"HTTP/1.1 200") == 3
        assert response.count(b"HTTP/1.1 429") == 1

    run(main())


def test_reading_pauses_while_a_client_sends_far_ahead_of_its_answers(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        body = b"x" * 8_000_000
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.send(GET)
            await until(lambda: waiting)
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            peer.send(body)
            for _ in range(200):
                await asyncio.sleep(0)
            assert peer.writer.transport.get_write_buffer_size() > 0
            waiting.pop().reply(200, [], b"")
            await until(lambda: waiting)
            assert waiting.pop().request.body == body

    run(main())


def test_a_chunked_body_arrives_whole_and_its_trailers_are_dropped(run: Run) -> None:
    async def main() -> None:
        seen: list[Request] = []

        def handler(exchange: Exchange) -> None:
            seen.append(exchange.request)
            answer_ok(exchange)

        async with serving(handler) as server:
            await talk(
                server,
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nHost: evil\r\nAuthorization: Bearer evil\r\n\r\n"
                + GET_AND_CLOSE,
            )
        first, second = seen
        assert first.body == b"abcde"
        assert first.header(b"authorization") is None
        assert second.headers == [(b"host", b"x"), (b"connection", b"close")]

    run(main())


def test_a_streamed_response_is_chunked_and_its_pieces_share_writes(run: Run) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            exchange.start(200, [(b"x-a", b"b")], length=None)
            assert exchange.is_started
            exchange.write(b"hello")
            exchange.write(b"")
            exchange.write(b"w" * 16)
            exchange.finish()
            assert exchange.is_finished

        async with serving(handler) as server:
            response = await talk(server, GET_AND_CLOSE)
        assert response.startswith(b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\ndate: ")
        assert body_of(response) == b"5\r\nhello\r\n10\r\n" + b"w" * 16 + b"\r\n0\r\n\r\n"

    run(main())


def test_a_stream_is_sent_as_it_is_written(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.send(GET)
            await until(lambda: waiting)
            exchange = waiting.pop()
            exchange.start(200, [], length=None)
            await peer.read_until(b"\r\n\r\n")
            for n in range(3):
                exchange.write(b"%d" % n)
                assert await peer.read_exactly(6) == b"1\r\n%d\r\n" % n
            exchange.finish()
            assert await peer.read_exactly(5) == b"0\r\n\r\n"
            peer.send(GET)
            await until(lambda: waiting)

    run(main())


def test_an_http_1_0_client_gets_a_stream_that_ends_with_the_connection(run: Run) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            exchange.start(200, [], length=None)
            exchange.write(b"hello")
            exchange.finish()

        async with serving(handler) as server:
            response = await talk(server, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"transfer-encoding" not in response
        assert b"connection: close\r\n" in response
        assert body_of(response) == b"hello"

    run(main())


def test_an_http_1_0_client_may_keep_its_connection(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server, connected(server) as peer:
            for _ in range(2):
                peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert b"\r\nconnection: keep-alive\r\n" in await peer.read_message()
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            assert b"\r\nconnection: close\r\n" in await peer.read_to_end()

    run(main())


def test_a_broken_http_1_0_stream_is_reset_because_a_close_would_look_whole(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.send(b"GET / HTTP/1.0\r\n\r\n")
            await until(lambda: waiting)
            waiting[0].start(200, [], length=None)
            waiting[0].write(b"half")
            await peer.read_until(b"half")
            waiting[0].abort()
            with pytest.raises(ConnectionResetError):
                await peer.read_exactly(1)

    run(main())


def test_a_broken_stream_has_no_last_chunk(run: Run) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            exchange.start(200, [], length=None)
            exchange.write(b"half")
            exchange.abort()
            exchange.write(b"more")
            exchange.finish()

        async with serving(handler) as server:
            response = await talk(server, GET)
        assert body_of(response) == b"4\r\nhalf\r\n"

    run(main())


def test_a_response_shorter_than_its_announced_length_is_broken_off(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            exchange.start(200, [], length=10)
            exchange.write(b"1234")
            exchange.finish()

        async with serving(handler) as server:
            response = await talk(server, GET)
        assert b"content-length: 10\r\n" in response
        assert body_of(response) == b"1234"

    run(main())
    assert "6 bytes short" in caplog.text


@pytest.mark.parametrize(
    ("status", "method", "framing"),
    [(200, b"HEAD", b"content-length: 2\r\n"), (204, b"GET", b""), (304, b"GET", b"")],
)
def test_responses_that_have_no_body_send_none(run: Run, status: int, method: bytes, framing: bytes) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            if exchange.request.path == "/stream":
                exchange.start(status, [], length=2)
                exchange.write(b"ok")
                exchange.finish()
            else:
                exchange.reply(status, [], b"ok")

        async with serving(handler) as server, connected(server) as peer:
            for path in (b"/", b"/stream"):
                peer.send(method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                head = await peer.read_until(b"\r\n\r\n")
                assert (b"content-length" in head) == bool(framing)
                assert framing in head
            peer.send(method + b" / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert body_of(await peer.read_to_end()) == b""

    run(main())


def test_a_client_that_expects_100_continue_is_told_to_send(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_with_body) as server, connected(server) as peer:
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            assert await peer.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            peer.send(b"abc")
            assert body_of(await peer.read_message()) == b"abc"

    run(main())


def test_an_upgrade_is_ignored_and_the_request_served(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_with_body) as server, connected(server) as peer:
            peer.send(
                b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 3\r\n\r\nab"
            )
            peer.send(b"c" + GET)
            assert body_of(await peer.read_message()) == b"abc"
            assert status_of(await peer.read_message()) == 200
            peer.send(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            assert status_of(await peer.read_to_end()) == 200

    run(main())


def test_a_failing_handler_becomes_a_500_in_openai_form(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            if exchange.request.path == "/late":
                exchange.start(200, [], length=None)
                exchange.write(b"half")
            raise KeyError("broken")

        async with serving(handler) as server:
            async with connected(server) as peer:
                peer.send(GET)
                response = await peer.read_message()
                assert status_of(response) == 500
                assert b'"type":"server_error"' in response
                assert b"broken" not in response
                peer.send(GET)
                assert status_of(await peer.read_message()) == 500
            late = await talk(server, b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            assert body_of(late) == b"4\r\nhalf\r\n"

    with caplog.at_level(logging.ERROR, "overspill.http"):
        run(main())
    assert "KeyError: 'broken'" in caplog.text


def test_a_head_check_refuses_before_the_body_is_read(run: Run) -> None:
    async def main() -> None:
        def check(request: Request) -> tuple[int, tuple[tuple[bytes, bytes], ...], bytes] | None:
            return None if request.path == "/ok" else (401, ((b"www-authenticate", b"Bearer"),), b"no key")

        async with serving(answer_ok, head_check=check) as server:
            response = await talk(server, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            assert status_of(response) == 401
            assert b"www-authenticate: Bearer\r\n" in response
            assert b"connection: close\r\n" in response
            assert body_of(response) == b"no key"
            async with connected(server) as peer:
                peer.send(GET + b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
                assert status_of(await peer.read_message()) == 401
                assert status_of(await peer.read_message()) == 200

    run(main())


def test_a_failing_head_check_is_a_500(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def check(request: Request) -> None:
            raise KeyError(request.path)

        async with serving(unreachable, head_check=check) as server:
            assert status_of(await talk(server, GET)) == 500

    run(main())
    assert "KeyError" in caplog.text


def test_one_connection_too_many_is_told_so(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok, limits=Limits(max_connections=1)) as server, connected(server) as first:
            first.send(GET)
            await first.read_message()
            assert status_of(await talk(server, b"")) == 503
            first.send(GET)
            assert status_of(await first.read_message()) == 200

    run(main())


def test_draining_closes_idle_connections_and_lets_active_ones_finish(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, connected(server) as active, connected(server) as idle:
            port = port_of(server)
            active.send(GET)
            await until(lambda: waiting and server.connections == 2)
            draining = asyncio.create_task(server.drain(60.0))
            assert await idle.read_to_end() == b""
            assert not draining.done()
            waiting[0].reply(200, [], b"last")
            response = await active.read_to_end()
            assert b"connection: close\r\n" in response
            assert body_of(response) == b"last"
            assert await draining
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    run(main())


def test_a_drain_that_runs_out_of_grace_leaves_the_rest_to_close(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        gone: list[bool] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.send(GET)
            await until(lambda: waiting)
            waiting[0].on_gone = lambda: gone.append(True)
            assert not await server.drain(0.0)
            await server.close()
            assert gone == [True]
            assert await peer.read_to_end() == b""

    run(main())


def test_it_serves_on_a_unix_socket_and_on_a_given_one(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with serving(answer_ok, uds_path=str(path)) as server:
            assert server.addresses == [str(path)]
            peer = Peer(*await asyncio.open_unix_connection(path))
            peer.send(GET_AND_CLOSE)
            assert status_of(await peer.read_to_end()) == 200
            await peer.close()
        assert not path.exists()
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        async with serving(answer_ok, sock=sock) as server:
            assert port_of(server) == port
            assert status_of(await talk(server, GET_AND_CLOSE)) == 200

    run(main())


def test_an_address_in_use_is_an_os_error_and_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server:
            with pytest.raises(OSError, match="address already in use"):
                await serve(answer_ok, port=port_of(server))

    run(main())


def test_both_ends_send_without_nagle_delay(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server, calling() as client:
            client.request(Origin(port=port_of(server)), CALL, Heard())
            await until(lambda: server.connections and client.connections)
            for connection in (*server._connections, *client.connections):
                assert connection._transport is not None
                sock = connection._transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    run(main())
