"""Fit the weights of the roofline's terms: ``python -m benchmarks.planner.fit_prior`` rewrites the shipped prior.

Least squares of the logarithm of predicted / measured, with soft weights for outliers, series of many rows counting
less per row, and every weight drawn to where textbooks put it: efficiencies of 50 to 75 %, 50 µs a layer. The pull is
strong (a tenth for efficiencies, a quarter for overheads): without it the fit follows the models it has seen.
Needs numpy (a development dependency).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from benchmarks.planner.dataset import Measured, load

from overspill.perf.roofline import (
    DECODE_OVERHEAD,
    DECODE_TERMS,
    PREFILL_OVERHEAD,
    PREFILL_TERMS,
    Prior,
    Weights,
    decode_terms,
    prefill_terms,
    running_at_once,
)

TARGET = Path("src/overspill/catalog/latency_prior.json")
# (where the weight is drawn to, how far it may go: a standard deviation of its logarithm)
_EFFICIENCY, _OVERHEAD, _ENGINE = 0.105, 0.27, 0.4
DECODE_START = {
    "weights": (1 / 0.75, _EFFICIENCY),
    "experts": (1 / 0.6, _EFFICIENCY),
    "cache": (1 / 0.6, _EFFICIENCY),
    "arithmetic": (1 / 0.5, _EFFICIENCY),
    "layers": (0.5, _OVERHEAD),
    "sync_starts": (0.5, _OVERHEAD),
    "sync_bytes": (1 / 0.6, _EFFICIENCY),
    "join_arithmetic": (1 / 0.6, _EFFICIENCY),
    "join_attention": (1 / 0.5, _EFFICIENCY),
    "join_sync": (1 / 0.6, _EFFICIENCY),
    "join_layers": (0.3, _OVERHEAD),
    "join_weights": (0.3, _OVERHEAD),
}
PREFILL_START = {
    "request": (2.0, _OVERHEAD),
    "arithmetic": (1 / 0.6, _EFFICIENCY),
    "attention": (1 / 0.5, _EFFICIENCY),
    "weights": (1 / 0.75, _EFFICIENCY),
    "all_experts": (0.7, _OVERHEAD),
    "layers": (0.5, _OVERHEAD),
    "sync_bytes": (1 / 0.6, _EFFICIENCY),
    "prompts_ahead": (0.09, _OVERHEAD),
    "prompts_bunched": (0.2, _OVERHEAD),
    "step": (1.0, _OVERHEAD),
    "room": (1 / 0.7, _EFFICIENCY),
}


class Features:
    """The terms of some measurements: they do not depend on any weight but TTFT's ``step`` and ``room``."""

    def __init__(self, rows: Sequence[Measured]) -> None:
        self.rows = rows
        self.engines = [measured.row.deployment.engine for measured in rows]
        self.series = [measured.series for measured in rows]
        decode, prefill, waits = [], [], []
        for measured in rows:
            deployment, asked = measured.row.deployment, measured.row.load
            running, _ = running_at_once(deployment, asked)
            terms = decode_terms(deployment, asked, running)
            decode.append([terms[name] for name in DECODE_TERMS])
            first = {**prefill_terms(deployment, asked, running), "step": 0.0, "room": 0.0}
            prefill.append([first[name] for name in PREFILL_TERMS])
            waits.append((asked.concurrency / running - 1) * asked.answer_tokens)
        self.decode, self.prefill, self.waits = np.array(decode), np.array(prefill), np.array(waits)
        self.tpot_s = np.array([measured.tpot_s for measured in rows])
        self.ttft_s = np.array([measured.ttft_s for measured in rows])

    def subset(self, keep: Sequence[int]) -> Features:
        """Return the features of some of the rows."""
        part = object.__new__(Features)
        part.rows = [self.rows[index] for index in keep]
        part.engines = [self.engines[index] for index in keep]
        part.series = [self.series[index] for index in keep]
        for name in ("decode", "prefill", "waits", "tpot_s", "ttft_s"):
            setattr(part, name, getattr(self, name)[keep])
        return part


