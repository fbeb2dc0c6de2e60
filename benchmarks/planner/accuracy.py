"""How well TTFT and TPOT are predicted: ``python -m benchmarks.planner.accuracy [--seeds N] [--only PART]``.

The prior is fitted without any row of the model that it then predicts (or without its GPU, or engine). With n observed
rows: n rows of a group are drawn at random (several seeds), the rest of it is predicted, at most 80 rows a draw; no row
is used for both. A *deployment* is a model, GPU, engine, precision and layout; a *series* the same over all layouts;
coarser groups mix precisions, engines, GPUs. Takes some three minutes.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median, quantiles

import msgspec
from benchmarks.planner.dataset import Measured, load
from benchmarks.planner.fit_prior import Features, fit

from overspill.perf.roofline import Prior
from overspill.planner.measured_rows import Row
from overspill.planner.prediction import Prediction, Predictor

Key = Callable[[Measured], str]
COUNTS = (0, 1, 3, 6, 12)
GROUPINGS: Mapping[str, Key] = {
    "deployment": lambda one: one.deployment,
    "series": lambda one: one.series,
    "model, GPU, engine": lambda one: f"{one.model} {one.gpu} {one.engine}",
    "model, GPU": lambda one: f"{one.model} {one.gpu}",
    "model": lambda one: one.model,
}
_FIGURES = ("median of groups", "of rows", "90th", "in 90 %")
_FEWEST_LEFT = 6
"""Groups with fewer rows left to predict are not looked at."""
_MOST_LEFT = 80


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


class Both:
    """Errors of TPOT and TTFT."""

    def __init__(self) -> None:
        self.tpot, self.ttft = Errors(), Errors()

    def add(self, predictor: Predictor, left: Sequence[Measured]) -> None:
        """Predict some rows and add how far off that is."""
        predicted = [predictor.predict(measured.row) for measured in left]
        self.tpot.add([_tpot(one) for one in predicted], [measured.tpot_s for measured in left])
        self.ttft.add([_ttft(one) for one in predicted], [measured.ttft_s for measured in left])

    def line(self) -> str:
        """Return the figures of both."""
        return f"{self.tpot.line()} | {self.ttft.line()}"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--only", choices=("groups", "strange", "left-out"))
    given = options.parse_args()
    started = time.process_time()
    rows, dropped = load()
    print(f"{len(rows)} measurements, dropped: {dropped}; {given.seeds} seeds")
    priors = leave_one_out(rows, lambda one: one.model)
    if given.only in (None, "groups"):
        _header("rows of one", "n observed", "groups")
        for what, key in GROUPINGS.items():
            for count in COUNTS:
                _report(f"{what} | {count}", rows, key, priors, given.seeds, _draw(count))
    if given.only in (None, "strange"):
        strange(rows, priors, given.seeds)
    if given.only in (None, "left-out"):
        left_out(rows, given.seeds)
    print(f"\n{time.process_time() - started:.0f} CPU-s")


def strange(rows: Sequence[Measured], priors: Mapping[str, Prior], seeds: int) -> None:
    """Print what becomes of it if the six rows are not a fair sample."""
    _header("six rows observed", "of one", "groups")
    by_concurrency = _draw_end(lambda row: row.load.concurrency)
    by_prompt = _draw_end(lambda row: row.load.prompt_tokens)
    for what in ("deployment", "series"):
        key = GROUPINGS[what]
        for name, draw in (
            ("at random", _draw(6)),
            ("one of them wrong by a factor of 5", _draw(6, wrong=5.0)),
            ("one of them wrong by a factor of 1/5", _draw(6, wrong=0.2)),
            ("of the lowest concurrencies", by_concurrency),
            ("of the shortest prompts", by_prompt),
        ):
            _report(f"{name} | {what}", rows, key, priors, seeds, draw)


def left_out(rows: Sequence[Measured], seeds: int) -> None:
    """Print errors by what was left out of the prior: a model, a GPU, an engine."""
    _header("left out of the prior", "n observed of the series", "series")
    for what, key in (
        ("model", lambda one: one.model),
        ("GPU", lambda one: one.gpu),
        ("engine", lambda one: one.engine),
    ):
        priors = leave_one_out(rows, key)
        for count in (0, 6):
            _report(f"each {what} | {count}", rows, GROUPINGS["series"], priors, seeds, _draw(count), key)
        for name, prior in priors.items():
            own = [measured for measured in rows if key(measured) == name]
            _report(f"{name} | 0", own, GROUPINGS["series"], {name: prior}, seeds, _draw(0), key)


def leave_one_out(rows: Sequence[Measured], key: Key) -> dict[str, Prior]:
    """Return for each model, GPU or engine a prior that was fitted without it."""
    features = Features(rows)
    return {
        name: fit(
            features.subset([index for index, measured in enumerate(rows) if key(measured) != name]),
            fitted="",
            source=f"without {name}",
        )
        for name in {key(measured): None for measured in rows}
    }


_Draw = Callable[[list[Measured], random.Random], tuple[list[Row], list[Measured]] | None]
"""Divides a group into observed and predicted rows; ``None`` if it is too small."""


def _draw(count: int, wrong: float = 1.0) -> _Draw:
    """Return a draw of so many rows at random, the last of them multiplied by ``wrong``."""

    def draw(group: list[Measured], dice: random.Random) -> tuple[list[Row], list[Measured]] | None:
        if len(group) < count + _FEWEST_LEFT:
            return None
        order = dice.sample(group, len(group))
        observed = [measured.row for measured in order[:count]]
        if wrong != 1.0:
            last = observed[-1]
            ttft_s, tpot_s = (value and value * wrong for value in (last.ttft_s, last.tpot_s))
            observed[-1] = msgspec.structs.replace(last, ttft_s=ttft_s, tpot_s=tpot_s)
        return observed, order[count:] if count == 0 else order[count : count + _MOST_LEFT]

    return draw


def _draw_end(key: Callable[[Row], float]) -> _Draw:
    """Return a draw of six of the dozen rows at the low end of something."""

    def draw(group: list[Measured], dice: random.Random) -> tuple[list[Row], list[Measured]] | None:
        if len(group) < 12 + _FEWEST_LEFT:
            return None
        order = sorted(dice.sample(group, len(group)), key=lambda measured: key(measured.row))
        end = dice.sample(order[:12], 12)
        return [measured.row for measured in end[:6]], end[6:] + order[12 : 12 + _MOST_LEFT]

    return draw


def _report(
    what: str,
    rows: Sequence[Measured],
    key: Key,
    priors: Mapping[str, Prior],
    seeds: int,
    draw: _Draw,
    prior_of: Key = lambda one: one.model,
) -> None:
    both, used = Both(), 0
    for name, group in _groups(rows, key, prior_of):
        drawn = [draw(group, random.Random(f"{seed} {group[0].deployment}")) for seed in range(seeds)]
        splits = [split for split in drawn if split is not None]
        used += bool(splits)
        for observed, left in splits if splits and splits[0][0] else splits[:1]:
            both.add(Predictor(priors[name], observed), left)
    print(f"| {what} | {used} | {both.line()} |", flush=True)


def _groups(rows: Sequence[Measured], key: Key, prior_of: Key) -> Iterator[tuple[str, list[Measured]]]:
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for measured in rows:
        groups[prior_of(measured), key(measured)].append(measured)
    for (name, _), group in groups.items():
        yield name, group


def _header(*columns: str) -> None:
    names = (*columns, *(f"{name}: {what}" for name in ("TPOT", "TTFT") for what in _FIGURES))
    print(f"\n| {' | '.join(names)} |\n{'|---' * len(names)}|")


def _tpot(one: Prediction) -> tuple[float, float, float]:
    return one.tpot_s, one.tpot_low_s, one.tpot_high_s


def _ttft(one: Prediction) -> tuple[float, float, float]:
    return one.ttft_s, one.ttft_low_s, one.ttft_high_s


if __name__ == "__main__":
    main()
