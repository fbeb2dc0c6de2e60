"""The embedded engine with a real model behind the gateway: answers, a client that leaves, and a killed worker."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.support.gateways import (
    MESSAGES,
    address_of,
    chat,
    fake_engine,
    metric,
    ready,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import run, until
from tests.support.processes import served
from tests.support.raw_client import RawClient, Reply, ask, get
from tests.support.scripted_upstream import DONE

from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.service import Gateway
from overspill.pools.engines.supervisor import Phase
from overspill.wire.http import HttpCall

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_engine

SLOTS = 4
ENGINE = {"engine": "llamacpp", "model": "builtin", "max_batch_size": SLOTS, "context_tokens": 1024, "threads": 1}
HOME = [{"model": "m", "tiers": [["local"]]}]
STREAMS = 50


def long(tokens: int, **more: Any) -> dict[str, Any]:
    """Ask for an answer of exactly so many tokens."""
    return chat(stream=True, max_tokens=tokens, ignore_eos=True, **more)


def test_a_served_model_answers_curl_and_the_openai_client(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        with openai.OpenAI(base_url=f"http://{address}/v1", api_key="x", max_retries=0) as client:
            model = client.models.list().data[0].id
            whole = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=8)
            assert whole.choices[0].finish_reason in ("length", "stop")
            assert whole.usage is not None
            assert whole.usage.completion_tokens > 0
            with client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=8, stream=True) as stream:
                chunks = list(stream)
            assert any(chunk.choices[0].delta.content for chunk in chunks)
            assert chunks[-1].choices[0].finish_reason in ("length", "stop")
            text = client.completions.create(model=model, prompt="Hello", max_tokens=4, extra_body={"ignore_eos": True})
            assert text.choices[0].text

    async def main() -> None:
        small = ("--set", "pools.local.max_batch_size=2", "--set", "pools.local.context_tokens=512")
        async with served(tmp_path, "--no-discovery", "--port", "0", *small) as gateway:
            await gateway.listening()
            reply = await ask(gateway.address, chat("anything", max_tokens=4))
            assert reply.status == 200
            assert reply.headers["x-overspill-target"] == "local/0"
            assert reply.json()["object"] == "chat.completion"
            reply = await ask(gateway.address, chat("overspill-tiny", max_tokens=4, stream=True))
            assert reply.body.endswith(DONE)
            await asyncio.to_thread(talk, gateway.address)
            assert (await get(gateway.address, "/readyz")).status == 200
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0

    run(main(), loop="uvloop")


async def processing(gateway: Gateway) -> float:
    """Ask the engine itself how many requests it works on."""
    live = gateway.driver.targets["local/0"]
    key = (b"authorization", b"Bearer " + live.api_key.encode())  # type: ignore[attr-defined]
    call = HttpCall(b"GET", b"/metrics", (key,), b"")
    answer = await fetch(gateway.client, live.origin, call, timeout_s=5.0, reuse=False)
    assert isinstance(answer, Fetched)
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("llamacpp:requests_processing ")]
    return float(lines[0].split(" ")[1])


def test_a_client_that_leaves_frees_the_engine_s_slot() -> None:
    async def main() -> None:
        async with serving(text_of({"local": ENGINE}, HOME)) as gateway:
            await ready(gateway, "local/0")
            for stream in (True, False):
                async with RawClient(address_of(gateway)) as client:
                    client.ask({**long(900), "stream": stream})
                    await until(lambda: gateway.driver.running_on("local/0") == 1)
                    while await processing(gateway) == 0:
                        pass
                while await processing(gateway):
                    pass
                assert gateway.driver.open_sessions == 0

    run(main(), loop="uvloop")


@pytest.mark.parametrize("has_cloud", [False, True], ids=["alone", "with a second tier"])
def test_a_killed_engine_loses_no_request_that_had_no_token(tmp_path: Path, has_cloud: bool) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with AsyncExitStack() as stack:
            pools: dict[str, Any] = {"local": ENGINE}
            # So that they would rather wait than spill, however long the others are expected to take. What had tokens
            # is to break: that it can go on is another test's matter.
            routes: list[dict[str, Any]] = [{**HOME[0], "slo": {"ttft": "1h"}, "deadline": "1h", "rescue": "off"}]
            if has_cloud:
                cloud = await stack.enter_async_context(fake_engine())
                pools["cloud"] = upstream(url_of(cloud))
                routes[0]["tiers"] = [["local"], ["cloud"]]
            gateway = await stack.enter_async_context(serving(text_of(pools, routes, path=path)))
            await ready(gateway, "local/0")
            replies = [asyncio.ensure_future(ask(address_of(gateway), long(900))) for _ in range(SLOTS)]
            await until(lambda: sum(bool(r.first_token_at) for r in gateway.driver._relays.values()) == SLOTS)
            pid = gateway.fleet.states()["local/0"].pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)  # so that none of them ends before the others have come
            replies += [asyncio.ensure_future(ask(address_of(gateway), long(100))) for _ in range(STREAMS - SLOTS)]
            await until(lambda: gateway.driver.open_sessions == STREAMS)
            os.kill(pid, signal.SIGKILL)
            check_all(await asyncio.gather(*replies), has_cloud=has_cloud)
            await until(lambda: gateway.fleet.states()["local/0"].phase is Phase.READY)
            assert gateway.fleet.states()["local/0"].restarts == 1
            await ready(gateway, "local/0")
            again = await ask(address_of(gateway), chat(max_tokens=4))
            assert (again.status, again.headers["x-overspill-reason"]) == (200, "home")
            assert metric(gateway, "overspill_requests_total", "m", "completed") >= STREAMS - SLOTS

    run(main(), loop="uvloop", patience_s=60)
    outcomes = [row["outcome"] for row in rows(path, "requests")]
    assert len(outcomes) == STREAMS + 1
    assert set(outcomes) == {"completed", "broken"}


def check_all(replies: list[Reply], *, has_cloud: bool) -> None:
    whole = [reply for reply in replies if reply.body.endswith(DONE)]
    broken = [reply for reply in replies if not reply.body.endswith(DONE)]
    assert all(reply.status == 200 and reply.is_whole for reply in replies)
    assert len(broken) == SLOTS
    for reply in broken:
        assert b'"code":"stream_cut"' in reply.body
        assert b'content":"' in reply.body  # of reasoning or of the answer
        assert b"[DONE]" not in reply.body
    reasons = {reply.headers["x-overspill-reason"] for reply in whole}
    if has_cloud:
        assert "local_broken" in reasons
    else:
        assert reasons == {"home"}
