"""Judges what a client saw: whole, an error that says so, or one of the ways in which a gateway must never fail. Pure.

A client can only tell a whole answer by its form, so what counts is what the form claims: an answer that is not whole
and looks it is the worst of all.
"""

from __future__ import annotations

import enum

from overspill.gateway.rehearsal.scenarios import OUTPUT_TOKENS, REASONING_TOKENS, Must, Scenario, Shape
from overspill.gateway.rehearsal.speech import text_of, tool_arguments
from overspill.gateway.rehearsal.witness import Sight

LATE_SHARE = 1.1
"""How much of the TTFT SLO a target that says nothing may cost: the SLO and a tenth of it."""


class Verdict(enum.StrEnum):
    """What an answer turned out to be."""

    WHOLE = "whole"  # all of the answer, each token once, and its end
    ERROR = "error"  # an error in OpenAI's form: as the body, or as the last event of a stream
    HANG = "hang"  # no end within the time of the cell
    EMPTY = "empty"  # it looks whole and has no content
    TRUNCATED = "truncated"  # it looks whole and is only a part
    GARBLED = "garbled"  # tokens are missing, repeated or foreign, or it cannot be read
    UNFINISHED = "unfinished"  # it ends without saying that it is broken, nor that it is whole
    CONTRADICTORY = "contradictory"  # an error and then `[DONE]`
    BROKEN_OFF = "broken_off"  # the connection was cut: no answer and no error


def expected_parts(shape: Shape) -> tuple[str, str, str]:
    """Return the reasoning, content and tool arguments of a whole answer."""
    match shape:
        case Shape.TEXT:
            return "", text_of(OUTPUT_TOKENS), ""
        case Shape.REASONING:
            return text_of(REASONING_TOKENS), text_of(OUTPUT_TOKENS, REASONING_TOKENS), ""
        case Shape.TOOL_CALL:
            return "", "", tool_arguments(OUTPUT_TOKENS)


def judge(sight: Sight, shape: Shape) -> Verdict:
    """Say what an answer of that shape turned out to be."""
    if not sight.is_ended:
        return Verdict.BROKEN_OFF if sight.fault else Verdict.HANG
    if not sight.is_readable:
        return Verdict.GARBLED
    parts = (sight.reasoning, sight.content, sight.tool_arguments)
    whole = expected_parts(shape)
    is_part = all(want.startswith(got) for want, got in zip(whole, parts, strict=True))
    if sight.error is not None:
        if sight.has_done or sight.finish_reason is not None:
            return Verdict.CONTRADICTORY
        return Verdict.ERROR if is_part else Verdict.GARBLED
    if sight.status != 200:
        return Verdict.GARBLED  # a refusal without an error body
    if sight.finish_reason is None or (sight.is_stream and not sight.has_done):
        return Verdict.UNFINISHED
    if parts == whole:
        return Verdict.WHOLE
    if not sight.text:
        return Verdict.EMPTY
    return Verdict.TRUNCATED if is_part else Verdict.GARBLED


def complaint(scenario: Scenario, sight: Sight) -> str:
    """Say what is wrong with what came of a scenario, times apart; empty if it is what must come of it."""
    verdict = judge(sight, scenario.shape)
    must = scenario.must_be(is_stream=sight.is_stream)
    if verdict.value != must.value:
        return f"{verdict}: {_words(verdict, sight)}; it must be {must}"
    if scenario.shows_life and not sight.signs_of_life:
        return f"{verdict}, but no sign of life came in {sight.total_s:.1f} s"
    if must is Must.ERROR and scenario.retry_after_s is not None:
        said = sight.headers.get("retry-after", "")
        if not said.isdecimal() or int(said) < scenario.retry_after_s:
            return f"retry-after says {said or 'nothing'}; it must be {scenario.retry_after_s} or more"
    return ""


def lateness(scenario: Scenario, added_ttft_s: float, slo_ttft_s: float, *, in_one_piece: bool = False) -> str:
    """Say by how much a first token came too late, where the scenario bounds that; empty if it did not."""
    limit_s = LATE_SHARE * slo_ttft_s
    is_bounded = scenario.is_bounded_in_one_piece if in_one_piece else scenario.is_bounded
    if not is_bounded or added_ttft_s <= limit_s:
        return ""
    return f"late: the first token came {added_ttft_s:.2f} s later than without the fault; {limit_s:.2f} s are allowed"


def _words(verdict: Verdict, sight: Sight) -> str:
    match verdict:
        case Verdict.HANG:
            return f"no end after {sight.total_s:.1f} s"
        case Verdict.BROKEN_OFF:
            return sight.fault
        case Verdict.ERROR if sight.error is not None:
            status = "" if sight.status == 200 else f"HTTP {sight.status}, "
            return f"{status}{sight.error.message}"
        case _:
            return f"HTTP {sight.status} with {sight.text!r}" if sight.text else f"HTTP {sight.status} without content"
