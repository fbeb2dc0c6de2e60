"""One attempt, end by end: what a target may send, and what becomes of it at the client and in the events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from tests.support.loops import run, until
from tests.support.scripted_upstream import DONE, JSON, ROLE, SSE, STREAM, Call, delta, event, scripted, usage

from overspill.core.commands import StartAttempt
from overspill.core.events import AnyEvent, Failed, Finished, FirstToken, Progress, Queued
from overspill.core.types import FailureKind, Patience, Surface
from overspill.gateway.http.client import HttpClient
from overspill.gateway.live_target import LiveEngine, LiveUpstream
from overspill.gateway.pace import outlasts
from overspill.gateway.relay import Relay
from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.upstreams.openai_compat import OpenAICompatible
from overspill.pools.upstreams.protocol import Account
from overspill.wire.chat import parse_request
from overspill.wire.http import Origin

K = FailureKind


class Sink:
    """The session's side: keeps what is forwarded."""

    def __init__(self) -> None:
        self.commits = 0
        self.sent = b""
        self.is_slow = False
        self.passage: Callable[[bytes], None] | None = None

    def commit(self, relay: Relay) -> None:
        assert not self.sent
        self.commits += 1

    def forward(self, raw: bytes) -> None:
        assert self.commits == 1
        self.sent += raw


