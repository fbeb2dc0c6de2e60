from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.messages_events import accumulate, events_of

from overspill.wire.answers import MalformedChunk
from overspill.wire.messages.blocks import UNSIGNED, thought_in, unsigned
from overspill.wire.messages.request import read_messages
from overspill.wire.messages.writer import MessagesWriter

THINKING = {"thinking": {"type": "adaptive"}}
DONE = b"data: [DONE]\n\n"


def writer(**fields: Any) -> MessagesWriter:
    body = {"model": "asked", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    return MessagesWriter(read_messages(json.dumps(body).encode()), "req-1")


def delta(fields: dict[str, Any], **choice: Any) -> bytes:
    chunk = {"id": "c", "model": "real", "choices": [{"index": 0, "delta": fields, **choice}]}
    return b"data: %b\n\n" % json.dumps(chunk).encode()


def end(finish_reason: str | None = "stop", usage: dict[str, Any] | None = None, **choice: Any) -> bytes:
    last = delta({}, finish_reason=finish_reason, **choice)
    if usage is not None:
        last += b"data: %b\n\n" % json.dumps({"choices": [], "usage": usage}).encode()
    return last + DONE


def call(index: int | None, call_id: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": call_id, "function": {"name": name, "arguments": arguments}}
    return fields if index is None else {"index": index, **fields}


def streamed(*chunks: bytes, **fields: Any) -> dict[str, Any]:
    found = accumulate(writer(**fields).feed(b"".join(chunks)))
    assert found.is_over
    return found.message


def content(*chunks: bytes, **fields: Any) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = streamed(*chunks, **fields)["content"]
    return blocks


def whole(message: dict[str, Any], finish_reason: str = "stop", **fields: Any) -> dict[str, Any]:
    top = {name: fields.pop(name) for name in ("usage", "model") if name in fields}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}], **top}
    written: dict[str, Any] = json.loads(writer(**fields).whole(json.dumps(body).encode()))
    return written


def test_a_stream_of_text_becomes_a_message() -> None:
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    chunks = [delta({"role": "assistant", "content": ""}), delta({"content": "Hel"}), delta({"content": "lo"})]
    message = streamed(*chunks, end(usage=usage))
    assert message == {
        "id": "msg_req-1",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 1,
            "cache_read_input_tokens": 8,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


def test_the_events_come_in_anthropics_order_and_the_first_has_an_estimate_of_the_input() -> None:
    events = events_of(writer().feed(delta({"content": "a"}) + end()))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    assert events[-2]["usage"]["output_tokens"] == 1  # no target told; one piece came
    assert events[-2]["usage"]["input_tokens"] == events[0]["message"]["usage"]["input_tokens"]


def test_it_does_not_matter_how_the_stream_is_handed_over() -> None:
    chunks = [delta({"content": "a"}), b": keep-alive\n\n", delta({"content": "b"}), end()]
    one, many = writer(), writer()
    assert one.feed(b"".join(chunks)) == b"".join(map(many.feed, chunks))


def test_thinking_is_shown_to_who_asked_with_a_signature_that_says_that_there_is_none() -> None:
    chunks = [delta({"reasoning_content": "hm "}), delta({"reasoning": "so"}), delta({"content": "yes"}), end()]
    assert content(*chunks, **THINKING) == [
        {"type": "thinking", "thinking": "hm so", "signature": UNSIGNED},
        {"type": "text", "text": "yes"},
    ]
    assert content(*chunks) == [{"type": "text", "text": "yes"}]
    assert content(*chunks, thinking={"type": "disabled"}) == [{"type": "text", "text": "yes"}]
    omitted = {"thinking": {"type": "adaptive", "display": "omitted"}}
    (hidden, _) = content(*chunks, **omitted)
    assert hidden == {"type": "thinking", "thinking": "", "signature": unsigned("hm so")}
    assert whole({"content": "yes", "reasoning_content": "hm so"}, **omitted)["content"][0] == hidden


def test_a_thought_that_is_not_shown_comes_back_with_its_signature() -> None:
    assert thought_in(unsigned("hm 想")) == "hm 想"
    for other in (None, "", "EqQB", UNSIGNED, UNSIGNED + "!", UNSIGNED + "/w=="):
        assert thought_in(other) == ""


def test_hidden_thinking_shows_as_pings_and_in_the_count() -> None:
    found = accumulate(writer().feed(delta({"reasoning_content": "hm"}) * 200 + delta({"content": "yes"}) + end()))
    assert found.pings == 3
    assert found.message["usage"]["output_tokens"] == 201


def test_signatures_and_redacted_thinking_are_kept() -> None:
    signed = {"type": "reasoning.text", "text": "hm", "signature": "EqQB"}
    chunks = [
        delta({"reasoning_content": "hm"}),
        delta({"reasoning_details": [signed]}),
        delta({"reasoning_details": [{"type": "reasoning.encrypted", "data": "zzz"}, "odd"]}),
        delta({"reasoning_details": [{"type": "reasoning.text", "text": "so", "signature": "EqQC"}]}),
        delta({"reasoning_details": [{"type": "reasoning.text", "signature": "EqQD"}]}),
        delta({"content": "yes"}),
        end(),
    ]
    assert content(*chunks, **THINKING) == [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "thinking", "thinking": "so", "signature": "EqQC"},
        {"type": "thinking", "thinking": "", "signature": "EqQD"},
        {"type": "text", "text": "yes"},
    ]
    assert content(*chunks) == [{"type": "text", "text": "yes"}]


