"""A stream breaks off in mid-answer: another server with the same weights goes on with it, or it ends as broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import address_of, chat, metric, rows, serving, text_of
from tests.support.loops import run, until
from tests.support.raw_client import RawClient
from tests.support.rescues import Stage, playing, staged
from tests.support.scripted_upstream import DONE, ROLE, delta, event, scripted, usage


def said(body: bytes) -> str:
    chunks = [json.loads(part[6:]) for part in body.split(b"\n\n") if part.startswith(b"data: {")]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


def test_the_other_server_goes_on_where_the_first_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(stage: Stage) -> None:
        options = {"stream_options": {"include_usage": True}, "max_tokens": 50}
        reply, call, first = await stage.begin(delta("The"), delta(" answer"), delta(" is fo"), **options)
        call.cut()
        second = await stage.second(first)
        body = second.json()
        assert body["messages"][-1] == {"role": "assistant", "content": "The answer"}
        assert (body["continue_final_message"], body["add_generation_prompt"], body["max_tokens"]) == (True, False, 48)
        rest = ROLE + delta(" is") + delta(" forty") + delta("-two.") + delta(finish="stop") + usage(7, 4) + DONE
        second.stream(rest.replace(b'"c1"', b'"c2"'))
        await stage.client.rest(reply)
        assert said(reply.body) == "The answer is forty-two."
        assert reply.body.count(b"[DONE]") == 1
        assert reply.body.count(b'"role"') == 1
        assert b'"c2"' not in reply.body
        assert f"\n\n: overspill rescued at=16 from=p/{first} to=p/{1 - first}\n\n".encode() in reply.body
        assert b'"prompt_tokens":5,"completion_tokens":6,"total_tokens":11' in reply.body
        assert reply.headers["x-overspill-target"] == f"p/{first}"
        assert metric(stage.gateway, "overspill_rescues_total", "rescued") == 1

    staged(scenario, path=path)
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["rescues"], request["unrescued"], request["attempts"]) == (
        "completed",
        1,
        None,
        2,
    )
    assert (request["prompt_tokens_reported"], request["output_tokens"]) == (5, 6)
    first, second = rows(path, "attempts")
    assert (first["outcome"], first["failure"], first["resumed_at"]) == ("failed", "cut", None)
    assert (second["outcome"], second["resumed_at"]) == ("finished", 16)
    assert (second["prompt_tokens"], second["output_tokens"]) == (7, 4)
    assert request["ttft_s"] == pytest.approx(first["ttft_s"], abs=0.05)


@pytest.mark.parametrize(
    "end",
    [
        event({"error": {"message": "CUDA error", "type": "server_error", "code": 500}}),
        delta(finish="insufficient_system_resource"),
        DONE,
        b"data: {broken\n\n",
    ],
)
def test_whatever_breaks_a_stream_it_goes_on(end: bytes) -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, first = await stage.begin(delta("One"), delta(" two"))
        call.end_stream(end)
        second = await stage.second(first)
        second.stream(delta(" two three") + delta(finish="stop") + DONE)
        await stage.client.rest(reply)
        assert said(reply.body) == "One two three"
        assert b"error" not in reply.body
        assert b"insufficient" not in reply.body

    staged(scenario)


def test_a_thought_goes_on_and_so_does_a_stream_that_breaks_twice() -> None:
    async def scenario(stage: Stage) -> None:
        thoughts = (delta(reasoning_content="Let"), delta(reasoning_content=" me"), delta(reasoning_content=" see"))
        reply, call, first = await stage.begin(*thoughts)
        call.cut()
        second = await stage.second(first)
        message = second.json()["messages"][-1]
        assert (message["content"], message["reasoning_content"]) == ("", "Let me")
        assert second.json()["continue_final_message"] == "reasoning_content"
        second.start_stream(ROLE + delta(reasoning_content=" see this") + delta("Four") + delta(" and"))
        await stage.client.read_until(reply, b" and")
        second.cut()
        third = await stage.servers[first].call()
        message = third.json()["messages"][-1]
        assert (message["content"], message["reasoning_content"]) == ("Four", "Let me see this")
        third.stream(delta(" and five") + delta(finish="stop") + DONE)
        await stage.client.rest(reply)
        assert said(reply.body) == "Four and five"
        assert reply.body.count(b": overspill rescued") == 2
        assert metric(stage.gateway, "overspill_rescues_total", "rescued") == 2

    staged(scenario)


def test_a_continuation_that_says_something_else_is_not_passed_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(stage: Stage) -> None:
        reply, call, first = await stage.begin(delta("One"), delta(" two"))
        call.cut()
        second = await stage.second(first)
        second.start_stream(ROLE + delta(" dozen"))
        await second.gone()
        await stage.client.rest(reply)
        assert said(reply.body) == "One two"
        assert b"[DONE]" not in reply.body
        assert b'"code":"stream_diverged"' in reply.body
        assert b"did not begin with what had been sent already" in reply.body
        assert metric(stage.gateway, "overspill_rescues_total", "diverged") == 1

    staged(scenario, path=path)
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["reason"], request["unrescued"]) == ("broken", "diverged", "diverged")
    assert request["output_tokens"] == 2


def test_half_a_tool_call_is_never_seen_and_the_whole_one_comes_from_elsewhere() -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, first = await stage.begin(delta("I"), delta(" look"), tools=[{"type": "function"}])
        call.chunk(delta(tool_calls=[{"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a'}}]))
        await call.drained()
        call.cut()
        second = await stage.second(first)
        whole = delta(tool_calls=[{"index": 0, "id": "t2", "function": {"name": "f", "arguments": '{"a":1}'}}])
        second.stream(delta(" look") + whole + delta(finish="tool_calls") + DONE)
        await stage.client.rest(reply)
        assert b"t1" not in reply.body
        assert reply.body.count(b'"t2"') == 1
        assert b'"finish_reason":"tool_calls"' in reply.body

    staged(scenario)


def test_content_behind_a_tool_call_does_not_overtake_it() -> None:
    async def scenario(stage: Stage) -> None:
        tokens = [delta(text) for text in ("I", " look", " it", " up", " now")]
        reply, call, _ = await stage.begin(*tokens, tools=[{"type": "function"}])
        whole = delta(tool_calls=[{"index": 0, "id": "t1", "function": {"name": "f", "arguments": "{}"}}])
        for data in (whole, delta(" Done"), delta(" so"), delta(finish="tool_calls")):
            call.chunk(data)
            await call.drained()
        call.end_stream(DONE)
        await stage.client.rest(reply)
        assert reply.body.index(b'"t1"') < reply.body.index(b" Done") < reply.body.index(b" so")

    staged(scenario)


def test_a_stream_that_is_cut_behind_its_finish_reason_is_whole() -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, _ = await stage.begin(delta("One"), delta(" two"), delta(finish="stop"))
        call.cut()
        await stage.client.rest(reply)
        assert said(reply.body) == "One two"
        assert b"error" not in reply.body
        assert b"rescued" not in reply.body

    staged(scenario)


def test_a_stop_string_across_the_seam_ends_the_answer() -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, first = await stage.begin(delta("to"), delta(" the E"), delta("-N"), stop=["E-ND"])
        call.cut()
        second = await stage.second(first)
        assert second.json()["messages"][-1]["content"] == "to the E"
        second.start_stream(delta("-N"))
        second.chunk(delta("D of it all"))
        await stage.client.rest(reply)
        await second.gone()
        assert said(reply.body) == "to the E-N"
        assert b'"finish_reason":"stop"' in reply.body
        assert reply.body.endswith(b"data: [DONE]\n\n")

    staged(scenario)


def test_what_no_continuation_keeps_ends_as_broken_and_says_why() -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, _ = await stage.begin(delta("{"), delta('"a"'), response_format={"type": "json_object"})
        call.cut()
        await stage.client.rest(reply)
        assert b"its form was bound to a grammar or a schema" in reply.body
        assert b"[DONE]" not in reply.body

    staged(scenario)


def test_a_client_that_waits_for_the_rest_is_shown_signs_of_life(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as a:
            pool = {"attach": "llamacpp", "url": a.url, "verify_continuation": True}
            text = text_of({"p": pool}, server={"commit_deadline": "1ms", "heartbeat": "1ms"})
            async with serving(text) as gateway, playing(a), RawClient(address_of(gateway)) as client:
                await until(lambda: all(t.continues for t in gateway.driver.controller.targets.values()))
                client.ask(chat(stream=True))
                call = await a.call()
                call.start_stream(ROLE + delta("One") + delta(" two"))
                reply = await client.head()
                await client.read_until(reply, b" two")
                call.cut()
                second = await a.call()
                await client.read_until(reply, b": keep-alive")
                second.stream(delta(" two") + delta(" three") + delta(finish="stop") + DONE)
                await client.rest(reply)
                assert said(reply.body) == "One two three"

    run(main())


def test_a_route_that_wants_no_rescue_gets_none() -> None:
    async def scenario(stage: Stage) -> None:
        reply, call, _ = await stage.begin(delta("One"), delta(" two"))
        call.cut()
        await stage.client.rest(reply)
        assert b"its route does not want that" in reply.body

    async def main() -> None:
        async with scripted() as a:
            pool = {"attach": "llamacpp", "url": a.url, "verify_continuation": True}
            routes = [{"model": "m", "tiers": [["p"]], "rescue": "off"}]
            async with serving(text_of({"p": pool}, routes)) as gateway, RawClient(address_of(gateway)) as client:
                await scenario(Stage(gateway, (a, a), client))

    run(main())


def test_a_server_that_nobody_has_looked_at_goes_on_with_nothing() -> None:
    async def main() -> None:
        async with scripted() as a:
            pool = {"attach": "llamacpp", "url": a.url}
            async with serving(text_of({"p": pool})) as gateway, RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True))
                call = await a.call()
                call.start_stream(ROLE + delta("One"))
                reply = await client.head()
                await client.read_until(reply, b"One")
                call.cut()
                await client.rest(reply)
                assert b"no target was seen to go on exactly" in reply.body
                assert a.received == 1

    run(main())


@pytest.mark.parametrize("bound", [False, True], ids=["free", "bound"])
def test_a_stream_that_must_stay_local_is_not_continued_outside(bound: bool) -> None:
    """The same weights outside would go on exactly, as they do with the same request when it is free."""

    async def main() -> None:
        async with scripted() as home, scripted() as away:
            same: dict[str, Any] = {"attach": "llamacpp", "slots": 4, "verify_continuation": True, "weights": "w"}
            pools = {"home": {**same, "url": home.url}, "away": {**same, "url": away.url, "local": False}}
            routes = [{"model": "m", "tiers": [["home"], ["away"]], "rescue_wait": "200ms"}]
            async with serving(text_of(pools, routes)) as gateway, playing(home, away):
                await until(lambda: all(t.continues for t in gateway.driver.controller.targets.values()))
                seen = away.received
                async with RawClient(address_of(gateway)) as client:
                    client.ask(chat(stream=True), headers=(("x-overspill-local-only", "true"),) if bound else ())
                    call = await home.call()
                    call.start_stream(ROLE + delta("The") + delta(" answer") + delta(" is"))
                    reply = await client.head()
                    await client.read_until(reply, b" is")
                    await home.close()
                    if not bound:
                        (await away.call()).stream(ROLE + delta(" is") + delta(" 42.") + delta(finish="stop") + DONE)
                    await client.rest(reply)
                assert said(reply.body) == ("The answer is" if bound else "The answer is 42.")
                assert (b"[DONE]" in reply.body) is not bound
                assert away.received == (seen if bound else seen + 1)

    run(main())
