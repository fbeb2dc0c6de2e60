"""The judgement of an answer: only what is whole passes for whole, and each way to fail has its name."""

from __future__ import annotations

import pytest

from overspill.core.types import Surface
from overspill.gateway.rehearsal.faults import Fault
from overspill.gateway.rehearsal.scenarios import (
    HEALTHY,
    OUTPUT_TOKENS,
    REASONING_TOKENS,
    SCENARIOS,
    Backup,
    Must,
    Scenario,
    Shape,
)
from overspill.gateway.rehearsal.speech import text_of, tool_arguments
from overspill.gateway.rehearsal.verdict import Verdict, complaint, judge, lateness
from overspill.gateway.rehearsal.witness import Sight
from overspill.wire.answers import ErrorBody

WHOLE = text_of(OUTPUT_TOKENS)
ERROR = ErrorBody(message="it is busy")


def stream(content: str = WHOLE, **more: object) -> Sight:
    fields = {"status": 200, "finish_reason": "stop", "has_done": True, "is_ended": True, **more}
    return Sight(is_stream=True, content=content, **fields)  # type: ignore[arg-type]


def body(content: str = WHOLE, **more: object) -> Sight:
    return Sight(is_stream=False, content=content, **{"status": 200, "finish_reason": "stop", "is_ended": True, **more})  # type: ignore[arg-type]


PART = text_of(5)
CASES = {
    "a stream": (stream(), Verdict.WHOLE),
    "a body": (body(), Verdict.WHOLE),
    "no end": (stream(is_ended=False), Verdict.HANG),
    "no end and nothing came": (Sight(is_stream=True), Verdict.HANG),
    "a cut": (stream(PART, is_ended=False, fault="it was closed"), Verdict.BROKEN_OFF),
    "an unreadable event": (stream(is_readable=False), Verdict.GARBLED),
    "a refusal without a body": (body("", status=503, finish_reason=None), Verdict.GARBLED),
    "a refusal": (body("", status=503, finish_reason=None, error=ERROR), Verdict.ERROR),
    "an error event": (stream(PART, finish_reason=None, has_done=False, error=ERROR), Verdict.ERROR),
    "an error event after other tokens": (
        stream(" t1", finish_reason=None, has_done=False, error=ERROR),
        Verdict.GARBLED,
    ),
    "an error and then its end": (stream(PART, finish_reason=None, error=ERROR), Verdict.CONTRADICTORY),
    "an error after a finish reason": (stream(has_done=False, error=ERROR), Verdict.CONTRADICTORY),
    "no finish reason": (stream(finish_reason=None), Verdict.UNFINISHED),
    "no terminator": (stream(has_done=False), Verdict.UNFINISHED),
    "a body without a finish reason": (body(finish_reason=None), Verdict.UNFINISHED),
    "nothing in it": (stream(""), Verdict.EMPTY),
    "a part": (stream(PART), Verdict.TRUNCATED),
    "a token twice": (stream(PART + " t4" + text_of(OUTPUT_TOKENS, 5)), Verdict.GARBLED),
    "a token lost": (body(PART + text_of(OUTPUT_TOKENS, 6)), Verdict.GARBLED),
    "reasoning that nobody asked for": (body(reasoning=" t0"), Verdict.GARBLED),
}


@pytest.mark.parametrize(("sight", "verdict"), CASES.values(), ids=CASES)
def test_an_answer_is_judged_by_what_it_claims_and_has(sight: Sight, verdict: Verdict) -> None:
    assert judge(sight, Shape.TEXT) is verdict


def test_every_verdict_is_given_for_something() -> None:
    assert {verdict for _, verdict in CASES.values()} == set(Verdict)


def test_reasoning_and_tool_calls_are_judged_part_by_part() -> None:
    thought, said = text_of(REASONING_TOKENS), text_of(OUTPUT_TOKENS, REASONING_TOKENS)
    assert judge(stream(said, reasoning=thought), Shape.REASONING) is Verdict.WHOLE
    assert judge(stream(WHOLE), Shape.REASONING) is Verdict.GARBLED
    assert judge(stream("", reasoning=text_of(2)), Shape.REASONING) is Verdict.TRUNCATED
    call = tool_arguments(OUTPUT_TOKENS)
    assert judge(stream("", tool_arguments=call), Shape.TOOL_CALL) is Verdict.WHOLE
    assert judge(stream("", tool_arguments=call[:-2]), Shape.TOOL_CALL) is Verdict.TRUNCATED


