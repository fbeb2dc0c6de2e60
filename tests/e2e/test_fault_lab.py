"""Every fault in every form of a request, through real gateways: what must come of it comes of it."""

from __future__ import annotations

import asyncio

import pytest

from overspill.cli.rehearsal.lab import FORMS, Cell, Form, run_lab
from overspill.cli.rehearsal.lab_stage import LabOptions
from overspill.core.types import Surface
from overspill.gateway.rehearsal.scenarios import SCENARIOS, Must, Place, Scenario

SLO_S = 2.5
"""Of the route: so much that no busy machine makes the healthy target late."""
CASES = [(scenario, form) for scenario in SCENARIOS for form in FORMS if form.fits(scenario)]

AT_HOME = frozenset({"rate_limited_once_alone", "slow_start_alone"})
"""Faults after which the faulty target itself answers."""


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, Form], Cell]:
    found = asyncio.run(run_lab(SCENARIOS, LabOptions(slo_ttft_s=SLO_S)))
    return {(cell.scenario, cell.form): cell for cell in found}


def named(scenario: Scenario, form: Form) -> object:
    return pytest.param(scenario, form, id=f"{scenario.name}, {form.words}")


@pytest.mark.parametrize(("scenario", "form"), [named(*case) for case in CASES])
def test_what_must_come_of_a_fault_comes_of_it(
    cells: dict[tuple[str, Form], Cell], scenario: Scenario, form: Form
) -> None:
    """How late a first token was is left to the command: here it would measure the machine."""
    cell = cells[scenario.name, form]
    assert cell.complaint == ""
    assert cell.verdict.value == scenario.must_be(is_stream=form.is_stream).value


def test_every_cell_ran_and_says_who_answered(cells: dict[tuple[str, Form], Cell]) -> None:
    assert set(cells) == {(scenario.name, form) for scenario, form in CASES}
    assert len(cells) > 200
    for cell in cells.values():
        assert (cell.target is None) == (cell.verdict.value != Must.WHOLE), cell
        assert cell.attempts >= 1
        assert cell.total_s >= (cell.ttft_s or 0.0) > 0.0 or cell.ttft_s is None


def test_what_answers_is_the_healthy_target_where_the_other_is_not(cells: dict[tuple[str, Form], Cell]) -> None:
    for scenario, form in CASES:
        cell = cells[scenario.name, form]
        if cell.verdict.value != Must.WHOLE:
            continue
        is_well = not scenario.faults and scenario.place is Place.UPSTREAM
        assert cell.target is not None
        assert cell.target.startswith("home/" if is_well or scenario.name in AT_HOME else "backup/"), cell
        assert is_well or scenario.name == "slow_start_alone" or cell.attempts >= 2, cell


def test_a_busy_target_that_says_when_is_asked_again_then(cells: dict[tuple[str, Form], Cell]) -> None:
    for form in FORMS:
        cell = cells["rate_limited_once_alone", form]
        assert cell.attempts == 2
        assert cell.total_s >= 1.0


def test_reasoning_and_tool_calls_are_cut_only_where_there_are_any(cells: dict[tuple[str, Form], Cell]) -> None:
    for name in ("cut_in_reasoning", "cut_in_tool_call"):
        assert {form.surface for scenario, form in cells if scenario == name} == {Surface.CHAT}
