from __future__ import annotations

import re

from overspill.telemetry import definitions as d
from overspill.telemetry.definitions import TABLE, MetricKind, reference_rows
from overspill.telemetry.metrics import Counter, Histogram, Metrics


def test_every_metric_that_is_defined_or_counted_stands_in_the_table() -> None:
    defined = [value for value in vars(d).values() if isinstance(value, d.Metric)]
    assert {metric.name for metric in defined} == {metric.name for metric in TABLE}
    metrics = Metrics("1")
    counted = [counter.metric for counter in metrics.counters]
    counted += [histogram.metric for histogram in metrics.histograms]
    assert all(metric in TABLE for metric in counted)


def test_each_kind_of_store_that_the_metrics_hold_is_exposed() -> None:
    metrics = Metrics("1")
    held = [value for value in vars(metrics).values() if isinstance(value, Counter | Histogram)]
    assert held == [*metrics.counters, *metrics.histograms]


def test_names_are_unique_and_follow_prometheus() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    for metric in TABLE:
        assert re.fullmatch(r"overspill_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
        assert metric.help.endswith(".")


def test_only_histograms_have_buckets_and_they_rise() -> None:
    for metric in TABLE:
        assert bool(metric.buckets) == (metric.kind is MetricKind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        if metric.buckets:
            assert metric.name.endswith("_seconds")


def test_the_reference_has_one_row_for_each_metric() -> None:
    rows = reference_rows()
    assert [row[0] for row in rows] == [metric.name for metric in TABLE]
    assert (
        "overspill_requests_total",
        "counter",
        "model, outcome",
        "Requests that have their final answer.",
    ) in rows