class Reporter:
    """The driver's side: keeps what is told; its clock counts the questions."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self._time_s = 0.0

    def feed(self, event: AnyEvent) -> None:
        self.events.append(event)

    def now(self) -> float:
        self._time_s += 1.0
        return self._time_s


class Stage:
    """A relay between a scripted target and a listening test."""

    def __init__(self, relay: Relay, sink: Sink, reporter: Reporter, call: Call) -> None:
        self.relay = relay
        self.sink = sink
        self.reporter = reporter
        self.call = call

    @property
    def events(self) -> list[AnyEvent]:
        return self.reporter.events

    async def end(self) -> Finished | Failed:
        await until(lambda: self.relay.is_over)
        last = self.events[-1]
        assert isinstance(last, Finished | Failed)
        assert sum(isinstance(e, Finished | Failed) for e in self.events) == 1
        return last


class StreamsOnly(AttachedServer):
    """An engine like llama.cpp: it is always asked for a stream."""

    cancels_only_streams = True


def staged(
    scenario: Callable[[Stage], Awaitable[None]],
    *,
    stream: bool = True,
    streams_only: bool = False,
    streams_whole: bool = True,
    surface: Surface = Surface.CHAT,
    model: str = "there",
    **fields: object,
) -> None:
    async def main() -> None:
        async with scripted() as target:
            client = HttpClient()
            origin = Origin(port=target.port, prefix=b"/v1")
            account = Account(account_id="a", origin=origin, api_key="sk-1")
            live = (
                LiveEngine("e/0", StreamsOnly(), Origin(port=target.port), "")
                if streams_only
                else LiveUpstream("u/a", OpenAICompatible(), account, streams_whole=streams_whole)
            )
            prompt = {"messages": [{"role": "user", "content": "hi"}]} if surface is Surface.CHAT else {"input": "hi"}
            body = {"model": "here", "stream": stream, **prompt, **fields}
            request = parse_request(surface.value, msgspec.json.encode(body))
            command = StartAttempt(request_id="r", attempt_id=7, target_id="u/a", model=model)
            sink, reporter = Sink(), Reporter()
            relay = Relay(command, live, surface, request, sink, reporter)
            relay.start(client, request)
            try:
                await scenario(Stage(relay, sink, reporter, await target.call()))
            finally:
                await client.close()

    run(main())


# -- what is asked of the target


def test_a_stream_is_asked_for_under_the_target_s_name_and_always_with_usage() -> None:
    async def scenario(stage: Stage) -> None:
        asked = stage.call.json()
        assert asked["model"] == "there"
        assert asked["stream"] is True
        assert asked["stream_options"] == {"include_usage": True}
        assert asked["temperature"] == 0.5
        assert "authorization: Bearer sk-1\r\n" in stage.call.head

    staged(scenario, temperature=0.5)


def test_without_a_name_in_the_route_the_client_s_own_is_sent() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.json()["model"] == "here"
        assert stage.relay.model == "here"

    staged(scenario, model="")


def test_a_client_that_wants_one_body_is_served_by_a_stream_too() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.json()["stream"] is True
        assert stage.call.json()["stream_options"] == {"include_usage": True}

    staged(scenario, stream=False)


@pytest.mark.parametrize("said", [{"content": "x", "reasoning": "hm"}, {"content": "<think>hm</think>x"}])
def test_the_thought_of_a_whole_answer_comes_out_in_its_place(said: dict[str, str]) -> None:
    async def scenario(stage: Stage) -> None:
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        stage.call.reply(200, {"model": "m-1", "choices": [choice], "usage": {"completion_tokens": 2}})
        assert isinstance(await stage.end(), Finished)
        message = json.loads(stage.relay.body())["choices"][0]["message"]
        assert message == {"content": "x", "reasoning_content": "hm"}
        assert stage.relay.answered_model == "m-1"

    staged(scenario, stream=False, streams_whole=False)


def test_log_probabilities_beside_tools_are_asked_for_in_one_body() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.json()["stream"] is False
        stage.call.reply(200, WHOLE)
        assert isinstance(await stage.end(), Finished)

    staged(scenario, stream=False, logprobs=True, tools=[{"type": "function", "function": {"name": "f"}}])


def test_a_target_that_cannot_stream_is_asked_for_one_body() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.json()["stream"] is False
        assert "stream_options" not in stage.call.json()

    staged(scenario, stream=False, streams_whole=False)


def test_embeddings_are_never_streamed() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.head.startswith("POST /v1/embeddings ")
        assert "stream" not in stage.call.json()
        stage.call.reply(200, {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}})
        ended = await stage.end()
        assert ended == Finished(attempt_id=7, prompt_tokens=3)

    async def embeddings() -> None:
        async with scripted() as target:
            client = HttpClient()
            request = parse_request("embeddings", b'{"model": "e", "input": "hi"}')
            live = LiveEngine("e/0", StreamsOnly(), Origin(port=target.port), "")
            sink, reporter = Sink(), Reporter()
            command = StartAttempt(request_id="r", attempt_id=7, target_id="e/0", model="e")
            relay = Relay(command, live, Surface.EMBEDDINGS, request, sink, reporter)
            relay.start(client, request)
            try:
                await scenario(Stage(relay, sink, reporter, await target.call()))
            finally:
                await client.close()

    run(embeddings())


# -- whole streams


def test_a_whole_stream_is_forwarded_byte_for_byte_and_told_once() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(STREAM + usage(9, 2, 4) + DONE)
        assert await stage.end() == Finished(attempt_id=7, prompt_tokens=9, cached_tokens=4, output_tokens=2)
        assert stage.events[0] == FirstToken(attempt_id=7)
        assert stage.sink.sent == STREAM + usage(9, 2, 4)
        assert stage.relay.tail() == DONE
        assert stage.relay.is_whole

    staged(scenario, stream_options={"include_usage": True})


def test_usage_that_the_client_did_not_ask_for_is_read_and_left_out() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(STREAM + usage(9, 2) + DONE)
        ended = await stage.end()
        assert isinstance(ended, Finished)
        assert ended.output_tokens == 2
        assert stage.sink.sent == STREAM

    staged(scenario)


def test_an_event_without_choices_that_is_no_usage_is_forwarded() -> None:
    filtered = event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})

    async def scenario(stage: Stage) -> None:
        stage.call.stream(filtered + STREAM + DONE)
        await stage.end()
        assert stage.sink.sent == filtered + STREAM

    staged(scenario)


def test_a_stream_without_done_is_whole_and_no_done_is_made_up() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(STREAM)
        assert isinstance(await stage.end(), Finished)
        assert stage.relay.tail() == b""

    staged(scenario)


def test_tokens_are_counted_where_the_target_reports_none() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(STREAM + DONE)
        assert await stage.end() == Finished(attempt_id=7, output_tokens=2)

    staged(scenario)


def test_progress_is_told_now_and_then() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(b"".join(delta(f"{n}") for n in range(70)))
        await until(lambda: stage.relay.tokens == 70)
        stage.relay.look_for_progress(100.0)
        stage.relay.look_for_progress(101.0)
        assert [e for e in stage.events if isinstance(e, Progress)] == [Progress(attempt_id=7, output_tokens=70)]
        assert stage.relay.heard_at == 100.0

    staged(scenario)


def test_an_answer_of_no_visible_token_that_was_billed_is_an_answer() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(ROLE + delta(finish="stop") + usage(5, 1) + DONE)
        assert isinstance(await stage.end(), Finished)
        assert stage.sink.sent == ROLE + delta(finish="stop")

    staged(scenario)


def test_roles_and_comments_are_no_progress_and_commit_nothing() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(b": keep-alive\n\n" + ROLE + delta("") + b"data:\n\n")
        await until(lambda: stage.relay.status == 200 and stage.relay._held)
        assert stage.sink.commits == 0
        assert stage.events == [Queued(attempt_id=7)]
        heard_at = stage.relay.heard_at
        stage.call.chunk(delta("x"))
        await until(lambda: stage.sink.commits)
        assert stage.sink.sent == ROLE + delta("") + delta("x")
        assert stage.relay.heard_at > heard_at

    staged(scenario)


def test_a_comment_after_the_first_token_keeps_the_client_s_connection_alive_too() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(delta("x") + b": ping\n\n")
        await until(lambda: stage.sink.sent.endswith(b": ping\n\n"))
        assert [type(e) for e in stage.events] == [FirstToken]

    staged(scenario)


def test_what_comes_after_done_is_ignored() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(STREAM + DONE + delta("more") + event({"error": {"message": "late"}}))
        assert isinstance(await stage.end(), Finished)
        await stage.call.drained()
        assert stage.sink.sent == STREAM

    staged(scenario)


def test_any_chunk_boundary_gives_the_same_answer() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream()
        whole = STREAM + usage(9, 2) + DONE
        for at in range(len(whole)):
            stage.call.chunk(whole[at : at + 1])
            if at % 64 == 0:
                await asyncio.sleep(0)
        stage.call.end_stream()
        assert await stage.end() == Finished(attempt_id=7, prompt_tokens=9, cached_tokens=0, output_tokens=2)
        assert stage.sink.sent == STREAM

    staged(scenario)


# -- streams that fail


STREAM_FAILURES: dict[str, tuple[bytes, FailureKind, int]] = {
    "no finish reason": (ROLE + delta("x") + DONE, K.CUT, 1),
    "no finish reason and no token": (ROLE + DONE, K.CUT, 0),
    "nothing at all": (b"", K.CUT, 0),
    "only keep-alives": (b": keep-alive\n\n" * 3, K.CUT, 0),
    "an end without a token": (ROLE + delta(finish="stop") + usage(5, 0) + DONE, K.HOLLOW, 0),
    "an error first": (event({"error": {"message": "busy", "code": "overloaded_error"}}), K.OVERLOADED, 0),
    "an error after tokens": (delta("x") + event({"error": {"message": "oops", "code": 500}}), K.SERVER_ERROR, 1),
    "out of resources": (ROLE + delta(finish="insufficient_system_resource") + DONE, K.OVERLOADED, 0),
    "out of resources midway": (delta("x") + delta(finish="insufficient_system_resource"), K.OVERLOADED, 1),
    "no JSON": (ROLE + b"data: {oops\n\n", K.MALFORMED, 0),
    "no JSON after tokens": (delta("x") + b"data: <html>\n\n", K.MALFORMED, 1),
    "an event that never ends": (b"data: " + b"x" * (4 * 1024**2 + 9), K.MALFORMED, 0),
    "a megabyte of nothing": (ROLE * 9000, K.MALFORMED, 0),
}


@pytest.mark.parametrize(("body", "kind", "reached"), STREAM_FAILURES.values(), ids=STREAM_FAILURES.keys())
def test_a_stream_that_is_no_answer_fails(body: bytes, kind: FailureKind, reached: int) -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.stream(body)
        ended = await stage.end()
        assert isinstance(ended, Failed)
        assert (ended.kind, ended.output_tokens, ended.status) == (kind, reached, 200)
        assert not stage.relay.is_whole
        assert bool(stage.sink.commits) is bool(reached)

    staged(scenario)


def test_a_connection_cut_midway_fails_the_attempt_with_what_reached_the_client() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(ROLE + delta("x") + delta("y"))
        await until(lambda: stage.relay.tokens == 2)
        stage.call.cut()
        assert await stage.end() == Failed(attempt_id=7, kind=K.CUT, status=200, output_tokens=2)
        assert stage.sink.sent == ROLE + delta("x") + delta("y")

    staged(scenario)


def test_half_an_event_is_not_forwarded() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(delta("x") + delta("y")[:-10])
        await until(lambda: stage.relay.tokens == 1)
        stage.call.cut()
        await stage.end()
        assert stage.sink.sent == delta("x")

    staged(scenario)


def test_a_connection_closed_without_an_answer_fails_the_attempt() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.cut()
        assert await stage.end() == Failed(attempt_id=7, kind=K.CUT)

    staged(scenario)


def test_a_target_without_progress_is_given_up_and_its_connection_closed() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(ROLE)
        stage.relay.expire()
        assert await stage.end() == Failed(attempt_id=7, kind=K.TIMEOUT)
        await stage.call.gone()
        stage.relay.expire()
        assert len(stage.events) == 1
        assert not outlasts(stage.relay, Patience(first_token_s=0.0), stage.reporter.now() + 1.0)

    staged(scenario)


def test_nothing_is_told_after_a_cancel_and_the_target_hears_of_it_at_once() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(delta("x"))
        await until(lambda: stage.relay.tokens)
        stage.relay.cancel()
        await stage.call.gone()
        stage.relay.expire()
        assert stage.events == [FirstToken(attempt_id=7)]
        assert stage.relay.failure is None
        assert not stage.relay.is_whole
        assert stage.relay.ended_at is not None

    staged(scenario)


# -- answers that are no stream


WHOLE = {
    "id": "c",
    "choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 1},
}
HTML = b"<html><title>502 Bad Gateway</title></html>"
WHOLE_FAILURES: dict[str, tuple[int, bytes, FailureKind]] = {
    "blank": (200, b"  \n\n ", K.HOLLOW),
    "empty": (200, b"", K.HOLLOW),
    "HTML under 200": (200, HTML, K.SERVER_ERROR),
    "no JSON": (200, b'{"choices": [', K.MALFORMED),
    "no answer": (200, b'{"hello": "world"}', K.HOLLOW),
    "no content": (200, b'{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}', K.HOLLOW),
    "no finish reason": (200, b'{"choices":[{"message":{"content":"x"},"finish_reason":null}]}', K.CUT),
    "no choices": (200, b'{"choices":[],"usage":{"completion_tokens":3}}', K.HOLLOW),
    "an error under 200": (200, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', K.RATE_LIMITED),
    "out of resources": (
        200,
        b'{"choices":[{"message":{"content":"x"},"finish_reason":"insufficient_system_resource"}]}',
        K.OVERLOADED,
    ),
    "201": (201, b"{}", K.MALFORMED),
    "204": (204, b"", K.HOLLOW),
    "a redirect": (302, b"", K.SERVER_ERROR),
    "400": (400, b'{"error":{"message":"bad n"}}', K.BAD_REQUEST),
    "400 too long": (400, b'{"error":{"message":"x","code":"context_length_exceeded"}}', K.CONTEXT_TOO_LONG),
    "401": (401, b'{"error":{"message":"no"}}', K.BAD_KEY),
    "402": (402, b'{"error":{"message":"pay"}}', K.NO_MONEY),
    "404": (404, b'{"error":{"message":"no such model"}}', K.NO_MODEL),
    "429": (429, b'{"error":{"message":"slow"}}', K.RATE_LIMITED),
    "500": (500, HTML, K.SERVER_ERROR),
    "503": (503, b"", K.OVERLOADED),
    "529": (529, b"", K.OVERLOADED),
}


@pytest.mark.parametrize(("status", "body", "kind"), WHOLE_FAILURES.values(), ids=WHOLE_FAILURES.keys())
def test_an_answer_that_is_none_is_classified(status: int, body: bytes, kind: FailureKind) -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.reply(status, body, "" if status == 204 else JSON)
        assert await stage.end() == Failed(attempt_id=7, kind=kind, status=status)
        assert stage.sink.commits == 0

    staged(scenario, stream=False)


STREAM_REFUSALS = {
    name: WHOLE_FAILURES[name] for name in ("blank", "HTML under 200", "an error under 200", "400", "402", "429", "503")
}


@pytest.mark.parametrize(("status", "body", "kind"), STREAM_REFUSALS.values(), ids=STREAM_REFUSALS.keys())
def test_an_error_instead_of_a_stream_is_classified(status: int, body: bytes, kind: FailureKind) -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.reply(status, body)
        assert await stage.end() == Failed(attempt_id=7, kind=kind, status=status)
        assert stage.sink.commits == 0

    staged(scenario)


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_answer_without_a_token_is_whole_where_none_was_allowed(is_stream: bool) -> None:
    async def scenario(stage: Stage) -> None:
        if is_stream:
            stage.call.stream(ROLE + delta(finish="length") + usage(5, 0) + DONE)
        else:
            body = b'{"choices":[{"message":{"content":""},"finish_reason":"length"}],"usage":{"completion_tokens":0}}'
            stage.call.reply(200, body, JSON)
        ended = await stage.end()
        assert isinstance(ended, Finished), ended

    staged(scenario, stream=is_stream, streams_whole=False, max_tokens=0)


def test_a_whole_answer_instead_of_a_stream_is_malformed() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.reply(200, WHOLE)
        assert await stage.end() == Failed(attempt_id=7, kind=K.MALFORMED, status=200)

    staged(scenario)


def test_a_whole_body_is_kept_as_it_came() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.reply(200, b" " + msgspec.json.encode(WHOLE))
        assert await stage.end() == Finished(attempt_id=7, prompt_tokens=4, output_tokens=1)
        assert stage.relay.body() == b" " + msgspec.json.encode(WHOLE)
        assert stage.relay.finish_reason == "stop"
        assert stage.sink.commits == 0

    staged(scenario, stream=False)


def test_what_an_error_asks_for_and_says_is_kept() -> None:
    async def scenario(stage: Stage) -> None:
        body = {"error": {"message": "n must be 1", "type": "invalid_request_error", "param": "n", "code": "bad_n"}}
        stage.call.reply(400, body, JSON + "retry-after: 7\r\n")
        ended = await stage.end()
        assert isinstance(ended, Failed)
        assert ended.retry_after_s == 7.0
        error = stage.relay.error
        assert error is not None
        assert (error.message, error.code, error.param) == ("n must be 1", "bad_n", "n")

    staged(scenario)


def test_a_large_error_body_is_cut_and_still_classified() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.reply(429, b'{"error":{"message":"slow ' + b"x" * 200_000 + b'"}}')
        ended = await stage.end()
        assert isinstance(ended, Failed)
        assert ended.kind is K.RATE_LIMITED
        assert len(stage.relay.body()) == 64 * 1024

    staged(scenario)


@pytest.mark.parametrize(("piece", "kind"), [(b"x" * 2**20, K.MALFORMED), (b" " * 2**20, K.HOLLOW)])
def test_an_answer_larger_than_any_is_given_up(piece: bytes, kind: K) -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.send(f"HTTP/1.1 200 OK\r\n{JSON}content-length: {2**40}\r\n\r\n".encode())
        while not stage.relay.is_over:
            stage.call.send(piece)
            await stage.call.drained()
        ended = await stage.end()
        assert isinstance(ended, Failed)
        assert ended.kind is kind
        await stage.call.gone()

    staged(scenario, stream=False)


# -- a stream for a client that wants one body


def test_a_stream_is_put_together_for_a_client_that_wants_one_body() -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.call.json()["stream"] is True
        stage.call.stream(STREAM + usage(9, 2) + DONE)
        assert await stage.end() == Finished(attempt_id=7, prompt_tokens=9, cached_tokens=0, output_tokens=2)
        body = msgspec.json.decode(stage.relay.body())
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
        assert body["usage"]["prompt_tokens"] == 9
        assert stage.events[0] == FirstToken(attempt_id=7)
        assert stage.sink.commits == 0

    staged(scenario, stream=False, streams_only=True)


def test_such_a_stream_that_breaks_has_not_reached_the_client() -> None:
    async def scenario(stage: Stage) -> None:
        stage.call.start_stream(delta("x"))
        await until(lambda: stage.relay.tokens)
        stage.call.cut()
        assert await stage.end() == Failed(attempt_id=7, kind=K.CUT, status=200, output_tokens=0)

    staged(scenario, stream=False, streams_only=True)


def test_a_chunk_that_cannot_be_put_together_is_malformed() -> None:
    async def scenario(stage: Stage) -> None:
        odd = event({"choices": [{"index": "first", "delta": {"content": "x"}}]})
        stage.call.stream(odd + DONE)
        ended = await stage.end()
        assert isinstance(ended, Failed)
        assert ended.kind is K.MALFORMED

    staged(scenario, stream=False, streams_only=True)


# -- a client that reads slowly


def test_a_slow_client_pauses_the_target_and_a_resume_reads_on() -> None:
    async def scenario(stage: Stage) -> None:
        stage.sink.is_slow = True
        stage.call.start_stream(delta("x"))
        await until(lambda: stage.relay.is_paused)
        stage.call.chunk(delta("y"))
        await stage.call.drained()
        for _ in range(20):
            await asyncio.sleep(0)
        assert stage.relay.tokens == 1
        stage.sink.is_slow = False
        heard_at = stage.relay.heard_at
        stage.relay.resume()
        assert stage.relay.heard_at > heard_at
        stage.call.end_stream(delta(finish="stop") + DONE)
        assert isinstance(await stage.end(), Finished)
        assert stage.relay.tokens == 2

    staged(scenario)


def test_before_the_first_token_a_target_is_not_paused() -> None:
    async def scenario(stage: Stage) -> None:
        stage.sink.is_slow = True  # the connection still holds the answer to an earlier request
        stage.call.start_stream(ROLE)
        await until(lambda: stage.relay._held)
        assert not stage.relay.is_paused
        stage.call.end_stream(delta("x") + delta(finish="stop") + DONE)
        assert isinstance(await stage.end(), Finished)

    staged(scenario)


def test_a_content_type_with_parameters_is_a_stream_too() -> None:
    async def scenario(stage: Stage) -> None:
        body = STREAM + DONE
        stage.call.reply(200, body, SSE.replace("stream\r", "stream; charset=utf-8\r"))
        assert isinstance(await stage.end(), Finished)
        assert stage.sink.sent == STREAM

    staged(scenario)
