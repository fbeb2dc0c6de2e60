from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.contract.http_support import (
    CALL,
    LOOPS,
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
from overspill.gateway.http.fault import FaultKind
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.wire.http import HttpCall, Origin

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl program to make a certificate"
)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return LOOPS[request.param]


@pytest.fixture(scope="module")
def cert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *options.split(), *names, *files], check=True, capture_output=True)
    return folder


def context_of(cert: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert / "cert.pem", cert / "key.pem")
    return context


def test_calls_go_over_kept_tls_connections(run: Run, cert: Path) -> None:
    async def main() -> None:
        options = {"host": "localhost", "tls": context_of(cert)}
        async with serving(answer_with_body, **options) as server, calling(ca_file=str(cert / "cert.pem")) as client:
            origin = Origin(scheme="https", host="localhost", port=port_of(server))
            for body in (b"a", b"b" * 300_000, b"c"):
                outcome = await fetch(client, origin, HttpCall(b"POST", b"/", (), body), timeout_s=5.0)
                assert isinstance(outcome, Fetched)
                assert outcome.body == body
            assert len(client.connections) == server.connections == 1

    run(main())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_unknown_certificate_or_name_is_a_tls_fault(run: Run, cert: Path, host: str) -> None:
    async def main() -> None:
        ca_file = None if host == "localhost" else str(cert / "cert.pem")
        options = {"host": host, "tls": context_of(cert)}
        async with serving(answer_ok, **options) as server, calling(ca_file=ca_file) as client:
            heard = Heard()
            client.request(Origin(scheme="https", host=host, port=port_of(server)), CALL, heard)
            await heard.over()
            (fault,) = heard.faults
            assert fault.kind is FaultKind.TLS
            assert "certificate" in fault.message.lower()
            assert fault.is_before_response

    run(main())


def test_a_server_that_speaks_no_tls_is_a_tls_fault(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await peer.read_to_end()

        async with scripted(script) as plain, calling() as client:
            heard = Heard()
            client.request(Origin(scheme="https", host="localhost", port=plain.port), CALL, heard)
            await heard.over()
            assert [fault.kind for fault in heard.faults] == [FaultKind.TLS]

    run(main())


def test_a_refusal_over_tls_is_read_and_a_departure_seen(run: Run, cert: Path) -> None:
    async def main() -> None:
        waiting: list[Exchange] = []
        gone: list[bool] = []
        options = {"host": "localhost", "tls": context_of(cert)}
        async with serving(waiting.append, **options) as server, calling(ca_file=str(cert / "cert.pem")) as client:
            origin = Origin(scheme="https", host="localhost", port=port_of(server))
            refused = await fetch(client, origin, HttpCall(b"FROB", b"/", (), b""), timeout_s=5.0)
            assert isinstance(refused, Fetched)
            assert refused.status == 400
            heard = Heard()
            call = client.request(origin, CALL, heard)
            await until(lambda: waiting)
            waiting[0].on_gone = lambda: gone.append(True)
            call.cancel()
            await until(lambda: gone)
            assert not heard.is_over

    run(main())
