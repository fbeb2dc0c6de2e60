"""The metrics as a scraper reads them: Prometheus text 0.0.4, or OpenMetrics if it asks for that.

Called for GET /metrics only. ``prometheus_client`` is imported at the first call, which takes some 60 ms of CPU, so
``render`` is meant for a worker thread; it copies each series in one step and needs no lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from overspill.telemetry import definitions as d
from overspill.telemetry.metrics import Histogram, Metrics

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


_OPENMETRICS = "application/openmetrics-text"


def render(metrics: Metrics, accept: str = "") -> tuple[str, bytes]:
    """Return the content type and the body for a scrape with this ``Accept`` header.

    A metric that has no series yet is shown with its help and type only.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(metrics))
    # The header itself is not handed on: the library fails on a version that is no number and echoes parts of it.
    media_types = [part.split(";")[0].strip().lower() for part in accept.split(",")]
    encode, content_type = choose_encoder(f"{_OPENMETRICS}; version=1.0.0" if _OPENMETRICS in media_types else "")
    return content_type, encode(registry)


class _Scrape:
    """What ``prometheus_client`` calls a custom collector."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        """Yield the families in the table's order."""
        counters = {counter.metric.name: counter for counter in self._metrics.counters}
        histograms = {histogram.metric.name: histogram for histogram in self._metrics.histograms}
        sampled: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for sample in self._metrics.samples():
            sampled.setdefault(sample.metric.name, []).append((sample.labels, sample.value))
        if twice := sampled.keys() & (counters.keys() | histograms.keys()):
            raise ValueError(f"a source sampled what is counted: {', '.join(sorted(twice))}; leave it out there")
        for metric in d.TABLE:
            if metric.name in histograms:
                yield _histogram(histograms[metric.name])
            elif metric.name in counters:
                yield _plain(metric, [(labels, cell[0]) for labels, cell in list(counters[metric.name].series.items())])
            else:
                yield _plain(metric, sampled.get(metric.name, []))


def _plain(metric: d.Metric, values: list[tuple[tuple[str, ...], float]]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is d.MetricKind.COUNTER:
        family = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram) -> Family:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(histogram.metric.name, histogram.metric.help, labels=histogram.metric.labels)
    bounds = [*(repr(bound) for bound in histogram.bounds), "+Inf"]
    for labels, series in list(histogram.series.items()):
        *counts, total = tuple(series)
        family.add_metric(labels, buckets=list(zip(bounds, accumulate(counts), strict=True)), sum_value=total)
    return family
