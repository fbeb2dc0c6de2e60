"""What the result depends on: each figure moved up and down alone, and the change of it that turns the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from overspill.planner.screening import Committed, Flexible, Load, Market, Plan, optimum

_STEPS = 24
_FURTHEST = 8.0
_MOST_UNITS = 300
_STEEPEST = 64.0
_HALVINGS = 30
Judge = Callable[[Load, Market, Plan], str]
"""Returns a word for what a plan amounts to."""

LEVERS: Final[Mapping[str, str]] = {
    "owned_price": "price of one's own machines",
    "rent_price": "price of rented and reserved machines",
    "token_price": "price of tokens",
    "load": "number of requests",
    "unit_capacity": "what one unit carries within the SLO",
    "utilisation": "mean demand by peak demand, at the same load",
}
"""What can be moved, in words. Utilisation is that of units for the peak: the lower, the higher the peaks."""


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of the tornado: the optimum's cost with one figure lower and higher."""

    lever: str
    low_factor: float
    high_factor: float
    low_usd: float
    high_usd: float
    base_usd: float

    @property
    def width_usd(self) -> float:
        """How far the two ends are apart."""
        return abs(self.high_usd - self.low_usd)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one figure that changes the verdict."""

    lever: str
    factor: float
    """The smallest change that does, as a factor on today's figure."""
    becomes: str


