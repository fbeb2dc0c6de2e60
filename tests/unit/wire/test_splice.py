"""The second stream, event by event: what is swallowed, what is passed on, and under whose name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.wire.answers import MalformedChunk
from overspill.wire.continuation import Seam
from overspill.wire.contract import Part
from overspill.wire.splice import Diverged, Splicer
from overspill.wire.transcript import Transcript


def event(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return json.dumps({"id": "second", "created": 9, "model": "b", "choices": [choice], **more}).encode()


def text(piece: str, finish: str | None = None) -> bytes:
    return json.dumps({"choices": [{"index": 0, "text": piece, "finish_reason": finish}]}).encode()


def first(*, role: bool = True, **more: Any) -> Transcript:
    transcript = Transcript(is_chat=True)
    delta = {"role": "assistant"} if role else {}
    transcript.add(
        json.dumps({"id": "first", "created": 1, "model": "a", **more, "choices": [{"delta": delta}]}).encode()
    )
    return transcript


def splicer(*overlap: tuple[Part, str], transcript: Transcript | None = None, **more: Any) -> Splicer:
    seam = Seam(overlap=overlap, tokens=3, reasoning_tokens=1, **more)
    return Splicer(seam, first() if transcript is None else transcript)


def passed(splicer: Splicer, *events: bytes) -> list[dict[str, Any]]:
    return [json.loads(out) for data in events if (out := splicer.feed(data)) is not None]


def contents(chunks: list[dict[str, Any]]) -> list[str | None]:
    return [choice["delta"].get("content") for chunk in chunks for choice in chunk["choices"]]


SO = (Part.CONTENT, " so it")


def test_what_the_client_has_is_swallowed_wherever_the_events_are_cut() -> None:
    join = splicer(SO)
    assert not join.is_aligned
    chunks = passed(
        join, event({"role": "assistant", "content": None}), event({"content": " s"}), event({"content": "o "})
    )
    assert chunks == []
    chunks = passed(join, event({"content": "it was"}), event({"content": "."}), event(finish="stop"))
    assert contents(chunks) == [" was", ".", None]
    assert join.is_aligned
    assert {chunk["id"] for chunk in chunks} == {"first"}
    assert {(chunk["created"], chunk["model"]) for chunk in chunks} == {(1, "a")}


def test_what_the_first_answer_did_not_say_of_itself_the_second_does_not_either() -> None:
    join = splicer((Part.CONTENT, "a"), transcript=first(id=None, system_fingerprint="fp"))
    (chunk,) = passed(join, event({"content": "ab"}, system_fingerprint="other", prompt_token_ids=[1]))
    assert chunk["system_fingerprint"] == "fp"
    assert "id" not in chunk
    assert "prompt_token_ids" not in chunk
    (chunk,) = passed(splicer((Part.CONTENT, "a")), event({"content": "ab"}, system_fingerprint="other"))
    assert "system_fingerprint" not in chunk


def test_a_role_comes_once() -> None:
    join = splicer((Part.CONTENT, "a"), transcript=first(role=False))
    chunks = passed(join, event({"role": "assistant"}), event({"role": "assistant", "content": "ab"}))
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"role": "assistant"},
        {"content": "b"},
    ]


def test_a_thought_that_goes_on_becomes_content_in_its_time() -> None:
    transcript = first()
    transcript.add_texts("reasoning", ["I see"])
    join = splicer((Part.REASONING, " see"), transcript=transcript)
    chunks = passed(
        join,
        event({"reasoning_content": " see th"}),
        event({"reasoning_content": "at"}),
        event({"content": "Yes"}),
    )
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"reasoning": " th"},
        {"reasoning": "at"},
        {"content": "Yes"},
    ]
    join = splicer((Part.REASONING, " it"), (Part.CONTENT, "I"))
    assert contents(passed(join, event({"reasoning": " it"}), event({"content": "I am"}))) == [" am"]
    join = splicer((Part.REASONING, "a"))
    (chunk,) = passed(join, event({"thinking": "ab"}))
    assert chunk["choices"][0]["delta"] == {"thinking": "b"}


@pytest.mark.parametrize(
    "events",
    [
        [event({"content": " no"})],
        [event({"content": " so"}), event({"content": " is"})],
        [event({"reasoning": " so it"})],
        [event({"content": " so"}), event(finish="stop")],
        [event({"content": " so"}, finish="length")],
        [event({"tool_calls": [{"index": 0}]})],
        [event({"refusal": "no"})],
        [event({"function_call": {"name": "f"}})],
    ],
)
def test_anything_else_ends_the_rescue(events: list[bytes]) -> None:
    join = splicer(SO)
    with pytest.raises(Diverged):
        passed(join, *events)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        json.dumps({"choices": [{}, {}]}).encode(),
        json.dumps({"choices": ["x"]}).encode(),
        json.dumps({"choices": {"0": 1}}).encode(),
        event({"content": ["part"]}),
        event({"reasoning": 5}),
    ],
)
def test_other_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedChunk):
        splicer(SO).feed(data)


def test_a_tool_call_after_the_seam_passes() -> None:
    chunks = passed(splicer(SO), event({"content": " so it"}), event({"tool_calls": [{"index": 0, "id": "t"}]}))
    assert [choice["delta"] for chunk in chunks for choice in chunk["choices"]] == [
        {"tool_calls": [{"index": 0, "id": "t"}]}
    ]


def test_what_is_echoed_comes_before_what_is_written_again() -> None:
    join = splicer(SO, echoed=((Part.CONTENT, "Well,"),))
    assert contents(passed(join, event({"content": "Well, so"}), event({"content": " it is"}))) == [" is"]


def test_usage_counts_the_prompt_once_and_all_tokens() -> None:
    usage = {
        "prompt_tokens": 13,
        "completion_tokens": 5,
        "total_tokens": 18,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    join = splicer((Part.CONTENT, "a"))
    (chunk,) = passed(join, json.dumps({"choices": [], "usage": usage}).encode())
    assert chunk["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 8,
        "total_tokens": 18,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    (chunk,) = passed(join, event({}, usage={"prompt_tokens": None, "completion_tokens": "x"}))
    assert chunk["usage"] == {"prompt_tokens": None, "completion_tokens": "x"}
    (chunk,) = passed(join, json.dumps({"choices": [], "usage": {"completion_tokens_details": {}}}).encode())
    assert chunk["usage"] == {"completion_tokens_details": {}}


def test_a_completion_is_joined_as_text() -> None:
    join = splicer((Part.CONTENT, " a time"), transcript=Transcript(is_chat=False))
    chunks = passed(join, text(" a"), text(" time there"), text("", finish="stop"))
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [" there", ""]


def test_token_ids_are_not_passed_on() -> None:
    data = json.dumps({"choices": [{"index": 0, "delta": {"content": "ab"}, "token_ids": [1]}]}).encode()
    (chunk,) = passed(splicer((Part.CONTENT, "a")), data)
    assert "token_ids" not in chunk["choices"][0]


def stops(*stops: str, carry: str = "to the E", overlap: str = "N") -> Splicer:
    return splicer((Part.CONTENT, overlap), stops=stops, carry=carry)


def test_a_stop_string_across_the_seam_ends_the_answer() -> None:
    join = stops("END")
    (chunk,) = passed(join, event({"content": "ND of"}))
    assert (chunk["choices"][0]["finish_reason"], chunk["choices"][0]["delta"]["content"]) == ("stop", None)
    assert join.is_stopped
    assert passed(join, event({"content": "!"}))[0]["choices"][0]["delta"] == {"content": None}


def test_what_could_begin_a_stop_string_waits_until_it_is_none() -> None:
    join = stops("ENDE", "ENDX")
    assert passed(join, event({"content": "ND"})) == []
    assert contents(passed(join, event({"content": "!"}), event({"content": "?"}))) == ["D!", "?"]
    assert not join.is_stopped


def test_what_waits_comes_with_the_end() -> None:
    join = stops("ENDE")
    assert contents(passed(join, event({"content": "ND"}), event(finish="length"))) == ["D"]
    join = stops("ENDE")
    data = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "delta": None}]}).encode()
    assert contents(passed(join, event({"content": "ND"}), data)) == ["D"]
    join = stops("ENDE")
    chunks = passed(join, text("ND"), text("", finish="stop"))
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["D"]


def test_a_stop_string_that_the_client_already_has_is_none() -> None:
    join = stops("EN")
    assert contents(passed(join, event({"content": "N"}), event({"content": "D"}))) == ["D"]
    assert not join.is_stopped
