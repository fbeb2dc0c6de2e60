"""The load-duration (screening-curve) optimum: how many units to commit to in which tier, and what to leave to others.

Demand is cut into layers of one unit: the j-th layer is what goes beyond j - 1 units. A layer can be committed to a
tier (owned, reserved), which costs the same all the time and little more while it works, or be left to the flexible
tiers (on demand, spot, by the token), of which the cheapest is taken in each window. A layer's cost depends on nothing
but its own demand, and in every window a layer further up is worth no more than one below it, so choosing for each
layer by itself gives the cheapest plan of all: whatever a plan does in a window, each of its units saves one layer's
flexible cost; the units do best on the lowest layers, those that cost least while working first; so every plan costs
at least the sum of the layers' own minima. Found in O(n log n); known demand makes it the exact clairvoyant bound for
plans that stay the same.

Units are whole. ``is_divisible`` lets them be any number, as a textbook does; that is a bound below, and no plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import msgspec

from overspill.errors import ConfigError


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """A tier that is paid for whether it works or not."""

    name: str
    usd_per_unit_hour: float
    """All the time."""
    usd_per_busy_hour: float = 0.0
    """More, for each hour in which it works at all: energy. A GPU that decodes for few draws nearly what it draws for
    many."""
    setup_usd_per_hour: float = 0.0
    """Once, if there is any unit of it: staff, a spare, a cage."""


class Flexible(msgspec.Struct, frozen=True, kw_only=True):
    """A tier that is paid for while it is used."""

    name: str
    usd_per_unit_hour: float | tuple[float, ...]
    """One price, or one for each window: a tariff, and what that window's tokens cost per unit."""
    is_divisible: bool
    """True for tokens; a rented machine is paid for whole."""

    def price(self, window: int) -> float:
        """Return what a unit-hour costs in a window."""
        prices = self.usd_per_unit_hour
        return prices[window] if isinstance(prices, tuple) else prices

    def part(self, first: int, last: int) -> Flexible:
        """Return the tier with the prices of some windows."""
        prices = self.usd_per_unit_hour
        return (
            msgspec.structs.replace(self, usd_per_unit_hour=prices[first:last]) if isinstance(prices, tuple) else self
        )


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be bought."""

    committed: tuple[Committed, ...] = ()
    flexible: tuple[Flexible, ...]
    is_divisible: bool = False

    def without(self, *names: str) -> Market:
        """Return the market without these tiers."""
        return msgspec.structs.replace(
            self,
            committed=tuple(tier for tier in self.committed if tier.name not in names),
            flexible=tuple(tier for tier in self.flexible if tier.name not in names),
        )

    def part(self, first: int, last: int) -> Market:
        """Return the market with the prices of the windows from ``first`` up to, but not including, ``last``."""
        return msgspec.structs.replace(self, flexible=tuple(tier.part(first, last) for tier in self.flexible))


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Demand in units, by window."""

    units: tuple[float, ...]
    window_h: float

    @property
    def hours(self) -> float:
        """How long it lasts."""
        return len(self.units) * self.window_h

    @property
    def peak(self) -> float:
        """Units in the busiest window."""
        return max(self.units, default=0.0)

    @property
    def unit_hours(self) -> float:
        """Units times hours."""
        return math.fsum(self.units) * self.window_h

    def part(self, first: int, last: int) -> Load:
        """Return the windows from ``first`` up to, but not including, ``last``."""
        return Load(units=self.units[first:last], window_h=self.window_h)

    def above(self, units: float) -> Load:
        """Return what goes beyond ``units`` that are there already."""
        return Load(units=tuple(max(0.0, demand - units) for demand in self.units), window_h=self.window_h)

    def layer(self, number: int) -> tuple[float, ...]:
        """Return, for each window, which part of the layer ``number`` (from 0) is needed."""
        return tuple(min(1.0, max(0.0, demand - number)) for demand in self.units)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many units are committed to, by tier; everything beyond goes to the flexible tiers."""

    units: Mapping[str, float]
    usd: float
    """Over the whole load."""

    @property
    def committed_units(self) -> float:
        """Units of all tiers."""
        return sum(self.units.values())


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one tier of a plan did."""

    name: str
    units: float | None
    """Committed; ``None`` for a flexible tier."""
    unit_hours: float
    """Worked."""
    usd: float


