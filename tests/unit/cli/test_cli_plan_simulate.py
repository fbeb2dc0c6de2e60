"""``overspill plan simulate`` and ``overspill plan compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.calling import one_line, overspill
from tests.unit.core.making import policy, route
from tests.unit.planner.ledgers import write_ledger
from tests.unit.planner.worlds import CLOUD, ENGINE, away, home

from overspill.planner.simulated import TargetModel
from overspill.planner.workload import TraceRequest

CONFIG = """\
pools:
  gpu: {engine: fake, model: any, max_batch_size: SLOTS, prior: {ttft_base: 30ms, tpot_base: 20ms}}
  api:
    upstream: openai_compatible
    base_url: 'http://127.0.0.1:9/v1'
    accounts: [{name: a, api_key: 'env:NOPE'}]
    price: {input: 1, output: 2}
    prior: {ttft_base: 100ms, tpot_base: 10ms}
routes:
  - {model: m, tiers: [[gpu], [{pool: api, model: away}]], slo: {ttft: 500ms}}
"""
DRAWN = ("--trace", "rps=2,peak=2,in=200,out=60,hours=0.4")


@pytest.fixture
def config(tmp_path: Path) -> str:
    return written(tmp_path, "small.yaml", 2)


def written(folder: Path, name: str, slots: int) -> str:
    path = folder / name
    path.write_text(CONFIG.replace("SLOTS", str(slots)), encoding="utf-8")
    return str(path)


def values(*arguments: str) -> dict[str, Any]:
    called = overspill("plan", *arguments, "--json")
    assert (called.code, called.err) == (0, "")
    found: dict[str, Any] = json.loads(called.out)
    return found


def test_a_trace_is_played_and_told_window_by_window(config: str) -> None:
    found = values("simulate", "-c", config, *DRAWN, "--window", "6m", "--per-hour", "gpu=3")
    total, windows = found["total"], found["windows"]
    assert total["requests"] == sum(window["requests"] for window in windows) > 2000
    assert len(windows) == 4
    assert 0.1 < total["spilled_share"] < 0.9
    assert total["usd_per_hour"] == pytest.approx(3 + total["token_usd"] / (total["length_s"] / 3600))
    assert total["token_usd"] == pytest.approx(sum(window["token_usd"] for window in windows))
    assert found["slo"] == {"ttft_s": 0.5, "tpot_s": None}
    assert {speed["source"] for speed in found["speeds"].values()} == {"prior"}
    assert values("simulate", "-c", config, *DRAWN, "--window", "6m", "--per-hour", "gpu=3")["total"] == total


def test_the_table_shows_windows_reasons_and_what_was_assumed(config: str) -> None:
    called = overspill("plan", "simulate", "-c", config, "--trace", "bundled:azure-conv-2023", "--length", "60s")
    assert (called.code, called.err) == (0, "")
    for words in ("SLO met", "$ an hour", "TTFT p50 / p99", "all", "spilled", "as fast as their prior says", "CPU-s"):
        assert words in called.out


def test_a_recorded_ledger_is_simulated_and_the_errors_stand_beside_it(tmp_path: Path, config: str) -> None:
    world = policy(home("gpu/0"), away("api/a/away"), routes=(route(("gpu/0",), ("api/a/away",), ttft_s=0.5),))
    models = {"gpu/0": TargetModel(engine=ENGINE), "api/a/away": TargetModel(engine=CLOUD, delay_s=0.1)}
    trace = [TraceRequest(0.15 * n, 20 + 37 * n % 400, 10 + 7 * n % 60) for n in range(400)]
    ledger = tmp_path / "ledger.db"
    write_ledger(ledger, trace, world, models, "m")
    config = written(tmp_path, "four.yaml", ENGINE.slots)
    found = values("simulate", "-c", config, "--check", str(ledger))
    errors = {row["name"]: row["error"] for row in found["check"]}
    assert found["recorded"]["requests"] == found["simulated"]["requests"] == 400
    assert abs(errors["spilled"]) < 0.05
    assert abs(errors["slo_met"]) < 0.02
    assert {speed["source"] for speed in found["speeds"].values()} == {"ledger"}
    called = overspill("plan", "simulate", "-c", config, "--check", str(ledger))
    for words in ("Simulated beside recorded, 400 requests", "points", "as fast as the ledger saw them: gpu/0"):
        assert words in called.out
    observed = values("simulate", "-c", config, *DRAWN, "--observed", str(ledger))
    speed = observed["speeds"]["gpu/0"]
    assert speed["attempts"] > 100
    low, high = speed["intervals_90"]["step_base_s"]
    assert 0 < low <= speed["engine"]["step_base_s"] <= high


def test_two_configurations_are_compared_on_the_same_requests(tmp_path: Path, config: str) -> None:
    large = written(tmp_path, "large.yaml", 8)
    found = values("compare", config, large, *DRAWN, "--seeds", "2")
    figures = {row["name"]: row for row in found["figures"]}
    assert (found["first"], found["second"], found["traces"]) == ("small.yaml", "large.yaml", 2)
    assert figures["spilled"]["is_told"]
    assert figures["spilled"]["difference"] < 0
    assert figures["usd_per_hour"]["high"] < 0
    assert "large.yaml is better" in found["verdict"]
    called = overspill("plan", "compare", config, large, *DRAWN)
    assert (called.code, called.err) == (0, "")
    assert "large.yaml less small.yaml" in called.out


def test_a_short_trace_and_an_unknown_price_are_said_to_tell_nothing(tmp_path: Path, config: str) -> None:
    dark = tmp_path / "dark.yaml"
    dark.write_text(CONFIG.replace("SLOTS", "2").replace("    price: {input: 1, output: 2}\n", ""), encoding="utf-8")
    called = overspill("plan", "compare", config, str(dark), "--length", "120s")
    assert "It cannot be told which is better: the trace has 2 blocks of arrivals and 8 are needed" in " ".join(
        called.out.split()
    )
    assert "the cost is not compared" in called.out
    called = overspill("plan", "simulate", "-c", str(dark), "--length", "60s")
    assert "ran where the price is unknown" in called.out
    assert "the price of api/a/away is unknown and in no cost" in called.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "other"), "no route serves the model 'other'"),
        (("--per-hour", "gpu=lots"), "write a pool and dollars for each of its replicas: local=2.50"),
        (("--per-hour", "gpus=1"), "pool of small.yaml"),
        (("--load", "2"), "--load is for drawn requests"),
        (("--trace", "nothing.csv"), "nothing.csv"),
        (("--length", "soon"), "soon"),
    ],
)
def test_what_cannot_be_simulated_is_said(config: str, arguments: tuple[str, ...], said: str) -> None:
    called = overspill("plan", "simulate", "-c", config, *arguments)
    assert called.code != 0
    assert said in " ".join(called.err.split())


def test_several_routes_need_a_name_and_a_log_has_one_course(tmp_path: Path, config: str) -> None:
    two = tmp_path / "two.yaml"
    two.write_text(CONFIG.replace("SLOTS", "2") + "  - {model: n, tiers: [[gpu]]}\n", encoding="utf-8")
    assert "has the routes m, n; name one with --model" in one_line(overspill("plan", "simulate", "-c", str(two)))
    called = overspill("plan", "compare", config, config, "--seeds", "2")
    assert "--seeds is for drawn requests" in called.err


def test_the_same_configuration_twice_is_said_to_do_the_same(config: str) -> None:
    found = values("compare", config, config, *DRAWN, "--seeds", "2")
    assert found["verdict"] == "Both did the same with every request: on this trace nothing tells them apart."
    assert {(row["low"], row["difference"], row["high"]) for row in found["figures"]} == {(0.0, 0.0, 0.0)}
    once = values("compare", config, config, *DRAWN)
    assert found["requests"] > once["requests"]


def test_too_short_a_trace_shows_no_interval(config: str) -> None:
    called = overspill("plan", "compare", config, config, "--trace", "rps=2,in=200,out=60,hours=0.02")
    assert "inf" not in called.out
    assert "It cannot be told" in called.out


def test_an_export_cannot_say_how_fast_a_target_was(tmp_path: Path, config: str) -> None:
    export = tmp_path / "requests.csv"
    export.write_text("request_id,arrived_at\n1,2\n")
    assert "exports lack the attempts" in one_line(overspill("plan", "simulate", "-c", config, "--check", str(export)))
