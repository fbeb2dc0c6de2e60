"""Adding up a rehearsal's results."""

from __future__ import annotations

from typing import Any

from overspill.gateway.rehearsal.summary import Quantiles, RequestResult, quantiles, summarise


def result(index: int, **fields: Any) -> RequestResult:
    return RequestResult(
        **{"index": index, "planned_s": 0.0, "sent_s": 0.0, "e2e_s": 1.0, "status": 200, "output_tokens": 10, **fields}
    )


def test_every_request_is_counted_once_by_what_became_of_it() -> None:
    summary = summarise(
        [
            result(0, ttft_s=0.1, target="gpu/0", reason="home"),
            result(1, ttft_s=0.3, target="gpu/0", reason="home"),
            result(2, ttft_s=0.5, target="cloud/0", reason="local_full"),
            result(3, ttft_s=2.5, target="cloud/0", reason="slo_at_risk"),
            result(4, status=503, error="status", output_tokens=0),
            result(5, status=503, error="status", output_tokens=0),
            result(6, status=200, error="cut", ttft_s=0.01, output_tokens=7, target="gpu/0", reason="home"),
            result(7, status=None, error="not_sent", output_tokens=0),
        ],
        slo_ttft_s=1.0,
    )
    assert (summary.requests, summary.answered) == (8, 4)
    assert summary.refused == {503: 2}
    assert summary.failed == {"cut": 1, "not_sent": 1}
    assert summary.spilled == {"local_full": 1, "slo_at_risk": 1}
    assert summary.ttft_s == Quantiles(count=4, p50=0.3, p99=2.5)
    assert summary.home_ttft_s == Quantiles(count=2, p50=0.1, p99=0.3)
    assert summary.spilled_ttft_s == Quantiles(count=2, p50=0.5, p99=2.5)
    assert summary.target_ttft_s == {
        "cloud/0": Quantiles(count=2, p50=0.5, p99=2.5),
        "gpu/0": Quantiles(count=2, p50=0.1, p99=0.3),
    }
    assert summary.slo_met == 3 / 8


def test_rates_are_over_the_time_from_the_first_sending_to_the_last_end() -> None:
    results = [
        result(0, planned_s=5.0, sent_s=5.0, e2e_s=1.0, ttft_s=0.1),
        result(1, planned_s=8.5, sent_s=9.0, e2e_s=6.0, ttft_s=0.2),
    ]
    summary = summarise(results, slo_ttft_s=0.15)
    assert summary.length_s == 10.0
    assert summary.goodput_per_s == 0.1
    assert summary.output_tokens_per_s == 2.0
    assert summary.max_late_s == 0.5


def test_an_engine_asked_directly_is_home() -> None:
    summary = summarise([result(0, ttft_s=0.1)], slo_ttft_s=1)
    assert (summary.spilled, summary.target_ttft_s) == ({}, {})
    assert summary.home_ttft_s == Quantiles(count=1, p50=0.1, p99=0.1)


def test_an_answer_without_a_token_meets_no_slo() -> None:
    summary = summarise([result(0, output_tokens=0, target="gpu/0")], slo_ttft_s=1)
    assert (summary.answered, summary.slo_met, summary.ttft_s, summary.target_ttft_s) == (1, 0.0, None, {})


def test_nothing_adds_up_to_nothing() -> None:
    summary = summarise([], slo_ttft_s=1)
    assert (summary.requests, summary.goodput_per_s, summary.ttft_s, summary.max_late_s) == (0, 0.0, None, 0.0)


def test_quantiles_are_values_that_were_seen() -> None:
    assert quantiles(float(value) for value in range(1, 101)) == Quantiles(count=100, p50=50.0, p99=99.0)
    assert quantiles([3.0]) == Quantiles(count=1, p50=3.0, p99=3.0)
    assert quantiles([]) is None
