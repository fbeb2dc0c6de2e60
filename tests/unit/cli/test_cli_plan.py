"""``overspill plan``: tables for people, JSON for programs, errors in one line."""

from __future__ import annotations

import json
import re
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
    for word in ("optimum", "owned, for the peak", "on demand only", "capital", "operations", "regret", "ski rental"):
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
    for words in ("What the cost depends on", "× 0.7, $ a year", "price of tokens", "utilisation: mean by peak demand"):
        assert words in english.out
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
        (("--reserved", "=3"), "is no reserved term; write years or months"),
        (("--reserved", "1y=3", "--reserved", "1y=4"), "another price for 1y"),
        (("--unit", "rps=1,rps=2"), "rps is given twice"),
        (("--token-price", "in=¥1,out=1"), "in US dollars by million tokens"),
        (("--tokens", "deepseek"), "name a model too, as in deepseek/MODEL; known: deepseek-flash"),
        (("--window", "soon"), "is not a duration"),
        (("--window", "0"), "shorter than a second"),
        (("--gpu", "H100"), "--gpu is for units that are sized"),
        (("--slo", "ttft=1s", "--engine", "vllm"), "--slo, --engine says more of a model to size here"),
        (("--starts-at", "soon"), "is not a time"),
    ],
)
def test_a_wrong_call_is_a_usage_error(change: tuple[str, ...], why: str) -> None:
    called = overspill("plan", "cost", *CASE, *change)
    assert called.code == 2
    assert why in " ".join(called.err.split())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("--staff", "50000", "--capex", "1"), "--capex, --staff says more of a machine to buy: add --own NODE"),
        (("--cost-of-capital", "0"), "add --own NODE"),
        (("--reserved", "1y=3"), "add --rent INSTANCE"),
        (("--spot-zones", "2"), "add --rent INSTANCE"),
        (("--machines", "2"), "add --own NODE or --rent INSTANCE"),
        (("--unit", "size.json", "--own", "8xH100", "--machines", "2"), "a sized unit says itself"),
    ],
)
def test_options_that_would_do_nothing_are_refused(change: tuple[str, ...], why: str) -> None:
    asked = ("-w", "rps=1,in=10,out=10,hours=1", "--unit", "rps=1", "--token-price", "in=1,out=1")
    called = overspill("plan", "verdict", *asked, *change)
    assert called.code == 2
    assert why in " ".join(called.err.split())


def test_a_users_file_of_prices_and_the_rate_of_capital_are_named_as_sources(tmp_path: Path) -> None:
    own = tmp_path / "ours.yaml"
    own.write_text(
        "nodes:\n  - {name: our-node, gpu: H200, gpus: 8, gpu_mem_gib: 141, usd: 298000, years: 4, kw_max: 10.2, "
        "kw_idle: 3.0, as_of: 2026-11-20, source: quotation 4711}\n"
    )
    asked = ("-w", "rps=1,in=10,out=10,hours=1", "--unit", "rps=1", "--token-price", "in=1,out=1", "--own", "our-node")
    found = json.loads(
        overspill("plan", "cost", *asked, "--prices", str(own), "--cost-of-capital", "0.05", "--json").out
    )
    (capital,) = [line["source"] for line in found["owned"]["lines"] if line["name"] == "capital"]
    assert "quotation 4711; ours.yaml (2026-11-20)" in capital
    assert "--cost-of-capital 0.05; " in capital
    own.write_bytes("ähm".encode("latin-1"))
    assert "cannot read these prices" in overspill("plan", "cost", *asked, "--prices", str(own)).err
    own.write_text(
        "instances:\n  - {name: x/y, gpu: H200, gpus: 8, gpu_mem_gib: 141, region: r, reserved: {forever: 3}, "
        "as_of: 2026-11-20, source: q}\n"
    )
    assert "'forever' is no reserved term" in overspill("plan", "cost", *asked, "--prices", str(own)).err


def test_a_unit_is_sized_with_ones_own_gpus(tmp_path: Path) -> None:
    shipped = Path("src/overspill/catalog/gpus.yaml").read_text(encoding="utf-8")
    own = tmp_path / "gpus.yaml"
    own.write_text(shipped.replace("name: H100-SXM", "name: H100-SXM-ours", 1), encoding="utf-8")
    asked = ("plan", "verdict", "-w", "rps=1,in=1000,out=100,hours=1", "--model-config", "Qwen3-32B", "--token-price",
             "in=1,out=1", "--gpus", str(own))  # fmt: skip
    assert overspill(*asked, "--gpu", "H100-SXM-ours").code == 0
    assert "No such file" in overspill(*asked[:-1], str(tmp_path / "none.yaml"), "--gpu", "H100-SXM").err


def test_chinese_words_leave_no_english_sentence() -> None:
    called = overspill("plan", "cost", *DRAWN, "--staff", "50000", "--rent", "nebius/gpu-h100-sxm_8gpu",
                       "--spot-zones", "2", "--reserved", "6m=15", "--lang", "zh")  # fmt: skip
    assert called.code == 0, called.err
    for word in ("个请求", "变异系数", "对数正态", "出口流量费", "竞价实例承担", "资本", "年利率", "已含在机位租金中",
                 "每单元合计", "人员", "预留 6 个月，按高峰配置", "全部按 token", "后悔值", "滑雪租赁"):  # fmt: skip
        assert word in called.out
    for word in ("requests", "units", "left after", "a year", "drawn", "optimum", "Learned", "stand"):
        assert word not in called.out


def test_a_log_within_one_window_is_annualised_by_its_own_length() -> None:
    asked = ("-w", "rps=2,peak=2,in=100,out=10,hours=1", "--unit", "rps=1", "--token-price", "in=1,out=1")
    day = json.loads(overspill("plan", "cost", *asked, "--window", "24h", "--json").out)
    hour = json.loads(overspill("plan", "cost", *asked, "--window", "1h", "--json").out)
    assert day["options"] == hour["options"]
    assert any("shorter than a window of 24 h" in said for said in day["assumptions"])


def test_a_start_that_the_log_knows_better_is_not_used_and_said_so() -> None:
    asked = ("-w", "bundled:azure-conv-2023", "--unit", "rps=1", "--token-price", "in=1,out=1")
    found = json.loads(overspill("plan", "cost", *asked, "--starts-at", "2026-11-23", "--json").out)
    assert "--starts-at is not used: the log has dates" in found["assumptions"]


def test_the_article_is_checked_in_chinese_with_plain_figures() -> None:
    called = overspill("plan", "check-article", "--lang", "zh")
    assert "67,869 / 40,000 $/年 = 1.70" in called.out
    assert re.search(r"共 \d\d 处陈述：\d+ 处正确、\d+ 处错误", called.out)
    assert "全年运行 $" in called.out
    assert "计入后：资本 $46,564、电费 $7,972、运维 $13,333。" in called.out
    assert "e+0" not in called.out


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
