"""The rehearsal engine goes on with an answer that was begun elsewhere, and shows what its prompts come to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.gateways import FAST, fake_engine
from tests.support.loops import run

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.rehearsal.begun import rendered_prompt
from overspill.gateway.rehearsal.faults import CutAfterTokens, Fault
from overspill.gateway.rehearsal.speech import text_of
from overspill.gateway.rehearsal.witness import Sight, ask
from overspill.wire.http import HttpCall

USER = {"role": "user", "content": "hello"}
GO_ON = {"continue_final_message": True, "add_generation_prompt": False}
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def assistant(content: str, **more: str) -> list[dict[str, str]]:
    return [USER, {"role": "assistant", "content": content, **more}]


def seen(path: str, *faults: Fault, **fields: Any) -> Sight:
    sights: list[Sight] = []

    async def main() -> None:
        async with fake_engine(FAST, faults=faults) as engine:
            client = HttpClient()
            call = HttpCall(b"POST", path.encode(), (), msgspec.json.encode({"model": "m", **fields}))
            sights.append(await ask(client, engine.origin, call, is_stream=fields["stream"], patience_s=20.0))
            await client.close()

    run(main())
    return sights[0]


def chat(*faults: Fault, **fields: Any) -> Sight:
    return seen("/v1/chat/completions", *faults, **fields)


@BOTH
def test_a_chat_goes_on_after_the_tokens_of_its_last_message(stream: bool) -> None:
    sight = chat(stream=stream, messages=assistant(text_of(4)), x_output_tokens=9, **GO_ON)
    assert (sight.content, sight.finish_reason) == (text_of(9, 4), "stop")


@BOTH
def test_max_tokens_bounds_what_is_still_to_come(stream: bool) -> None:
    sight = chat(stream=stream, messages=assistant(text_of(4)), max_tokens=3, **GO_ON)
    assert (sight.content, sight.finish_reason) == (text_of(7, 4), "length")


@BOTH
def test_a_thought_is_gone_on_with_too(stream: bool) -> None:
    messages = assistant("", reasoning_content=text_of(4))
    fields = {"continue_final_message": "reasoning_content", "add_generation_prompt": False}
    sight = chat(stream=stream, messages=messages, x_output_tokens=9, x_reasoning_tokens=6, **fields)
    assert (sight.reasoning, sight.content) == (text_of(6, 4), text_of(9, 6))


def test_content_may_follow_a_finished_thought() -> None:
    messages = assistant(text_of(7, 6), reasoning_content=text_of(6))
    sight = chat(stream=True, messages=messages, x_output_tokens=9, x_reasoning_tokens=6, **GO_ON)
    assert (sight.reasoning, sight.content) == ("", text_of(9, 7))


@BOTH
def test_a_prompt_that_ends_with_the_answer_is_gone_on_with(stream: bool) -> None:
    sight = seen("/v1/completions", stream=stream, prompt="hello" + text_of(4), x_output_tokens=9)
    assert sight.content == text_of(9, 4)


@pytest.mark.parametrize("content", [" t1 t2", " t0 t2", " t0 t1 ", "t0", " t00", "Hello t0"])
def test_what_is_not_the_beginning_of_an_answer_begins_a_new_one(content: str) -> None:
    sight = chat(stream=True, messages=assistant(content), x_output_tokens=3, **GO_ON)
    assert sight.content == text_of(3)


def test_without_being_told_to_nothing_is_gone_on_with() -> None:
    assert chat(stream=True, messages=assistant(text_of(2)), x_output_tokens=3).content == text_of(3)
    assert chat(stream=True, messages=[USER], x_output_tokens=3, **GO_ON).content == text_of(3)


def test_a_fault_counts_the_tokens_of_the_whole_answer() -> None:
    sight = chat(
        CutAfterTokens(every=1, tokens=6), stream=True, messages=assistant(text_of(4)), x_output_tokens=9, **GO_ON
    )
    assert (sight.content, sight.is_ended) == (text_of(6, 4), False)


def test_the_prompt_is_shown_with_the_beginning_of_the_answer_last() -> None:
    body = msgspec.json.encode({"messages": assistant("Yes \n"), **GO_ON})
    assert rendered_prompt(body) == "<user>hello</><assistant>Yes \n"
    assert rendered_prompt(msgspec.json.encode({"messages": [USER]})) == "<user>hello</><assistant>"

    async def main() -> None:
        async with fake_engine() as engine:
            client = HttpClient()
            for raw, status in ((body, 200), (b"[]", 400)):
                call = HttpCall(b"POST", b"/apply-template", (), raw)
                answer = await fetch(client, engine.origin, call, timeout_s=20.0)
                assert isinstance(answer, Fetched)
                assert answer.status == status
            await client.close()

    run(main())
