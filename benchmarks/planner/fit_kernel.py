"""Search the kernels of the calibration: ``python -m benchmarks.planner.fit_kernel tpot|ttft [--without MODEL]``.

Minimised is the mean of log(0.03 + abs(log(predicted / measured))) over draws of 1 to 12 observed rows from
deployments, series and coarser groups: near the median error, and smooth. The prior is fitted without the model that it
predicts. With ``--without`` a model's rows are no part of the search either, and then the found kernel and the shipped
one predict them: that is how much the shipped figures owe to having been chosen on these rows. The search is an
evolution strategy (Hansen, "The CMA Evolution Strategy", 2016, with a diagonal covariance): 560 kernels, two CPU
minutes. The calibration is written again here, in numpy, for many draws at once.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from benchmarks.planner.accuracy import GROUPINGS, leave_one_out
from benchmarks.planner.dataset import Measured, load

from overspill.perf.calibration import Calibration, Kernel, Kinship
from overspill.perf.roofline import Prior, estimate
from overspill.planner.prediction import (
    DECODE_GROUPS,
    DECODE_KERNEL,
    PREFILL_GROUPS,
    PREFILL_KERNEL,
    point_of,
)

Array = np.ndarray
PLAN = (
    *(("deployment", 3, 1), ("deployment", 6, 1), ("deployment", 12, 1), ("series", 1, 2), ("series", 3, 3)),
    *(("series", 6, 6), ("series", 12, 3), ("model, GPU, engine", 6, 4), ("model, GPU", 6, 6), ("model", 6, 10)),
)
"""Groups, rows observed of one, draws."""
_PREDICTED = 12
_ROUNDS = 5
_MIDDLE = np.array((3.0, 7.5, 6.5, 1.0))


class Table:
    """Measured rows as arrays: parts of the estimate, what was measured, and what makes rows alike."""

    def __init__(self, rows: Sequence[Measured], priors: dict[str, Prior], measure: str) -> None:
        self.rows = rows
        groups = DECODE_GROUPS if measure == "tpot" else PREFILL_GROUPS
        points = []
        for one in rows:
            seen = estimate(priors[one.model], one.row.deployment, one.row.load)
            shares = seen.decode_shares if measure == "tpot" else seen.prefill_shares
            estimated_s = seen.tpot_s if measure == "tpot" else seen.ttft_s
            points.append((point_of(one.row, shares, groups), estimated_s))
        self.points = [point for point, _ in points]
        self.shares = np.array([list(point.shares.values()) for point, _ in points])
        measured_s = [one.tpot_s if measure == "tpot" else one.ttft_s for one in rows]
        self.ratios = np.array(measured_s) / np.array([estimated_s for _, estimated_s in points])
        self.logs = np.array([point.logs for point, _ in points])
        self.kinds = [_codes([getattr(point, name) for point, _ in points]) for name in ("engine", "gpu", "precision")]
        self.runs = _codes([f"{point.engine} {point.gpu} {point.run}" for point, _ in points])


def _codes(names: Sequence[str]) -> Array:
    return np.unique(names, return_inverse=True)[1]


class Draws:
    """Observed and predicted rows of many draws of one kind, and how alike they are."""

    def __init__(self, table: Table, observed: Array, left: Array) -> None:
        self.table, self.observed, self.left = table, observed, left
        self.near, self.far = self._pairs(observed), self._pairs(left)

    def _pairs(self, rows: Array) -> tuple[Array, list[Array], Array, Array]:
        table, one, other = self.table, rows[:, :, None], self.observed[:, None, :]
        squares = np.moveaxis((table.logs[one] - table.logs[other]) ** 2, 3, 0)
        slopes = np.moveaxis((table.logs[one] - _MIDDLE) * (table.logs[other] - _MIDDLE), 3, 0)
        return squares, [kind[one] != kind[other] for kind in table.kinds], table.runs[one] == table.runs[other], slopes

    def predict(self, kernel: Kernel) -> Array:
        """Return the logarithm of predicted / estimated of the rows that are left."""
        variances = np.array(list(kernel.shares.values()))
        alike, kin = _likeness(kernel, *self.near)
        shares, targets = self.table.shares[self.observed], np.log(self.table.ratios[self.observed])
        factors, trust = np.zeros_like(shares), np.ones(self.observed.shape)
        unit = np.eye(self.observed.shape[1])
        for _ in range(_ROUNDS):
            slopes, total = _weighted(shares, factors)
            covariance = np.einsum("sng,smg->snm", slopes * variances, slopes) * kin + alike
            inverse = np.linalg.inv(covariance + unit * (kernel.noise / trust)[:, :, None])
            found = np.einsum("snm,sm->sn", inverse, targets - np.log(total) + (slopes * factors).sum(2))
            factors = np.clip(np.einsum("snm,smg,sm->sng", kin, slopes, found) * variances, -2.5, 2.5)
            if self.observed.shape[1] >= 4:
                trust = _trust(kernel, np.diagonal(inverse, axis1=1, axis2=2), found, trust)
        alike, kin = _likeness(kernel, *self.far)
        factors = np.clip(np.einsum("snm,smg,sm->sng", kin, slopes, found) * variances, -2.5, 2.5)
        _, total = _weighted(self.table.shares[self.left], factors)
        predicted: Array = np.log(total) + np.einsum("snm,sm->sn", alike, found)
        return predicted

    def errors(self, kernel: Kernel) -> Array:
        """Return how far off predictions are, as absolute logarithms."""
        wrong: Array = np.abs(self.predict(kernel) - np.log(self.table.ratios[self.left]))
        return np.minimum(wrong, 5.0)

    def check(self, kernel: Kernel) -> None:
        """Raise ``AssertionError`` if ``Calibration`` answers otherwise; repeated loads are left out."""
        points, ratios = self.table.points, self.table.ratios.tolist()
        for observed, left, predicted in zip(self.observed, self.left, self.predict(kernel), strict=True):
            known = [points[index] for index in observed]
            if len({(point.logs, point.run, point.precision) for point in known}) < len(known):
                continue
            calibration = Calibration(kernel, known, [ratios[index] for index in observed])
            for index, value in zip(left, predicted, strict=True):
                assert abs(calibration.correct(points[index]).log_factor - value) < 1e-6


def _likeness(
    kernel: Kernel, squares: Array, differ: Sequence[Array], is_run: Array, slopes: Array
) -> tuple[Array, Array]:
    kin = np.ones(is_run.shape)
    for one, factor in zip(differ, (kernel.kinship.engine, kernel.kinship.gpu, kernel.kinship.precision), strict=True):
        kin = kin * np.where(one, factor, 1.0)
    distance = np.tensordot(1 / np.array(kernel.lengths) ** 2, squares, 1)
    common = kernel.constant + np.tensordot(np.array(kernel.trend), slopes, 1) + kernel.local * np.exp(-distance / 2)
    return common * kin + kernel.run * is_run, kin


def _weighted(shares: Array, factors: Array) -> tuple[Array, Array]:
    parts = shares * np.exp(factors)
    total = parts.sum(2)
    return parts / total[..., None], total


def _trust(kernel: Kernel, precision: Array, found: Array, trust: Array) -> Array:
    variance = np.maximum(1 / precision - kernel.noise / trust + kernel.noise, kernel.noise)
    surprise = np.maximum(np.abs(found) / precision / np.sqrt(variance), 1e-9)
    believed = np.where(surprise <= kernel.cut, 1.0, (kernel.cut / surprise) ** 2)
    far = 3 * kernel.cut
    return np.maximum(1e-4, believed * np.where(surprise > far, (far / surprise) ** 4, 1.0))


def draws(table: Table, models: set[str], more: int = 1) -> list[Draws]:
    """Return the draws of ``PLAN`` from the rows of some models."""
    found = []
    for what, count, number in PLAN:
        groups: dict[str, list[int]] = {}
        for index, one in enumerate(table.rows):
            if one.model in models:
                groups.setdefault(GROUPINGS[what](one), []).append(index)
        observed, left = [], []
        for name, group in groups.items():
            if len(group) < count + 6:
                continue
            for seed in range(number * more):
                dice = random.Random(f"{seed} {name}")
                order = dice.sample(group, len(group))
                observed.append(order[:count])
                left.append(dice.choices(order[count:], k=_PREDICTED))
        found.append(Draws(table, np.array(observed), np.array(left)))
    return found


def loss(kernel: Kernel, drawn: Sequence[Draws]) -> float:
    """Return what is minimised."""
    return float(np.mean([np.mean(np.log(0.03 + one.errors(kernel))) for one in drawn]))


def to_vector(kernel: Kernel) -> Array:
    """Return a kernel as numbers without bounds: logarithms, and logits of what is from 0 to 1."""
    plain = [*kernel.shares.values(), kernel.constant, kernel.run, kernel.local]
    plain += [*kernel.lengths, *kernel.trend, kernel.noise, kernel.cut]
    kin = np.array([kernel.kinship.engine, kernel.kinship.gpu, kernel.kinship.precision])
    return np.concatenate([np.log(plain), np.log(kin / (1 - kin))])


def to_kernel(vector: Array, like: Kernel) -> Kernel:
    """Return the kernel of such numbers."""
    groups = len(like.shares)
    plain, kin = np.exp(vector[:-3]).tolist(), (1 / (1 + np.exp(-vector[-3:]))).tolist()
    rest = plain[groups:]
    return Kernel(
        shares=dict(zip(like.shares, plain, strict=False)),
        constant=rest[0],
        run=rest[1],
        local=rest[2],
        lengths=(rest[3], rest[4], rest[5], rest[6]),
        trend=(rest[7], rest[8], rest[9], rest[10]),
        kinship=Kinship(engine=kin[0], gpu=kin[1], precision=kin[2]),
        noise=rest[11],
        cut=rest[12],
    )


def search(minimised: Callable[[Array], float], start: Array, generations: int) -> Array:
    """Return where a function is least, by a CMA evolution strategy with a diagonal covariance."""
    dice, size, number = np.random.default_rng(0), len(start), 14
    weights = np.log(number / 2 + 0.5) - np.log(np.arange(1, number // 2 + 1))
    weights /= weights.sum()
    mass = 1 / (weights**2).sum()
    slow, path_rate = 4 / (size + 4), (mass + 2) / (size + mass + 5)
    rank_one = 2 / ((size + 1.3) ** 2 + mass) * (size + 2) / 3
    rank_many = min(1 - rank_one, 2 * (mass - 2 + 1 / mass) / ((size + 2) ** 2 + mass) * (size + 2) / 3)
    usual = np.sqrt(size) * (1 - 1 / (4 * size))
    middle, spread, step, path, steps = start.copy(), np.ones(size), 0.35, np.zeros(size), np.zeros(size)
    for _ in range(generations):
        tried = dice.standard_normal((number, size))
        at = middle + step * tried * np.sqrt(spread)
        # A slight pull to the start: what the rows do not decide stays where it was.
        best = np.argsort([minimised(one) + 3e-4 * np.sum((one - start) ** 2) for one in at])[: number // 2]
        mean = weights @ tried[best]
        middle = middle + step * mean * np.sqrt(spread)
        steps = (1 - path_rate) * steps + np.sqrt(path_rate * (2 - path_rate) * mass) * mean
        path = (1 - slow) * path + np.sqrt(slow * (2 - slow) * mass) * mean * np.sqrt(spread)
        many = (weights[:, None] * tried[best] ** 2).sum(0) * spread
        spread = (1 - rank_one - rank_many) * spread + rank_one * path**2 + rank_many * many
        step *= float(np.exp(path_rate * (np.linalg.norm(steps) / usual - 1)))
    return middle


def main() -> None:
    """Search, print the kernel, and what it does to a model that had no part in it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("measure", choices=("tpot", "ttft"))
    options.add_argument("--without", metavar="MODEL")
    options.add_argument("--generations", type=int, default=40)
    given = options.parse_args()
    rows, _ = load()
    table = Table(rows, leave_one_out(rows, lambda one: one.model), given.measure)
    shipped = DECODE_KERNEL if given.measure == "tpot" else PREFILL_KERNEL
    models = {one.model for one in rows} - {given.without}
    drawn = draws(table, models)
    for one in drawn[1:6:4]:
        one.check(shipped)
    # From values that differ from the shipped ones by no more than their order, so that the start tells little.
    start = to_vector(to_kernel(np.round(to_vector(shipped)), shipped))
    found = to_kernel(search(lambda one: loss(to_kernel(one, shipped), drawn), start, given.generations), shipped)
    print(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    asked = draws(table, {given.without}, 2) if given.without else drawn
    for name, kernel in (("start", to_kernel(start, shipped)), ("shipped", shipped), ("found", found)):
        print(f"{name}: {loss(kernel, asked):.3f}")
        for (what, count, _), one in zip(PLAN, asked, strict=True):
            wrong = np.abs(np.exp(one.predict(kernel)) / table.ratios[one.left] - 1)
            print(f"  {count} observed of a {what}: {np.median(wrong):.1%} of rows")


if __name__ == "__main__":
    main()
