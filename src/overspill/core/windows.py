"""Windows of the calendar in UTC, as pure arithmetic on Unix seconds: when the hour, day or month of a time ends.

A budget of "5 dollars a day" means the day on the wall, as on a provider's bill, and not any 24 hours. UTC has neither
zones nor daylight saving, and Unix time no leap seconds, so nothing but the lengths of months is needed.
"""

from __future__ import annotations

from overspill.core.types import Window

_HOUR_S = 3600
_DAY_S = 86_400


def bounds(window: Window, unix_s: float) -> tuple[float, float]:
    """Return the ``[begin, end)`` of the window that ``unix_s`` lies in."""
    if window is Window.MONTH:
        year, month = _year_and_month(int(unix_s // _DAY_S))
        following = (year, month + 1) if month < 12 else (year + 1, 1)
        return float(_days_before(year, month) * _DAY_S), float(_days_before(*following) * _DAY_S)
    length_s = _HOUR_S if window is Window.HOUR else _DAY_S
    begin = unix_s // length_s * length_s
    return begin, begin + length_s


def _days_before(year: int, month: int) -> int:
    """Return the days from 1970-01-01 to the first of a month: Hinnant's ``days_from_civil``.

    Years are counted from March, so that the leap day is a year's last. Source: howardhinnant.github.io/date_algorithms
    """
    if month <= 2:
        year -= 1
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return year * 365 + year // 4 - year // 100 + year // 400 + day_of_year - 719_468


def _year_and_month(days: int) -> tuple[int, int]:
    """Return the year and month of a day, counted from 1970-01-01: Hinnant's ``civil_from_days``."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return era * 400 + year_of_era + (month <= 2), month
