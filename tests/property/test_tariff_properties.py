"""The shipped tariff against a calendar: the same answer as Python's own dates give, at any second of three years."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from overspill.catalog.load import Catalog, load
from overspill.core.cost import Billing, is_peak
from overspill.core.types import Price, TargetSpec, Tariff

CATALOG = load()
SHANGHAI = ZoneInfo("Asia/Shanghai")
BEGIN = dt.datetime(2025, 1, 1, tzinfo=SHANGHAI).timestamp()
END = dt.datetime(2028, 1, 1, tzinfo=SHANGHAI).timestamp()
HOURS = ((dt.time(9), dt.time(12)), (dt.time(14), dt.time(18)))


def deepseek(catalog: Catalog) -> tuple[Price, Tariff]:
    provider = catalog.provider("deepseek")
    assert provider is not None
    price = provider.models[0].known_price
    tariff = catalog.tariff("deepseek", provider.models[0].id)
    assert price is not None
    assert tariff is not None
    return price, tariff


PRICE, TARIFF = deepseek(CATALOG)
HOLIDAYS = {
    holiday.first + dt.timedelta(days=n)
    for calendar in CATALOG.calendars
    for holiday in calendar.holidays
    for n in range((holiday.last - holiday.first).days + 1)
}


def expected_peak(unix_s: float) -> bool:
    local = dt.datetime.fromtimestamp(unix_s, SHANGHAI)
    is_workday = local.weekday() < 5 and local.date() not in HOLIDAYS
    return is_workday and any(begin <= local.time() < end for begin, end in HOURS)


@given(st.integers(int(BEGIN), int(END)).map(float) | st.floats(BEGIN, END))
@example(BEGIN)
@example(dt.datetime(2026, 12, 31, 23, 59, 59, tzinfo=SHANGHAI).timestamp())
@example(dt.datetime(2026, 10, 8, 9, tzinfo=SHANGHAI).timestamp())
def test_any_time_is_in_peak_hours_exactly_if_the_calendar_says_so(unix_s: float) -> None:
    assert is_peak(TARIFF, unix_s) is expected_peak(unix_s)


@given(st.dates(dt.date(2025, 1, 1), dt.date(2027, 12, 31)), st.sampled_from([9, 12, 14, 18]))
def test_the_edges_of_peak_hours_are_exact_to_the_second(day: dt.date, hour: int) -> None:
    edge = dt.datetime.combine(day, dt.time(hour), SHANGHAI).timestamp()
    for unix_s in (edge - 1.0, edge, edge + 1.0):
        assert is_peak(TARIFF, unix_s) is expected_peak(unix_s)


@given(st.floats(0, 4e9))
def test_no_bill_is_above_the_price_that_is_reserved(unix_s: float) -> None:
    billing = Billing(TargetSpec(target_id="t", pool="p", is_local=False, price=PRICE, tariff=TARIFF))
    now, dearest = billing.at(unix_s), billing.dearest
    assert now is not None
    assert dearest is not None
    assert now.input_usd_per_mtok <= dearest.input_usd_per_mtok
    assert now.output_usd_per_mtok <= dearest.output_usd_per_mtok


def test_a_year_whose_holidays_are_not_announced_is_reckoned_at_the_dearer_price() -> None:
    spring_festival = dt.datetime(2027, 2, 8, 10, tzinfo=SHANGHAI).timestamp()  # a Monday in it
    unknown = [calendar.year for calendar in CATALOG.calendars if not calendar.holidays]
    if 2027 in unknown:  # until the notice is read into the catalogue
        assert is_peak(TARIFF, spring_festival)
