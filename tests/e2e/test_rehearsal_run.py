"""A whole rehearsal with a fake local engine of known speed, and its simulation beside it.

Nothing here says how close the two come: that is a figure of a quiet machine, and this runs on busy ones.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overspill.cli.rehearsal.outcome import Outcome, read_outcome, write_outcome
from overspill.gateway.rehearsal.summary import Quantiles, Summary

MODES = ["local-only", "cloud-only", "hybrid"]
SLOTS = 4
OPTIONS = ("--engine", "fake", "--step", "0.004", "--slots", str(SLOTS), "--seconds", "3", "--deadline", "2")


def overspill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overspill", *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Rehearse once: the outcome's file, and what ``--json`` printed."""
    path = tmp_path_factory.mktemp("rehearsal") / "outcome.json"
    done = overspill("rehearse", *OPTIONS, "--out", str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return path, figures


@pytest.fixture(scope="module")
def outcome(rehearsed: tuple[Path, dict[str, Any]]) -> Outcome:
    return read_outcome(rehearsed[0])


def test_every_mode_was_played_with_the_same_trace(outcome: Outcome) -> None:
    assert list(outcome.modes) == MODES
    assert {figures.summary.requests for figures in outcome.modes.values()} == {len(outcome.trace)}
    assert len(outcome.trace) > 20
    assert outcome.trace[-1].at_s == pytest.approx(3.0)


def test_every_request_had_one_end(outcome: Outcome) -> None:
    for figures in outcome.modes.values():
        summary = figures.summary
        ends = summary.answered + sum(summary.refused.values()) + sum(summary.failed.values())
        assert ends == summary.requests
        assert summary.failed == {}


def test_with_a_cloud_every_request_is_answered_and_without_one_only_503_is_said(outcome: Outcome) -> None:
    assert outcome.modes["cloud-only"].summary.answered == len(outcome.trace)
    assert outcome.modes["hybrid"].summary.answered == len(outcome.trace)
    alone = outcome.modes["local-only"].summary
    assert set(alone.refused) <= {503}
    assert alone.answered > 0


def test_each_mode_used_what_it_may_use(outcome: Outcome) -> None:
    alone, rented, hybrid = (outcome.modes[mode] for mode in MODES)
    assert (alone.summary.spilled, rented.summary.spilled) == ({}, {})
    assert 0 < sum(hybrid.summary.spilled.values()) < len(outcome.trace)
    assert (alone.cloud_output_tokens, alone.cost_usd) == (0, 0.0)
    assert (rented.local_output_tokens, rented.local_busy) == (0, 0.0)
    assert min(hybrid.local_output_tokens, hybrid.cloud_output_tokens) > 0
    assert 0 < hybrid.cost_usd < rented.cost_usd


def test_the_figures_of_a_mode_leave_out_the_probes_before_it(outcome: Outcome) -> None:
    for figures in outcome.modes.values():
        summary = figures.summary
        assert 0.0 <= figures.local_busy <= 1.05
        seen = figures.local_output_tokens + figures.cloud_output_tokens
        assert seen == pytest.approx(summary.output_tokens_per_s * summary.length_s, rel=0.02)


def test_a_probe_finds_the_scalars_of_the_engine_in_the_right_order_of_size(outcome: Outcome) -> None:
    fit = outcome.engine_fit
    assert 0.003 < fit.step_base_s < 0.05
    assert 0 <= fit.step_s_per_running < 0.02
    assert 0 <= fit.prefill_s_per_token < 0.01
    assert outcome.capacity.sample == 6 * SLOTS
    assert 0 < outcome.capacity.requests_per_s < math.inf


def test_the_file_is_read_and_written_without_loss(outcome: Outcome, tmp_path: Path) -> None:
    write_outcome(outcome, tmp_path / "again.json")
    assert read_outcome(tmp_path / "again.json") == outcome


def test_what_is_printed_as_json_is_the_file_without_its_trace(
    rehearsed: tuple[Path, dict[str, Any]], outcome: Outcome
) -> None:
    plain = json.loads(msgspec.json.encode(outcome))
    del plain["trace"]
    assert rehearsed[1] == plain


def finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(finite(one) for one in value.values())
    return True


def test_the_simulation_beside_it_has_every_mode_and_only_finite_figures(
    rehearsed: tuple[Path, dict[str, Any]], outcome: Outcome
) -> None:
    done = overspill("simulate", "--rehearsal", str(rehearsed[0]), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found["simulated"]) == MODES
    assert finite(found)
    for mode in MODES:
        measured = msgspec.convert(found["measured"][mode], Summary, strict=False)
        simulated = msgspec.convert(found["simulated"][mode], Summary, strict=False)
        assert measured == outcome.modes[mode].summary
        assert simulated.requests == measured.requests
        assert isinstance(simulated.ttft_s, Quantiles)
    assert found["simulated"]["hybrid"]["answered"] == len(outcome.trace)
    assert sum(found["simulated"]["hybrid"]["spilled"].values()) > 0


def test_people_get_both_tables(rehearsed: tuple[Path, dict[str, Any]]) -> None:
    done = overspill("simulate", "--rehearsal", str(rehearsed[0]))
    assert done.returncode == 0
    for words in ("Simulated beside measured", "local-only", "hybrid", "points", "CPU-s"):
        assert words in done.stdout
