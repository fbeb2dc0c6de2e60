"""Workloads that are drawn: ServeGen's clients, sums of stretches, a few numbers."""

from __future__ import annotations

import json
import math
import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from overspill.errors import TraceError, UnknownName
from overspill.planner.workload import Dropped
from overspill.planner.workloads.arrivals import gamma_gaps, gaps, generator, lognormal, squeezed
from overspill.planner.workloads.reading import open_workload
from overspill.planner.workloads.rows import Options

DENSITY = {"0": {"input_tokens": "{100: 0.25, 200: 0.75}", "output_tokens": "{1: 0.0, 50: 1.0}"}}


def release(folder: Path, rows: str, density: object = DENSITY, client: int = 0) -> Path:
    (folder / f"chunk-{client}-trace.csv").write_text(rows)
    (folder / f"chunk-{client}-dataset.json").write_text(json.dumps(density))
    return folder


def test_servegen_draws_as_many_requests_as_were_counted(tmp_path: Path) -> None:
    rows = "0,2.0,0.8,Gamma,2.0,300\n600,0,0,,,\n1200,0.5,1.1,Weibull,0.9,2\n"
    workload = open_workload(release(tmp_path, rows))
    requests = list(workload.requests())
    assert sum(r.at_s < 600 for r in requests) == 1200
    assert sum(600 <= r.at_s < 1200 for r in requests) == 0
    assert sum(r.at_s >= 1200 for r in requests) == 300
    assert {r.output_tokens for r in requests} == {50}
    assert {r.key_id for r in requests} == {"0"}
    assert statistics.mean(r.prompt_tokens for r in requests) == pytest.approx(175, abs=5)
    assert [r.at_s for r in requests] == sorted(r.at_s for r in requests)


def test_a_seed_gives_the_same_requests_and_another_gives_others(tmp_path: Path) -> None:
    folder = release(tmp_path, "0,1.0,2,Gamma,0.25,4\n")
    first, again = open_workload(folder), open_workload(folder)
    assert list(first.requests()) == list(again.requests())
    assert list(open_workload(folder, options=Options(seed=2)).requests()) != list(first.requests())


def test_clients_without_lengths_are_left_out_and_told(tmp_path: Path) -> None:
    folder = release(tmp_path, "0,1.0,1,Gamma,1,1\n600,1.0,1,Gamma,1,1\n")
    (folder / "chunk-7-trace.csv").write_text("0,3.0,1,Gamma,1,1\n")
    workload = open_workload(folder)
    assert any("1800 requests of clients without known lengths" in said for said in workload.assumptions)
    assert len(list(workload.requests())) == 1200


def test_the_bundled_day_of_deepseek_r1_is_the_published_one() -> None:
    workload = open_workload("bundled:servegen-deepseek-r1", options=Options(rate_factor=0.05))
    demand = workload.demand(600)
    assert len(demand) == 144
    assert sum(demand.requests) == pytest.approx(1_383_669 * 0.05, rel=0.01)
    assert sum(demand.output_tokens) / sum(demand.requests) == pytest.approx(1528, rel=0.02)
    assert max(demand.requests) / (sum(demand.requests) / 144) == pytest.approx(2.66, abs=0.1)


def test_gaps_of_a_window_are_as_bursty_as_was_fitted() -> None:
    rng = generator(3)
    for family, shape, cv in (("Gamma", 0.25, 2.0), ("Weibull", 0.7, 1.462), ("Gamma", 4.0, 0.5)):
        times = list(squeezed(gaps(rng, family, shape), 20_000, 100.0, 600.0))  # type: ignore[arg-type]
        between = [later - earlier for earlier, later in pairwise(times)]
        assert statistics.pstdev(between) / statistics.mean(between) == pytest.approx(cv, rel=0.08)
        assert min(times) >= 100.0
        assert max(times) < 700.0


