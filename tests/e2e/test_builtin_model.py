"""What a newcomer gets: the built-in model behind the gateway thinks, answers rightly, calls tools, and is scored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.support.loops import run
from tests.support.processes import served
from tests.unit.cli.calling import overspill

from overspill.models import KNOWN_ANSWER

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_engine

MODEL = "overspill-tiny"
SMALL = ("--set", "pools.local.max_batch_size=4", "--set", "pools.local.threads=1")
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius"]}},
            "required": ["location"],
        },
    },
}


def with_gateway(folder: Path, talk: Callable[[str], None], *arguments: str) -> None:
    """Serve the built-in model as ``make serve`` does, and run ``talk`` with the address."""

    async def main() -> None:
        async with served(folder, "--no-discovery", "--port", "0", *SMALL, *arguments) as gateway:
            await gateway.listening()
            await asyncio.to_thread(talk, gateway.address)

    run(main(), loop="uvloop", patience_s=60)


def client_of(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key="x", max_retries=0)


def said(client: openai.OpenAI, **request: Any) -> tuple[str, str, str]:
    """Return reasoning, content and finish reason of a streamed answer."""
    thought, content, reason = "", "", ""
    with client.chat.completions.create(model=MODEL, stream=True, **request) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                content += choice.delta.content or ""
                reason = choice.finish_reason or reason
    return thought, content, reason


def test_it_thinks_apart_and_answers_rightly_without_being_told_a_temperature(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        with client_of(address) as client:
            for question in (KNOWN_ANSWER[0], "4821 + 977 等于多少？"):
                messages = [{"role": "user", "content": question}]
                whole = client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
                message = whole.choices[0].message
                assert (message.content, whole.choices[0].finish_reason) == (KNOWN_ANSWER[1], "stop")
                thought = message.reasoning_content  # type: ignore[attr-defined]
                assert "b: 2+7+0=9, 9 carry 0" in thought
                assert "<think>" not in thought
                assert said(client, messages=messages) == (thought, KNOWN_ANSWER[1], "stop")

    with_gateway(tmp_path, talk)


def test_it_calls_a_tool_and_answers_from_its_result(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        with client_of(address) as client:
            messages: list[Any] = [{"role": "user", "content": "What's the weather in Boston?"}]
            whole = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])  # type: ignore[list-item]
            choice = whole.choices[0]
            assert choice.finish_reason == "tool_calls"
            assert choice.message.tool_calls is not None
            (call,) = choice.message.tool_calls
            assert call.type == "function"
            assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"location": "Boston"})
            assert said(client, messages=messages, tools=[WEATHER])[2] == "tool_calls"
            result = {"role": "tool", "tool_call_id": call.id, "content": '{"temp": 18, "sky": "sunny"}'}
            messages += [choice.message.model_dump(exclude_none=True), result]
            assert said(client, messages=messages, tools=[WEATHER])[1:] == ("The tool says: temp 18, sky sunny", "stop")

    with_gateway(tmp_path, talk)


def test_a_second_question_may_lean_on_the_first_and_a_text_is_recited_word_for_word(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        with client_of(address) as client:
            messages = [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": "What is 12 + 34?"},
                {"role": "assistant", "content": "12 + 34 = 46"},
                {"role": "user", "content": "Now add 5."},
            ]
            assert said(client, messages=messages)[1] == "46 + 5 = 51"
            stories = {said(client, messages=[{"role": "user", "content": "Tell me a story."}])[1] for _ in range(2)}
            assert len(stories) == 1
            assert stories.pop().endswith(
                '"The light does not know whose oil it burns," she said. And she went to sleep.'
            )

    with_gateway(tmp_path, talk)


def test_it_makes_embeddings_of_texts_and_of_tokens(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        with client_of(address) as client:
            made = client.embeddings.create(model=MODEL, input=["one", "two"])
            assert [len(entry.embedding) for entry in made.data] == [256, 256]
            of_tokens = client.embeddings.create(model=MODEL, input=[[5, 6, 7]], encoding_format="float")
            assert of_tokens.usage.prompt_tokens == 3

    with_gateway(tmp_path, talk)


def test_eval_scores_the_served_model(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        out = tmp_path / "run.json"
        called = overspill("eval", "--url", f"http://{address}", "--limit", "48", "--json", "--out", str(out))
        assert called.code == 0, called.err
        (outcome,) = json.loads(called.out)
        assert outcome["total"]["asked"] == 48
        assert outcome["total"]["right"] >= 40
        assert outcome["failed"] == 0
        assert outcome["languages"].keys() == {"en", "zh"}
        assert outcome["ttft_p50_s"] <= outcome["ttft_p99_s"]
        assert outcome["output_tokens"] > 1000
        table = overspill("eval", "--compare", str(out), "--compare", str(out)).out
        assert table.count(f"{MODEL} at") == 2
        nobody = overspill("eval", "--url", f"http://{address}", "--model", MODEL, "--tasks", "cooking")
        assert nobody.code == 2
        assert "unknown task 'cooking'" in nobody.err

    with_gateway(tmp_path, talk, "--model", "builtin:q4")


def test_clients_of_anthropics_api_get_thoughts_answers_and_exact_counts(tmp_path: Path) -> None:
    def talk(address: str) -> None:
        client = anthropic.Anthropic(base_url=f"http://{address}", api_key="x", max_retries=0)
        asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": KNOWN_ANSWER[0]}]}
        with client.messages.stream(max_tokens=400, thinking={"type": "adaptive"}, **asked) as stream:
            message = stream.get_final_message()
        assert [block.type for block in message.content] == ["thinking", "text"]
        usage = message.usage
        counted = client.messages.count_tokens(**asked).input_tokens  # the engine is ready by now, and counts itself
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == counted
        unthought = client.messages.create(max_tokens=400, **asked)
        assert [block.type for block in unthought.content] == ["text"]

    with_gateway(tmp_path, talk)
