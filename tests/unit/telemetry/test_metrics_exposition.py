from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from overspill.telemetry import definitions as d
from overspill.telemetry.exposition import render
from overspill.telemetry.metrics import Metrics
from overspill.telemetry.sample import Sample

OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.decided(3e-5)
    metrics.spilled("local_full")
    metrics.rescued(2, "no_target")
    metrics.rescued(0, "no_target")
    metrics.rescued(1, None)
    metrics.attempt_ended("cloud", "finished", 100, 20, 0.25)
    metrics.answered("deepseek-*", "cloud", 0.5, 0.25, 0.02, 3.0)
    metrics.answered("deepseek-*", "cloud", 0.5, 1000.0, 0.02, 3.0)
    metrics.request_ended("deepseek-*", "completed")
    metrics.request_ended("deepseek-*", "evicted", "deadline_evicted")
    metrics.add_source(
        lambda: [
            Sample(d.NUM_REQUESTS_RUNNING, ("local",), 3),
            Sample(d.NUM_REQUESTS_WAITING, ("deepseek-*",), 2),
            Sample(d.TARGET_READY, ("local",), 1),
            Sample(d.BREAKER_STATE, ("local", "closed"), 1),
            Sample(d.ENGINE_RESTARTS, ("local",), 4),
            Sample(d.SCREENINGS, ("found",), 1),
            Sample(d.REJOINED, (), 1),
            Sample(d.CACHE_LOOKUPS, ("hit",), 2),
            Sample(d.CACHE_ANSWERS, (), 1),
            Sample(d.CACHE_BYTES, (), 900),
            Sample(d.LEDGER_DROPPED, (), 0),
            Sample(d.LEDGER_BUFFERED, (), 12),
            Sample(d.LEDGER_HEALTHY, (), 1),
        ]
    )
    return metrics


def samples_of(body: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(body.decode())
        for sample in family.samples
    }


def test_a_scrape_shows_every_metric_of_the_table_and_no_other(metrics: Metrics) -> None:
    content_type, body = render(metrics)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    types = dict(line.split()[2:4] for line in body.decode().splitlines() if line.startswith("# TYPE"))
    assert types == {metric.name: metric.kind.value for metric in d.TABLE}
    shown = {re.sub("_(bucket|count|sum)$", "", name) for name, _ in samples_of(body)}
    assert shown == {metric.name for metric in d.TABLE}


def test_values_and_labels_are_as_counted(metrics: Metrics) -> None:
    samples = samples_of(render(metrics)[1])
    assert samples["overspill_requests_total", (("model", "deepseek-*"), ("outcome", "evicted"))] == 1
    assert samples["overspill_cost_usd_total", (("target", "cloud"),)] == 0.25
    assert samples["overspill_engine_restarts_total", (("target", "local"),)] == 4
    assert samples["overspill_num_requests_waiting", (("lane", "deepseek-*"),)] == 2
    assert samples["overspill_build_info", (("version", "1.2.3"),)] == 1


def test_histogram_buckets_are_cumulative_and_end_at_infinity(metrics: Metrics) -> None:
    samples = samples_of(render(metrics)[1])
    name, target = "overspill_time_to_first_token_seconds", ("target", "cloud")
    buckets = [samples[f"{name}_bucket", (("le", repr(bound)), target)] for bound in d.TTFT_S]
    assert buckets == [1.0 if bound >= 0.25 else 0.0 for bound in d.TTFT_S]
    assert samples[f"{name}_bucket", (("le", "+Inf"), target)] == 2
    assert samples[f"{name}_count", (target,)] == 2
    assert samples[f"{name}_sum", (target,)] == 1000.25


def test_open_metrics_is_served_to_those_who_ask(metrics: Metrics) -> None:
    content_type, body = render(metrics, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert families == {metric.name.removesuffix("_total") for metric in d.TABLE}


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/html", "application/openmetrics-text; version=x.y", "text/plain;version=;;=,", "\x00,;="],
)
def test_any_accept_header_gets_an_answer(metrics: Metrics, accept: str) -> None:
    content_type, body = render(metrics, accept)
    assert "\n" not in content_type
    assert b"overspill_requests_total{" in body


def test_label_values_are_escaped(metrics: Metrics) -> None:
    metrics.request_ended('a"b\n\\', "completed")
    assert samples_of(render(metrics)[1])["overspill_requests_total", (("model", 'a"b\n\\'), ("outcome", "completed"))]


def test_a_source_that_samples_what_is_counted_is_an_error() -> None:
    metrics = Metrics("1")
    metrics.add_source(lambda: [Sample(d.TTFT, ("a",), 1.0)])
    with pytest.raises(ValueError, match="overspill_time_to_first_token_seconds; leave it out"):
        render(metrics)
