from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.contract.http_support import (
    CALL,
    LOOPS,
    READ,
    FakeClock,
    Heard,
    Peer,
    Run,
    answer_ok,
    answer_with_body,
    calling,
    port_of,
    scripted,
    serving,
    until,
)

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.fault import FaultKind, TransportFault
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.http.limits import ClientLimits
from overspill.wire.http import HttpCall, Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return LOOPS[request.param]


def test_a_call_is_written_exactly_and_its_response_heard_in_order(run: Run) -> None:
    async def main() -> None:
        requests: list[bytes] = []

        async def script(peer: Peer) -> None:
            requests.append(await peer.read_message())
            peer.send(b"HTTP/1.1 201 Created\r\nX-A:  b \r\nContent-Length: 4\r\n\r\npong")
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            heard = Heard()
            client.request(origin, CALL, heard)
            assert not heard.is_over
            await heard.over()
            assert heard.status == 201
            assert heard.headers == [(b"x-a", b"b"), (b"content-length", b"4")]
            assert (heard.body, heard.ends, heard.faults) == (b"pong", 1, [])
            assert requests == [
                b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: text/plain\r\n"
                b"content-length: 4\r\n\r\nping" % origin.port
            ]

    run(main())


def test_an_idle_connection_is_used_again_without_a_task(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_with_body) as server, calling() as client:
            origin = Origin(port=port_of(server))
            for _ in range(5):
                heard = Heard()
                tasks = len(asyncio.all_tasks())
                client.request(origin, CALL, heard)
                assert len(asyncio.all_tasks()) - tasks == (0 if client.connections else 1)
                await heard.over()
                assert heard.body == b"ping"
            assert len(client.connections) == server.connections == 1

    run(main())


def test_an_unpooled_call_says_close_and_leaves_no_connection(run: Run) -> None:
    async def main() -> None:
        seen: list[bytes | None] = []

        def handler(exchange: Exchange) -> None:
            seen.append(exchange.request.header(b"connection"))
            answer_ok(exchange)

        async with serving(handler) as server, calling() as client:
            heard = Heard()
            client.request(Origin(port=port_of(server)), CALL, heard, reuse=False)
            await heard.over()
            await until(lambda: not client.connections)
            assert seen == [b"close"]
            assert heard.ends == 1

    run(main())


@pytest.mark.parametrize(
    ("response", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: v\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b""),
    ],
)
def test_a_response_whose_end_is_known_leaves_the_connection_usable(run: Run, response: bytes, body: bytes) -> None:
    async def main() -> None:
        served: list[int] = []

        async def script(peer: Peer) -> None:
            for _ in range(2):
                await peer.read_message()
                peer.send(response)
                served.append(1)
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            for _ in range(2):
                heard = Heard()
                client.request(origin, READ, heard)
                await heard.over()
                assert (heard.body, heard.ends, heard.faults) == (body, 1, [])
                assert all(name != b"t" for name, _ in heard.headers)
                assert len(client.connections) == 1
            assert len(served) == 2

    run(main())


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        OK + OK,
        OK + b"garbage",
    ],
)
def test_a_connection_that_cannot_be_trusted_again_is_not_kept(run: Run, response: bytes) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(response)

        async with scripted(script) as origin, calling() as client:
            for _ in range(2):
                heard = Heard()
                client.request(origin, READ, heard)
                await heard.over()
                assert (heard.body, heard.ends, heard.faults) == (b"ok", 1, [])
                await until(lambda: not client.connections)

    run(main())


