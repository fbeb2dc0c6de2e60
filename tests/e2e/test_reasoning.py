"""Thoughts over a whole gateway: one form for every client, put back where they are wanted, kept in where need be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import PRICE, address_of, attach, serving, text_of
from tests.support.loops import run
from tests.support.raw_client import Headers, Reply, ask
from tests.support.scripted_upstream import DONE, ROLE, Call, ScriptedUpstream, delta, scripted, usage
from tests.support.sse_answers import message_of

from overspill.gateway.service import Gateway

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
QUESTION = {"role": "user", "content": "Is it warm in Paris?"}
MUST_COME_BACK = {
    "error": {
        "message": "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_request_error",
    }
}


def call_delta(call_id: str | None, arguments: str, *, name: str | None = None, index: int = 0) -> bytes:
    function: dict[str, Any] = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    call = {"index": index, "function": function}
    return delta(tool_calls=[call if call_id is None else {**call, "id": call_id, "type": "function"}])


def thinks_and_calls(field: str = "reasoning_content", call_id: str = "call_7f") -> bytes:
    """A stream that thinks in four tokens and calls a tool."""
    thought = b"".join(delta(**{field: text}) for text in ("I ", "must ", "look ", "it up."))
    call = call_delta(call_id, "", name="weather") + call_delta(None, '{"city": ') + call_delta(None, '"Paris"}')
    return ROLE + thought + call + delta(finish="tool_calls") + usage() + DONE


def asked(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [QUESTION, *turns], "tools": [TOOL], **more}


def second_turn(message: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a client sends back that does not know thoughts, and its tool's result."""
    calls = message["tool_calls"]
    kept = {"role": "assistant", "content": message.get("content"), "tool_calls": calls}
    return kept, {"role": "tool", "tool_call_id": calls[0]["id"], "content": "18 degrees"}


def deepseek(url: str, **more: Any) -> dict[str, Any]:
    accounts = [{"name": "main", "api_key": "env:CLOUD_KEY"}]
    return {"upstream": "deepseek", "base_url": url, "accounts": accounts, "price": PRICE, **more}


@asynccontextmanager
async def gateway_before(
    pools: dict[str, Any], *, path: Path | None = None, **sections: Any
) -> AsyncIterator[tuple[Gateway, str]]:
    async with serving(text_of(pools, path=path, **sections)) as gateway:
        yield gateway, address_of(gateway)


async def exchange(
    target: ScriptedUpstream, address: str, body: dict[str, Any], answer: bytes, headers: Headers = ()
) -> tuple[Call, Reply]:
    """Ask, let the target stream ``answer``, and return what it was asked and what the client got."""
    asking = asyncio.ensure_future(ask(address, body, headers=headers))
    call = await target.call()
    call.stream(answer)
    return call, await asking


PLAIN = ROLE + delta("Yes.") + delta(finish="stop") + usage() + DONE


@pytest.mark.parametrize("stream", [True, False])
def test_a_thought_that_the_client_drops_comes_back_to_the_target_with_its_call(stream: bool) -> None:
    async def main() -> None:
        async with scripted() as cloud, gateway_before({"cloud": deepseek(cloud.url)}) as (_, address):
            _, reply = await exchange(cloud, address, asked(stream=stream), thinks_and_calls())
            message = message_of(reply)
            assert message["reasoning_content"] == "I must look it up."
            turns = second_turn(message)
            call, _ = await exchange(cloud, address, asked(*turns, stream=stream), PLAIN)
            sent = call.json()["messages"]
            assert sent[1] == {**turns[0], "reasoning_content": "I must look it up."}
            assert sent[2] == turns[1]

    run(main())


