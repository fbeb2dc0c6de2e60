"""Two scenarios on the same requests: the differences of their figures, with confidence intervals.

Both play the same arrivals, so what the traffic does to both cancels out of the difference; and one trace is one draw
of chance, so blocks of it are drawn again with replacement, the same blocks for both (paired block bootstrap: Künsch
1989; Efron and Tibshirani 1993, chapter 8). A block is long, since requests that share a queue are not independent.
Quantiles are taken from bins 2 % wide.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate

import msgspec

from overspill.core.types import Outcome
from overspill.planner.figures import HOUR_S, Promise, tpot_of
from overspill.planner.simulated import SimulatedRequest

FEWEST_BLOCKS = 8
"""With fewer nothing is told: an interval from them would be too narrow."""
_MINUTE_S = 60.0
_MOST_BLOCKS = 64
_DRAWS = 1000
_BIN = math.log(1.02)
_TIMES = ("ttft_s", "tpot_s", "e2e_s")
_QUANTILES = (("p50", 0.5), ("p99", 0.99))


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both, and the second less the first."""

    name: str
    first: float
    second: float
    low: float
    high: float
    """The difference lies between these two in 95 of 100 such traces."""

    @property
    def difference(self) -> float:
        """The second less the first."""
        return self.second - self.first

    @property
    def is_told(self) -> bool:
        """True if chance alone hardly makes this difference."""
        return self.low > 0 or self.high < 0


class _Side:
    """What one scenario made of the requests of one block."""

    __slots__ = ("good", "refused", "requests", "spilled", "times", "usd")

    def __init__(self) -> None:
        self.requests = self.good = self.spilled = self.refused = 0
        self.usd = 0.0
        self.times: dict[str, Counter[int]] = {name: Counter() for name in _TIMES}

    def add(self, row: SimulatedRequest, usd: float | None, is_good: bool) -> None:
        self.requests += 1
        self.good += is_good
        self.usd += usd or 0.0
        if row.outcome is not Outcome.COMPLETED:
            self.refused += 1
            return
        self.spilled += row.spill is not None
        for name, value in (("ttft_s", row.ttft_s), ("tpot_s", tpot_of(row)), ("e2e_s", row.e2e_s)):
            if value is not None:
                self.times[name][_bin_of(value)] += 1


_Sides = tuple[_Side, _Side]