def test_lengths_have_the_wanted_mean_and_spread() -> None:
    draw = lognormal(generator(1), 500, 0.8)
    drawn = [draw() for _ in range(40_000)]
    assert statistics.mean(drawn) == pytest.approx(500, rel=0.02)
    assert statistics.pstdev(drawn) / statistics.mean(drawn) == pytest.approx(0.8, rel=0.05)
    gap = gamma_gaps(generator(1), 3.0)
    assert statistics.mean(gap() for _ in range(40_000)) == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize(
    ("rows", "density", "why"),
    [
        ("0,1.0,1,Poisson,1,1\n", DENSITY, "must be one of Gamma, Weibull"),
        ("0,fast,1,Gamma,1,1\n", DENSITY, r"chunk-0-trace.csv:1: this row is no request"),
        ("0,1.0,1,Gamma,0,1\n", DENSITY, "a shape above 0"),
        ("0,0,1,,,\n", DENSITY, "with a rate above 0"),
        ("0,1.0,1,Gamma,1,1\n", {}, "both rates and densities"),
        ("0,1.0,1,Gamma,1,1\n", {"0": {"input_tokens": "{1: 1.0}"}}, "density of output_tokens from 0 s on is empty"),
        ("0,1.0,1,Gamma,1,1\n", {"0": {"input_tokens": "{1: }"}}, "density of input_tokens .* cannot be read"),
    ],
)
def test_what_is_wrong_with_a_servegen_folder_is_said(tmp_path: Path, rows: str, density: object, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        list(open_workload(release(tmp_path, rows, density)).requests())


def test_clients_in_one_file_need_their_densities_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine_clients.csv"
    path.write_text("client,window_start_s,rate,cv,pattern,shape,scale\na,0,1.0,1,Gamma,1,1\n")
    with pytest.raises(TraceError, match=r"mine_pdfs\.json, are not beside"):
        open_workload(path)
    (tmp_path / "mine_pdfs.json").write_text(json.dumps({"a": DENSITY}))
    assert len(list(open_workload(path).requests())) == 600


RATES = (
    "window_start_s,requests_per_s,prompt_tokens_per_s,output_tokens_per_s\n0,2,200,20\n600,1,100,10\n1800,4,400,40\n"
)


def test_a_table_of_rates_is_demand_and_gaps_in_it_are_empty_windows(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(RATES)
    workload = open_workload(path)
    demand = workload.demand(600)
    assert demand.requests == (1200, 600, 0, 2400)
    assert demand.output_tokens == (12_000, 6_000, 0, 24_000)
    assert workload.demand(1200).requests == (1800, 2400)
    assert workload.demand(300).requests[:3] == (600, 600, 300)
    requests = list(workload.requests())
    assert len(requests) == 4200
    assert sum(r.prompt_tokens for r in requests) / 4200 == pytest.approx(100, rel=0.1)


def test_rates_without_tokens_can_be_planned_for_but_not_drawn() -> None:
    workload = open_workload("bundled:servegen-m-large-rates")
    assert len(workload.demand(600)) == 2016
    with pytest.raises(TraceError, match="no token counts"):
        next(workload.requests())


@pytest.mark.parametrize("row", ["0,-1", "0,nan", "0", "x,1"])
def test_a_damaged_rate_is_named(tmp_path: Path, row: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"window_start_s,requests_per_s\n{row}\n")
    with pytest.raises(TraceError, match=r"rates.csv:2"):
        open_workload(path)


def result(**changes: object) -> dict[str, object]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 500,
        "input_cached_tokens": 800,
        "num_model_requests": 5,
        "model": "gpt-4o-mini-2024-07-18",
        "batch": None,
        **changes,
    }


def bucket(start: int, *results: dict[str, object]) -> dict[str, object]:
    return {"object": "bucket", "start_time": start, "end_time": start + 3600, "results": list(results)}


HOUR = 1_730_419_200


@pytest.mark.parametrize("layout", ["page", "pages", "lines"])
def test_pages_of_the_usage_api_add_up_by_bucket(tmp_path: Path, layout: str) -> None:
    buckets = [
        bucket(HOUR, result(), result(model="o3", num_model_requests=2)),
        bucket(HOUR + 3600),
        bucket(HOUR + 7200, result()),
    ]
    pages = [{"object": "page", "data": buckets[:2], "has_more": True}, {"object": "page", "data": buckets[2:]}]
    text = {
        "page": json.dumps({"object": "page", "data": buckets}, indent=2),
        "pages": json.dumps(pages),
        "lines": "\n".join(json.dumps(page) for page in pages),
    }[layout]
    path = tmp_path / "usage.json"
    path.write_text(text)
    workload = open_workload(path)
    demand = workload.demand(3600)
    assert demand.requests == (7, 0, 5)
    assert demand.cached_tokens == (1600, 0, 800)
    assert demand.starts_at_unix_s == HOUR
    only = open_workload(path, options=Options(model="o3"))
    assert only.demand(3600).requests == (2, 0, 0)
    assert only.dropped == {Dropped.OTHER_MODEL: 2}


def test_requests_of_a_batch_need_no_capacity_that_stands_ready(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps({"object": "page", "data": [bucket(HOUR, result(), result(batch=True))]}))
    workload = open_workload(path)
    assert workload.demand(3600).requests == (5,)
    assert workload.dropped == {Dropped.BATCH: 1}


def test_the_dashboards_export_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "completions_usage_2025-10-27_2025-10-27.csv"
    path.write_text(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,"
        "output_tokens,input_cached_tokens\n"
        "1761523200,1761523260,2025-10-27T00:00:00+00:00,2025-10-27T00:01:00+00:00,,,,,,,\n"
        '1761523260,1761523320,a,b,"p, q",3.0,gpt-4o,False,4212,1673,1280\n'
        "1761523260,1761523320,a,b,p,3.0,gpt-4o,False,5904,1419,0\n"
    )
    workload = open_workload(path)
    demand = workload.demand(60)
    assert demand.requests == (0, 6)
    assert demand.prompt_tokens == (0, 10_116)
    assert len(list(workload.requests())) == 6


def test_the_export_before_2025(tmp_path: Path) -> None:
    row = {
        "aggregation_timestamp": HOUR,
        "n_requests": 4,
        "operation": "completion",
        "snapshot_id": "gpt-4o-2024-08-06",
        "n_context_tokens_total": 400,
        "n_generated_tokens_total": 40,
        "n_cached_context_tokens_total": 100,
    }
    path = tmp_path / "activity.json"
    path.write_text(json.dumps({"data": [row, {**row, "aggregation_timestamp": HOUR + 600}]}))
    demand = open_workload(path).demand(600)
    assert (demand.requests, demand.cached_tokens) == ((4, 4), (100, 100))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ([bucket(HOUR, result(output_tokens=None))], "export the usage of completions"),
        ([bucket(HOUR)], "no request is left"),
        ([{"object": "bucket", "results": []}], "a bucket of this usage cannot be read"),
        ([], "no bucket"),
    ],
)
def test_usage_that_says_too_little_is_an_error(tmp_path: Path, data: object, why: str) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps({"object": "page", "data": data, "results": "x"}))
    with pytest.raises(TraceError, match=why):
        open_workload(path)


