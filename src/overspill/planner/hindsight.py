"""How far a plan made from the past can be trusted: its regret on later demand, and an alarm when demand has drifted.

Regret: the plan that is best on the first part of a log is paid on the rest, beside the best plan for the rest.

The alarm's statistic is that regret itself, on recent demand: what keeping the plan costs beyond the best plan, as a
share. It is compared with what it would be if nothing had changed: recent-sized series made of whole days drawn at
random from the part that the plan was learned on (a block bootstrap, which keeps the daily shape). The alarm is raised
where the regret is above that distribution's ``1 - false_alarm_share`` quantile and large enough to matter.
"""

from __future__ import annotations

import math
import random

import msgspec

from overspill.errors import ConfigError
from overspill.planner.screening import Load, Market, Plan, cost_usd, optimum

_DAY_H = 24.0


class Regret(msgspec.Struct, frozen=True, kw_only=True):
    """A plan learned on one part of a log and paid on another."""

    learned: Plan
    paid_usd: float
    best: Plan
    """The best plan for the part on which it was paid."""

    @property
    def share(self) -> float:
        """What the learned plan cost beyond the best one, as a share of that."""
        return self.paid_usd / self.best.usd - 1 if self.best.usd else 0.0


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Whether recent demand is still what a plan was made for."""

    regret_share: float
    """Of keeping the plan, on recent demand."""
    threshold_share: float
    """What this stays below in all but ``false_alarm_share`` of the cases if nothing has changed."""
    false_alarm_share: float
    """As it was asked for."""
    measured_false_alarm_share: float
    """As it came out on as many fresh draws."""
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
    split = round(len(load.units) * (1 - recent_share))
    found = learned_regret(load, market, 1 - recent_share)
    block = _block(split, load.window_h)
    rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    length = len(load.units) - split

    def unchanged() -> float:
        windows = _resampled(rng, split, length, block)
        drawn = Load(units=tuple(load.units[window] for window in windows), window_h=load.window_h)
        prices = _drawn_market(market, windows)
        best = optimum(drawn, prices).usd
        return cost_usd(drawn, prices, found.learned.units) / best - 1 if best else 0.0

    null = sorted(unchanged() for _ in range(draws))
    threshold = null[min(draws - 1, math.ceil(draws * (1 - false_alarm_share)) - 1)]
    fresh = sum(unchanged() > threshold for _ in range(draws))
    return Drift(
        regret_share=found.share,
        threshold_share=threshold,
        false_alarm_share=false_alarm_share,
        measured_false_alarm_share=fresh / draws,
        block_h=block * load.window_h,
        material_share=material_share,
    )


def _block(windows: int, window_h: float) -> int:
    """Return the windows of a piece: a day where at least three were seen, else an eighth of what was."""
    day = round(_DAY_H / window_h)
    return day if 0 < day * 3 <= windows else max(1, windows // 8)


def _resampled(rng: random.Random, source: int, length: int, block: int) -> list[int]:
    """Return windows of whole pieces, which keep their place within the day."""
    starts = range(0, source - block + 1, block)
    found: list[int] = []
    while len(found) < length:
        start = rng.choice(starts)
        found += range(start, start + block)
    return found[:length]


def _drawn_market(market: Market, windows: list[int]) -> Market:
    def drawn(prices: float | tuple[float, ...]) -> float | tuple[float, ...]:
        return tuple(prices[window] for window in windows) if isinstance(prices, tuple) else prices

    flexible = tuple(
        msgspec.structs.replace(tier, usd_per_unit_hour=drawn(tier.usd_per_unit_hour)) for tier in market.flexible
    )
    return msgspec.structs.replace(market, flexible=flexible)
