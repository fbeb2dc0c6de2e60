"""Turns a tariff as people write it into the plain numbers that the core reckons with."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence

from overspill.catalog.rows import CalendarRow, TariffRow
from overspill.core.types import Price, Tariff

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86_400
_EPOCH = dt.date(1970, 1, 1)
_PEAK = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_UNPRICED = Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)


def compile_tariff(row: TariffRow, calendars: Iterable[CalendarRow]) -> Tariff:
    """Return ``row`` as numbers; its price is set where it is used, since each model has its own."""
    days = {
        day
        for calendar in calendars
        if calendar.name == row.calendar
        for holiday in calendar.holidays
        for day in range((holiday.first - _EPOCH).days, (holiday.last - _EPOCH).days + 1)
    }
    return Tariff(
        off_peak=_UNPRICED,
        peak_s=read_peak(row.peak),
        utc_offset_s=read_utc_offset(row.utc_offset),
        off_peak_days=tuple(sorted(days)),
    )


def read_utc_offset(text: str) -> int:
    """Read ``+08:00`` as seconds; raise ``ValueError`` if it is none."""
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        raise ValueError(f"utc_offset {text!r} is none; write it as +08:00")
    return (1 if match[1] == "+" else -1) * (int(match[2]) * 3600 + int(match[3]) * 60)


def read_peak(spans: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Read ``mon-fri 09:00-12:00`` as seconds of the week, joined and in order; raise ``ValueError`` if one is none."""
    found = sorted(window for span in spans for window in _windows(span))
    joined: list[tuple[int, int]] = []
    for begin, end in found:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return tuple(joined)


def _windows(span: str) -> list[tuple[int, int]]:
    match = _PEAK.fullmatch(span)
    if match is None or match[1] not in _DAYS or (match[2] or match[1]) not in _DAYS:
        raise ValueError(f"peak {span!r} is no span of time; write it as mon-fri 09:00-12:00")
    begin_s, end_s = (int(match[n]) * 3600 + int(match[n + 1]) * 60 for n in (3, 5))
    if not 0 <= begin_s < end_s <= _DAY_S:
        raise ValueError(f"peak {span!r} must end after it begins, and on the same day")
    first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
    if last < first:
        raise ValueError(f"peak {span!r} must not go over the end of a week; write it as two")
    return [(day * _DAY_S + begin_s, day * _DAY_S + end_s) for day in range(first, last + 1)]
