"""A gateway as a whole: what keeps it from starting, TLS, and what a reload cannot change."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.support.fake_hub import FakeHub, running_hub
from tests.support.gateways import (
    ENVIRON,
    FACTS,
    address_of,
    attach,
    chat,
    config_of,
    fake_engine,
    ready,
    serving,
    text_of,
    url_of,
)
from tests.support.loops import run
from tests.support.packages import install
from tests.support.raw_client import RawClient, ask, get

from overspill.errors import ConfigError, LedgerError, OverspillError
from overspill.gateway.service import Gateway, ledger_path

POOLS = {"local": attach("http://127.0.0.1:9")}


async def failing(text: str, error: type[OverspillError], words: str) -> Gateway:
    gateway = Gateway(config_of(text), FACTS, environ=ENVIRON)
    with pytest.raises(error, match=words):
        await gateway.start()
    assert gateway.client.is_closed
    assert gateway.addresses == []
    return gateway


def test_a_port_in_use_keeps_it_from_starting_and_leaves_nothing_open(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = text_of(POOLS, path=tmp_path / "l.db", server={"port": port})
            await failing(text, ConfigError, f"cannot listen on 127.0.0.1:{port}: .*choose another")

    run(main())


def test_a_host_that_is_not_ours_keeps_it_from_starting() -> None:
    async def main() -> None:
        text = text_of(POOLS, server={"host": "192.0.2.1", "api_keys": ["env:GATE_KEY"]})
        await failing(text, ConfigError, "cannot listen on 192.0.2.1:0")

    run(main())


def test_a_ledger_that_cannot_be_written_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    async def main() -> None:
        await failing(text_of(POOLS, path=tmp_path / "file" / "l.db"), LedgerError, "the ledger")

    run(main())


def test_a_certificate_that_is_none_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")

    async def main() -> None:
        tls = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "cert.pem")}
        await failing(text_of(POOLS, server=tls), OverspillError, "cert.pem has no certificate in PEM form")

    run(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
def test_it_serves_https(tmp_path: Path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert]
    subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)

    async def main() -> None:
        async with serving(text_of(POOLS, server={"tls_cert": cert, "tls_key": key})) as gateway:
            trusting = ssl.create_default_context(cafile=cert)
            host, _, port = address_of(gateway).partition(":")
            reader, writer = await asyncio.open_connection(host, int(port), ssl=trusting)
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert b'{"status":"ok"}' in await reader.read()
            writer.close()

    run(main())


def test_a_reload_names_the_sections_that_need_a_restart() -> None:
    async def main() -> None:
        async with serving(text_of(POOLS)) as gateway:
            keys = text_of(POOLS, server={"api_keys": ["env:GATE_KEY"]})
            assert gateway.reload(config_of(keys)) == []
            assert (await get(address_of(gateway), "/v1/models")).status == 401
            others = text_of(POOLS, server={"drain_timeout": "1s"}, log={"level": "error"})
            assert gateway.reload(config_of(others)) == ["server", "log"]
            assert (await get(address_of(gateway), "/v1/models")).status == 200

    run(main())


def test_a_key_that_a_reload_takes_away_is_refused_on_a_connection_that_used_it() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine))}
            both = text_of(pools, server={"api_keys": ["env:GATE_KEY", "env:CLOUD_KEY"]})
            async with serving(both) as gateway, RawClient(address_of(gateway)) as client:
                ours = (("authorization", f"Bearer {ENVIRON['CLOUD_KEY']}"),)
                for _ in range(3):
                    client.ask(chat(max_tokens=1), headers=ours)
                    assert (await client.reply()).status == 200
                gateway.reload(config_of(text_of(pools, server={"api_keys": ["env:GATE_KEY"]})))
                client.ask(chat(max_tokens=1), headers=ours)
                assert (await client.reply()).status == 401

    run(main())


def test_a_reload_that_asks_for_keys_asks_connections_that_had_none() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine))}
            async with serving(text_of(pools)) as gateway, RawClient(address_of(gateway)) as client:
                for _ in range(2):
                    client.ask(chat(max_tokens=1))
                    assert (await client.reply()).status == 200
                gateway.reload(config_of(text_of(pools, server={"api_keys": ["env:GATE_KEY"]})))
                client.ask(chat(max_tokens=1))
                assert (await client.reply()).status == 401

    run(main())


def test_a_reload_takes_new_prices_and_limits() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            local = attach(url_of(engine))
            async with serving(text_of({"local": local})) as gateway:
                target = gateway.driver.controller.targets["local/0"]
                gateway.reload(config_of(text_of({"local": {**local, "slots": 9, "context_tokens": 32}})))
                assert gateway.driver.controller.targets["local/0"] is target
                assert (target.slots, target.context_tokens) == (9, 32)
                long = chat(messages=[{"role": "user", "content": "word " * 90}])
                assert (await ask(address_of(gateway), long)).status == 400

    run(main())


def test_the_ledger_is_where_the_configuration_or_the_system_says() -> None:
    named = config_of(text_of(POOLS, path=Path("/var/l.db")))
    assert ledger_path(named, {}) == Path("/var/l.db")
    unnamed = config_of('{"ledger": {"enabled": true}}')
    assert ledger_path(unnamed, {"XDG_STATE_HOME": "/state"}) == Path("/state/overspill/ledger.db")


READER = """
from overspill.pools.engines.fake import FakeEngine

class Reader(FakeEngine):
    needs_model = True
"""
"""An engine that is told to have a model; another package's, since the fake one has none."""


def test_a_model_is_fetched_with_its_progress_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(hub: FakeHub) -> None:
        pool = {"engine": "reader", "model": "hf:org/model:model.gguf"}
        environ = {**ENVIRON, "HF_ENDPOINT": hub.hub_url, "XDG_CACHE_HOME": str(tmp_path)}
        async with serving(text_of({"local": pool}), environ=environ) as gateway:
            await ready(gateway, "local/0")
            assert (await ask(address_of(gateway), chat(max_tokens=1))).status == 200

    install(tmp_path / "site-packages", "acme_reader", READER, {"overspill.engines": {"reader": "acme_reader:Reader"}})
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    hub = FakeHub(files={"/org/model/resolve/main/model.gguf": b"GGUF" + b"x" * 100_000})
    with caplog.at_level("INFO", "overspill.fleet"), running_hub(hub):
        run(main(hub))
    assert "fetching model.gguf: 97.7 KiB" in caplog.text
    assert "fetching model.gguf: 100 % of 97.7 KiB" in caplog.text
