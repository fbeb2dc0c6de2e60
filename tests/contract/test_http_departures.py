"""Clients that leave, stall or read slowly."""

from __future__ import annotations

import asyncio

import pytest
from tests.contract.http_support import (
    GET,
    LOOPS,
    FakeClock,
    Run,
    answer_ok,
    body_of,
    connected,
    serving,
    status_of,
    unreachable,
    until,
)

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import Limits

LIMITS = Limits()


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return LOOPS[request.param]


@pytest.mark.parametrize("is_started", [False, True])
def test_a_client_that_leaves_is_reported_once(run: Run, is_started: bool) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        gone: list[bool] = []
        async with serving(waiting.append) as server:
            async with connected(server) as peer:
                peer.send(GET)
                await until(lambda: waiting)
                waiting[0].on_gone = lambda: gone.append(True)
                if is_started:
                    waiting[0].start(200, [], length=None)
                    waiting[0].write(b"x")
                    await peer.read_until(b"x\r\n")
            await until(lambda: gone)
            exchange = waiting[0]
            assert exchange.is_finished
            assert not exchange.is_writable
            exchange.start(200, [], length=1)
            exchange.write(b"ignored")
            exchange.finish()
            exchange.reply(200, [], b"")
            exchange.abort()
            await until(lambda: server.connections == 0)
        assert gone == [True]

    run(main())


def test_a_client_that_leaves_after_its_answer_is_not_reported(run: Run) -> None:
    async def main() -> None:
        gone: list[bool] = []

        def handler(exchange: Exchange) -> None:
            exchange.on_gone = lambda: gone.append(True)
            answer_ok(exchange)

        async with serving(handler) as server:
            async with connected(server) as peer:
                peer.send(GET)
                await peer.read_message()
            await until(lambda: server.connections == 0)
        assert gone == []

    run(main())


def test_an_exchange_that_we_break_off_is_not_reported_as_gone(run: Run) -> None:
    async def main() -> None:
        gone: list[bool] = []

        def handler(exchange: Exchange) -> None:
            exchange.on_gone = lambda: gone.append(True)
            exchange.abort()

        async with serving(handler) as server, connected(server) as peer:
            peer.send(GET)
            assert await peer.read_to_end() == b""
        assert gone == []

    run(main())


async def _stream_until_full(exchange: Exchange) -> int:
    exchange.start(200, [], length=None)
    written = 0
    while exchange.is_writable:
        exchange.write(b"z" * 32768)
        written += 32768
        await asyncio.sleep(0)
        assert written < 64_000_000
    return written


