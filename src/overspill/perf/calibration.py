"""Correct the prior's estimates by what was observed of a deployment: 0, 1, 6 or 60 rows, some of them wrong.

The logarithm of observed / estimated is taken as a Gaussian process, so that every number of rows gives an answer and
an interval, and few rows move it little. Two loads are alike, and one's error tells of the other's, as far as

- they are of one deployment at all: a constant;
- the same part of their time goes to the same thing (weights, cache, arithmetic, overhead): if the engine is twice as
  slow there, all loads suffer by that part. This is a linear regression on four scalars with a prior, in other words;
- they are of one run (the engine's version and the day), of neighbouring concurrency, lengths and parallelism, or lie
  on one trend in their logarithms.

Observations of the same model elsewhere count less the less they share: engine, GPU, precision.

Robust: an observation that the others do not expect (leave-one-out residual beyond ``cut`` deviations) gets the more
noise the more it surprises, as in an iteratively reweighted fit (Huber, "Robust Statistics", 1981). Gaussian processes:
Rasmussen and Williams 2006, algorithm 2.1 and equation 5.12.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

_MAX_POINTS = 80
"""More distinct loads than this are thinned: the work grows with the cube."""
_REWEIGHTINGS = 3
_FEWEST_TO_DISTRUST = 4
"""With fewer observations none can be told from the others as wrong."""
_MIDDLE = (3.0, 7.5, 6.5, 1.0)
"""Centre of the logarithms of concurrency, prompt, answer and GPUs, from where trends are drawn."""
_KIN = {"engine": 0.3, "gpu": 0.25, "precision": 0.2}
"""What two deployments of one model share if these are the same; the rest they share anyway."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """How much loads vary together: variances of a logarithm, and lengths in logarithms."""

    constant: float
    shares: dict[str, float]
    """For each group of terms the variance of its logarithmic factor."""
    run: float
    local: float
    lengths: tuple[float, float, float, float]
    """How far likeness reaches in concurrency, prompt, answer and GPUs."""
    trend: tuple[float, float, float, float]
    """Variances of the slopes along the same four."""
    noise: float
    cut: float
    """Deviations beyond which an observation is distrusted."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A load on a deployment, as far as likeness goes."""

    shares: dict[str, float]
    """Parts of the estimated time by group of terms; they add up to 1."""
    logs: tuple[float, float, float, float]
    """Logarithms of requests in flight, prompt tokens, answer tokens and GPUs."""
    run: str = ""
    engine: str = ""
    gpu: str = ""
    precision: str = ""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What an estimate is to be multiplied by, and how sure that is."""

    log_factor: float
    log_deviation: float

    @property
    def factor(self) -> float:
        """The factor."""
        return math.exp(self.log_factor)

    def interval(self, deviations: float) -> tuple[float, float]:
        """Return the lowest and highest factor within so many standard deviations."""
        reach = deviations * self.log_deviation
        return math.exp(self.log_factor - reach), math.exp(self.log_factor + reach)


def group_shares(shares: Mapping[str, float], groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the parts by group of terms."""
    return {group: sum(shares[term] for term in terms) for group, terms in groups.items()}


