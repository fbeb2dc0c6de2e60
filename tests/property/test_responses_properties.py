"""Answers of a chat as responses: nothing is lost or made up on the way out, nor on the way back in."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.responses import (
    CREATED_S,
    DONE,
    PATCH,
    REQUEST_ID,
    TEAM,
    WEATHER,
    ask,
    chunk,
    messages_of,
    read_events,
    stream_of,
    usage,
    whole_of,
    writer_for,
)

from overspill.errors import WireError
from overspill.wire.answers import MalformedChunk
from overspill.wire.responses.freeform import FreeformInput
from overspill.wire.responses.native import NativeResponses
from overspill.wire.responses.packed import Packed, pack, unpack
from overspill.wire.responses.reading import read_responses
from overspill.wire.responses.tools import flat_name
from overspill.wire.responses.writer import ResponsesWriter
from overspill.wire.sse import Event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = TEXT.filter(bool)
NAMES = st.sampled_from(["weather", "patch", "team__spawn", "unknown"])
TOOLS = [WEATHER, PATCH, TEAM]


def cut(text: str, at: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 50), max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a message without calls, and the deltas that it is streamed as, in any order of their kinds."""
    kinds = draw(st.lists(st.sampled_from(["reasoning_content", "content", "refusal"]), max_size=5))
    message: dict[str, Any] = {}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for kind in kinds:
        text = draw(TEXT)
        deltas += [{kind: piece} for piece in cut(text, draw(CUTS))]
        if text:
            message[kind] = message.get(kind, "") + text
    return message, deltas