def test_a_response_to_head_has_no_body_whatever_its_length(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server, calling() as client:
            heard = Heard()
            client.request(Origin(port=port_of(server)), HttpCall(b"HEAD", b"/", (), b""), heard)
            await heard.over()
            assert (heard.status, heard.body, heard.ends) == (200, b"", 1)
            assert (b"content-length", b"2") in heard.headers

    run(main())


def test_bytes_on_an_idle_connection_close_it(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(OK)
            await asyncio.sleep(0)
            peer.send(OK)
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            heard = Heard()
            client.request(origin, READ, heard)
            await until(lambda: heard.is_over and not client.connections)
            assert heard.ends == 1

    run(main())


def test_what_one_wake_up_brings_is_heard_in_one_piece(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 50 + b"0\r\n\r\n")
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            heard = Heard()
            client.request(origin, READ, heard)
            await heard.over()
            assert heard.body == b"a" * 50
            assert heard.pieces == 1

    run(main())


def test_a_cancelled_call_is_seen_by_the_peer_and_hears_nothing_more(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        gone: list[bool] = []
        async with serving(waiting.append) as server, calling() as client:
            heard = Heard()
            call = client.request(Origin(port=port_of(server)), CALL, heard)
            await until(lambda: waiting)
            waiting[0].on_gone = lambda: gone.append(True)
            waiting[0].start(200, [], length=None)
            waiting[0].write(b"x")
            await until(lambda: heard.body)
            call.cancel()
            call.cancel()
            call.pause()
            call.resume()
            await until(lambda: gone)
            await until(lambda: not client.connections)
            assert not heard.is_over

    run(main())


def test_a_call_cancelled_while_it_connects_is_never_sent(run: Run) -> None:
    async def main() -> None:
        seen: list[Exchange] = []
        async with serving(seen.append) as server, calling() as client:
            origin = Origin(port=port_of(server))
            for steps in range(6):
                heard = Heard()
                call = client.request(origin, CALL, heard)
                for _ in range(steps):
                    await asyncio.sleep(0)
                call.cancel()
                await until(lambda: not client.connections and not client._connecting)
                assert not heard.is_over
            assert not heard.status

    run(main())


def test_a_receiver_may_cancel_from_any_callback(run: Run) -> None:
    class Fickle(Heard):
        at = ""
        cancel = staticmethod(lambda: None)

        def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
            super().on_head(status, headers)
            if self.at == "head":
                self.cancel()

        def on_body(self, data: bytes) -> None:
            super().on_body(data)
            if self.at == "body":
                self.cancel()

    async def main() -> None:
        async with serving(answer_ok) as server, calling() as client:
            for at in ("head", "body"):
                heard = Fickle()
                heard.at = at
                call = client.request(Origin(port=port_of(server)), CALL, heard)
                heard.cancel = call.cancel  # type: ignore[method-assign]
                await until(lambda: client.connections)
                await until(lambda: not client.connections)
                assert heard.status
                assert not heard.is_over
                assert heard.body == (b"" if at == "head" else b"ok")

    run(main())


def test_a_paused_call_holds_the_peer_back(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, calling() as client:
            heard = Heard()
            call = client.request(Origin(port=port_of(server)), CALL, heard)
            call.pause()
            await until(lambda: waiting)
            exchange = waiting[0]
            exchange.start(200, [], length=None)
            written = 0
            while exchange.is_writable:
                exchange.write(b"z" * 32768)
                written += 32768
                await asyncio.sleep(0)
                assert written < 64_000_000
            assert heard.body == b""
            exchange.finish()
            call.resume()
            await heard.over()
            assert len(heard.body) == written
            assert heard.ends == 1

    run(main())


def test_a_stale_pooled_connection_is_replaced_once_without_anyone_hearing(run: Run) -> None:
    async def main() -> None:
        connections: list[int] = []

        async def script(peer: Peer) -> None:
            connections.append(1)
            await peer.read_message()
            peer.send(OK)
            if len(connections) == 1:
                await peer.read_message()  # the second call: close without an answer, as llama.cpp does
                return
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            for _ in range(2):
                heard = Heard()
                client.request(origin, CALL, heard)
                await heard.over()
                assert (heard.body, heard.ends, heard.faults) == (b"ok", 1, [])
            assert len(connections) == 2

    run(main())


def test_a_fresh_connection_that_is_cut_is_not_tried_again(run: Run) -> None:
    async def main() -> None:
        connections: list[int] = []

        async def script(peer: Peer) -> None:
            connections.append(1)
            await peer.read_message()
            if len(connections) == 1:
                peer.send(OK)
                await peer.read_message()

        async with scripted(script) as origin, calling() as client:
            first, second = Heard(), Heard()
            client.request(origin, CALL, first)
            await first.over()
            client.request(origin, CALL, second)
            await second.over()
            assert [fault.kind for fault in second.faults] == [FaultKind.CUT]
            assert len(connections) == 2

    run(main())


def test_a_connection_that_the_peer_closes_while_idle_leaves_the_pool(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(OK)

        async with scripted(script) as origin, calling() as client:
            heard = Heard()
            client.request(origin, CALL, heard)
            await until(lambda: heard.is_over and not client.connections)
            assert all(not pool.idle for pool in client._pools.values())

    run(main())


def test_idle_and_old_connections_are_closed_by_the_sweep(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        limits = ClientLimits(idle_timeout_s=30.0, max_lifetime_s=100.0)
        async with serving(answer_ok) as server, calling(clock=clock, limits=limits) as client:
            origin = Origin(port=port_of(server))

            async def call_once() -> None:
                heard = Heard()
                client.request(origin, CALL, heard)
                await heard.over()

            await call_once()
            client.sweep(clock.advance(29.0))
            assert len(client.connections) == 1
            client.sweep(clock.advance(2.0))
            await until(lambda: not client.connections)
            client.sweep(clock.advance(1.0))
            assert not client._pools
            for _ in range(5):
                await call_once()
                client.now_s = clock.advance(25.0)
            (before,) = client.connections
            await call_once()
            assert before not in client.connections or not before.is_usable
            for _ in range(5):
                client.sweep(clock.advance(25.0))
                await call_once()
            await until(lambda: len(client.connections) == 1)

    run(main())


def test_the_pool_keeps_no_more_than_its_bound(run: Run) -> None:
    async def main() -> None:
        async with serving(answer_ok) as server, calling(limits=ClientLimits(max_idle_connections=2)) as client:
            all_heard = [Heard() for _ in range(6)]
            for heard in all_heard:
                client.request(Origin(port=port_of(server)), CALL, heard)
            await until(lambda: all(heard.is_over for heard in all_heard))
            await until(lambda: len(client.connections) == 2)

    run(main())


def test_a_large_body_arrives_whole(run: Run) -> None:
    async def main() -> None:
        body = bytes(range(256)) * 20_000
        async with serving(answer_with_body) as server, calling() as client:
            origin = Origin(port=port_of(server))
            outcome = await fetch(
                client, origin, HttpCall(b"POST", b"/", (), body), timeout_s=30.0, max_bytes=len(body)
            )
            assert isinstance(outcome, Fetched)
            assert outcome.body == body

    run(main())


def test_a_unix_socket_is_an_origin(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s")
        seen: list[bytes | None] = []

        def handler(exchange: Exchange) -> None:
            seen.append(exchange.request.header(b"host"))
            answer_ok(exchange)

        async with serving(handler, uds_path=path), calling() as client:
            outcome = await fetch(client, Origin(uds_path=path), READ, timeout_s=5.0)
            assert isinstance(outcome, Fetched)
            assert (outcome.status, outcome.body) == (200, b"ok")
            assert seen == [b"localhost"]

    run(main())


def test_fetch_gives_up_on_what_is_too_slow_or_too_large(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        gone: list[bool] = []

        def handler(exchange: Exchange) -> None:
            if exchange.request.path == "/large":
                exchange.reply(200, [], b"x" * 5000)
            else:
                exchange.on_gone = lambda: gone.append(True)
                waiting.append(exchange)

        async with serving(handler) as server, calling() as client:
            origin = Origin(port=port_of(server))
            slow = await fetch(client, origin, READ, timeout_s=0.05)
            assert isinstance(slow, TransportFault)
            assert slow.kind is FaultKind.IDLE_TIMEOUT
            await until(lambda: gone or not waiting)
            large = await fetch(client, origin, HttpCall(b"GET", b"/large", (), b""), timeout_s=5.0, max_bytes=4999)
            assert isinstance(large, TransportFault)
            assert large.kind is FaultKind.MALFORMED

    run(main())


@pytest.mark.parametrize(
    "call",
    [
        HttpCall(b"GET", b"/a b", (), b""),
        HttpCall(b"GET", b"/a\r\nX: y", (), b""),
        HttpCall(b"GET", b"a", (), b""),
        HttpCall(b"GET", b"/", ((b"a", b"b\r\nc: d"),), b""),
        HttpCall(b"GET", b"/", ((b"a\n", b"b"),), b""),
        HttpCall(b"GET\r", b"/", (), b""),
    ],
)
def test_a_call_that_would_read_as_two_is_an_error(call: HttpCall) -> None:
    async def main() -> None:
        async with calling() as client:
            with pytest.raises(ValueError, match="would change its meaning"):
                client.request(Origin(), call, Heard())

    asyncio.run(main())


def test_framing_headers_of_an_adapter_are_replaced_by_ours() -> None:
    async def main() -> None:
        seen: list[list[tuple[bytes, bytes]]] = []

        def handler(exchange: Exchange) -> None:
            seen.append(exchange.request.headers)
            answer_ok(exchange)

        theirs = ((b"host", b"evil"), (b"content-length", b"1"), (b"transfer-encoding", b"chunked"), (b"x", b"y"))
        async with serving(handler) as server, calling() as client:
            await fetch(client, Origin(port=port_of(server)), HttpCall(b"PUT", b"/", theirs, b""), timeout_s=5.0)
            host = b"127.0.0.1:%d" % port_of(server)
            assert seen == [[(b"host", host), (b"x", b"y"), (b"content-length", b"0")]]

    asyncio.run(main())
