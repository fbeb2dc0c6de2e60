"""The main path: real clients, a real gateway, and what each gets for each kind of request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.support.gateways import (
    MESSAGES,
    address_of,
    attach,
    chat,
    fake_engine,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import LOOPS, run
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import DONE, STREAM, scripted, usage

from overspill.gateway.rehearsal.speech import text_of as words
from overspill.gateway.service import Gateway


def client_of(gateway: Gateway, key: str = "unused") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{address_of(gateway)}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_openai_client_gets_chats_completions_and_models(loop: str) -> None:
    def talk(gateway: Gateway) -> None:
        with client_of(gateway) as client:
            whole = client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=7)
            assert whole.choices[0].message.content == words(7)
            assert whole.usage is not None
            assert whole.usage.completion_tokens == 7
            with client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=9, stream=True) as stream:
                pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
            assert "".join(pieces) == words(9)
            text = client.completions.create(model="m", prompt="hello", max_tokens=3)
            assert text.choices[0].text == words(3)
            with client.completions.create(model="m", prompt="hello", max_tokens=4, stream=True) as stream:
                assert "".join(chunk.choices[0].text for chunk in stream) == words(4)
            assert [model.id for model in client.models.list()] == ["m"]
            assert client.models.retrieve("m").id == "m"

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))})) as gateway,
        ):
            await asyncio.to_thread(talk, gateway)

    run(main(), loop=loop)


def test_the_openai_client_gets_usage_only_if_it_asks() -> None:
    def talk(gateway: Gateway) -> None:
        with client_of(gateway) as client:
            options: Any = {"model": "m", "messages": MESSAGES, "max_tokens": 3, "stream": True}
            with client.chat.completions.create(**options) as stream:
                assert all(chunk.choices and chunk.usage is None for chunk in stream)
            with client.chat.completions.create(**options, stream_options={"include_usage": True}) as stream:
                last = list(stream)[-1]
            assert last.usage is not None
            assert (last.choices, last.usage.completion_tokens) == ([], 3)

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))})) as gateway,
        ):
            await asyncio.to_thread(talk, gateway)

    run(main())


def test_the_openai_client_gets_its_own_exceptions() -> None:
    def talk(gateway: Gateway) -> None:
        with client_of(gateway, "sk-wrong") as client, pytest.raises(openai.AuthenticationError):
            client.models.list()
        with client_of(gateway, "sk-gate") as client:
            with pytest.raises(openai.NotFoundError, match="did you mean 'm'"):
                client.chat.completions.create(model="mm", messages=MESSAGES)
            with pytest.raises(openai.BadRequestError, match="at most 2147483647"):
                client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=10**10)
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(model="m", messages=[{"role": "user", "content": "word " * 900}])
            assert caught.value.code == "context_length_exceeded"

    async def main() -> None:
        async with fake_engine() as engine:
            local = attach(url_of(engine), context_tokens=512)
            text = text_of({"local": local}, server={"api_keys": ["env:GATE_KEY"]})
            async with serving(text) as gateway:
                await asyncio.to_thread(talk, gateway)

    run(main())


def test_embeddings_go_to_a_target_that_has_them() -> None:
    async def main() -> None:
        async with fake_engine() as engine, scripted() as cloud:
            pools = {
                "local": attach(url_of(engine)),
                "cloud": upstream(cloud.url, surfaces=["chat", "embeddings"]),
            }
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(
                    ask(address_of(gateway), {"model": "m", "input": ["a", "b"]}, "/v1/embeddings")
                )
                call = await cloud.call()
                assert call.json() == {"model": "m", "input": ["a", "b"]}
                call.reply(200, {"object": "list", "data": [{"index": 0, "embedding": [0.1]}]})
                reply = await asking
                assert reply.json()["data"][0]["embedding"] == [0.1]
                assert reply.headers["x-overspill-reason"] == "unsupported"

    run(main())


def test_embeddings_of_a_model_that_has_none_are_the_client_s_mistake() -> None:
    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))})) as gateway,
        ):
            reply = await ask(address_of(gateway), {"model": "m", "input": "a"}, "/v1/embeddings")
            assert (reply.status, reply.error["code"]) == (400, "unsupported_endpoint")
            assert "no target of 'm' that may run this request serves this endpoint" in reply.error["message"]
            assert reply.headers["x-overspill-reason"] == "unsupported"
            assert "retry-after" not in reply.headers
            assert engine.received == 0

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "body", [STREAM + DONE, STREAM, STREAM.replace(b"\n", b"\r\n") + DONE], ids=["done", "no-done", "crlf"]
)
def test_the_bytes_of_a_stream_are_forwarded_as_they_came(body: bytes, loop: str) -> None:
    async def main() -> None:
        async with scripted() as target, serving(text_of({"local": attach(target.url)})) as gateway:
            asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True)))
            (await target.call()).stream(body)
            reply = await asking
            assert reply.is_whole
            assert reply.body == body
            assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert reply.headers["x-overspill-target"] == "local/0"
            assert reply.headers["x-overspill-reason"] == "home"
            assert reply.headers["x-overspill-attempts"] == "1"

    run(main(), loop=loop)


def test_a_whole_body_is_forwarded_as_it_came() -> None:
    body = (
        b'{ "choices": [ {"message": {"content": "\\u4f60"}, "x": 1.50, "finish_reason": "stop"} ], '
        b'"usage": {"prompt_tokens": 3} }'
    )

    async def main() -> None:
        async with scripted() as target, serving(text_of({"local": attach(target.url)})) as gateway:
            asking = asyncio.ensure_future(ask(address_of(gateway), chat()))
            call = await target.call()
            assert call.json()["messages"] == MESSAGES
            call.reply(200, body)
            assert (await asking).body == body

    run(main())


def test_a_route_may_rename_and_a_glob_keeps_the_client_s_name() -> None:
    async def main() -> None:
        async with scripted() as target:
            routes = [
                {"model": "nice", "tiers": [[{"pool": "local", "model": "org/real-name"}]]},
                {"model": "any-*", "tiers": [["local"]]},
            ]
            async with serving(text_of({"local": attach(target.url)}, routes)) as gateway:
                for asked, sent in (("nice", "org/real-name"), ("any-thing", "any-thing")):
                    asking = asyncio.ensure_future(ask(address_of(gateway), chat(asked, stream=True)))
                    call = await target.call()
                    assert call.json()["model"] == sent
                    call.stream(STREAM + DONE)
                    assert (await asking).status == 200

    run(main())


def test_one_connection_serves_many_requests_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))}, path=path)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            for tokens in range(1, 9):  # all sent before the first is answered
                client.ask(chat(stream=tokens % 2 == 0, max_tokens=tokens))
            for tokens in range(1, 9):
                reply = await client.reply()
                assert reply.status == 200
                assert reply.body.count(b" t") == tokens
            assert engine.received == 8

    run(main())
    assert [row["max_tokens"] for row in rows(path, "requests")] == list(range(1, 9))


def test_a_pipelined_client_that_reads_nothing_yet_gets_all_its_answers() -> None:
    """The second answer starts while the first still fills the connection: nothing may be paused for ever."""
    big = b'{"choices": [{"message": {"content": "' + b"x" * 3_000_000 + b'"},"finish_reason":"stop"}]}'

    async def main() -> None:
        async with (
            scripted() as target,
            serving(text_of({"local": attach(target.url)})) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat())
            client.ask(chat(stream=True))
            (await target.call()).reply(200, big)
            second = await target.call()
            second.start_stream(STREAM)
            await second.drained()
            second.end_stream(DONE)
            assert (await client.reply()).body == big
            assert (await client.reply()).body == STREAM + DONE

    run(main())


def test_what_is_recorded_of_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as cloud:
            pools = {"cloud": upstream(cloud.url)}
            async with serving(text_of(pools, path=path)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True, max_tokens=64)))
                (await cloud.call()).stream(STREAM + usage(1000, 500) + DONE)
                await asking
                assert (await get(address_of(gateway), "/metrics")).status == 200

    run(main())
    (request,) = rows(path, "requests")
    (attempt,) = rows(path, "attempts")
    cost = (1000 * 1.0 + 500 * 2.0) / 1e6
    assert request["cost_usd"] == attempt["cost_usd"] == pytest.approx(cost)
    assert (request["model"], request["route"], request["surface"], request["stream"]) == ("m", "m", "chat", 1)
    assert (request["outcome"], request["reason"], request["spill"]) == ("completed", None, None)
    assert (request["target_id"], request["attempts"], request["client_status"]) == ("cloud/main/m", 1, 200)
    assert (request["prompt_tokens_reported"], request["output_tokens"]) == (1000, 500)
    assert (request["finish_reason"], request["max_tokens"]) == ("stop", 64)
    assert 0 < request["ttft_s"] <= request["e2e_s"]
    assert (attempt["request_id"], attempt["outcome"], attempt["status"]) == (request["request_id"], "finished", 200)
    assert (attempt["model"], attempt["failure"]) == ("m", None)
    assert 0 < attempt["ttft_s"] <= attempt["duration_s"]
    assert attempt["started_at"] >= request["arrived_at"]


@pytest.mark.parametrize("stores", [False, True])
def test_texts_are_kept_only_if_asked_for(tmp_path: Path, stores: bool) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine() as engine:
            text = text_of({"local": attach(url_of(engine))}, path=path, ledger={"store_bodies": stores})
            async with serving(text) as gateway:
                await ask(address_of(gateway), chat(max_tokens=2))
                await ask(address_of(gateway), chat(max_tokens=2, stream=True))

    run(main())
    bodies = rows(path, "bodies")
    assert len(bodies) == (2 if stores else 0)
    for body in bodies:
        assert b'"content":"hello"' in body["prompt"]
        assert b" t0" in body["answer"]
        assert b" t1" in body["answer"]