class Blocks:
    """The blocks of one or several traces, by scenario."""

    def __init__(self, promises: tuple[Promise, Promise], units_usd_per_hour: tuple[float, float]) -> None:
        self._promises = promises
        self._units = units_usd_per_hour
        self._minutes: dict[tuple[int, int], _Sides] = {}
        self.unpriced = 0
        """Requests whose cost is unknown, in both scenarios: if there are any, nothing is told of the cost."""

    def seen(self, which: int, run: int) -> Callable[[SimulatedRequest, float | None], None]:
        """Return what takes in the requests of the first (0) or second scenario (1) in a run of the trace."""

        def add(row: SimulatedRequest, usd: float | None) -> None:
            place = run, int(row.at_s // _MINUTE_S)
            sides = self._minutes.get(place)
            if sides is None:
                sides = self._minutes[place] = (_Side(), _Side())
            self.unpriced += usd is None
            sides[which].add(row, usd, self._promises[which].is_kept(row))

        return add

    def differences(self, seed: int = 1) -> tuple[list[Difference], int]:
        """Return the difference of each figure, and how many blocks it was taken from."""
        blocks = self._grouped()
        last: dict[int, int] = {}
        for run, minute in self._minutes:
            last[run] = max(last.get(run, 0), minute)
        hours = sum(minute + 1 for minute in last.values()) * _MINUTE_S / HOUR_S
        sides = [_Drawing([block[which] for block in blocks]) for which in (0, 1)]
        once = [(place, 1) for place in range(len(blocks))]
        first, second = (self._figures(side, which, once, hours) for which, side in enumerate(sides))
        rng = random.Random(seed)  # noqa: S311 - repeatable, and no secret
        drawn: dict[str, list[float]] = {name: [] for name in first}
        for _ in range(_DRAWS if len(blocks) >= FEWEST_BLOCKS else 0):
            chosen = list(Counter(rng.choices(range(len(blocks)), k=len(blocks))).items())
            one, other = (self._figures(side, which, chosen, hours) for which, side in enumerate(sides))
            for name, differences in drawn.items():
                if name in one and name in other:
                    differences.append(other[name] - one[name])
        found = [
            Difference(name=name, first=first[name], second=second[name], low=low, high=high)
            for name in first
            if name in second
            for low, high in (_interval(drawn[name]),)
        ]
        return found, len(blocks)

    def _grouped(self) -> list[_Sides]:
        """Join neighbouring minutes to blocks of equal length, not more than a bootstrap needs."""
        minutes = max(1, math.ceil(len(self._minutes) / _MOST_BLOCKS))
        groups: dict[tuple[int, int], list[_Sides]] = {}
        for (run, minute), sides in sorted(self._minutes.items()):
            groups.setdefault((run, minute // minutes), []).append(sides)
        return [_joined(group) for group in groups.values()]

    def _figures(
        self, drawing: _Drawing, which: int, chosen: Sequence[tuple[int, int]], hours: float
    ) -> dict[str, float]:
        """Return one scenario's figures over blocks, each as often as it was drawn."""
        sides = [(drawing.sides[place], times) for place, times in chosen]
        requests = sum([side.requests * times for side, times in sides]) or 1
        good = sum([side.good * times for side, times in sides])
        figures = {
            "slo_met": good / requests,
            "spilled": sum([side.spilled * times for side, times in sides]) / requests,
            "refused": sum([side.refused * times for side, times in sides]) / requests,
            "goodput_per_s": good / (hours * HOUR_S),
        }
        if not self.unpriced:
            figures["usd_per_hour"] = sum([side.usd * times for side, times in sides]) / hours + self._units[which]
        figures.update(drawing.quantiles(chosen))
        return figures


class _Drawing:
    """One scenario's blocks, with their times summed up so that a quantile of any draw is soon found."""

    def __init__(self, sides: Sequence[_Side]) -> None:
        self.sides = sides
        self._sums: dict[str, tuple[int, list[list[int]]]] = {}
        """By figure: the lowest bin, and for each block how many of its values lie up to each bin."""
        for name in _TIMES:
            places = [place for side in sides for place in side.times[name]]
            if places:
                bins = range(min(places), max(places) + 1)
                self._sums[name] = (bins[0], [list(accumulate(side.times[name][b] for b in bins)) for side in sides])

    def quantiles(self, chosen: Sequence[tuple[int, int]]) -> dict[str, float]:
        """Return the quantiles of the blocks that were drawn."""
        found = {}
        for name, (lowest, sums) in self._sums.items():
            rows = [(sums[place], times) for place, times in chosen]
            count = sum([row[-1] * times for row, times in rows])
            for label, share in _QUANTILES if count else ():
                rank, low, high = math.ceil(share * count), 0, len(sums[0]) - 1
                while low < high:
                    middle = (low + high) // 2
                    if sum([row[middle] * times for row, times in rows]) < rank:
                        low = middle + 1
                    else:
                        high = middle
                found[f"{name}.{label}"] = math.exp((lowest + low + 0.5) * _BIN)
        return found


def _joined(group: Sequence[_Sides]) -> _Sides:
    """Add up a block's minutes, for both scenarios."""
    whole = _Side(), _Side()
    for sides in group:
        for sum_, side in zip(whole, sides, strict=True):
            sum_.requests += side.requests
            sum_.good += side.good
            sum_.spilled += side.spilled
            sum_.refused += side.refused
            sum_.usd += side.usd
            for name in _TIMES:
                sum_.times[name].update(side.times[name])
    return whole


def _bin_of(value: float) -> int:
    return math.floor(math.log(max(value, 1e-6)) / _BIN)


def _interval(drawn: list[float]) -> tuple[float, float]:
    """Return the middle 95 of 100; all there is where nothing was drawn."""
    if not drawn:
        return -math.inf, math.inf
    drawn.sort()
    return drawn[math.floor(0.025 * (len(drawn) - 1))], drawn[math.ceil(0.975 * (len(drawn) - 1))]


def sentence(found: Sequence[Difference], names: tuple[str, str]) -> str:
    """Say in plain words which of the two is better, or that it cannot be told."""
    by_name = {one.name: one for one in found}
    slo, cost = by_name["slo_met"], by_name.get("usd_per_hour")
    points = abs(slo.difference) * 100
    keeps = _better(slo, names, larger=True)
    cheaper = None if cost is None else _better(cost, names, larger=False)
    slo_words = f"keeps the SLO for {points:.2f} points more of the requests"
    if all(one.low == one.difference == one.high == 0 for one in found):
        return "Both did the same with every request: on this trace nothing tells them apart."
    if keeps is None and cheaper is None:
        of_cost = "the cost is unknown" if cost is None else f"nor does the cost ({cost.difference:+,.2f} $ an hour)"
        return (
            f"It cannot be told which is better: the SLO does not differ by more than chance "
            f"({slo.difference * 100:+.2f} points), {of_cost}; a longer trace or more seeds may tell."
        )
    if cost is None:
        return f"{keeps} {slo_words}; what either costs is unknown, since a target has no price."
    cost_words = f"costs ${abs(cost.difference):,.2f} an hour less"
    if keeps is None:
        return f"{cheaper} is better: it {cost_words}, and the SLO is kept alike as far as can be told."
    if cheaper is None:
        return f"{keeps} is better: it {slo_words}, and the cost is alike as far as can be told."
    if keeps == cheaper:
        return f"{keeps} is better: it {slo_words} and {cost_words}."
    return (
        f"Neither is better in both: {keeps} {slo_words}, {cheaper} {cost_words} "
        f"(${abs(cost.difference) / points:,.2f} an hour for a point)."
    )


def _better(one: Difference, names: tuple[str, str], *, larger: bool) -> str | None:
    if not one.is_told:
        return None
    return names[1] if (one.difference > 0) == larger else names[0]
