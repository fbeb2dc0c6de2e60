"""TTFT and TPOT of loads on deployments: the prior's estimate, corrected by what was observed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from overspill.perf.calibration import Calibration, Correction, Kernel, Point, group_shares
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
    "overhead": ("request", "layers", "step"),
    "prompt": ("arithmetic", "attention", "weights", "sync_bytes"),
    "ahead": ("prompts_ahead", "prompts_bunched", "requests_ahead"),
    "room": ("room",),
}
# Round figures, chosen while looking at the benchmark's rows; most may be halved or doubled for half a point.
DECODE_KERNEL = Kernel(
    constant=0.02,
    shares={"weights": 0.1, "cache": 0.1, "arithmetic": 0.2, "overhead": 0.2},
    run=0.05,
    local=0.03,
    lengths=(1.5, 2.5, 2.5, 1.0),
    trend=(0.003, 0.003, 0.003, 0.02),
    noise=0.002,
    cut=1.5,
)
PREFILL_KERNEL = Kernel(
    constant=0.3,
    shares={"overhead": 0.5, "prompt": 0.5, "ahead": 0.5, "room": 0.5},
    run=0.2,
    local=0.2,
    lengths=(2.0, 1.3, 3.0, 1.7),
    trend=(0.01, 0.01, 0.01, 0.01),
    noise=0.007,
    cut=1.5,
)
_TPOT_REACH = 1.645
"""Deviations on either side that make an interval of 90 %: as of a normal distribution."""
_TTFT_REACH, _TTFT_REACH_UNSEEN = 2.3, 1.5
"""The same for TTFT, with observed rows and without: set so that 90 % of the benchmark's rows are inside."""


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

    @property
    def observed(self) -> tuple[int, int]:
        """Distinct loads with an observed TPOT and TTFT."""
        return self._decode.size, self._prefill.size

    def predict(self, row: Row) -> Prediction:
        """Return what is expected of a row; what it measured itself is not looked at."""
        return self.predict_load(row.deployment, row.load, run=row.run, precision=row.precision)

    def predict_load(self, deployment: Deployment, load: Load, *, run: str, precision: str) -> Prediction:
        """Return what is expected of a load on a deployment; ``run`` is the engine's version, as in ``Row``."""
        expected = estimate(self._prior, deployment, load)

        def corrected(calibration: Calibration, shares: Mapping[str, float], groups: Groups) -> Correction:
            return calibration.correct(load_point(deployment, load, shares, groups, run=run, precision=precision))

        decode = corrected(self._decode, expected.decode_shares, DECODE_GROUPS)
        prefill = corrected(self._prefill, expected.prefill_shares, PREFILL_GROUPS)
        reach = _TTFT_REACH if self._prefill.size else _TTFT_REACH_UNSEEN
        tpot, ttft = _spread(expected.tpot_s, decode, _TPOT_REACH), _spread(expected.ttft_s, prefill, reach)
        return Prediction(
            ttft_s=ttft[0],
            ttft_low_s=ttft[1],
            ttft_high_s=ttft[2],
            tpot_s=tpot[0],
            tpot_low_s=tpot[1],
            tpot_high_s=tpot[2],
            estimate=expected,
        )


def point_of(row: Row, shares: Mapping[str, float], groups: Groups) -> Point:
    """Return a row as the calibration sees it."""
    return load_point(row.deployment, row.load, shares, groups, run=row.run, precision=row.precision)


def load_point(
    deployment: Deployment,
    load: Load,
    shares: Mapping[str, float],
    groups: Groups,
    *,
    run: str,
    precision: str,
) -> Point:
    """Return a load on a deployment as the calibration sees it."""
    layout = deployment.layout
    counts = (load.concurrency * layout.dp_attention, load.prompt_tokens, load.answer_tokens, layout.gpus)
    logs = tuple(math.log(count) for count in counts)
    return Point(
        shares=group_shares(shares, groups),
        logs=(logs[0], logs[1], logs[2], logs[3]),
        run=run,
        engine=deployment.engine,
        gpu=deployment.gpu.name,
        precision=precision,
    )


def relative_errors(predicted: Iterable[float], observed: Iterable[float]) -> list[float]:
    """Return |predicted - observed| / observed."""
    return [abs(one - other) / other for one, other in zip(predicted, observed, strict=True)]


def _spread(value: float, correction: Correction, reach: float) -> tuple[float, float, float]:
    low, high = correction.interval(reach)
    return value * correction.factor, value * low, value * high
