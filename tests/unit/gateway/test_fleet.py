"""Engines through their gateway's life: started, kept, replaced, dropped, and brought back by a reload."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from tests.support.gateways import (
    ENVIRON,
    address_of,
    attach,
    chat,
    config_of,
    metric,
    ready,
    serving,
    text_of,
    upstream,
)
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import DONE

from overspill.core.types import Health
from overspill.errors import ConfigError
from overspill.gateway.service import Gateway
from overspill.pools.engines.supervisor import Phase
from overspill.wire.http import Origin

FAST = {"step_base_s": 0.001}
SLOW = {"step_base_s": 0.02}
HOME = [{"model": "m", "tiers": [["local"]]}]


def engine(speed: dict[str, Any] = FAST, **more: Any) -> dict[str, Any]:
    return {"engine": "fake", "max_batch_size": 4, "options": {"engine": speed}, **more}


def text(pool: dict[str, Any]) -> str:
    return text_of({"local": pool}, HOME)


def pid_of(gateway: Gateway) -> int | None:
    state = gateway.fleet.states().get("local/0")
    return None if state is None else state.pid


def health_of(gateway: Gateway) -> Health:
    return gateway.driver.controller.targets["local/0"].health


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


class Streaming:
    """A long stream on the engine."""

    def __init__(self, gateway: Gateway, tokens: int = 40) -> None:
        self._client = RawClient(address_of(gateway))
        self._tokens = tokens

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._client.ask(chat(stream=True, max_tokens=self._tokens))
        self._reply = await self._client.head()
        await self._client.read_until(self._reply, b" t0")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.leave()

    async def end(self) -> None:
        await self._client.rest(self._reply)
        assert self._reply.body.endswith(DONE)
        assert self._reply.body.count(b" t") == self._tokens


def test_an_engine_is_started_and_takes_requests_once_it_is_ready() -> None:
    async def main() -> None:
        async with serving(text(engine())) as gateway:
            assert health_of(gateway) is Health.STARTING
            early = await ask(address_of(gateway), chat(max_tokens=1))
            assert early.status == 200
            target = gateway.driver.controller.targets["local/0"]
            assert (target.slots, target.context_tokens) == (4, 4096)
            pid = pid_of(gateway)
            assert pid is not None
            assert gateway.fleet.log_tail("local/0") == []
            page = (await get(address_of(gateway), "/metrics")).body.decode()
            assert 'overspill_engine_restarts_total{target="local/0"} 0.0' in page
        assert not is_running(pid)

    run(main())


def test_an_unchanged_engine_is_not_touched_by_a_reload() -> None:
    async def main() -> None:
        async with serving(text(engine(SLOW))) as gateway:
            await ready(gateway, "local/0")
            pid = pid_of(gateway)
            async with Streaming(gateway) as stream:
                routes = [*HOME, {"model": "n", "tiers": [["local"]]}]
                assert gateway.reload(config_of(text_of({"local": engine(SLOW)}, routes))) == []
                assert (await ask(address_of(gateway), chat("n", max_tokens=1))).status == 200
                await stream.end()
            assert pid_of(gateway) == pid
            assert health_of(gateway) is Health.READY

    run(main())


def test_a_changed_engine_is_replaced_once_its_streams_have_ended() -> None:
    async def main() -> None:
        async with serving(text(engine(SLOW))) as gateway:
            await ready(gateway, "local/0")
            pid = pid_of(gateway)
            async with Streaming(gateway) as stream:
                gateway.reload(config_of(text(engine(SLOW, max_batch_size=7))))
                waiting = asyncio.ensure_future(ask(address_of(gateway), chat(max_tokens=1)))
                await until(lambda: health_of(gateway) is Health.STARTING)
                assert pid_of(gateway) == pid
                await stream.end()
            assert (await waiting).status == 200
            assert pid_of(gateway) != pid
            assert gateway.driver.controller.targets["local/0"].slots == 7

    run(main())


def test_an_engine_that_is_no_longer_named_ends_after_its_streams() -> None:
    async def main() -> None:
        async with serving(text(engine(SLOW))) as gateway:
            await ready(gateway, "local/0")
            pid = pid_of(gateway)
            assert pid is not None
            async with Streaming(gateway) as stream:
                routes = [{"model": "m", "tiers": [["other"]]}]
                gateway.reload(config_of(text_of({"other": attach("http://127.0.0.1:9")}, routes)))
                await stream.end()
            await until(lambda: not gateway.fleet.states())
            assert not is_running(pid)

    run(main())


def test_an_engine_that_is_dropped_and_named_again_meanwhile_is_kept() -> None:
    async def main() -> None:
        async with serving(text(engine(SLOW))) as gateway:
            await ready(gateway, "local/0")
            pid = pid_of(gateway)
            async with Streaming(gateway) as stream:
                routes = [{"model": "m", "tiers": [["other"]]}]
                gateway.reload(config_of(text_of({"other": attach("http://127.0.0.1:9")}, routes)))
                await asyncio.sleep(0)
                gateway.reload(config_of(text(engine(SLOW))))
                await ready(gateway, "local/0")
                assert (await ask(address_of(gateway), chat(max_tokens=1))).status == 200
                await stream.end()
            assert pid_of(gateway) == pid

    run(main())


def test_reloads_in_quick_succession_leave_one_process() -> None:
    async def main() -> None:
        async with serving(text(engine())) as gateway:
            for size in (5, 6, 7, 8):  # the first is still being started
                gateway.reload(config_of(text(engine(max_batch_size=size))))
                await asyncio.sleep(0)
            await until(lambda: gateway.driver.controller.targets["local/0"].slots == 8)
            await until(lambda: health_of(gateway) is Health.READY)
            pid = pid_of(gateway)
            children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
            assert [int(child) for child in children if is_running(int(child))] == [pid]
            live = gateway.driver.targets["local/0"]
            assert live.origin != Origin()
            assert (await ask(address_of(gateway), chat(max_tokens=1))).status == 200

    run(main())


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (engine(engine="llamacpp", model="/no/such/model.gguf"), "/no/such/model.gguf"),
        (engine(options={"engine": 5}), "local/0"),
    ],
)
def test_an_engine_that_cannot_be_started_is_broken_and_a_reload_cures_it(
    pool: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(text(pool)) as gateway:
            await until(lambda: health_of(gateway) is Health.BROKEN)
            assert words in caplog.text
            reply = await ask(address_of(gateway), chat())
            assert (reply.status, reply.error["code"]) == (503, "no_target")
            gateway.reload(config_of(text(engine())))
            await ready(gateway, "local/0")
            assert (await ask(address_of(gateway), chat(max_tokens=1))).status == 200

    with caplog.at_level(logging.ERROR, "overspill.fleet"):
        run(main())


def test_an_engine_that_says_it_cannot_work_is_broken_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(text(engine(options={"speed": 1}))) as gateway:
            await until(lambda: health_of(gateway) is Health.BROKEN)
            assert gateway.fleet.states()["local/0"].phase is Phase.BROKEN
            assert "speed" in caplog.text

    with caplog.at_level(logging.WARNING, "overspill.fleet"):
        run(main())


def test_every_replica_is_a_target_of_its_own() -> None:
    async def main() -> None:
        async with serving(text(engine(replicas=2, max_batch_size=1))) as gateway:
            await ready(gateway, "local/0")
            await ready(gateway, "local/1")
            replies = await asyncio.gather(*(ask(address_of(gateway), chat(max_tokens=20)) for _ in range(8)))
            assert {reply.headers["x-overspill-target"] for reply in replies} == {"local/0", "local/1"}
            assert metric(gateway, "overspill_requests_total", "m", "completed") == 8

    run(main())


def changed(change: Callable[[dict[str, Any]], None]) -> str:
    pools = {"local": attach("http://127.0.0.1:9"), "cloud": upstream("http://127.0.0.1:9")}
    change(pools)
    return text_of(pools)


@pytest.mark.parametrize(
    "change",
    [
        lambda pools: pools["cloud"]["accounts"][0].update(api_key="env:NOT_SET"),
        lambda pools: pools["cloud"]["accounts"][0].update(api_key="file:/no/such/file"),
    ],
)
def test_a_reload_that_cannot_be_used_changes_nothing(change: Callable[[dict[str, Any]], None]) -> None:
    async def main() -> None:
        async with serving(changed(lambda pools: None)) as gateway:
            policy, targets = gateway.policy, gateway.driver.targets
            with pytest.raises(ConfigError):
                gateway.reload(config_of(changed(change)))
            assert gateway.policy is policy
            assert gateway.driver.targets is targets

    run(main())


def test_a_gateway_whose_secret_is_missing_does_not_start() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="CLOUD_KEY, which is not set"):
            async with serving(changed(lambda pools: None), environ={"HOME": ENVIRON["HOME"]}):
                pass

    run(main())
