"""What rules that know nothing of the future would have paid on a log, beside what one who knew it would have.

Each works on layers of one unit (see ``screening``), since the decision to have one unit more is made for that unit's
own demand:

- ski rental: leave a layer to the flexible tiers until what that cost beyond the committed tier's running cost reaches
  what committing costs, then commit. Never more than twice the clairvoyant's cost; with a random threshold of density
  ``e^x / (e - 1)`` never more than ``e / (e - 1)`` = 1.582 times, on average over the draw;
- reservations, which end: commit for a term when the last term's flexible cost reaches the same threshold. At most
  ``2 - a`` and ``e / (e - 1 + a)`` times, a being the part of the price that a reserved unit still pays while it works
  (Wang, Li, Liang: arXiv 1305.5608); both bounds are optimal;
- rented machines, which take time to start: start when the tokens bought meanwhile would have paid a start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from overspill.errors import ConfigError
from overspill.planner.screening import Committed, Load, Market, cheapest_flexible, whole_layers

RANDOMISED = math.e / (math.e - 1)
_GRID = 64


class OnlineCost(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid over a log, in US dollars."""

    deterministic_usd: float
    randomised_usd: float
    """On average over its draws."""
    clairvoyant_usd: float
    """By one who knew the log and had the same two choices for each layer."""
    layers_committed: int
    """By the deterministic rule."""

    @property
    def deterministic_ratio(self) -> float:
        """What not knowing costs, as a factor."""
        return self.deterministic_usd / self.clairvoyant_usd if self.clairvoyant_usd else 1.0

    @property
    def randomised_ratio(self) -> float:
        """The same for the randomised rule."""
        return self.randomised_usd / self.clairvoyant_usd if self.clairvoyant_usd else 1.0


def ski_rental(load: Load, market: Market, tier: Committed, layers_per_unit: int = 1) -> OnlineCost:
    """Return what ski rental pays for a tier that, once committed to, is paid for as long as the log is.

    What is paid once for all units (staff) is committed to when the layers together have cost so much more than their
    own commitments. Layers are thinner than a unit with ``layers_per_unit``, for a market whose units are divisible.
    """
    width = 1 / layers_per_unit
    fee, setup = tier.usd_per_unit_hour * load.hours * width, tier.setup_usd_per_hour * load.hours
    scaled = Load(units=tuple(demand * layers_per_unit for demand in load.units), window_h=load.window_h)
    alone = msgspec.structs.replace(market, committed=(tier,))
    layers = whole_layers(scaled, alone, width)
    running = math.fsum(layer.busy_usd[0] for layer in layers)
    saved = [layer.flexible_usd - layer.busy_usd[0] for layer in layers]
    gained = math.fsum(max(0.0, amount - fee) for amount in saved) - setup
    clairvoyant = running + math.fsum(saved) - max(0.0, gained)
    if gained < 0:  # what would make the rule commit is never reached
        deterministic, committed = running + math.fsum(saved), 0
    else:
        before = _before_setup(scaled, alone, fee, setup, width) if setup else [fee] * len(saved)
        paid = [fee + max(fee, first) if amount >= fee else amount for amount, first in zip(saved, before, strict=True)]
        deterministic, committed = running + setup + math.fsum(paid), sum(amount >= fee for amount in saved)
    return OnlineCost(
        deterministic_usd=deterministic,
        randomised_usd=running + RANDOMISED * (clairvoyant - running),
        clairvoyant_usd=clairvoyant,
        layers_committed=committed,
    )


def _before_setup(load: Load, alone: Market, fee: float, setup: float, width: float) -> list[float]:
    """Return what each layer has cost beyond its running cost when what is paid once for all of them is committed to.

    Layers below the others lead; a layer that has not cost its own fee by then commits later, by itself.
    """
    busy = alone.committed[0].usd_per_busy_hour * width
    saved = [0.0] * math.ceil(load.peak)
    for window, demand in enumerate(load.units):
        full_usd = cheapest_flexible(alone, window, width)[1]
        rest = demand - int(demand)
        more = [max(0.0, full_usd - busy) * load.window_h] * int(demand)
        if rest:
            more.append(max(0.0, cheapest_flexible(alone, window, rest * width)[1] - busy) * load.window_h)
        after = [amount + each for amount, each in zip(saved, more, strict=False)] + saved[len(more) :]
        if math.fsum(max(0.0, amount - fee) for amount in after) >= setup:
            return _reached(saved, after, fee, setup)
        saved = after
    return saved