def test_only_what_must_come_of_a_fault_is_right() -> None:
    must_fail = Scenario(name="x", does="", leads_to="", must=Must.ERROR)
    refused = body("", status=503, finish_reason=None, error=ERROR)
    assert complaint(HEALTHY, stream()) == ""
    assert complaint(HEALTHY, refused) == "error: HTTP 503, it is busy; it must be whole"
    assert complaint(must_fail, refused) == ""
    assert complaint(must_fail, stream()).startswith("whole: HTTP 200 with ' t0")
    broken = stream(PART, finish_reason=None, has_done=False, error=ERROR)
    assert complaint(HEALTHY, broken) == "error: it is busy; it must be whole"
    assert complaint(HEALTHY, stream(is_ended=False, total_s=8.0)) == "hang: no end after 8.0 s; it must be whole"
    assert "it was closed" in complaint(HEALTHY, stream(is_ended=False, fault="it was closed"))
    assert complaint(HEALTHY, stream("")) == "empty: HTTP 200 without content; it must be whole"


def test_what_has_reached_a_client_may_change_what_must_come_of_it() -> None:
    scenario = Scenario(name="x", does="", leads_to="", must_streamed=Must.ERROR)
    broken = stream(PART, finish_reason=None, has_done=False, error=ERROR)
    assert complaint(scenario, broken) == ""
    assert complaint(scenario, stream()) != ""
    assert complaint(scenario, body()) == ""


@pytest.mark.parametrize(
    ("said", "is_right"), [("25", True), ("26", True), ("24", False), ("soon", False), ("", False)]
)
def test_a_refusal_must_say_honestly_when_to_come_again(said: str, is_right: bool) -> None:
    scenario = Scenario(name="x", does="", leads_to="", must=Must.ERROR, retry_after_s=25)
    headers = {"retry-after": said} if said else {}
    sight = body("", status=503, finish_reason=None, error=ERROR, headers=headers)
    assert (complaint(scenario, sight) == "") is is_right


def test_a_first_token_is_late_by_the_slo_and_a_tenth_of_it() -> None:
    bounded = Scenario(name="x", does="", leads_to="", is_bounded=True)
    assert lateness(bounded, 2.2, 2.0) == ""
    assert lateness(bounded, 2.21, 2.0).startswith("late: the first token came 2.21 s later")
    assert lateness(HEALTHY, 99.0, 2.0) == ""


def test_a_target_that_cannot_stream_is_late_only_where_it_says_that_it_waits() -> None:
    silent = Scenario(name="x", does="", leads_to="", is_bounded=True)
    waiting = Scenario(name="x", does="", leads_to="", is_bounded=True, is_bounded_in_one_piece=True)
    assert lateness(silent, 99.0, 2.0, in_one_piece=True) == ""
    assert lateness(waiting, 99.0, 2.0, in_one_piece=True) != ""


def test_a_client_that_waits_for_long_must_be_shown_a_sign_of_life() -> None:
    scenario = Scenario(name="x", does="", leads_to="", shows_life=True)
    assert complaint(scenario, stream(signs_of_life=1)) == ""
    assert complaint(scenario, stream(total_s=3.0)) == "whole, but no sign of life came in 3.0 s"


# -- the scenarios themselves


def test_the_matrix_has_every_kind_of_fault_under_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert SCENARIOS[0] is HEALTHY
    rehearsed = {type(fault) for scenario in SCENARIOS for fault in scenario.faults}
    assert rehearsed == set(Fault.__args__)


def test_a_scenario_without_a_healthy_target_names_a_wait_where_it_must_be_refused() -> None:
    for scenario in SCENARIOS:
        assert scenario.does
        assert scenario.leads_to
        assert set(scenario.surfaces) <= {Surface.CHAT, Surface.COMPLETIONS}
        if scenario.must is Must.ERROR:
            assert scenario.backup is Backup.NONE
            assert scenario.retry_after_s or scenario.shows_life
