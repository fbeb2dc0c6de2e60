"""TTFT and TPOT of loads on deployments: the prior's estimate, corrected by what was observed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from overspill.perf.architecture import Role
from overspill.perf.calibration import Calibration, Correction, Kernel, Kinship, Point, group_shares
from overspill.perf.roofline import DECODE_TERMS, Deployment, Estimate, Load, Prior, estimate
from overspill.planner.measured_rows import Row

Groups = Mapping[str, tuple[str, ...]]

DECODE_GROUPS: Groups = {
    "weights": ("weights", "experts"),
    "cache": ("cache",),
    "arithmetic": tuple(name for name in DECODE_TERMS if name.startswith(("arithmetic", "join_"))),
    "overhead": ("layers", "sync_starts", "sync_bytes"),
}
PREFILL_GROUPS: Groups = {
    "overhead": ("request", "layers"),
    "prompt": ("arithmetic", "attention", "sync_bytes"),
    "weights": ("weights", "all_experts"),
    "ahead": ("prompts_ahead", "prompts_bunched"),
    "step": ("step",),
    "room": ("room",),
}
# Found by search on the benchmark's rows (evolution strategy, 2026-11-27) and rounded. Found without a model's rows and
# used on them they are as good: benchmarks/planner/RESULTS.md.
DECODE_KERNEL = Kernel(
    shares={"weights": 0.06, "cache": 0.2, "arithmetic": 0.25, "overhead": 2.4},
    constant=0.006,
    run=0.045,
    local=0.055,
    lengths=(1.3, 3.2, 4.0, 0.7),
    trend=(0.0013, 0.0017, 0.0018, 0.008),
    kinship=Kinship(engine=0.45, gpu=0.8, precision=0.9),
    noise=0.003,
    cut=0.6,
)
PREFILL_KERNEL = Kernel(
    shares={"overhead": 1.3, "prompt": 1.1, "weights": 5.0, "ahead": 0.4, "step": 5.0, "room": 5.0},
    constant=0.04,
    run=0.55,
    local=0.28,
    lengths=(1.25, 1.3, 4.0, 1.5),
    trend=(0.004, 0.05, 0.001, 0.009),
    kinship=Kinship(engine=0.45, gpu=0.9, precision=0.55),
    noise=0.008,
    cut=0.5,
)


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What a row is expected to measure; the intervals hold nine times of ten."""

    ttft_s: float
    ttft_low_s: float
    ttft_high_s: float
    tpot_s: float
    tpot_low_s: float
    tpot_high_s: float
    estimate: Estimate
    """Before calibration."""