def _reached(before: Sequence[float], after: Sequence[float], fee: float, setup: float) -> list[float]:
    """Return the amounts within a window at which the excesses over ``fee`` add up to ``setup``."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        between = [first + (last - first) * middle for first, last in zip(before, after, strict=True)]
        if math.fsum(max(0.0, amount - fee) for amount in between) >= setup:
            high = middle
        else:
            low = middle
    return [first + (last - first) * high for first, last in zip(before, after, strict=True)]


def reservations(load: Load, usd_per_unit_hour: float, fee_usd: float, alpha: float, term_windows: int) -> OnlineCost:
    """Return what reserving by the last term's bill costs, beside the best reservations for the log.

    A reservation costs ``fee_usd`` and then ``alpha`` times the flexible price per hour, for ``term_windows``.
    """
    if not 0 <= alpha < 1 or term_windows < 1 or fee_usd <= 0 or usd_per_unit_hour <= 0:
        raise ValueError("a reservation needs prices above 0, 0 <= alpha < 1 and a term of at least one window")
    threshold = fee_usd / (1 - alpha)
    draws = _thresholds(threshold, alpha)
    deterministic = randomised = clairvoyant = 0.0
    committed = 0
    for number in range(math.ceil(load.peak - 1e-9)):
        usd = [part * usd_per_unit_hour * load.window_h for part in load.layer(number)]
        paid, count = _reserving(usd, fee_usd, alpha, term_windows, threshold)
        deterministic += paid
        committed += count
        randomised += sum(weight * _reserving(usd, fee_usd, alpha, term_windows, drawn)[0] for drawn, weight in draws)
        clairvoyant += _best_reservations(usd, fee_usd, alpha, term_windows)
    return OnlineCost(
        deterministic_usd=deterministic,
        randomised_usd=randomised,
        clairvoyant_usd=clairvoyant,
        layers_committed=committed,
    )


def _thresholds(threshold: float, alpha: float) -> list[tuple[float, float]]:
    """Return thresholds and their probabilities: the density of the randomised rule, cut into equal parts."""
    whole = math.e - 1 + alpha
    found = []
    for part in range(_GRID):
        low, high = part / _GRID, (part + 1) / _GRID
        found.append(((low + high) / 2 * threshold, (math.exp(high) - math.exp(low)) / whole))
    found.append((threshold, alpha / whole))
    return found


def _reserving(usd: Sequence[float], fee_usd: float, alpha: float, term: int, threshold: float) -> tuple[float, int]:
    """Play one layer: pay by the hour, and reserve when the last term's hourly bill has reached the threshold."""
    paid, reserved_until, count = 0.0, -1, 0
    hourly = [0.0] * len(usd)
    recent = 0.0
    for window, amount in enumerate(usd):
        if window >= term:
            recent -= hourly[window - term]
        if window < reserved_until:
            paid += alpha * amount
            continue
        if amount and recent + amount >= threshold:
            reserved_until, count = window + term, count + 1
            paid += fee_usd + alpha * amount
            for earlier in range(max(0, window - term + 1), window):
                hourly[earlier] = 0.0
            recent = 0.0
            continue
        hourly[window] = amount
        recent += amount
        paid += amount
    return paid, count


def _best_reservations(usd: Sequence[float], fee_usd: float, alpha: float, term: int) -> float:
    """Return the least that one layer can cost: in each window pay by the hour, or begin a reservation."""
    least = [0.0] * (len(usd) + 1)
    sums = [0.0]
    for amount in usd:
        sums.append(sums[-1] + amount)
    for window in range(len(usd) - 1, -1, -1):
        end = min(len(usd), window + term)
        reserved = fee_usd + alpha * (sums[end] - sums[window]) + least[end]
        least[window] = min(usd[window] + least[window + 1], reserved)
    return least[0]


class RentedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What machines that are rented by the hour and take time to start cost, with tokens bought for the rest."""

    online_usd: float
    clairvoyant_usd: float
    starts: int
    """By the online rule."""


def rented(load: Load, market: Market, machine: str, start_h: float) -> RentedCost:
    """Return what starting and stopping a rented tier by its layers' token bills costs.

    A start is ``start_h`` paid hours in which the machine serves nothing. The rule starts a layer's machine when the
    tokens that it would have saved have cost as much as a start, and stops it when running it has cost that much more
    than tokens would have. The clairvoyant knows the log and pays the same prices.
    """
    tier = next(option for option in market.flexible if option.name == machine)
    others = market.without(machine)
    if not others.flexible:
        raise ConfigError(f"without {machine!r} nothing is left to serve while it starts; add a tier by the token")
    online = clairvoyant = 0.0
    starts = 0
    for number in range(math.ceil(load.peak - 1e-9)):
        parts = load.layer(number)
        on = [tier.price(window) * load.window_h for window in range(len(parts))]
        off = [
            cheapest_flexible(others, window, part)[1] * load.window_h if part else 0.0
            for window, part in enumerate(parts)
        ]
        start_usd = start_h * (sum(on) / load.hours if load.hours else 0.0)
        paid, begun = _by_bill(on, off, start_usd)
        online += paid
        starts += begun
        clairvoyant += _best_starts(on, off, start_usd)
    return RentedCost(online_usd=online, clairvoyant_usd=clairvoyant, starts=starts)


def _by_bill(on: Sequence[float], off: Sequence[float], start_usd: float) -> tuple[float, int]:
    paid, bill, is_on, starts = 0.0, 0.0, False, 0
    for running, tokens in zip(on, off, strict=True):
        bill = max(0.0, bill + (running - tokens if is_on else tokens - running))
        paid += running if is_on else tokens
        if bill >= start_usd and bill > 0:
            is_on, bill = not is_on, 0.0
            if is_on:
                paid += start_usd
                starts += 1
    return paid, starts


def _best_starts(on: Sequence[float], off: Sequence[float], start_usd: float) -> float:
    stopped, running = 0.0, start_usd
    for machine, tokens in zip(on, off, strict=True):
        stopped, running = min(stopped, running) + tokens, min(running, stopped + start_usd) + machine
    return min(stopped, running)
