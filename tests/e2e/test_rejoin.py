"""Clients that number their tries: a retry goes on with what runs already, and nobody else does."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from tests.support.gateways import MESSAGES, address_of, attach, chat, metric, metric_samples, serving, text_of
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, ask
from tests.support.responses import read_events
from tests.support.scripted_upstream import DONE, STREAM, delta, scripted

from overspill.gateway.rejoin import retry_count

FIRST = (("x-stainless-retry-count", "0"),)
SECOND = (("x-stainless-retry-count", "1"),)
REJOINED = "overspill_retries_rejoined_total"


@pytest.mark.parametrize("stream", [True, False])
def test_a_retry_takes_over_the_attempt_that_runs(stream: bool) -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=stream), headers=FIRST)
                call = await local.call()
            await until(lambda: all(s.comeback.left_at for s in gateway.driver._sessions.values() if s.comeback))
            asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=stream), headers=SECOND))
            await until(lambda: gateway.driver.rejoining.rejoined == 1)
            call.stream(STREAM + DONE)
            reply = await asking
            assert (reply.status, reply.headers["x-overspill-attempts"]) == (200, "1")
            assert local.received == 1
            assert metric_samples(gateway, REJOINED) == {(): 1}
            assert metric(gateway, "overspill_client_disconnects_total") == 0

    run(main())


def test_a_retry_gets_the_beginning_that_a_sign_of_life_had_brought_to_the_first_connection() -> None:
    async def main() -> None:
        body, path = {"model": "m", "input": "hi", "stream": True}, "/v1/responses"
        route = [{"model": "m", "tiers": [["local"]], "slo": {"ttft": "1h"}, "deadline": "1h"}]
        server = {"commit_deadline": "50ms", "heartbeat": "50ms"}
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, route, server=server)) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(body, path, headers=FIRST)
                call = await local.call()
                await client.read_until(await client.head(), b'"sequence_number":2,')
            await until(lambda: all(s.comeback.left_at for s in gateway.driver._sessions.values() if s.comeback))
            asking = asyncio.ensure_future(ask(address_of(gateway), body, path, headers=SECOND))
            await until(lambda: gateway.driver.rejoining.rejoined == 1)
            call.stream(STREAM + DONE)
            reply = await asking
            said = [part + b"\n\n" for part in reply.body.split(b"\n\n") if part.startswith(b"event:")]
            events = read_events(b"".join(said))
            assert events[0]["type"] == "response.created"
            assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"

    run(main())


def test_a_retry_keeps_its_place_in_the_queue() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url, slots=1)})) as gateway:
            address = address_of(gateway)
            running = asyncio.ensure_future(ask(address, chat(stream=True)))
            call = await local.call()
            async with RawClient(address) as client:
                client.ask(chat(stream=True, seed=1), headers=FIRST)
                await until(lambda: gateway.driver.open_sessions == 2)
            behind = asyncio.ensure_future(ask(address, chat(stream=True, seed=2)))
            await until(lambda: gateway.driver.open_sessions == 3)
            again = asyncio.ensure_future(ask(address, chat(stream=True, seed=1), headers=SECOND))
            await until(lambda: gateway.driver.rejoining.rejoined == 1)
            call.stream(STREAM + DONE)
            await running
            call = await local.call()
            assert call.json()["seed"] == 1
            call.stream(STREAM + DONE)
            assert (await again).body.endswith(DONE)
            (await local.call()).stream(STREAM + DONE)
            assert (await behind).body.endswith(DONE)

    run(main())


def test_an_answer_that_came_meanwhile_is_given_once_to_the_retry() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(), headers=FIRST)
                call = await local.call()
            await until(lambda: all(s.comeback.left_at for s in gateway.driver._sessions.values() if s.comeback))
            call.stream(STREAM + DONE)
            await until(lambda: gateway.driver.open_sessions == 0)
            reply = await ask(address_of(gateway), chat(), headers=SECOND)
            assert reply.json()["choices"][0]["finish_reason"] == "stop"
            assert (local.received, metric_samples(gateway, REJOINED)) == (1, {(): 1})
            asking = asyncio.ensure_future(ask(address_of(gateway), chat(), headers=SECOND))
            (await local.call()).stream(STREAM + DONE)
            assert (await asking).status == 200

    run(main())


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (chat(), ()),
        (chat(), FIRST),
        (chat(temperature=1), SECOND),
        (chat(), (*SECOND, ("x-overspill-priority", "bulk"))),
        (chat(), (("x-stainless-retry-count", "x"),)),
    ],
    ids=["not numbered", "a first try", "another body", "another wish", "no number"],
)
def test_what_is_not_the_same_clients_retry_runs_by_itself(body: dict[str, Any], headers: Any) -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            first = asyncio.ensure_future(ask(address_of(gateway), chat(), headers=FIRST))
            one = await local.call()
            second = asyncio.ensure_future(ask(address_of(gateway), body, headers=headers))
            two = await local.call()
            one.stream(STREAM + DONE)
            two.stream(STREAM + DONE)
            assert [(await first).status, (await second).status] == [200, 200]
            assert gateway.driver.rejoining.rejoined == 0

    run(main())


def test_another_key_never_gets_it() -> None:
    async def main() -> None:
        server = {"api_keys": [{"key": "env:GATE_KEY", "name": "a"}, {"key": "env:CLOUD_KEY", "name": "b"}]}
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, server=server)) as gateway:
            mine, other = (("authorization", f"Bearer {key}") for key in ("sk-gate", "sk-cloud"))
            first = asyncio.ensure_future(ask(address_of(gateway), chat(), headers=(*FIRST, mine)))
            one = await local.call()
            second = asyncio.ensure_future(ask(address_of(gateway), chat(), headers=(*SECOND, other)))
            two = await local.call()
            one.stream(STREAM + DONE)
            two.stream(STREAM + DONE)
            assert [(await first).status, (await second).status] == [200, 200]
            assert gateway.driver.rejoining.rejoined == 0

    run(main())


def test_a_client_that_does_not_come_back_frees_its_slot_after_a_moment() -> None:
    async def main() -> None:
        async with scripted() as local:
            text = text_of({"local": attach(local.url)}, server={"retry_linger": "50ms"})
            async with serving(text) as gateway:
                async with RawClient(address_of(gateway)) as client:
                    client.ask(chat(stream=True), headers=FIRST)
                    call = await local.call()
                await call.gone()
                await until(lambda: gateway.driver.open_sessions == 0)
                assert metric(gateway, "overspill_client_disconnects_total") == 1

    run(main())


def test_a_stream_that_has_begun_ends_with_its_client() -> None:
    async def main() -> None:
        server = {"retry_linger": "1h"}
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, server=server)) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True), headers=FIRST)
                call = await local.call()
                call.start_stream(delta("x"))
                await client.read_until(await client.head(), b"x")
            await call.gone()
            await until(lambda: gateway.driver.open_sessions == 0)
            assert not gateway.driver.rejoining._open

    run(main())


def test_openai_s_client_that_times_out_gets_the_first_run_s_answer() -> None:
    def talk(address: str) -> str | None:
        with openai.OpenAI(base_url=f"http://{address}/v1", api_key="x", max_retries=3, timeout=0.3) as client:
            return client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content

    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            asking = asyncio.ensure_future(asyncio.to_thread(talk, address_of(gateway)))
            call = await local.call()
            await until(lambda: gateway.driver.rejoining.rejoined == 1)
            call.stream(delta("Hello") + STREAM + DONE)
            assert (await asking or "").startswith("Hello")
            assert local.received == 1

    run(main())


def test_only_one_plain_number_is_a_count() -> None:
    assert retry_count([(b"x-stainless-retry-count", b"2")]) == 2
    for values in ([], [b"-1"], [b""], [b"99999"], [b"1", b"1"]):
        assert retry_count([(b"x-stainless-retry-count", value) for value in values]) is None
