"""What attempts cost and what is counted of them; unknown is never free."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import (
    PRICE,
    address_of,
    attach,
    chat,
    fake_engine,
    metric,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import DONE, STREAM, Call, delta, scripted, usage

from overspill.core.events import TargetChanged
from overspill.core.types import Health
from overspill.gateway.service import Gateway

CLOUD = "cloud/main/m"


def billed(
    path: Path,
    play: Callable[[Call, RawClient], Awaitable[None]],
    check: Callable[[Gateway], None] = lambda gateway: None,
    **pool: Any,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Let a priced upstream answer one stream by ``play``; return the ledger's requests and attempts."""

    async def main() -> None:
        async with scripted() as cloud:
            pools = {"cloud": {**upstream(cloud.url), **pool}}
            async with serving(text_of(pools, path=path)) as gateway, RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True))
                await play(await cloud.call(), client)
                await until(lambda: gateway.driver.open_sessions == 0)
                check(gateway)

    run(main())
    return rows(path, "requests"), rows(path, "attempts")


def answered(*events: bytes) -> Callable[[Call, RawClient], Awaitable[None]]:
    async def play(call: Call, client: RawClient) -> None:
        call.stream(b"".join(events))
        await client.reply()

    return play


def test_an_answer_costs_its_tokens_at_the_target_s_price(tmp_path: Path) -> None:
    def check(gateway: Gateway) -> None:
        assert metric(gateway, "overspill_cost_usd_total", CLOUD) == pytest.approx(2e-3)
        assert metric(gateway, "overspill_prompt_tokens_total", CLOUD) == 1000
        assert metric(gateway, "overspill_generation_tokens_total", CLOUD) == 500
        assert metric(gateway, "overspill_unpriced_attempts_total", CLOUD) == 0
        assert metric(gateway, "overspill_time_to_first_token_seconds", CLOUD) == 1
        assert metric(gateway, "overspill_e2e_request_latency_seconds", CLOUD) == 1
        assert metric(gateway, "overspill_queue_wait_seconds", "m") == 1

    requests, attempts = billed(tmp_path / "l.db", answered(STREAM, usage(1000, 500), DONE), check)
    assert requests[0]["cost_usd"] == attempts[0]["cost_usd"] == pytest.approx(2e-3)


def test_cached_tokens_have_a_price_of_their_own(tmp_path: Path) -> None:
    play = answered(STREAM, usage(1000, 500, cached=400), DONE)
    requests, attempts = billed(tmp_path / "l.db", play, price={**PRICE, "cached_input": 0.1})
    assert requests[0]["cost_usd"] == pytest.approx((600 * 1.0 + 400 * 0.1 + 500 * 2.0) / 1e6)
    assert (requests[0]["cached_tokens"], attempts[0]["cached_tokens"]) == (400, 400)


def test_without_a_price_the_cost_is_unknown_and_counted_as_such(tmp_path: Path) -> None:
    def check(gateway: Gateway) -> None:
        assert metric(gateway, "overspill_unpriced_attempts_total", CLOUD) == 1

    requests, attempts = billed(tmp_path / "l.db", answered(STREAM, usage(9, 9), DONE), check, price=None)
    assert requests[0]["cost_usd"] is None
    assert attempts[0]["cost_usd"] is None


def test_without_a_usage_the_cost_is_unknown(tmp_path: Path) -> None:
    requests, _ = billed(tmp_path / "l.db", answered(STREAM, DONE))
    assert (requests[0]["cost_usd"], requests[0]["output_tokens"]) == (None, 2)
    assert requests[0]["prompt_tokens_reported"] is None


def test_what_broke_after_tokens_has_a_cost_that_nobody_knows(tmp_path: Path) -> None:
    async def play(call: Call, client: RawClient) -> None:
        call.start_stream(delta("x"))
        reply = await client.head()
        call.cut()
        await client.rest(reply)

    requests, attempts = billed(tmp_path / "l.db", play)
    assert (requests[0]["outcome"], requests[0]["cost_usd"]) == ("broken", None)
    assert (attempts[0]["outcome"], attempts[0]["output_tokens"]) == ("failed", 1)


