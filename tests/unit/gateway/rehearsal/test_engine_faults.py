"""What the rehearsal engine does wrong when it is told to, as the lab's client sees it; and its longer answers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.gateways import MESSAGES, fake_engine
from tests.support.loops import run, until

from overspill.gateway.http.client import HttpClient
from overspill.gateway.rehearsal.engine import FakeEngine
from overspill.gateway.rehearsal.faults import (
    HTML_ERROR,
    BadEventAfterTokens,
    EndAfterTokens,
    ErrorEventAfterTokens,
    ErrorStatus,
    Fault,
    FixedBody,
    KeepaliveOnly,
    NoHead,
    SignalAfterTokens,
    SlowStart,
    StallAfterTokens,
)
from overspill.gateway.rehearsal.speech import text_of, tool_arguments
from overspill.gateway.rehearsal.witness import Sight, ask
from overspill.wire.http import HttpCall, Origin

TOOLS = [{"type": "function", "function": {"name": "rehearse", "parameters": {}}}]
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
Asking = Callable[..., Awaitable[Sight]]


async def asked(client: HttpClient, origin: Origin, patience_s: float = 20.0, **fields: Any) -> Sight:
    body = {"model": "m", "messages": MESSAGES, "max_tokens": 64, "x_output_tokens": 9, **fields}
    call = HttpCall(b"POST", b"/v1/chat/completions", (), msgspec.json.encode(body))
    return await ask(client, origin, call, is_stream=bool(fields.get("stream")), patience_s=patience_s)


def seen(*faults: Fault, patience_s: float = 20.0, **fields: Any) -> Sight:
    """Ask once an engine with these faults; see that it holds nothing afterwards."""
    sights: list[Sight] = []

    async def main() -> None:
        async with fake_engine(faults=faults) as engine:
            client = HttpClient()
            sights.append(await asked(client, engine.origin, patience_s, **fields))
            await client.close()
            await until(lambda: is_free(engine))

    run(main())
    return sights[0]


def is_free(engine: FakeEngine) -> bool:
    return engine.held == 0


@BOTH
def test_the_first_tokens_may_be_reasoning(stream: bool) -> None:
    sight = seen(stream=stream, x_reasoning_tokens=4)
    assert (sight.reasoning, sight.content) == (text_of(4), text_of(9, 4))
    assert sight.finish_reason == "stop"


@BOTH
def test_with_tools_the_answer_is_a_tool_call_and_nothing_else(stream: bool) -> None:
    sight = seen(stream=stream, tools=TOOLS)
    assert (sight.content, sight.tool_arguments) == ("", tool_arguments(9))
    assert sight.finish_reason == "tool_calls"
    assert msgspec.json.decode(sight.tool_arguments) == {"text": text_of(9)}


@BOTH
def test_reasoning_may_come_before_a_tool_call(stream: bool) -> None:
    sight = seen(stream=stream, tools=TOOLS, x_reasoning_tokens=4)
    assert (sight.reasoning, sight.tool_arguments) == (text_of(4), tool_arguments(9, 4))


def test_a_wrong_count_of_reasoning_is_refused() -> None:
    sight = seen(x_reasoning_tokens=-1)
    assert sight.status == 400
    assert sight.error is not None
    assert sight.error.param == "x_reasoning_tokens"


@BOTH
def test_a_fixed_body_comes_whatever_was_asked_for(stream: bool) -> None:
    sight = seen(FixedBody(every=1, status=500, content_type="text/html", body=HTML_ERROR), stream=stream)
    assert (sight.status, sight.headers["content-type"], sight.is_readable) == (500, "text/html", False)
    assert sight.headers["content-length"] == str(len(HTML_ERROR))


def test_an_error_may_have_a_code() -> None:
    sight = seen(ErrorStatus(every=1, status=404, code="model_not_found"))
    assert sight.error is not None
    assert (sight.status, sight.error.code) == (404, "model_not_found")


@BOTH
def test_without_a_head_nothing_comes_at_all(stream: bool) -> None:
    sight = seen(NoHead(every=1), stream=stream, patience_s=0.1)
    assert (sight.status, sight.is_ended, sight.fault) == (None, False, "")


@BOTH
def test_a_slow_start_is_followed_by_the_whole_answer(stream: bool) -> None:
    early = seen(SlowStart(every=1, seconds=5.0), stream=stream, patience_s=0.1)
    assert (early.status, early.is_ended) == (None, False)
    sight = seen(SlowStart(every=1, seconds=0.1), stream=stream)
    assert (sight.content, sight.finish_reason) == (text_of(9), "stop")
    assert sight.ttft_s is not None
    assert sight.ttft_s >= 0.1


def test_slow_starts_beside_each_other_are_answered_each_in_full() -> None:
    async def main() -> None:
        async with fake_engine(faults=(SlowStart(every=1, seconds=0.05),)) as engine:
            client = HttpClient()
            sights = await asyncio.gather(*(asked(client, engine.origin, stream=True) for _ in range(8)))
            assert [sight.content for sight in sights] == [text_of(9)] * 8
            await client.close()

    run(main())


@BOTH
def test_a_few_keep_alives_may_end_as_if_that_were_an_answer(stream: bool) -> None:
    sight = seen(KeepaliveOnly(every=1, period_s=0.001, count=3), stream=stream)
    assert (sight.status, sight.is_ended, sight.text, sight.finish_reason) == (200, True, "", None)


def test_after_a_bad_event_the_stream_goes_on() -> None:
    sight = seen(BadEventAfterTokens(every=1, tokens=3), stream=True)
    assert not sight.is_readable
    assert sight.is_ended


def test_a_bad_event_of_a_whole_body_is_one_that_is_cut_short() -> None:
    sight = seen(BadEventAfterTokens(every=1, tokens=3))
    assert (sight.status, sight.is_ended, sight.is_readable) == (200, True, False)


@BOTH
def test_an_error_under_200_ends_the_answer(stream: bool) -> None:
    sight = seen(ErrorEventAfterTokens(every=1, tokens=3), stream=stream)
    assert (sight.status, sight.is_ended, sight.finish_reason, sight.has_done) == (200, True, None, False)
    assert sight.error is not None
    assert sight.content == (text_of(3) if stream else "")


@BOTH
def test_an_answer_may_end_early_under_any_finish_reason(stream: bool) -> None:
    sight = seen(EndAfterTokens(every=1, tokens=3, finish_reason="insufficient_system_resource"), stream=stream)
    assert (sight.content, sight.finish_reason) == (text_of(3), "insufficient_system_resource")
    assert sight.has_done is stream


@BOTH
def test_an_answer_may_end_without_any_token(stream: bool) -> None:
    sight = seen(EndAfterTokens(every=1, finish_reason="stop"), stream=stream)
    assert (sight.status, sight.is_ended, sight.text, sight.finish_reason) == (200, True, "", "stop")


@pytest.mark.parametrize("has_done", [True, False])
def test_an_answer_may_end_without_a_finish_reason(has_done: bool) -> None:
    sight = seen(EndAfterTokens(every=1, tokens=3, has_done=has_done), stream=True)
    assert (sight.content, sight.finish_reason, sight.has_done, sight.is_ended) == (text_of(3), None, has_done, True)


@BOTH
def test_a_stall_behind_the_last_token_holds_the_end_back(stream: bool) -> None:
    sight = seen(StallAfterTokens(every=1, tokens=9), stream=stream, patience_s=0.1)
    assert (sight.content, sight.is_ended) == (text_of(9) if stream else "", False)


@BOTH
def test_a_fault_behind_the_end_does_not_strike(stream: bool) -> None:
    sight = seen(StallAfterTokens(every=1, tokens=10), stream=stream)
    assert (sight.content, sight.is_ended) == (text_of(9), True)


async def started(fault: SignalAfterTokens) -> tuple[asyncio.subprocess.Process, Origin]:
    config = {"engine": {"slots": 4, "step_base_s": 0.0001}, "faults": [msgspec.to_builtins(fault)]}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "overspill.gateway.rehearsal.engine", msgspec.json.encode(config).decode()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    address = msgspec.json.decode(await process.stdout.readline())["address"]
    return process, Origin(port=int(address.rpartition(":")[2]))


def test_an_engine_may_kill_itself_in_mid_answer_and_what_it_said_still_comes() -> None:
    async def main() -> None:
        process, origin = await started(SignalAfterTokens(every=1, tokens=5, signal="KILL"))
        client = HttpClient()
        sight = await asked(client, origin, stream=True)
        assert (sight.content, sight.is_ended) == (text_of(5), False)
        assert sight.fault
        assert await process.wait() == -signal.SIGKILL
        await client.close()

    run(main())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads a process's state in /proc")
def test_an_engine_may_stand_still_in_mid_answer_and_goes_on_when_it_is_told_to() -> None:
    async def main() -> None:
        process, origin = await started(SignalAfterTokens(requests=(1,), tokens=5, signal="STOP"))
        client = HttpClient()
        asking = asyncio.ensure_future(asked(client, origin, patience_s=10.0, stream=True))
        await until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        asking.cancel()
        process.send_signal(signal.SIGCONT)
        assert (await asked(client, origin, stream=True)).content == text_of(9)
        await client.close()
        process.kill()
        await process.wait()

    run(main())
