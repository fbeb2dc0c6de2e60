"""Sums requests' fates into figures, window by window, whether they were simulated or a ledger recorded them.

A request belongs to the window in which it arrived. Times are kept as eight bytes each, not as requests, so that a day
of 1.4 million needs some 40 MB and its quantiles are exact. Apart from ``figures``, so that it can be compiled.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable

from overspill.core.types import Outcome
from overspill.planner.figures import HOUR_S, Figures, Promise, Spread, tpot_of
from overspill.planner.simulated import SimulatedRequest

_COMPLETED = Outcome.COMPLETED  # asked of every request; in Python 3.11 a member of an enum costs 90 ns


class _Cell:
    """One window's sums."""

    __slots__ = (
        "answered",
        "e2e",
        "good",
        "output",
        "prompt",
        "refused",
        "requests",
        "spilled",
        "tpot",
        "ttft",
        "unpriced",
        "usd",
    )

    def __init__(self) -> None:
        self.requests = self.answered = self.good = self.prompt = self.output = self.unpriced = 0
        self.usd = 0.0
        self.spilled: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.ttft, self.tpot, self.e2e = array("d"), array("d"), array("d")

    def add(self, row: SimulatedRequest, usd: float | None, promise: Promise) -> None:
        self.requests += 1
        if usd is None:
            self.unpriced += 1
        elif usd:
            self.usd += usd
        if row.outcome is not _COMPLETED:
            self.refused["unknown" if row.reason is None else row.reason] += 1
            return
        self.answered += 1
        self.prompt += row.prompt_tokens
        self.output += row.output_tokens
        if row.spill is not None:
            self.spilled[row.spill] += 1
        ttft_s, tpot_s = row.ttft_s, tpot_of(row)
        if ttft_s is not None:
            self.ttft.append(ttft_s)
            if promise.is_met(ttft_s, tpot_s):
                self.good += 1
        if tpot_s is not None:
            self.tpot.append(tpot_s)
        if row.e2e_s is not None:
            self.e2e.append(row.e2e_s)


class Tally:
    """Takes in requests in any order and adds them up."""

    def __init__(self, promise: Promise, window_s: float = HOUR_S, units_usd_per_hour: float = 0.0) -> None:
        self.promise = promise
        self._window_s = window_s
        self._units_usd_per_hour = units_usd_per_hour
        self._cells: dict[int, _Cell] = {}
        self._last_s = 0.0

    def add(self, row: SimulatedRequest, usd: float | None) -> None:
        """Take one in, with what all its attempts cost; ``None`` is unknown."""
        at_s = row.at_s
        place = int(at_s // self._window_s)
        cell = self._cells.get(place)
        if cell is None:
            cell = self._cells[place] = _Cell()
        if at_s > self._last_s:
            self._last_s = at_s
        cell.add(row, usd, self.promise)

    def windows(self) -> list[Figures]:
        """Return the figures of each window up to the last arrival; those without requests too."""
        if not self._cells:
            return []
        starts = [place * self._window_s for place in range(max(self._cells) + 1)]
        last_s = self._last_s - starts[-1]  # the trace ends within the last one
        lengths = [self._window_s] * (len(starts) - 1) + [last_s or self._window_s]
        return [self._figures([place], start_s, lengths[place]) for place, start_s in enumerate(starts)]

    def total(self) -> Figures:
        """Return the figures of all, up to the last arrival."""
        return self._figures(self._cells, 0.0, self._last_s)

    def _figures(self, places: Iterable[int], start_s: float, length_s: float) -> Figures:
        cells = [self._cells[place] for place in sorted(places) if place in self._cells]
        requests, good = sum(cell.requests for cell in cells), sum(cell.good for cell in cells)
        return Figures(
            start_s=start_s,
            length_s=length_s,
            requests=requests,
            answered=sum(cell.answered for cell in cells),
            spilled=_counts(cell.spilled for cell in cells),
            refused=_counts(cell.refused for cell in cells),
            slo_met=good / requests if requests else 0.0,
            goodput_per_s=good / length_s if length_s else 0.0,
            prompt_tokens=sum(cell.prompt for cell in cells),
            output_tokens=sum(cell.output for cell in cells),
            token_usd=math.fsum(cell.usd for cell in cells),
            unpriced=sum(cell.unpriced for cell in cells),
            unit_usd=self._units_usd_per_hour * length_s / HOUR_S,
            ttft_s=_spread(cell.ttft for cell in cells),
            tpot_s=_spread(cell.tpot for cell in cells),
            e2e_s=_spread(cell.e2e for cell in cells),
        )


def _counts(counters: Iterable[Counter[str]]) -> dict[str, int]:
    whole: Counter[str] = Counter()
    for counter in counters:
        whole += counter
    return {str(reason): count for reason, count in sorted(whole.items())}


def _spread(parts: Iterable[array[float]]) -> Spread | None:
    values: list[float] = []
    for part in parts:
        values += sorted(part)  # runs in order: the sort of all merges them
    if not values:
        return None
    values.sort()
    count = len(values)
    p50, p90, p99 = (values[math.ceil(share * count) - 1] for share in (0.5, 0.9, 0.99))
    return Spread(count=count, p50=p50, p90=p90, p99=p99)
