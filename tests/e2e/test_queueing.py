"""When every slot is taken: who waits, who spills and why, and who is refused."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import (
    NEVER,
    address_of,
    attach,
    chat,
    fake_engine,
    ready,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import run, until
from tests.support.raw_client import Headers, RawClient, ask, get
from tests.support.scripted_upstream import DONE, STREAM, scripted

from overspill.gateway.service import Gateway


async def occupied(stack: AsyncExitStack, gateway: Gateway, count: int, headers: Headers = ()) -> list[RawClient]:
    """Take ``count`` slots with requests that never end."""
    clients = []
    for _ in range(count):
        client = await stack.enter_async_context(RawClient(address_of(gateway)))
        client.ask(chat(stream=True), headers=headers)
        clients.append(client)
    await until(lambda: gateway.driver.running_on("local/0") == count)
    return clients


def waiting(gateway: Gateway) -> int:
    return sum(gateway.driver.controller.waiting_by_lane().values())


def test_a_full_target_is_never_sent_more_and_the_next_in_turn_gets_the_slot(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as local, AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(
                serving(text_of({"local": attach(local.url, slots=1)}, path=path))
            )
            first = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True)))
            call = await local.call()
            later = []
            for number in range(3):
                later.append(asyncio.ensure_future(ask(address_of(gateway), chat(user=f"{number}"))))
                await until(lambda wanted=number + 1: waiting(gateway) == wanted)
            assert local.received == 1
            call.stream(STREAM + DONE)
            assert (await first).status == 200
            for number in range(3):
                call = await local.call()
                assert call.json()["user"] == f"{number}"
                assert local.received == number + 2
                call.reply(200, {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
                reply = await later[number]
                assert (reply.status, reply.headers["x-overspill-reason"]) == (200, "home")

    run(main())
    assert all(row["queue_wait_s"] > 0 for row in rows(path, "requests")[1:])


def test_a_request_of_higher_priority_goes_first() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url, slots=1)})) as gateway:
            address = address_of(gateway)
            tasks = [asyncio.ensure_future(ask(address, chat()))]
            call = await local.call()
            for count, priority in enumerate(("bulk", "default", "interactive"), start=1):
                headers = (("x-overspill-priority", priority),)
                tasks.append(asyncio.ensure_future(ask(address, chat(user=priority), headers=headers)))
                await until(lambda wanted=count: waiting(gateway) == wanted)
            answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
            call.reply(200, answer)
            order = []
            for _ in range(3):
                call = await local.call()
                order.append(call.json()["user"])
                call.reply(200, answer)
            assert order == ["interactive", "default", "bulk"]
            await asyncio.gather(*tasks)

    run(main())


def two_tiers(local_url: str, cloud_url: str, *, route: dict[str, Any] | None = None, **local: Any) -> str:
    routes = [{"model": "m", "tiers": [["local"], ["cloud"]], **(route or {})}]
    return text_of({"local": attach(local_url, **local), "cloud": upstream(cloud_url)}, routes)


def test_a_full_local_tier_spills_and_comes_back() -> None:
    async def main() -> None:
        async with fake_engine(NEVER) as local, fake_engine() as cloud, AsyncExitStack() as stack:
            text = two_tiers(url_of(local), url_of(cloud), slots=2)
            gateway = await stack.enter_async_context(serving(text))
            clients = await occupied(stack, gateway, 2)
            reply = await ask(address_of(gateway), chat(max_tokens=1))
            assert reply.headers["x-overspill-reason"] == "local_full"
            assert reply.headers["x-overspill-target"] == "cloud/main/m"
            await clients[0].leave()
            await until(lambda: local.held == 1)
            page = (await get(address_of(gateway), "/debug/route?model=m")).json()
            assert page["decision"]["target"] == "local/0"

    run(main())


def test_a_local_tier_that_would_be_late_spills() -> None:
    async def main() -> None:
        async with (
            fake_engine() as local,
            fake_engine() as cloud,
            serving(two_tiers(url_of(local), url_of(cloud), prior={"ttft_base": "9s"})) as gateway,
        ):
            reply = await ask(address_of(gateway), chat(max_tokens=1))
            assert reply.headers["x-overspill-reason"] == "slo_at_risk"
            patient = (("x-overspill-ttft-slo", "30s"),)
            reply = await ask(address_of(gateway), chat(max_tokens=1), headers=patient)
            assert reply.headers["x-overspill-reason"] == "home"

    run(main())


def test_a_prompt_too_long_for_local_spills() -> None:
    async def main() -> None:
        async with (
            fake_engine() as local,
            fake_engine() as cloud,
            serving(two_tiers(url_of(local), url_of(cloud), context_tokens=32)) as gateway,
        ):
            long = chat(messages=[{"role": "user", "content": "word " * 100}], max_tokens=1)
            reply = await ask(address_of(gateway), long)
            assert reply.headers["x-overspill-reason"] == "context_too_long"
            assert local.received == 0

    run(main())


def test_what_has_no_local_tier_says_so() -> None:
    async def main() -> None:
        async with fake_engine() as cloud, serving(text_of({"cloud": upstream(url_of(cloud))})) as gateway:
            reply = await ask(address_of(gateway), chat(max_tokens=1))
            assert reply.headers["x-overspill-reason"] == "home"

    run(main())


@pytest.mark.parametrize("by", ["header", "route"])
def test_local_only_never_leaves_however_full_or_broken_local_is(by: str) -> None:
    async def main() -> None:
        async with fake_engine(NEVER) as local, fake_engine() as cloud, AsyncExitStack() as stack:
            text = two_tiers(url_of(local), url_of(cloud), slots=1, route={"local_only": by == "route"})
            gateway = await stack.enter_async_context(serving(text))
            wish: Headers = (("x-overspill-local-only", "true"),) if by == "header" else ()
            headers = (("x-overspill-deadline", "50ms"), *wish)
            await occupied(stack, gateway, 1, wish)
            full = await ask(address_of(gateway), chat(), headers=headers)
            assert (full.status, full.headers["x-overspill-reason"]) == (503, "deadline_evicted")
            await local.close()
            down = await ask(address_of(gateway), chat(), headers=headers)
            assert down.status in (502, 503)
            assert cloud.received == 0

    run(main())


def test_local_only_without_a_local_target_fails_closed() -> None:
    async def main() -> None:
        async with fake_engine() as cloud, serving(text_of({"cloud": upstream(url_of(cloud))})) as gateway:
            reply = await ask(address_of(gateway), chat(), headers=(("x-overspill-local-only", "1"),))
            assert (reply.status, reply.headers["x-overspill-reason"]) == (503, "no_target")
            assert cloud.received == 0

    run(main())


def test_local_only_is_kept_in_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine() as local:
            routes = [{"model": "m", "tiers": [["local"]], "local_only": True}, {"model": "n", "tiers": [["local"]]}]
            async with serving(text_of({"local": attach(url_of(local))}, routes, path=path)) as gateway:
                await ask(address_of(gateway), chat("m", max_tokens=1))
                await ask(address_of(gateway), chat("n", max_tokens=1))
                only = (("x-overspill-local-only", "true"),)
                await ask(address_of(gateway), chat("n", max_tokens=1), headers=only)

    run(main())
    assert [row["local_only"] for row in rows(path, "requests")] == [1, 0, 1]


def test_a_full_queue_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine(NEVER) as local, AsyncExitStack() as stack:
            routes = [{"model": "m", "tiers": [["local"]], "queue_limit": 1}]
            text = text_of({"local": attach(url_of(local), slots=1)}, routes, path=path)
            gateway = await stack.enter_async_context(serving(text))
            await occupied(stack, gateway, 1)
            second = await stack.enter_async_context(RawClient(address_of(gateway)))
            second.ask(chat())
            await until(lambda: waiting(gateway) == 1)
            reply = await ask(address_of(gateway), chat())
            assert (reply.status, reply.error["code"]) == (503, "queue_full")
            assert reply.headers["x-overspill-reason"] == "queue_full"
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            assert reply.headers["x-overspill-attempts"] == "0"
            await second.leave()
            await until(lambda: waiting(gateway) == 0)

    run(main())
    first, second, third = rows(path, "requests")
    assert (first["outcome"], first["reason"], first["attempts"]) == ("rejected", "queue_full", 0)
    assert (second["outcome"], second["attempts"], second["client_status"]) == ("client_gone", 0, None)
    assert third["outcome"] == "client_gone"


def test_a_request_that_waits_past_its_deadline_is_evicted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine(NEVER) as local, AsyncExitStack() as stack:
            text = text_of({"local": attach(url_of(local), slots=1)}, path=path)
            gateway = await stack.enter_async_context(serving(text))
            await occupied(stack, gateway, 1)
            reply = await ask(address_of(gateway), chat(), headers=(("x-overspill-deadline", "30ms"),))
            assert (reply.status, reply.error["code"]) == (503, "deadline_evicted")
            assert "retry-after" in reply.headers

    run(main())
    evicted = rows(path, "requests")[0]
    assert (evicted["outcome"], evicted["reason"]) == ("evicted", "deadline_evicted")
    assert evicted["queue_wait_s"] >= 0.03


def test_polls_of_a_busy_engine_do_not_count_our_own_requests_as_somebody_else_s() -> None:
    async def main() -> None:
        async with fake_engine(NEVER) as local, AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(serving(text_of({"local": attach(url_of(local), slots=4)})))
            await ready(gateway, "local/0")
            await occupied(stack, gateway, 3)
            target = gateway.driver.controller.targets["local/0"]
            reported = target._report_at
            await until(lambda: target._report_at > reported)
            assert target.load(gateway.driver.now()) == 3

    run(main())
