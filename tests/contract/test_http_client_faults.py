from __future__ import annotations

import asyncio
import socket
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
    calling,
    port_of,
    scripted,
    serving,
    until,
)

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.fault import FaultKind, TransportFault, connect_fault
from overspill.gateway.http.limits import ClientLimits
from overspill.wire.http import HttpCall, Origin


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return LOOPS[request.param]


async def fault_of(origin: Origin, call: HttpCall = READ, **options: object) -> tuple[TransportFault, Heard]:
    async with calling(**options) as client:
        heard = Heard()
        client.request(origin, call, heard)
        await heard.over()
        assert heard.ends == 0
        (fault,) = heard.faults
        await until(lambda: not client.connections)
    assert len(heard.faults) == 1
    return fault, heard


def test_nobody_listening_is_refused(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
        for origin in (Origin(port=port), Origin(host="localhost", port=port), Origin(uds_path=str(tmp_path / "none"))):
            fault, _ = await fault_of(origin)
            assert fault.kind is FaultKind.REFUSED
            assert fault.is_before_response
            assert not fault.bytes_received

    run(main())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid", "über..invalid"])
def test_a_name_that_does_not_resolve_is_a_dns_fault(run: Run, host: str) -> None:
    async def main() -> None:
        async with calling() as client:
            heard = Heard()
            try:
                client.request(Origin(host=host), READ, heard)
            except UnicodeError:
                return
            await heard.over()
            assert [fault.kind for fault in heard.faults] == [FaultKind.DNS]

    run(main())


def test_a_peer_that_never_shakes_hands_is_a_connect_timeout(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_to_end()

        async with scripted(script) as plain:
            origin = Origin(scheme="https", port=plain.port)
            fault, _ = await fault_of(origin, limits=ClientLimits(connect_timeout_s=0.05))
        assert fault.kind is FaultKind.CONNECT_TIMEOUT
        assert "within 0.05 s" in fault.message

    run(main())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(113, "No route to host"), FaultKind.UNREACHABLE),
        (PermissionError(13, "Permission denied"), FaultKind.UNREACHABLE),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect"), FaultKind.REFUSED),
        (ConnectionResetError(104, "Connection reset by peer"), FaultKind.TLS),
    ],
)
def test_a_failed_attempt_is_named_by_its_error(error: OSError, kind: FaultKind) -> None:
    fault = connect_fault(error, "http://x:1", 5.0)
    assert fault.kind is kind
    assert fault.message.startswith("cannot connect to http://x:1: ")


@pytest.mark.parametrize(
    ("sent", "received", "before"),
    [
        (b"", False, True),
        (b"HTTP/1.1 200", True, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", True, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", True, False),
    ],
)
def test_a_response_cut_short_is_a_cut_never_an_end(run: Run, sent: bytes, received: bool, before: bool) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(sent)

        async with scripted(script) as origin:
            fault, heard = await fault_of(origin, CALL)
        assert fault.kind is FaultKind.CUT
        assert (fault.bytes_received, fault.is_before_response) == (received, before)
        assert heard.body == (b"" if before else b"abc")

    run(main())


def test_a_stream_that_our_server_breaks_off_is_a_cut_even_to_http_1_0(run: Run) -> None:
    async def main() -> None:
        def handler(exchange: Exchange) -> None:
            exchange.start(200, [], length=None)
            exchange.write(b"half")
            exchange.abort()

        async with serving(handler) as server:
            fault, heard = await fault_of(Origin(port=port_of(server)))
        assert fault.kind is FaultKind.CUT
        assert heard.body == b"half"

    run(main())


@pytest.mark.parametrize(
    "response",
    [
        b"garbage\r\n\r\n",
        b"HTTP/2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
)
def test_a_response_that_can_be_read_in_two_ways_is_malformed(run: Run, response: bytes) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(response)
            await peer.read_to_end()

        async with scripted(script) as origin:
            fault, heard = await fault_of(origin)
        assert fault.kind is FaultKind.MALFORMED
        assert heard.status == 0
        assert fault.bytes_received

    run(main())


@pytest.mark.parametrize("rest", [b"zz\r\n", b"1;" + b"e" * 200_000, b"0\r\nX: " + b"t" * 200_000])
def test_a_body_with_broken_or_endless_framing_is_malformed_after_what_came(run: Run, rest: bytes) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + rest)
            await peer.read_to_end()

        async with scripted(script) as origin:
            fault, heard = await fault_of(origin)
        assert fault.kind is FaultKind.MALFORMED
        assert not fault.is_before_response
        assert heard.body == b"abc"

    run(main())


def test_a_silent_peer_is_given_up_but_not_while_we_do_not_listen(run: Run) -> None:
    async def main() -> None:
        clock = FakeClock()
        waiting: list[Exchange] = []
        gone: list[bool] = []
        limits = ClientLimits(silence_timeout_s=100.0)
        async with serving(waiting.append) as server, calling(clock=clock, limits=limits) as client:
            heard = Heard()
            call = client.request(Origin(port=port_of(server)), CALL, heard)
            await until(lambda: waiting)
            waiting[0].on_gone = lambda: gone.append(True)
            call.pause()
            client.sweep(clock.advance(1000.0))
            call.resume()
            client.sweep(clock.advance(99.0))
            assert not heard.is_over
            client.sweep(clock.advance(2.0))
            assert [fault.kind for fault in heard.faults] == [FaultKind.IDLE_TIMEOUT]
            await until(lambda: gone)

    run(main())


def test_closing_the_client_ends_every_call_once(run: Run) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        async with serving(waiting.append) as server, calling() as client:
            origin = Origin(port=port_of(server))
            flying, connecting, cancelled = Heard(), Heard(), Heard()
            client.request(origin, CALL, flying)
            client.request(origin, CALL, cancelled).cancel()
            await until(lambda: waiting)
            client.request(origin, CALL, connecting)
            await client.close()
            for heard in (flying, connecting):
                assert [fault.kind for fault in heard.faults] == [FaultKind.CUT]
            assert not cancelled.is_over
            assert not client.connections
            with pytest.raises(RuntimeError, match="closed"):
                client.request(origin, CALL, Heard())

    run(main())


def test_a_receiver_that_fails_loses_its_connection_and_still_hears_an_end(run: Run) -> None:
    class Failing(Heard):
        def on_body(self, data: bytes) -> None:
            raise KeyError(data)

    async def main() -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context.get("exception")))

        async def script(peer: Peer) -> None:
            await peer.read_message()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
            await peer.read_to_end()

        async with scripted(script) as origin, calling() as client:
            heard = Failing()
            client.request(origin, READ, heard)
            await heard.over()
            assert [fault.kind for fault in heard.faults] == [FaultKind.CUT]
            assert any(isinstance(error, KeyError) for error in reported)

    run(main())