def optimum(load: Load, market: Market) -> Plan:
    """Return the cheapest plan; raise ``ConfigError`` if there is nothing to buy or prices do not fit the load."""
    _check(load, market)
    with_setup = [tier.name for tier in market.committed if tier.setup_usd_per_hour > 0]
    subsets = (itertools.combinations(with_setup, count) for count in range(len(with_setup) + 1))
    plans = [_cheapest_layers(load, market.without(*left_out)) for left_out in itertools.chain(*subsets)]
    return min(plans, key=lambda plan: (plan.usd, plan.committed_units))


def cost_usd(load: Load, market: Market, units: Mapping[str, float]) -> float:
    """Return what a plan costs on a load."""
    return math.fsum(use.usd for use in uses(load, market, units))


def uses(load: Load, market: Market, units: Mapping[str, float]) -> tuple[Use, ...]:
    """Return what each tier of a plan does and costs on a load, the cheapest to run working first."""
    _check(load, market)
    tiers = sorted((tier for tier in market.committed if units.get(tier.name)), key=lambda tier: tier.usd_per_busy_hour)
    hours: dict[str, float] = {}
    usd: dict[str, float] = {}
    for window, demand in enumerate(load.units):
        rest = demand
        for tier in tiers:
            taken = min(rest, units[tier.name])
            _serve(taken, tier, window, market, hours, usd, load.window_h)
            rest -= taken
        _serve(rest, None, window, market, hours, usd, load.window_h)
    found = []
    for tier in tiers:
        count = units[tier.name]
        fixed = (tier.usd_per_unit_hour * count + tier.setup_usd_per_hour) * load.hours
        found.append(
            Use(
                name=tier.name,
                units=count,
                unit_hours=hours.get(tier.name, 0.0),
                usd=fixed + usd.get(tier.name, 0.0),
            )
        )
    found += [
        Use(name=option.name, units=None, unit_hours=hours[option.name], usd=usd[option.name])
        for option in market.flexible
        if option.name in hours
    ]
    return tuple(found)


def _serve(
    taken: float,
    tier: Committed | None,
    window: int,
    market: Market,
    hours: dict[str, float],
    usd: dict[str, float],
    window_h: float,
) -> None:
    """Let a committed tier do its part of a window, or whatever flexible one is cheaper; by whole and part units."""
    whole = 0.0 if market.is_divisible else math.floor(taken)
    for count, each in ((1.0, taken),) if market.is_divisible else ((whole, 1.0), (1.0, taken - whole)):
        if not count or not each:
            continue
        name, price = cheapest_flexible(market, window, each)
        busy = math.inf if tier is None else tier.usd_per_busy_hour * (each if market.is_divisible else 1.0)
        if tier is not None and busy <= price:
            name, price = tier.name, busy
        hours[name] = hours.get(name, 0.0) + count * each * window_h
        usd[name] = usd.get(name, 0.0) + count * price * window_h


def cheapest_flexible(market: Market, window: int, part: float) -> tuple[str, float]:
    """Return which flexible tier serves ``part`` of a unit in a window for the least, and for how much an hour."""
    best, least = "", math.inf
    for option in market.flexible:
        price = option.price(window)
        usd = price * part if option.is_divisible or market.is_divisible else price
        if usd < least:
            best, least = option.name, usd
    return best, least


class Layer(msgspec.Struct, gc=False):
    """What the work of a layer costs over a load."""

    width: float
    """In units."""
    flexible_usd: float
    """With nothing committed."""
    busy_usd: list[float]
    """By committed tier: what is paid for its work, without what is paid all the time."""


