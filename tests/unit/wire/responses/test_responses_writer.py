"""Answers of a chat as responses, event by event and in one piece."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.responses import (
    CREATED_S,
    DONE,
    HEAD,
    PATCH,
    REQUEST_ID,
    TEAM,
    WEATHER,
    ask,
    call,
    chunk,
    event,
    read_events,
    stream_of,
    usage,
    whole_of,
    writer_for,
)

from overspill.wire.answers import MalformedChunk
from overspill.wire.responses.freeform import FreeformInput
from overspill.wire.responses.packed import Packed, unpack
from overspill.wire.surfaces import answer_writer

TOOLS = [WEATHER, PATCH, TEAM]


def names(events: list[dict[str, Any]]) -> list[str]:
    return [said["type"].removeprefix("response.") for said in events]


def test_a_text_is_written_as_a_message() -> None:
    pieces = [chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop")]
    events = stream_of(writer_for(), [*pieces, usage(), DONE])
    assert names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    message = {
        "id": "msg_ovs_00c0ffee7_0",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [part],
    }
    assert events[2]["item"] == {**message, "status": "in_progress", "content": []}
    assert events[3]["part"] == {**part, "text": ""}
    assert [said["delta"] for said in events[4:6]] == ["Hel", "lo"]
    assert events[6]["text"] == "Hello"
    assert events[8]["item"] == message
    assert events[9]["response"] == {
        "id": "resp_ovs_00c0ffee7",
        "object": "response",
        "created_at": CREATED_S,
        "completed_at": None,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "m-2026",
        "output": [message],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "background": False,
        "temperature": 1,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1,
        "truncation": "disabled",
        "user": None,
        "usage": {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 12,
        },
    }
    begun = events[0]["response"]
    assert (begun["model"], begun["status"], begun["output"], begun["usage"]) == ("m", "in_progress", [], None)


def test_what_the_client_asked_is_repeated_as_the_types_want_it() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    response = whole_of(
        writer_for(
            instructions="Be kind.",
            temperature=0.2,
            top_p=None,
            metadata={"a": "b"},
            tools=[{"type": "function", "name": "f"}, {"type": "web_search"}, TEAM],
            tool_choice={"type": "function", "name": "f"},
            text={"format": form, "verbosity": "low"},
            reasoning={"effort": "low"},
            store=True,
            service_tier="auto",
            max_output_tokens=9,
        ),
        {"content": "x"},
    )
    assert response["instructions"] == "Be kind."
    assert (response["temperature"], response["top_p"], response["max_output_tokens"]) == (0.2, 1, 9)
    assert response["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": None},
        {"type": "web_search"},
        TEAM,
    ]
    assert response["tool_choice"] == {"type": "function", "name": "f"}
    assert response["text"] == {"format": {**form, "description": None, "strict": False}, "verbosity": "low"}
    assert response["reasoning"] == {"effort": "low", "summary": None}
    assert (response["store"], response["service_tier"], response["metadata"]) == (False, "default", {"a": "b"})
    plain = whole_of(writer_for(text={"format": {"type": "json_object"}}, service_tier="flex"), {"content": "x"})
    assert (plain["text"], plain["service_tier"]) == ({"format": {"type": "json_object"}}, "flex")


def test_a_thought_is_written_as_its_own_summary_before_the_text() -> None:
    pieces = [chunk(reasoning_content="Let "), chunk(reasoning_content="me."), chunk(content="Hi"), chunk("stop"), DONE]
    events = stream_of(writer_for(), pieces)
    assert names(events)[2:9] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    thought, message = events[-1]["response"]["output"]
    assert thought == {
        "id": "rs_ovs_00c0ffee7_0",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": "Let me."}],
    }
    assert message["id"] == "msg_ovs_00c0ffee7_1"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_a_thought_may_come_in_any_of_its_fields(name: str) -> None:
    response = whole_of(writer_for(), {name: "hm", "content": "x"})
    assert response["output"][0]["summary"][0]["text"] == "hm"


def test_a_client_that_keeps_nothing_gets_the_thought_packed() -> None:
    response = whole_of(
        writer_for(include=["reasoning.encrypted_content"]), {"reasoning_content": "hm", "content": "x"}
    )
    assert unpack(Packed.THOUGHT, response["output"][0]["encrypted_content"]) == "hm"


def test_calls_are_written_as_they_come_and_end_with_the_answer() -> None:
    pieces = [
        chunk(content="I look."),
        call(0, "c1", "weather", '{"a'),
        call(1, "c2", "team__spawn"),
        call(0, arguments='": 1}'),
        call(1, arguments="{}"),
        chunk("tool_calls"),
        DONE,
    ]
    events = stream_of(writer_for(tools=TOOLS), pieces)
    _, first, second = events[-1]["response"]["output"]
    assert first == {
        "id": "fc_ovs_00c0ffee7_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "weather",
        "arguments": '{"a": 1}',
    }
    assert (second["name"], second["namespace"], second["arguments"]) == ("spawn", "team", "{}")
    deltas = [(said["output_index"], said["delta"]) for said in events if said["type"].endswith("arguments.delta")]
    assert deltas == [(1, '{"a'), (1, '": 1}'), (2, "{}")]
    assert names(events)[-5:] == [
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]


def test_calls_without_numbers_or_ids_are_told_apart() -> None:
    pieces = [call(None, "c1", "weather"), call(None, arguments="{}"), call(None, "c2", "weather", "[]")]
    output = stream_of(writer_for(tools=TOOLS), [*pieces, DONE])[-1]["response"]["output"]
    assert [(made["call_id"], made["arguments"]) for made in output] == [("c1", "{}"), ("c2", "[]")]
    nameless = stream_of(writer_for(), [call(0, None, "weather", "{}"), DONE])[-1]["response"]["output"]
    assert nameless[0]["call_id"] == "call_ovs_00c0ffee7_0"


def test_the_old_form_of_a_call_is_a_call_too() -> None:
    pieces = [chunk(function_call={"name": "weather", "arguments": ""}), chunk(function_call={"arguments": "{}"})]
    output = stream_of(writer_for(tools=TOOLS), [*pieces, chunk("function_call"), DONE])[-1]["response"]["output"]
    assert [(made["type"], made["name"], made["arguments"]) for made in output] == [("function_call", "weather", "{}")]


def test_a_free_text_leaves_its_json() -> None:
    pieces = [call(0, "c1", "patch", '{"input": "a\\'), call(0, arguments='n\\"b\\"'), call(0, arguments='"}'), DONE]
    events = stream_of(writer_for(tools=TOOLS), pieces)
    assert [said["delta"] for said in events if said["type"].endswith("input.delta")] == ["a", '\n"b"']
    assert names(events)[-3:] == ["custom_tool_call_input.done", "output_item.done", "completed"]
    assert events[-1]["response"]["output"] == [
        {
            "id": "ctc_ovs_00c0ffee7_0",
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "c1",
            "name": "patch",
            "input": 'a\n"b"',
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("plain text", "plain text"),
        ('"a\\nb"', "a\nb"),
        ('{"patch": "x"}', "x"),
        ('{"a": 1, "input": "x"}', "x"),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        ('{"a": 1}', '{"a": 1}'),
        ("{}", "{}"),
        ("[" * 5000, "[" * 5000),
        ('{"input": "never ends', "never ends"),
        ('{"input": "cut \\u00', "cut \\u00"),
        ('{"input": "cut \\ud83d', "cut \\ud83d"),
        ('{"input": "half \\ud83d!"}', "half \ufffd!"),
        ('{"input": "odd \\q"}', "odd \\q"),
        ('{"input": "over", "x": "y"}', "over"),
        ("", ""),
    ],
)
def test_a_free_text_that_was_written_otherwise_is_found_all_the_same(arguments: str, text: str) -> None:
    reading = FreeformInput()
    said = "".join(map(reading.add, arguments))
    assert said + reading.finish() == text


def test_a_text_that_goes_on_behind_something_else_is_another_item() -> None:
    pieces = [chunk(content="a"), chunk(reasoning_content="hm"), chunk(content="b"), chunk(refusal="No."), DONE]
    output = stream_of(writer_for(), pieces)[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "reasoning", "message"]
    assert [part["type"] for part in output[2]["content"]] == ["output_text", "refusal"]
    assert [item["status"] for item in output] == ["completed"] * 3


def test_text_that_comes_in_events_of_one_shape_is_written_as_if_each_had_been_read() -> None:
    words = [f"w{number}" for number in range(40)]
    tricky = ['"', "\\", "\n", "é", "", "\u2028", "🙂"]
    texts = [*words[:20], *tricky, *words[20:]]
    pieces = [chunk(reasoning_content=text) for text in texts] + [chunk(content=text) for text in texts]
    plain = [json.dumps(json.loads(piece[6:]), ensure_ascii=False).encode() for piece in pieces]
    events = stream_of(writer_for(), [*(b"data: %b\n\n" % data for data in plain), chunk("stop"), DONE])
    thought, message = events[-1]["response"]["output"]
    assert thought["summary"][0]["text"] == message["content"][0]["text"] == "".join(texts)
    for kind in ("reasoning_summary_text.delta", "output_text.delta"):
        assert [said["delta"] for said in events if said["type"] == f"response.{kind}"] == [t for t in texts if t]


def test_events_whose_shape_changes_all_the_time_are_read_one_by_one() -> None:
    pieces = [event({**HEAD, "created": number, "choices": [{"delta": {"content": "x"}}]}) for number in range(30)]
    message = stream_of(writer_for(), [*pieces, DONE])[-1]["response"]["output"][0]
    assert message["content"][0]["text"] == "x" * 30


def test_log_probabilities_are_told_with_the_text() -> None:
    token = {"token": "é", "logprob": -0.5, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -1, "bytes": []}]}
    broken = [3, {"token": 3}, {"token": "x", "logprob": True}]
    fields = {"index": 0, "delta": {"content": "é"}, "logprobs": {"content": [token, *broken]}, "finish_reason": None}
    events = stream_of(writer_for(), [event({"choices": [fields]}), DONE])
    shown = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    shown["top_logprobs"] = [{"token": "e", "logprob": -1, "bytes": [101]}]
    delta = next(said for said in events if said["type"] == "response.output_text.delta")
    assert delta["logprobs"] == [shown]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [shown]
    none = event({"choices": [{**fields, "logprobs": {"content": None}}]})
    assert stream_of(writer_for(), [none, DONE])[-1]["response"]["output"][0]["content"][0]["logprobs"] == []


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_was_cut_short_says_why(finish: str, reason: str) -> None:
    events = stream_of(writer_for(), [chunk(reasoning_content="hm"), chunk(content="x"), chunk(finish), DONE])
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.incomplete"
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    whole = whole_of(writer_for(), {"content": "x"}, finish)
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": reason})


def test_counts_are_told_where_they_are_known() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    events = stream_of(writer_for(), [chunk(content="x"), usage(5, 7, **details), DONE])
    assert events[-1]["response"]["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }
    at_choice = {"choices": [{"delta": {"content": "x"}, "usage": {"completion_tokens": 4}}]}
    assert stream_of(writer_for(), [event(at_choice), DONE])[-1]["response"]["usage"]["output_tokens"] == 4


def test_a_sign_of_life_is_an_event_and_begins_the_stream_if_it_must() -> None:
    writer = writer_for()
    stream = (
        writer.heartbeat() + writer.heartbeat() + writer.feed(chunk(content="x")) + writer.feed(b": keep-alive\n\n")
    )
    events = read_events(stream + writer.feed(DONE))
    assert names(events)[:4] == ["created", "in_progress", "in_progress", "output_item.added"]
    assert names(events).count("in_progress") == 3
    assert events[names(events).index("output_text.delta") + 1]["response"]["output"][0]["status"] == "in_progress"


def test_what_the_gateway_says_in_comments_goes_through_and_blank_lines_do_not() -> None:
    writer = writer_for()
    writer.feed(chunk(content="x"))
    label = b": overspill rescued at=1 from=a to=b\n\n"
    assert writer.feed(label) == label
    assert writer.feed(b"\n") == b""
    assert writer.feed(b"data:\n\n") == b""
    writer.feed(DONE)
    assert writer.feed(b": keep-alive\n\n") == b""
    assert writer.feed(DONE) == b""
    assert writer.broken("late", kind="upstream_error") == b""


@pytest.mark.parametrize(
    ("kind", "code", "shown"),
    [
        ("upstream_error", "stream_cut", "server_error"),
        ("rate_limit_error", None, "rate_limit_exceeded"),
        ("invalid_request_error", "bad_request", "invalid_prompt"),
        ("invalid_request_error", "context_length_exceeded", "context_length_exceeded"),
        ("overloaded_error", "no_target", "server_error"),
        ("upstream_error", "rate_limit_exceeded", "rate_limit_exceeded"),
    ],
)
def test_a_stream_that_breaks_fails_with_a_code_that_clients_know(kind: str, code: str | None, shown: str) -> None:
    writer = writer_for()
    stream = writer.feed(chunk(reasoning_content="hm") + chunk(content="x") + usage())
    last = writer.broken("the answer broke off", kind=kind, code=code)
    fields = json.loads(last.partition(b"data: ")[2])
    assert fields["type"] == "response.failed"
    response = fields["response"]
    assert response["error"] == {"code": shown, "message": "the answer broke off", "type": kind, "param": None}
    assert response["status"] == "failed"
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    assert response["usage"]["output_tokens"] == 7
    if shown != "context_length_exceeded":  # which the official types do not list, and Codex waits for
        read_events(stream + last)


def test_a_stream_may_fail_before_it_began() -> None:
    events = read_events(writer_for().broken("no target", kind="overloaded_error", code="no_target"))
    assert names(events) == ["created", "in_progress", "failed"]


def test_errors_have_the_form_of_openai() -> None:
    writer = writer_for()
    body = json.loads(
        writer.error(404, "no route", kind="invalid_request_error", code="model_not_found", param="model")
    )
    expected = {"message": "no route", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    assert body == {"error": expected}


def test_a_whole_answer_has_its_calls() -> None:
    function = {"name": "team__spawn", "arguments": "{}"}
    calls = [{"id": f"c{number}", "type": "function", "function": function} for number in range(2)]
    output = whole_of(writer_for(tools=TOOLS), {"content": "x", "tool_calls": [*calls, "odd"]}, "tool_calls")["output"]
    assert [(item["type"], item.get("call_id"), item.get("namespace")) for item in output] == [
        ("message", None, None),
        ("function_call", "c0", "team"),
        ("function_call", "c1", "team"),
    ]


def test_only_the_first_choice_is_an_answer_here() -> None:
    second = {"index": 1, "delta": {"content": "b"}}
    pieces = [event({"choices": []}), event({"choices": [{"delta": {"content": "a"}}, second]}), DONE]
    assert stream_of(writer_for(), pieces)[-1]["response"]["output"][0]["content"][0]["text"] == "a"
    assert names(stream_of(writer_for(), [event({"choices": [{"delta": None}]}), DONE])) == [
        "created",
        "in_progress",
        "completed",
    ]


def test_what_a_target_says_oddly_breaks_nothing() -> None:
    odd = {"content": ["x"], "refusal": 3, "reasoning_content": 3, "tool_calls": ["x", {"function": 3}]}
    output = stream_of(writer_for(), [event({"choices": [{"delta": odd}]}), DONE])[-1]["response"]["output"]
    assert [(item["type"], item["name"]) for item in output] == [("function_call", "")]
    huge = b'{"model":1e999,"choices":[{"delta":{"content":"x"},"logprobs":{"content":[1e999]}}],"x":1e999}'
    response = stream_of(writer_for(), [b"data: %b\n\n" % huge, DONE])[-1]["response"]
    assert (response["model"], response["output"][0]["content"][0]["text"]) == ("m", "x")
    bare = json.loads(writer_for().whole(b'{"choices": [{"text": "x", "finish_reason": "stop"}]}'))
    assert bare["output"][0]["content"][0]["text"] == "x"


@pytest.mark.parametrize("body", [b"x", b"[]", b'{"choices": [3]}', b'{"choices": {}}'])
def test_a_whole_body_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedChunk):
        writer_for().whole(body)


def test_a_chunk_that_is_no_json_is_malformed() -> None:
    with pytest.raises(MalformedChunk):
        writer_for().feed(b"data: x\n\n")


def test_the_writer_of_a_request_is_made_of_what_the_client_said() -> None:
    writer = answer_writer(ask(tools=TOOLS), REQUEST_ID, CREATED_S)
    assert writer is not None
    events = read_events(writer.feed(call(0, "c1", "patch", '{"input": "x"}')) + writer.feed(DONE))
    assert events[-1]["response"]["output"][0]["type"] == "custom_tool_call"
