from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import ErrorBody, MalformedChunk, Usage
from overspill.wire.chunks import read_chunk, read_whole
from overspill.wire.messages.reader import MessagesReader
from overspill.wire.sse import Event, SseDecoder

USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 1,
    "cache_read_input_tokens": 8,
    "output_tokens": 1,
    "service_tier": "standard",
}


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def start(**message: Any) -> bytes:
    return event("message_start", message={"id": "msg_1", "model": "claude-x", "usage": USAGE, **message})


def block(index: int, content_block: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    return b"".join(
        [
            event("content_block_start", index=index, content_block=content_block),
            *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
            event("content_block_stop", index=index),
        ]
    )


def end(stop_reason: str | None = "end_turn", sequence: str | None = None, **usage: Any) -> bytes:
    counts = {"output_tokens": 15, **usage}
    delta = {"stop_reason": stop_reason, "stop_sequence": sequence}
    return event("message_delta", delta=delta, usage=counts) + event("message_stop")


def read(*stream: bytes) -> list[bytes]:
    reader = MessagesReader(1700000000)
    assert not reader.is_transparent
    return [chunk for each in SseDecoder().feed(b"".join(stream)) for chunk in reader.read(each)]


def joined(*stream: bytes) -> dict[str, Any]:
    chunks = read(*stream)
    assert chunks[-1] == b"[DONE]"
    aggregator = Aggregator("chat")
    for chunk in chunks[:-1]:
        aggregator.add(chunk)
    answer: dict[str, Any] = json.loads(aggregator.finish())
    return answer


def message(*stream: bytes) -> dict[str, Any]:
    found: dict[str, Any] = joined(*stream)["choices"][0]["message"]
    return found


TEXT = block(
    0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}
)


def test_a_stream_of_text_becomes_chat_chunks_in_the_normal_form() -> None:
    chunks = [json.loads(chunk) for chunk in read(start(), event("ping"), TEXT, end())[:-1]]
    assert [chunk["choices"][0]["delta"] if chunk["choices"] else None for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
        None,
    ]
    head = {"id": "msg_1", "object": "chat.completion.chunk", "created": 1700000000, "model": "claude-x"}
    assert all(head.items() <= chunk.items() for chunk in chunks)
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 15,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
    }


def test_the_last_counts_win_and_what_is_thought_is_part_of_them() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": None, "output_tokens_details": {"thinking_tokens": 7}}
    answer = joined(start(), TEXT, end(**usage))
    assert read_whole(json.dumps(answer).encode()).usage == Usage(
        prompt_tokens=14, cached_tokens=8, output_tokens=15, reasoning_tokens=7
    )
    assert "usage" not in joined(start(usage=None), TEXT, end())


@pytest.mark.parametrize(
    ("stop_reason", "sequence", "choice"),
    [
        ("end_turn", None, {"finish_reason": "stop", "native_finish_reason": "end_turn"}),
        (
            "stop_sequence",
            "END",
            {"finish_reason": "stop", "native_finish_reason": "stop_sequence", "stop_reason": "END"},
        ),
        ("max_tokens", None, {"finish_reason": "length", "native_finish_reason": "max_tokens"}),
        ("tool_use", None, {"finish_reason": "tool_calls", "native_finish_reason": "tool_use"}),
        ("refusal", None, {"finish_reason": "content_filter", "native_finish_reason": "refusal"}),
        ("pause_turn", None, {"finish_reason": "stop", "native_finish_reason": "pause_turn"}),
        ("newest", None, {"finish_reason": "stop", "native_finish_reason": "newest"}),
    ],
)
def test_the_reason_of_the_end_is_translated(stop_reason: str, sequence: str | None, choice: dict[str, Any]) -> None:
    assert choice.items() <= joined(start(), TEXT, end(stop_reason, sequence))["choices"][0].items()


def test_thinking_comes_as_reasoning_and_once_more_with_its_signature() -> None:
    thought = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "h"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "Eq"},
        {"type": "signature_delta", "signature": "QB"},
    )
    found = message(start(), thought, block(1, {"type": "redacted_thinking", "data": "zzz"}), TEXT, end())
    assert found["reasoning_content"] == "hm"
    assert found["content"] == "Hello"
    assert found["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "signature": "EqQB"},
        {"type": "reasoning.encrypted", "data": "zzz", "format": "anthropic-claude-v1"},
    ]


