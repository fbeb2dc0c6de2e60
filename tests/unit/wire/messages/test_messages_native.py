from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Usage, Whole
from overspill.wire.messages.blocks import UNSIGNED, unsigned
from overspill.wire.messages.native import BETAS, NativeMessages, fit_history, good_id, with_betas
from overspill.wire.messages.request import read_messages
from overspill.wire.sse import Event


def event(**fields: Any) -> Event:
    data = json.dumps(fields).encode()
    return Event(b"data: %b\n\n" % data, data)


def delta(**fields: Any) -> Event:
    return event(type="content_block_delta", index=0, delta=fields)


def test_a_stream_is_read_for_tokens_usage_and_its_end() -> None:
    reader = NativeMessages()
    usage = {"input_tokens": 3, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 1, "output_tokens": 1}
    quiet = [
        event(type="message_start", message={"usage": usage}),
        event(type="message_start", message=None),
        event(type="ping"),
        event(type="content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event(type="content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
        event(type="content_block_start", index=0, content_block=None),
        delta(type="signature_delta", signature="EqQB"),
        event(type="content_block_delta", index=0, delta=None),
        event(type="content_block_stop", index=0),
        event(type="newest"),
    ]
    assert {reader.read(each) for each in quiet} == {(Chunk(has_choices=True), False)}
    tokens = [
        delta(type="text_delta", text="a"),
        delta(type="thinking_delta", thinking="a"),
        delta(type="input_json_delta", partial_json="{"),
        event(type="content_block_start", index=1, content_block={"type": "tool_use", "id": "t"}),
    ]
    assert {reader.read(each) for each in tokens} == {(Chunk(True, has_choices=True), False)}
    counts = {"output_tokens": 15, "output_tokens_details": {"thinking_tokens": 7}, "input_tokens": None}
    chunk, is_last = reader.read(event(type="message_delta", delta={"stop_reason": "tool_use"}, usage=counts))
    assert not is_last
    assert chunk.finish_reason == "tool_calls"
    assert chunk.usage == Usage(prompt_tokens=12, cached_tokens=8, output_tokens=15, reasoning_tokens=7)
    assert reader.read(event(type="message_stop")) == (Chunk(has_choices=True), True)


def test_a_stream_may_leave_out_its_counts() -> None:
    chunk, _ = NativeMessages().read(event(type="message_delta", delta=None))
    assert (chunk.usage, chunk.finish_reason) == (None, None)
    chunk, _ = NativeMessages().read(event(type="message_delta", delta={}, usage={"output_tokens": 2}))
    assert chunk.usage == Usage(output_tokens=2)


def test_an_error_in_the_stream_is_read() -> None:
    reader = NativeMessages()
    error = {"type": "overloaded_error", "message": "Overloaded"}
    expected = ErrorBody(message="Overloaded", kind="overloaded_error", code="overloaded_error")
    assert reader.read(event(type="error", error=error)) == (Chunk(error=expected), False)
    for odd in (None, "what", {"type": None}, {}):
        chunk, _ = reader.read(event(type="error", error=odd))
        assert chunk.error is not None
        assert chunk.error.message


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b"\xff", None])
def test_what_is_no_event_is_malformed(data: bytes | None) -> None:
    with pytest.raises(MalformedChunk):
        NativeMessages().read(Event(b"", data))


def test_a_whole_message_is_read() -> None:
    body = {
        "type": "message",
        "content": [{"type": "text", "text": "a"}],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    assert NativeMessages().whole(json.dumps(body).encode()) == Whole(
        True, True, "length", Usage(prompt_tokens=3, output_tokens=2)
    )
    hollow = NativeMessages().whole(b'{"type":"message","content":[]}')
    assert hollow == Whole(True, False, None, None)
    failed = NativeMessages().whole(b'{"type":"error","error":{"type":"api_error","message":"no"}}')
    assert failed.error == ErrorBody(message="no", kind="api_error", code="api_error")
    for bad in (b"{", b'{"type":"message"}', b'{"type":"completion"}'):
        with pytest.raises(MalformedChunk):
            NativeMessages().whole(bad)


def test_the_clients_betas_are_kept_beside_its_fields() -> None:
    request = read_messages(b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}')
    native = with_betas(request, b"a-2025-01-01, b.1,,bad name\xff").native
    assert native is not None
    assert json.loads(bytes(native[BETAS])) == ["a-2025-01-01", "b.1"]
    assert bytes(native["model"]) == b'"m"'


def fitted(*turns: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(fit_history(json.dumps({"model": "m", "messages": turns, **fields}).encode()))
    return body


def thought(signature: str | None) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "hm", "signature": signature}


def test_a_history_of_anthropics_own_stays_as_it_came() -> None:
    body = b'{ "messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"Eq"}]}]}'
    assert fit_history(body) is body


def test_thoughts_that_nobody_signed_are_left_out_and_so_is_a_turn_of_nothing_else() -> None:
    say = {"type": "text", "text": "yes"}
    body = fitted(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thought(UNSIGNED), say, thought("EqQB")]},
        {"role": "assistant", "content": [thought(unsigned("hm"))]},
        {"role": "assistant", "content": [thought(""), thought(None), {"type": "thinking", "thinking": ""}]},
        {"role": "user", "content": []},
        thinking={"type": "adaptive"},
    )
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [say, thought("EqQB")]},
        {"role": "user", "content": []},
    ]
    assert body["thinking"] == {"type": "adaptive"}


def test_a_budget_for_thinking_is_given_up_where_the_last_turn_cannot_begin_with_a_thought() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x"}
    turns = [
        {"role": "assistant", "content": [thought(UNSIGNED), call]},
        {"role": "user", "content": [result]},
    ]
    body = fitted(*turns, thinking={"type": "enabled", "budget_tokens": 2000})
    assert body["thinking"] == {"type": "disabled"}
    later = {"role": "assistant", "content": [thought("EqQB"), call]}
    body = fitted(*turns, later, thinking={"type": "enabled", "budget_tokens": 2000})
    assert body["thinking"]["type"] == "enabled"


def test_ids_of_other_models_calls_are_written_in_anthropics_letters() -> None:
    body = fitted(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "functions.f:0", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "functions.f:0"}]},
    )
    call_id = body["messages"][0]["content"][0]["id"]
    assert call_id == body["messages"][1]["content"][0]["tool_use_id"] == good_id("functions.f:0")
    assert call_id.replace("_", "").isalnum()
    assert good_id("toolu_01-a") == "toolu_01-a"
    assert len({good_id(call_id) for call_id in ("a.b", "a:b", "a_b", "")}) == 4
