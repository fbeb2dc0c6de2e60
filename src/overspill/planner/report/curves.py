"""The curves of a plan: cost of each option by use, demand by time and by size with tiers laid in, what is regretted.

Values only, thinned to what a screen can show; ``plots`` draws them and ``--json`` prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from overspill.planner.case import Case
from overspill.planner.options import Comparison
from overspill.planner.screening import Committed, Market
from overspill.planner.tco import HOURS_A_YEAR
from overspill.planner.verdict import Verdict

_MOST_POINTS = 400


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit of one option costs a year: a fixed part, and a part by hour of full work."""

    option: str
    fixed_usd_per_year: float
    usd_per_busy_hour: float
    is_committed: bool
    """False for what is paid by use, which is where breaking even is measured from."""

    def usd(self, hours: float) -> float:
        """Return what a year with this many hours of full work costs."""
        return self.fixed_usd_per_year + self.usd_per_busy_hour * hours


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a commitment is cheaper than paying by use."""

    committed: str
    flexible: str
    hours_per_year: float | None
    """Of full work; ``None`` if it never is."""
    utilisation: float | None


class BreakEvenCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Cost against use, for the first unit."""

    lines: tuple[CostLine, ...]
    crossings: tuple[BreakEven, ...]
    utilisation: float
    """Of the first unit, by this workload."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A tier laid into the load-duration curve."""

    tier: str
    first_unit: float
    last_unit: float


class LoadDuration(msgspec.Struct, frozen=True, kw_only=True):
    """For which share of the time demand is at least as high."""

    time_share: tuple[float, ...]
    units: tuple[float, ...]
    bands: tuple[Band, ...]
    """Committed tiers, from below; what is above them is spilled."""


class DemandCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Demand by time; a point stands for ``hours_per_point``."""

    hours_per_point: float
    hours: tuple[float, ...]
    """From the beginning of the log to each point's."""
    mean_units: tuple[float, ...]
    max_units: tuple[float, ...]
    committed_units: float


class Swung(msgspec.Struct, frozen=True, kw_only=True):
    """What the best plan costs a year with one figure lower and higher."""

    lever: str
    low_factor: float
    high_factor: float
    low_usd_per_year: float
    high_usd_per_year: float
    base_usd_per_year: float


class Regretted(msgspec.Struct, frozen=True, kw_only=True):
    """What a way to decide would have paid, as a factor on the best plan for the same demand."""

    name: str
    factor: float
    basis: str
    """``log`` or ``second_half``: on which part both were paid."""


def break_even(case: Case, verdict: Verdict) -> BreakEvenCurve:
    """Return cost against hours of full work for one unit of each option."""
    lines = [_committed_line(tier) for tier in case.market.committed]
    lines += [
        CostLine(
            option=tier.name,
            fixed_usd_per_year=0.0,
            usd_per_busy_hour=_mean_price(tier.usd_per_unit_hour, case.load.layer(0)),
            is_committed=False,
        )
        for tier in case.market.flexible
    ]
    crossings = [
        _crossing(committed, flexible)
        for committed in lines
        if committed.is_committed
        for flexible in lines
        if not flexible.is_committed
    ]
    return BreakEvenCurve(lines=tuple(lines), crossings=tuple(crossings), utilisation=_utilisation(verdict))


def load_duration(case: Case, verdict: Verdict) -> LoadDuration:
    """Return the load-duration curve with the tiers that the verdict commits to, the cheapest to run at the bottom."""
    units = sorted(case.load.units, reverse=True)
    places = _spread(len(units))
    bands, level = [], 0.0
    for tier in _by_running_cost(case.market, verdict.units):
        bands.append(Band(tier=tier.name, first_unit=level, last_unit=level + verdict.units[tier.name]))
        level += verdict.units[tier.name]
    return LoadDuration(
        time_share=(0.0, *((place + 1) / len(units) for place in places)),
        units=(units[0], *(units[place] for place in places)),
        bands=tuple(bands),
    )


