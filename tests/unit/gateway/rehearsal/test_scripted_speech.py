"""The rehearsal engine says what its script says: thoughts, calls of tools, an answer, DeepSeek's refusal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.gateways import FAST, fake_engine
from tests.support.loops import run

from overspill.gateway.http.client import HttpClient
from overspill.gateway.rehearsal.faults import CutAfterTokens, Fault
from overspill.gateway.rehearsal.speech import Script, ScriptedCall, words_of
from overspill.gateway.rehearsal.witness import Sight, ask
from overspill.wire.http import HttpCall

USER = {"role": "user", "content": "weather?"}
READ = ScriptedCall(name="read", arguments={"path": "a b.txt"})
SAVE = ScriptedCall(name="save")
SCRIPT = Script(answer='It is 21 °C, "said": {result}', reasoning="I must look.", calls=(READ, SAVE))
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])


def tools(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]


def called(name: str, **more: Any) -> dict[str, Any]:
    call = {"id": f"call-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call], **more}


def result(text: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call-x", "content": text}


def seen(script: Script, *faults: Fault, path: str = "/v1/chat/completions", **fields: Any) -> Sight:
    sights: list[Sight] = []

    async def main() -> None:
        async with fake_engine(FAST, faults=faults, script=script) as engine:
            client = HttpClient()
            call = HttpCall(b"POST", path.encode(), (), msgspec.json.encode({"model": "m", **fields}))
            is_stream = bool(fields.get("stream"))
            sights.append(await ask(client, engine.origin, call, is_stream=is_stream, patience_s=20.0))
            await client.close()

    run(main())
    return sights[0]


@BOTH
def test_without_tools_it_thinks_and_answers(stream: bool) -> None:
    sight = seen(SCRIPT, messages=[USER], stream=stream)
    assert (sight.reasoning, sight.content) == ("I must look.", 'It is 21 °C, "said": ')
    assert sight.finish_reason == "stop"


@BOTH
def test_it_calls_a_tool_that_is_offered_with_the_arguments_of_the_script(stream: bool) -> None:
    sight = seen(SCRIPT, messages=[USER], tools=tools("read", "other"), stream=stream)
    assert (sight.reasoning, sight.content) == ("I must look.", "")
    assert json.loads(sight.tool_arguments) == {"path": "a b.txt"}
    assert sight.finish_reason == "tool_calls"


@BOTH
def test_after_each_result_comes_the_next_call_and_then_the_answer_with_the_last_result(stream: bool) -> None:
    asked = {"tools": tools("save", "read"), "stream": stream}
    messages = [USER, called("read"), result("first")]
    sight = seen(SCRIPT, messages=messages, **asked)
    assert (sight.tool_arguments, sight.finish_reason) == ("{}", "tool_calls")
    messages += [called("save"), result([{"type": "text", "text": "21 °C"}])]
    assert seen(SCRIPT, messages=messages, **asked).content == 'It is 21 °C, "said": 21 °C'
    again = seen(SCRIPT, messages=[*messages, USER], **asked)
    assert json.loads(again.tool_arguments) == {"path": "a b.txt"}


def test_a_tool_that_is_not_offered_is_left_out() -> None:
    assert seen(SCRIPT, messages=[USER], tools=tools("save")).tool_arguments == "{}"
    assert seen(SCRIPT, messages=[USER], tools=tools("other")).finish_reason == "stop"


@BOTH
def test_a_history_that_lost_its_thoughts_is_refused_where_the_script_says_so(stream: bool) -> None:
    script = msgspec.structs.replace(SCRIPT, demands_reasoning=True)
    asked = {"tools": tools("read"), "stream": stream}
    lost = seen(script, messages=[USER, called("read"), result("x")], **asked)
    assert lost.status == 400
    assert lost.error is not None
    assert lost.error.message.endswith("in the thinking mode must be passed back to the API.")
    kept = seen(script, messages=[USER, called("read", reasoning_content=""), result("x")], **asked)
    assert kept.content.endswith(": x")


@BOTH
def test_the_clients_limit_cuts_it_short(stream: bool) -> None:
    sight = seen(SCRIPT, messages=[USER], max_tokens=5, stream=stream)
    assert (sight.reasoning, sight.content, sight.finish_reason) == ("I must look.", "It is", "length")
    assert seen(SCRIPT, messages=[USER], max_tokens=9, stream=stream).finish_reason == "stop"


@pytest.mark.parametrize("how", [{"continue_final_message": True}, {}], ids=["flag", "prefix"])
def test_it_goes_on_with_an_answer_that_was_cut(how: dict[str, Any]) -> None:
    cut = seen(SCRIPT, CutAfterTokens(every=1, tokens=6), messages=[USER], stream=True)
    assert (cut.reasoning + cut.content, cut.is_ended) == ("I must look.It is 21", False)
    begun = {"role": "assistant", "reasoning_content": cut.reasoning, "content": cut.content}
    if not how:
        begun["prefix"] = True
    path = "/v1/chat/completions" if how else "/beta/chat/completions"
    rest = seen(SCRIPT, path=path, messages=[USER, begun], stream=True, **how)
    assert (rest.reasoning, rest.content) == ("", ' °C, "said": ')


def test_a_completion_has_neither_thought_nor_call_and_goes_on_too() -> None:
    path = "/v1/completions"
    assert seen(SCRIPT, path=path, prompt="Weather?").content == 'It is 21 °C, "said": '
    assert seen(SCRIPT, path=path, prompt="Is it? It is").content == ' 21 °C, "said": '


@given(st.text(min_size=1))
def test_words_make_up_the_text(text: str) -> None:
    assert "".join(words_of(text)) == text


def test_chinese_is_cut_between_characters() -> None:
    assert words_of("我们 sum up：21") == ["我", "们", " sum", " up：21"]
