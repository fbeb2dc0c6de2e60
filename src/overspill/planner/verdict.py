"""The verdict: own, rent, reserve, buy tokens or some of each, with the three numbers that decide it.

Committing must save a hurdle over the best plan without commitment, because a plan is made of figures that are not
exact and a purchase cannot be undone. Where it does not, the verdict is not to buy.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import msgspec

from overspill.planner.case import OWNED, Case
from overspill.planner.options import Comparison, Progress, candidate
from overspill.planner.screening import Load, Market, Plan, cheapest_flexible, optimum, uses
from overspill.planner.sensitivity import Swing, Turn, thinned, tornado, turns
from overspill.planner.tco import HOURS_A_YEAR

_SPILL_TO_CALL_IT_HYBRID = 0.01
_SHORT_LOG_DAYS = 14.0
_CLOSE = 1.25
_LARGE_REGRET = 0.10


class Advice(enum.StrEnum):
    """What to do."""

    OWN = "own"  # machines of one's own for all but the last percent
    HYBRID = "hybrid"  # machines of one's own for the base, the peaks elsewhere
    RESERVE = "reserve"  # rented machines on a term, the peaks elsewhere
    RENT = "rent"  # rented machines by the hour
    BUY_TOKENS = "buy_tokens"  # no machines at all


class Caution(enum.StrEnum):
    """Why a verdict should be taken with care."""

    SHORT_LOG = "short_log"  # less than two weeks, so weekly and seasonal peaks are not in it
    DRIFTED = "drifted"  # the later part of the log is not like the earlier one
    LARGE_REGRET = "large_regret"  # the plan of the first half would have been a bad one for the second
    CLOSE_CALL = "close_call"  # one figure that moves by a quarter or less turns it
    NO_DATES = "no_dates"  # the log tells no dates, so tariff windows were not applied
    DRAWN = "drawn"  # the workload was drawn from rates, sums or a few numbers


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three numbers that decide."""

    name: str
    value: float
    unit: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, why, and what would change it."""

    advice: Advice
    is_not_to_buy: bool
    """True if there were machines to buy, and they should not be bought."""
    units: dict[str, float]
    """To commit to, by tier."""
    usd_per_year: float
    uncommitted_usd_per_year: float
    """The best without any commitment."""
    owned_for_peak_usd_per_year: float | None
    usd_per_mtok: float | None
    spilled_share: float
    hurdle_share: float
    """What committing must save over the best without commitment."""
    best_saved_share: float
    """What the cheapest plan would, whether that is enough or not."""
    unit_usd_per_hour: float
    """Of the candidate's first unit, whether it works or not, with its share of what is paid once (staff)."""
    has_shared_cost: bool
    """True if that share is above 0."""
    spill_usd_per_unit_hour: float
    """Of the first unit's work without commitment."""
    running_usd_per_unit_hour: float
    """Of that work, what the candidate itself costs while it works: energy, egress."""
    candidate: str
    """The tier that the numbers are about; empty if only one way to serve it was offered."""
    numbers: tuple[Number, Number, Number]
    """``r``, ``utilisation``, ``break_even``: the first unit pays if its utilisation is ``r`` or more."""
    cautions: tuple[Caution, ...]
    turns: tuple[Turn, ...]
    tornado: tuple[Swing, ...]

    @property
    def saved_share(self) -> float:
        """What following it saves over the best plan without commitment."""
        return 1 - self.usd_per_year / self.uncommitted_usd_per_year if self.uncommitted_usd_per_year else 0.0


def judge(load: Load, market: Market, plan: Plan, hurdle_share: float) -> tuple[Advice, Plan]:
    """Return what a plan amounts to, and the plan that is advised: without commitment where it saves too little."""
    free = optimum(load, msgspec.structs.replace(market, committed=()))
    advised = plan if plan.committed_units and plan.usd <= free.usd * (1 - hurdle_share) else free
    found = uses(load, market, advised.units)
    spilled = sum(use.unit_hours for use in found if use.units is None)
    if advised.units.get(OWNED):
        few = spilled < _SPILL_TO_CALL_IT_HYBRID * load.unit_hours and len(advised.units) == 1
        return (Advice.OWN if few else Advice.HYBRID), advised
    if advised.committed_units:
        return Advice.RESERVE, advised
    dearest = max(found, key=lambda use: use.usd, default=None)
    return (Advice.BUY_TOKENS if dearest is None or dearest.name == "tokens" else Advice.RENT), advised


