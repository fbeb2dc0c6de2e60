"""``overspill plan observe``: from a ledger to rows that calibrate the planner."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import one_line, overspill
from tests.unit.core.making import policy, route
from tests.unit.planner.ledgers import write_ledger, write_records
from tests.unit.planner.worlds import CLOUD, away, home

from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import TargetModel
from overspill.planner.workload import TraceRequest

ENGINE = EngineModel(slots=64, step_base_s=0.016, step_s_per_running=0.0001, prefill_s_per_token=5e-5)
"""About twice as slow as Qwen3-8B is expected to be on an H100."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of a target whose load grew from one request at a time to dozens, and of a cloud."""
    dice = random.Random(11)
    trace, now_s = [], 0.0
    for number in range(900):
        now_s += dice.expovariate(0.4 + number / 120)
        trace.append(TraceRequest(now_s, dice.randrange(200, 1200), dice.randrange(100, 300)))
    path = tmp_path_factory.mktemp("observe") / "ledger.db"
    world = policy(home("gpu", ENGINE), away(), routes=(route(("gpu",), ("api",), ttft_s=1.0),))
    models = {"gpu": TargetModel(engine=ENGINE), "api": TargetModel(engine=CLOUD)}
    write_ledger(path, [*trace, TraceRequest(now_s + 1e4, 90_000, 4)], world, models, "m")
    return path


def observed(ledger: Path, *more: str) -> list[dict[str, str]]:
    called = overspill("plan", "observe", str(ledger), "--target", "gpu", "--gpu", "h100", *more)
    assert (called.code, called.err) == (0, "")
    return list(csv.DictReader(called.out.splitlines()))


def test_each_load_that_was_seen_is_a_row_with_what_it_measured(ledger: Path) -> None:
    rows = observed(ledger, "--engine", "vllm", "--precision", "bf16")
    counts = [int(row["batch_size"]) for row in rows]
    assert counts == sorted(counts)
    assert counts[0] <= 2
    assert counts[-1] >= 30
    assert len(rows) >= 6
    for row in rows:
        count = int(row["batch_size"])
        step_s = ENGINE.step_base_s + ENGINE.step_s_per_running * count
        prefill_s = ENGINE.prefill_s_per_token * int(row["isl"]) * (count - 1) / int(row["osl"])
        assert float(row["tpot_ms"]) == pytest.approx(1e3 * (step_s + prefill_s), rel=0.15)
        assert 400 < int(row["isl"]) < 1000
        assert int(row["attempts"]) >= 8
        assert (row["system"], row["backend"], row["precision"], row["tp_size"]) == ("H100-SXM", "vllm", "bf16", "1")
        assert row["source"] == "ledger ledger.db, gpu; measured=2027-01-15"


def test_the_planner_is_calibrated_by_them(ledger: Path, tmp_path: Path) -> None:
    """Every second row calibrates; the others are predicted."""
    rows = tmp_path / "rows.csv"
    told = overspill("plan", "observe", str(ledger), "--target", "gpu", "--gpu", "h100", "--out", str(rows))
    assert told.out.endswith(f"attempts on gpu are in {rows}; use them with --observed {rows}\n")
    header, *lines = rows.read_text(encoding="utf-8").splitlines()
    seen, unseen = tmp_path / "seen.csv", tmp_path / "unseen.csv"
    seen.write_text("\n".join([header, *lines[::2]]) + "\n", encoding="utf-8")
    unseen.write_text("\n".join([header, *lines[1::2]]) + "\n", encoding="utf-8")

    def errors(*more: str) -> dict[str, float]:
        called = overspill("plan", "predict", "--model", "Qwen3-8B", "--rows", str(unseen), "--json", *more)
        assert (called.code, called.err) == (0, "")
        found: dict[str, float] = json.loads(called.out)["median_error"]
        return found

    before, after = errors(), errors("--observed", str(seen))
    assert before["tpot"] > 0.3
    assert after["tpot"] < 0.08
    assert after["ttft"] < 0.15 < before["ttft"]


def test_requests_are_counted_by_attention_group(ledger: Path) -> None:
    alone, two = observed(ledger), observed(ledger, "--layout", "tp=2, dp=2, ep=4")
    assert [(row["tp_size"], row["attention_dp_size"], row["moe_ep_size"]) for row in two[:1]] == [("2", "2", "4")]
    assert [int(row["batch_size"]) for row in two] == [max(1, round(int(row["batch_size"]) / 2)) for row in alone]


def test_rows_are_told_to_programs_too(ledger: Path) -> None:
    called = overspill("plan", "observe", str(ledger), "--target", "gpu", "--gpu", "h100", "--json")
    found: dict[str, Any] = json.loads(called.out)
    assert found["target"] == "gpu"
    assert found["attempts"] > 300
    assert [str(row["isl"]) for row in found["rows"]] == [row["isl"] for row in observed(ledger)]


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--gpu", "h100"], 3, "name one of its targets with --target; attempts by target: api ("),
        (["--gpu", "h1000", "--target", "gpu"], 2, "unknown GPU 'h1000'; known: A100-40GB"),
        (["--gpu", "h100", "--target", "gpi"], 2, "did you mean 'gpu'"),
        (["--gpu", "h100", "--target", "gpu", "--layout", "tp=0"], 2, "must be a whole number from 1 to 4096, not '0'"),
        (["--gpu", "h100", "--target", "gpu", "--layout", "xp=2"], 2, "part of --layout"),
        (["--gpu", "h100", "--target", "gpu", "--out", "/nowhere/rows.csv"], 2, "cannot be written"),
    ],
)
def test_what_is_wrong_is_said(ledger: Path, more: list[str], code: int, words: str) -> None:
    called = overspill("plan", "observe", str(ledger), *more)
    assert called.code == code
    assert words in called.err


def test_a_ledger_that_tells_no_speed_says_so(tmp_path: Path) -> None:
    empty, few = tmp_path / "empty.db", tmp_path / "few.db"
    write_records(empty, [])
    called = overspill("plan", "observe", str(empty), "--gpu", "h100")
    assert "has no attempts yet" in one_line(called)
    world = policy(home("gpu", ENGINE), routes=(route(("gpu",), ttft_s=1.0),))
    write_ledger(few, [TraceRequest(0.0, 100, 50)] * 3, world, {"gpu": TargetModel(engine=ENGINE)}, "m")
    called = overspill("plan", "observe", str(few), "--gpu", "h100")
    assert "the 3 attempts on gpu tell no speed" in one_line(called)
