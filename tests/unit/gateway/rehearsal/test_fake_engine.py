"""The fake engine over real sockets: what it says, what it refuses, what it frees, and its rehearsed faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.rehearsal.engine import BUSY_TEXT, EngineConfig, FakeEngine
from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus, Fault, KeepaliveOnly, StallAfterTokens
from overspill.gateway.rehearsal.speech import text_of
from overspill.perf.engine_model import EngineModel
from overspill.wire.http import HttpCall
from overspill.wire.sse import SseDecoder

FAST = EngineModel(slots=4, step_base_s=1e-4)
NEVER = EngineModel(slots=4, step_base_s=1e6)
MESSAGES = [{"role": "user", "content": "hello"}]


class Reply:
    """Collects one response."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.fault: TransportFault | None = None
        self.is_begun = asyncio.Event()
        self.is_over = asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.headers = dict(headers)

    def on_body(self, data: bytes) -> None:
        self.body += data
        self.is_begun.set()

    def on_end(self) -> None:
        self.is_over.set()

    def on_fault(self, fault: TransportFault) -> None:
        self.fault = fault
        self.is_over.set()

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def chunks(self) -> list[Any]:
        """Return the stream's events, ``[DONE]`` as the last one's text and comments as ``None``."""
        events = SseDecoder().feed(self.body)
        return [
            event.data and (event.data.decode() if event.data == b"[DONE]" else msgspec.json.decode(event.data))
            for event in events
        ]


