"""A rescued stream has every character once: engines that keep their contract, cut anywhere, and engines that lie.

``OVERSPILL_SPLICE_CASES=100000`` runs that many cases of the first test; the usual run is shorter.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.continuing import Answer, Case, Given, draw_case, honest, plan, rescue, text_of, transcript_of

from overspill.wire.continuation import CannotContinue
from overspill.wire.contract import Part
from overspill.wire.splice import Diverged

CASES = int(os.environ.get("OVERSPILL_SPLICE_CASES", "3000"))


def check(random: Random) -> str:
    """Run one case against an engine that keeps its contract; say what came of it."""
    case = draw_case(random)
    try:
        events = rescue(random, case)
    except CannotContinue as refused:
        return refused.reason
    assert text_of(events) == case.answer
    chunks = [json.loads(event) for event in events]
    first = json.loads(case.sent[0])
    for name in ("id", "created", "model", "system_fingerprint"):
        assert {chunk.get(name) for chunk in chunks} == {first.get(name)}
    roles = [
        choice["delta"]["role"] for chunk in chunks for choice in chunk["choices"] if "role" in choice.get("delta", ())
    ]
    assert len(roles) <= 1
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]].count("stop") == 1
    return "rescued"


def test_no_character_is_lost_or_comes_twice_where_engines_keep_their_contract() -> None:
    outcomes = Counter(check(Random(seed)) for seed in range(CASES))
    assert outcomes["rescued"] > 0.7 * CASES, outcomes
    assert set(outcomes) == {"rescued", "reasoning", "nothing to rescue"}, outcomes


@settings(max_examples=300, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_character_is_lost_or_comes_twice_in_cases_that_are_searched_for(random: Random) -> None:
    check(random)


ANEW: tuple[Given, ...] = (("", None), ("", ""))
"""What an engine is given that is asked to begin anew."""


def restarts(case: Case, given: Given) -> Answer:
    return case.answer


def echoes_unasked(case: Case, given: Given) -> Answer:
    thought, content = given
    rest = honest(case, given)
    return (thought + rest[0], rest[1]) if content is None else (rest[0], content + rest[1])


def answers_something_else(case: Case, given: Given) -> Answer:
    return "", "As I said: no."


def thinks_again(case: Case, given: Given) -> Answer:
    return "Let me see.", case.answer[1]


def loses_a_character(case: Case, given: Given) -> Answer:
    thought, content = honest(case, given)
    return (thought[1:], content) if thought else ("", content[1:])


def repeats_a_character(case: Case, given: Given) -> Answer:
    rest = honest(case, given)
    before = (given[1] or given[0])[-1:]
    return (before + rest[0], rest[1]) if given[1] is None else (rest[0], before + rest[1])


def in_order(answer: Answer) -> list[tuple[Part, str]]:
    return [(Part.REASONING, c) for c in answer[0]] + [(Part.CONTENT, c) for c in answer[1]]


def says_nothing(case: Case, given: Given) -> Answer:
    return "", ""


@pytest.mark.parametrize("lie", [restarts, echoes_unasked])
@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_an_engine_that_begins_anew_or_repeats_what_it_was_given_is_refused(lie, random: Random) -> None:  # type: ignore[no-untyped-def]
    case = draw_case(random)
    case = case._replace(contract=type(case.contract)(mode=case.contract.mode, continues_reasoning=True))
    given: list[Given] = []

    def engine(case: Case, told: Given) -> Answer:
        given.append(told)
        return lie(case, told)  # type: ignore[no-any-return]

    try:
        events = rescue(random, case, engine)
    except CannotContinue:
        return
    except Diverged:
        assert given[0] not in ANEW
        return
    assert given[0] in ANEW
    assert text_of(events) == case.answer


@pytest.mark.parametrize(
    "lie", [answers_something_else, thinks_again, loses_a_character, repeats_a_character, says_nothing]
)
@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_does_not_begin_with_what_the_client_has_is_refused(lie, random: Random) -> None:  # type: ignore[no-untyped-def]
    """And nothing else can be: an engine whose lie looks as the truth would is passed on as it speaks."""
    case = draw_case(random)
    transcript = transcript_of(case)
    said: list[Answer] = []
    joined: list[tuple[Part, str]] | None

    def engine(case: Case, told: Given) -> Answer:
        said.append(lie(case, told))
        return said[0]

    try:
        joined = in_order(text_of(rescue(random, case, engine)[len(case.sent) :]))
    except CannotContinue:
        return
    except Diverged:
        joined = None
    seam = plan(case, transcript).seam
    must = [(part, character) for part, text in (*seam.echoed, *seam.overlap) for character in text]
    speaks = in_order(said[0] if case.is_chat else ("", said[0][1]))  # a completion has no thoughts
    assert joined == (speaks[len(must) :] if speaks[: len(must)] == must else None)
