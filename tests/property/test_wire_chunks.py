"""The usual answer is read as any other: an ``error`` that says nothing sends it the long way, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.wire.answers import Chunk, MalformedChunk, Whole
from overspill.wire.chunks import read_chunk, read_whole

VALUES: st.SearchStrategy[Any] = st.sampled_from([None, None, "", "a", [], ["a"], {}, {"a": 1}, 0, 1, False])
TEXTS = st.dictionaries(
    st.sampled_from(
        ["content", "reasoning_content", "reasoning", "thinking", "refusal", "tool_calls", "function_call", "role"]
    ),
    VALUES,
    max_size=3,
)
USAGES = st.sampled_from([None, {}, "many", {"prompt_tokens": 3}, {"completion_tokens": 2, "prompt_tokens": -1}])
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "message": st.one_of(TEXTS, st.none()),
        "delta": st.one_of(TEXTS, st.none()),
        "text": VALUES,
        "finish_reason": st.sampled_from([None, "", "stop", "length"]),
        "usage": USAGES,
    },
)
ANSWERS = st.fixed_dictionaries({"choices": st.lists(CHOICES, max_size=2)}, optional={"usage": USAGES})


def whole(answer: dict[str, Any]) -> Whole | str:
    try:
        return read_whole(json.dumps(answer).encode())
    except MalformedChunk as error:
        return str(error).partition(" bytes ")[2]


def chunk(answer: dict[str, Any]) -> Chunk | str:
    try:
        return read_chunk(json.dumps(answer).encode())
    except MalformedChunk as error:
        return str(error).partition(" bytes ")[2]


@settings(max_examples=300, deadline=None)
@given(ANSWERS, st.sampled_from([{}, "", 0, False, []]))
def test_a_whole_answer_is_the_same_beside_an_error_that_says_nothing(answer: dict[str, Any], nothing: Any) -> None:
    assert whole(answer) == whole({**answer, "error": nothing})


@settings(max_examples=300, deadline=None)
@given(ANSWERS, st.sampled_from([{}, "", 0, False, []]))
def test_a_chunk_is_the_same_beside_an_error_that_says_nothing(answer: dict[str, Any], nothing: Any) -> None:
    assert chunk(answer) == chunk({**answer, "error": nothing})
