"""How well TTFT and TPOT are predicted: ``python -m benchmarks.planner.accuracy [--seeds N]``.

Leave one model out: the prior is fitted without any row of the model that it then predicts. With n observed rows: n
rows of the deployment are drawn at random (several seeds), the rest of it is predicted; no row is used for both. A
*deployment* is a model, GPU, engine, precision and layout; a *series* is the same over all layouts, which is harder:
six rows must tell of four layouts. Takes about a minute.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

from benchmarks.planner.dataset import Measured, load
from benchmarks.planner.fit_prior import Features, fit

from overspill.perf.roofline import Prior
from overspill.planner.prediction import Prediction, Predictor

COUNTS = (0, 1, 3, 6, 12)
_FIGURES = ("median of groups", "of rows", "90th", "in 90 %")
_FEWEST_LEFT = 6
"""Groups with fewer rows left to predict are not looked at."""


class Errors:
    """Relative errors of one kind of split: by group and seed, and all together."""

    def __init__(self) -> None:
        self.medians: list[float] = []
        self.all: list[float] = []
        self.inside = 0

    def add(self, predicted: Sequence[tuple[float, float, float]], seen: Sequence[float]) -> None:
        """Add one group's predictions (value, low, high)."""
        errors = [abs(value - other) / other for (value, _, _), other in zip(predicted, seen, strict=True)]
        self.inside += sum(low <= other <= high for (_, low, high), other in zip(predicted, seen, strict=True))
        self.medians.append(median(errors))
        self.all += errors

    def line(self) -> str:
        """Return the figures: median over groups and seeds, median and 90th percentile of rows, share in interval."""
        high = quantiles(self.all, n=10)[-1]
        return (
            f"{median(self.medians):6.1%} | {median(self.all):6.1%} | {high:6.1%} | {self.inside / len(self.all):5.0%}"
        )


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    seeds = options.parse_args().seeds
    started = time.process_time()
    rows, dropped = load()
    priors = leave_one_out(rows)
    print(f"{len(rows)} measurements, dropped: {dropped}; {seeds} seeds\n")
    kinds = (f"{name}: {what}" for name in ("TPOT", "TTFT") for what in _FIGURES)
    columns = ("rows of one", "n observed", "groups", *kinds)
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for what, key in (("deployment", lambda one: one.deployment), ("series", lambda one: one.series)):
        for count in COUNTS:
            _report(what, count, rows, key, priors, seeds)
    print()
    by_model: dict[str, Errors] = defaultdict(Errors)
    for name, prior in priors.items():
        own = [measured for measured in rows if measured.model == name]
        predictor = Predictor(prior)
        predicted = [predictor.predict(measured.row) for measured in own]
        by_model[name].add([_tpot(one) for one in predicted], [measured.tpot_s for measured in own])
    for name, errors in by_model.items():
        print(f"left out {name:15s} {len(errors.all):4d} rows: TPOT median {median(errors.all):.1%}")
    print(f"\n{time.process_time() - started:.0f} CPU-s")


def leave_one_out(rows: Sequence[Measured]) -> dict[str, Prior]:
    """Return for each model a prior that was fitted without it."""
    features = Features(rows)
    return {
        name: fit(
            features.subset([index for index, measured in enumerate(rows) if measured.model != name]),
            fitted="",
            source=f"without {name}",
        )
        for name in {measured.model: None for measured in rows}
    }


def _report(
    what: str,
    count: int,
    rows: Sequence[Measured],
    key: Callable[[Measured], str],
    priors: Mapping[str, Prior],
    seeds: int,
) -> None:
    groups: dict[str, list[Measured]] = defaultdict(list)
    for measured in rows:
        groups[key(measured)].append(measured)
    tpot, ttft, used = Errors(), Errors(), 0
    for group in groups.values():
        if len(group) < count + _FEWEST_LEFT:
            continue
        used += 1
        for seed in range(seeds if count else 1):
            order = random.Random(f"{seed} {group[0].deployment}").sample(range(len(group)), len(group))
            observed = [group[index].row for index in order[:count]]
            left = [group[index] for index in order[count:]]
            predictor = Predictor(priors[group[0].model], observed)
            predicted = [predictor.predict(measured.row) for measured in left]
            tpot.add([_tpot(one) for one in predicted], [measured.tpot_s for measured in left])
            ttft.add([_ttft(one) for one in predicted], [measured.ttft_s for measured in left])
    print(f"| {what} | {count} | {used} | {tpot.line()} | {ttft.line()} |", flush=True)


def _tpot(one: Prediction) -> tuple[float, float, float]:
    return one.tpot_s, one.tpot_low_s, one.tpot_high_s


def _ttft(one: Prediction) -> tuple[float, float, float]:
    return one.ttft_s, one.ttft_low_s, one.ttft_high_s


if __name__ == "__main__":
    main()
