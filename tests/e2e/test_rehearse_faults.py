"""``overspill rehearse --faults`` as a user calls it: what it prints, and what its exit code says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from overspill.gateway.rehearsal.scenarios import SCENARIOS


def overspill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overspill", "rehearse", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert "Traceback" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_fault_is_rehearsed_beside_the_healthy_case_and_all_is_as_it_must_be() -> None:
    done = overspill("--fault", "hollow_html", "--json")
    found = figures(done)
    assert (done.returncode, done.stderr, found["wrong"]) == (0, "", 0)
    assert [cell["scenario"] for cell in found["cells"]] == ["healthy"] * 6 + ["hollow_html"] * 6
    for cell in found["cells"]:
        assert cell["is_right"]
        assert (cell["verdict"], cell["complaint"], cell["lateness"]) == ("whole", "", "")
        is_healthy = cell["scenario"] == "healthy"
        assert cell["target"].startswith("home/" if is_healthy else "backup/")
        assert cell["attempts"] == (1 if is_healthy else 2)
        assert 0 < cell["ttft_s"] <= cell["total_s"]


def test_several_requests_at_once_are_judged_by_the_worst() -> None:
    found = figures(overspill("--fault", "cut_in_content_other_weights", "--requests", "5", "--json"))
    streamed = [cell for cell in found["cells"] if cell["scenario"] != "healthy" and cell["is_stream"]]
    assert [cell["requests"] for cell in found["cells"]] == [5] * 12
    assert [(cell["must"], cell["is_right"]) for cell in streamed] == [("error", True)] * 2


def test_a_cell_that_is_wrong_makes_the_exit_code_1_and_is_told() -> None:
    """This one waits a second, as its target asks: too long for who has no patience."""
    done = overspill("--fault", "rate_limited_once_alone", "--patience", "1")
    assert done.returncode == 1
    assert "WRONG: hang" in done.stdout
    assert "rate_limited_once_alone, chat stream: hang: no end after 1.0 s; it must be whole" in done.stdout
    assert done.stdout.splitlines()[-1] == "12 cells: 6 WRONG."
    assert done.stderr == ""


def test_all_faults_are_listed_by_name() -> None:
    listed = json.loads(overspill("--list-faults", "--json").stdout)
    assert [one["name"] for one in listed] == [scenario.name for scenario in SCENARIOS]
    table = overspill("--list-faults").stdout
    assert all(scenario.name in table for scenario in SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "storm_504"), "no fault 'storm_504' (did you mean 'storm_503'?); --list-faults names all"),
        (("--faults", "--seconds", "5"), "--seconds goes without --faults"),
        (("--fault", "storm_503", "--out", "x.json"), "--out goes without --faults"),
        (("--patience", "5"), "--patience goes with --faults"),
        (("--faults", "--patience", "0"), "0.0 is not in the range"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    done = overspill(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