def test_sums_say_that_peaks_within_them_are_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "usage.json"
    path.write_text(json.dumps({"object": "page", "data": [bucket(HOUR, result())]}))
    assert "sums of 1 h" in open_workload(path).assumptions[0]


def test_a_few_numbers_have_their_mean_peak_and_lengths() -> None:
    workload = open_workload("rps=2,peak=8,in=1200,out=300,cv=1.5,cached=0.25,hours=48")
    requests = list(workload.requests())
    assert len(requests) / (48 * 3600) == pytest.approx(2, rel=0.03)
    assert sum(r.prompt_tokens for r in requests) / len(requests) == pytest.approx(1200, rel=0.02)
    assert sum(r.cached_tokens for r in requests) / sum(r.prompt_tokens for r in requests) == pytest.approx(
        0.25, abs=0.01
    )
    demand = workload.demand(600)
    assert max(demand.requests) / 600 == pytest.approx(8, rel=0.12)
    assert len(demand) == 288


def test_what_was_assumed_for_a_few_numbers_is_said() -> None:
    said = " ".join(open_workload("rps=1,in=100,out=10").assumptions)
    assert "Gamma gaps" in said
    assert "assumed: twice the mean" in said
    assert "no prompt token comes from a prefix cache" in said
    steady = open_workload("rps=1,peak=1,in=100,out=10,hours=2,cv=0.5")
    assert sum(steady.demand(600).requests) == pytest.approx(7200, rel=0.03)


