from __future__ import annotations

from pathlib import Path

import pytest
from tests.replay.regenerate import GOLDEN
from tests.replay.scenarios import SCENARIOS

from overspill.core.commands import AnyCommand, Complete, Reject, StartAttempt
from overspill.core.recording import Recording, decode_lines
from overspill.core.types import Outcome, RejectReason, Spill
from overspill.planner.replay import replay

HOW = "if you meant to change a decision, run `python -m tests.replay.regenerate` and review its diff"


def golden(name: str) -> Recording:
    return decode_lines((GOLDEN / f"{name}.jsonl").read_bytes().splitlines())


def golden_commands() -> list[AnyCommand]:
    return [command for name in SCENARIOS for step in golden(name).steps for command in step.commands]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_decision_of_a_golden_recording_is_made_again(name: str) -> None:
    report = replay(golden(name))
    assert report.first_difference is None, f"{name}: {report.differing} steps differ; {HOW}"
    assert report.commands > 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_still_leads_to_its_golden_recording(name: str) -> None:
    assert SCENARIOS[name]().run() == (GOLDEN / f"{name}.jsonl").read_bytes(), f"{name}: {HOW}"


def test_there_is_no_golden_recording_without_a_scenario() -> None:
    assert {path.stem for path in Path(GOLDEN).iterdir()} == set(SCENARIOS)


def test_the_golden_recordings_show_every_reason_and_outcome() -> None:
    commands = golden_commands()
    assert {c.spill for c in commands if isinstance(c, StartAttempt)} == {None, *Spill}
    assert {c.reason for c in commands if isinstance(c, Reject)} == set(RejectReason)
    assert {c.outcome for c in commands if isinstance(c, Reject | Complete)} == set(Outcome)
