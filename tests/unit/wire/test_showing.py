"""Each client gets thoughts in the form it asked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import MalformedChunk
from overspill.wire.chat import parse_request
from overspill.wire.form import ReasoningForm
from overspill.wire.reasoning import ReasoningReader
from overspill.wire.request import SurfaceName
from overspill.wire.showing import ReasoningWriter, reasoning_writer
from overspill.wire.sse import SseDecoder
from overspill.wire.tags import split_thought

F = ReasoningForm
DONE = b"data: [DONE]\n\n"


def sse(delta: dict[str, Any] | None, index: int = 0, finish: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % msgspec.json.encode({"id": "c", "choices": [choice]})


def deltas(stream: bytes) -> list[dict[str, Any]]:
    events = [event.data for event in SseDecoder().feed(stream) if event.data and event.data != b"[DONE]"]
    return [msgspec.json.decode(data)["choices"][0]["delta"] for data in events]


STREAM = [
    sse({"role": "assistant", "content": None}),
    sse({"reasoning_content": "hm"}),
    sse({"reasoning_content": " hm"}),
    sse({"content": "yes"}),
    sse({"content": "!"}),
    sse({}, finish="stop"),
]


@pytest.mark.parametrize("form", [F.REASONING, F.THINKING])
def test_a_thought_is_shown_under_the_name_that_was_asked_for(form: ReasoningForm) -> None:
    writer = ReasoningWriter(form)
    said = b"".join(map(writer.feed, [*STREAM, DONE]))
    assert [delta.get(form.value) for delta in deltas(said)] == [None, "hm", " hm", None, None, None]
    assert b"reasoning_content" not in said
    assert said.endswith(STREAM[3] + STREAM[4] + STREAM[5] + DONE)


def test_a_thought_is_shown_in_the_text() -> None:
    said = ReasoningWriter(F.THINK).feed(b"".join([*STREAM, b": ping\n\n", DONE]))
    content = [delta.get("content") for delta in deltas(said)]
    assert content == [None, "<think>\nhm", " hm", "\n</think>\n\nyes", "!", None]
    assert said.endswith(b": ping\n\n" + DONE)


@pytest.mark.parametrize(("end", "finish"), [({"tool_calls": [{"index": 0}]}, None), ({}, "length")])
def test_a_thought_in_the_text_is_closed_before_a_call_and_before_the_end(
    end: dict[str, Any], finish: str | None
) -> None:
    writer = ReasoningWriter(F.THINK)
    said = writer.feed(sse({"reasoning_content": "a"}) + sse(end, finish=finish) + sse({}, finish="stop"))
    assert [delta.get("content") for delta in deltas(said)] == ["<think>\na", "\n</think>\n\n", None]


def test_an_empty_thought_opens_no_tag() -> None:
    said = ReasoningWriter(F.THINK).feed(
        sse({"reasoning_content": "", "content": "x"}) + sse({"reasoning_content": None})
    )
    assert deltas(said) == [{"content": "x"}, {"content": ""}]


def test_a_thought_that_is_not_wanted_is_left_out_and_its_events_stay_as_signs_of_life() -> None:
    said = ReasoningWriter(F.NONE).feed(b"".join(STREAM) + sse({"reasoning_details": [1], "content": "x"}))
    blank = {"content": ""}
    assert deltas(said) == [
        {"role": "assistant", "content": None},
        blank,
        blank,
        {"content": "yes"},
        {"content": "!"},
        {},
        {"content": "x"},
    ]


@pytest.mark.parametrize("form", [F.NONE, F.THINK, F.REASONING])
def test_a_text_that_only_speaks_of_reasoning_passes_as_it_is(form: ReasoningForm) -> None:
    raw = b'data: {"id":"c","choices":[{"delta":{"content":"x"}}],"reasoning":1}\n\n'
    assert ReasoningWriter(form).feed(raw) == raw


def test_a_thought_goes_on_while_other_fields_of_its_choice_come() -> None:
    writer = ReasoningWriter(F.THINK)
    said = writer.feed(sse({"reasoning_content": "a"}) + sse({"role": "assistant"}) + sse({"content": "b"}))
    assert [delta.get("content") for delta in deltas(said)] == ["<think>\na", None, "\n</think>\n\nb"]


def test_choices_are_told_apart() -> None:
    writer = ReasoningWriter(F.THINK)
    said = writer.feed(sse({"reasoning_content": "a"}) + sse({"content": "b"}, index=1) + sse({"content": "c"}))
    assert [delta["content"] for delta in deltas(said)] == ["<think>\na", "b", "\n</think>\n\nc"]
    odd = b'data: {"choices":[null,{"delta":null}],"reasoning":1}\n\n'
    assert writer.feed(odd) == odd
    assert writer.feed(b'data: {"choices":7,"reasoning":1}\n\n') == b'data: {"choices":7,"reasoning":1}\n\n'


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        (F.REASONING, {"content": "yes", "reasoning": "hm"}),
        (F.THINKING, {"content": "yes", "thinking": "hm"}),
        (F.THINK, {"content": "<think>\nhm\n</think>\n\nyes"}),
        (F.NONE, {"content": "yes"}),
    ],
)
def test_a_whole_answer_is_written_likewise(form: ReasoningForm, wanted: dict[str, Any]) -> None:
    said = {"content": "yes", "reasoning_content": "hm"}
    body = msgspec.json.encode({"choices": [{"message": said}, {"message": None}, None]})
    assert msgspec.json.decode(ReasoningWriter(form).whole(body))["choices"][0]["message"] == wanted


def test_a_whole_answer_without_a_thought_or_without_text() -> None:
    plain = b'{"choices":[{"message":{"content":"x"}}]}'
    assert ReasoningWriter(F.THINK).whole(plain) is plain
    empty = b'{"choices":[{"message":{"content":null,"reasoning_content":null}}]}'
    assert ReasoningWriter(F.THINK).whole(empty) == b'{"choices":[{"message":{"content":null}}]}'
    call = b'{"choices":[{"message":{"content":null,"reasoning_content":"a"}}]}'
    wanted = b'{"choices":[{"message":{"content":"<think>\\na\\n</think>\\n\\n"}}]}'
    assert ReasoningWriter(F.THINK).whole(call) == wanted
    assert ReasoningWriter(F.NONE).whole(b'{"choices":7,"reasoning":1}') == b'{"choices":7,"reasoning":1}'


def test_errors_and_signs_of_life_are_those_of_chat() -> None:
    writer = ReasoningWriter(F.THINK)
    assert writer.heartbeat() == b": keep-alive\n\n"
    assert writer.broken("no", kind="k", code="c").startswith(b'data: {"error":{"message":"no"')
    assert msgspec.json.decode(writer.error(400, "no", kind="k", param="p"))["error"]["param"] == "p"
    with pytest.raises(MalformedChunk):
        writer.feed(b'data: {"reasoning": \n\n')
    with pytest.raises(MalformedChunk):
        writer.whole(b'{"reasoning": ')


thoughts = st.lists(st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), min_size=1), max_size=4)


@given(thoughts, thoughts, st.sampled_from([F.THINK, F.REASONING, F.THINKING]))
def test_what_is_written_for_a_client_reads_as_what_it_was(
    thought: list[str], content: list[str], form: ReasoningForm
) -> None:
    stream = [*[sse({"reasoning_content": t}) for t in thought], *[sse({"content": t}) for t in content]]
    written = ReasoningWriter(form).feed(b"".join([*stream, sse({}, finish="stop")]))
    reader, aggregator = ReasoningReader(form), Aggregator("chat")
    for event in SseDecoder().feed(written):
        for data in reader.read(event):
            aggregator.add(data)
    said = msgspec.json.decode(aggregator.finish())["choices"][0]["message"]
    wanted = ("".join(thought), "".join(content))
    found = (said.get("reasoning_content") or "", said.get("content") or "")
    if form is F.THINK:  # white space around it is the tags'
        wanted = (wanted[0].strip(), wanted[1].lstrip() if thought else wanted[1])
        assert split_thought(found[1]) == (None, found[1])
    assert found == wanted


@pytest.mark.parametrize(
    ("surface", "form", "is_needed"),
    [("chat", F.THINK, True), ("chat", F.REASONING_CONTENT, False), ("completions", F.THINK, False)],
)
def test_only_a_chat_in_another_form_needs_a_writer(surface: SurfaceName, form: ReasoningForm, is_needed: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user"}], "prompt": "x"}
    request = parse_request(surface, msgspec.json.encode(body))
    assert (reasoning_writer(request, form) is not None) is is_needed
