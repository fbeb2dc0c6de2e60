"""The cache before a real gateway: what is given again, to whom, and what is not kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.support.gateways import (
    ENVIRON,
    MESSAGES,
    address_of,
    attach,
    chat,
    config_of,
    fake_engine,
    metric,
    metric_samples,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import LOOPS, run
from tests.support.outside import outside
from tests.support.raw_client import RawClient, Reply, ask
from tests.support.scripted_upstream import DONE, STREAM, delta, scripted, usage

from overspill.gateway.rehearsal.faults import CutAfterTokens
from overspill.gateway.service import Gateway

CACHE = {"enabled": True}
KEYS = {
    "api_keys": [
        {"key": "env:ANN", "name": "ann", "team": "red"},
        {"key": "env:BOB", "name": "bob", "team": "red"},
        {"key": "env:TIED", "name": "tied", "team": "red", "local_only": True},
    ]
}
KEYED = {**ENVIRON, "ANN": "sk-ann", "BOB": "sk-bob", "TIED": "sk-tied"}


async def say(gateway: Gateway, key: str = "", cache: str = "", **fields: Any) -> Reply:
    headers = tuple((name, value) for name, value in (("x-api-key", key), ("x-overspill-cache", cache)) if value)
    return await ask(address_of(gateway), chat(**{"temperature": 0, "max_tokens": 4, **fields}), headers=headers)


def is_hit(reply: Reply) -> bool:
    assert reply.status == 200, reply.body
    assert (reply.headers["x-overspill-reason"] == "cached") == (reply.headers["x-overspill-target"] == "cache")
    return reply.headers["x-overspill-target"] == "cache"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stream", [True, False])
def test_the_same_request_is_answered_again_without_a_target(tmp_path: Path, stream: bool, loop: str) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            fake_engine() as local,
            serving(text_of({"local": attach(url_of(local))}, path=path, cache=CACHE)) as gateway,
        ):
            first, second = await say(gateway, stream=stream), await say(gateway, stream=stream)
            assert (is_hit(first), is_hit(second)) == (False, True)
            assert second.body == first.body
            assert second.headers["content-type"] == first.headers["content-type"]
            assert (second.headers["x-overspill-attempts"], second.headers["age"]) == ("0", "0")
            assert second.headers["x-request-id"] != first.headers["x-request-id"]
            assert not is_hit(await say(gateway, stream=not stream))  # the other form is another answer
            assert local.received == 2
            assert metric_samples(gateway, "overspill_cache_lookups_total") == {("hit",): 1, ("miss",): 2}
            assert metric_samples(gateway, "overspill_cache_answers") == {(): 2}
            assert metric_samples(gateway, "overspill_cache_bytes")[()] > len(first.body)
            assert metric(gateway, "overspill_e2e_request_latency_seconds", "cache") == 1
            assert metric(gateway, "overspill_requests_total", "m", "completed") == 3

    run(main(), loop=loop)
    first, second, _ = rows(path, "requests")
    assert (second["outcome"], second["target_id"], second["attempts"]) == ("completed", "cache", 0)
    assert (second["cost_usd"], second["client_status"]) == (0.0, 200)
    for column in ("output_tokens", "prompt_tokens_reported", "finish_reason", "model", "route"):
        assert second[column] == first[column]
    assert len(rows(path, "attempts")) == 2


def test_the_openai_client_reads_an_answer_from_the_cache() -> None:
    def talk(address: str) -> list[str]:
        said = []
        with openai.OpenAI(base_url=f"http://{address}/v1", api_key="x", max_retries=0) as client:
            for _ in range(2):
                stream = client.chat.completions.create(
                    model="m", messages=MESSAGES, stream=True, max_tokens=5, temperature=0
                )
                said.append("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
        return said

    async def main() -> None:
        async with (
            fake_engine() as local,
            serving(text_of({"local": attach(url_of(local))}, cache=CACHE)) as gateway,
        ):
            first, second = await asyncio.to_thread(talk, address_of(gateway))
            assert first == second != ""
            assert local.received == 1

    run(main())


def test_without_a_word_of_the_client_only_temperature_0_is_kept() -> None:
    async def main() -> None:
        async with fake_engine() as local, serving(text_of({"local": attach(url_of(local))}, cache=CACHE)) as gateway:
            for fields in ({"temperature": 0.7}, {"temperature": None}):
                assert [is_hit(await say(gateway, **fields)) for _ in range(2)] == [False, False]
            assert [is_hit(await say(gateway, cache="on", temperature=0.7)) for _ in range(2)] == [False, True]

    run(main())


def test_a_client_says_what_it_wants_of_the_cache() -> None:
    async def main() -> None:
        async with fake_engine() as local, serving(text_of({"local": attach(url_of(local))}, cache=CACHE)) as gateway:
            asked = ["off", "auto", "off", "", "refresh", "ON", ""]
            hits = [is_hit(await say(gateway, cache=wish)) for wish in asked]
            assert hits == [False, False, False, True, False, True, True]
            assert local.received == 4
            refused = await say(gateway, cache="always")
            assert (refused.status, refused.error["code"]) == (400, "invalid_header")
            assert "'always' is none of auto, on, off, refresh" in refused.error["message"]

    run(main())


def test_a_retry_that_the_cache_answers_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with fake_engine() as local, serving(text_of({"local": attach(url_of(local))}, cache=CACHE)) as gateway:
            for count in ("0", "0", "1"):
                headers = (("x-stainless-retry-count", count),)
                reply = await ask(address_of(gateway), chat(temperature=0, max_tokens=2), headers=headers)
            assert is_hit(reply)
            assert local.received == 1
            assert not gateway.driver.rejoining._open

    run(main())


def test_nothing_is_kept_where_the_cache_is_off() -> None:
    async def main() -> None:
        async with fake_engine() as local, serving(text_of({"local": attach(url_of(local))})) as gateway:
            assert [is_hit(await say(gateway, cache="on")) for _ in range(2)] == [False, False]
            assert gateway.app.intake is None

    run(main())


@pytest.mark.parametrize(("scope", "shared"), [("key", False), ("team", True), ("all", True)])
def test_an_answer_crosses_keys_only_where_that_is_configured_and_never_if_it_must_stay_local(
    scope: str, shared: bool
) -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            pools = {"local": attach(url_of(local)), "cloud": upstream(cloud.url)}
            text = text_of(pools, cache={**CACHE, "scope": scope}, server=KEYS)
            async with serving(text, environ=KEYED) as gateway:
                assert not is_hit(await say(gateway, "sk-ann"))
                assert is_hit(await say(gateway, "sk-bob")) is shared
                tied = await say(gateway, "sk-tied")
                assert not is_hit(tied)
                assert is_hit(again := await say(gateway, "sk-tied"))
                assert again.headers["x-overspill-local-only"] == "key"

    run(main())


def test_what_was_made_outside_is_not_given_to_who_must_stay_local_nor_the_other_way_round() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            pools = {"cloud": upstream(cloud.url), "local": attach(url_of(local))}
            async with serving(text_of(pools, cache={**CACHE, "scope": "all"})) as gateway:
                tied = (("x-overspill-local-only", "true"),)
                body = chat(temperature=0, max_tokens=4)
                made_outside = await ask(address_of(gateway), body)
                at_home = await ask(address_of(gateway), body, headers=tied)
                assert b"made outside" in made_outside.body
                assert at_home.headers["x-overspill-target"] == "local/0"
                assert b"made outside" not in at_home.body
                assert (await ask(address_of(gateway), body)).body == made_outside.body
                assert (again := await ask(address_of(gateway), body, headers=tied)).body == at_home.body
                assert is_hit(again)
                assert again.headers["x-overspill-local-only"] == "header"

    run(main())


def test_a_stream_that_broke_or_was_left_is_not_kept() -> None:
    async def main() -> None:
        faults = (CutAfterTokens(requests=(1,), tokens=2),)
        async with (
            fake_engine(faults=faults) as local,
            serving(text_of({"local": attach(url_of(local))}, cache=CACHE)) as gateway,
        ):
            broken = await say(gateway, stream=True, max_tokens=9)
            assert b"stream_cut" in broken.body
            assert not is_hit(await say(gateway, stream=True, max_tokens=9))
            assert is_hit(await say(gateway, stream=True, max_tokens=9))

    run(main())


def test_an_error_of_a_target_is_not_kept() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, cache=CACHE)) as gateway:
            asking = asyncio.create_task(say(gateway))
            (await local.call()).reply(400, {"error": {"message": "no"}})
            assert (await asking).status == 400
            asking = asyncio.create_task(say(gateway, stream=True))
            (await local.call()).stream(STREAM + usage() + DONE)
            assert not is_hit(await asking)

    run(main())


def test_what_a_target_cut_short_is_not_kept() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)}, cache=CACHE)) as gateway:
            for _ in range(2):
                asking = asyncio.create_task(say(gateway, stream=True, max_tokens=None))
                (await local.call()).stream(delta("Hel") + delta(finish="length") + usage() + DONE)
                assert not is_hit(await asking)

    run(main())


def test_a_reload_lets_go_what_was_kept() -> None:
    async def main() -> None:
        async with fake_engine() as local:
            text = text_of({"local": attach(url_of(local))}, cache=CACHE)
            async with serving(text) as gateway:
                assert not is_hit(await say(gateway))
                gateway.reload(config_of(text))
                assert not is_hit(await say(gateway))
                assert is_hit(await say(gateway))

    run(main())


def test_an_answer_that_began_before_a_reload_is_not_kept_after_it() -> None:
    async def main() -> None:
        async with scripted() as local:
            text = text_of({"local": attach(local.url)}, cache=CACHE)
            async with serving(text) as gateway:
                asking = asyncio.create_task(say(gateway, stream=True))
                call = await local.call()
                gateway.reload(config_of(text))
                call.stream(STREAM + usage() + DONE)
                assert not is_hit(await asking)
                assert metric_samples(gateway, "overspill_cache_answers") == {(): 0}

    run(main())


def test_an_embedding_is_kept_too() -> None:
    async def main() -> None:
        async with scripted() as local:
            pools = {"local": attach(local.url, surfaces=["embeddings"])}
            async with serving(text_of(pools, cache=CACHE)) as gateway:
                body = {"model": "m", "input": "text"}
                asking = asyncio.create_task(ask(address_of(gateway), body, "/v1/embeddings"))
                answer = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1}}
                (await local.call()).reply(200, answer)
                first = await asking
                second = await ask(address_of(gateway), body, "/v1/embeddings")
                assert is_hit(second)
                assert second.body == first.body

    run(main())


def test_a_detector_s_verdict_comes_before_the_cache() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            pools = {"cloud": upstream(cloud.url), "local": attach(url_of(local))}
            ours = {"detector": "patterns", "options": {"keywords": ["hello"]}}
            text = text_of(
                pools, cache={**CACHE, "scope": "all"}, screening={"detectors": {"ours": ours}, "timeout": "20s"}
            )
            async with serving(text) as gateway:
                first, second = await say(gateway), await say(gateway)
                assert first.headers["x-overspill-target"] == "local/0"
                assert is_hit(second)
                assert second.headers["x-overspill-local-only"] == "detector"
                assert cloud.seen == b""

    run(main())


def test_bodies_are_stored_of_an_answer_from_the_cache_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine() as local:
            text = text_of({"local": attach(url_of(local))}, path=path, ledger={"store_bodies": True}, cache=CACHE)
            async with serving(text) as gateway:
                for _ in range(2):
                    await say(gateway, stream=True)

    run(main())
    first, second = rows(path, "bodies")
    assert first["answer"] == second["answer"] != b""


@pytest.mark.parametrize("stream", [True, False])
def test_signs_of_life_are_not_kept_with_an_answer(stream: bool) -> None:
    async def main() -> None:
        hasty = {"commit_deadline": "1ms", "heartbeat": "1ms"}
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)}, cache=CACHE, server=hasty)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat(stream=stream, temperature=0))
            call = await local.call()
            first = await client.head()
            assert first.headers["x-overspill-reason"] == "waited"
            call.stream(STREAM + usage() + DONE)
            await client.rest(first)
            second = await ask(address_of(gateway), chat(stream=stream, temperature=0))
            assert is_hit(second)
            assert b": " not in second.body.replace(b"data: ", b"")
            assert first.body.endswith(second.body)
            assert len(first.body) > len(second.body)

    run(main())


def test_a_key_gets_no_answer_of_a_model_that_it_may_not_ask_for() -> None:
    keys = {
        "api_keys": [
            {"key": "env:ANN", "name": "ann"},
            {"key": "env:BOB", "name": "bob", "models": ["other"]},
        ]
    }

    async def main() -> None:
        async with (
            fake_engine() as local,
            serving(
                text_of(
                    {"local": attach(url_of(local))},
                    [{"model": model, "tiers": [["local"]]} for model in ("m", "other")],
                    cache={**CACHE, "scope": "all"},
                    server=keys,
                ),
                environ=KEYED,
            ) as gateway,
        ):
            assert not is_hit(await say(gateway, "sk-ann"))
            assert is_hit(await say(gateway, "sk-ann"))
            assert (await say(gateway, "sk-bob")).status == 403

    run(main())
