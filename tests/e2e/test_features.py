"""Requests go where what they need can be done, and are refused in words where it can nowhere; tools come through."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from tests.e2e.test_reasoning import (
    PLAIN,
    QUESTION,
    TOOL,
    call_delta,
    deepseek,
    exchange,
)
from tests.support.gateways import address_of, attach, serving, text_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import DONE, ROLE, delta, scripted, usage
from tests.support.sse_answers import message_of

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def seen(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, *parts]}], **more}


def test_a_picture_goes_where_it_can_be_seen() -> None:
    async def main() -> None:
        async with scripted() as home, scripted() as cloud:
            pools = {"home": attach(home.url, features={"images": False}), "cloud": deepseek(cloud.url)}
            async with serving(text_of(pools)) as gateway:
                call, reply = await exchange(cloud, address_of(gateway), seen(IMAGE), PLAIN)
                assert reply.headers["x-overspill-reason"] == "lacks_feature"
                assert call.json()["messages"][0]["content"][1] == IMAGE
                _, reply = await exchange(home, address_of(gateway), seen(), PLAIN)
                assert reply.headers["x-overspill-reason"] == "home"

    run(main())


def test_what_no_target_can_do_is_refused_with_what_where_why_and_what_to_do() -> None:
    async def main() -> None:
        async with scripted() as home, scripted() as cloud:
            pools = {"home": attach(home.url, features={"json_schema": False}), "cloud": deepseek(cloud.url)}
            async with serving(text_of(pools)) as gateway:
                reply = await ask(address_of(gateway), seen(response_format=SCHEMA))
                assert (reply.status, reply.error["code"], reply.error["param"]) == (
                    400,
                    "unsupported_feature",
                    "response_format",
                )
                assert reply.headers["x-overspill-reason"] == "lacks_feature"
                assert "home/0 (the configuration says so)" in reply.error["message"]
                assert "cloud/main/m (its API holds an answer to JSON" in reply.error["message"]
                assert (home.received, cloud.received) == (0, 0)
                told = (await get(address_of(gateway), "/debug/route?model=m&needs=json_schema")).json()
                assert told["decision"] == {"do": "reject", "why": "lacks_feature"}
                assert [target["refusal"] for target in told["targets"]] == ["lacks_feature"] * 2
                wrong = await get(address_of(gateway), "/debug/route?model=m&needs=json")
                assert "did you mean 'json_object'" in wrong.error["message"] or "json_schema" in wrong.error["message"]

    run(main())


def test_a_target_of_which_nothing_is_known_is_asked_and_answers_for_itself() -> None:
    async def main() -> None:
        async with scripted() as home, serving(text_of({"home": attach(home.url)})) as gateway:
            body = seen(IMAGE, response_format=SCHEMA, logprobs=True)
            call, reply = await exchange(home, address_of(gateway), body, PLAIN)
            assert reply.status == 200
            assert call.json()["response_format"] == SCHEMA

    run(main())


def test_the_file_may_say_that_a_target_can_after_all() -> None:
    async def main() -> None:
        async with (
            scripted() as cloud,
            serving(text_of({"cloud": deepseek(cloud.url, features={"json_schema": True})})) as gateway,
        ):
            call, reply = await exchange(cloud, address_of(gateway), seen(response_format=SCHEMA), PLAIN)
            assert (reply.status, call.json()["response_format"]) == (200, SCHEMA)

    run(main())


# -- tools


CALLS = (
    call_delta("call_a", "", name="weather")
    + call_delta("call_b", "", name="time", index=1)
    + call_delta(None, '{"city":')
    + call_delta(None, '{"zone":"CET"}', index=1)
    + call_delta(None, '"Paris"}')
)


@pytest.mark.parametrize("rescue", ["off", "same_weights"])
@pytest.mark.parametrize("stream", [True, False])
def test_parallel_calls_come_through_streamed_and_whole(stream: bool, rescue: str) -> None:
    async def main() -> None:
        async with scripted() as home:
            routes = [{"model": "m", "tiers": [["home"]], "rescue": rescue}]
            async with serving(text_of({"home": attach(home.url)}, routes)) as gateway:
                answer = ROLE + delta("Let me see.") + CALLS + delta(finish="tool_calls") + usage() + DONE
                body = {"model": "m", "messages": [QUESTION], "tools": [TOOL], "stream": stream}
                call, reply = await exchange(home, address_of(gateway), body, answer)
                assert call.json()["tools"] == [TOOL]
                message = message_of(reply)
                assert message["content"] == "Let me see."
                calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]]
                assert calls == [("call_a", "weather", '{"city":"Paris"}'), ("call_b", "time", '{"zone":"CET"}')]
                if stream:
                    assert reply.body.count(b'"tool_calls"') == 6  # five parts of calls, and the reason of the end
                    assert reply.body.endswith(DONE)
                else:
                    assert reply.json()["choices"][0]["finish_reason"] == "tool_calls"

    run(main())


def test_parts_of_calls_reach_a_client_as_they_come() -> None:
    async def main() -> None:
        async with scripted() as home, serving(text_of({"home": attach(home.url)})) as gateway:
            body = {"model": "m", "messages": [QUESTION], "tools": [TOOL], "stream": True}
            async with RawClient(address_of(gateway)) as client:
                client.ask(body)
                call = await home.call()
                call.start_stream(ROLE + call_delta("call_a", "", name="weather"))
                reply = await client.head()
                await client.read_until(reply, b"call_a")
                call.chunk(call_delta(None, '{"city":"Paris"}'))
                await client.read_until(reply, b"Paris")
                call.end_stream(delta(finish="tool_calls") + DONE)
                await client.rest(reply)
                assert reply.is_whole

    run(main())


def test_a_whole_answer_of_a_target_that_does_not_stream_comes_through_with_its_calls() -> None:
    async def main() -> None:
        async with scripted() as home:
            pools = {"home": attach(home.url, stream_whole_answers=False)}
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(
                    ask(address_of(gateway), {"model": "m", "messages": [QUESTION], "tools": [TOOL]})
                )
                function = {"name": "weather", "arguments": "{}"}
                message = {
                    "role": "assistant",
                    "content": None,
                    "reasoning": "hm",
                    "tool_calls": [{"id": "call_a", "type": "function", "function": function}],
                }
                choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
                (await home.call()).reply(200, msgspec.json.encode({"choices": [choice]}))
                said = message_of(await asking)
                assert said["reasoning_content"] == "hm"
                assert said["tool_calls"] == message["tool_calls"]

    run(main())
