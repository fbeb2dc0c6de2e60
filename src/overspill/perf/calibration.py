"""Correct the prior's estimates by what was observed of a deployment: 0, 1, 6 or 60 rows, some of them wrong.

An estimate is a sum of parts: so much for weights, so much for others' prompts. An observation is modelled as

    log observed = log (sum of part_g x factor_g) + deviation + noise

The factors are this deployment's own: if its engine schedules prompts four times worse, all loads suffer by that part
of their time. The deviation is a Gaussian process, so that every number of rows gives an answer and an interval, and
few rows move it little. Two loads deviate alike as far as

- they are of one deployment at all: a constant;
- they are of one run (the engine's version and the day), of neighbouring concurrency, lengths and parallelism, or lie
  on one trend in their logarithms.

What is learned of the same model elsewhere counts less the less it shares: each of engine, GPU and precision that
differs takes a part away, of factors and deviations alike. Layouts share everything but their distance in GPUs. So one
formula serves rows of one deployment, of several layouts, and of a model on several GPUs under several engines.

Factors are far from 1 at times, and the sum is not linear in their logarithms: it is made linear around what was found,
a few times over (the measurement update of an iterated extended Kalman filter; Bell and Cathey, 1993).

Robust: an observation that the others do not expect (leave-one-out residual beyond ``cut`` deviations) gets the more
noise the more it surprises, a wild one so much that it hardly counts, as in an iteratively reweighted fit with a
redescending weight (Huber, "Robust Statistics", 1981). Gaussian processes: Rasmussen and Williams 2006, algorithm 2.1
and equation 5.12.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

_MAX_POINTS = 80
"""More distinct loads than this are thinned: the work grows with the cube."""
_ROUNDS = 5
"""Of making it linear and weighing observations: more change nothing."""
_WILD, _LEAST_TRUST = 3.0, 1e-4
"""Beyond so many cuts trust falls much faster, down to this."""
_FARTHEST = 2.5
"""No factor is taken beyond e to this, twelve times."""
_FEWEST_TO_DISTRUST = 4
"""With fewer observations none can be told from the others as wrong."""
_MIDDLE = (3.0, 7.5, 6.5, 1.0)
"""Centre of the logarithms of concurrency, prompt, answer and GPUs, from where trends are drawn."""


class Kinship(msgspec.Struct, frozen=True, kw_only=True):
    """What two loads of one model still have in common if one of these differs."""

    engine: float
    gpu: float
    precision: float


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """How much loads vary together: variances of a logarithm, and lengths in logarithms."""

    shares: dict[str, float]
    """For each group of terms the variance of its logarithmic factor."""
    constant: float
    run: float
    """Of one version on one day, under one engine on one kind of GPU."""
    local: float
    lengths: tuple[float, float, float, float]
    """How far likeness reaches in concurrency, prompt, answer and GPUs."""
    trend: tuple[float, float, float, float]
    """Variances of the slopes along the same four."""
    kinship: Kinship
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
        self._groups = tuple(kernel.shares)
        self._variances = tuple(kernel.shares.values())
        self._points, logs, spreads = _merge(points, [math.log(ratio) for ratio in ratios])
        self._noises = [kernel.noise + spread**2 for spread in spreads]
        size = len(self._points)
        kin = [[_kinship(kernel.kinship, one, other) for other in self._points] for one in self._points]
        alike = [
            [self._alike(one, other, kin[i][j]) for j, other in enumerate(self._points)]
            for i, one in enumerate(self._points)
        ]
        self._factors = [[0.0] * len(self._groups)] * size
        trust = [1.0] * size
        for _ in range(_ROUNDS if size else 0):
            self._solve(kin, alike, logs, trust)
            if size >= _FEWEST_TO_DISTRUST:
                trust = [self._trust(index, before) for index, before in enumerate(trust)]
        self.trusted = sum(weight > 0.25 for weight in trust)
        """Distinct observations that the others bear out."""

    def _solve(
        self,
        kin: Sequence[Sequence[float]],
        alike: Sequence[Sequence[float]],
        logs: Sequence[float],
        trust: Sequence[float],
    ) -> None:
        """Make the sum linear around the factors found so far, and find better ones."""
        self._slopes, targets = [], []
        for point, factors, log in zip(self._points, self._factors, logs, strict=True):
            total, slopes = self._weighted(point, factors)
            self._slopes.append(slopes)
            targets.append(log - math.log(total) + _dot(slopes, factors))
        scaled = [[v * slope for v, slope in zip(self._variances, one, strict=True)] for one in self._slopes]
        noisy = [
            [
                near + kinship * _dot(scaled[i], self._slopes[j])
                for j, (near, kinship) in enumerate(zip(*pair, strict=True))
            ]
            for i, pair in enumerate(zip(alike, kin, strict=True))
        ]
        for index, weight in enumerate(trust):
            noisy[index][index] += self._noises[index] / weight
        self._inverse = _inverse(noisy)
        self._coefficients = [_dot(row, targets) for row in self._inverse]
        self._factors = [self._factors_at(row) for row in kin]

    def _factors_at(self, kin: Sequence[float]) -> list[float]:
        """Return the logarithmic factors of a deployment that has so much in common with each observed one."""
        found = [0.0] * len(self._groups)
        for kinship, coefficient, slopes in zip(kin, self._coefficients, self._slopes, strict=True):
            for index, slope in enumerate(slopes):
                found[index] += kinship * coefficient * slope
        return [
            max(-_FARTHEST, min(_FARTHEST, variance * one))
            for variance, one in zip(self._variances, found, strict=True)
        ]

    def _weighted(self, point: Point, factors: Sequence[float]) -> tuple[float, list[float]]:
        """Return the sum of the parts with these factors, of an estimate of 1, and each one's share in it."""
        parts = [point.shares[group] * math.exp(factor) for group, factor in zip(self._groups, factors, strict=True)]
        total = sum(parts)
        return total, [part / total for part in parts]

    @property
    def size(self) -> int:
        """Return how many distinct loads it knows."""
        return len(self._points)

    def correct(self, point: Point) -> Correction:
        """Return the correction for a load, observed or not."""
        kernel = self._kernel
        kin = [_kinship(kernel.kinship, point, known) for known in self._points]
        alike = [self._alike(point, known, kinship) for known, kinship in zip(self._points, kin, strict=True)]
        factors = self._factors_at(kin) if kin else [0.0] * len(self._groups)
        total, slopes = self._weighted(point, factors)
        scaled = [variance * slope for variance, slope in zip(self._variances, slopes, strict=True)]
        variance = self._alike(point, point, 1.0) + _dot(scaled, slopes) + kernel.noise
        log_factor = math.log(total)
        if kin:
            near = [
                one + kinship * _dot(scaled, known)
                for one, kinship, known in zip(alike, kin, self._slopes, strict=True)
            ]
            variance -= _dot(near, [_dot(row, near) for row in self._inverse])
            log_factor += _dot(alike, self._coefficients)
        return Correction(log_factor=log_factor, log_deviation=math.sqrt(max(variance, kernel.noise)))

    def _trust(self, index: int, trust: float) -> float:
        """Return how far one observation is believed, given what the others expect of it.

        Its surprise is measured against the noise that it had at full trust: against its own increased noise a wild one
        would look plausible again, and be believed half.
        """
        kernel, precision, noise = self._kernel, self._inverse[index][index], self._noises[index]
        expected_variance = max(1 / precision - noise / trust + noise, noise)
        surprise = abs(self._coefficients[index]) / precision / math.sqrt(expected_variance)
        if surprise <= kernel.cut:
            return 1.0
        believed = (kernel.cut / surprise) ** 2
        far = _WILD * kernel.cut
        if surprise > far:
            believed *= (far / surprise) ** 4
        return max(_LEAST_TRUST, believed)

    def _alike(self, one: Point, other: Point, kinship: float) -> float:
        """Return how two loads' deviations vary together."""
        kernel = self._kernel
        common, distance = kernel.constant, 0.0
        for a, b, length, slope, middle in zip(
            one.logs, other.logs, kernel.lengths, kernel.trend, _MIDDLE, strict=True
        ):
            distance += ((a - b) / length) ** 2
            common += slope * (a - middle) * (b - middle)
        common += kernel.local * math.exp(-distance / 2)
        is_one_run = (one.run, one.engine, one.gpu) == (other.run, other.engine, other.gpu)
        return common * kinship + (kernel.run if is_one_run else 0.0)