class Caller:
    """An engine with a client beside it."""

    def __init__(self, engine: FakeEngine, client: HttpClient) -> None:
        self.engine = engine
        self.client = client

    def send(self, method: str, path: str, body: object = None, key: str | None = None) -> tuple[Reply, Any]:
        reply = Reply()
        headers = () if key is None else ((b"authorization", b"Bearer " + key.encode()),)
        raw = b"" if body is None else msgspec.json.encode(body)
        return reply, self.client.request(
            self.engine.origin, HttpCall(method.encode(), path.encode(), headers, raw), reply
        )

    async def ask(self, method: str, path: str, body: object = None, key: str | None = None) -> Reply:
        reply, _ = self.send(method, path, body, key)
        async with asyncio.timeout(20):
            await reply.is_over.wait()
        return reply

    async def chat(self, **fields: Any) -> Reply:
        return await self.ask("POST", "/v1/chat/completions", {"model": "any", "messages": MESSAGES, **fields})

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let the loop turn until something has become true."""
        async with asyncio.timeout(20):
            while not is_true():  # noqa: ASYNC110 - it is true of another object, which has no event for it
                await asyncio.sleep(0)


def with_engine(use: Callable[[Caller], Awaitable[None]], **config: Any) -> None:
    async def scene() -> None:
        engine = FakeEngine(EngineConfig(**{"engine": FAST, **config}))
        await engine.listen()
        client = HttpClient()
        try:
            await use(Caller(engine, client))
        finally:
            await client.close()
            await engine.close()

    asyncio.run(scene())


def content_of(chunks: list[Any]) -> str:
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if isinstance(chunk, dict) and chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


def test_a_stream_has_a_role_then_every_token_once_then_its_end() -> None:
    async def use(caller: Caller) -> None:
        reply = await caller.chat(stream=True, max_tokens=12, stream_options={"include_usage": True})
        chunks = reply.chunks()
        assert reply.headers[b"content-type"].startswith(b"text/event-stream")
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        tokens = [chunk["choices"][0]["delta"]["content"] for chunk in chunks[1:13]]
        assert tokens == [f" t{index}" for index in range(12)]
        assert chunks[13]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}
        assert chunks[14]["choices"] == []
        usage = chunks[14]["usage"]
        assert usage["completion_tokens"] == 12
        assert usage["total_tokens"] == usage["prompt_tokens"] + 12
        assert chunks[15:] == ["[DONE]"]
        assert {chunk["model"] for chunk in chunks[:-1]} == {"any"}

    with_engine(use)


def test_usage_comes_only_if_asked_for() -> None:
    async def use(caller: Caller) -> None:
        chunks = (await caller.chat(stream=True, max_tokens=2)).chunks()
        assert all("usage" not in chunk for chunk in chunks[:-1])
        assert len(chunks) == 5

    with_engine(use)


def test_a_whole_answer_says_the_same_as_a_stream() -> None:
    async def use(caller: Caller) -> None:
        answer = (await caller.chat(max_tokens=5)).json()
        choice = answer["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": text_of(5)}
        assert choice["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == 5
        assert answer["object"] == "chat.completion"

    with_engine(use)


def test_completions_are_served_in_their_own_form() -> None:
    async def use(caller: Caller) -> None:
        body = {"model": "any", "prompt": "hello", "max_tokens": 3}
        whole = (await caller.ask("POST", "/v1/completions", body)).json()
        assert (whole["object"], whole["choices"][0]["text"]) == ("text_completion", " t0 t1 t2")
        chunks = (await caller.ask("POST", "/v1/completions", {**body, "stream": True})).chunks()
        assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == [" t0", " t1", " t2", ""]

    with_engine(use)


@pytest.mark.parametrize(
    ("fields", "tokens", "finish_reason"),
    [
        ({}, 16, "stop"),
        ({"max_tokens": 20}, 20, "length"),
        ({"max_tokens": 20, "x_output_tokens": 7}, 7, "stop"),
        ({"max_tokens": 20, "x_output_tokens": 70}, 20, "length"),
        ({"x_output_tokens": 30}, 30, "stop"),
        ({"max_tokens": 1000}, 40, "length"),  # the context ends there
    ],
)
def test_the_answer_is_as_long_as_was_asked_for_and_as_fits(
    fields: dict[str, int], tokens: int, finish_reason: str
) -> None:
    async def use(caller: Caller) -> None:
        prompt_tokens = (await caller.chat(max_tokens=1)).json()["usage"]["prompt_tokens"]
        assert prompt_tokens == 9
        answer = (await caller.chat(**fields)).json()
        assert answer["usage"]["completion_tokens"] == tokens
        assert answer["choices"][0]["finish_reason"] == finish_reason

    with_engine(use, engine=EngineModel(slots=4, step_base_s=1e-4, context_tokens=49))


def test_requests_at_once_are_answered_each_in_full() -> None:
    async def use(caller: Caller) -> None:
        replies = await asyncio.gather(*(caller.chat(stream=True, max_tokens=5 + index) for index in range(20)))
        assert [content_of(reply.chunks()) for reply in replies] == [text_of(5 + index) for index in range(20)]
        assert caller.engine.held == 0

    with_engine(use)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": []}, "empty"),
        ({"max_tokens": -1}, "at least 0"),
        ({"n": 2}, "one choice"),
        ({"x_output_tokens": 0}, "integer of 1 or more"),
        ({"x_output_tokens": "7"}, "integer of 1 or more"),
        ({"messages": [{"role": "user", "content": "word " * 200}]}, "maximum context length is 49 tokens"),
    ],
)
def test_a_request_that_cannot_be_served_gets_400(fields: dict[str, Any], says: str) -> None:
    async def use(caller: Caller) -> None:
        reply = await caller.chat(**fields)
        assert reply.status == 400
        assert says in reply.json()["error"]["message"]
        assert caller.engine.received == 0

    with_engine(use, engine=EngineModel(slots=4, step_base_s=1e-4, context_tokens=49))


def test_other_paths_and_methods_get_404() -> None:
    async def use(caller: Caller) -> None:
        assert (await caller.ask("GET", "/v1/chat/completions")).status == 404
        assert (await caller.ask("POST", "/v1/rerank", {})).json()["error"]["code"] == 404

    with_engine(use)


def test_a_key_is_asked_for_under_v1_only() -> None:
    async def use(caller: Caller) -> None:
        assert (await caller.chat(max_tokens=1)).status == 401
        assert (await caller.ask("GET", "/v1/models", key="wrong")).status == 401
        models = await caller.ask("GET", "/v1/models", key="secret")
        assert [model["id"] for model in models.json()["data"]] == ["small"]
        assert (await caller.ask("GET", "/health")).status == 200
        assert (await caller.ask("GET", "/metrics")).status == 200

    with_engine(use, api_key="secret", served_name="small")


def test_more_than_it_may_hold_is_refused_in_vllms_words() -> None:
    async def use(caller: Caller) -> None:
        for _ in range(2):
            caller.send("POST", "/v1/chat/completions", {"model": "any", "messages": MESSAGES})
        await caller.until(lambda: caller.engine.held == 2)
        reply = await caller.chat()
        assert reply.status == 503
        assert reply.json()["error"] == {
            "message": BUSY_TEXT, "type": "Service Unavailable", "param": None, "code": 503,
        }  # fmt: skip

    with_engine(use, engine=NEVER, max_queue=2)


def test_metrics_count_what_runs_and_what_waits() -> None:
    async def use(caller: Caller) -> None:
        for _ in range(6):
            caller.send("POST", "/v1/chat/completions", {"model": "any", "messages": MESSAGES, "max_tokens": 91})
        labels = '{engine="0",model_name="rehearsal"}'
        page = ""
        while f"vllm:num_requests_running{labels} 4.0\n" not in page:
            page = (await caller.ask("GET", "/metrics")).body.decode()
        assert f"vllm:num_requests_waiting{labels} 2.0\n" in page
        assert f"vllm:kv_cache_usage_perc{labels} 0.4\n" in page

    with_engine(use, engine=EngineModel(slots=4, step_base_s=0.05, kv_capacity_tokens=1000))


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(stream: bool) -> None:
    async def use(caller: Caller) -> None:
        body = {"model": "any", "messages": MESSAGES, "stream": stream}
        _, call = caller.send("POST", "/v1/chat/completions", body)
        await caller.until(lambda: caller.engine.held == 1)
        call.cancel()
        await caller.until(lambda: caller.engine.held == 0)

    with_engine(use, engine=NEVER)


def test_a_client_that_leaves_in_the_middle_of_its_answer_frees_its_place() -> None:
    async def use(caller: Caller) -> None:
        body = {"model": "any", "messages": MESSAGES, "stream": True, "max_tokens": 1_000_000}
        reply, call = caller.send("POST", "/v1/chat/completions", body)
        await caller.until(lambda: b" t3" in reply.body)
        call.cancel()
        await caller.until(lambda: caller.engine.held == 0)
        assert (await caller.chat(max_tokens=3)).json()["choices"][0]["message"]["content"] == text_of(3)

    with_engine(use)


def faulty(use: Callable[[Caller], Awaitable[None]], *faults: Fault) -> None:
    with_engine(use, faults=faults)


def test_an_error_status_strikes_every_nth_request_and_those_named() -> None:
    async def use(caller: Caller) -> None:
        replies = [await caller.chat(max_tokens=1) for _ in range(7)]
        assert [reply.status for reply in replies] == [200, 429, 503, 429, 200, 503, 200]
        assert replies[1].headers[b"retry-after"] == b"7"
        assert replies[2].json()["error"]["code"] == 503

    faulty(use, ErrorStatus(status=429, retry_after_s=7, requests=(2, 4)), ErrorStatus(status=503, every=3))


def test_the_first_fault_that_strikes_counts() -> None:
    async def use(caller: Caller) -> None:
        assert (await caller.chat(max_tokens=1)).status == 429
        caller.engine.faults = ()
        assert (await caller.chat(max_tokens=1)).status == 200

    faulty(use, ErrorStatus(status=429, requests=(1,)), ErrorStatus(status=500, every=1))


@pytest.mark.parametrize("tokens", [0, 3])
def test_a_cut_stream_ends_without_a_finish_reason_and_frees_its_place(tokens: int) -> None:
    async def use(caller: Caller) -> None:
        reply = await caller.chat(stream=True, max_tokens=9)
        assert reply.fault is not None
        assert content_of(reply.chunks()) == text_of(tokens)
        assert b'finish_reason":"' not in reply.body
        await caller.until(lambda: caller.engine.held == 0)
        assert content_of((await caller.chat(stream=True, max_tokens=9)).chunks()) == text_of(9)

    faulty(use, CutAfterTokens(tokens=tokens, requests=(1,)))


def test_a_cut_at_the_last_token_is_a_cut_too() -> None:
    async def use(caller: Caller) -> None:
        reply = await caller.chat(stream=True, max_tokens=4)
        assert reply.fault is not None
        assert content_of(reply.chunks()) == text_of(4)
        assert caller.engine.held == 0

    faulty(use, CutAfterTokens(tokens=4, every=1))


def test_a_whole_answer_that_is_cut_never_begins() -> None:
    async def use(caller: Caller) -> None:
        reply = await caller.chat(max_tokens=9)
        assert reply.fault is not None
        assert reply.status == 0

    faulty(use, CutAfterTokens(tokens=2, every=1))


def test_a_stalled_stream_stays_open_and_says_no_more() -> None:
    async def use(caller: Caller) -> None:
        body = {"model": "any", "messages": MESSAGES, "stream": True, "max_tokens": 8}
        reply, call = caller.send("POST", "/v1/chat/completions", body)
        await caller.until(lambda: caller.engine.received == 1 and caller.engine.held == 0)
        await caller.chat(max_tokens=8)
        assert content_of(reply.chunks()) == text_of(5)
        assert not reply.is_over.is_set()
        call.cancel()

    faulty(use, StallAfterTokens(tokens=5, requests=(1,)))


@pytest.mark.parametrize(("stream", "beat"), [(True, b": keep-alive\n\n"), (False, b"\n")])
def test_keep_alives_are_all_that_comes(stream: bool, beat: bytes) -> None:
    async def use(caller: Caller) -> None:
        body = {"model": "any", "messages": MESSAGES, "stream": stream}
        reply, call = caller.send("POST", "/v1/chat/completions", body)
        await caller.until(lambda: len(reply.body) >= 3 * len(beat))
        assert reply.status == 200
        assert reply.body.replace(beat, b"") == b""
        call.cancel()
        assert caller.engine.held == 0

    faulty(use, KeepaliveOnly(every=1, period_s=0.001))


def test_tokens_come_when_the_model_says() -> None:
    """The last token of a request is due a known time after its arrival, and never comes before."""

    async def use(caller: Caller) -> None:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        assert (await caller.chat(max_tokens=11)).status == 200
        assert loop.time() - start_s >= 11 * 0.01

    with_engine(use, engine=EngineModel(slots=1, step_base_s=0.01))


@pytest.mark.parametrize(
    "config",
    [
        {"faults": [{"kind": "cut_after_token", "tokens": 3}]},
        {"faults": [{"kind": "cut_after_tokens", "token": 3}]},
        {"faults": [{"kind": "error_status", "every": 0}]},
        {"engine": {"slots": 0, "step_base_s": 0.1}},
        {"prot": 80},
    ],
)
def test_a_wrong_configuration_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(config, EngineConfig)
