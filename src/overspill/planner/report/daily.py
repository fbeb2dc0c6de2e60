"""The mean day: demand, what goes beyond the committed units, and what a provider charges at that hour."""

from __future__ import annotations

import msgspec

from overspill.planner.case import Case, TokenOffer
from overspill.planner.verdict import Verdict

_HOURS = 24


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the day, on average over the log."""

    hour: int
    demand_units: float
    spilled_units: float
    peak_price_share: float | None
    """Of the log's windows in this hour, those at the provider's dearer price; ``None`` without dates or a tariff."""
    usd_per_mtok_output: float | None
    """What a million answer tokens cost, on average over those windows."""


class SpillByHour(msgspec.Struct, frozen=True, kw_only=True):
    """Spill over the day against tariff windows."""

    hours: tuple[Hour, ...]
    """Those of which the log has any window."""
    utc_offset_s: int | None
    """Of the provider's clock; ``None`` where the log tells no dates, so that hours count from its beginning."""
    committed_units: float
    basis: str = "demand_above_committed_units"
    """Where spill is from: demand beyond the units that the verdict commits to, without queues, faults or caches."""


def spill_by_hour(case: Case, verdict: Verdict, offer: TokenOffer | None) -> SpillByHour:
    """Return demand, spill and price by hour of the provider's day."""
    start, window_s = case.demand.starts_at_unix_s, case.demand.window_s
    offset = None if start is None else 0 if offer is None else offer.utc_offset_s
    committed = sum(verdict.units.values())
    rows: dict[int, list[tuple[float, float | None]]] = {}
    for window, units in enumerate(case.load.units):
        at_s = (start or 0.0) + (window + 0.5) * window_s
        hour = int((at_s + (offset or 0)) // 3600) % _HOURS
        rows.setdefault(hour, []).append((units, None if start is None else at_s))
    return SpillByHour(
        hours=tuple(_hour(hour, rows[hour], committed, offer) for hour in sorted(rows)),
        utc_offset_s=offset,
        committed_units=committed,
    )


def _hour(hour: int, rows: list[tuple[float, float | None]], committed: float, offer: TokenOffer | None) -> Hour:
    units = [demand for demand, _ in rows]
    share: float | None = None
    usd: float | None = None
    dearest = None if offer is None else offer.price_at(None)
    if offer is not None and dearest is not None:
        prices = [price for _, at_s in rows if at_s is not None and (price := offer.price_at(at_s)) is not None]
        if prices:
            usd = sum(price.output_usd_per_mtok for price in prices) / len(prices)
            share = None if offer.tariff is None else sum(price == dearest for price in prices) / len(prices)
    return Hour(
        hour=hour,
        demand_units=sum(units) / len(units),
        spilled_units=sum(max(0.0, demand - committed) for demand in units) / len(units),
        peak_price_share=share,
        usd_per_mtok_output=usd,
    )