@st.composite
def answers(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw a message, and the deltas that it is streamed as; the pieces of its calls may come in any order."""
    message, deltas = draw(texts())
    calls = draw(st.lists(st.tuples(NAMES, TEXT), max_size=3))
    lanes: list[list[dict[str, Any]]] = []
    for index, (name, text) in enumerate(calls):
        arguments = json.dumps({"input": text}) if name == "patch" else text
        function = {"name": name, "arguments": arguments}
        message.setdefault("tool_calls", []).append({"id": f"call_{index}", "type": "function", "function": function})
        lane = [{"index": index, "id": f"call_{index}", "function": {"name": name, "arguments": ""}}]
        lane += [{"index": index, "function": {"arguments": piece}} for piece in cut(arguments, draw(CUTS))]
        lanes.append(lane)
        deltas.append({"tool_calls": [lane.pop(0)]})
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        deltas.append({"tool_calls": [lane.pop(0)]})
    return message, deltas


def assembled(output: list[dict[str, Any]]) -> dict[str, Any]:
    """Make a chat's message of a response's items."""
    message: dict[str, Any] = {}

    def add(name: str, text: str) -> None:
        if text:
            message[name] = message.get(name, "") + text

    for item in output:
        match item["type"]:
            case "reasoning":
                add("reasoning_content", "".join(part["text"] for part in item["summary"]))
            case "message":
                for part in item["content"]:
                    add("refusal" if part["type"] == "refusal" else "content", part.get("text", part.get("refusal")))
            case _:
                arguments = json.dumps({"input": item["input"]}) if "input" in item else item["arguments"]
                function = {"name": flat_name(item.get("namespace"), item["name"]), "arguments": arguments}
                made = {"id": item["call_id"], "type": "function", "function": function}
                message.setdefault("tool_calls", []).append(made)
    return message


def told(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the items together from their deltas alone."""
    items: dict[int, dict[str, Any]] = {}
    for event in events:
        index, kind = event.get("output_index"), event["type"].removeprefix("response.")
        if kind == "output_item.added":
            items[index] = json.loads(json.dumps(event["item"]))
            continue
        item = items.get(index, {})
        match kind:
            case "reasoning_summary_part.added":
                item["summary"].append(dict(event["part"]))
            case "reasoning_summary_text.delta":
                item["summary"][event["summary_index"]]["text"] += event["delta"]
            case "content_part.added":
                item["content"].append(dict(event["part"]))
            case "output_text.delta":
                item["content"][event["content_index"]]["text"] += event["delta"]
            case "refusal.delta":
                item["content"][event["content_index"]]["refusal"] += event["delta"]
            case "function_call_arguments.delta":
                item["arguments"] += event["delta"]
            case "custom_tool_call_input.delta":
                item["input"] += event["delta"]
            case "output_item.done":
                assert item == {**event["item"], "status": "in_progress"}
                items[index] = event["item"]
    return [items[index] for index in sorted(items)]


@settings(max_examples=80, deadline=None)
@given(answers(), st.sampled_from(["stop", "tool_calls", "length", "content_filter"]), st.booleans())
def test_a_streamed_answer_is_the_message_that_the_chat_was(
    answer: tuple[dict[str, Any], list[dict[str, Any]]], finish: str, has_usage: bool
) -> None:
    message, deltas = answer
    stream = [chunk(**delta) for delta in deltas] + [chunk(finish)] + [usage()] * has_usage + [DONE]
    events = stream_of(writer_for(tools=TOOLS), stream)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    expected = "incomplete" if finish in ("length", "content_filter") else "completed"
    assert last["type"] == f"response.{expected}"
    assert last["response"]["status"] == expected
    assert (last["response"]["usage"] is not None) == has_usage
    assert assembled(last["response"]["output"]) == message
    assert told(events) == last["response"]["output"]
    assert not any(event["type"] in ("response.completed", "response.incomplete") for event in events[:-1])


@settings(max_examples=80, deadline=None)
@given(answers(), st.integers(0, 20))
def test_a_stream_that_breaks_anywhere_keeps_what_was_said_and_fails(
    answer: tuple[dict[str, Any], list[dict[str, Any]]], at: int
) -> None:
    deltas = answer[1][:at]
    writer = writer_for(tools=TOOLS)
    stream = b"".join(writer.feed(chunk(**delta)) for delta in deltas)
    stream += writer.heartbeat() + writer.broken("it broke off", kind="upstream_error", code="stream_cut")
    events = read_events(stream)
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"
    assert writer.feed(DONE) == b""
    said = told(events)
    shown = [{**item, "status": "in_progress"} for item in events[-1]["response"]["output"]]
    assert [{**item, "status": "in_progress"} for item in said] == shown


@settings(max_examples=80, deadline=None)
@given(answers())
def test_a_whole_answer_has_the_items_of_a_streamed_one(answer: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    message, _ = answer
    whole = whole_of(writer_for(tools=TOOLS), {"content": None, **message})
    deltas = [{name: message[name]} for name in ("reasoning_content", "content", "refusal") if name in message]
    calls = message.get("tool_calls", [])
    deltas += [{"tool_calls": [{**made, "index": index}]} for index, made in enumerate(calls)]
    events = stream_of(writer_for(tools=TOOLS), [*(chunk(**delta) for delta in deltas), chunk("stop"), DONE])
    assert whole == events[-1]["response"]


@settings(max_examples=80, deadline=None)
@given(answers(), st.booleans(), st.booleans())
def test_an_answer_that_comes_back_is_the_message_that_it_was(
    answer: tuple[dict[str, Any], list[dict[str, Any]]], keeps_ids: bool, is_packed: bool
) -> None:
    message, deltas = answer
    fields: dict[str, Any] = {"tools": TOOLS}
    if is_packed:
        fields["include"] = ["reasoning.encrypted_content"]
    stream = [*(chunk(**delta) for delta in deltas), chunk("stop"), DONE]
    output = stream_of(writer_for(**fields), stream)[-1]["response"]["output"]
    if is_packed:
        output = [{**item, "summary": []} if item["type"] == "reasoning" else item for item in output]
    has_one_text = sum(item["type"] == "message" for item in output) <= 1
    if not keeps_ids and has_one_text:  # several texts of one answer are known by their ids
        output = [{name: value for name, value in item.items() if name != "id"} for item in output]
    results = [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "ok"}
        for item in output
        if "call_id" in item
    ]
    said = [{"role": "user", "content": "hi"}, *output, *results, {"role": "user", "content": "go on"}]
    history = messages_of(ask(said, **fields))
    own = [made for made in history if made["role"] == "assistant"]
    expected = {"role": "assistant", "content": None, **message}
    if not message.get("tool_calls") and not message.get("refusal"):
        expected["content"] = message.get("content", "")
    for made in [*own, expected]:
        for called in made.get("tool_calls", []):  # how JSON is spaced is not kept of a free text's arguments
            if called["function"]["name"] == "patch":
                called["function"]["arguments"] = json.loads(called["function"]["arguments"])
    assert own == ([expected] if output else [])
    assert [made["role"] for made in history if made["role"] != "assistant"] == [
        "user",
        *["tool"] * len(results),
        "user",
    ]


@given(st.sampled_from(Packed), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_packed_text_is_the_same_when_unpacked(kind: Packed, text: str) -> None:
    assert unpack(kind, pack(kind, text)) == text


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), CUTS, st.booleans(), st.booleans())
def test_a_free_text_comes_out_of_its_json_wherever_that_is_cut(
    text: str, at: list[int], is_ascii: bool, has_spaces: bool
) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=is_ascii, separators=None if has_spaces else (",", ":"))
    reading = FreeformInput()
    said = "".join(map(reading.add, cut(arguments, at)))
    assert said + reading.finish() == text
    assert said == text