class Calibration:
    """What some observations say about a deployment."""

    def __init__(self, kernel: Kernel, points: Sequence[Point], ratios: Sequence[float]) -> None:
        """Learn from observed / estimated, each more than 0; none of both leaves the prior as it is."""
        if len(points) != len(ratios) or any(ratio <= 0 for ratio in ratios):
            raise ValueError("calibration needs a ratio above 0 for each point")
        self._kernel = kernel
        self._points, logs = _merge(points, [math.log(ratio) for ratio in ratios])
        size = len(self._points)
        likeness = [[self._alike(one, other) for other in self._points] for one in self._points]
        trust = [1.0] * size
        self._solve(likeness, logs, trust)
        for _ in range(_REWEIGHTINGS if size >= _FEWEST_TO_DISTRUST else 0):
            trust = [self._trust(index) for index in range(size)]
            self._solve(likeness, logs, trust)
        self.trusted = sum(weight > 0.25 for weight in trust)
        """Distinct observations that the others bear out."""

    def _solve(self, likeness: Sequence[Sequence[float]], logs: Sequence[float], trust: Sequence[float]) -> None:
        noisy = [list(row) for row in likeness]
        for index, weight in enumerate(trust):
            noisy[index][index] += self._kernel.noise / weight
        self._inverse = _inverse(noisy)
        self._coefficients = [_dot(row, logs) for row in self._inverse]

    @property
    def size(self) -> int:
        """Return how many distinct loads it knows."""
        return len(self._points)

    def correct(self, point: Point) -> Correction:
        """Return the correction for a load, observed or not."""
        near = [self._alike(point, known) for known in self._points]
        explained = _dot(near, [_dot(row, near) for row in self._inverse])
        variance = self._alike(point, point) + self._kernel.noise - explained
        return Correction(
            log_factor=_dot(near, self._coefficients), log_deviation=math.sqrt(max(variance, self._kernel.noise))
        )

    def _trust(self, index: int) -> float:
        """Return how far one observation is believed, given what the others expect of it."""
        precision = self._inverse[index][index]
        surprise = abs(self._coefficients[index]) / math.sqrt(precision)
        cut = self._kernel.cut
        return 1.0 if surprise <= cut else max(0.01, (cut / surprise) ** 2)

    def _alike(self, one: Point, other: Point) -> float:
        kernel = self._kernel
        common = kernel.constant
        for group, variance in kernel.shares.items():
            common += variance * one.shares[group] * other.shares[group]
        if one.run == other.run:
            common += kernel.run
        distance = 0.0
        for a, b, length, slope, middle in zip(
            one.logs, other.logs, kernel.lengths, kernel.trend, _MIDDLE, strict=True
        ):
            distance += ((a - b) / length) ** 2
            common += slope * (a - middle) * (b - middle)
        common += kernel.local * math.exp(-distance / 2)
        return common * _kinship(one, other)


def _kinship(one: Point, other: Point) -> float:
    """Return how much two deployments have in common, from a quarter to 1."""
    kin = 1.0
    if one.engine != other.engine:
        kin -= _KIN["engine"]
    if one.gpu != other.gpu:
        kin -= _KIN["gpu"]
    if one.precision != other.precision:
        kin -= _KIN["precision"]
    return kin


def _merge(points: Sequence[Point], logs: Sequence[float]) -> tuple[list[Point], list[float]]:
    """Merge observations of one load to their median, and thin what is left to what can be solved in time."""
    same: dict[tuple[object, ...], list[int]] = {}
    for index, point in enumerate(points):
        key = (point.logs, point.run, point.engine, point.gpu, point.precision)
        same.setdefault(key, []).append(index)
    merged = [(points[group[0]], median(logs[index] for index in group)) for group in same.values()]
    if len(merged) > _MAX_POINTS:
        step = len(merged) / _MAX_POINTS
        merged = [merged[int(index * step)] for index in range(_MAX_POINTS)]
    return [point for point, _ in merged], [value for _, value in merged]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _inverse(matrix: list[list[float]]) -> list[list[float]]:
    """Return the inverse of a symmetric positive definite matrix, by Cholesky's decomposition."""
    size = len(matrix)
    lower: list[list[float]] = []
    for i in range(size):
        row = [0.0] * size
        for j in range(i):
            row[j] = (matrix[i][j] - _dot(row[:j], lower[j][:j])) / lower[j][j]
        row[i] = math.sqrt(matrix[i][i] - _dot(row[:i], row[:i]))
        lower.append(row)
    # The inverse of the triangle, column by column; then its square.
    triangle = [[0.0] * size for _ in range(size)]
    for j in range(size):
        triangle[j][j] = 1 / lower[j][j]
        for i in range(j + 1, size):
            below = sum(lower[i][k] * triangle[k][j] for k in range(j, i))
            triangle[i][j] = -below / lower[i][i]
    return [
        [sum(triangle[k][i] * triangle[k][j] for k in range(max(i, j), size)) for j in range(size)] for i in range(size)
    ]
