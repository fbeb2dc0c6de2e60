"""Answers of targets that speak Responses themselves, as far as they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.responses import DONE, call, chunk, usage, writer_for

from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Usage, Whole
from overspill.wire.chunks import PLAIN_TOKEN
from overspill.wire.responses.native import NativeResponses
from overspill.wire.sse import Event, SseDecoder
from overspill.wire.surfaces import native_reader

READER = NativeResponses()
COUNTS = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 12,
}
USAGE = Usage(prompt_tokens=5, cached_tokens=2, output_tokens=7, reasoning_tokens=3)
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "x"}]}


def read(fields: dict[str, Any], name: str = "") -> tuple[Chunk, bool]:
    return READER.read(Event(b"", json.dumps(fields).encode(), name.encode()))


def ended(status: str | None, **fields: Any) -> tuple[Chunk, bool]:
    return read({"type": f"response.{status}", "response": {"status": status, **fields}})


def whole(**fields: Any) -> Whole:
    return READER.whole(json.dumps({"object": "response", **fields}).encode())


@pytest.mark.parametrize(
    "kind", ["output_text.delta", "reasoning_summary_text.delta", "function_call_arguments.delta", "refusal.delta"]
)
def test_deltas_are_tokens(kind: str) -> None:
    assert read({"type": f"response.{kind}", "delta": "x"}) == (PLAIN_TOKEN, False)
    assert READER.read(Event(b"", b"never read", f"response.{kind}".encode())) == (PLAIN_TOKEN, False)


def test_beginnings_are_no_tokens_but_of_thoughts_and_calls() -> None:
    for kind in ("created", "in_progress", "queued"):
        assert ended(kind) == (Chunk(), False)
    for item in ({"type": "message"}, None):
        assert read({"type": "response.output_item.added", "item": item}) == (Chunk(), False)
    for kind in ("reasoning", "function_call", "web_search_call"):
        assert read({"type": "response.output_item.added", "item": {"type": kind}}) == (PLAIN_TOKEN, False)
    assert read({"type": "keepalive"}) == (Chunk(), False)
    assert read({"type": "response.completed"}) == (Chunk(), False)


@pytest.mark.parametrize(
    ("status", "fields", "finish"),
    [
        ("completed", {"output": [MESSAGE]}, "stop"),
        ("completed", {"output": [MESSAGE, {"type": "function_call"}]}, "tool_calls"),
        ("completed", {"output": None}, "stop"),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ("incomplete", {"incomplete_details": None}, "length"),
    ],
)
def test_the_end_says_why_and_what_was_used(status: str, fields: dict[str, Any], finish: str) -> None:
    assert ended(status, usage=COUNTS, **fields) == (
        Chunk(finish_reason=finish, usage=USAGE, has_choices=True),
        True,
    )


def test_failures_end_the_stream() -> None:
    error = {"code": "server_error", "message": "oops"}
    assert ended("failed", error=error) == (Chunk(error=ErrorBody(message="oops", code="server_error")), True)
    assert ended("failed", error=None)[0].error == ErrorBody(message="the response is failed")
    assert ended("cancelled")[0].error == ErrorBody(message="the response is cancelled")
    flat = {"type": "error", "code": 429, "message": None, "param": "input"}
    assert read(flat) == (Chunk(error=ErrorBody(message="the response failed", code="429", param="input")), True)
    nested = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
    assert read(nested)[0].error == ErrorBody(message="slow down", kind="rate_limit_error")


def test_a_whole_answer_says_the_same() -> None:
    assert whole(status="completed", output=[MESSAGE], usage=COUNTS) == Whole(True, True, "stop", USAGE)
    assert whole(status="completed", output=[{"type": "message", "content": []}]) == Whole(True, False, "stop")
    assert whole(status="completed", output=[{"type": "reasoning", "summary": []}, 3]) == Whole(True, False, "stop")
    assert whole(status="completed", output=[{"type": "reasoning", "encrypted_content": "x"}]).has_content
    assert whole(status="completed", output=[{"type": "web_search_call"}]).has_content
    assert whole(status="queued", output=[]) == Whole()
    assert whole(error={"message": "oops"}).error == ErrorBody(message="oops")
    assert whole(status="completed", output=[MESSAGE], usage="many").usage is None


@pytest.mark.parametrize("data", [b"x", b"[]", b"{}", b'{"type": 3}'])
def test_what_is_no_event_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        READER.read(Event(data, data))


def test_a_body_that_is_no_answer_is_malformed() -> None:
    with pytest.raises(MalformedChunk):
        READER.whole(b"[]")


def test_what_is_written_here_is_read_here() -> None:
    writer = writer_for()
    chat = [chunk(reasoning_content="hm"), chunk(content="x"), call(0, "c", "f", "{}"), chunk("tool_calls")]
    stream = b"".join(map(writer.feed, [*chat, usage(), DONE]))
    reader = native_reader("responses")
    read = [reader.read(said) for said in SseDecoder().feed(stream)]
    assert sum(said.has_token for said, _ in read) == 5
    assert [is_last for _, is_last in read] == [False] * (len(read) - 1) + [True]
    assert (read[-1][0].finish_reason, read[-1][0].usage) == (
        "tool_calls",
        Usage(prompt_tokens=5, cached_tokens=0, output_tokens=7, reasoning_tokens=0),
    )
