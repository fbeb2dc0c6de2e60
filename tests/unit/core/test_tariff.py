"""Prices that follow the clock: what a request is billed at depends on when it started."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.unit.core.making import World, cloud, local, only_start

from overspill.core.cost import Billing, is_peak
from overspill.core.events import ClockRead, Finished
from overspill.core.types import Budget, Client, Limits, Price, TargetSpec, Tariff, Window

SHANGHAI_S = 8 * 3600
DAY_S = 86_400
PEAK = Price(input_usd_per_mtok=2.0, output_usd_per_mtok=8.0, cached_input_usd_per_mtok=0.2)
OFF_PEAK = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, cached_input_usd_per_mtok=0.1)


def days_of(*dates: str) -> tuple[int, ...]:
    return tuple((dt.date.fromisoformat(date) - dt.date(1970, 1, 1)).days for date in dates)


TARIFF = Tariff(
    off_peak=OFF_PEAK,
    peak_s=tuple((d * DAY_S + b * 3600, d * DAY_S + e * 3600) for d in range(5) for b, e in ((9, 12), (14, 18))),
    utc_offset_s=SHANGHAI_S,
    off_peak_days=days_of("2026-10-01", "2027-01-01"),
)


def unix_s(text: str) -> float:
    return dt.datetime.fromisoformat(f"{text}+08:00").timestamp()


@pytest.mark.parametrize(
    ("when", "peak"),
    [
        ("2026-11-23T08:59:59", False),  # a Monday
        ("2026-11-23T09:00:00", True),
        ("2026-11-23T11:59:59", True),
        ("2026-11-23T12:00:00", False),
        ("2026-11-23T14:00:00", True),
        ("2026-11-23T18:00:00", False),
        ("2026-11-27T17:59:59", True),  # Friday
        ("2026-11-28T10:00:00", False),  # Saturday
        ("2026-11-29T10:00:00", False),
        ("2026-10-01T10:00:00", False),  # a holiday, and a Thursday
        ("2026-10-08T10:00:00", True),
        ("2026-10-10T10:00:00", False),  # a Saturday on which people work: weekends are off-peak all the same
        ("2026-12-31T10:00:00", True),  # the end of a year
        ("2027-01-01T10:00:00", False),
        ("2027-01-04T10:00:00", True),
        ("2026-07-01T09:00:00", True),  # no daylight saving
    ],
)
def test_peak_hours_are_those_of_the_local_week_and_of_no_holiday(when: str, peak: bool) -> None:
    assert is_peak(TARIFF, unix_s(when)) is peak


def test_the_day_in_utc_may_be_another_than_the_local_one() -> None:
    sunday_evening_in_utc = dt.datetime(2026, 11, 22, 23, 30, tzinfo=dt.UTC).timestamp()
    assert not is_peak(TARIFF, sunday_evening_in_utc)
    assert is_peak(TARIFF, sunday_evening_in_utc + 5400.0)  # 01:00 UTC on Monday is 09:00


def test_what_is_billed_is_the_dearer_where_the_time_is_not_known() -> None:
    billing = Billing(spec())
    assert billing.at(None) == PEAK == billing.dearest
    assert billing.at(unix_s("2026-11-23T10:00:00")) == PEAK
    assert billing.at(unix_s("2026-11-23T20:00:00")) == OFF_PEAK


def test_an_off_peak_price_of_zero_is_unknown_and_the_dearer_is_reckoned_with() -> None:
    free = Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    tariff = Tariff(off_peak=free, peak_s=TARIFF.peak_s, utc_offset_s=SHANGHAI_S)
    assert Billing(spec(tariff=tariff)).at(unix_s("2026-11-28T10:00:00")) == PEAK


def test_a_target_without_a_tariff_costs_the_same_all_day() -> None:
    billing = Billing(TargetSpec(target_id="t", pool="p", is_local=False, price=PEAK))
    assert billing.at(unix_s("2026-11-28T10:00:00")) == billing.at(None) == PEAK


def test_an_owned_target_with_a_tariff_is_billed_by_it() -> None:
    rented = TargetSpec(target_id="t", pool="p", is_local=True, price=PEAK, tariff=TARIFF)
    assert Billing(rented).at(unix_s("2026-11-28T10:00:00")) == OFF_PEAK


def spec(tariff: Tariff = TARIFF) -> TargetSpec:
    return TargetSpec(target_id="api", pool="c", is_local=False, price=PEAK, tariff=tariff)


def spent(started: str, *, hours_later: float = 0.0) -> float:
    """Return what a budget has lost to one request of a million prompt tokens that started then."""
    budget = Limits(budgets=(Budget(usd=100.0, window=Window.MONTH),))
    world = World(spec(), clients=(Client(key_id="alice", limits=budget),))
    world.tell(ClockRead(unix_s=unix_s(started)))
    start = only_start(world.arrive("r1", key_id="alice", prompt_tokens=1_000_000, max_tokens=0))
    world.now += hours_later * 3600.0
    world.tell(Finished(attempt_id=start.attempt_id, prompt_tokens=1_000_000, cached_tokens=0, output_tokens=0))
    route = world.controller.find_route("m")
    assert route is not None
    (hit,) = world.controller.limits_of("alice", route, world.now)
    return 100.0 - hit.left


def test_a_budget_is_settled_at_the_price_of_the_start() -> None:
    assert spent("2026-11-23T11:30:00") == pytest.approx(2.0)
    assert spent("2026-11-23T11:30:00", hours_later=1.0) == pytest.approx(2.0)
    assert spent("2026-11-23T13:30:00", hours_later=1.0) == pytest.approx(1.0)


def test_a_budget_sets_the_dearer_price_aside_whenever_the_request_comes() -> None:
    budget = Limits(budgets=(Budget(usd=1.5, window=Window.MONTH),))
    world = World(local(slots=1), spec(), clients=(Client(key_id="alice", limits=budget),))
    world.tell(ClockRead(unix_s=unix_s("2026-11-28T10:00:00")))
    only_start(world.arrive("r0", key_id="alice"))
    assert world.arrive("r1", key_id="alice", prompt_tokens=1_000_000, max_tokens=0) == []  # 1.00 now, but 2.00 at peak


def test_what_is_cheapest_follows_the_clock() -> None:
    steady = cloud("steady", usd=None)
    steady = TargetSpec(
        target_id="steady",
        pool="s",
        is_local=False,
        price=Price(input_usd_per_mtok=1.5, output_usd_per_mtok=6.0),
        prior=steady.prior,
    )
    moving = TargetSpec(target_id="moving", pool="c", is_local=False, price=PEAK, tariff=TARIFF, prior=steady.prior)
    world = World(local(slots=1), steady, moving)
    assert world.controller.needs_time
    home = only_start(world.arrive("home"))
    assert only_start(world.arrive("r1")).target_id == "steady"  # the time is not known yet: peak is reckoned with
    world.tell(ClockRead(unix_s=unix_s("2026-11-28T10:00:00")))
    assert only_start(world.arrive("r2")).target_id == "moving"
    world.finish(home.attempt_id)
    world.now += 2 * DAY_S  # Monday at ten
    only_start(world.arrive("home again"))
    assert only_start(world.arrive("r3")).target_id == "steady"


def test_the_time_is_not_needed_where_nothing_depends_on_it() -> None:
    assert not World(local(), cloud()).controller.needs_time
