"""A target is only relied on for what was seen of it: its prompts and its answers, not its adapter's word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.loops import run, until
from tests.support.scripted_upstream import DONE, ROLE, Call, ScriptedUpstream, delta, scripted

from overspill.core.events import AnyEvent, TargetVerified
from overspill.core.types import Continues
from overspill.gateway.continuity import Continuity
from overspill.gateway.http.client import HttpClient
from overspill.gateway.live_target import LiveEngine, LiveUpstream
from overspill.pools.engines.llamacpp import LlamaServer
from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.upstreams.deepseek import DeepSeek
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Origin

PIECES = ["One", ",", " two", ",", " three", "."]
Answer = Callable[[dict[str, Any]], bytes]


def stream(*pieces: bytes) -> bytes:
    return ROLE + b"".join(pieces) + delta(finish="stop") + DONE


def rest_text(given: str) -> str:
    return "".join(PIECES).removeprefix(given)


def rest_of(given: str) -> bytes:
    return delta(rest_text(given))


def goes_on(body: dict[str, Any]) -> bytes:
    last = body["messages"][-1]
    return stream(*map(delta, PIECES)) if last["role"] == "user" else stream(rest_of(last["content"]))


def prompt_of(body: dict[str, Any]) -> str:
    message = body["messages"][-1]
    return "<|assistant|><think>" + (message.get("reasoning_content") or message["content"])


async def play(server: ScriptedUpstream, prompt: Callable[[dict[str, Any]], Any], answer: Answer) -> None:
    """Answer whatever comes."""
    while True:
        call: Call = await server.call()
        if "/apply-template" in call.head:
            call.reply(200, {"prompt": prompt(call.json())})
        else:
            call.stream(answer(call.json()))


class Stage:
    def __init__(self, continuity: Continuity, live: LiveEngine | LiveUpstream, server: ScriptedUpstream) -> None:
        self.continuity = continuity
        self.live = live
        self.server = server
        self.events: list[AnyEvent] = []

    async def seen(self, count: int = 1) -> Continues:
        await until(lambda: len(self.events) == count)
        event = self.events[-1]
        assert isinstance(event, TargetVerified)
        assert (event.target_id, event.model) == ("t", "m")
        return event.continues


def staged(
    scenario: Callable[[Stage], Awaitable[None]],
    *,
    prompt: Callable[[dict[str, Any]], Any] = prompt_of,
    answer: Answer = goes_on,
    make: Callable[[ScriptedUpstream], LiveEngine | LiveUpstream] | None = None,
) -> None:
    async def main() -> None:
        async with scripted() as server:
            client = HttpClient()
            live = LiveEngine("t", LlamaServer(), Origin(port=server.port), "") if make is None else make(server)
            events: list[AnyEvent] = []
            continuity = Continuity(client, events.append)
            stage = Stage(continuity, live, server)
            stage.events = events
            player = asyncio.create_task(play(server, prompt, answer))
            try:
                continuity.verify(live, "m", ("v", 1))
                await scenario(stage)
            finally:
                player.cancel()
                await continuity.close()
                await client.close()

    run(main())


def test_what_goes_on_exactly_is_relied_on_and_not_looked_at_again() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.REASONING
        assert stage.live.contracts == {"m": LlamaServer.contract}
        asked = stage.server.received
        stage.continuity.verify(stage.live, "m", ("v", 1))
        assert await stage.seen(2) is Continues.REASONING
        assert stage.server.received == asked
        stage.continuity.verify(stage.live, "m", None)
        assert await stage.seen(3) is Continues.REASONING
        assert stage.server.received == 2 * asked

    staged(scenario)


@pytest.mark.parametrize(
    "prompt",
    [
        lambda body: prompt_of(body) + "<|end|>",
        lambda body: prompt_of(body).rstrip(),
        lambda body: "<|user|>" + prompt_of(body) + "<|assistant|>",
        lambda body: None,
    ],
)
def test_a_prompt_that_does_not_end_with_the_given_text_is_not_relied_on(
    prompt: Callable[[dict[str, Any]], Any],
) -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.NOTHING
        assert stage.live.contracts == {}

    staged(scenario, prompt=prompt)


def test_thoughts_that_are_dropped_from_the_prompt_are_not_continued_and_content_is() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.CONTENT
        assert not stage.live.contracts["m"].continues_reasoning

    staged(scenario, prompt=lambda body: "<|assistant|>" + body["messages"][-1]["content"])


@pytest.mark.parametrize(
    "rest",
    [
        lambda given: stream(*map(delta, PIECES)),
        lambda given: stream(delta(" I was saying"), rest_of(given)),
        lambda given: stream(delta("")),
        lambda given: stream(delta(reasoning_content="Hm."), rest_of(given)),
        lambda given: b"data: {broken\n\n",
        lambda given: ROLE + delta(" "),
    ],
)
def test_an_answer_that_does_not_go_on_is_not_relied_on(rest: Callable[[str], bytes]) -> None:
    def answer(body: dict[str, Any]) -> bytes:
        last = body["messages"][-1]
        return goes_on(body) if last["role"] == "user" else rest(last["content"])

    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.NOTHING
        assert stage.live.contracts == {}

    staged(scenario, answer=answer)


def test_an_answer_that_says_nothing_shows_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.NOTHING

    staged(scenario, answer=lambda body: stream())


def test_of_an_upstream_only_answers_are_seen() -> None:
    asked: list[bool] = []

    def answer(body: dict[str, Any]) -> bytes:
        asked.append(bool(body["messages"][-1].get("prefix")))
        return goes_on(body)

    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.CONTENT
        assert asked[0] is False
        assert sum(asked) >= 2  # cut in several places, since its prompts are not shown

    staged(scenario, make=deepseek, answer=answer)


def deepseek(server: ScriptedUpstream) -> LiveUpstream:
    origin = Origin(port=server.port, prefix=b"/v1")
    return LiveUpstream("t", DeepSeek(), Account(account_id="a", origin=origin, api_key="sk-1"))


def test_thoughts_are_turned_off_in_the_trial_where_they_would_hide_what_is_to_be_seen() -> None:
    thinking: list[Any] = []

    def answer(body: dict[str, Any]) -> bytes:
        thinking.append(body["thinking"])
        return goes_on(body)

    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.CONTENT
        assert {str(value) for value in thinking} == {"{'type': 'disabled'}"}

    staged(scenario, make=deepseek, answer=answer)


def test_where_neither_prompts_nor_content_were_seen_nothing_is_continued() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.NOTHING
        assert stage.live.contracts == {}

    staged(scenario, make=deepseek, answer=lambda body: stream(delta(reasoning_content="Let me see."), delta("One")))


def test_an_answer_that_joins_and_then_says_something_else_is_not_relied_on() -> None:
    def answer(body: dict[str, Any]) -> bytes:
        given = body["messages"][-1]["content"]
        whole = goes_on(body)
        return whole if body["messages"][-1]["role"] == "user" else stream(delta(rest_text(given)[:2] + "else"))

    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.NOTHING

    staged(scenario, answer=answer)


def test_a_thought_in_the_trial_is_passed_over_where_thoughts_are_not_continued() -> None:
    async def scenario(stage: Stage) -> None:
        assert await stage.seen() is Continues.CONTENT

    staged(
        scenario,
        prompt=lambda body: "<|assistant|>" + body["messages"][-1]["content"],
        answer=lambda body: stream(delta(reasoning_content="Let me see."), delta("One"), delta(" two")),
    )


def test_a_server_without_a_contract_is_not_asked() -> None:
    async def scenario(stage: Stage) -> None:
        await asyncio.sleep(0)
        assert stage.server.received == 0
        assert stage.events == []

    staged(scenario, make=lambda server: LiveEngine("t", AttachedServer(), Origin(port=server.port), ""))


def test_a_server_that_gives_no_answer_is_asked_again_the_next_time() -> None:
    async def main() -> None:
        async with scripted() as server:
            client = HttpClient()
            events: list[AnyEvent] = []
            continuity = Continuity(client, events.append)
            live = LiveEngine("t", LlamaServer(), Origin(port=server.port), "")
            continuity.verify(live, "m", "v")
            (await server.call()).reply(503, {"error": {"message": "Loading model"}})
            await until(lambda: not continuity._tasks)
            continuity.verify(live, "m", "v")
            (await server.call()).cut()
            await until(lambda: not continuity._tasks)
            assert events == []
            assert live.contracts == {}
            continuity.verify(live, "m", "v")
            await server.call()
            continuity.verify(live, "m", "v")  # it came up anew: the first look is given up
            await server.call()
            assert len(continuity._tasks) == 1
            await continuity.close()
            await client.close()

    run(main())