def fit(features: Features, *, fitted: str, source: str) -> Prior:
    """Return the prior that explains the measurements best."""
    engines = sorted(set(features.engines))
    decode = _fit(features.decode, features.tpot_s, features, engines, DECODE_START, DECODE_OVERHEAD, spread=0.2)
    tpot_s = _predict(decode, features.decode, features.engines, tuple(DECODE_START), DECODE_OVERHEAD)
    terms = features.prefill.copy()
    terms[:, PREFILL_TERMS.index("step")] = tpot_s
    terms[:, PREFILL_TERMS.index("room")] = features.waits * tpot_s
    prefill = _fit(terms, features.ttft_s, features, engines, PREFILL_START, PREFILL_OVERHEAD, spread=0.4)
    return Prior(decode=decode, prefill=prefill, fitted=fitted, source=source)


def _fit(terms, seen_s, features, engines, start, overhead, *, spread):  # type: ignore[no-untyped-def]
    """Return the weights by damped Gauss-Newton steps on logarithms."""
    names = tuple(start)
    centre = np.log(np.concatenate([[value for value, _ in start.values()], np.ones(len(engines))]))
    reach = np.concatenate([[sd for _, sd in start.values()], np.full(len(engines), _ENGINE)])
    columns, of_engine = (
        [names.index(name) for name in overhead],
        np.array([engines.index(name) for name in features.engines]),
    )
    sizes = {name: features.series.count(name) for name in set(features.series)}
    counts = np.array([sizes[name] for name in features.series])
    importance = 30 / np.maximum(counts, 30)
    logs, rows = centre.copy(), np.arange(len(seen_s))
    for _ in range(60):
        parts = terms * np.exp(logs[: len(names)])
        parts[:, columns] *= np.exp(logs[len(names) + of_engine])[:, None]
        total = parts.sum(1)
        shares = parts / total[:, None]
        residual = np.log(total / seen_s) / spread
        slope = np.zeros((len(seen_s), len(logs)))
        slope[:, : len(names)] = shares
        slope[rows, len(names) + of_engine] = shares[:, columns].sum(1)
        slope /= spread
        weight = importance / np.sqrt(1 + residual**2)
        curvature = slope.T @ (slope * weight[:, None]) + np.diag(1 / reach**2)
        gradient = slope.T @ (weight * residual) + (logs - centre) / reach**2
        step = np.linalg.solve(curvature + 0.01 * np.diag(np.diag(curvature)), gradient)
        logs = logs - np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-4:
            break
    values = np.exp(logs)
    return Weights(
        weights={name: round(float(value), 4) for name, value in zip(names, values, strict=False)},
        engines={name: round(float(value), 4) for name, value in zip(engines, values[len(names) :], strict=True)},
    )


def _predict(weights, terms, engines, names, overhead):  # type: ignore[no-untyped-def]
    parts = terms * np.array([weights.weights[name] for name in names])
    columns = [names.index(name) for name in overhead]
    parts[:, columns] *= np.array([weights.engines.get(name, 1.0) for name in engines])[:, None]
    return parts.sum(1)


def main() -> None:
    """Fit to all measurements and write the prior that is shipped."""
    rows, dropped = load()
    prior = fit(
        Features(rows),
        fitted=dt.datetime.now(dt.UTC).date().isoformat(),
        source=f"benchmarks/planner/fit_prior.py on {len(rows)} measurements of benchmarks/planner/data; "
        f"dropped: {', '.join(f'{count} {reason}' for reason, count in dropped.items())}",
    )
    TARGET.write_bytes(msgspec.json.format(msgspec.json.encode(prior), indent=1) + b"\n")
    print(TARGET.read_text())


if __name__ == "__main__":
    main()
