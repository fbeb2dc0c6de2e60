"""Clients of Anthropic's Messages API, the official one among them, on targets that speak chat or Messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock
from tests.support import anthropic_upstream as played
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
from tests.support.loops import run
from tests.support.messages_events import accumulate
from tests.support.raw_client import RawClient, ask
from tests.support.rescues import Stage, staged
from tests.support.scripted_upstream import DONE, ROLE, STREAM, Call, ScriptedUpstream, delta, scripted, usage
from tests.support.talks import let_talk

from overspill.gateway.rehearsal.speech import text_of as words
from overspill.gateway.service import Gateway
from overspill.wire.messages.blocks import UNSIGNED

PATH = "/v1/messages"
HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
PATIENT = [{"model": "m", "tiers": [["local"]], "slo": {"ttft": "1h"}, "deadline": "1h"}]
CLAUDE = [{"model": "m", "tiers": [[{"pool": "cloud", "model": "claude-opus-4-6"}]]}]


def asked(**more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 50, "messages": HELLO, **more}


def client_of(gateway: Gateway) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=f"http://{address_of(gateway)}",
        api_key="unused",
        max_retries=0,
        timeout=20,
        _strict_response_validation=True,
    )


talking = partial(let_talk, client_of)


def answered(
    talk: Callable[[anthropic.Anthropic], None], *answers: bytes, pool: dict[str, Any] | None = None, **sections: Any
) -> list[Any]:
    """Let a client talk to a gateway whose target streams these answers; return what it was asked."""
    said: list[Any] = []

    async def play(target: ScriptedUpstream) -> None:
        for answer in answers:
            call = await target.call()
            said.append(call.json())
            call.stream(answer)

    def with_client(gateway: Gateway) -> None:
        with client_of(gateway) as client:
            talk(client)

    async def main() -> None:
        async with (
            scripted() as target,
            serving(text_of({"local": {**attach(target.url), **(pool or {})}}, **sections)) as gateway,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(play(target))
            group.create_task(asyncio.to_thread(with_client, gateway))

    run(main())
    return said


def answer(*pieces: bytes, finish: str = "stop") -> bytes:
    return ROLE + b"".join(pieces) + delta(finish=finish) + usage(9, 4, cached=5) + DONE


# -- targets that speak chat


def test_a_text_comes_whole_and_as_a_stream() -> None:
    def talk(client: anthropic.Anthropic) -> None:
        whole = client.messages.create(model="m", max_tokens=7, messages=HELLO)
        assert whole.content == [TextBlock(type="text", text=words(7))]
        assert (whole.stop_reason, whole.usage.output_tokens) == ("max_tokens", 7)
        assert whole.id.startswith("msg_req-")
        with client.messages.stream(model="m", max_tokens=9, system="Count.", messages=HELLO) as stream:
            pieces = list(stream.text_stream)
            final = stream.get_final_message()
        assert "".join(pieces) == words(9)
        assert len(pieces) == 9
        assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 9)
        assert client.messages.count_tokens(model="m", messages=HELLO).input_tokens > 0
        assert [model.id for model in client.models.list()] == ["m"]
        assert client.models.retrieve("m").display_name == "m"

    talking(talk)


def test_a_client_that_is_set_up_for_deepseeks_messages_works_as_it_is() -> None:
    def talk(client: anthropic.Anthropic) -> None:
        deepseeks = client.with_options(base_url=f"{client.base_url}".rstrip("/") + "/anthropic")
        found = deepseeks.beta.messages.create(model="m", max_tokens=3, messages=HELLO, betas=["context-1m-2025-08-07"])
        assert found.content[0].type == "text"

    talking(talk)


def test_a_thought_and_its_call_come_back_as_they_went_out() -> None:
    call = {"index": 0, "id": "call_a", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    first = answer(
        delta(reasoning_content="Let me "),
        delta(reasoning_content="look."),
        delta(tool_calls=[call]),
        finish="tool_calls",
    )

    def talk(client: anthropic.Anthropic) -> None:
        options: Any = {"model": "m", "max_tokens": 2000, "tools": [WEATHER], "thinking": {"type": "adaptive"}}
        with client.messages.stream(messages=HELLO, **options) as stream:
            message = stream.get_final_message()
        thought, use = message.content
        assert thought == ThinkingBlock(type="thinking", thinking="Let me look.", signature=UNSIGNED)
        assert isinstance(use, ToolUseBlock)
        assert (use.id, use.name, use.input) == ("call_a", "weather", {"city": "Oslo"})
        assert message.stop_reason == "tool_use"
        assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (4, 5)
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "sun"}
        said = [*HELLO, message.to_param(), {"role": "user", "content": [result]}]
        assert client.messages.create(messages=said, **options).content == [TextBlock(type="text", text="Sunny.")]

    _, second = answered(talk, first, answer(delta("Sunny.")))
    assert second["messages"] == [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Let me look.",
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "sun"},
    ]
    assert [tool["function"]["name"] for tool in second["tools"]] == ["weather"]


def test_a_system_message_between_turns_reaches_a_local_engine_in_the_users_turn() -> None:
    def talk(client: anthropic.Anthropic) -> None:
        said: Any = [*HELLO, {"role": "system", "content": "In French."}]
        client.messages.create(model="m", max_tokens=9, system="Be brief.", messages=said)

    (request,) = answered(talk, answer(delta("Salut")))
    assert request["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello\n\n<system-reminder>\nIn French.\n</system-reminder>"},
    ]


def test_who_does_not_ask_for_thinking_gets_the_text_first() -> None:
    def talk(client: anthropic.Anthropic) -> None:
        whole = client.messages.create(model="m", max_tokens=50, messages=HELLO)
        assert whole.content == [TextBlock(type="text", text="Hi")]
        with client.messages.stream(model="m", max_tokens=50, messages=HELLO) as stream:
            assert stream.get_final_message().content[0].type == "text"

    thinking = answer(delta(reasoning_content="hm"), delta("Hi"))
    answered(talk, thinking, thinking)


def test_errors_become_the_clients_own() -> None:
    def talk(client: anthropic.Anthropic) -> None:
        with pytest.raises(anthropic.NotFoundError) as missing:
            client.messages.create(model="n", max_tokens=5, messages=HELLO)
        assert missing.value.type == "not_found_error"
        assert missing.value.request_id is not None
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.role: Input should be"):
            client.messages.create(model="m", max_tokens=5, messages=[{"role": "tool", "content": "x"}])  # type: ignore[typeddict-item]
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "x" * 9000}])

    answered(talk, pool={"context_tokens": 2048})


def test_what_only_anthropic_can_do_is_refused_by_name_or_goes_there() -> None:
    searching = asked(tools=[{"type": "web_search_20250305", "name": "web_search"}], stream=True)

    async def main() -> None:
        async with scripted() as cloud, fake_engine() as engine:
            local = {"local": attach(url_of(engine))}
            async with serving(text_of(local)) as gateway:
                reply = await ask(address_of(gateway), searching, PATH)
                assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
                assert "web_search_20250305" in reply.error["message"]
            tiers = [["local"], [{"pool": "cloud", "model": "claude-opus-4-6"}]]
            pools = {**local, "cloud": upstream(cloud.url, upstream="anthropic")}
            async with serving(text_of(pools, [{"model": "m", "tiers": tiers}])) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), searching, PATH))
                (await first_call(cloud)).stream(NATIVE)
                assert (await asking).body == NATIVE

    run(main())


def test_a_targets_own_verdict_comes_in_anthropics_form() -> None:
    async def main() -> None:
        async with scripted() as target, serving(text_of({"local": attach(target.url)})) as gateway:
            asking = asyncio.ensure_future(ask(address_of(gateway), asked(temperature=9), PATH))
            (await target.call()).reply(400, {"error": {"message": "temperature is too high", "code": "bad"}})
            reply = await asking
            assert (reply.status, reply.error["type"]) == (400, "invalid_request_error")
            assert reply.error["message"] == "temperature is too high"
            assert reply.json()["request_id"] == reply.headers["request-id"]

    run(main())


def test_fields_without_a_place_are_named_in_the_answers_head() -> None:
    async def main() -> None:
        async with fake_engine() as engine, serving(text_of({"local": attach(url_of(engine))})) as gateway:
            body = asked(context_management={"edits": []}, cache_control={"type": "ephemeral"})
            reply = await ask(address_of(gateway), body, f"{PATH}?beta=true")
            assert (reply.status, reply.headers["x-overspill-dropped"]) == (200, "cache_control, context_management")

    run(main())


def test_a_client_that_waits_long_gets_pings_and_then_the_answer() -> None:
    async def main() -> None:
        server = {"commit_deadline": "1ms", "heartbeat": "1ms"}
        async with (
            scripted() as target,
            serving(text_of({"local": attach(target.url)}, PATIENT, server=server)) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(asked(stream=True), PATH)
            call = await target.call()
            reply = await client.head()
            await client.read_until(reply, b"event: ping\n")
            call.stream(STREAM + DONE)
            await client.rest(reply)
            found = accumulate(reply.body)
            assert found.is_over
            assert found.message["content"] == [{"type": "text", "text": "Hello"}]

    run(main())


def test_a_stream_that_breaks_ends_with_an_error_and_is_not_taken_for_whole() -> None:
    async def main() -> None:
        async with (
            scripted() as target,
            serving(text_of({"local": attach(target.url)})) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(asked(stream=True), PATH)
            call = await target.call()
            call.start_stream(ROLE + delta("Hel"))
            reply = await client.head()
            await client.read_until(reply, b"Hel")
            call.cut()
            await client.rest(reply)
            found = accumulate(reply.body)
            assert not found.is_over
            assert found.error is not None
            assert found.error["error"]["type"] == "api_error"
            assert "broke off" in found.error["error"]["message"]

    run(main())


def test_a_stream_that_breaks_is_rescued_without_a_seam(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(stage: Stage) -> None:
        pieces = (delta("The"), delta(" answer"), delta(" is fo"))
        reply, call, first = await stage.ask(asked(stream=True), *pieces, seen=b'"text":" is fo"', path=PATH)
        call.cut()
        second = await stage.second(first)
        assert second.json()["messages"][-1] == {"role": "assistant", "content": "The answer"}
        second.stream(
            ROLE + delta(" is") + delta(" forty") + delta("-two.") + delta(finish="stop") + usage(7, 4) + DONE
        )
        await stage.client.rest(reply)
        assert b": overspill rescued at=16" in reply.body
        found = accumulate(reply.body)
        assert found.is_over
        assert found.message["content"] == [{"type": "text", "text": "The answer is forty-two."}]
        assert found.message["usage"]["output_tokens"] == 6
        assert metric(stage.gateway, "overspill_rescues_total", "rescued") == 1

    staged(scenario, path=path)
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["rescues"], request["output_tokens"]) == ("completed", 1, 6)


# -- Anthropic as a target


async def first_call(target: ScriptedUpstream) -> Call:
    call = await target.call()
    assert call.head.startswith("POST /v1/messages")
    assert "anthropic-version: 2023-06-01\r\n" in call.head
    assert "x-api-key: sk-cloud\r\n" in call.head
    return call


NATIVE = (
    played.start()
    + played.event("ping")
    + played.block(0, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    + played.text(1, "Hel", "lo")
    + played.end()
)


@pytest.mark.parametrize("stream", [True, False])
def test_anthropic_itself_is_asked_in_the_clients_own_words_and_answers_in_its_own(
    tmp_path: Path, stream: bool
) -> None:
    path = tmp_path / "ledger.db"
    body = asked(stream=stream, tools=[{"type": "web_search_20250305", "name": "web_search"}], newest={"x": 1.50})
    whole = {
        "type": "message",
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 15},
    }

    async def main() -> None:
        async with scripted() as target:
            pools = {"cloud": upstream(target.url, upstream="anthropic")}
            async with serving(text_of(pools, CLAUDE, path=path)) as gateway:
                betas = (("anthropic-beta", "web-search-2025-03-05,x"), ("anthropic-version", "2023-06-01"))
                asking = asyncio.ensure_future(ask(address_of(gateway), body, PATH, betas))
                call = await first_call(target)
                assert call.head.startswith("POST /v1/messages?beta=true ")
                assert "anthropic-beta: web-search-2025-03-05,x\r\n" in call.head
                assert call.json() == {**body, "model": "claude-opus-4-6"}
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
    assert (request["outcome"], request["prompt_tokens_reported"], request["output_tokens"]) == ("completed", 11, 15)


def test_a_chat_is_answered_by_anthropic_in_chats_form(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    thought = played.block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "EqQB"},
    )
    use = played.block(
        2,
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"city": "Oslo"}'},
    )

    async def main() -> None:
        async with scripted() as target:
            pools = {"cloud": upstream(target.url, upstream="anthropic")}
            async with serving(text_of(pools, CLAUDE, path=path)) as gateway:
                body = chat(
                    reasoning_effort="low", seed=1, tools=[{"type": "function", "function": {"name": "weather"}}]
                )
                asking = asyncio.ensure_future(ask(address_of(gateway), body))
                call = await first_call(target)
                assert call.json()["thinking"] == {"type": "adaptive", "display": "summarized"}
                assert call.json()["output_config"] == {"effort": "low"}
                call.stream(played.start() + thought + played.text(1, "Let me look.") + use + played.end("tool_use"))
                reply = await asking
                assert reply.headers["x-overspill-dropped"] == "seed"
                (choice,) = reply.json()["choices"]
                assert choice["finish_reason"] == "tool_calls"
                message = choice["message"]
                assert (message["reasoning_content"], message["content"]) == ("hm", "Let me look.")
                assert message["reasoning_details"][0]["signature"] == "EqQB"
                assert message["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Oslo"}'}
                assert reply.json()["usage"]["prompt_tokens"] == 11
                result = {"role": "tool", "tool_call_id": "toolu_1", "content": "sun"}
                again = asyncio.ensure_future(
                    ask(address_of(gateway), {**body, "messages": [*body["messages"], message, result], "stream": True})
                )
                call = await first_call(target)
                assert [block["type"] for block in call.json()["messages"][1]["content"]] == [
                    "thinking",
                    "text",
                    "tool_use",
                ]
                call.stream(played.start() + played.text(0, "Sun", "ny.") + played.end())
                streamed = await again
                assert b'"content":"Sun"' in streamed.body
                assert streamed.body.endswith(b"data: [DONE]\n\n")

    run(main())
    first, second = rows(path, "requests")
    assert (first["prompt_tokens_reported"], first["output_tokens"], first["outcome"]) == (11, 15, "completed")
    assert second["outcome"] == "completed"


def test_what_anthropic_cannot_be_asked_is_a_clear_400() -> None:
    async def main() -> None:
        async with scripted() as target:
            pools = {"cloud": upstream(target.url, upstream="anthropic")}
            async with serving(text_of(pools, CLAUDE)) as gateway:
                part = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
                body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
                reply = await ask(address_of(gateway), body)
                assert reply.status == 400
                assert target.received == 0

    run(main())


@pytest.mark.parametrize("surface", ["messages", "chat"])
def test_an_overload_of_anthropics_is_absorbed_by_another_target(surface: str) -> None:
    async def main() -> None:
        async with scripted() as target, fake_engine() as engine:
            pools = {"cloud": upstream(target.url, upstream="anthropic"), "local": attach(url_of(engine))}
            tiers = [[{"pool": "cloud", "model": "claude-opus-4-6"}], ["local"]]
            async with serving(text_of(pools, [{"model": "m", "tiers": tiers}])) as gateway:
                is_messages = surface == "messages"
                body = asked(stream=True, max_tokens=3) if is_messages else chat(stream=True, max_tokens=3)
                path = PATH if is_messages else "/v1/chat/completions"
                asking = asyncio.ensure_future(ask(address_of(gateway), body, path))
                call = await first_call(target)
                error = {"type": "overloaded_error", "message": "Overloaded"}
                call.stream(played.start() + played.event("error", error=error))
                reply = await asking
                assert (reply.status, reply.headers["x-overspill-target"]) == (200, "local/0")
                if is_messages:
                    assert accumulate(reply.body).message["stop_reason"] == "max_tokens"
                else:
                    assert reply.body.endswith(b"data: [DONE]\n\n")

    run(main())


@pytest.mark.parametrize("surface", ["messages", "chat"])
def test_a_stream_of_anthropics_that_breaks_says_so_and_is_not_taken_for_whole(surface: str) -> None:
    async def main() -> None:
        async with scripted() as target:
            pools = {"cloud": upstream(target.url, upstream="anthropic")}
            async with serving(text_of(pools, CLAUDE)) as gateway, RawClient(address_of(gateway)) as client:
                is_messages = surface == "messages"
                client.ask(
                    asked(stream=True) if is_messages else chat(stream=True),
                    PATH if is_messages else "/v1/chat/completions",
                )
                call = await first_call(target)
                text = played.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
                piece = {"type": "text_delta", "text": "Hel"}
                call.start_stream(played.start() + text)
                call.chunk(played.event("content_block_delta", index=0, delta=piece))
                reply = await client.head()
                await client.read_until(reply, b"Hel")
                call.cut()
                await client.rest(reply)
                if is_messages:
                    found = accumulate(reply.body)
                    assert not found.is_over
                    assert found.error is not None
                else:
                    last = reply.body.split(b"\n\n")[-2].removeprefix(b"data: ")
                    assert json.loads(last)["error"]["code"] == "stream_cut"

    run(main())
