"""Targets that answer with nothing: a second one is asked, and a client that waits long gets signs of life."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import (
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
from tests.support.raw_client import RawClient, ask
from tests.support.scripted_upstream import DONE, JSON, ROLE, SSE, STREAM, Call, delta, scripted

from overspill.gateway.rehearsal.speech import text_of as words

BLANK = "HTTP/1.1 200 OK\r\n{}transfer-encoding: chunked\r\n\r\n"
QUICK_SLO = {"slo": {"ttft": "300ms"}}
PATIENT = {"slo": {"ttft": "1h"}, "deadline": "1h"}


def two_tiers(**rest: Any) -> list[dict[str, Any]]:
    return [{"model": "m", "tiers": [["local"], ["cloud"]], **rest}]


def keep_alive(call: Call, *, lines: bool) -> None:
    """Answer as a busy DeepSeek does: 200, and then nothing but blank lines or comments."""
    call.send(BLANK.format(JSON if lines else SSE).encode())
    for _ in range(3):
        call.chunk(b"\n" if lines else b": keep-alive\n\n")


@pytest.mark.parametrize("lines", [True, False], ids=["blank lines", "comments"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_target_that_only_keeps_alive_loses_the_request_to_one_that_speaks(
    tmp_path: Path, stream: bool, lines: bool
) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools, two_tiers(**QUICK_SLO), path=path)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=stream, max_tokens=3)))
                call = await local.call()
                keep_alive(call, lines=lines)
                reply = await asking
                assert reply.status == 200
                assert reply.headers["x-overspill-reason"] == "silent"
                assert reply.headers["x-overspill-target"] == "cloud/main/m"
                assert reply.headers["x-overspill-attempts"] == "2"
                assert b" t2" in reply.body
                await call.gone()  # what it holds at the target is freed
                assert metric(gateway, "overspill_attempts_total", "local/0", "cancelled") == 1

    run(main())
    (request,) = rows(path, "requests")
    assert (request["spill"], request["target_id"], request["attempts"]) == ("silent", "cloud/main/m", 2)
    assert {row["target_id"]: row["outcome"] for row in rows(path, "attempts")} == {
        "local/0": "cancelled",
        "cloud/main/m": "finished",
    }


@pytest.mark.parametrize("stream", [True, False])
def test_the_first_target_may_still_win(stream: bool) -> None:
    async def main() -> None:
        async with scripted() as local, scripted() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(cloud.url)}
            async with serving(text_of(pools, two_tiers(**QUICK_SLO))) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=stream)))
                home, away = await local.call(), await cloud.call()
                away.start_stream(ROLE)
                home.stream(STREAM + DONE)
                reply = await asking
                assert reply.headers["x-overspill-reason"] == "home"
                assert reply.headers["x-overspill-target"] == "local/0"
                await away.gone()

    run(main())


def test_an_error_does_not_win_a_race() -> None:
    async def main() -> None:
        async with scripted() as local, scripted() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(cloud.url)}
            async with serving(text_of(pools, two_tiers(**QUICK_SLO))) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True)))
                home, away = await local.call(), await cloud.call()
                away.reply(400, b'{"error": {"message": "no"}}')
                await until(lambda: any(relay.is_over for relay in gateway.driver._relays.values()))
                home.stream(STREAM + DONE)
                assert (await asking).body.endswith(DONE)

    run(main())


def test_a_route_that_hedges_asks_twice_before_the_token_is_late() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools, two_tiers(**PATIENT, hedge_after="50ms"))) as gateway:
                reply = await ask(address_of(gateway), chat(stream=True, max_tokens=2))
                assert reply.headers["x-overspill-reason"] == "hedged"
                await (await local.call()).gone()

    run(main())


def test_a_gateway_that_stood_still_does_not_blame_the_target() -> None:
    """What came while it did not look has not been read yet; a look later it has, or the stream has really stalled."""
    routes = [{"model": "m", "tiers": [["local"]], "stall_timeout": "5s"}]

    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)}, routes)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            driver = gateway.driver
            client.ask(chat(stream=True))
            call = await local.call()
            call.start_stream(delta("x"))
            reply = await client.head()
            driver._sweep()  # has seen the token
            driver._epoch -= 60.0  # a minute passes between two instructions
            driver._sweep()
            (relay,) = driver._relays.values()
            assert relay.failure is None
            call.chunk(delta("y"))
            await client.read_until(reply, b"y")
            driver._sweep()
            assert relay.failure is None
            driver._epoch -= 60.0
            driver._sweep_due_at = driver.now()  # this time it did look, and in vain
            driver._sweep()
            await client.rest(reply)
            assert b'"code":"stream_timeout"' in reply.body

    run(main())


# -- the commit deadline

HASTY = {"commit_deadline": "1ms", "heartbeat": "1ms"}


def test_a_stream_that_waits_long_gets_its_head_and_comments_and_then_the_answer() -> None:
    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)}, server=HASTY)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat(stream=True))
            call = await local.call()
            gateway.driver._sweep()
            reply = await client.head()
            assert reply.status == 200
            assert reply.headers["x-overspill-reason"] == "waited"
            assert "x-overspill-target" not in reply.headers
            gateway.driver._sweep()
            await client.read_until(reply, b": keep-alive\n\n" * 2)
            call.stream(STREAM + DONE)
            await client.rest(reply)
            assert reply.is_whole
            beats, label, answer = reply.body.partition(
                b": overspill reason=home target=local/0 attempts=1 model=m\n\n"
            )
            assert beats.replace(b": keep-alive\n\n", b"") == b""
            assert label
            assert answer == STREAM + DONE

    run(main())


def test_a_whole_answer_that_waits_long_begins_with_line_feeds() -> None:
    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)}, server=HASTY)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat(stream=False))
            call = await local.call()
            gateway.driver._sweep()
            reply = await client.head()
            await client.read_until(reply, b"\n")
            call.stream(STREAM + DONE)
            await client.rest(reply)
            assert reply.body.startswith(b"\n")
            assert reply.json()["choices"][0]["finish_reason"] == "stop"

    run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_after_the_commit_another_target_still_answers(stream: bool) -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with (
                serving(text_of(pools, two_tiers(**PATIENT), server=HASTY)) as gateway,
                RawClient(address_of(gateway)) as client,
            ):
                client.ask(chat(stream=stream, max_tokens=3))
                call = await local.call()
                gateway.driver._sweep()
                reply = await client.head()
                call.cut()
                await client.rest(reply)
                assert reply.is_whole
                if stream:
                    assert b": overspill reason=attempt_failed target=cloud/main/m attempts=2 model=m\n\n" in reply.body
                    assert reply.body.endswith(DONE)
                else:
                    assert reply.json()["choices"][0]["message"]["content"] == words(3)

    run(main())


@pytest.mark.parametrize("stream", [True, False])
def test_after_the_commit_an_error_is_told_in_the_body_and_never_looks_whole(stream: bool) -> None:
    async def main() -> None:
        async with scripted() as local:
            routes = [{"model": "m", "tiers": [["local"]], "max_attempts": 1}]
            async with (
                serving(text_of({"local": attach(local.url)}, routes, server=HASTY)) as gateway,
                RawClient(address_of(gateway)) as client,
            ):
                client.ask(chat(stream=stream))
                call = await local.call()
                gateway.driver._sweep()
                reply = await client.head()
                call.cut()
                await client.rest(reply)
                assert reply.status == 200
                assert b"[DONE]" not in reply.body
                if stream:
                    assert b'data: {"error":' in reply.body
                else:
                    assert reply.error["code"] == "attempts_exhausted"

    run(main())


def test_a_client_that_leaves_after_a_sign_of_life_frees_everything() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, server=HASTY)) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True))
                call = await local.call()
                gateway.driver._sweep()
                await client.head()
            await call.gone()
            await until(lambda: gateway.driver.open_sessions == 0)

    run(main())


def test_a_stream_that_becomes_too_slow_is_taken_for_broken() -> None:
    async def main() -> None:
        routes = [{"model": "m", "tiers": [["local"]], "stall_timeout": "1s", "floor_tokens_per_s": 1000}]
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, routes)) as gateway:
            asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True)))
            call = await local.call()
            call.start_stream(delta("x"))
            while not asking.done():
                call.chunk(delta("y"))
                await asyncio.sleep(0.01)
            assert b'"code":"stream_timeout"' in (await asking).body

    run(main())