def _cheapest_layers(load: Load, market: Market) -> Plan:
    """Choose for each layer by itself; every tier that is still in the market pays its set-up once it has a unit."""
    units = {tier.name: 0.0 for tier in market.committed}
    usd = 0.0
    layers = _divisible_layers(load, market) if market.is_divisible else whole_layers(load, market)
    for layer in layers:
        best, least = None, layer.flexible_usd
        for tier, busy in zip(market.committed, layer.busy_usd, strict=True):
            committed = tier.usd_per_unit_hour * load.hours * layer.width + busy
            if committed < least:
                best, least = tier, committed
        usd += least
        if best is not None:
            units[best.name] += layer.width
    setup = sum(tier.setup_usd_per_hour for tier in market.committed if units[tier.name]) * load.hours
    return Plan(units={name: count for name, count in units.items() if count}, usd=usd + setup)


def whole_layers(load: Load, market: Market, width: float = 1.0) -> list[Layer]:
    """Return the layers of one unit each: windows in which a layer is full are summed by their number of full units.

    With another ``width`` the load is in layers of so many units.
    """
    count = math.ceil(load.peak)
    options = len(market.committed) + 1
    full = [[0.0] * (count + 1) for _ in range(options)]
    part = [[0.0] * (count + 1) for _ in range(options)]
    for demand, by_part, by_machine in zip(load.units, *_prices(load, market), strict=True):
        whole = int(demand)
        rest = demand - whole
        unit_usd = min(by_part * width, by_machine)
        rest_usd = min(by_part * rest * width, by_machine) if rest else 0.0
        full[0][whole] += unit_usd
        part[0][whole] += rest_usd
        for option, tier in enumerate(market.committed, start=1):
            full[option][whole] += min(unit_usd, tier.usd_per_busy_hour * width)
            part[option][whole] += min(rest_usd, tier.usd_per_busy_hour * width)
    above = [list(itertools.accumulate(reversed(column)))[::-1] for column in full]
    layers = []
    for layer in range(count):
        usd = [(above[option][layer + 1] + part[option][layer]) * load.window_h for option in range(options)]
        layers.append(Layer(width, usd[0], usd[1:]))
    return layers


def _divisible_layers(load: Load, market: Market) -> list[Layer]:
    """Return layers as wide as the steps of the load-duration curve: each window fills a layer or is below it."""
    options = len(market.committed) + 1
    sums = [0.0] * options
    layers = []
    by_part, by_machine = _prices(load, market)
    order = sorted(range(len(load.units)), key=lambda window: load.units[window], reverse=True)
    for place, window in enumerate(order):
        unit_usd = min(by_part[window], by_machine[window])
        sums[0] += unit_usd
        for option, tier in enumerate(market.committed, start=1):
            sums[option] += min(unit_usd, tier.usd_per_busy_hour)
        below = load.units[order[place + 1]] if place + 1 < len(order) else 0.0
        width = load.units[window] - below
        if width > 0:
            usd = [total * load.window_h * width for total in sums]
            layers.append(Layer(width, usd[0], usd[1:]))
    layers.reverse()
    return layers


def _prices(load: Load, market: Market) -> tuple[list[float], list[float]]:
    """Return the cheapest flexible price of each window by the part of a unit, and by the whole machine."""
    found = []
    for is_divisible in (True, False):
        columns = [
            prices if isinstance(prices := tier.usd_per_unit_hour, tuple) else (prices,) * len(load.units)
            for tier in market.flexible
            if (tier.is_divisible or market.is_divisible) is is_divisible
        ]
        found.append([min(row) for row in zip(*columns, strict=True)] if columns else [math.inf] * len(load.units))
    return found[0], found[1]


def _check(load: Load, market: Market) -> None:
    if not market.flexible:
        raise ConfigError("a plan needs a flexible tier (on demand or by the token) for what goes beyond its units")
    for option in market.flexible:
        prices = option.usd_per_unit_hour
        if isinstance(prices, tuple) and len(prices) != len(load.units):
            raise ConfigError(
                f"tier {option.name!r} has {len(prices)} prices for {len(load.units)} windows; give one for each"
            )
    if any(not math.isfinite(demand) or demand < 0 for demand in load.units):
        raise ConfigError("demand must be 0 or more in every window")
