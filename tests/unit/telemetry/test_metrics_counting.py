from __future__ import annotations

import pytest

from overspill.telemetry import definitions as d
from overspill.telemetry.metrics import MAX_LABEL_SETS, OVERFLOW, Counter, Histogram, Metrics
from overspill.telemetry.sample import Sample


def histogram_of(buckets: tuple[float, ...]) -> Histogram:
    return Histogram(d.Metric("overspill_x_seconds", d.MetricKind.HISTOGRAM, "", ("target",), buckets))


def test_a_counter_adds_up_per_label_values() -> None:
    counter = Counter(d.ATTEMPTS)
    counter.add(("a", "finished"))
    counter.add(("a", "finished"), 2.5)
    counter.add(("b", "failed"))
    assert counter.series == {("a", "finished"): [3.5], ("b", "failed"): [1]}


def test_a_value_on_a_bound_belongs_to_that_bucket() -> None:
    histogram = histogram_of((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, 100.0):
        histogram.observe(("a",), value)
    assert histogram.series[("a",)] == [2, 2, 2, 107.5]


def test_the_wrong_number_of_labels_is_an_error() -> None:
    with pytest.raises(ValueError, match="overspill_attempts_total has the labels"):
        Counter(d.ATTEMPTS).add(("a",))


def test_series_beyond_the_limit_are_counted_together() -> None:
    counter = Counter(d.SPILLS)
    histogram = histogram_of((1.0,))
    for number in range(MAX_LABEL_SETS + 5):
        counter.add((str(number),))
        histogram.observe((str(number),), 0.5)
    counter.add(("0",))
    assert len(counter.series) == len(histogram.series) == MAX_LABEL_SETS + 1
    assert counter.series[(OVERFLOW,)] == [5]
    assert counter.series[("0",)] == [2]
    assert histogram.series[(OVERFLOW,)] == [5, 0, 2.5]


def test_targets_beyond_the_limit_do_not_grow_the_process() -> None:
    metrics = Metrics("1")
    for number in range(MAX_LABEL_SETS + 3):
        metrics.attempt_ended(str(number), "finished", 10, 1, 0.5)
        metrics.answered("m", str(number), 0.0, 0.1, 0.1, 1.0)
    assert metrics.cost.series[(OVERFLOW,)] == [1.5]
    assert sum(metrics.ttft.series[(OVERFLOW,)][:-1]) == 3
    assert len(metrics._targets) == len(metrics._answers) == MAX_LABEL_SETS


def test_the_end_of_an_attempt_counts_what_is_known() -> None:
    metrics = Metrics("1")
    metrics.attempt_ended("a", "finished", 100, 20, 0.25)
    metrics.attempt_ended("a", "failed", None, None, None)
    metrics.attempt_ended("a", "finished", 50, 0, 0.0)
    assert metrics.attempts.series == {("a", "finished"): [2], ("a", "failed"): [1]}
    assert metrics.prompt_tokens.series == {("a",): [150]}
    assert metrics.generation_tokens.series == {("a",): [20]}
    assert metrics.cost.series == {("a",): [0.25]}
    assert metrics.unpriced_attempts.series == {("a",): [1]}


def test_the_times_of_an_answer_go_to_their_histograms() -> None:
    metrics = Metrics("1")
    metrics.answered("deepseek-*", "a", 0.001, 0.25, 0.025, 2.5)
    metrics.answered("deepseek-*", "a", 500.0, None, None, 5000.0)
    for histogram, labels, values in (
        (metrics.queue_wait, "deepseek-*", (0.001, 500.0)),
        (metrics.ttft, "a", (0.25,)),
        (metrics.tpot, "a", (0.025,)),
        (metrics.e2e, "a", (2.5, 5000.0)),
    ):
        expected = Histogram(histogram.metric)
        for value in values:
            expected.observe((labels,), value)
        assert histogram.series == expected.series


def test_decisions_spills_refusals_and_disconnects_are_counted() -> None:
    metrics = Metrics("1")
    metrics.decided(2e-5)
    metrics.decided(1.0)
    metrics.spilled("local_full")
    metrics.request_ended("m", "completed")
    metrics.request_ended("", "rejected", "unknown_model")
    metrics.client_left()
    assert metrics.decision.series[()] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1.00002]
    assert metrics.spills.series == {("local_full",): [1]}
    assert metrics.requests.series == {("m", "completed"): [1], ("", "rejected"): [1]}
    assert metrics.rejections.series == {("unknown_model",): [1]}
    assert metrics.client_disconnects.series == {(): [1]}


def test_sources_are_read_when_asked() -> None:
    metrics = Metrics("1.2.3")
    running = [1.0]
    metrics.add_source(lambda: [Sample(d.NUM_REQUESTS_RUNNING, ("a",), running[0])])
    running[0] = 7.0
    assert metrics.samples() == [
        Sample(d.BUILD_INFO, ("1.2.3",), 1),
        Sample(d.NUM_REQUESTS_RUNNING, ("a",), 7.0),
    ]
