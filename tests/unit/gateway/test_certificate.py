"""The gateway's certificate: what is wrong with it is said, and a new one is taken up without a lost connection."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import address_of, attach, config_of, fake_engine, serving, text_of, url_of
from tests.support.loops import LOOPS, run, until

from overspill.errors import ConfigError
from overspill.gateway import certificate
from overspill.gateway.certificate import Certificate, Files, end_in_words, validity
from overspill.gateway.service import Gateway

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make(folder: Path, name: str = "cert", *, days: int = 30, common: str = "localhost", more: str = "") -> Files:
    folder.mkdir(exist_ok=True)
    files = Files(str(folder / f"{name}.pem"), str(folder / f"{name}.key"))
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    names = f"-days {days} -subj /CN={common} -addext subjectAltName=DNS:{common},IP:127.0.0.1 {more}"
    openssl(*options.split(), *names.split(), "-keyout", files.key, "-out", files.cert)
    return files


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_POLL_S", 0.01)


def with_tls(
    files: Files, scenario: Callable[[str, Gateway], Awaitable[None]], *, loop: str = "asyncio", **server: Any
) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            tls = {"tls_cert": files.cert, "tls_key": files.key, **server}
            async with serving(text_of({"local": attach(url_of(engine))}, server=tls)) as gateway:
                await scenario(address_of(gateway), gateway)

    run(main(), loop=loop)


class Client:
    """A connection that knows who answered it."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self._host, _, self._port = address.partition(":")
        self._context = context or any_context()

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self._host, int(self._port), ssl=self._context)

    @property
    def shown(self) -> bytes:
        made: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        der = made.getpeercert(binary_form=True)
        assert der is not None
        return der

    async def is_answered(self) -> bool:
        self.writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head = await self.reader.readuntil(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 200") and b'"ok"' in await self.reader.readline()

    async def close(self) -> None:
        self.writer.transport.abort()


async def answered_once(address: str, context: ssl.SSLContext) -> bool:
    client = Client(address, context)
    await client.open()
    try:
        return await client.is_answered()  # TLS 1.3 tells a client what is wrong with its certificate only here
    finally:
        await client.close()


def any_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def der_of(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(files.cert).read_text())


def replace_with(files: Files, other: Files) -> None:
    for old, new in zip(files[:2], other[:2], strict=True):
        assert old is not None
        assert new is not None
        Path(new).replace(old)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_new_certificate_is_for_new_connections_and_old_ones_live_on(tmp_path: Path, loop: str) -> None:
    files = make(tmp_path)
    before = der_of(files)

    async def scenario(address: str, gateway: Gateway) -> None:
        old = Client(address)
        await old.open()
        assert old.shown == before
        replace_with(files, make(tmp_path, "next"))
        assert der_of(files) != before
        while True:
            new = Client(address)
            await new.open()
            shown, is_answered = new.shown, await new.is_answered()
            await new.close()
            assert is_answered
            if shown == der_of(files):
                break
        assert await old.is_answered()
        await old.close()

    with_tls(files, scenario, loop=loop)


def test_files_that_do_not_belong_together_change_nothing_until_they_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = make(tmp_path)
    before = der_of(files)
    other = make(tmp_path, "next")

    async def scenario(address: str, gateway: Gateway) -> None:
        Path(other.cert).replace(files.cert)
        await until(lambda: "the certificate stays what it was" in caplog.text)
        client = Client(address)
        await client.open()
        assert client.shown == before
        await client.close()
        Path(other.key).replace(files.key)
        with caplog.at_level("INFO"):
            await until(lambda: "was loaded anew" in caplog.text)

    with_tls(files, scenario)
    assert caplog.text.count("is not the key of the certificate") == 1


def test_a_reload_loads_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_POLL_S", 1000)
    files = make(tmp_path)

    async def scenario(address: str, gateway: Gateway) -> None:
        replace_with(files, make(tmp_path, "next"))
        gateway.reload(gateway.config)
        client = Client(address)
        await client.open()
        assert client.shown == der_of(files)
        await client.close()
        Path(files.key).write_text("")
        with pytest.raises(ConfigError, match="has no private key in PEM form"):
            gateway.reload(gateway.config)

    with_tls(files, scenario)


def test_what_is_older_than_tls_1_2_is_not_spoken(tmp_path: Path) -> None:
    assert Certificate(make(tmp_path)).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_with_an_authority_only_its_clients_get_in(tmp_path: Path) -> None:
    files = make(tmp_path)
    known, stranger = make(tmp_path, "known", common="client"), make(tmp_path, "stranger", common="client")

    async def scenario(address: str, gateway: Gateway) -> None:
        context = any_context()
        context.load_cert_chain(known.cert, known.key)
        assert await answered_once(address, context)
        unsigned = any_context()
        unsigned.load_cert_chain(stranger.cert, stranger.key)
        for wrong in (any_context(), unsigned):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await answered_once(address, wrong)

    with_tls(files, scenario, tls_client_ca=known.cert)


def encrypted(files: Files) -> Files:
    openssl("pkey", "-in", files.key, "-aes256", "-passout", "pass:secret", "-out", f"{files.key}.enc")
    return files._replace(key=f"{files.key}.enc")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f._replace(cert=f.cert + ".none"), "cannot be read: No such file"),
        (lambda f: f._replace(cert=f.key), "has no certificate in PEM form"),
        (lambda f: f._replace(key=f.cert), "has no private key in PEM form"),
        (lambda f: f._replace(client_ca=f.key), "tls_client_ca: .* has no certificate in PEM form"),
        (lambda f: f._replace(key=make(Path(f.cert).parent, "other").key), "is not the key of the certificate"),
        (encrypted, "the key is encrypted"),
    ],
)
def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, change: Callable[[Files], Files], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Certificate(change(make(tmp_path)))


@pytest.mark.parametrize("days", [1, 30, 20_000, 40_000])
def test_its_end_is_read(tmp_path: Path, days: int) -> None:
    files = make(tmp_path, days=days, more="-set_serial 0x7f000000000000000000000000000001")
    dates = validity(files.cert)
    assert abs(dates.days_left(datetime.now(UTC)) - days) < 0.1
    assert abs((datetime.now(UTC) - dates.begins).total_seconds()) < 3600


def test_what_is_no_certificate_has_no_end(tmp_path: Path) -> None:
    files = make(tmp_path)
    text = Path(files.cert).read_text()
    for wrong in (
        "",
        "x",
        text[:200],
        text.replace("MII", "AAA", 1),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    ):
        Path(files.cert).write_text(wrong)
        with pytest.raises(ConfigError, match="no certificate that can be read"):
            validity(files.cert)


def test_one_that_ends_soon_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Certificate(make(tmp_path, days=3))
    assert "expires in 3 days" in caplog.text
    assert end_in_words(-2.2) == "expired 2 days ago"


def test_an_authority_without_a_certificate_of_our_own_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"tls_client_ca.*only over TLS"):
        config_of(text_of({}, [], server={"tls_client_ca": "ca.pem"}))