def _kinship(kinship: Kinship, one: Point, other: Point) -> float:
    """Return how much two deployments have in common, up to 1."""
    kin = 1.0
    if one.engine != other.engine:
        kin *= kinship.engine
    if one.gpu != other.gpu:
        kin *= kinship.gpu
    if one.precision != other.precision:
        kin *= kinship.precision
    return kin


def _merge(points: Sequence[Point], logs: Sequence[float]) -> tuple[list[Point], list[float], list[float]]:
    """Merge observations of one load to their median, and thin what is left to what can be solved in time.

    The third list is how far those of one load contradict each other: the median deviation from their median, as a
    normal distribution's standard deviation; 0 for one alone.
    """
    same: dict[tuple[object, ...], list[int]] = {}
    for index, point in enumerate(points):
        shares = tuple(round(share, 9) for share in point.shares.values())
        key = (shares, point.logs, point.run, point.engine, point.gpu, point.precision)
        same.setdefault(key, []).append(index)
    merged = []
    for group in same.values():
        middle = median(logs[index] for index in group)
        merged.append((points[group[0]], middle, 1.48 * median(abs(logs[index] - middle) for index in group)))
    if len(merged) > _MAX_POINTS:
        step = len(merged) / _MAX_POINTS
        merged = [merged[int(index * step)] for index in range(_MAX_POINTS)]
    kept, middles, spreads = zip(*merged, strict=True) if merged else ((), (), ())
    return list(kept), list(middles), list(spreads)


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