def test_one_that_nobody_knows_is_empty_and_one_without_tools_is_not_asked_for() -> None:
    async def main() -> None:
        async with scripted() as cloud, gateway_before({"cloud": deepseek(cloud.url)}) as (_, address):
            call = {"id": "call_x", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            turns = second_turn({"tool_calls": [call]})
            seen, _ = await exchange(cloud, address, asked(*turns), PLAIN)
            assert seen.json()["messages"][1]["reasoning_content"] == ""
            plain = {"model": "m", "messages": [QUESTION, {"role": "assistant", "content": "Yes."}, QUESTION]}
            seen, _ = await exchange(cloud, address, plain, PLAIN)
            assert seen.json()["messages"] == plain["messages"]

    run(main())


def test_a_host_that_says_that_it_wants_thoughts_back_gets_them_and_the_client_sees_no_error(tmp_path: Path) -> None:
    async def main() -> None:
        pool = {**deepseek("", history="as_is"), "upstream": "openai_compatible"}
        async with scripted() as cloud:
            pool["base_url"] = f"{cloud.url}/v1"
            async with gateway_before({"cloud": pool}, path=tmp_path / "ledger.db") as (gateway, address):
                _, reply = await exchange(cloud, address, asked(), thinks_and_calls())
                turns = second_turn(message_of(reply))
                asking = asyncio.ensure_future(ask(address, asked(*turns)))
                first = await cloud.call()
                assert "reasoning_content" not in first.json()["messages"][1]
                first.reply(400, MUST_COME_BACK)
                second = await cloud.call()
                assert second.json()["messages"][1]["reasoning_content"] == "I must look it up."
                second.stream(PLAIN)
                reply = await asking
                assert (reply.status, reply.headers["x-overspill-attempts"]) == (200, "2")
                third, _ = await exchange(cloud, address, asked(*turns), PLAIN)  # it has been learned
                assert third.json()["messages"][1]["reasoning_content"] == "I must look it up."
                target = gateway.driver.controller.targets["cloud/main/m"]
                assert target.breaker.state.value == "closed"

    run(main())


def test_a_host_that_refuses_them_also_then_has_said_it() -> None:
    async def main() -> None:
        async with scripted() as cloud, gateway_before({"cloud": deepseek(cloud.url, history="strip")}) as (_, address):
            call = {"id": "call_x", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            asking = asyncio.ensure_future(ask(address, asked(*second_turn({"tool_calls": [call]}))))
            for _ in range(2):
                (await cloud.call()).reply(400, MUST_COME_BACK)
            reply = await asking
            assert (reply.status, reply.headers["x-overspill-attempts"]) == (400, "2")
            assert "must be passed back" in reply.error["message"]

    run(main())


def test_a_thought_goes_along_to_another_host_and_out_of_the_way_where_it_is_refused() -> None:
    async def main() -> None:
        async with scripted() as home, scripted() as cloud:
            pools = {"home": attach(home.url, slots=1, history="strip"), "cloud": deepseek(cloud.url)}
            async with gateway_before(pools) as (_, address):
                _, reply = await exchange(home, address, asked(stream=True), thinks_and_calls("reasoning"))
                message = message_of(reply)
                assert message["reasoning_content"] == "I must look it up."
                turns = second_turn(message)
                asking = asyncio.ensure_future(ask(address, asked(*turns)))
                first = await home.call()
                assert "reasoning" not in first.json()["messages"][1]
                first.reply(503, {"error": {"message": "busy"}})
                second = await cloud.call()
                assert second.json()["messages"][1]["reasoning_content"] == "I must look it up."
                second.stream(PLAIN)
                assert (await asking).status == 200

    run(main())


def test_a_thought_of_what_had_to_stay_local_does_not_go_out_with_a_later_request() -> None:
    async def main() -> None:
        async with scripted() as home, scripted() as cloud:
            pools = {"home": attach(home.url, history="keep"), "cloud": deepseek(cloud.url)}
            async with gateway_before(pools) as (_, address):
                stays = (("x-overspill-local-only", "true"),)
                _, reply = await exchange(home, address, asked(), thinks_and_calls(), stays)
                turns = second_turn(message_of(reply))
                asking = asyncio.ensure_future(ask(address, asked(*turns)))
                first = await home.call()
                assert first.json()["messages"][1]["reasoning"] == "I must look it up."
                first.reply(503, {"error": {"message": "busy"}})
                second = await cloud.call()
                assert second.json()["messages"][1]["reasoning_content"] == ""
                second.stream(PLAIN)
                assert (await asking).status == 200

    run(main())


def test_no_key_gets_what_another_one_thought() -> None:
    async def main() -> None:
        keys = [{"key": "env:GATE_KEY", "name": "ann"}, {"key": "env:CLOUD_KEY", "name": "bob"}]
        async with scripted() as cloud:
            sections = {"server": {"api_keys": keys}}
            async with gateway_before({"cloud": deepseek(cloud.url)}, **sections) as (_, address):
                ann, bob = ((("authorization", f"Bearer {key}"),) for key in ("sk-gate", "sk-cloud"))
                _, reply = await exchange(cloud, address, asked(), thinks_and_calls(), ann)
                turns = second_turn(message_of(reply))
                for headers, thought in ((bob, ""), (ann, "I must look it up.")):
                    seen, _ = await exchange(cloud, address, asked(*turns), PLAIN, headers)
                    assert seen.json()["messages"][1]["reasoning_content"] == thought

    run(main())


def test_nothing_is_remembered_where_nothing_is_to_be() -> None:
    async def main() -> None:
        async with scripted() as cloud:
            sections = {"reasoning": {"remember": 0}}
            async with gateway_before({"cloud": deepseek(cloud.url)}, **sections) as (_, address):
                _, reply = await exchange(cloud, address, asked(stream=True), thinks_and_calls())
                turns = second_turn(message_of(reply))
                seen, _ = await exchange(cloud, address, asked(*turns), PLAIN)
                assert seen.json()["messages"][1]["reasoning_content"] == ""

    run(main())


# -- forms


INLINE = b"".join(delta(text) for text in ("<thi", "nk>\n", "I ", "think", ".\n</th", "ink>\n\n", "So ", "yes."))
ANSWERS = {
    **{
        name: delta(**{name: "I "}) + delta(**{name: "think."}) + delta("So ") + delta("yes.")
        for name in ("reasoning_content", "reasoning", "thinking")
    },
    "think": INLINE,
}
CHAT = {"model": "m", "messages": [QUESTION]}


@pytest.mark.parametrize("form", [None, "reasoning_content", "reasoning", "thinking", "think", "none"])
@pytest.mark.parametrize("said", ANSWERS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_gets_thoughts_in_its_own_form_whatever_the_targets_is(
    stream: bool, said: str, form: str | None
) -> None:
    async def main() -> None:
        async with scripted() as home, gateway_before({"home": attach(home.url)}) as (_, address):
            headers = () if form is None else (("x-overspill-reasoning", form),)
            answer = ROLE + ANSWERS[said] + delta(finish="stop") + usage() + DONE
            _, reply = await exchange(home, address, {**CHAT, "stream": stream}, answer, headers)
            message = message_of(reply)
            assert message.pop("role") == "assistant"
            if form == "think":
                assert message == {"content": "<think>\nI think.\n</think>\n\nSo yes."}
            elif form == "none":
                assert message == {"content": "So yes."}
            else:
                assert message == {"content": "So yes.", form or "reasoning_content": "I think."}
            if stream:
                assert reply.body.endswith(DONE)

    run(main())


def test_the_first_tag_may_stand_in_the_prompt() -> None:
    async def main() -> None:
        async with (
            scripted() as home,
            gateway_before({"home": attach(home.url, reasoning="think_open")}) as (_, address),
        ):
            answer = ROLE + delta("I think.\n</think>") + delta("\n\nYes.") + delta(finish="stop") + usage() + DONE
            _, reply = await exchange(home, address, {**CHAT, "stream": True}, answer)
            message = message_of(reply)
            assert (message["reasoning_content"], message["content"]) == ("I think.", "Yes.")

    run(main())


def test_a_key_may_say_in_which_form_its_clients_want_thoughts_and_a_request_says_it_last() -> None:
    async def main() -> None:
        keys = [{"key": "env:GATE_KEY", "reasoning": "think"}]
        async with (
            scripted() as home,
            gateway_before({"home": attach(home.url)}, server={"api_keys": keys}) as (_, address),
        ):
            answer = ROLE + ANSWERS["reasoning"] + delta(finish="stop") + usage() + DONE
            key = (("authorization", "Bearer sk-gate"),)
            _, reply = await exchange(home, address, CHAT, answer, key)
            assert message_of(reply)["content"].startswith("<think>\nI think.")
            wish = (*key, ("x-overspill-reasoning", "reasoning"))
            _, reply = await exchange(home, address, CHAT, answer, wish)
            assert message_of(reply)["reasoning"] == "I think."

    run(main())


def test_a_kept_answer_is_given_only_in_the_form_that_it_was_kept_in() -> None:
    async def main() -> None:
        async with (
            scripted() as home,
            gateway_before({"home": attach(home.url)}, cache={"enabled": True}) as (_, address),
        ):
            answer = ROLE + ANSWERS["reasoning"] + delta(finish="stop") + usage() + DONE
            body = {**CHAT, "temperature": 0}
            for form in ("think", "none"):
                wish = (("x-overspill-reasoning", form),)
                _, first = await exchange(home, address, body, answer, wish)
                again = await ask(address, body, headers=wish)
                assert again.headers["x-overspill-reason"] == "cached"
                assert again.body == first.body

    run(main())


def test_a_form_that_there_is_not_is_refused() -> None:
    async def main() -> None:
        async with scripted() as home, gateway_before({"home": attach(home.url)}) as (_, address):
            reply = await ask(address, CHAT, headers=(("x-overspill-reasoning", "think_open"),))
            assert (reply.status, reply.error["code"]) == (400, "invalid_header")
            assert "none of reasoning_content, reasoning, thinking, think, none" in reply.error["message"]

    run(main())


# -- how much to think, and for whom


def test_effort_and_users_go_out_in_each_targets_own_words() -> None:
    async def main() -> None:
        async with (
            scripted() as home,
            scripted() as cloud,
            gateway_before({"home": attach(home.url), "cloud": deepseek(cloud.url)}) as (_, address),
        ):
            body = {**CHAT, "reasoning_effort": "medium", "user": "ann@example.com"}
            asking = asyncio.ensure_future(ask(address, body))
            first = await home.call()
            sent = first.json()
            assert sent["chat_template_kwargs"] == {"thinking": True, "enable_thinking": True}
            assert (sent["reasoning_effort"], sent["user"]) == ("medium", "ann@example.com")
            first.reply(503, {"error": {"message": "busy"}})
            second = await cloud.call()
            sent = second.json()
            assert sent["thinking"] == {"type": "enabled"}
            assert (sent["reasoning_effort"], "user" in sent) == ("high", False)
            assert sent["user_id"].startswith("u-")
            second.stream(PLAIN)
            assert (await asking).status == 200

    run(main())


def test_a_retired_name_does_not_begin_to_think_at_another_host() -> None:
    async def main() -> None:
        async with scripted() as cloud:
            pool = {**deepseek(f"{cloud.url}/v1", thinking="enable_thinking"), "upstream": "openai_compatible"}
            routes = [{"model": "deepseek-chat", "tiers": [[{"pool": "cloud", "model": "DeepSeek-V4-Flash"}]]}]
            async with serving(text_of({"cloud": pool}, routes)) as gateway:
                body = {**CHAT, "model": "deepseek-chat"}
                call, _ = await exchange(cloud, address_of(gateway), body, PLAIN)
                assert call.json()["enable_thinking"] is False

    run(main())
