"""The trace player against real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.server import serve
from overspill.gateway.rehearsal.engine import EngineConfig, FakeEngine
from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus, StallAfterTokens
from overspill.gateway.rehearsal.load import LoadOptions, play, prompt_text
from overspill.gateway.rehearsal.speech import text_of
from overspill.gateway.rehearsal.summary import RequestResult, summarise
from overspill.perf.engine_model import EngineModel
from overspill.planner.workload import TraceRequest
from overspill.wire.http import Origin
from overspill.wire.tokens import estimate_tokens

FAST = EngineModel(slots=8, step_base_s=1e-4)
OPTIONS = LoadOptions(model="any", keeps_text=True)


def with_engine(use: Callable[[FakeEngine], Awaitable[None]], **config: Any) -> None:
    async def scene() -> None:
        engine = FakeEngine(EngineConfig(**{"engine": FAST, **config}))
        await engine.listen()
        try:
            await use(engine)
        finally:
            await engine.close()

    asyncio.run(scene())


def played_against(handler: Callable[[Exchange], None], options: LoadOptions = OPTIONS) -> RequestResult:
    """Send one request to a handler and return what the player made of it."""

    async def scene() -> RequestResult:
        server = await serve(handler)
        host, _, port = server.addresses[0].partition(":")
        try:
            return (await play(Origin(host=host, port=int(port)), [TraceRequest(0, 5, 5)], options))[0]
        finally:
            await server.close()

    return asyncio.run(scene())


def test_every_request_of_a_trace_is_sent_and_measured() -> None:
    async def use(engine: FakeEngine) -> None:
        trace = [TraceRequest(0.002 * (index // 4), 20 + index, 1 + index % 7) for index in range(60)]
        heard: list[RequestResult] = []
        results = await play(engine.origin, trace, OPTIONS, on_result=heard.append)
        assert [result.index for result in results] == list(range(60))
        assert sorted(result.index for result in heard) == list(range(60))
        assert engine.received == 60
        for result, planned in zip(results, trace, strict=True):
            assert (result.status, result.error, result.finish_reason) == (200, None, "length")
            assert (result.output_tokens, result.text) == (planned.output_tokens, text_of(planned.output_tokens))
            assert result.sent_s >= planned.at_s
            assert result.ttft_s is not None
            assert 0 < result.ttft_s <= result.e2e_s
        summary = summarise(results, slo_ttft_s=60)
        assert (summary.answered, summary.refused, summary.failed, summary.slo_met) == (60, {}, {}, 1.0)

    with_engine(use)


def test_an_unordered_trace_is_sent_in_order_of_time_and_reported_as_given() -> None:
    async def use(engine: FakeEngine) -> None:
        results = await play(engine.origin, [TraceRequest(0.03, 9, 1), TraceRequest(0.0, 9, 2)], OPTIONS)
        assert [result.output_tokens for result in results] == [1, 2]
        assert results[1].sent_s < results[0].sent_s

    with_engine(use)


def test_an_empty_trace_is_over_at_once() -> None:
    async def use(engine: FakeEngine) -> None:
        assert await play(engine.origin, [], OPTIONS) == []

    with_engine(use)


def test_refused_cut_and_stalled_requests_are_told_apart() -> None:
    async def use(engine: FakeEngine) -> None:
        options = LoadOptions(model="any", timeout_s=0.5)
        results = [(await play(engine.origin, [TraceRequest(0.0, 9, 9)], options))[0] for _ in range(4)]
        assert [result.error for result in results] == [None, "status", "cut", "timeout"]
        assert [result.status for result in results] == [200, 429, 200, 200]
        assert [result.output_tokens for result in results] == [9, 0, 3, 4]
        assert "this error was rehearsed" in results[1].message
        assert "within 0.5 s" in results[3].message
        assert results[0].text is None

    with_engine(
        use,
        faults=(
            ErrorStatus(status=429, requests=(2,)),
            CutAfterTokens(tokens=3, requests=(3,)),
            StallAfterTokens(tokens=4, requests=(4,)),
        ),
    )


def test_what_would_be_too_many_at_once_is_not_sent() -> None:
    async def use(engine: FakeEngine) -> None:
        options = LoadOptions(model="any", max_open=3, timeout_s=0.3)
        results = await play(engine.origin, [TraceRequest(0.0, 9, 9) for _ in range(5)], options)
        assert [result.error for result in results] == ["timeout"] * 3 + ["not_sent"] * 2
        assert engine.received == 3

    with_engine(use, engine=EngineModel(slots=1, step_base_s=1e6))


def test_a_server_that_is_not_there_is_a_failure_of_each_request() -> None:
    results = asyncio.run(play(Origin(host="127.0.0.1", port=1), [TraceRequest(0, 5, 5)] * 2, OPTIONS))
    assert [(result.status, result.error) for result in results] == [(None, "refused")] * 2


def test_stopping_a_play_cancels_its_requests() -> None:
    async def use(engine: FakeEngine) -> None:
        trace = [TraceRequest(0.0, 9, 9), TraceRequest(1000.0, 9, 9)]
        task = asyncio.create_task(play(engine.origin, trace, OPTIONS))
        async with asyncio.timeout(20):
            while engine.held == 0:  # noqa: ASYNC110
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while engine.held:  # noqa: ASYNC110
                await asyncio.sleep(0)

    with_engine(use, engine=EngineModel(slots=1, step_base_s=1e6))


def stream(*events: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Callable[[Exchange], None]:
    def handler(exchange: Exchange) -> None:
        exchange.start(200, ((b"content-type", b"text/event-stream"), *headers), length=None)
        exchange.write("".join(f"data: {event}\n\n" for event in events).encode())
        exchange.finish()

    return handler


TOKEN = '{"choices":[{"delta":{"content":"hello"},"finish_reason":null}]}'
END = '{"choices":[{"delta":{},"finish_reason":"stop"}]}'


def test_target_and_reason_are_read_from_the_gateways_headers() -> None:
    headers = ((b"x-overspill-target", b"cloud/0"), (b"x-overspill-reason", b"local_full"))
    result = played_against(stream(TOKEN, END, "[DONE]", headers=headers))
    assert (result.target, result.reason, result.text) == ("cloud/0", "local_full", "hello")


def test_a_role_is_no_first_token() -> None:
    role = '{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
    result = played_against(stream(role, END, "[DONE]"))
    assert (result.error, result.ttft_s, result.output_tokens) == (None, None, 0)


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ((TOKEN, END), None),
        ((TOKEN,), "cut"),
        ((TOKEN, "[DONE]"), "cut"),
        ((TOKEN, '{"error":{"message":"broke"}}', TOKEN), "error_event"),
        ((TOKEN, "{"), "malformed"),
        (('{"choices":[{"delta":{"content":[1]}}]}',), "malformed"),
        ((TOKEN, END, "[DONE]", "{"), None),
    ],
)
def test_a_stream_is_whole_only_with_a_finish_reason_and_no_error(events: tuple[str, ...], error: str | None) -> None:
    result = played_against(stream(*events))
    assert result.error == error


def test_a_long_error_body_is_not_collected_without_end() -> None:
    result = played_against(lambda exchange: exchange.reply(500, (), b"x" * 1_000_000))
    assert (result.error, result.status, len(result.message)) == ("status", 500, 64 * 1024)


def test_key_and_further_fields_are_sent() -> None:
    seen: list[tuple[bytes | None, bytes]] = []

    def handler(exchange: Exchange) -> None:
        seen.append((exchange.request.header(b"authorization"), exchange.request.body))
        exchange.reply(503, (), b"")

    played_against(handler, LoadOptions(model="m", api_key="secret", fields={"ignore_eos": True}))
    assert seen[0][0] == b"Bearer secret"
    assert b'"ignore_eos":true' in seen[0][1]
    assert b'"max_tokens":5' in seen[0][1]


@pytest.mark.parametrize("tokens", [10, 11, 100, 1155, 5000])
def test_prompts_have_the_length_that_was_asked_for(tokens: int) -> None:
    text = prompt_text(7, tokens)
    raw = ('[{"role":"user","content":"' + text + '"}]').encode()
    assert estimate_tokens(raw) == pytest.approx(tokens, abs=1)


def test_prompts_differ_from_their_first_word_and_are_the_same_in_every_run() -> None:
    assert prompt_text(3, 50) == prompt_text(3, 50)
    assert len({prompt_text(number, 50).split()[0] for number in range(100)}) == 100
    assert prompt_text(3, 1)
