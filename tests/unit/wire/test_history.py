"""The thoughts of earlier turns: put back, taken out, or left, as the target's rule says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from overspill.wire.form import ChatForm, History, rule_for
from overspill.wire.history import (
    CallKey,
    Thought,
    may_need_repair,
    thought_of_answer,
    thought_of_stream,
    write_history,
)

H = History
FORM = ChatForm()
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
USER = {"role": "user", "content": "hi"}
TOOL = {"role": "tool", "tool_call_id": "call_1", "content": "42"}


def turn(**rest: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [CALL], **rest}


def write(rule: History, *turns: dict[str, Any], known: dict[str, str] | None = None, form: ChatForm = FORM) -> Any:
    """Return the turns as written, or ``None`` if they were right."""

    def recall(key: CallKey) -> str | None:
        return (known or {}).get(key.call_id)

    written = write_history(msgspec.json.encode(turns), rule, form, recall)
    return None if written is None else msgspec.json.decode(written)


def test_a_dropped_thought_is_put_back_by_the_call_that_it_led_to() -> None:
    assert write(H.KEEP_WITH_TOOLS, USER, turn(), TOOL, known={"call_1": "hm"}) == [
        USER,
        turn(reasoning_content="hm"),
        TOOL,
    ]


def test_of_several_calls_any_tells_the_thought() -> None:
    second = {**CALL, "id": "call_2"}
    written = write(H.KEEP_WITH_TOOLS, turn(tool_calls=[CALL, second]), known={"call_2": "hm"})
    assert written[0]["reasoning_content"] == "hm"


@pytest.mark.parametrize("said", [{}, {"reasoning_content": None}])
def test_where_the_rule_demands_one_an_unknown_thought_is_empty(said: dict[str, Any]) -> None:
    assert write(H.KEEP_WITH_TOOLS, turn(**said)) == [turn(reasoning_content="")]
    kept = write(H.KEEP, turn(**said))
    assert kept in (None, [turn()])


def test_a_thought_that_the_client_kept_is_not_touched() -> None:
    assert write(H.KEEP_WITH_TOOLS, turn(reasoning_content="mine"), known={"call_1": "hm"}) is None
    assert write(H.KEEP, turn(reasoning_content="mine")) is None


def test_an_empty_one_that_the_client_sent_is_filled_if_it_is_known() -> None:
    (written,) = write(H.KEEP_WITH_TOOLS, turn(reasoning_content=""), known={"call_1": "hm"})
    assert written["reasoning_content"] == "hm"
    assert write(H.KEEP_WITH_TOOLS, turn(reasoning_content="")) is None


def test_a_turn_without_calls_needs_none() -> None:
    assert write(H.KEEP_WITH_TOOLS, USER, {"role": "assistant", "content": "x"}) is None
    assert write(H.KEEP_WITH_TOOLS, {"role": "assistant", "content": "x", "tool_calls": []}) is None
    assert write(H.KEEP, turn(), known={"call_1": "hm"}) == [turn(reasoning_content="hm")]


@pytest.mark.parametrize("name", ["reasoning", "thinking", "reasoning_content"])
def test_a_thought_is_written_into_the_field_that_the_target_reads(name: str) -> None:
    assert write(H.KEEP, turn(**{name: "hm"}), form=ChatForm(reasoning_field="reasoning")) in (
        None if name == "reasoning" else [turn(reasoning="hm")],
        [turn(reasoning="hm")],
    )


def test_a_thought_in_the_text_is_taken_out_of_it() -> None:
    said = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nyes"}
    assert write(H.KEEP, said) == [{"role": "assistant", "content": "yes", "reasoning_content": "hm"}]
    assert write(H.STRIP, said) == [{"role": "assistant", "content": "yes"}]
    assert write(H.KEEP, {"role": "assistant", "content": "a <think>b</think>"}) is None
    assert write(H.KEEP, {"role": "assistant", "content": "<think>b"}) is None
    parts = {"role": "assistant", "content": [{"type": "text", "text": "<think>"}]}
    assert write(H.KEEP, parts) is None


def test_details_go_only_to_who_reads_them() -> None:
    said = turn(reasoning_content="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm"}])
    assert write(H.KEEP_WITH_TOOLS, said) == [turn(reasoning_content="hm")]
    assert write(H.KEEP, said, form=ChatForm(takes_details=True)) is None
    assert write(H.STRIP, said, form=ChatForm(takes_details=True)) == [turn()]


def test_where_they_are_refused_all_go_and_nothing_else() -> None:
    asked = {"role": "user", "content": "why", "reasoning": "a user's own field"}
    assert write(H.STRIP, asked, turn(reasoning_content="hm", reasoning="hm")) == [asked, turn()]
    assert write(H.STRIP, USER, turn()) is None


def test_what_may_stay_as_it_is_stays_so() -> None:
    assert write(H.AS_IS, turn(reasoning="hm")) is None
    assert write_history(b"[1]", H.STRIP, FORM, lambda _: None) is None
    assert write_history(b"nonsense", H.STRIP, FORM, lambda _: None) is None
    quoted = {"role": "user", "content": 'I say "assistant"', "name": "assistant"}
    assert write(H.KEEP_WITH_TOOLS, quoted) is None


def test_turns_that_need_no_change_keep_their_bytes() -> None:
    raw = b'[ {"role" : "user","content":1e2}, {"role":"assistant","reasoning":"hm"} ]'
    written = write_history(raw, H.STRIP, FORM, lambda _: None)
    assert written == b'[{"role" : "user","content":1e2},{"role":"assistant"}]'


@pytest.mark.parametrize(
    ("messages", "may"),
    [
        (b'[{"role":"user","content":"hi"}]', False),
        (b'[{"role":"user","content":"the \\"tool_calls\\" of a model"}]', False),
        (b'[{"role":"assistant","tool_calls":[]}]', True),
        (b'[{"role":"assistant","reasoning_content":"a"}]', True),
        (b'[{"role":"assistant","thinking":"a"}]', True),
        (b'[{"role":"assistant","content":"<think>a"}]', True),
    ],
)
def test_a_conversation_without_any_sign_of_a_thought_is_not_looked_at(messages: bytes, may: bool) -> None:
    assert may_need_repair(messages) is may


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("deepseek-flash", H.KEEP_WITH_TOOLS),
        ("deepseek-v4-pro", H.KEEP_WITH_TOOLS),
        ("deepseek-ai/DeepSeek-V3.2", H.KEEP_WITH_TOOLS),
        ("deepseek-v3-2-251201", H.KEEP_WITH_TOOLS),
        ("accounts/fireworks/models/deepseek-v4p1-flash", H.KEEP_WITH_TOOLS),
        ("deepseek.v3.2", H.KEEP_WITH_TOOLS),
        ("deepseek-chat", H.KEEP_WITH_TOOLS),
        ("deepseek-reasoner", H.KEEP_WITH_TOOLS),
        ("deepseek-v3-250324", H.AS_IS),
        ("deepseek-ai/DeepSeek-V3.1", H.AS_IS),
        ("deepseek-r1:7b", H.STRIP),
        ("DeepSeek-R1-Distill-Qwen-7B-Q4_K_M", H.STRIP),
        ("us.deepseek.r1-v1:0", H.STRIP),
        ("qwen/QwQ-32B", H.STRIP),
        ("gpt-oss-20b", H.AS_IS),
        ("overspill-tiny", H.AS_IS),
    ],
)
def test_the_name_of_a_model_says_what_its_maker_does(model: str, rule: History) -> None:
    assert rule_for(model) is rule


# -- what is remembered


def answer(**message: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"message": {"role": "assistant", **message}}]})


def test_a_thought_is_remembered_by_its_calls() -> None:
    found = thought_of_answer(answer(reasoning_content="hm", tool_calls=[CALL, {**CALL, "id": "call_2"}]))
    assert found is not None
    assert found.text == "hm"
    assert [key.call_id for key in found.calls] == ["call_1", "call_2"]


def test_a_call_is_known_again_however_its_arguments_are_spaced_and_ordered() -> None:
    spaced = {**CALL, "function": {"name": "f", "arguments": '{ "b":2,"a":1}'}}
    other = {**CALL, "function": {"name": "g", "arguments": '{"a":1,"b":2}'}}
    more = {**CALL, "function": {"name": "f", "arguments": '{"a":1,"b":3}'}}
    broken = {**CALL, "function": {"name": "f", "arguments": '{"a'}}
    keys = [
        thought_of_answer(answer(reasoning_content="hm", tool_calls=[call])).calls[0]  # type: ignore[union-attr]
        for call in (CALL, spaced, other, more, broken)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        b'{"choices":[]}',
        b'{"choices":[{"message":null}]}',
        answer(content="x", reasoning_content="hm"),
        answer(tool_calls=[CALL]),
        answer(reasoning_content="", tool_calls=[CALL]),
        answer(reasoning_content="hm", tool_calls=[{"id": "", "function": {}}, {"id": "x"}, 7, {"function": {}}]),
    ],
)
def test_without_a_thought_or_a_call_there_is_nothing_to_remember(body: bytes) -> None:
    assert thought_of_answer(body) is None


def piece(**call: Any) -> bytes:
    return msgspec.json.encode({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **call}]}}]})


def test_a_stream_gives_the_thought_that_its_whole_would() -> None:
    events = [
        piece(id="call_1", type="function", function={"name": "f", "arguments": ""}),
        piece(function={"arguments": '{"a": 1,'}),
        piece(function={"arguments": ' "b": 2}'}),
    ]
    whole = thought_of_answer(answer(reasoning_content="hm", tool_calls=[CALL]))
    assert thought_of_stream("hm", events) == whole
    assert thought_of_stream("", events) is None
    assert thought_of_stream("hm", []) is None
    assert thought_of_stream("hm", [b"nonsense"]) is None
    assert isinstance(whole, Thought)


def test_arguments_may_come_as_an_object() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": {"b": 2, "a": 1}}}
    assert thought_of_answer(answer(reasoning_content="hm", tool_calls=[call])) == thought_of_answer(
        answer(reasoning_content="hm", tool_calls=[CALL])
    )
