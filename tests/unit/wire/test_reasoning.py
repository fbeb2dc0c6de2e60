"""Thoughts come out as ``reasoning_content``, whatever form they came in and wherever a stream is cut."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import MalformedChunk
from overspill.wire.form import ReasoningForm
from overspill.wire.reasoning import ReasoningReader, reasoning_reader
from overspill.wire.sse import Event
from overspill.wire.tags import split_thought

F = ReasoningForm
WHOLE_FORMS = (F.REASONING, F.THINKING, F.THINK, F.THINK_OPEN, F.AUTO)


def event(data: bytes) -> Event:
    return Event(b"data: %b\n\n" % data, data)


def chunk(delta: dict[str, Any] | None = None, index: int = 0, **rest: Any) -> bytes:
    return msgspec.json.encode(
        {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": None, **rest}]}
    )


def read(reader: ReasoningReader, *chunks: bytes) -> list[bytes]:
    return [data for raw in chunks for data in reader.read(event(raw))]


def message(chunks: list[bytes]) -> dict[str, Any]:
    aggregator = Aggregator("chat")
    for data in chunks:
        aggregator.add(data)
    found: dict[str, Any] = msgspec.json.decode(aggregator.finish())["choices"][0]["message"]
    return found


def parts(chunks: list[bytes]) -> tuple[str, str]:
    said = message(chunks)
    return said.get("reasoning_content") or "", said.get("content") or ""


END = chunk({}, finish_reason="stop")


@pytest.mark.parametrize("form", [F.REASONING_CONTENT, F.NONE])
def test_a_target_in_the_normal_form_needs_no_reader(form: ReasoningForm) -> None:
    assert reasoning_reader(form) is None


@pytest.mark.parametrize("form", [F.AUTO, F.REASONING])
@pytest.mark.parametrize("name", ["reasoning", "thinking"])
def test_another_name_becomes_the_normal_one(form: ReasoningForm, name: str) -> None:
    reader = ReasoningReader(form)
    role, content = chunk({"role": "assistant", "content": ""}), chunk({"content": "yes"})
    said = read(reader, role, chunk({name: "hm"}), content, END)
    assert said[0] is role
    assert msgspec.json.decode(said[1])["choices"][0]["delta"] == {"reasoning_content": "hm"}
    assert said[2:] == [content, END]
    assert said[2] is content  # nothing is read of it
    assert not reader.is_transparent  # a further thought may come


def test_a_thought_that_comes_under_two_names_comes_out_once_and_details_stay() -> None:
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    delta = {"reasoning": "hm", "thinking": "hm", "reasoning_details": details}
    (said,) = read(ReasoningReader(F.REASONING), chunk(delta))
    wanted = {"reasoning_content": "hm", "reasoning_details": details}
    assert msgspec.json.decode(said)["choices"][0]["delta"] == wanted
    (said,) = read(ReasoningReader(F.REASONING), chunk({"reasoning": None, "content": "x"}))
    assert msgspec.json.decode(said)["choices"][0]["delta"] == {"content": "x"}


@pytest.mark.parametrize(
    "delta",
    [{"reasoning_content": "hm"}, {"content": "yes"}, {"content": "<b>"}, {"tool_calls": [{"index": 0}]}],
)
def test_the_first_token_shows_that_nothing_is_to_be_done(delta: dict[str, Any]) -> None:
    reader = ReasoningReader(F.AUTO)
    first = chunk({"role": "assistant", "content": None})
    assert read(reader, first) == [first]
    assert not reader.is_transparent
    told = chunk(delta)
    assert read(reader, told) == [told]
    assert reader.is_transparent
    odd = b'{"choices": [{"delta": {"reasoning": "x"}}]}'
    assert read(reader, odd) == [odd]


@pytest.mark.parametrize("delta", [{"tool_calls": [{"index": 0}]}, {"reasoning": "hm"}, {"reasoning_content": "hm"}])
def test_white_space_that_was_held_is_given_back(delta: dict[str, Any]) -> None:
    said = read(ReasoningReader(F.AUTO), chunk({"content": " <th"}), chunk(delta), chunk({"content": "x"}), END)
    assert parts(said)[1] == " <thx"


def test_a_thought_in_the_text_is_taken_out_of_it_and_then_all_passes_as_it_is() -> None:
    reader = ReasoningReader(F.AUTO)
    pieces = ["<th", "ink>", "\nhm", " hm", "\n</", "think>", "\n\n", "yes"]
    said = read(reader, *[chunk({"content": piece}) for piece in pieces])
    assert parts(said) == ("hm hm", "yes")
    assert reader.is_transparent
    assert read(reader, b"[DONE]") == [b"[DONE]"]


def test_each_event_comes_out_as_one_so_that_none_is_taken_for_silence() -> None:
    reader = ReasoningReader(F.THINK)
    for piece in ["<", "think", ">", "\n", "\n", "a", "</think", ">", "\n"]:
        assert len(reader.read(event(chunk({"content": piece})))) == 1


def test_what_was_held_comes_with_the_end() -> None:
    last = chunk({"content": "</th"}, finish_reason="length")
    assert parts(read(ReasoningReader(F.THINK), chunk({"content": "<think>a"}), last)) == ("a</th", "")
    end = chunk(None, finish_reason="stop")
    assert parts(read(ReasoningReader(F.AUTO), chunk({"content": "<th"}), end)) == ("", "<th")


def test_a_call_after_a_thought_ends_it_though_the_tag_never_came() -> None:
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    said = read(ReasoningReader(F.THINK), chunk({"content": "<think>a </"}), chunk(call), END)
    assert message(said)["reasoning_content"] == "a </"
    assert "content" not in msgspec.json.decode(said[1])["choices"][0]["delta"]


def test_several_choices_are_told_apart_and_one_may_begin_late() -> None:
    reader = ReasoningReader(F.AUTO, choices=2)
    said = read(
        reader,
        chunk({"content": "plain"}),
        chunk({"content": "<think>a</think>b"}, index=1),
        chunk({"content": " text"}),
    )
    deltas = [msgspec.json.decode(data)["choices"][0]["delta"] for data in said]
    assert deltas == [{"content": "plain"}, {"reasoning_content": "a", "content": "b"}, {"content": " text"}]
    assert reader.is_transparent


def test_events_that_are_no_tokens_pass() -> None:
    reader = ReasoningReader(F.THINK)
    for data in (b'{"choices":[],"usage":{}}', b'{"error":"x"}', b"[DONE]", chunk(None), chunk({"role": "assistant"})):
        assert read(reader, data) == [data]
    parts_of_content = chunk({"content": [{"type": "text", "text": "x"}]})
    assert read(reader, parts_of_content) == [parts_of_content]
    assert reader.read(Event(b": ping\n\n", None)) == []


def test_what_is_no_chunk_says_so() -> None:
    with pytest.raises(MalformedChunk):
        read(ReasoningReader(F.AUTO), b"nonsense")
    with pytest.raises(MalformedChunk):
        ReasoningReader(F.AUTO).whole(b'["think"]')


def test_the_brackets_of_a_tag_may_be_escaped() -> None:
    escaped = b'{"choices":[{"message":{"content":"\\u003cthink\\u003ehm\\u003c/think\\u003ex"}}]}'
    whole = msgspec.json.decode(ReasoningReader(F.AUTO).whole(escaped))
    assert whole["choices"][0]["message"] == {"content": "x", "reasoning_content": "hm"}


def body(said: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"choices": [{"index": 0, "message": said}]})


@pytest.mark.parametrize(
    ("form", "said", "wanted"),
    [
        (F.AUTO, {"content": "x", "reasoning": "hm"}, {"content": "x", "reasoning_content": "hm"}),
        (F.AUTO, {"content": "<think>hm</think>x"}, {"content": "x", "reasoning_content": "hm"}),
        (F.AUTO, {"content": "<think></think>x"}, {"content": "x"}),
        (F.REASONING, {"content": "<think>hm</think>x"}, {"content": "<think>hm</think>x"}),
        (F.THINK_OPEN, {"content": "hm</think>x"}, {"content": "x", "reasoning_content": "hm"}),
        (F.THINK, {"content": None, "tool_calls": []}, {"content": None, "tool_calls": []}),
        (F.THINK, {"content": "<think>a", "reasoning_content": "b"}, {"content": "<think>a", "reasoning_content": "b"}),
        (F.NONE, {"content": "<think>a</think>"}, {"content": "<think>a</think>"}),
    ],
)
def test_a_whole_answer_is_read_likewise(form: ReasoningForm, said: dict[str, Any], wanted: dict[str, Any]) -> None:
    raw = body(said)
    found = ReasoningReader(form).whole(raw)
    assert msgspec.json.decode(found)["choices"][0]["message"] == wanted
    assert (found is raw) == (said == wanted)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"error":{"message":"I think"}}',
        b'{"think":0,"choices":[null,{"message":null}]}',
        b'{"think":0,"choices":7}',
        b'{"choices":[]}',
    ],
)
def test_what_has_no_text_passes_as_it_is(raw: bytes) -> None:
    assert ReasoningReader(F.AUTO).whole(raw) is raw


pieces = st.lists(st.sampled_from(["<think>", "</think>", "<", "th", "ink>", " ", "\n", "a", "b"]), max_size=12)


@given(pieces, st.sampled_from([F.AUTO, F.THINK, F.THINK_OPEN]), st.booleans())
def test_a_stream_is_read_as_its_whole_would_be(texts: list[str], form: ReasoningForm, ends_within: bool) -> None:
    chunks = [chunk({"content": piece}) for piece in texts]
    if ends_within and texts:
        chunks[-1] = chunk({"content": texts[-1]}, finish_reason="stop")
    else:
        chunks.append(END)
    whole = "".join(texts)
    thought, text = split_thought(whole, is_open=form is F.THINK_OPEN)
    assert parts(read(ReasoningReader(form), *chunks)) == (thought or "", text)
    read_whole = msgspec.json.decode(ReasoningReader(form).whole(body({"content": whole})))["choices"][0]["message"]
    assert (read_whole.get("reasoning_content", ""), read_whole["content"]) == (thought or "", text)


@given(st.lists(st.tuples(st.sampled_from(["reasoning", "thinking", "content"]), st.text(min_size=1)), max_size=8))
def test_renamed_thoughts_lose_nothing(said: list[tuple[str, str]]) -> None:
    chunks = [*[chunk({name: text}) for name, text in said], END]
    wanted = (
        "".join(text for name, text in said if name != "content"),
        "".join(text for name, text in said if name == "content"),
    )
    assert parts(read(ReasoningReader(F.REASONING), *chunks)) == wanted