def thinned(load: Load, market: Market, most: int = 1000) -> tuple[Load, Market]:
    """Return a load of at most ``most`` windows with nearly the same load-duration curve: every n-th by size.

    Each stands for its neighbours, so that what is reckoned hundreds of times takes a second, not minutes. Of very many
    units, several count as one.
    """
    every = -(-len(load.units) // most)
    if every > 1:
        order = sorted(range(len(load.units)), key=lambda window: load.units[window])
        kept = sorted(order[every // 2 :: every])
        flexible = tuple(
            msgspec.structs.replace(tier, usd_per_unit_hour=tuple(prices[window] for window in kept))
            if isinstance(prices := tier.usd_per_unit_hour, tuple)
            else tier
            for tier in market.flexible
        )
        load = Load(units=tuple(load.units[window] for window in kept), window_h=load.hours / len(kept))
        market = msgspec.structs.replace(market, flexible=flexible)
    return _bundled(load, market, max(1.0, load.peak / _MOST_UNITS))


def _bundled(load: Load, market: Market, units: float) -> tuple[Load, Market]:
    """Return the same in units that are so many times as large."""
    if units == 1:
        return load, market
    dearer = _priced(market, units, lambda _: True)
    committed = tuple(
        msgspec.structs.replace(tier, setup_usd_per_hour=before.setup_usd_per_hour)
        for tier, before in zip(dearer.committed, market.committed, strict=True)
    )
    return _scaled(load, 1 / units), msgspec.structs.replace(dearer, committed=committed)


def tornado(load: Load, market: Market, span: float = 0.3) -> tuple[Swing, ...]:
    """Move each figure by ``span`` down and up, plan anew each time, and return the widest bar first."""
    base = optimum(load, market).usd
    swings = []
    for lever in _movable(market):
        low, high = (optimum(*moved(load, market, lever, factor)).usd for factor in (1 - span, 1 + span))
        swings.append(
            Swing(lever=lever, low_factor=1 - span, high_factor=1 + span, low_usd=low, high_usd=high, base_usd=base)
        )
    return tuple(sorted(swings, key=lambda swing: swing.width_usd, reverse=True))


def turns(
    load: Load, market: Market, judge: Judge, progress: Callable[[float], object] = lambda _: None
) -> tuple[Turn, ...]:
    """Return, for each figure and direction, the smallest change up to 8 times that changes what ``judge`` says."""
    today = judge(load, market, optimum(load, market))

    def judged(lever: str, factor: float) -> str:
        world = moved(load, market, lever, factor)
        return judge(*world, optimum(*world))

    found = []
    levers = _movable(market)
    for place, lever in enumerate(levers):
        progress(place / len(levers))
        for direction in (1.0, -1.0):
            turn = _first_turn(lambda factor, lever=lever: judged(lever, factor), today, direction)  # type: ignore[misc]
            if turn is not None:
                found.append(Turn(lever=lever, factor=turn, becomes=judged(lever, turn)))
    return tuple(sorted(found, key=lambda turn: abs(math.log(turn.factor))))


def moved(load: Load, market: Market, lever: str, factor: float) -> tuple[Load, Market]:
    """Return the world with one figure multiplied by ``factor``."""
    match lever:
        case "owned_price":
            return load, _priced(market, factor, lambda name: name == "owned")
        case "token_price":
            return load, _priced(market, factor, lambda name: name == "tokens")
        case "rent_price":
            return load, _priced(market, factor, lambda name: name not in {"owned", "tokens"})
        case "load":
            return _scaled(load, factor), market
        case "unit_capacity":  # fewer units, each of which replaces more tokens
            return _scaled(load, 1 / factor), _priced(market, factor, lambda name: name == "tokens")
        case "utilisation":
            return _flattened(load, factor), market
        case _:
            raise AssertionError(lever)


def _movable(market: Market) -> list[str]:
    names = {tier.name for tier in market.committed} | {tier.name for tier in market.flexible}
    has = {
        "owned_price": "owned" in names,
        "token_price": "tokens" in names,
        "rent_price": bool(names - {"owned", "tokens"}),
    }
    return [lever for lever in LEVERS if has.get(lever, True)]


def _first_turn(judged: Callable[[float], str], today: str, direction: float) -> float | None:
    """Return the first factor at which the word changes, found on a ladder and then halved to 1 %."""
    before = 1.0
    for step in range(1, _STEPS + 1):
        factor = math.pow(_FURTHEST, direction * step / _STEPS)
        if judged(factor) == today:
            before = factor
            continue
        while abs(factor / before - 1) > 0.01:
            middle = math.sqrt(before * factor)
            if judged(middle) == today:
                before = middle
            else:
                factor = middle
        return factor
    return None


def _flattened(load: Load, factor: float) -> Load:
    """Return a load of the same sum whose mean is ``factor`` times as near to its peak, as far as that can be.

    Windows are raised to one power, which keeps their order and those without demand.
    """
    mean, peak = sum(load.units) / len(load.units), load.peak
    shares = [demand / peak for demand in load.units]

    def steep(power: float) -> list[float]:
        return [math.pow(share, power) if share else 0.0 for share in shares]

    low, high = 0.0, _STEEPEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if sum(steep(middle)) / len(shares) > factor * mean / peak:
            low = middle
        else:
            high = middle
    found = steep(high)
    total = mean * len(found) / sum(found)
    return Load(units=tuple(share * total for share in found), window_h=load.window_h)


def _scaled(load: Load, factor: float) -> Load:
    return Load(units=tuple(demand * factor for demand in load.units), window_h=load.window_h)


def _priced(market: Market, factor: float, is_meant: Callable[[str], bool]) -> Market:
    def committed(tier: Committed) -> Committed:
        return msgspec.structs.replace(
            tier,
            usd_per_unit_hour=tier.usd_per_unit_hour * factor,
            usd_per_busy_hour=tier.usd_per_busy_hour * factor,
            setup_usd_per_hour=tier.setup_usd_per_hour * factor,
        )

    def flexible(tier: Flexible) -> Flexible:
        prices = tier.usd_per_unit_hour
        dearer = tuple(price * factor for price in prices) if isinstance(prices, tuple) else prices * factor
        return msgspec.structs.replace(tier, usd_per_unit_hour=dearer)

    return msgspec.structs.replace(
        market,
        committed=tuple(committed(tier) if is_meant(tier.name) else tier for tier in market.committed),
        flexible=tuple(flexible(tier) if is_meant(tier.name) else tier for tier in market.flexible),
    )