def demand_curve(case: Case, verdict: Verdict) -> DemandCurve:
    """Return demand by time: mean and highest of as many windows in a row as leave few enough points."""
    units = case.load.units
    every = -(-len(units) // _MOST_POINTS)
    pieces = [units[start : start + every] for start in range(0, len(units), every)]
    return DemandCurve(
        hours_per_point=every * case.load.window_h,
        hours=tuple(start * case.load.window_h for start in range(0, len(units), every)),
        mean_units=tuple(sum(piece) / len(piece) for piece in pieces),
        max_units=tuple(max(piece) for piece in pieces),
        committed_units=sum(verdict.units.values()),
    )


def swung(case: Case, verdict: Verdict) -> tuple[Swung, ...]:
    """Return the bars of the tornado by year, the widest first."""
    yearly = HOURS_A_YEAR / case.load.hours
    return tuple(
        Swung(
            lever=swing.lever,
            low_factor=swing.low_factor,
            high_factor=swing.high_factor,
            low_usd_per_year=swing.low_usd * yearly,
            high_usd_per_year=swing.high_usd * yearly,
            base_usd_per_year=swing.base_usd * yearly,
        )
        for swing in verdict.tornado
    )


def regretted(comparison: Comparison, verdict: Verdict) -> tuple[Regretted, ...]:
    """Return what other ways to decide would have paid, beside one who knew the log."""
    best = comparison.option("optimum")
    assert best is not None  # it always is among the options
    found = [Regretted(name="clairvoyant", factor=1.0, basis="log")]
    if comparison.regret is not None:
        found.append(Regretted(name="learned", factor=1 + comparison.regret.share, basis="second_half"))
    if comparison.online is not None:
        found.append(Regretted(name="ski_rental", factor=comparison.online.deterministic_ratio, basis="log"))
        found.append(Regretted(name="ski_rental_random", factor=comparison.online.randomised_ratio, basis="log"))
    if best.usd_per_year:
        yearly: dict[str, float | None] = {
            "advised": verdict.usd_per_year,
            "uncommitted": verdict.uncommitted_usd_per_year,
            "owned_for_peak": verdict.owned_for_peak_usd_per_year,
        }
        found += [
            Regretted(name=name, factor=usd / best.usd_per_year, basis="log")
            for name, usd in yearly.items()
            if usd is not None
        ]
    return tuple(found)


def _committed_line(tier: Committed) -> CostLine:
    return CostLine(
        option=tier.name,
        fixed_usd_per_year=(tier.usd_per_unit_hour + tier.setup_usd_per_hour) * HOURS_A_YEAR,
        usd_per_busy_hour=tier.usd_per_busy_hour,
        is_committed=True,
    )


def _mean_price(prices: float | tuple[float, ...], units: Sequence[float]) -> float:
    """Return the price of an hour's full work, weighted by when the work comes."""
    if not isinstance(prices, tuple):
        return prices
    return sum(price * busy for price, busy in zip(prices, units, strict=True)) / sum(units)


def _crossing(committed: CostLine, flexible: CostLine) -> BreakEven:
    saved = flexible.usd_per_busy_hour - committed.usd_per_busy_hour
    hours = committed.fixed_usd_per_year / saved if saved > 0 else None
    if hours is not None and hours > HOURS_A_YEAR:
        hours = None
    return BreakEven(
        committed=committed.option,
        flexible=flexible.option,
        hours_per_year=hours,
        utilisation=None if hours is None else hours / HOURS_A_YEAR,
    )


def _utilisation(verdict: Verdict) -> float:
    return next(number.value for number in verdict.numbers if number.name == "utilisation")


def _by_running_cost(market: Market, units: Mapping[str, float]) -> list[Committed]:
    chosen = [tier for tier in market.committed if units.get(tier.name)]
    return sorted(chosen, key=lambda tier: tier.usd_per_busy_hour)


def _spread(count: int) -> list[int]:
    """Return at most ``_MOST_POINTS`` places, first and last among them."""
    if count <= _MOST_POINTS:
        return list(range(count))
    return [round(step * (count - 1) / (_MOST_POINTS - 1)) for step in range(_MOST_POINTS)]
