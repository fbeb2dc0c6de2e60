"""The report: one page that loads nothing, says what ``--json`` says in both languages, and draws what it says."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from tests.unit.cli.calling import Called, one_line, overspill
from tests.unit.ledger.sample_records import a_request
from tests.unit.planner.report.reading import ReadPage, numbers_of, plots_of, texts_of

from overspill.core.types import Outcome, Spill, Surface
from overspill.ledger.export import Format, export
from overspill.ledger.store import LedgerStore
from overspill.planner.remarks import in_language, length_zh
from overspill.planner.report.contents import ACCURACY
from overspill.planner.report.words import hours_named, unit_name

plotly = pytest.importorskip("plotly", reason="extra `report`")

SIZED = ("-w", "rps=2,peak=6,in=1200,out=300", "--model-config", "Qwen3-32B", "--own", "8xH100", "--tokens",
         "deepseek/deepseek-flash", "--starts-at", "2026-11-23")  # fmt: skip
LARGE = ("-w", "bundled:servegen-m-large-rates", "--unit", "rps=60", "--own", "8xH100", "--rent",
         "nebius/gpu-h200-sxm_8gpu", "--spot-zones", "2", "--reserved", "1y=16", "--staff", "30000")  # fmt: skip
PLOTS = ["break_even", "load_duration", "demand", "spill", "sensitivity", "regret"]
_SCALES = (1.0, 100.0, 1e3, 1e6, 1 / 60, 1 / 3600)
"""As a share, in ms, µs, minutes and hours."""


def reported(folder: Path, *arguments: str) -> tuple[ReadPage, dict[str, Any], str]:
    out = folder / "report.html"
    called = overspill("plan", "report", *arguments, "--out", str(out), "--json")
    assert called.code == 0, called.err
    assert called.err == ""
    page = out.read_text(encoding="utf-8")
    return ReadPage(page), json.loads(called.out), page


@pytest.fixture(scope="module", params=[SIZED, LARGE], ids=["sized", "large"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("report")
    return [reported(folder, *request.param, "--lang", language) for language in ("en", "zh")]


def test_a_page_loads_nothing_and_forbids_itself_to(both: list[Any]) -> None:
    for page, _, text in both:
        assert page.loads == []
        assert page.policy.startswith("default-src 'none'")
        assert not re.search(r"https?:", page.policy)
        assert "url(" not in page.styles
        assert "@import" not in page.styles
        assert {target for target in page.targets if not target.startswith("#")} == set()
        assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        assert len(text) < 6_000_000


def test_every_number_in_the_page_is_one_of_the_json(both: list[Any]) -> None:
    for page, values, _ in both:
        known = numbers_of(values)
        assert len(page.figures) > 150
        for value, said in page.figures:
            assert value in known, (value, said)
            assert said_equals(value, said), (value, said)


def said_equals(value: float, said: str) -> bool:
    """Tell whether what is shown is the value, rounded, as a share or in another unit."""
    if said.startswith("UTC"):
        sign, hours, minutes = said[3], int(said[4:6]), int(said[7:9])
        return value == (-1 if sign == "-" else 1) * (hours * 3600 + minutes * 60)
    found = re.match(r"[-\d.,e+]+", said)
    assert found, said
    number = float(found[0].replace(",", ""))
    digits = len(found[0].partition(".")[2]) if "e" not in found[0] else 0
    near = 0.5 * 10**-digits * 1.001
    return any(math.isclose(number, value * scale, abs_tol=near, rel_tol=0.006) for scale in _SCALES)


def test_no_text_has_a_number_of_its_own(both: list[Any]) -> None:
    for page, values, _ in both:
        known = "\n".join(texts_of(values) | {values["made_on"], values["version"], values["workload"]["name"]})
        for text in page.texts:
            rest = text.removesuffix(",").strip()
            if not re.search(r"\d", rest) or rest in known:
                continue
            parts = [part for part in re.split(r"[\s()（）:：,，、]+", rest) if re.search(r"\d", part)]
            assert all(part in known for part in parts), text


def test_both_languages_have_the_same_figures(both: list[Any]) -> None:
    (english, values, _), (chinese, others, _) = both
    assert english.figures == chinese.figures
    assert {**values, "made_on": ""} == {**others, "made_on": ""}
    assert sum("一" <= character <= "鿿" for character in "".join(chinese.texts)) > 800
    assert not re.search("[一-鿿]", "".join(english.texts))


def test_the_verdict_stands_in_the_page_in_words(both: list[Any]) -> None:
    for (page, values, _), language in zip(both, ("en", "zh"), strict=True):
        for paragraph in values["verdict"]["words"][language]:
            assert paragraph in page.texts


def test_every_plot_has_a_place_words_and_a_table_and_plotly_takes_it(both: list[Any]) -> None:
    from plotly.graph_objects import Figure

    for page, values, _ in both:
        plots = plots_of(page)
        wanted = [f"plot-{name}" for name in PLOTS]
        if values["latencies"]["predicted"] is not None:
            wanted.append("plot-predicted")
        assert sorted(plots) == sorted(wanted)
        assert set(plots) <= set(page.ids)
        assert set(page.labels) == set(plots)
        assert all(len(label) > 20 for label in page.labels.values())
        assert page.tags.count("details") == len(plots)
        for plot in plots.values():
            assert Figure(plot).data  # raises for what plotly does not know
        assert plots["plot-load_duration"]["data"][-1]["y"] == values["curves"]["load_duration"]["units"]


def test_the_break_even_is_where_the_lines_cross(both: list[Any]) -> None:
    for _, values, _ in both:
        curve = values["curves"]["break_even"]
        lines = {line["option"]: line for line in curve["lines"]}
        assert curve["crossings"]
        for crossing in curve["crossings"]:
            if crossing["hours_per_year"] is None:
                continue
            here, there = (
                lines[name]["fixed_usd_per_year"] + lines[name]["usd_per_busy_hour"] * crossing["hours_per_year"]
                for name in (crossing["committed"], crossing["flexible"])
            )
            assert here == pytest.approx(there)


def test_the_curves_are_the_demand_and_the_plan(both: list[Any]) -> None:
    for _, values, _ in both:
        curves, units = values["curves"], values["units"]
        assert max(curves["load_duration"]["units"]) == units["peak"] == max(curves["demand"]["max_units"])
        assert curves["load_duration"]["time_share"][0] == 0
        assert curves["load_duration"]["units"][0] == units["peak"]
        committed = sum(values["verdict"]["units"].values())
        assert curves["demand"]["committed_units"] == committed
        hours = curves["spill_by_hour"]["hours"]
        assert [row["hour"] for row in hours] == list(range(24))
        assert sum(row["demand_units"] for row in hours) / 24 == pytest.approx(units["mean"], rel=0.01)
        spilled = sum(row["spilled_units"] for row in hours) / sum(row["demand_units"] for row in hours)
        assert spilled == pytest.approx(values["verdict"]["spilled_share"], abs=0.01)
        assert curves["regret"][0] == {"name": "clairvoyant", "factor": 1.0, "basis": "log"}


def test_every_figure_that_went_in_says_where_it_is_from(both: list[Any]) -> None:
    for page, values, _ in both:
        inputs = values["inputs"]
        assert len(inputs) > 15
        for row in inputs:
            assert row["source"].strip(), row
            assert row["source"] in "\n".join(page.texts)
        assert any(row["as_of"] for row in inputs)
        assert page.tags.count("time") >= len({row["source"] for row in inputs if row["as_of"]})
    large = {row["name"]: row for row in values["inputs"]}
    if "rent_reserved_1y" in large:
        assert large["rent_reserved_1y"]["source"] == "--reserved 1y=16"
        assert large["staff"] | {"subject": ""} == {
            "name": "staff", "subject": "", "value": 30_000.0, "unit": "$/year", "source": "--staff", "as_of": None,
        }  # fmt: skip


def test_a_tariff_is_shown_by_the_providers_clock(tmp_path: Path) -> None:
    _, values, _ = reported(tmp_path, *SIZED)
    curve = values["curves"]["spill_by_hour"]
    assert curve["utc_offset_s"] == 8 * 3600
    shares = {row["hour"]: row["peak_price_share"] for row in curve["hours"]}
    assert set(shares.values()) == {0.0, 1.0}  # a Monday
    prices = {row["usd_per_mtok_output"] for row in curve["hours"]}
    inputs = {row["name"]: row["value"] for row in values["inputs"]}
    assert prices == {inputs["tokens_out_peak"], inputs["tokens_out_off_peak"]}
    assert "UTC+08:00" in inputs["tariff"]


def written(folder: Path, form: str, count: int = 60) -> Path:
    store = LedgerStore.open(folder / "ledger.db")
    rows = [
        a_request(
            number * 120, model="<script>alert(1)</script>", ttft_s=0.1 + 0.01 * number, tpot_s=0.02,
            target_id="cloud" if number % 3 == 0 else "local-0", spill=Spill.SLO_AT_RISK if number % 3 == 0 else None,
        )
        for number in range(count)
    ]  # fmt: skip
    rows += [
        a_request(9000, surface=Surface.EMBEDDINGS, output_tokens=None),
        a_request(9001, outcome=Outcome.REJECTED, attempts=0, output_tokens=None, ttft_s=None, tpot_s=None),
    ]
    try:
        store.write(rows, [])
        if form == "sqlite":
            return folder / "ledger.db"
        destination = folder / f"<img src=x onerror=alert(1)>.{form}"
        export(store, "requests", destination, Format(form))
        return destination
    finally:
        store.close()


@pytest.mark.parametrize("form", ["sqlite", "csv", "jsonl", "parquet"])
def test_a_ledgers_latencies_are_those_that_it_recorded(tmp_path: Path, form: str) -> None:
    path = written(tmp_path, form)
    page, values, text = reported(tmp_path, "-w", str(path), "--unit", "rps=0.01", "--token-price", "in=0.3,out=1.2")
    recorded = {(row["where"], row["measure"]): row for row in values["latencies"]["recorded"]}
    assert {key: row["requests"] for key, row in recorded.items()} == {
        ("local", "ttft"): 40, ("local", "tpot"): 40, ("spilled", "ttft"): 20, ("spilled", "tpot"): 20,
    }  # fmt: skip
    ttft = recorded["local", "ttft"]
    assert ttft["seconds"][0] == pytest.approx(0.11)
    assert ttft["seconds"][-1] == pytest.approx(0.1 + 0.01 * 59, abs=0.02)
    assert values["latencies"]["recorded_spilled_share"] == pytest.approx(1 / 3)
    assert {"plot-recorded-ttft", "plot-recorded-tpot"} <= set(plots_of(page))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert page.tags.count("script") == 3
    if form != "sqlite":
        assert any("<img src=x onerror=alert(1)>" in said for said in page.texts)


def test_the_summary_says_the_same_in_short(tmp_path: Path) -> None:
    path = written(tmp_path, "sqlite")
    called = overspill("plan", "report", "-w", str(path), "--unit", "rps=0.01", "--token-price", "in=0.3,out=1.2")
    assert called.code == 0, called.err
    for said in ("Buy tokens", "Every way to serve it", "time to the first token, local: p50", "(40)"):
        assert said in called.out
    assert called.err == ""  # no progress where nobody watches
    chinese = overspill("plan", "report", *SIZED, "--lang", "zh")
    for said in ("不要购买机器", "首 token 时间"):
        assert said in chinese.out


def test_without_plotly_the_extra_is_named_and_the_rest_works(tmp_path: Path) -> None:
    given = ("plan", "report", "-w", "rps=2,in=1200,out=300,hours=3", "--unit", "rps=2", "--token-price", "in=1,out=2")
    with mock.patch.dict(sys.modules, {"plotly": None, "plotly.offline": None}):
        called = overspill(*given, "--out", str(tmp_path / "r.html"))
        assert "pip install 'overspill[report]'" in one_line(called)
        assert called.code == 3
        assert overspill(*given, "--json").code == 0
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--unit", "rps=2", "--out", "absent/r.html"), "there is no folder absent"),
        (("--model-config", "Qwen3-32B"), "needs to know the GPU"),
        (("--model-config", "Qwen3-32B", "--unit", "rps=2"), "say what a unit carries"),
        ((), "say what a unit carries"),
        (("--model-config", "Qwen3-32B", "--gpu", "H100-SXM", "--slo", "tpot=1us"), "does not keep tpot=1us"),
        (("--model-config", "Qwen3-32B", "--gpu", "H100-SXN"), "did you mean"),
    ],
)
def test_what_is_wrong_is_said(more: tuple[str, ...], why: str) -> None:
    called: Called = overspill(
        "plan", "report", "-w", "rps=2,in=1200,out=300,hours=3", "--token-price", "in=1,out=2", *more
    )
    assert called.code == 2
    assert why in " ".join(called.err.split())


def test_the_accuracy_that_reports_name_is_the_one_that_was_measured() -> None:
    text = Path("benchmarks/planner/RESULTS.md").read_text(encoding="utf-8")
    assert ACCURACY[0].as_of in text
    rows = re.findall(r"\| deployment \| (\d+) \| \d+ \| ([\d.]+)% \|[^|]*\|[^|]*\|[^|]*\| ([\d.]+)% \|", text)
    measured = [(int(count), float(tpot) / 100, float(ttft) / 100) for count, tpot, ttft in rows]
    assert measured == [
        (row.observed_rows, pytest.approx(row.tpot_share), pytest.approx(row.ttft_share)) for row in ACCURACY
    ]


def test_spill_as_simulated_stands_beside_that_of_demand(tmp_path: Path) -> None:
    workload = ("-w", "rps=0.5,peak=2,in=300,out=50,hours=24", "--starts-at", "2026-11-23")
    simulated = overspill("plan", "simulate", "-c", "examples/hybrid.yaml", "--model", "chat", *workload, "--json")
    assert simulated.code == 0, simulated.err
    answer = json.loads(simulated.out)
    path = tmp_path / "simulated.json"
    path.write_text(simulated.out, encoding="utf-8")
    given = ("--unit", "rps=2", "--tokens", "deepseek/deepseek-flash", "--simulated", str(path))
    page, values, _ = reported(tmp_path, *workload, *given)
    day = values["curves"]["simulated_spill"]
    assert day["config"] == answer["config"]
    assert sum(row["requests"] for row in day["hours"]) == answer["total"]["requests"]
    spilled = sum(row["requests"] * row["spilled_share"] for row in day["hours"])
    assert spilled == pytest.approx(sum(answer["total"]["spilled"].values()))
    assert spilled > 0
    busiest = max(day["hours"], key=lambda row: row["requests"])["hour"]
    assert busiest == max(values["curves"]["spill_by_hour"]["hours"], key=lambda row: row["demand_units"])["hour"]
    assert "plot-simulated" in plots_of(page)
    known = numbers_of(values)
    assert {value for value, _ in page.figures} <= known
    path.write_text("{}", encoding="utf-8")
    assert "no answer of plan simulate" in one_line(overspill("plan", "report", *workload, *given))
    answer["windows"][0]["length_s"] = 7200
    path.write_text(json.dumps(answer), encoding="utf-8")
    assert "--window 1h or less" in one_line(overspill("plan", "report", *workload, *given))


def test_without_a_tariff_nothing_is_called_a_peak_price(tmp_path: Path) -> None:
    page, values, _ = reported(tmp_path, "--workload", "rps=1,in=100,out=10,hours=3", "--unit", "rps=2", "--tokens",
                               "openai/gpt-4o", "--starts-at", "2026-11-23")  # fmt: skip
    inputs = {row["name"]: row for row in values["inputs"]}
    assert {"tokens_in", "tokens_hit", "tokens_out"} <= set(inputs)
    assert "(20" not in inputs["tokens_in"]["source"]  # the date stands beside it
    assert {row["peak_price_share"] for row in values["curves"]["spill_by_hour"]["hours"]} == {None}
    assert not any("peak price" in said for said in page.texts)
    assert [number["value"] for number in values["verdict"]["numbers"]][::2] == [None, None]  # nothing to weigh
    assert any("Only one way to serve it" in said for said in page.texts)


def test_units_hours_and_lengths_are_said_in_chinese() -> None:
    assert hours_named("mon-fri 09:00-12:00, sat 10:00-11:00 UTC+08:00", "zh") == (
        "周一至周五 09:00-12:00、周六 10:00-11:00 UTC+08:00"
    )
    assert hours_named("mon-fri 09:00-12:00", "en") == "mon-fri 09:00-12:00"
    assert (unit_name("$/kW/month", "zh"), unit_name("$/kW/month", "en"), unit_name("kW", "zh")) == (
        "$/kW/月", "$/kW/month", "kW",
    )  # fmt: skip
    lengths = [length_zh(seconds) for seconds in (86_400, 600, 2, 0.25, 5e-6)]
    assert lengths == ["24 小时", "10 分钟", "2 秒", "250 毫秒", "5 微秒"]
    assert in_language("plain", "zh") == "plain"
