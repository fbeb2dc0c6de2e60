"""Clients of OpenAI's Responses, the official one among them, on a gateway whose targets speak chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall, ResponseReasoningItem
from pydantic import BaseModel
from tests.support.gateways import address_of, attach, fake_engine, metric, rows, serving, text_of, upstream, url_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask, get
from tests.support.rescues import Stage, staged
from tests.support.responses import PATCH, TEAM, WEATHER, read_events
from tests.support.scripted_upstream import DONE, ROLE, STREAM, ScriptedUpstream, delta, scripted, usage
from tests.support.talks import let_talk

from overspill.gateway.rehearsal.speech import text_of as words
from overspill.gateway.service import Gateway

PATH = "/v1/responses"
PATIENT = [{"model": "m", "tiers": [["local"]], "slo": {"ttft": "1h"}, "deadline": "1h"}]


def client_of(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"http://{address_of(gateway)}/v1",
        api_key="unused",
        max_retries=0,
        timeout=20,
        _strict_response_validation=True,
    )


talking = partial(let_talk, client_of)


def played(talk: Callable[[openai.OpenAI], None], *answers: bytes) -> list[Any]:
    """Let a client talk to a gateway whose target streams these answers; return what it was asked."""
    asked: list[Any] = []

    async def play(target: ScriptedUpstream) -> None:
        for answer in answers:
            call = await target.call()
            asked.append(call.json())
            call.stream(answer)

    def with_client(gateway: Gateway) -> None:
        with client_of(gateway) as client:
            talk(client)

    async def main() -> None:
        async with (
            scripted() as target,
            serving(text_of({"local": attach(target.url)})) as gateway,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(play(target))
            group.create_task(asyncio.to_thread(with_client, gateway))

    run(main())
    return asked


def answer(*pieces: bytes, finish: str = "stop") -> bytes:
    return ROLE + b"".join(pieces) + delta(finish=finish) + usage() + DONE


def test_a_text_comes_whole_and_as_a_stream() -> None:
    def talk(client: openai.OpenAI) -> None:
        whole = client.responses.create(model="m", input="hello", max_output_tokens=7)
        assert whole.output_text == words(7)
        assert (whole.status, whole.incomplete_details is not None) == ("incomplete", True)
        assert whole.usage is not None
        assert whole.usage.output_tokens == 7
        with client.responses.stream(model="m", input="hello", instructions="Count.", max_output_tokens=9) as stream:
            pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        assert "".join(pieces) == words(9)
        assert len(pieces) == 9

    talking(talk)


def test_a_path_without_its_version_is_the_same() -> None:
    def talk(client: openai.OpenAI) -> None:
        unversioned = client.with_options(base_url=str(client.base_url).removesuffix("v1/"))
        assert unversioned.responses.create(model="m", input="hello", max_output_tokens=3).output_text == words(3)

    talking(talk)


def test_a_thought_and_its_calls_come_back_as_they_went_out() -> None:
    calls = [
        {"index": 0, "id": "call_a", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
        {"index": 1, "id": "call_b", "function": {"name": "team__spawn", "arguments": "{}"}},
        {"index": 2, "id": "call_c", "function": {"name": "patch", "arguments": '{"input":"a\\nb"}'}},
    ]
    first = answer(
        delta(reasoning_content="Let me "),
        delta(reasoning_content="look."),
        *(delta(tool_calls=[call]) for call in calls),
        finish="tool_calls",
    )

    def talk(client: openai.OpenAI) -> None:
        said: list[Any] = [{"role": "user", "content": "How is it in Oslo?"}]
        tools: Any = [WEATHER, PATCH, TEAM, {"type": "web_search"}]
        options: Any = {"model": "m", "tools": tools, "include": ["reasoning.encrypted_content"], "store": False}
        with client.responses.stream(input=said, **options) as stream:
            output = stream.get_final_response().output
        thought, weather, spawn, patch = output
        assert isinstance(thought, ResponseReasoningItem)
        assert thought.summary[0].text == "Let me look."
        assert isinstance(weather, ResponseFunctionToolCall)
        assert isinstance(spawn, ResponseFunctionToolCall)
        assert (weather.name, weather.call_id, spawn.name, spawn.namespace) == ("weather", "call_a", "spawn", "team")
        assert (patch.type, patch.input) == ("custom_tool_call", "a\nb")  # type: ignore[union-attr]
        said += [item.to_dict() for item in output]
        said += [{"type": "function_call_output", "call_id": f"call_{name}", "output": name} for name in "ab"]
        said.append({"type": "custom_tool_call_output", "call_id": "call_c", "output": "c"})
        assert client.responses.create(input=said, **options).output_text == "Sunny."

    asked = played(talk, first, answer(delta("Sunny.")))
    assert [tool["function"]["name"] for tool in asked[0]["tools"]] == ["weather", "patch", "team__spawn"]
    assert asked[1]["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Let me look.",
            "tool_calls": [{"id": call["id"], "type": "function", "function": call["function"]} for call in calls],
        },
        *({"role": "tool", "tool_call_id": f"call_{name}", "content": name} for name in "abc"),
    ]


class City(BaseModel):
    name: str
    people: int


def test_an_answer_is_parsed_into_the_type_that_was_asked_for() -> None:
    def talk(client: openai.OpenAI) -> None:
        response = client.responses.parse(model="m", input="Which city?", text_format=City)
        assert response.output_parsed == City(name="Oslo", people=700_000)

    (asked,) = played(talk, answer(delta('{"name":"Oslo",'), delta('"people":700000}')))
    assert asked["response_format"]["type"] == "json_schema"
    assert asked["response_format"]["json_schema"]["name"] == "City"
    assert asked["response_format"]["json_schema"]["strict"] is True


def test_what_cannot_be_served_says_why() -> None:
    def talk(client: openai.OpenAI) -> None:
        create: Any = client.responses.create
        with pytest.raises(openai.NotFoundError) as missing:
            create(model="nobody", input="hi")
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        for fields, param in (
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"background": True}, "background"),
            ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
            ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
            ({"temperature": 9}, "temperature"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                create(**{"model": "m", "input": "hi", **fields})
            assert refused.value.param == param
            assert refused.value.type == "invalid_request_error"

    talking(talk)


def test_what_would_have_to_be_kept_is_not_there() -> None:
    def talk(client: openai.OpenAI) -> None:
        responses = client.responses
        for look in (
            responses.retrieve,
            responses.delete,
            responses.cancel,
            lambda name: list(responses.input_items.list(name)),
        ):
            with pytest.raises(openai.NotFoundError) as missing:
                look("resp_1")
            assert missing.value.code == "response_not_found"
            assert "keeps no answers" in missing.value.message

    talking(talk)


def test_a_conversation_is_compacted_and_goes_on() -> None:
    def talk(client: openai.OpenAI) -> None:
        said: Any = [{"role": "user", "content": "We launch on Tuesday."}]
        compacted = client.responses.compact(model="m", input=said)
        (item,) = compacted.output
        assert (item.type, compacted.usage.output_tokens) == ("compaction", 2)
        next_turn: Any = [item.to_dict(), {"role": "user", "content": "When?"}]
        assert client.responses.create(model="m", input=next_turn).output_text == "On Tuesday."

    asked = played(talk, answer(delta("Launch: Tuesday.")), answer(delta("On Tuesday.")))
    assert asked[0]["messages"][0]["content"] == "We launch on Tuesday."
    assert asked[1]["messages"][0]["content"].endswith("\n\nLaunch: Tuesday.")
    assert asked[1]["messages"][1]["content"] == "When?"


def test_the_length_of_an_input_is_estimated_before_it_is_sent() -> None:
    def talk(client: openai.OpenAI) -> None:
        count: Any = client.responses.input_tokens.count
        assert count().input_tokens == 1
        short, long = count(model="m", input="hello"), count(model="m", input="hello " * 400)
        assert 1 < short.input_tokens < 20
        assert 400 < long.input_tokens < 800
        assert count(input="hello", tools=[WEATHER]).input_tokens > short.input_tokens
        with pytest.raises(openai.BadRequestError) as refused:
            count(model="m", conversation="conv_1")
        assert refused.value.param == "conversation"

    talking(talk)


def test_paths_beside_it_take_their_methods_only_and_speak_no_websocket() -> None:
    async def main() -> None:
        async with serving(text_of({"local": attach("http://127.0.0.1:9")})) as gateway:
            address = address_of(gateway)
            reply = await get(address, PATH)
            assert (reply.status, reply.headers["allow"]) == (405, "POST, OPTIONS")
            reply = await get(address, f"{PATH}/resp_1", method="PUT")
            assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, DELETE, OPTIONS")
            assert (await get(address, f"{PATH}/a/b")).status == 404
            upgrade = (
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            )
            reply = await get(address, PATH, upgrade)
            assert (reply.status, reply.headers["upgrade"]) == (426, "HTTP/1.1")
            assert reply.error["code"] == "websocket_not_supported"

    run(main())


def test_fields_without_a_place_are_named_in_the_answers_head() -> None:
    async def main() -> None:
        async with fake_engine() as engine, serving(text_of({"local": attach(url_of(engine))})) as gateway:
            body = {"model": "m", "input": "hi", "max_output_tokens": 2, "truncation": "auto", "moderation": {}}
            for more in ({}, {"stream": True}):
                reply = await ask(address_of(gateway), {**body, **more, "tools": [{"type": "web_search"}]}, PATH)
                assert reply.status == 200
                assert reply.headers["x-overspill-dropped"] == "moderation, truncation, tools.web_search"

    run(main())


def test_a_client_that_waits_long_gets_events_and_not_comments() -> None:
    async def main() -> None:
        async with scripted() as target:
            server = {"commit_deadline": "100ms", "heartbeat": "50ms"}
            text = text_of({"local": attach(target.url)}, PATIENT, server=server)
            async with serving(text) as gateway, RawClient(address_of(gateway)) as client:
                client.ask({"model": "m", "input": "hi", "stream": True}, PATH)
                call = await target.call()
                reply = await client.head()
                assert reply.status == 200
                await client.read_until(reply, b'"type":"response.in_progress","sequence_number":3')
                call.stream(STREAM + usage() + DONE)
                await client.rest(reply)
                plain = b"".join(part + b"\n\n" for part in reply.body.split(b"\n\n") if part.startswith(b"event:"))
                events = read_events(plain)
                assert events[0]["type"] == "response.created"
                assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"
                assert b": keep-alive" not in reply.body

    run(main())


def test_a_stream_that_breaks_fails_and_is_not_taken_for_whole() -> None:
    async def main() -> None:
        async with scripted() as target, serving(text_of({"local": attach(target.url)})) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask({"model": "m", "input": "hi", "stream": True}, PATH)
                call = await target.call()
                call.start_stream(ROLE + delta("Hel"))
                reply = await client.head()
                await client.read_until(reply, b'"delta":"Hel"')
                call.cut()
                events = read_events((await client.rest(reply)).body)
            assert events[-1]["type"] == "response.failed"
            failed = events[-1]["response"]
            assert failed["error"]["code"] == "server_error"
            assert failed["error"]["message"].startswith("the answer broke off")
            assert failed["output"][0]["status"] == "incomplete"

    run(main())


def test_a_stream_that_breaks_is_rescued_without_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(stage: Stage) -> None:
        body = {"model": "m", "input": "hi", "stream": True}
        pieces = (delta("The"), delta(" answer"), delta(" is fo"))
        reply, call, first = await stage.ask(body, *pieces, seen=b'"delta":" is fo"', path=PATH)
        call.cut()
        second = await stage.second(first)
        assert second.json()["messages"][-1] == {"role": "assistant", "content": "The answer"}
        rest = ROLE + delta(" is") + delta(" forty") + delta("-two.") + delta(finish="stop") + usage(7, 4) + DONE
        second.stream(rest)
        await stage.client.rest(reply)
        assert f"\n\n: overspill rescued at=16 from=p/{first} to=p/{1 - first}\n\n".encode() in reply.body
        said = b"".join(part + b"\n\n" for part in reply.body.split(b"\n\n") if part.startswith(b"event:"))
        events = read_events(said)
        assert events[-1]["type"] == "response.completed"
        (message,) = events[-1]["response"]["output"]
        assert message["content"][0]["text"] == "The answer is forty-two."
        assert events[-1]["response"]["usage"]["output_tokens"] == 6
        assert metric(stage.gateway, "overspill_rescues_total", "rescued") == 1

    staged(scenario, path=path)
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["rescues"], request["output_tokens"]) == ("completed", 1, 6)


NATIVE = b"".join(
    b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps({"type": name, **fields}).encode())
    for name, fields in (
        ("response.created", {"response": {"id": "resp_x", "status": "in_progress"}}),
        ("response.output_item.added", {"item": {"type": "message"}}),
        ("response.output_text.delta", {"delta": "Hi", "obfuscation": "abc"}),
        (
            "response.completed",
            {"response": {"status": "completed", "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}}},
        ),
    )
)


@pytest.mark.parametrize("stream", [True, False])
def test_openai_itself_is_asked_in_the_clients_own_words_and_answers_in_its_own(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "ledger.db"
    body = {
        "model": "m",
        "input": [{"type": "web_search_call", "id": "ws_1"}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "web_search"}],
        "prompt_cache_options": {"mode": "implicit"},
        "stream": stream,
    }
    whole = {"id": "resp_x", "status": "completed", "output": [{"type": "message", "content": [{"text": "Hi"}]}]}
    whole["usage"] = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}

    async def main() -> None:
        async with scripted() as target:
            routes = [{"model": "m", "tiers": [[{"pool": "cloud", "model": "gpt-6"}]]}]
            pools = {"cloud": upstream(target.url, upstream="openai")}
            async with serving(text_of(pools, routes, path=path)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), body, PATH))
                call = await target.call()
                assert call.head.startswith("POST /v1/responses ")
                assert call.json() == {**body, "model": "gpt-6"}
                if stream:
                    call.stream(NATIVE)
                else:
                    call.reply(200, whole)
                reply = await asking
                assert reply.status == 200
                assert "x-overspill-dropped" not in reply.headers
                assert reply.body == NATIVE if stream else reply.json() == whole

    run(main())
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["prompt_tokens_reported"], request["output_tokens"]) == ("completed", 5, 2)


def test_what_only_openai_runs_goes_there_past_all_others_and_is_refused_where_it_is_not() -> None:
    body = {"model": "m", "input": "hi", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}
    whole = {"id": "resp_x", "status": "completed", "output": [{"type": "message", "content": [{"text": "Hi"}]}]}

    async def main() -> None:
        async with scripted() as target, fake_engine() as engine:
            pools = {"local": attach(url_of(engine)), "cloud": upstream(target.url, upstream="openai")}
            routes = [{"model": "m", "tiers": [["local"], ["cloud"]]}, {"model": "home", "tiers": [["local"]]}]
            async with serving(text_of(pools, routes)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), body, PATH))
                call = await target.call()
                assert call.json()["tools"] == body["tools"]
                call.reply(200, whole)
                reply = await asking
                assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/m")
                assert reply.headers["x-overspill-reason"] == "lacks_feature"
                reply = await ask(address_of(gateway), {**body, "model": "home"}, PATH)
                assert reply.status == 400
                assert "tools[0], a tool of type 'file_search'" in reply.error["message"]

    run(main())


def test_a_native_stream_that_fails_before_a_token_is_tried_elsewhere() -> None:
    failed = {
        "type": "response.failed",
        "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}},
    }

    async def main() -> None:
        async with scripted() as target, fake_engine() as engine:
            pools = {"cloud": upstream(target.url, upstream="openai"), "local": attach(url_of(engine))}
            async with serving(text_of(pools)) as gateway:
                body = {"model": "m", "input": "hi", "stream": True, "max_output_tokens": 3}
                asking = asyncio.ensure_future(ask(address_of(gateway), body, PATH))
                call = await target.call()
                call.stream(b"event: response.failed\ndata: %b\n\n" % json.dumps(failed).encode())
                reply = await asking
                assert reply.headers["x-overspill-attempts"] == "2"
                assert read_events(reply.body)[-1]["type"] == "response.incomplete"
                assert metric(gateway, "overspill_attempts_total", "cloud/main/m", "failed") == 1

    run(main())