@settings(max_examples=80)
@given(TEXT, WORDS, TEXT, WORDS)
def test_names_in_a_flat_list_are_what_servers_take_and_differ(group: str, name: str, other: str, own: str) -> None:
    flat = flat_name(group, name)
    assert flat == flat_name(group, name)
    assert len(flat) <= 64
    assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in flat)
    whole, another = f"{group}__{name}", f"{other}__{own}"
    if whole.rstrip("_") != another.rstrip("_") and "__" not in group + name + other + own:
        assert flat != flat_name(other, own)


KEYS = [
    "type",
    "role",
    "content",
    "text",
    "name",
    "call_id",
    "tools",
    "choices",
    "delta",
    "tool_calls",
    "index",
    "function",
    "arguments",
    "logprobs",
    "usage",
    "model",
    "id",
    "summary",
    "output",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner | st.sampled_from(["message", "reasoning", "function", "namespace", "custom", "user", "input_text"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({"model": st.just("m"), "input": JSON}, optional={"tools": JSON, "tool_choice": JSON}))
def test_any_request_is_read_or_refused_with_the_place_of_what_is_wrong(body: dict[str, Any]) -> None:
    try:
        request = read_responses(json.dumps(body).encode())
    except WireError as error:
        refused = (error.status, bool(error.param), bool(error.code))
        assert refused == (400, True, True)
        return
    assert request.native is not None
    writer = ResponsesWriter(request.native, request_id=REQUEST_ID, created_s=CREATED_S)
    read_events(writer.feed(chunk(content="x") + DONE))


@settings(max_examples=200, deadline=None)
@given(st.lists(JSON.map(lambda value: json.dumps(value).encode()), max_size=3))
def test_any_chunks_become_events_or_are_malformed(chunks: list[bytes]) -> None:
    writer = writer_for(tools=TOOLS)
    try:
        stream = b"".join(writer.feed(b"data: %b\n\n" % data) for data in chunks)
    except MalformedChunk:
        return
    read_events(stream + writer.feed(DONE))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_native_bytes_are_read_or_malformed(data: bytes) -> None:
    reader = NativeResponses()
    for read in (lambda: reader.read(Event(data, data)), lambda: reader.whole(data)):
        try:
            read()
        except MalformedChunk:
            continue