class Predictor:
    """A prior, corrected by observed rows."""

    def __init__(self, prior: Prior, observed: Sequence[Row] = ()) -> None:
        self._prior = prior
        estimates = [estimate(prior, row.deployment, row.load) for row in observed]
        pairs = list(zip(observed, estimates, strict=True))
        self._seen = {_identity(row) for row in observed}
        self._runs = Counter((row.deployment.engine, row.deployment.gpu.name, row.run) for row in observed)
        self._decode = Calibration(
            DECODE_KERNEL,
            [point_of(row, seen.decode_shares, DECODE_GROUPS) for row, seen in pairs if row.tpot_s is not None],
            [row.tpot_s / seen.tpot_s for row, seen in pairs if row.tpot_s is not None],
        )
        self._prefill = Calibration(
            PREFILL_KERNEL,
            [point_of(row, seen.prefill_shares, PREFILL_GROUPS) for row, seen in pairs if row.ttft_s is not None],
            [row.ttft_s / seen.ttft_s for row, seen in pairs if row.ttft_s is not None],
        )

    def has_measured(self, engine: str) -> bool:
        """Return whether the prior was fitted to rows of an engine; if not, its overheads are the average's."""
        return engine in self._prior.decode.engines

    def has_seen(self, row: Row) -> bool:
        """Return whether a row, with what it measured, is among those that calibrate."""
        return _identity(row) in self._seen

    @property
    def observed(self) -> tuple[int, int]:
        """Distinct loads with an observed TPOT and TTFT."""
        return self._decode.size, self._prefill.size

    def predict(self, row: Row) -> Prediction:
        """Return what is expected of a row; what it measured itself is not looked at."""
        return self.predict_load(row.deployment, row.load, run=row.run)

    def predict_load(self, deployment: Deployment, load: Load, *, run: str = "") -> Prediction:
        """Return what is expected of a load on a deployment; ``run`` is the engine's version, as in ``Row``."""
        expected = estimate(self._prior, deployment, load)
        run = self._observed_run(deployment, run)

        def corrected(calibration: Calibration, shares: Mapping[str, float], groups: Groups) -> Correction:
            return calibration.correct(load_point(deployment, load, shares, groups, run=run))

        decode = corrected(self._decode, expected.decode_shares, DECODE_GROUPS)
        prefill = corrected(self._prefill, expected.prefill_shares, PREFILL_GROUPS)
        tpot = _spread(expected.tpot_s, decode, tpot_reach(self._decode.size))
        ttft = _spread(expected.ttft_s, prefill, ttft_reach(self._prefill.size))
        return Prediction(
            ttft_s=ttft[0],
            ttft_low_s=ttft[1],
            ttft_high_s=ttft[2],
            tpot_s=tpot[0],
            tpot_low_s=tpot[1],
            tpot_high_s=tpot[2],
            estimate=expected,
        )

    def _observed_run(self, deployment: Deployment, run: str) -> str:
        """Return the observed run that a load is of: the commonest that says all that the load's own run says."""
        said = set(run.split())
        alike = [
            (count, name)
            for (engine, gpu, name), count in self._runs.items()
            if engine == deployment.engine and gpu == deployment.gpu.name and said <= set(name.split())
        ]
        return run if any(name == run for _, name in alike) or not alike else max(alike)[1]


def _identity(row: Row) -> tuple[object, ...]:
    deployment = row.deployment
    return (deployment.engine, deployment.gpu.name, deployment.layout, row.load, row.run, row.ttft_s, row.tpot_s)


def tpot_reach(observed: int) -> float:
    """Return the deviations on either side of a TPOT that hold 90 % of the benchmark's rows."""
    return 1.2 if observed else 0.9


def ttft_reach(observed: int) -> float:
    """Return the same for TTFT: the more was observed, the more of what is left is of no Gaussian's making."""
    return min(2.2, 1.35 + 0.07 * observed) if observed else 0.8


def point_of(row: Row, shares: Mapping[str, float], groups: Groups) -> Point:
    """Return a row as the calibration sees it."""
    return load_point(row.deployment, row.load, shares, groups, run=row.run)


def load_point(deployment: Deployment, load: Load, shares: Mapping[str, float], groups: Groups, *, run: str) -> Point:
    """Return a load on a deployment as the calibration sees it."""
    layout, formats = deployment.layout, deployment.recipe.formats
    counts = (load.concurrency * layout.dp_attention, load.prompt_tokens, load.answer_tokens, layout.gpus)
    logs = tuple(math.log(count) for count in counts)
    main = (Role.ATTENTION, Role.DENSE if deployment.model.experts is None else Role.EXPERTS)
    return Point(
        shares=group_shares(shares, groups),
        logs=(logs[0], logs[1], logs[2], logs[3]),
        run=run,
        engine=deployment.engine,
        gpu=deployment.gpu.name,
        precision="/".join(formats[role] for role in main),
    )


def relative_errors(predicted: Iterable[float], observed: Iterable[float]) -> list[float]:
    """Return |predicted - observed| / observed."""
    return [abs(one - other) / other for one, other in zip(predicted, observed, strict=True)]


def _spread(value: float, correction: Correction, reach: float) -> tuple[float, float, float]:
    low, high = correction.interval(reach)
    return value * correction.factor, value * low, value * high
