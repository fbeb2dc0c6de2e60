"""A running gateway takes up what changes in its keys' file, and loses no request over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import NEVER, address_of, attach, chat, config_of, fake_engine, serving, text_of, url_of
from tests.support.loops import run, until
from tests.support.raw_client import Headers, RawClient, Reply, ask, get
from tests.unit.config.test_key_file import record

from overspill.config.allowance import KeyRecord
from overspill.config.key_file import change_key_file
from overspill.errors import ConfigError
from overspill.gateway import keys as watching
from overspill.gateway.service import Gateway
from overspill.perf.engine_model import EngineModel

FAST = EngineModel(slots=32, step_base_s=1e-4)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_POLL_S", 0.01)


def bearer(name: str) -> Headers:
    """Return the header of the key that ``record(name)`` has."""
    return (("authorization", f"Bearer {name}"),)


def write(path: Path, *records: KeyRecord) -> None:
    change_key_file(path, lambda keys: records)


def with_file(
    path: Path,
    scenario: Callable[[str, Gateway], Awaitable[None]],
    *,
    engine: EngineModel = FAST,
    named: bool = False,
    **sections: Any,
) -> None:
    if named:
        sections["server"] = {"keys_file": str(path), **sections.get("server", {})}

    async def main() -> None:
        async with fake_engine(engine) as fake:
            text = text_of({"local": attach(url_of(fake))}, **sections)
            async with serving(text, keys_file=None if named else path) as gateway:
                await scenario(address_of(gateway), gateway)

    run(main())


async def becomes(status: int, address: str, key: str) -> Reply:
    """Ask until the answer has this status."""
    while True:
        reply = await ask(address, chat(), headers=bearer(key))
        if reply.status == status:
            return reply
        await asyncio.sleep(0.005)


def test_a_new_key_may_ask_and_a_revoked_one_may_not_while_a_connection_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice"))

    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await ask(address, chat(), headers=bearer("bob"))).error["code"] == "invalid_api_key"
        async with RawClient(address) as client:
            client.ask(chat(), headers=bearer("alice"))
            assert (await client.reply()).status == 200
            write(path, record("alice"), record("bob"))
            await becomes(200, address, "bob")
            client.ask(chat(), headers=bearer("alice"))
            assert (await client.reply()).status == 200
            write(path, record("alice", revoked_at=datetime.now(UTC)), record("bob"))
            refused = await becomes(401, address, "alice")
            assert refused.error["code"] == "revoked_api_key"
            client.ask(chat(), headers=bearer("alice"))  # a head that was good a moment ago
            assert (await client.reply()).error["code"] == "revoked_api_key"
        assert (await ask(address, chat(), headers=bearer("bob"))).status == 200

    with_file(path, scenario)


def test_what_runs_when_its_key_is_revoked_runs_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice"), record("bob"))

    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.ask(chat(stream=True, max_tokens=40), headers=bearer("alice"))
            reply = await client.head()
            write(path, record("bob"))
            await becomes(401, address, "alice")
            assert not reply.is_whole
            await client.rest(reply)
            assert reply.is_whole
            assert reply.body.endswith(b"data: [DONE]\n\n")

    with_file(path, scenario, engine=EngineModel(slots=4, step_base_s=0.02))


def test_a_key_expires_at_its_time(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice", expires_at=datetime.now(UTC) + timedelta(seconds=0.4)), record("bob"))

    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.ask(chat(), headers=bearer("alice"))
            assert (await client.reply()).status == 200
            assert (await becomes(401, address, "alice")).error["code"] == "expired_api_key"
            client.ask(chat(), headers=bearer("alice"))
            assert (await client.reply()).error["code"] == "expired_api_key"

    with_file(path, scenario)


def test_limits_and_teams_of_the_file_hold_beside_those_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice", team="research", limits={"requests_per_minute": 1}), record("bob", models=["other"]))

    async def scenario(address: str, gateway: Gateway) -> None:
        statuses = [(await ask(address, chat(), headers=bearer("alice"))).status for _ in range(2)]
        assert statuses == [200, 429]
        assert (await ask(address, chat(), headers=bearer("bob"))).error["code"] == "model_not_allowed"
        assert (await ask(address, chat(), headers=bearer("sk-gate"))).status == 200
        write(path, record("alice", team="research", limits={"requests_per_minute": 600}))
        await becomes(200, address, "alice")

    limits = {"teams": {"research": {"concurrency": 9}}}
    with_file(path, scenario, named=True, server={"api_keys": ["env:GATE_KEY"]}, limits=limits)


def test_a_gateway_without_keys_asks_for_one_from_the_first_on_and_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await ask(address, chat())).status == 200
        write(path, record("alice"))
        await becomes(401, address, "nobody")
        assert (await ask(address, chat(), headers=bearer("alice"))).status == 200
        path.unlink()
        await becomes(401, address, "alice")
        gateway.reload(gateway.config)
        assert (await ask(address, chat())).status == 401

    with_file(path, scenario)


def test_a_named_file_that_is_not_there_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await ask(address, chat())).status == 401
        assert (await get(address, "/healthz")).status == 200

    with_file(tmp_path / "keys.json", scenario, named=True)
    assert "nobody may ask: make one with 'overspill keys create'" in caplog.text


def test_a_damaged_file_changes_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice"))

    async def scenario(address: str, gateway: Gateway) -> None:
        path.write_text("{")
        await until(lambda: "the keys stay what they were" in caplog.text)
        assert (await ask(address, chat(), headers=bearer("alice"))).status == 200
        with pytest.raises(ConfigError, match="no file of keys"):
            gateway.reload(gateway.config)
        path.unlink()
        write(path, record("bob"))
        await becomes(200, address, "bob")

    with_file(path, scenario)
    assert caplog.text.count("the keys stay what they were") == 1


def test_a_budget_that_cannot_be_kept_takes_its_key_out_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice"), record("bob"))
    cloud = {
        "upstream": "openai_compatible",
        "base_url": "https://api.example.com/v1",
        "accounts": [{"name": "main", "api_key": "env:CLOUD_KEY"}],
    }

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine)), "cloud": cloud}), keys_file=path) as gateway,
        ):
            address = address_of(gateway)
            revoked = record("alice", revoked_at=datetime.now(UTC))
            write(path, revoked, record("bob"), record("carol", budget={"day": 1.0}))
            await becomes(401, address, "alice")
            assert (await ask(address, chat(), headers=bearer("bob"))).status == 200
            assert (await ask(address, chat(), headers=bearer("carol"))).status == 401

    run(main())
    assert "keys with a budget are not used" in caplog.text
    assert "the price of cloud/main/m is not known" in caplog.text


def test_a_name_of_the_configuration_is_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.json"
    write(path, record("gate"), record("alice"))

    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await ask(address, chat(), headers=bearer("gate"))).status == 401
        assert (await ask(address, chat(), headers=bearer("sk-gate"))).status == 200

    with_file(path, scenario, server={"api_keys": [{"key": "env:GATE_KEY", "name": "gate"}]})
    assert "'gate' of" in caplog.text


def test_a_reload_takes_another_file(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    write(first, record("alice"))
    write(second, record("bob"))

    async def scenario(address: str, gateway: Gateway) -> None:
        changed = config_of(text_of({}, [], server={"keys_file": str(second)}))
        assert gateway.reload(changed) == []
        assert (await ask(address, chat(), headers=bearer("alice"))).status == 401
        reply = await ask(address, chat(), headers=bearer("bob"))
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")
        await until(lambda: gateway.driver.open_sessions == 0)

    with_file(first, scenario, named=True)


def test_a_request_that_waits_is_not_lost_by_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write(path, record("alice"))

    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.ask(chat(), headers=bearer("alice"))
            await until(lambda: gateway.driver.open_sessions == 1)
            write(path, record("alice"), record("bob", models=["none"]))
            assert (await becomes(403, address, "bob")).error["code"] == "model_not_allowed"
            assert gateway.driver.open_sessions == 1

    with_file(path, scenario, engine=NEVER, server={"drain_timeout": "10ms"})
