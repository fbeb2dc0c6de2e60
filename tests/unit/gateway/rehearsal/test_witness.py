"""The lab's client over a real socket: it tells what came, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.loops import run
from tests.support.scripted_upstream import DONE, SSE, Call, delta, event, scripted

from overspill.gateway.http.client import HttpClient
from overspill.gateway.rehearsal.witness import Sight, Witness, ask
from overspill.wire.http import HttpCall, Origin

POST = HttpCall(b"POST", b"/v1/chat/completions", (), b"{}")


def seen(play: Callable[[Call], None], *, is_stream: bool = True, patience_s: float = 20.0) -> Sight:
    sights: list[Sight] = []

    async def main() -> None:
        async with scripted() as target:
            client = HttpClient()
            origin = Origin(port=target.port)
            asking = asyncio.ensure_future(ask(client, origin, POST, is_stream=is_stream, patience_s=patience_s))
            play(await target.call())
            sights.append(await asking)
            await client.close()

    run(main())
    return sights[0]


def test_the_parts_of_a_stream_are_put_together_each_for_itself() -> None:
    def play(call: Call) -> None:
        call.start_stream(b": keep-alive\n\n" + delta("", role="assistant") + delta(None, reasoning_content="Hm"))
        call.chunk(delta("Hel") + delta("lo"))
        call.chunk(delta(tool_calls=[{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]))
        call.chunk(delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]))
        call.end_stream(delta(finish="stop") + DONE)

    sight = seen(play)
    assert (sight.status, sight.finish_reason, sight.has_done, sight.is_ended) == (200, "stop", True, True)
    assert (sight.reasoning, sight.content, sight.tool_arguments) == ("Hm", "Hello", "{}")
    assert sight.ttft_s is not None
    assert sight.total_s >= sight.ttft_s > 0
    assert sight.error is None


def test_a_body_s_parts_are_found_too() -> None:
    message = {"content": "x", "reasoning_content": "y", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
    sight = seen(lambda call: call.reply(200, whole), is_stream=False)
    assert (sight.content, sight.reasoning, sight.tool_arguments, sight.finish_reason) == ("x", "y", "{}", "stop")
    text = seen(lambda call: call.reply(200, {"choices": [{"text": "x", "finish_reason": "stop"}]}), is_stream=False)
    assert text.content == "x"


def test_heartbeats_before_a_body_do_not_hurt() -> None:
    whole = b'\n\n\n{"choices":[{"text":"x","finish_reason":"stop"}]}'
    sight = seen(lambda call: call.reply(200, whole), is_stream=False)
    assert sight.content == "x"


def test_signs_of_life_are_counted_until_something_else_comes() -> None:
    def play(call: Call) -> None:
        call.start_stream(b": keep-alive\n\n: keep-alive\n\n")
        call.chunk(delta("", role="assistant") + b": one more\n\n" + delta("x") + b": too late\n\n")
        call.end_stream(delta(finish="stop") + DONE)

    assert seen(play).signs_of_life == 3


def test_white_space_before_a_body_is_a_sign_of_life() -> None:
    sights: list[Sight] = []

    async def main() -> None:
        witness = Witness(is_stream=False)
        witness.on_head(200, [(b"content-type", b"application/json")])
        for piece in (b"\n", b"\n", b'{"choices":[{"text":"x",', b'\n"finish_reason":"stop"}]}'):
            witness.on_body(piece)
        witness.on_end()
        sights.append(witness.sight)

    run(main())
    assert (sights[0].signs_of_life, sights[0].content, sights[0].finish_reason) == (2, "x", "stop")


def test_an_error_is_seen_as_a_body_and_as_an_event() -> None:
    error = {"error": {"message": "busy", "code": "c"}}
    refused = seen(lambda call: call.reply(503, error, "content-type: application/json\r\nretry-after: 7\r\n"))
    assert refused.error is not None
    assert (refused.status, refused.error.message, refused.headers["retry-after"]) == (503, "busy", "7")
    broken = seen(lambda call: call.stream(delta("x") + event(error)))
    assert broken.error is not None
    assert (broken.status, broken.error.code, broken.content, broken.has_done) == (200, "c", "x", False)


def test_what_cannot_be_read_is_said_to_be_unreadable() -> None:
    assert not seen(lambda call: call.stream(b"data: {oops\n\n")).is_readable
    assert not seen(lambda call: call.reply(200, b"<html>")).is_readable
    assert not seen(lambda call: call.reply(200, b"  \n")).is_readable


def test_a_cut_is_no_end_and_a_hang_is_left_in_time() -> None:
    def cut(call: Call) -> None:
        call.start_stream(delta("x"))
        call.cut()

    sight = seen(cut)
    assert not sight.is_ended
    assert sight.fault
    hanging = seen(lambda call: call.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode()), patience_s=0.05)
    assert (hanging.status, hanging.is_ended, hanging.fault) == (200, False, "")
