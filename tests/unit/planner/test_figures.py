"""Requests' fates as figures, and what they are billed."""

from __future__ import annotations

import pytest
from tests.unit.core.making import cloud, local, policy

from overspill.core.types import Outcome, Price, RejectReason, Spill, Tariff
from overspill.planner.bills import Bills, unpriced
from overspill.planner.figures import Promise, tpot_of
from overspill.planner.simulated import LostAttempt, SimulatedRequest
from overspill.planner.tally import Tally

DONE = Outcome.COMPLETED


def fate(
    at_s: float, ttft_s: float | None = 0.5, tokens: int = 11, e2e_s: float = 1.5, **rest: object
) -> SimulatedRequest:
    fields: dict[str, object] = {"outcome": DONE, "target_id": "gpu", "started_s": at_s, **rest}
    return SimulatedRequest(0, at_s, 100, tokens, ttft_s=ttft_s, e2e_s=e2e_s, **fields)  # type: ignore[arg-type]


def test_figures_are_those_of_the_window_in_which_a_request_arrived() -> None:
    tally = Tally(Promise(ttft_s=1.0), window_s=60.0, units_usd_per_hour=6.0)
    tally.add(fate(10.0), 0.25)
    tally.add(fate(130.0, spill=Spill.LOCAL_FULL), 0.5)
    tally.add(fate(150.0, None, outcome=Outcome.REJECTED, reason=RejectReason.QUEUE_FULL), 0.0)
    first, second, third = tally.windows()
    assert (first.requests, first.answered, first.slo_met, first.spilled_share) == (1, 1, 1.0, 0.0)
    assert first.usd_per_hour == pytest.approx(0.25 * 60 + 6.0)
    assert (second.requests, second.ttft_s, second.slo_met, second.refused_share) == (0, None, 0.0, 0.0)
    assert second.usd == pytest.approx(0.1)
    assert (third.start_s, third.length_s) == (120.0, 30.0)  # the trace ends there
    assert dict(third.spilled) == {"local_full": 1}
    assert dict(third.refused) == {"queue_full": 1}
    whole = tally.total()
    assert (whole.requests, whole.answered, whole.length_s) == (3, 2, 150.0)
    assert whole.slo_met == pytest.approx(2 / 3)
    assert whole.goodput_per_s == pytest.approx(2 / 150)
    assert whole.usd == pytest.approx(0.75 + 6.0 * 150 / 3600)
    assert (whole.prompt_tokens, whole.output_tokens) == (200, 22)


def test_quantiles_are_of_all_windows_together_and_by_nearest_rank() -> None:
    tally = Tally(Promise(ttft_s=1.0), window_s=10.0)
    for number in range(100):
        tally.add(fate(float(number), (99 - number) / 10, e2e_s=20.0), 0.0)
    found = tally.total().ttft_s
    assert found is not None
    assert (found.count, found.p50, found.p90, found.p99) == (100, 4.9, 8.9, 9.8)


def test_a_promise_of_both_is_kept_only_with_both() -> None:
    promise = Promise(ttft_s=1.0, tpot_s=0.1)
    assert promise.is_kept(fate(0.0, e2e_s=1.4))
    assert not promise.is_kept(fate(0.0, e2e_s=1.6))
    assert not promise.is_kept(fate(0.0, 1.1, e2e_s=1.6))
    assert not promise.is_kept(fate(0.0, None))
    assert not promise.is_kept(fate(0.0, outcome=Outcome.EVICTED))
    assert promise.is_kept(fate(0.0, tokens=1))
    assert tpot_of(fate(0.0, tokens=1)) is None


def test_nothing_is_no_figures_and_an_unknown_cost_is_counted_and_not_free() -> None:
    tally = Tally(Promise(ttft_s=1.0))
    assert tally.windows() == []
    assert (tally.total().requests, tally.total().usd_per_hour) == (0, 0.0)
    tally.add(fate(0.0, outcome=Outcome.FAILED), None)
    found = tally.total()
    assert (found.unpriced, found.token_usd, dict(found.refused)) == (1, 0.0, {"unknown": 1})


def test_each_attempt_is_billed_at_the_price_of_the_hour_in_which_it_started() -> None:
    cheap = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)
    tariff = Tariff(off_peak=cheap, peak_s=tuple((day * 86400, day * 86400 + 12 * 3600) for day in range(7)))
    bills = Bills(policy(local(), cloud(usd=10.0, tariff=tariff)), starts_at_unix_s=11 * 3600.0)  # an hour before noon
    dear = fate(0.0, target_id="api")
    late = fate(0.0, target_id="api", started_s=3601.0)
    assert bills.usd(dear) == pytest.approx(10.0 * 111 / 1e6)
    assert bills.usd(late) == pytest.approx(1.0 * 111 / 1e6)
    raced = fate(0.0, target_id="gpu", lost=[LostAttempt("api", 0.0)])
    assert bills.usd(raced) == pytest.approx(10.0 * 100 / 1e6)  # its prompt may have been read
    assert bills.usd(fate(0.0, None, outcome=Outcome.REJECTED, target_id=None)) == 0.0


def test_without_a_time_of_day_the_dearer_price_counts_and_an_unknown_price_stays_unknown() -> None:
    tariff = Tariff(off_peak=Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0), peak_s=())
    world = policy(local(), cloud(usd=10.0, tariff=tariff), cloud("dark", usd=None))
    bills = Bills(world, None)
    assert bills.usd(fate(0.0, target_id="api")) == pytest.approx(10.0 * 111 / 1e6)
    assert bills.usd(fate(0.0, target_id="dark")) is None
    assert bills.usd(fate(0.0, target_id="gpu", lost=[LostAttempt("dark", 0.0), LostAttempt("api", 0.0)])) is None
    assert unpriced(world.targets) == ["dark"]
