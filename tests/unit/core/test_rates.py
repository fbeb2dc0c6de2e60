"""Rates, places and purses: reserve, settle, and when to come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.core.rates import Clock, Meter, Purse, Rate, Slots
from overspill.core.types import Budget, Limits, Window

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC


def test_a_full_bucket_gives_its_burst_at_once_and_then_what_flows_in() -> None:
    rate = Rate(60.0, burst_s=10.0)
    for _ in range(10):
        assert rate.ready_at(1.0) <= 100.0
        rate.take(1.0, 100.0)
    assert rate.left(100.0) == 0.0
    assert rate.ready_at(1.0) == pytest.approx(101.0)
    assert rate.left(103.0) == pytest.approx(3.0)


def test_a_small_rate_lets_one_through() -> None:
    rate = Rate(1.0, burst_s=1.0)
    assert rate.ready_at(1.0) <= 0.0
    rate.take(1.0, 0.0)
    assert rate.ready_at(1.0) == 60.0


def test_what_is_more_than_the_burst_waits_for_a_full_bucket_and_leaves_it_in_debt() -> None:
    rate = Rate(6000.0, burst_s=1.0)  # 100 a second, 100 at once
    rate.take(50.0, 0.0)
    assert rate.ready_at(1000.0) == 0.5
    rate.take(1000.0, 0.5)
    assert rate.ready_at(1.0) == pytest.approx(9.51)
    assert rate.left(5.0) == 0.0


def test_unused_tokens_come_back_and_too_little_is_taken_later() -> None:
    rate = Rate(60.0, burst_s=60.0)
    rate.take(40.0, 0.0)
    rate.settle(40.0, 10.0, 1.0)
    assert rate.left(1.0) == pytest.approx(51.0)
    rate.settle(0.0, 60.0, 1.0)
    assert rate.left(1.0) == 0.0
    assert rate.ready_at(1.0) == pytest.approx(11.0)


def test_a_refund_never_fills_a_bucket_above_its_burst() -> None:
    rate = Rate(60.0, burst_s=10.0)
    rate.take(10.0, 0.0)
    rate.settle(10.0, 0.0, 500.0)
    assert rate.left(500.0) == 10.0
    rate.take(10.0, 500.0)
    assert rate.left(500.0) == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 400), st.integers(0, 400)), min_size=1, max_size=60),
    st.integers(1, 600),
    st.integers(1, 120),
)
def test_over_any_time_no_more_is_used_than_burst_inflow_and_one_debt(
    requests: list[tuple[int, int, int]], per_minute: int, burst_s: int
) -> None:
    """Requests of any size and guess; each that is refused comes back when it was told to, and is let in then."""
    rate = Rate(float(per_minute), float(burst_s))
    now = used_total = 0.0
    worst_debt = 0.0
    for gap_s, guess, used in requests:
        now += gap_s
        now = max(now, rate.ready_at(guess))
        assert rate.ready_at(guess) <= now
        rate.take(guess, now)
        rate.settle(guess, used, now)
        used_total += used
        worst_debt = max(worst_debt, used, guess)
        assert used_total <= rate.burst + per_minute / 60.0 * now + worst_debt + 1e-6


def test_places_free_up_as_fast_as_they_have_so_far() -> None:
    slots = Slots(2)
    assert slots.ready_at(7.0) == 7.0
    slots.used = 2
    assert slots.ready_at(7.0) == 12.0  # two places, of 10 s each
    slots.leave(10.0)
    assert slots.ready_at(7.0) == 7.0


def purse(usd: float, window: Window = Window.DAY) -> tuple[Purse, Clock]:
    clock = Clock()
    clock.set(NOON, 0.0)
    return Purse(Budget(usd=usd, window=window), clock), clock


def test_money_is_set_aside_and_settled() -> None:
    day, _ = purse(5.0)
    assert day.ready_at(5.0, 1.0) == 1.0
    day.reserve(4.0)
    assert day.left_usd(1.0) == 1.0
    assert day.ready_at(1.5, 1.0) == 12 * 3600.0  # midnight
    day.settle(4.0, 0.5, 2.0)
    assert day.left_usd(2.0) == 4.5


def test_what_is_more_than_the_whole_budget_never_fits_and_what_costs_nothing_always_does() -> None:
    day, _ = purse(5.0)
    assert day.ready_at(5.01, 0.0) == float("inf")
    day.settle(0.0, 9.0, 0.0)
    assert day.left_usd(0.0) == -4.0
    assert day.ready_at(0.0, 0.0) == 0.0


def test_the_next_window_begins_afresh_but_for_what_is_still_set_aside() -> None:
    hour, _ = purse(5.0, Window.HOUR)
    hour.settle(0.0, 3.0, 10.0)
    hour.reserve(1.0)
    assert hour.left_usd(3599.0) == 1.0
    assert hour.left_usd(3600.0) == 4.0
    hour.settle(1.0, 2.0, 3700.0)
    assert hour.left_usd(3700.0) == 3.0


def test_a_clock_that_is_set_back_brings_no_money_back() -> None:
    hour, clock = purse(5.0, Window.HOUR)
    hour.settle(0.0, 3.0, 10.0)
    clock.set(NOON - 7200.0, 20.0)
    assert hour.left_usd(20.0) == 2.0
    assert hour.ready_at(3.0, 20.0) == pytest.approx(20.0 + 3 * 3600.0)
    clock.set(NOON + 3600.0, 30.0)
    assert hour.left_usd(30.0) == 5.0


def test_what_was_spent_before_counts() -> None:
    day, _ = purse(5.0)
    day.spent_before(4.0, 0.0)
    assert day.left_usd(0.0) == 1.0


def test_changed_limits_keep_what_has_been_used() -> None:
    clock = Clock()
    meter = Meter(
        Limits(
            requests_per_minute=60.0,
            tokens_per_minute=600.0,
            concurrency=2,
            budgets=(Budget(usd=1.0, window=Window.DAY), Budget(usd=1.0, window=Window.HOUR)),
        ),
        clock,
    )
    assert meter.requests is not None
    assert meter.slots is not None
    assert meter.tokens is not None
    meter.requests.take(60.0, 0.0)
    meter.slots.used = 2
    meter.purses[0].settle(0.0, 0.75, 0.0)
    wider = Limits(
        requests_per_minute=120.0,
        concurrency=3,
        budgets=(Budget(usd=2.0, window=Window.DAY), Budget(usd=9.0, window=Window.MONTH)),
    )
    slots = meter.slots
    meter.respecify(wider, clock)
    assert meter.limits == wider
    assert meter.requests.ready_at(1.0) == 0.5  # it is full when it would have been, twice as fast
    assert meter.requests.left(0.0) == 0.0
    assert meter.tokens is None
    assert meter.slots is slots
    assert (slots.used, slots.limit) == (2, 3)
    assert [p.left_usd(0.0) for p in meter.purses] == [1.25, 9.0]
    meter.respecify(Limits(tokens_per_minute=60.0, concurrency=None), clock)
    assert meter.requests is None
    assert meter.slots is None
    assert meter.tokens is not None
    assert meter.tokens.per_minute == 60.0
