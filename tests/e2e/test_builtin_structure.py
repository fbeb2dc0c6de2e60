"""Structured output, tools and thoughts with the real embedded engine and the built-in model."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.support.gateways import address_of, ready, serving, text_of
from tests.support.loops import run
from tests.support.raw_client import Headers, Reply, ask
from tests.support.sse_answers import message_of

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_engine

POOL = {"engine": "llamacpp", "model": "builtin", "served_name": "tiny", "max_batch_size": 2, "threads": 1}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["colour", "count"],
    "additionalProperties": False,
}
Asking = Callable[..., Awaitable[Reply]]


def with_model(scenario: Callable[[Asking], Awaitable[None]], **pool: Any) -> None:
    async def main() -> None:
        text = text_of({"local": {**POOL, **pool}}, [{"model": "tiny", "tiers": [["local"]]}])
        async with serving(text) as gateway:
            await ready(gateway, "local/0")

            async def asking(content: Any, *turns: Any, headers: Headers = (), **more: Any) -> Reply:
                messages = [{"role": "user", "content": content}, *turns]
                body = {"model": "tiny", "temperature": 0, "max_tokens": 200, "messages": messages, **more}
                return await ask(address_of(gateway), body, headers=headers)

            await scenario(asking)

    run(main(), patience_s=60)


def formats() -> dict[str, dict[str, Any]]:
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
    return {
        "response_format": {"response_format": wanted},
        "guided_json": {"guided_json": SCHEMA},
        "structured_outputs": {"structured_outputs": {"json": SCHEMA}},
        "json_schema": {"json_schema": SCHEMA},
        "format": {"format": SCHEMA},
    }


def test_an_answer_follows_its_schema_in_whatever_field_that_comes() -> None:
    async def scenario(asking: Asking) -> None:
        for name, fields in formats().items():
            for stream in (False, True):
                reply = await asking("What is 12 + 30?", stream=stream, **fields)
                answer = json.loads(message_of(reply)["content"])
                assert set(answer) == {"colour", "count"}, name
                assert answer["colour"] in ("red", "green")
                assert 0 <= answer["count"] <= 9

    with_model(scenario)


def test_an_answer_is_json_or_follows_a_grammar() -> None:
    async def scenario(asking: Asking) -> None:
        for fields in ({"response_format": {"type": "json_object"}}, {"format": "json"}):
            message = message_of(await asking("What is 12 + 30?", **fields))
            assert isinstance(json.loads(message["content"]), dict)
        message = message_of(await asking("What is 12 + 30?", grammar='root ::= "red" | "green"'))
        assert message["content"] in ("red", "green")

    with_model(scenario)


@pytest.mark.parametrize("stream", [True, False])
def test_a_tool_round_trip_with_its_thought(stream: bool) -> None:
    async def scenario(asking: Asking) -> None:
        first = message_of(await asking("What is the weather in Paris?", tools=[WEATHER], stream=stream))
        assert first["reasoning_content"]
        (call,) = first["tool_calls"]
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == (
            "get_weather",
            {"city": "Paris"},
        )
        dropped = {"role": "assistant", "content": None, "tool_calls": first["tool_calls"]}
        result = {"role": "tool", "tool_call_id": call["id"], "content": '{"celsius": 18}'}
        question = "What is the weather in Paris?"
        more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
        without = await asking(question, dropped, result, tools=[WEATHER], **more)
        assert message_of(without)["content"]
        kept = {**dropped, "reasoning_content": first["reasoning_content"]}
        with_it = await asking(question, kept, result, tools=[WEATHER], **more)
        # The thought was put back: the prompt is as long as with the client's own, and longer than where none is known.
        other = {**dropped, "tool_calls": [{**call, "id": "unknown"}]}
        unknown = await asking(question, other, result, tools=[WEATHER], **more)
        assert tokens_of(unknown) < tokens_of(without) == tokens_of(with_it)

    with_model(scenario, history="keep")


def tokens_of(reply: Reply) -> int:
    lines = [line for line in reply.body.split(b"\n") if b'"prompt_tokens"' in line]
    return int(msgspec.json.decode(lines[-1].removeprefix(b"data: "))["usage"]["prompt_tokens"])


def test_what_it_cannot_is_refused_and_says_why() -> None:
    async def scenario(asking: Asking) -> None:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        reply = await asking([{"type": "text", "text": "?"}, image])
        assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "unsupported_feature", "messages")
        assert "images: local/0 (it was started without a projector" in reply.error["message"]
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            reply = await asking("Hello", tools=[WEATHER], tool_choice=choice)
            assert (reply.status, reply.error["param"]) == (400, "tool_choice")
            assert "the built-in model" in reply.error["message"]
        assert (await asking("Hello", tools=[WEATHER], tool_choice="none")).status == 200

    with_model(scenario)


def test_thoughts_come_in_the_form_that_the_client_asks_for() -> None:
    async def scenario(asking: Asking) -> None:
        plain = message_of(await asking("What is 12 + 30?"))
        for stream in (False, True):
            headers = (("x-overspill-reasoning", "think"),)
            told = message_of(await asking("What is 12 + 30?", stream=stream, headers=headers))
            assert told["content"] == f"<think>\n{plain['reasoning_content']}\n</think>\n\n{plain['content']}"

    with_model(scenario)