def test_what_was_cancelled_has_a_cost_that_nobody_knows(tmp_path: Path) -> None:
    def check(gateway: Gateway) -> None:
        assert metric(gateway, "overspill_attempts_total", CLOUD, "cancelled") == 1
        assert metric(gateway, "overspill_requests_total", "m", "client_gone") == 1

    async def play(call: Call, client: RawClient) -> None:
        call.start_stream(delta("x"))
        await client.read_until(await client.head(), b"x")
        await client.leave()
        await call.gone()

    requests, attempts = billed(tmp_path / "l.db", play, check)
    assert (requests[0]["cost_usd"], attempts[0]["cost_usd"]) == (None, None)
    assert (attempts[0]["outcome"], attempts[0]["failure"]) == ("cancelled", None)
    assert requests[0]["ttft_s"] is not None


def test_what_a_target_refused_costs_nothing(tmp_path: Path) -> None:
    async def play(call: Call, client: RawClient) -> None:
        call.reply(400, {"error": {"message": "no"}})
        await client.reply()

    requests, attempts = billed(tmp_path / "l.db", play)
    assert (requests[0]["outcome"], requests[0]["cost_usd"]) == ("client_error", 0.0)
    assert (attempts[0]["cost_usd"], attempts[0]["status"]) == (0.0, 400)


def test_a_local_answer_costs_nothing_by_the_token(tmp_path: Path) -> None:
    path = tmp_path / "l.db"

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))}, path=path)) as gateway,
        ):
            await ask(address_of(gateway), chat(max_tokens=2))

    run(main())
    assert rows(path, "requests")[0]["cost_usd"] == 0.0


def test_what_waits_is_shown_by_lane() -> None:
    async def main() -> None:
        # Not attached: no poll of it brings it up before its time.
        async with fake_engine() as engine, serving(text_of({"own": upstream(url_of(engine), local=True)})) as gateway:
            gateway.driver.feed(TargetChanged(target_id="own/main/m", health=Health.STARTING))
            only = (("x-overspill-local-only", "true"),)
            asking = [
                asyncio.ensure_future(ask(address_of(gateway), chat(max_tokens=1), headers=headers))
                for headers in ((), only, only)
            ]
            await until(lambda: sum(gateway.driver.controller.waiting_by_lane().values()) == 3)
            page = (await get(address_of(gateway), "/metrics")).body.decode()
            assert 'overspill_num_requests_waiting{lane="m"} 1.0' in page
            assert 'overspill_num_requests_waiting{lane="m (local only)"} 2.0' in page
            assert 'overspill_target_ready{target="own/main/m"} 0.0' in page
            gateway.driver.feed(TargetChanged(target_id="own/main/m", health=Health.READY))
            assert {reply.status for reply in await asyncio.gather(*asking)} == {200}

    run(main())


def test_the_ledger_s_own_health_is_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))}, path=tmp_path / "l.db")) as gateway,
        ):
            page = (await get(address_of(gateway), "/metrics")).body.decode()
            assert "overspill_ledger_healthy 1.0" in page
            assert "overspill_ledger_dropped_total 0.0" in page

    run(main())


def test_a_scrape_shows_every_request_that_has_ended_however_few() -> None:
    async def main() -> None:
        async with fake_engine() as engine, serving(text_of({"local": attach(url_of(engine))})) as gateway:
            for count in (1, 2, 3):
                await ask(address_of(gateway), chat(max_tokens=1))
                page = (await get(address_of(gateway), "/metrics")).body.decode()
                assert f'overspill_requests_total{{model="m",outcome="completed"}} {count}.0' in page
                assert f'overspill_attempts_total{{outcome="finished",target="local/0"}} {count}.0' in page
                assert f'overspill_e2e_request_latency_seconds_count{{target="local/0"}} {count}.0' in page

    run(main())


def test_what_ends_is_counted_in_batches_that_are_bounded_and_each_once() -> None:
    async def main() -> None:
        async with fake_engine() as engine, serving(text_of({"local": attach(url_of(engine))})) as gateway:
            requests = gateway.metrics.requests.series
            waiting: set[float] = set()
            async with RawClient(address_of(gateway)) as client:
                for number in range(1, 151):
                    client.ask(chat(max_tokens=1))
                    assert (await client.reply()).status == 200
                    counted = requests.get(("m", "completed"), [0.0])[0]
                    waiting.add(number - counted)
            assert max(waiting) < 64
            assert metric(gateway, "overspill_requests_total", "m", "completed") == 150
            assert metric(gateway, "overspill_requests_total", "m", "completed") == 150
            assert metric(gateway, "overspill_generation_tokens_total", "local/0") == 150

    run(main())