def test_openrouters_pieces_of_thinking_are_not_shown_twice() -> None:
    piece = {"type": "reasoning.text", "text": "hm"}
    chunks = [delta({"reasoning": "hm", "reasoning_details": [piece]}) * 2, delta({"content": "yes"}), end()]
    assert content(*chunks, **THINKING)[0]["thinking"] == "hmhm"


def test_calls_follow_one_another_and_end_where_they_are_complete() -> None:
    chunks = [
        delta({"content": "let me"}),
        delta({"tool_calls": [call(0, "t0", "f", "")]}),
        delta({"tool_calls": [call(0, None, None, '{"a"')]}),
        delta({"tool_calls": [call(0, None, None, ": 1}")]}),
        delta({"tool_calls": [call(1, "t1", "g", "{}")]}),
        end("tool_calls"),
    ]
    message = streamed(*chunks)
    assert message["content"] == [
        {"type": "text", "text": "let me"},
        {"type": "tool_use", "id": "t0", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t1", "name": "g", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"
    kinds = [(event["type"], event.get("index")) for event in events_of(writer().feed(b"".join(chunks)))]
    assert kinds.index(("content_block_stop", 1)) < kinds.index(("content_block_start", 2))


def test_calls_that_come_interleaved_are_open_side_by_side() -> None:
    blocks = content(
        delta({"tool_calls": [call(0, "t0", "f", '{"a"'), call(1, "t1", "g", '{"b"')]}),
        delta({"tool_calls": [call(0, None, None, ":1}"), call(1, None, None, ":2}")]}),
        end("tool_calls"),
    )
    assert [block["input"] for block in blocks] == [{"a": 1}, {"b": 2}]


def test_servers_that_count_no_calls_or_write_objects_are_understood() -> None:
    blocks = content(
        delta({"tool_calls": [call(None, "t0", "f", '{"a":')]}),
        delta({"tool_calls": [call(None, None, None, "1}")]}),
        delta({"tool_calls": [{"id": "t1", "function": {"name": "g", "arguments": {"b": 2}}}]}),
        delta({"tool_calls": ["odd", {"index": 5}, {"index": 5, "function": {"name": "h"}}]}),
        end("stop"),
    )
    assert [(block["name"], block["input"]) for block in blocks] == [("f", {"a": 1}), ("g", {"b": 2}), ("h", {})]
    assert blocks[2]["id"] == "toolu_req-1_5"


def test_text_behind_a_call_ends_it() -> None:
    blocks = content(
        delta({"content": "a"}),
        delta({"tool_calls": [call(0, "t0", "f", "{}")]}),
        delta({"content": "b"}),
        delta({"tool_calls": [call(0, None, None, " ")]}),
        end("tool_calls"),
    )
    assert [block["type"] for block in blocks] == ["text", "tool_use", "text"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"finish_reason": "stop"}, ("end_turn", None)),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, ("refusal", None)),
        ({"finish_reason": "function_call"}, ("tool_use", None)),
        ({"finish_reason": "odd"}, ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "stop", "matched_stop": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "stop", "matched_stop": 151645}, ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": "<|eot|>"}, ("end_turn", None)),
        (
            {"finish_reason": "stop", "native_finish_reason": "stop_sequence", "stop_reason": "END"},
            ("stop_sequence", "END"),
        ),
        ({"finish_reason": "stop", "native_finish_reason": "pause_turn"}, ("pause_turn", None)),
        (
            {"finish_reason": "length", "native_finish_reason": "model_context_window_exceeded"},
            ("model_context_window_exceeded", None),
        ),
        ({"finish_reason": "stop", "native_finish_reason": "max_tokens"}, ("end_turn", None)),
    ],
)
def test_the_reason_of_the_end_is_translated(choice: dict[str, Any], expected: tuple[str, str | None]) -> None:
    message = streamed(delta({"content": "a"}), end(**choice), stop_sequences=["END"])
    assert (message["stop_reason"], message["stop_sequence"]) == expected


def test_a_refusal_is_text_and_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "I "}, {"type": "refusal", "refusal": "will not"}, 3]
    assert content(delta({"refusal": "no"}), end("content_filter")) == [{"type": "text", "text": "no"}]
    assert content(delta({"content": parts}), end()) == [{"type": "text", "text": "I will not"}]


def test_other_choices_and_odd_chunks_are_passed_over() -> None:
    second = b'data: {"choices": [{"index": 1, "delta": {"content": "no"}}]}\n\n'
    odd = b'data: {"choices": [{"delta": null}, 1]}\n\ndata: {"choices": 1}\n\n'
    assert content(second, odd, delta({"content": "yes"}), end()) == [{"type": "text", "text": "yes"}]


