"""Every way to serve a case, side by side: what it costs a year and by the token, at the user's own utilisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from overspill.catalog.hardware_prices import term_h
from overspill.planner.case import OWNED, Case
from overspill.planner.hindsight import Drift, Regret, coarser, drift, learned_regret
from overspill.planner.online import OnlineCost, rented, reservations, ski_rental
from overspill.planner.screening import Committed, Load, Market, Plan, Use, optimum, uses
from overspill.planner.tco import HOURS_A_YEAR

OPTIMUM = "optimum"
_MIN_WINDOWS = 8
"""Fewer cannot be split into a part to learn from and a part to pay on."""
_DRIFT_HOURS = 6 * 24.0
"""Three days to learn from and as many to compare: with less, a day's own shape looks like drift."""
_MOST_STEPS = 400_000
"""Layers times windows that an online rule is played on; of more, layers are several units thick."""
Progress = Callable[[float], object]
"""Is told which part has been reckoned, from 0 to 1."""


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


def compare(case: Case, *, draws: int = 100, progress: Progress = lambda _: None) -> Comparison:
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
    options = []
    for name, (offered, units) in plans.items():
        options.append(_option(case, name, offered, units))
        progress(0.4 * len(options) / len(plans))
    is_long = len(load.units) >= _MIN_WINDOWS
    tier_of_most = _most_used(market, best)
    regret = learned_regret(load, market) if is_long else None
    progress(0.5)
    drifted = drift(load, market, draws=draws) if is_long and load.hours >= _DRIFT_HOURS else None
    progress(0.8)
    started = _rented(case, best)
    progress(0.9)
    bound = optimum(load, msgspec.structs.replace(market, is_divisible=True)).usd
    return Comparison(
        options=tuple(sorted(options, key=lambda option: option.usd_per_year)),
        best=best,
        bound_usd_per_year=_per_year(case, min(bound, best.usd)),
        regret=regret,
        drift=drifted,
        rented=started,
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
    kind, _, term = tier.name.partition("_")
    hours = term_h(term) if kind == "reserved" else math.inf
    if hours >= case.load.hours:
        return ski_rental(case.load, case.market, tier)
    load, width = _thicker(coarser(case.load, case.market)[0])
    spill = optimum(case.load, msgspec.structs.replace(case.market, committed=())).usd / case.load.unit_hours
    alpha = min(0.99, tier.usd_per_busy_hour / spill)
    windows = round(hours / load.window_h)
    return reservations(load, spill * width, tier.usd_per_unit_hour * hours * width, alpha, windows)


def _thicker(load: Load) -> tuple[Load, float]:
    """Return a load in layers so thick that a rule can be played on each, and their units."""
    width = max(1.0, load.peak * len(load.units) / _MOST_STEPS)
    return Load(units=tuple(demand / width for demand in load.units), window_h=load.window_h), width


def _rented(case: Case, best: Plan) -> Rented | None:
    names = {tier.name for tier in case.market.flexible}
    if not {"on_demand", "tokens"} <= names:
        return None
    load, width = _thicker(case.load.above(best.committed_units))
    market = _times(case.market.without("spot"), width)
    found = rented(load, market, "on_demand", case.start_h)
    return Rented(
        online_usd_per_year=_per_year(case, found.online_usd),
        clairvoyant_usd_per_year=_per_year(case, found.clairvoyant_usd),
        starts=round(found.starts * width),
    )


def _times(market: Market, factor: float) -> Market:
    """Return the market with the prices of so many units."""

    def dearer(prices: float | tuple[float, ...]) -> float | tuple[float, ...]:
        return tuple(price * factor for price in prices) if isinstance(prices, tuple) else prices * factor

    flexible = tuple(
        msgspec.structs.replace(tier, usd_per_unit_hour=dearer(tier.usd_per_unit_hour)) for tier in market.flexible
    )
    return msgspec.structs.replace(market, flexible=flexible)


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
