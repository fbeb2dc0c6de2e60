"""Every way to serve a case, side by side: what it costs a year and by the token, at the user's own utilisation."""

from __future__ import annotations

import math

import msgspec

from overspill.planner.case import OWNED, Case
from overspill.planner.hindsight import Drift, Regret, drift, learned_regret
from overspill.planner.online import OnlineCost, rented, reservations, ski_rental
from overspill.planner.screening import Committed, Market, Plan, Use, optimum, uses
from overspill.planner.tco import HOURS_A_YEAR

OPTIMUM = "optimum"
_MIN_WINDOWS = 8
"""Fewer cannot be split into a part to learn from and a part to pay on."""
_DRIFT_HOURS = 6 * 24.0
"""Three days to learn from and as many to compare: with less, a day's own shape looks like drift."""
_TERM_HOURS = {"reserved_1y": HOURS_A_YEAR, "reserved_3y": 3 * HOURS_A_YEAR}


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One way to serve all of the demand."""

    name: str
    units: dict[str, float]
    """Committed to, by tier."""
    usd_per_year: float
    usd_per_mtok: float | None
    """By million prompt and answer tokens together; ``None`` where the workload has no tokens."""
    usd_per_mtok_output: float | None
    """All of the cost by million answer tokens."""
    utilisation: float | None
    """Of the committed units; ``None`` if there are none."""
    spilled_share: float
    """Of the demand, to flexible tiers."""
    uses: tuple[Use, ...]


class Rented(msgspec.Struct, frozen=True, kw_only=True):
    """What machines on demand cost for all beyond the committed units, each start paid, with tokens meanwhile."""

    online_usd_per_year: float
    """Started and stopped by what tokens have cost so far."""
    clairvoyant_usd_per_year: float
    starts: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All options, the cheapest first, and how far the best plan can be trusted."""

    options: tuple[Option, ...]
    best: Plan
    bound_usd_per_year: float
    """With units of any size: no plan of whole units can be cheaper than this."""
    regret: Regret | None
    """``None`` for logs too short to split."""
    drift: Drift | None
    rented: Rented | None
    """``None`` without both machines on demand and tokens."""
    online: OnlineCost | None
    """Ski rental for the committed tier that the optimum uses most, else the cheapest one."""

    def option(self, name: str) -> Option | None:
        """Return the option with this name."""
        return next((option for option in self.options if option.name == name), None)


def compare(case: Case, *, draws: int = 100) -> Comparison:
    """Reckon all options of a case; ``draws`` are those of the drift alarm."""
    load, market = case.load, case.market
    best = optimum(load, market)
    plans: dict[str, tuple[Market, dict[str, float]]] = {OPTIMUM: (market, dict(best.units))}
    for flexible in market.flexible:
        only = msgspec.structs.replace(market, committed=(), flexible=(flexible,))
        plans[f"{flexible.name}_only"] = (only, {})
    peak = load.peak if market.is_divisible else math.ceil(load.peak - 1e-9)
    for tier in market.committed:
        plans[f"{tier.name}_for_peak"] = (market, {tier.name: peak})
        alone = msgspec.structs.replace(market, committed=(tier,))
        plans[f"{tier.name}_and_spill"] = (alone, dict(optimum(load, alone).units))
    options = [_option(case, name, offered, units) for name, (offered, units) in plans.items()]
    is_long = len(load.units) >= _MIN_WINDOWS
    tier_of_most = _most_used(market, best)
    return Comparison(
        options=tuple(sorted(options, key=lambda option: option.usd_per_year)),
        best=best,
        bound_usd_per_year=_per_year(case, optimum(load, msgspec.structs.replace(market, is_divisible=True)).usd),
        regret=learned_regret(load, market) if is_long else None,
        drift=drift(load, market, draws=draws) if is_long and load.hours >= _DRIFT_HOURS else None,
        rented=_rented(case, best),
        online=None if tier_of_most is None else _online(case, tier_of_most),
    )


def _option(case: Case, name: str, market: Market, units: dict[str, float]) -> Option:
    found = uses(case.load, market, units)
    usd = math.fsum(use.usd for use in found)
    committed = math.fsum(units.values())
    worked = math.fsum(use.unit_hours for use in found if use.units is not None)
    output = sum(case.demand.output_tokens)
    return Option(
        name=name,
        units=units,
        usd_per_year=_per_year(case, usd),
        usd_per_mtok=usd / case.tokens * 1e6 if case.tokens else None,
        usd_per_mtok_output=usd / output * 1e6 if output else None,
        utilisation=worked / (committed * case.load.hours) if committed else None,
        spilled_share=max(0.0, 1 - worked / case.load.unit_hours),
        uses=found,
    )


def _online(case: Case, tier: Committed) -> OnlineCost:
    term_h = _TERM_HOURS.get(tier.name, math.inf)
    if term_h >= case.load.hours:
        return ski_rental(case.load, case.market, tier)
    spill = optimum(case.load, msgspec.structs.replace(case.market, committed=())).usd / case.load.unit_hours
    windows = round(term_h / case.load.window_h)
    alpha = min(0.99, tier.usd_per_busy_hour / spill)
    return reservations(case.load, spill, tier.usd_per_unit_hour * term_h, alpha, windows)


def _rented(case: Case, best: Plan) -> Rented | None:
    names = {tier.name for tier in case.market.flexible}
    if not {"on_demand", "tokens"} <= names:
        return None
    found = rented(case.load.above(best.committed_units), case.market.without("spot"), "on_demand", case.start_h)
    return Rented(
        online_usd_per_year=_per_year(case, found.online_usd),
        clairvoyant_usd_per_year=_per_year(case, found.clairvoyant_usd),
        starts=found.starts,
    )


def _most_used(market: Market, best: Plan) -> Committed | None:
    if not market.committed:
        return None
    used = [tier for tier in market.committed if best.units.get(tier.name)]
    if used:
        return max(used, key=lambda tier: best.units[tier.name])
    return min(market.committed, key=lambda tier: tier.usd_per_unit_hour + tier.usd_per_busy_hour)


def _per_year(case: Case, usd: float) -> float:
    return usd / case.load.hours * HOURS_A_YEAR


def candidate(market: Market) -> Committed | None:
    """Return the tier that buying is about: one's own machines if there are any, else the cheapest reservation."""
    own = next((tier for tier in market.committed if tier.name == OWNED), None)
    return own or min(market.committed, key=lambda tier: tier.usd_per_unit_hour, default=None)
