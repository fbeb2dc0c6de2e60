from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.calling import one_line, overspill

CONFIG = """\
pools:
  gpu: {engine: fake, model: any, max_batch_size: 4, prior: {ttft_base: 30ms, tpot_base: 20ms, tpot_per_running: 1ms}}
  api: {upstream: openai_compatible, base_url: 'http://127.0.0.1:9/v1', accounts: [{name: a, api_key: 'env:NOPE'}]}
routes:
  - {model: m, tiers: [[gpu], [{pool: api, model: away}]], slo: {ttft: 1s}}
  - {model: mine, tiers: [[gpu]], local_only: true, slo: {ttft: 1s}, deadline: 5s}
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return str(path)


def figures(*arguments: str) -> dict[str, object]:
    called = overspill("simulate", *arguments, "--json")
    assert (called.code, called.err) == (0, "")
    found: dict[str, object] = json.loads(called.out)["simulated"]
    return found


def test_a_configuration_is_simulated_under_its_priors(config: str) -> None:
    found = figures("--config", config, "--model", "m", "--seconds", "60", "--scale-tokens", "0.25")
    assert found["answered"] == found["requests"]
    spilled = found["spilled"]
    assert isinstance(spilled, dict)
    assert set(spilled) == {"local_full"}
    assert found["slo_ttft_s"] == 1.0
    again = figures("--config", config, "--model", "m", "--seconds", "60", "--scale-tokens", "0.25")
    assert again == found


def test_more_load_spills_more(config: str) -> None:
    options = ("--config", config, "--model", "m", "--seconds", "60", "--scale-tokens", "0.1")
    shares = []
    for speed in ("1", "4"):
        found = figures(*options, "--speed-up", speed)
        assert isinstance(found["spilled"], dict)
        assert isinstance(found["requests"], int)
        shares.append(sum(found["spilled"].values()) / found["requests"])
    assert shares[0] < shares[1]


def test_a_route_that_stays_at_home_refuses_what_it_cannot_carry(config: str) -> None:
    found = figures("--config", config, "--model", "mine", "--seconds", "60")
    assert found["spilled"] == {}
    assert isinstance(found["refused"], dict)
    assert found["refused"]["503"] > 0


def test_a_name_without_a_route_is_refused_whole(config: str) -> None:
    found = figures("--config", config, "--model", "nope", "--seconds", "10", "--slo-ttft", "3")
    assert found["answered"] == 0
    assert found["slo_ttft_s"] == 3.0


def test_the_table_has_the_figures_and_the_cost_of_them(config: str) -> None:
    called = overspill("simulate", "--config", config, "--model", "m", "--seconds", "20")
    assert (called.code, called.err) == (0, "")
    for words in ("Simulated", "answered", "spilled", "TTFT at home p50 / p99", "goodput, requests/s", "CPU-s"):
        assert words in called.out


def test_a_trace_of_ones_own_is_read(config: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"at_s":0,"prompt_tokens":9,"output_tokens":3}\n' * 5, encoding="utf-8")
    assert figures("--config", config, "--model", "m", "--trace", str(trace))["requests"] == 5
    trace.write_text("what?\n", encoding="utf-8")
    called = overspill("simulate", "--config", config, "--model", "m", "--trace", str(trace))
    assert called.code == 3
    assert "trace.jsonl:1: this is no known trace" in one_line(called)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give either --rehearsal FILE or --config FILE"),
        (("--config", "CONFIG", "--rehearsal", "CONFIG"), "give either --rehearsal FILE or --config FILE"),
        (("--config", "CONFIG"), "--config needs --model"),
        (("--config", "nowhere.yaml"), "does not exist"),
        (("--config", "CONFIG", "--model", "m", "--seconds", "nan"), "nan is not a finite number"),
        (("--config", "CONFIG", "--model", "m", "--slo-ttft", "inf"), "inf is not a finite number"),
        (("--config", "CONFIG", "--model", "m", "--speed-up", "0"), "not in the range"),
        (("--config", "CONFIG", "--model", "m", "--speed-up", "fast"), "is not a valid float"),
    ],
)
def test_a_wrong_call_is_told_what_is_missing(config: str, arguments: tuple[str, ...], says: str) -> None:
    called = overspill("simulate", *(config if word == "CONFIG" else word for word in arguments))
    assert called.code == 2
    assert says in called.err


@pytest.mark.parametrize("content", ["", "{}", '{"overspill_rehearsal": 1}', "\u0000"])
def test_what_is_no_rehearsal_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "no.json"
    path.write_text(content, encoding="utf-8")
    called = overspill("simulate", "--rehearsal", str(path))
    assert called.code == 3
    assert "is no rehearsal of this version; make one with overspill rehearse" in one_line(called)