def test_thinking_that_nobody_signed_has_no_details() -> None:
    for signature in ("", "b3ZlcnNwaWxsOnVuc2lnbmVk"):
        thought = block(0, {"type": "thinking", "thinking": "hm", "signature": signature})
        found = message(start(), thought, TEXT, end())
        assert found["reasoning_content"] == "hm"
        assert "reasoning_details" not in found


def test_calls_are_counted_and_one_without_arguments_gets_an_empty_object() -> None:
    stream = [
        TEXT,
        block(
            1,
            {"type": "tool_use", "id": "t0", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"a":'},
            {"type": "input_json_delta", "partial_json": " 1}"},
        ),
        block(2, {"type": "tool_use", "id": "t1", "name": "g", "input": {}}),
        block(3, {"type": "tool_use", "id": "t2", "name": "h", "input": {"b": 2}}),
    ]
    assert message(start(), *stream, end("tool_use"))["tool_calls"] == [
        {"id": "t0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "t1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"id": "t2", "type": "function", "function": {"name": "h", "arguments": '{"b":2}'}},
    ]


def test_what_tools_of_the_provider_did_is_no_call_of_the_clients() -> None:
    ran = block(
        0,
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query":"x"}'},
    )
    cited = block(2, {"type": "text", "text": "so"}, {"type": "citations_delta", "citation": {}})
    found = message(start(), ran, block(1, {"type": "web_search_tool_result", "content": []}), cited, end())
    assert found == {"role": "assistant", "content": "so"}


def test_a_stream_that_tells_no_reason_for_its_end_has_none_in_chat() -> None:
    chunks = read(start(), TEXT, event("message_delta", delta={}, usage={}), event("message_stop"))
    assert b"[DONE]" not in chunks
    assert json.loads(chunks[-1])["choices"][0]["finish_reason"] is None


def test_an_error_in_the_stream_is_an_error_in_chat() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    chunk = read_chunk(read(start(), event("error", error=error))[-1])
    assert chunk.error == ErrorBody(message="Overloaded", kind="overloaded_error", code="overloaded_error")
    bare = read_chunk(read(event("error"))[0])
    assert bare.error is not None
    assert bare.error.message


def test_comments_pings_and_unknown_events_say_nothing() -> None:
    assert MessagesReader(0).read(Event(b": hi\n\n", None)) == []
    assert read(event("ping"), event("newest", x=1), event("content_block_stop", index=5)) == []
    assert read(block(0, {"type": "thinking"}, {"type": "thinking_delta", "thinking": None})) == []


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'{"type":"message_start"}',
        b'{"type":"content_block_start","content_block":{}}',
        b'{"type":"content_block_start","index":0,"content_block":3}',
        b'{"type":"content_block_delta","index":0,"delta":{}}',
    ],
)
def test_what_is_no_event_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        MessagesReader(0).read(Event(b"", data))


def whole(*content: Any, **fields: Any) -> dict[str, Any]:
    body = {"type": "message", "id": "msg_1", "model": "claude-x", "content": content, "usage": USAGE, **fields}
    written: dict[str, Any] = json.loads(MessagesReader(1700000000).whole(json.dumps(body).encode()))
    return written


def test_a_whole_message_becomes_a_chat_completion() -> None:
    answer = whole(
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "text", "text": "Hel"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "lo"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        stop_reason="tool_use",
    )
    assert answer == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "claude-x",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hello",
                    "reasoning_content": "hm",
                    "reasoning_details": [
                        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "signature": "EqQB"},
                        {"type": "reasoning.encrypted", "data": "zzz", "format": "anthropic-claude-v1"},
                    ],
                    "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
                "native_finish_reason": "tool_use",
            }
        ],
        "usage": {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "total_tokens": 13,
            "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
        },
    }


def test_a_whole_message_may_be_nearly_empty() -> None:
    answer = whole({"type": "thinking", "thinking": "", "signature": ""}, usage=None)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": ""}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in answer
    call = whole({"type": "tool_use", "id": "t", "name": "f"})["choices"][0]["message"]
    assert call["content"] is None


def test_a_whole_error_is_an_error_in_chat() -> None:
    body = b'{"type":"error","error":{"type":"api_error","message":"no"}}'
    assert read_whole(MessagesReader(0).whole(body)).error == ErrorBody(
        message="no", kind="api_error", code="api_error"
    )


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"type":"message"}', b'{"content":[]}', b'{"type":"message","content":[1]}']
)
def test_a_body_that_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedChunk):
        MessagesReader(0).whole(body)
