"""What is kept of a stream is what was sent, in its order; calls of tools wait until they are whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.scripted_upstream import ROLE, delta

from overspill.gateway.kept import Kept
from overspill.wire.chat import parse_request
from overspill.wire.contract import Part
from overspill.wire.request import Request


def request(**fields: Any) -> Request:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "q"}], **fields}
    return parse_request("chat", json.dumps(body).encode())


def kept(**fields: Any) -> Kept:
    return Kept(request(**fields), is_chat=True)


def data(raw: bytes) -> bytes:
    return raw[6:-2]


def call(arguments: str) -> bytes:
    return delta(tool_calls=[{"index": 0, "function": {"arguments": arguments}}])


def test_events_and_texts_that_passed_straight_on_are_read_in_their_order() -> None:
    keep = kept()
    keep.texts_are("reasoning_content")
    keep.add(data(ROLE))
    keep.texts += ["Let ", "me "]
    keep.add(data(delta(reasoning_content="see")))
    keep.texts += ["."]
    keep.texts_are("content")
    keep.texts += ["Yes"]
    transcript = keep.transcript()
    assert (transcript.text(Part.REASONING), transcript.text(Part.CONTENT)) == ("Let me see.", "Yes")
    assert transcript.pieces == 5
    assert transcript.has_role
    keep.texts += ["!"]
    assert keep.transcript().text(Part.CONTENT) == "Yes!"


def test_what_piles_up_is_made_smaller_and_stays_the_same() -> None:
    keep = kept()
    for number in range(300):
        keep.texts.append(f"{number} ")
    keep.tidy()
    assert keep.texts == []
    for number in range(300):
        keep.add(data(delta(f"{number} ")))
        keep.tidy()
    assert len(keep._events) < 300
    assert keep.transcript().content.text() == "".join(f"{number} " for number in range(300)) * 2


def test_a_tool_call_waits_and_so_does_what_follows() -> None:
    keep = kept()
    assert not keep.take(delta("So"), data(delta("So")))
    events = [call('{"a"'), call(":1}"), delta(finish="tool_calls")]
    assert all(keep.take(raw, data(raw)) for raw in events)
    assert not keep.transcript().has_tool_call
    assert keep.release() == events
    assert keep.transcript().has_tool_call
    assert keep.release() == []


def test_half_a_call_is_forgotten() -> None:
    keep = kept()
    assert keep.take(call("{"), data(call("{")))
    keep.forget_calls()
    assert keep.release() == []
    assert keep.transcript().is_empty


def test_a_call_waits_for_nothing_where_no_answer_could_be_continued() -> None:
    keep = kept(n=2)
    assert not keep.take(call("{"), data(call("{")))
    assert keep.transcript().has_tool_call


def test_there_is_a_bound_to_what_waits() -> None:
    keep = kept()
    raw = call("x" * 600_000)
    assert keep.take(raw, data(raw))
    assert not keep.is_overfull
    assert keep.take(raw, data(raw))
    assert keep.is_overfull


def test_what_cannot_be_read_again_is_not_understood() -> None:
    keep = kept()
    keep.add(b'{"choices":[{"delta":{"content":' + b"[" * 5000 + b"]" * 5000 + b"}}]}")
    assert keep.transcript().is_odd


def test_while_a_call_waits_nothing_may_overtake_it() -> None:
    keep = kept()
    assert not keep.is_waiting
    keep.take(call("{"), data(call("{")))
    assert keep.is_waiting
    keep.release()
    assert not keep.is_waiting


def opens(call_id: str) -> bytes:
    function = {"name": "f", "arguments": ""}
    return delta(tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": function}])


@pytest.mark.parametrize("is_for_rescue", [True, False])
def test_the_thought_that_led_to_calls_is_told_with_them(is_for_rescue: bool) -> None:
    keep = Kept(request(), is_chat=True, is_for_rescue=is_for_rescue)
    keep.texts_are("reasoning_content")
    keep.texts += ["I ", "look."]
    events = [opens("call_1"), call("{}")]
    waited = [keep.take(raw, data(raw)) for raw in events]
    assert waited == [is_for_rescue] * 2  # only what may be rescued waits until it is whole
    assert keep.release() == (events if is_for_rescue else [])
    thought = keep.thought()
    assert thought is not None
    assert (thought.text, [key.call_id for key in thought.calls]) == ("I look.", ["call_1"])


def test_without_calls_there_is_no_thought_to_tell_and_none_of_calls_without_bound() -> None:
    keep = Kept(request(), is_chat=True, is_for_rescue=False)
    keep.texts_are("reasoning_content")
    keep.texts.append("hm")
    assert keep.thought() is None
    keep.take(opens("call_1"), data(opens("call_1")))
    huge = call("x" * 600_000)
    for _ in range(2):
        keep.take(huge, data(huge))
    assert keep.thought() is None