def test_less_than_a_day_has_its_mean_and_its_peak_too() -> None:
    short = open_workload("rps=2,peak=6,in=100,out=10,hours=3,cv=1")
    windows = [count / 600 for count in short.demand(600).requests]
    assert sum(windows) / len(windows) == pytest.approx(2.0, rel=0.03)
    assert max(windows) == windows[8] or max(windows) == windows[9]
    assert max(windows) == pytest.approx(6.0, rel=0.1)
    assert any("one peak of 6 requests/s in 3 h, the trough" in said for said in short.assumptions)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rps=0,in=1,out=1", "must be a number above 0"),
        ("rps=fast,in=1,out=1", "must be a number above 0"),
        ("rps=2,in=1", "lacks out="),
        ("rps=2,in=1,out=1,peak=1", "below the mean"),
        ("rps=2,in=1,out=1,cached=3", "share from 0 to 1"),
    ],
)
def test_numbers_that_make_no_workload(text: str, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        open_workload(text)
    with pytest.raises(UnknownName, match="did you mean 'peak'"):
        open_workload("rps=2,peek=3,in=1,out=1")


def test_of_very_many_requests_only_the_sums_are_drawn_with_the_same_mean_and_spread() -> None:
    many = open_workload("rps=20,peak=20,in=1000,out=200,cv=2,cached=0.25,hours=24").demand(600)
    assert len(many) == 144
    counts = many.requests
    mean = sum(counts) / len(counts)
    assert mean == pytest.approx(12_000, rel=0.01)
    spread = math.sqrt(sum((count - mean) ** 2 for count in counts) / len(counts))
    assert spread == pytest.approx(2 * math.sqrt(12_000), rel=0.25)  # of a renewal process, cv times a Poisson's
    assert sum(many.prompt_tokens) / sum(counts) == pytest.approx(1000, rel=0.01)
    assert sum(many.output_tokens) / sum(counts) == pytest.approx(200, rel=0.01)
    assert sum(many.cached_tokens) == pytest.approx(sum(many.prompt_tokens) / 4)
    wave = open_workload("rps=1000,peak=3000,in=10,out=10,hours=24").demand(600)
    assert max(wave.requests) / 600 == pytest.approx(3000, rel=0.02)
    assert sum(wave.requests) / 86_400 == pytest.approx(1000, rel=0.01)


def test_a_workload_shorter_than_a_window_has_its_own_rate() -> None:
    short = open_workload("rps=2,peak=2,in=10,out=10,hours=0.1").demand(86_400)
    assert short.window_s == 360
    assert sum(short.requests) / short.length_s == pytest.approx(2, rel=0.3)


def test_sums_of_longer_windows_than_the_log_and_of_a_part_of_one(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("window_start_s,requests_per_s\n0,1\n3600,2\n7200,3\n")
    workload = open_workload(path)
    whole = workload.demand(30 * 86_400)
    assert (whole.window_s, whole.requests) == (10_800, (21_600.0,))
    part = workload.demand(7200)
    assert (part.requests, part.left_out_requests) == ((10_800.0,), 10_800.0)


def test_drawing_tells_how_far_it_is() -> None:
    told: list[float] = []
    sum(1 for _ in open_workload("rps=1,in=10,out=10,hours=2", progress=told.append).requests())
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    clients: list[float] = []
    sum(1 for _ in open_workload("bundled:servegen-deepseek-r1", options=Options(rate_factor=0.001),
                                 progress=clients.append).requests())  # fmt: skip
    assert clients[-1] == 1