def decide(
    case: Case,
    comparison: Comparison,
    *,
    hurdle_share: float = 0.10,
    assumed: bool = False,
    progress: Progress = lambda _: None,
) -> Verdict:
    """Return the verdict on a case; ``assumed`` says that its workload was drawn and not recorded."""
    load, market = case.load, case.market
    advice, advised = judge(load, market, comparison.best, hurdle_share)
    yearly = HOURS_A_YEAR / load.hours
    free_usd = optimum(load, msgspec.structs.replace(market, committed=())).usd
    thin = thinned(load, market)

    def word(load: Load, market: Market, plan: Plan) -> str:
        return judge(load, market, plan, hurdle_share)[0].value

    changes = turns(*thin, word, progress)
    first = _first_unit(load, market, comparison.best, advised)
    committed = sum(use.unit_hours for use in uses(load, market, advised.units) if use.units is not None)
    peak = comparison.option(f"{OWNED}_for_peak")
    return Verdict(
        advice=advice,
        is_not_to_buy=case.owned is not None and not advised.units.get(OWNED),
        units=dict(advised.units),
        usd_per_year=advised.usd * yearly,
        uncommitted_usd_per_year=free_usd * yearly,
        owned_for_peak_usd_per_year=None if peak is None else peak.usd_per_year,
        usd_per_mtok=advised.usd / case.tokens * 1e6 if case.tokens else None,
        spilled_share=max(0.0, 1 - committed / load.unit_hours),
        hurdle_share=hurdle_share,
        best_saved_share=max(0.0, 1 - comparison.best.usd / free_usd),
        unit_usd_per_hour=first.fixed,
        has_shared_cost=first.has_shared,
        spill_usd_per_unit_hour=first.spill,
        running_usd_per_unit_hour=first.running,
        candidate=first.name,
        numbers=(
            Number(name="r", value=first.ratio, unit="committed $ per unit-hour ÷ $ saved by an hour of its work"),
            Number(name="utilisation", value=sum(load.layer(0)) / len(load.units), unit="share, of the first unit"),
            Number(name="break_even", value=first.ratio * HOURS_A_YEAR, unit="h of full work a year, of 8,760"),
        ),
        cautions=_cautions(case, comparison, changes, assumed),
        turns=changes,
        tornado=tornado(*thin),
    )


class _FirstUnit(NamedTuple):
    """What the first unit of a tier costs and saves, in $ per hour."""

    name: str
    fixed: float
    has_shared: bool
    spill: float
    running: float

    @property
    def ratio(self) -> float:
        """The utilisation from which on it pays; ``nan`` if there is nothing to compare with."""
        saved = self.spill - self.running
        return self.fixed / saved if saved > 0 else math.inf


def _first_unit(load: Load, market: Market, best: Plan, advised: Plan) -> _FirstUnit:
    """Return that of what is or could be committed to, else of a machine that is rented rather than tokens bought.

    What is paid once counts in the share of one of the best plan's units; so the first unit's utilisation is ``ratio``
    or more exactly where that plan has any unit of the tier.
    """
    chosen = advised.units or best.units
    names = sorted(chosen, key=lambda name: chosen[name], reverse=True)
    tier = next((tier for tier in market.committed if tier.name in names[:1]), None) or candidate(market)
    if tier is not None:
        shared = tier.setup_usd_per_hour / max(1.0, chosen.get(tier.name, 1.0))
        spill, running, _ = _work(load, market, tier.usd_per_busy_hour)
        return _FirstUnit(tier.name, tier.usd_per_unit_hour + shared, shared > 0, spill, running)
    whole = [option for option in market.flexible if not option.is_divisible]
    others = market.without(*(option.name for option in whole))
    if not whole or not others.flexible:
        spill, _, _ = _work(load, market, 0.0)
        return _FirstUnit("", math.nan, False, spill, 0.0)
    machine = min(whole, key=lambda option: option.price(0))
    spill, _, on_share = _work(load, others, 0.0)
    mean = math.fsum(machine.price(window) for window in range(len(load.units))) / len(load.units)
    return _FirstUnit(machine.name, mean * on_share, False, spill, 0.0)


def _work(load: Load, market: Market, busy_usd: float) -> tuple[float, float, float]:
    """Return what a unit-hour of the first unit's work costs elsewhere and by itself, and the share of time it has."""
    spilled = own = 0.0
    parts = load.layer(0)
    for window, part in enumerate(parts):
        if part:
            usd = cheapest_flexible(market, window, part)[1]
            spilled += usd
            own += min(usd, busy_usd * (part if market.is_divisible else 1.0))
    worked = math.fsum(parts)
    return spilled / worked, own / worked, sum(part > 0 for part in parts) / len(parts)


def _cautions(case: Case, comparison: Comparison, changes: tuple[Turn, ...], assumed: bool) -> tuple[Caution, ...]:
    regret, drifted = comparison.regret, comparison.drift
    found = {
        Caution.SHORT_LOG: case.load.hours < _SHORT_LOG_DAYS * 24,
        Caution.DRIFTED: drifted is not None and drifted.is_alarm,
        Caution.LARGE_REGRET: drifted is not None and regret is not None and regret.share > _LARGE_REGRET,
        Caution.CLOSE_CALL: any(1 / _CLOSE <= turn.factor <= _CLOSE for turn in changes),
        Caution.NO_DATES: case.is_tariff_unused,
        Caution.DRAWN: assumed,
    }
    return tuple(caution for caution, holds in found.items() if holds)
