"""How far a plan made from the past can be trusted: its regret on later demand, and an alarm when demand has drifted.

Regret: the plan that is best on the first part of a log is paid on the rest, beside the best plan for the rest.

The alarm's statistic is that regret itself: what the plan of the log's earlier part costs on its later part beyond the
best plan, as a share. It is compared with what it would be if it made no difference which days came first: the log's
days are put into random orders, and each order is split, learned and paid like the real one (a permutation test, which
keeps each day's shape). The alarm is raised where the real regret is above the ``1 - false_alarm_share`` quantile of
those and large enough to matter.
"""

from __future__ import annotations

import math
import random

import msgspec

from overspill.errors import ConfigError
from overspill.planner.screening import Load, Market, Plan, cost_usd, optimum

_DAY_H = 24.0
_MOST_WINDOWS = 3000
"""Of the alarm: a log of more is looked at in longer windows, since it is planned for hundreds of times."""


class Regret(msgspec.Struct, frozen=True, kw_only=True):
    """A plan learned on one part of a log and paid on another."""

    learned: Plan
    paid_usd: float
    best: Plan
    """The best plan for the part on which it was paid."""

    @property
    def share(self) -> float:
        """What the learned plan cost beyond the best one, as a share of that."""
        return max(0.0, self.paid_usd / self.best.usd - 1) if self.best.usd else 0.0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Whether recent demand is still what a plan was made for."""

    regret_share: float
    """Of keeping the plan, on recent demand."""
    threshold_share: float
    """What this stays below in all but ``false_alarm_share`` of the cases if nothing has changed."""
    false_alarm_share: float
    """As it was asked for."""
    block_h: float
    """Length of the pieces that were drawn."""
    material_share: float

    @property
    def is_alarm(self) -> bool:
        """True if demand has drifted so far that the plan should be made anew."""
        return self.regret_share > max(self.threshold_share, self.material_share)


def learned_regret(load: Load, market: Market, share: float = 0.5) -> Regret:
    """Return the regret of the plan learned on the first ``share`` of a load and paid on the rest."""
    split = round(len(load.units) * share)
    if not 0 < split < len(load.units):
        raise ConfigError(f"a log of {len(load.units)} windows cannot be split at {share:.0%}; use shorter windows")
    learned = optimum(load.part(0, split), market.part(0, split))
    rest, later = load.part(split, len(load.units)), market.part(split, len(load.units))
    return Regret(learned=learned, paid_usd=cost_usd(rest, later, learned.units), best=optimum(rest, later))


def drift(
    load: Load,
    market: Market,
    recent_share: float = 0.5,
    *,
    false_alarm_share: float = 0.01,
    material_share: float = 0.05,
    draws: int = 200,
    seed: int = 1,
) -> Drift:
    """Say whether the last ``recent_share`` of a load still is what the plan of the rest was made for."""
    load, market = coarser(load, market)
    found = learned_regret(load, market, 1 - recent_share)
    block = _block(len(load.units), load.window_h)
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret

    def reordered() -> float:
        windows = _reordered(rng, len(load.units), block)
        drawn = Load(units=tuple(load.units[window] for window in windows), window_h=load.window_h)
        return learned_regret(drawn, _drawn_market(market, windows), 1 - recent_share).share

    null = sorted(reordered() for _ in range(draws))
    return Drift(
        regret_share=found.share,
        threshold_share=null[min(draws - 1, math.ceil(draws * (1 - false_alarm_share)) - 1)],
        false_alarm_share=false_alarm_share,
        block_h=block * load.window_h,
        material_share=material_share,
    )


def coarser(load: Load, market: Market) -> tuple[Load, Market]:
    """Return the means of as many windows in a row as leave no more than there may be; what is left over is dropped."""
    every = -(-len(load.units) // _MOST_WINDOWS)
    if every == 1:
        return load, market

    def means(values: tuple[float, ...]) -> tuple[float, ...]:
        whole = len(values) // every * every
        return tuple(math.fsum(values[start : start + every]) / every for start in range(0, whole, every))

    flexible = tuple(
        msgspec.structs.replace(tier, usd_per_unit_hour=means(prices))
        if isinstance(prices := tier.usd_per_unit_hour, tuple)
        else tier
        for tier in market.flexible
    )
    coarse = Load(units=means(load.units), window_h=load.window_h * every)
    return coarse, msgspec.structs.replace(market, flexible=flexible)


def _block(windows: int, window_h: float) -> int:
    """Return the windows of a piece that stays together: a day where there are six, else a twelfth of the log."""
    day = round(_DAY_H / window_h)
    return day if 0 < day * 6 <= windows else max(1, windows // 12)


def _reordered(rng: random.Random, windows: int, block: int) -> list[int]:
    """Return all windows, in pieces in random order; what is left of the last day stays at the end."""
    starts = list(range(0, windows - block + 1, block))
    rest = range(len(starts) * block, windows)
    rng.shuffle(starts)
    return [window for start in starts for window in range(start, start + block)] + list(rest)


def _drawn_market(market: Market, windows: list[int]) -> Market:
    def drawn(prices: float | tuple[float, ...]) -> float | tuple[float, ...]:
        return tuple(prices[window] for window in windows) if isinstance(prices, tuple) else prices

    flexible = tuple(
        msgspec.structs.replace(tier, usd_per_unit_hour=drawn(tier.usd_per_unit_hour)) for tier in market.flexible
    )
    return msgspec.structs.replace(market, flexible=flexible)