def test_a_client_that_does_not_read_grows_no_buffer(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        writable: list[bool] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.writer.transport.pause_reading()
            peer.send(GET)
            await until(lambda: waiting)
            exchange = waiting[0]
            exchange.on_writable = lambda: writable.append(True)
            await _stream_until_full(exchange)
            (connection,) = server._connections
            assert connection._transport is not None
            assert connection._transport.get_write_buffer_size() < LIMITS.write_buffer_bytes + 2 * 32768
            assert not writable
            exchange.finish()
            assert exchange.is_finished
            peer.writer.transport.resume_reading()
            tail = b""
            while not tail.endswith(b"\r\n0\r\n\r\n"):
                tail = tail[-16:] + await peer.reader.read(65536)

    run(main())


def test_a_source_within_one_wake_up_is_told_to_wait_too(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        writable: list[bool] = []
        async with serving(waiting.append) as server, connected(server) as peer:
            peer.writer.transport.pause_reading()
            peer.send(GET)
            await until(lambda: waiting)
            exchange = waiting[0]
            exchange.on_writable = lambda: writable.append(True)
            exchange.start(200, [], length=None)
            written = 0
            while exchange.is_writable and written < 64_000_000:
                exchange.write(b"z" * 32768)
                written += 32768
            assert not exchange.is_writable
            peer.writer.transport.resume_reading()
            while not writable:
                await peer.read_exactly(16384)
            exchange.abort()

    run(main())


def test_a_client_that_reads_nothing_for_too_long_is_gone(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting: list[Exchange] = []
        gone: list[bool] = []
        async with serving(waiting.append, clock=clock) as server, connected(server) as peer:
            peer.writer.transport.pause_reading()
            peer.send(GET)
            await until(lambda: waiting)
            waiting[0].on_gone = lambda: gone.append(True)
            await _stream_until_full(waiting[0])
            server.sweep(clock.advance(LIMITS.write_stall_s - 1))
            await asyncio.sleep(0)
            assert not gone
            server.sweep(clock.advance(2))
            await until(lambda: gone)
            assert server.connections == 0

    run(main())


def test_a_client_that_never_takes_its_whole_answer_is_cut_in_the_end(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        body = b"z" * 32_000_000

        def handler(exchange: Exchange) -> None:
            exchange.reply(200, [], body)

        async with serving(handler, clock=clock) as server, connected(server) as peer:
            peer.writer.transport.pause_reading()
            peer.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await until(lambda: any(c._transport and c._transport.is_closing() for c in server._connections))
            server.sweep(clock.advance(LIMITS.write_stall_s + 1))
            await until(lambda: server.connections == 0)

    run(main())


@pytest.mark.parametrize(
    "sent", [b"G", b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: 1", b"GET / HTTP/1.1\r\nHost: x\r\n"]
)
def test_a_head_that_never_ends_is_closed_by_the_sweep(run: Run, sent: bytes) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with serving(unreachable, clock=clock) as server, connected(server) as peer:
            peer.send(sent)
            await until(lambda: server.connections)
            (connection,) = server._connections
            await until(lambda: connection._feed_bytes)
            for _ in range(9):
                peer.send(b"" if sent == b"G" else b"a")  # each byte alone keeps a read time-out quiet
                server.sweep(clock.advance(1.0))
                await asyncio.sleep(0)
            assert server.connections == 1
            server.sweep(clock.advance(2.0))
            response = await peer.read_to_end()
            assert response == b"" if sent == b"G" else status_of(response) == 408

    run(main())


def test_a_connection_that_sends_nothing_is_closed_silently(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with serving(unreachable, clock=clock) as server, connected(server) as peer:
            await until(lambda: server.connections)
            server.sweep(clock.advance(LIMITS.header_timeout_s + 1))
            assert await peer.read_to_end() == b""

    run(main())


def test_an_idle_kept_connection_lives_as_long_as_the_idle_timeout(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with serving(answer_ok, clock=clock) as server, connected(server) as peer:
            peer.send(GET)
            await peer.read_message()
            server.sweep(clock.advance(LIMITS.idle_timeout_s - 1))
            peer.send(b"\r\n" + GET)
            await peer.read_message()
            server.sweep(clock.advance(LIMITS.idle_timeout_s - 1))
            assert server.connections == 1
            peer.send(b"\r\n\r\n")  # no request, so no sign of life
            server.sweep(clock.advance(2))
            assert await peer.read_to_end() == b""

    run(main())


def test_a_request_in_flight_is_never_timed_out_by_the_edge(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting: list[Exchange] = []
        async with serving(waiting.append, clock=clock) as server, connected(server) as peer:
            peer.send(GET + b"GET /partial")
            await until(lambda: waiting)
            server.sweep(clock.advance(100_000.0))
            waiting[0].reply(200, [], b"late")
            assert body_of(await peer.read_message()) == b"late"
            server.sweep(clock.advance(LIMITS.header_timeout_s - 1))
            assert server.connections == 1
            server.sweep(clock.advance(2))
            assert status_of(await peer.read_to_end()) == 408

    run(main())


def test_a_body_may_be_long_but_not_slow(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        limits = Limits(body_timeout_s=60.0, min_body_bytes_per_s=1000)
        async with serving(unreachable, clock=clock, limits=limits) as server, connected(server) as peer:
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 50_000)
            await until(lambda: server.connections)
            (connection,) = server._connections
            await until(lambda: connection._body_bytes == 50_000)
            server.sweep(clock.advance(109.0))
            assert server.connections == 1
            server.sweep(clock.advance(2.0))
            assert status_of(await peer.read_to_end()) == 408

    run(main())


def test_the_rest_of_a_refused_request_is_thrown_away_but_not_for_ever(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        async with serving(unreachable, clock=clock) as server, connected(server) as peer:
            peer.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            assert status_of(await peer.read_message()) == 413
            peer.send(b"x" * 1_000_000)
            await peer.writer.drain()
            server.sweep(clock.advance(LIMITS.linger_s - 1))
            assert server.connections == 1
            server.sweep(clock.advance(2))
            await until(lambda: server.connections == 0)

    run(main())
