"""``overspill plan``: tables for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.calling import one_line, overspill

from overspill.catalog.hardware_prices import load_hardware_prices

CASE = ("--workload", "bundled:servegen-m-large-rates", "--unit", "rps=60", "--own", "8xH100", "--rent",
        "nebius/gpu-h200-sxm_8gpu")  # fmt: skip
DRAWN = ("-w", "rps=2,in=1200,out=300,hours=6", "--unit", "in=9000,out=1800", "--own", "8xH100", "--tokens",
         "deepseek/deepseek-flash", "--starts-at", "2026-11-23")  # fmt: skip


def test_cost_prints_every_option_and_how_far_it_can_be_trusted() -> None:
    called = overspill("plan", "cost", *CASE)
    assert called.code == 0, called.err
    for word in ("optimum", "owned for peak", "on demand only", "capital", "operations", "regret", "ski rental"):
        assert word in called.out


def test_cost_as_json_has_documented_keys_and_sources() -> None:
    called = overspill("plan", "cost", *DRAWN, "--json")
    found = json.loads(called.out)
    assert set(found) == {
        "workload", "units", "tiers", "owned", "sources", "assumptions", "options", "optimum", "bound_usd_per_year",
        "regret_share", "learned_units", "drift", "rented", "online",
    }  # fmt: skip
    assert found["workload"]["format"] == "synthetic"
    assert {option["name"] for option in found["options"]} >= {"optimum", "tokens_only", "owned_for_peak"}
    assert any("api-docs.deepseek.com" in source for source in found["sources"])
    assert any("Gamma gaps" in said for said in found["assumptions"])


def test_tokens_are_cheaper_outside_of_a_tariffs_peak_hours() -> None:
    def usd(starts_at: str) -> float:
        found = json.loads(overspill("plan", "cost", *DRAWN[:-1], starts_at, "--json").out)
        return next(option["usd_per_year"] for option in found["options"] if option["name"] == "tokens_only")

    weekend, morning = usd("2026-11-28"), usd("2026-11-23T01:00:00+00:00")
    assert weekend < morning < 2 * weekend


def test_the_verdict_is_words_in_two_languages_and_figures() -> None:
    english = overspill("plan", "verdict", *DRAWN)
    assert english.code == 0, english.err
    assert "Do not buy machines." in english.out
    chinese = overspill("plan", "verdict", *DRAWN, "--lang", "zh")
    assert "不要购买机器" in chinese.out
    found = json.loads(overspill("plan", "verdict", *DRAWN, "--json").out)
    verdict = found["verdict"]
    assert verdict["advice"] == "buy_tokens"
    assert verdict["is_not_to_buy"] is True
    assert [number["name"] for number in verdict["numbers"]] == ["r", "utilisation", "break_even"]
    assert set(verdict["words"]) == {"en", "zh"}
    assert found["options"]


def test_the_article_is_checked_in_words_and_as_json(tmp_path: Path) -> None:
    called = overspill("plan", "check-article")
    assert called.code == 0, called.err
    for figure in ("1,221", "1,309", "1,407", "1,588", "116.7 days", "287,065", "cannot load"):
        assert figure in called.out
    assert "错误" in overspill("plan", "check-article", "--lang", "zh").out
    found = json.loads(overspill("plan", "check-article", "--json").out)
    assert found["tco_usd_per_year"] == 40_000
    assert found["counts"]["wrong"] >= 15
    assert {"code", "finding", "expected", "stated", "ratio", "en", "zh", "quote", "sources"} <= set(found["flags"][0])
    other = tmp_path / "other.yaml"
    other.write_text("title: x\ndate: 2026-01-01\nbreak_even: {hours: 24, days: 2}\n")
    assert json.loads(overspill("plan", "check-article", "--text", str(other), "--json").out)["counts"]["wrong"] == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("--own", "8xH10"), "did you mean '8xH100'"),
        (("--rent", "nebius/x"), "unknown instance"),
        (("--site", "mars"), "unknown site"),
        (("--workload", "absent.csv"), "cannot read this trace"),
        (("--workload", "rps=1,in=1"), "lacks out="),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: tuple[str, str], why: str) -> None:
    assert why in one_line(overspill("plan", "cost", *CASE, *change))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("--unit", "rate=3"), "unknown number of --unit"),
        (("--unit", "rps=-3"), "must be a number above 0"),
        (("--reserved", "1y=free"), "must be a number above 0"),
        (("--token-price", "in=1"), "needs in= and out="),
        (("--token-price", "in=1,out=1", "--tokens", "deepseek/deepseek-flash"), "give either"),
        (("--window", "soon"), "is not a duration"),
        (("--starts-at", "soon"), "is not a time"),
    ],
)
def test_a_wrong_call_is_a_usage_error(change: tuple[str, ...], why: str) -> None:
    called = overspill("plan", "cost", *CASE, *change)
    assert called.code == 2
    assert why in " ".join(called.err.split())


def test_tokens_without_a_known_price_are_never_free() -> None:
    called = overspill("plan", "cost", *DRAWN, "--tokens", "deepseek/deepseek-v9")
    assert called.code == 2
    assert "unknown model of deepseek" in called.err
    assert "unknown provider" in overspill("plan", "cost", *DRAWN, "--tokens", "nobody/x").err


def test_options_over_the_catalogue_count(tmp_path: Path) -> None:
    def owned(*more: str) -> dict[str, float]:
        found = json.loads(overspill("plan", "cost", *CASE, "--json", *more).out)["owned"]
        return {line["name"]: line["usd_per_year"] for line in found["lines"]} | {"staff": found["shared_usd_per_year"]}

    assert owned("--capex", "162500")["capital"] == pytest.approx(owned()["capital"] / 2)
    assert owned("--staff", "50000")["staff"] == 50_000
    assert owned("--cost-of-capital", "0")["capital"] == pytest.approx(325_000 * 0.7 / 3)
    assert owned("--site", "own_room")["electricity"] > 0
    reserved = json.loads(overspill("plan", "cost", *CASE, "--reserved", "1y=9", "--spot-zones", "2", "--json").out)
    assert {option["name"] for option in reserved["options"]} >= {"reserved_1y_for_peak", "spot_only"}


def test_the_group_names_its_commands_and_a_wrong_one_is_corrected() -> None:
    called = overspill("plan", "--help")
    assert "check-article" in called.out
    assert "did you mean 'verdict'" in overspill("plan", "verdic").err


def sized(folder: Path, *more: str) -> Path:
    path = folder / "size.json"
    called = overspill("plan", "size", "--model", "Qwen3-32B", "--gpu", "H100-SXM", "--slo", "ttft=2s,tpot=50ms",
                       "--workload", "rps=2,in=1200,out=300", "--json", *more)  # fmt: skip
    assert called.code == 0, called.err
    path.write_text(called.out)
    return path


def test_a_unit_from_plan_size_is_a_machine_full_of_replicas(tmp_path: Path) -> None:
    path = sized(tmp_path)
    plan = json.loads(path.read_text())["plans"][0]
    replicas = 8 // round(plan["gpus"] / plan["replicas"])
    asked = ("--workload", "rps=10,in=1200,out=300,hours=3", "--unit", str(path), "--token-price", "in=0.15,out=0.6")
    found = json.loads(overspill("plan", "cost", *asked, "--own", "8xH100", "--json").out)
    carries = plan["replica"]["requests_per_s"] * replicas
    assert found["units"]["carries"]["requests_per_s"] == pytest.approx(carries * 0.8)
    assert not any("sized for" in said for said in found["assumptions"])
    rented = json.loads(
        overspill("plan", "cost", *asked, "--rent", "verda/1H100.80S.32V", "--headroom", "0", "--json").out
    )
    (machine,) = [tier for tier in rented["tiers"]["flexible"] if tier["name"] == "on_demand"]
    listed = load_hardware_prices().instance("verda/1H100.80S.32V").on_demand or 0.0
    assert machine["mean_usd_per_unit_hour"] == pytest.approx(listed * round(plan["gpus"] / plan["replicas"]), rel=0.05)


def test_a_size_for_other_lengths_or_machines_is_told_apart(tmp_path: Path) -> None:
    path = sized(tmp_path)
    asked = ("plan", "cost", "--unit", str(path), "--token-price", "in=0.15,out=0.6")
    longer = json.loads(overspill(*asked, "-w", "rps=1,in=9000,out=300,hours=3", "--own", "8xH100", "--json").out)
    assert any("sized for prompts of 1,200" in said for said in longer["assumptions"])
    numbers = ("-w", "rps=1,in=1200,out=300,hours=3")
    assert "no plan for A100-80GB" in overspill(*asked, *numbers, "--own", "8xA100-80GB").err
    mixed = overspill(*asked, *numbers, "--own", "8xH100", "--rent", "nebius/gpu-h200-sxm_8gpu")
    assert mixed.code == 2
    assert "no equal units" in mixed.err
    path.write_text("{}")
    assert "no answer of plan size" in overspill(*asked, *numbers, "--own", "8xH100").err
