"""Draws arrivals and lengths where a log has only rates, sums or densities; all of it from one seeded generator.

Arrivals are bursty: the gaps between them are Gamma or Weibull distributed, never exponential by default. Where a count
is known it is kept: N requests in a window are N + 1 gaps of the family, squeezed to the window's length. For Gamma
gaps that is the renewal process given its count.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

Family = Literal["Gamma", "Weibull"]
Gap = Callable[[], float]


def generator(seed: int) -> random.Random:
    """Return the source of all that is drawn."""
    return random.Random(seed)  # noqa: S311 - repeatable, and no secret


def gaps(rng: random.Random, family: Family, shape: float) -> Gap:
    """Return what draws gaps with this shape; their scale does not matter, since they are squeezed."""
    if family == "Weibull":
        return lambda: rng.weibullvariate(1.0, shape)
    return lambda: rng.gammavariate(shape, 1.0)


def gamma_gaps(rng: random.Random, cv: float) -> Gap:
    """Return what draws Gamma gaps with this coefficient of variation and mean 1."""
    shape = 1.0 / (cv * cv)
    return lambda: rng.gammavariate(shape, 1.0 / shape)


def squeezed(gap: Gap, count: int, start_s: float, length_s: float) -> Iterator[float]:
    """Yield the times of ``count`` arrivals within ``[start_s, start_s + length_s)``."""
    drawn = [gap() for _ in range(count + 1)]
    whole = sum(drawn)
    if not whole > 0:  # Gamma gaps of a tiny shape may all be 0 in floating point
        drawn, whole = [1.0] * (count + 1), count + 1.0
    scale = length_s / whole
    for passed in itertools.islice(itertools.accumulate(drawn), count):
        yield start_s + min(passed * scale, math.nextafter(length_s, 0.0))


def whole_count(rng: random.Random, expected: float) -> int:
    """Return ``expected`` rounded up or down at random, so that it is right on average."""
    floor = math.floor(expected)
    return floor + (rng.random() < expected - floor)


def lognormal(rng: random.Random, mean: float, cv: float) -> Callable[[], int]:
    """Return what draws lengths of 1 or more with this mean and coefficient of variation."""
    variance = math.log1p(cv * cv)
    middle, spread = math.log(mean) - variance / 2, math.sqrt(variance)
    return lambda: max(1, round(rng.lognormvariate(middle, spread)))


def drawn_from(rng: random.Random, values: Sequence[int], weights: Iterable[float], count: int) -> list[int]:
    """Return ``count`` of ``values``, each as likely as its weight says."""
    return rng.choices(values, cum_weights=list(itertools.accumulate(weights)), k=count)
