"""What a client has of an answer is read back exactly from what was sent to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from overspill.wire.answers import MalformedChunk
from overspill.wire.contract import Part
from overspill.wire.transcript import MAX_CHARACTERS, Transcript, Written


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return json.dumps({"id": "c1", "created": 5, "model": "m", "choices": [choice], **more}).encode()


def read(*events: bytes, is_chat: bool = True) -> Transcript:
    transcript = Transcript(is_chat=is_chat)
    for event in events:
        transcript.add(event)
    return transcript


def test_reasoning_and_content_are_told_apart_and_pieces_are_counted() -> None:
    transcript = read(
        chunk({"role": "assistant", "content": None}),
        chunk({"reasoning_content": "Let me"}),
        chunk({"reasoning_content": " see."}),
        chunk({}),
        chunk({"content": "Yes 🙂"}, system_fingerprint="fp"),
    )
    assert (transcript.text(Part.REASONING), transcript.text(Part.CONTENT)) == ("Let me see.", "Yes 🙂")
    assert (transcript.pieces, transcript.characters) == (3, 16)
    assert (transcript.identity, transcript.created, transcript.model) == ("c1", 5, "m")
    assert (transcript.fingerprint, transcript.has_role, transcript.reasoning_field) == (
        "fp",
        True,
        "reasoning_content",
    )
    assert not transcript.is_empty
    assert not transcript.is_odd
    assert transcript.finish_reason is None


def test_texts_of_tokens_that_passed_straight_on_are_taken_without_their_events() -> None:
    transcript = read(chunk({"role": "assistant"}))
    transcript.add_texts("reasoning", ["a", "b"])
    transcript.add_texts("content", ["c"])
    transcript.add_texts("content", [])
    assert (transcript.reasoning.text(), transcript.content.text(), transcript.pieces) == ("ab", "c", 3)
    assert transcript.reasoning_field == "reasoning"
    assert transcript.token_ids is None


def test_a_completions_text_is_content() -> None:
    event = json.dumps({"id": "c", "choices": [{"text": "Once", "index": 0}]}).encode()
    transcript = read(event, is_chat=False)
    assert transcript.content.text() == "Once"
    assert not transcript.is_chat


def test_the_end_and_a_tool_call_are_seen() -> None:
    transcript = read(chunk({"tool_calls": [{"index": 0}]}), chunk(finish="tool_calls"))
    assert transcript.has_tool_call
    assert transcript.finish_reason == "tool_calls"
    assert not transcript.is_empty
    assert read(chunk({"function_call": {"name": "f"}})).has_tool_call
    assert read(chunk({"role": "assistant", "content": ""})).is_empty


@pytest.mark.parametrize(
    "event",
    [
        json.dumps({"choices": [{"index": 0}, {"index": 1}]}).encode(),
        json.dumps({"choices": [{"index": 1, "delta": {"content": "x"}}]}).encode(),
        json.dumps({"choices": ["x"]}).encode(),
        chunk({"refusal": "no"}),
        chunk({"audio": {"data": "…"}}),
        chunk({"content": [{"type": "text", "text": "x"}]}),
        chunk({"reasoning": "a", "reasoning_content": "b"}),
    ],
)
def test_what_cannot_be_joined_is_seen(event: bytes) -> None:
    assert read(event).is_odd


def test_a_thought_that_comes_under_two_names_is_one_thought() -> None:
    transcript = read(chunk({"reasoning": "a", "reasoning_content": "a"}))
    assert transcript.reasoning.text() == "a"
    assert not transcript.is_odd


def test_a_thought_after_content_is_seen() -> None:
    assert read(chunk({"content": "a"}), chunk({"reasoning": "b"})).is_odd


def test_what_says_nothing_changes_nothing() -> None:
    transcript = read(
        b'{"choices":[]}', b'{"usage":{"prompt_tokens":1}}', b'{"choices":{}}', b'{"choices":[{"delta":null}]}'
    )
    assert transcript.is_empty
    assert not transcript.is_odd


@pytest.mark.parametrize("event", [b"", b"[1]", b'{"choices":', b'{"a":"\xff"}', b"[" * 5000])
def test_other_bytes_are_no_event(event: bytes) -> None:
    with pytest.raises(MalformedChunk):
        read(event)


def test_token_ids_are_kept_while_every_piece_has_its_own() -> None:
    def told(text: str, **more: Any) -> bytes:
        return json.dumps({"choices": [{"index": 0, "text": text, **more}]}).encode()

    transcript = read(told("", prompt_token_ids=[1, 2]), told("a", token_ids=[3]), told("bc", token_ids=[4, 5]))
    assert (transcript.prompt_token_ids, transcript.token_ids) == ([1, 2], [3, 4, 5])
    transcript.add(told("d"))
    assert transcript.token_ids is None
    transcript.add(told("e", token_ids=[6]))
    assert transcript.token_ids is None


def test_log_probabilities_are_seen() -> None:
    event = json.dumps({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]}).encode()
    assert read(event).has_logprobs


def test_the_last_pieces_keep_their_boundaries_and_the_others_only_their_text() -> None:
    written = Written()
    pieces = [f"{number} " for number in range(5000)]
    for start in range(0, 5000, 7):
        written.add(pieces[start : start + 7])
    assert written.text() == "".join(pieces)
    assert (written.pieces, written.characters) == (5000, len("".join(pieces)))
    starts = list(written.starts())
    assert 512 <= len(starts) <= 1024
    assert starts[0] == (written.characters - len("4999 "), 4999)
    text = written.text()
    assert all(text[offset:].startswith(f"{count} ") for offset, count in starts)


def test_an_answer_may_be_too_long_to_be_remembered() -> None:
    transcript = Transcript(is_chat=True)
    transcript.add_texts("content", ["x" * MAX_CHARACTERS])
    assert not transcript.is_too_long
    transcript.add_texts("content", ["x"])
    assert transcript.is_too_long