def test_an_answer_without_anything_is_an_empty_message() -> None:
    message = streamed(DONE)
    assert (message["content"], message["stop_reason"], message["model"]) == ([], "end_turn", "asked")


def test_deepseeks_names_of_counts_are_known() -> None:
    usage = {"prompt_tokens": 10, "prompt_cache_hit_tokens": 4, "completion_tokens": 2}
    counted = streamed(delta({"content": "a"}), end(usage=usage))["usage"]
    assert (counted["input_tokens"], counted["cache_read_input_tokens"]) == (6, 4)


def test_comments_become_pings_but_for_the_gateways_own_labels() -> None:
    label = b": overspill rescued at=3 from=a\n\n"
    written = writer().feed(b": keep-alive\n\n" + label + b"\n")
    assert written == b'event: ping\ndata: {"type": "ping"}\n\n' + label
    assert writer().heartbeat() == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_a_stream_that_breaks_ends_with_an_error_and_nothing_behind_it() -> None:
    one = writer()
    stream = one.feed(delta({"content": "a"})) + one.broken("it broke", kind="upstream_error", code="stream_cut")
    found = accumulate(stream + one.feed(delta({"content": "b"}) + end()))
    assert not found.is_over
    assert found.error == {
        "type": "error",
        "error": {"type": "api_error", "message": "it broke", "code": "stream_cut"},
        "request_id": "req-1",
    }


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("overloaded_error", "queue_full", "overloaded_error"),
        ("rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
        ("invalid_request_error", "model_not_found", "not_found_error"),
        ("upstream_error", None, "api_error"),
    ],
)
def test_an_error_within_a_stream_has_anthropics_type(kind: str, code: str | None, expected: str) -> None:
    body = writer().broken("why", kind=kind, code=code).partition(b"data: ")[2]
    assert json.loads(body)["error"]["type"] == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_anthropics_type_by_its_status(status: int, expected: str) -> None:
    body = json.loads(writer().error(status, "why", kind="x", code="c", param="messages"))
    assert body == {
        "type": "error",
        "error": {"type": expected, "message": "why", "code": "c", "param": "messages"},
        "request_id": "req-1",
    }


def test_a_prompt_that_is_too_long_is_told_in_the_words_by_which_clients_know_it() -> None:
    body = json.loads(writer().error(400, "it does not fit", kind="x", code="context_length_exceeded"))
    assert body["error"]["message"] == "prompt is too long: it does not fit"
    body = json.loads(writer().error(400, "prompt is too long: 9 > 8", kind="x", code="context_length_exceeded"))
    assert body["error"]["message"] == "prompt is too long: 9 > 8"


@pytest.mark.parametrize("data", [b"{", b"[]", b"\xff", b"null"])
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        writer().feed(b"data: %b\n\n" % data)


def test_a_whole_answer_becomes_a_message() -> None:
    function = {"name": "f", "arguments": '{"big":12345678901234567890123}'}
    message = {"content": "yes", "reasoning_content": "hm", "tool_calls": [{"id": "t", "function": function}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    written = whole(message, "tool_calls", usage=usage, model="real", **THINKING)
    assert written == {
        "id": "msg_req-1",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": UNSIGNED},
            {"type": "text", "text": "yes"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"big": 12345678901234567890123}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 4,
        },
    }
    assert [block["type"] for block in whole(message, "tool_calls")["content"]] == ["text", "tool_use"]


def test_a_whole_answers_thinking_is_put_together_from_its_details() -> None:
    details = [
        {"type": "reasoning.text", "text": "h"},
        {"type": "reasoning.text", "text": "m"},
        {"type": "reasoning.text", "signature": "EqQB"},
        {"type": "reasoning.encrypted", "data": "zzz"},
        {"type": "reasoning.text", "text": "end"},
        "odd",
    ]
    assert whole({"content": None, "reasoning_details": details}, **THINKING)["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "thinking", "thinking": "end", "signature": UNSIGNED},
    ]
    bare = {"reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.text", "signature": "EqQB"}]}
    assert whole(bare, **THINKING)["content"] == [{"type": "thinking", "thinking": "hm", "signature": "EqQB"}]
    unsigned = {"reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}
    assert whole(unsigned, **THINKING)["content"][0]["signature"] == UNSIGNED


def test_a_call_that_the_limit_cut_off_is_left_out_and_any_other_bad_one_is_an_error() -> None:
    cut = {"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": '{"a'}}]}
    message = whole(cut, "length")
    assert (message["content"], message["stop_reason"]) == ([], "max_tokens")
    for calls in (cut["tool_calls"], ["odd"], [{"function": None}]):
        with pytest.raises(MalformedChunk, match="a call of a tool"):
            whole({"tool_calls": calls}, "tool_calls")
    nameless = whole({"tool_calls": [{"function": {"arguments": None}}]}, "tool_calls")["content"]
    assert nameless == [{"type": "tool_use", "id": "toolu_msg_req-1_0", "name": "", "input": {}}]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[1]}', b'{"choices":[{"message":null}]}']
)
def test_a_body_that_is_no_chat_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedChunk):
        writer().whole(body)
