from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overspill.core.types import Window
from overspill.core.windows import bounds

UTC = dt.UTC


def unix_s(*parts: int) -> float:
    return dt.datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("window", "begin", "end"),
    [
        (Window.HOUR, (2028, 2, 29, 23), (2028, 3, 1, 0)),
        (Window.DAY, (2028, 2, 29), (2028, 3, 1)),
        (Window.MONTH, (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_a_window_is_the_one_on_the_calendar(window: Window, begin: tuple[int, ...], end: tuple[int, ...]) -> None:
    assert bounds(window, unix_s(2028, 2, 29, 23, 59, 59)) == (unix_s(*begin), unix_s(*end))
    assert bounds(window, unix_s(*end))[0] == unix_s(*end)


@given(st.integers(0, 253_402_300_799))
def test_the_months_are_those_of_the_gregorian_calendar(second: int) -> None:
    day = dt.datetime.fromtimestamp(second, UTC)
    begin = day.replace(day=1, hour=0, minute=0, second=0)
    assert bounds(Window.MONTH, second)[0] == begin.timestamp()
    begin_s, end_s = bounds(Window.MONTH, second)
    assert begin_s <= second < end_s
    assert end_s - begin_s in {28 * 86400, 29 * 86400, 30 * 86400, 31 * 86400}
    assert bounds(Window.MONTH, end_s)[0] == end_s
