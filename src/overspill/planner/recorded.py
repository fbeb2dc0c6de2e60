"""What the gateway's ledger recorded, as a simulation's result, its trace and the speed of its targets.

So a simulation can be checked: the same requests, the same configuration, targets as fast as they were seen to be.
Only the SQLite file has the attempts that say how fast a target was.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from overspill.core.types import Outcome, RejectReason, Spill, Surface, TargetSpec
from overspill.errors import TraceError
from overspill.ledger.records import AttemptOutcome
from overspill.ledger.store import ATTEMPTS, REQUESTS, LedgerStore, Table
from overspill.perf.latency import DecodeObservation, EngineFit, PrefillObservation, fit_engine_model
from overspill.planner.scenario import model_of_prior
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest

_REFUSED = (Outcome.REJECTED, Outcome.EVICTED, Outcome.FAILED)
_FEWEST = 12
"""Attempts with fewer than this many do not say how fast a target is."""
_MOST = 2000
"""Attempts of a target that a fit looks at, evenly spread over the log."""
_SAME_STEP = 0.1
"""First tokens closer than this share of a step came with the same one."""
_REASONS = frozenset(RejectReason)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger's requests for one model."""

    model: str
    starts_at_unix_s: float
    rows: list[SimulatedRequest]
    """In order of arrival, the first one at 0."""
    usd: list[float | None]
    """What each cost."""
    left_out: Mapping[str, int]
    """Requests that a simulation cannot have, by why: clients that left, answers from the cache…"""
    unknown_lengths: int
    """Refused requests: how long their answers would have been nobody knows."""
    tells_lengths: bool
    """True if most clients limited their answers to the length that they then had, so that the gateway knew it."""

    def trace(self) -> Iterator[TraceRequest]:
        """Yield them as asked for; one that was refused is given the length of the last answer before it."""
        length = next((row.output_tokens for row in self.rows if row.output_tokens), 1)
        for row in self.rows:
            length = row.output_tokens or length
            yield TraceRequest(row.at_s, row.prompt_tokens, length, row.key_id, row.cached_tokens)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one target was."""

    target_id: str
    attempts: int
    fit: EngineFit | None
    """``None`` if there were too few attempts: then its prior counts."""
    model: TargetModel


def read_recorded(path: Path, model: str | None) -> Recorded:
    """Read the requests for a model, which may be left out if the ledger has only one; raise ``TraceError``."""
    cells = list(_cells(path, REQUESTS))
    asked = Counter(row["model"] for row in cells if row["surface"] != Surface.EMBEDDINGS)
    if model is None and len(asked) == 1:
        (model,) = asked
    if model is None or model not in asked:
        names = ", ".join(f"{name} ({count})" for name, count in asked.most_common(8)) or "none"
        raise TraceError(f"{path}: name one of its models with --model; requests by model: {names}")
    left_out: Counter[str] = Counter()
    kept: list[Mapping[str, Any]] = []
    for row in cells:
        why = _why_not(row, model)
        if why is None:
            kept.append(row)
        else:
            left_out[why] += 1
    if not kept:
        raise TraceError(f"{path}: no request for {model} was answered or refused ({dict(left_out)})")
    kept.sort(key=lambda row: row["arrived_at"])
    origin_s = kept[0]["arrived_at"]
    rows = [_row(number, row, origin_s) for number, row in enumerate(kept)]
    return Recorded(
        model=model,
        starts_at_unix_s=origin_s,
        rows=rows,
        usd=[row["cost_usd"] for row in kept],
        left_out=dict(sorted(left_out.items())),
        unknown_lengths=sum(1 for row in rows if row.outcome is not Outcome.COMPLETED),
        tells_lengths=2
        * sum(row["max_tokens"] is not None and row["max_tokens"] == row["output_tokens"] for row in kept)
        > sum(1 for row in rows if row.outcome is Outcome.COMPLETED),
    )


def measure(path: Path, targets: Sequence[TargetSpec]) -> list[Measured]:
    """Fit the speed of each target to the attempts that a ledger has of it."""
    by_target: dict[str, list[Mapping[str, Any]]] = {}
    for row in _cells(path, ATTEMPTS):
        by_target.setdefault(row["target_id"], []).append(row)
    return [_measured(spec, by_target.get(spec.target_id, [])) for spec in targets]


def fit_attempts(attempts: Sequence[Mapping[str, Any]], *, prefill_chunk_tokens: int) -> EngineFit | None:
    """Fit a target's speed to all attempts on it, the ledger's rows by column; ``None`` if they are too few."""
    decode, prefill = _observations(attempts)
    if len(decode) < _FEWEST or len(prefill) < _FEWEST:
        return None
    return fit_engine_model(decode, prefill, prefill_chunk_tokens=prefill_chunk_tokens)


def _measured(spec: TargetSpec, attempts: list[Mapping[str, Any]]) -> Measured:
    prior = model_of_prior(spec)
    fit = fit_attempts(attempts, prefill_chunk_tokens=prior.engine.prefill_chunk_tokens)
    if fit is None:
        return Measured(target_id=spec.target_id, attempts=len(attempts), fit=None, model=prior)
    engine = msgspec.structs.replace(
        prior.engine,
        step_base_s=fit.step_base_s,
        step_s_per_running=fit.step_s_per_running,
        prefill_s_per_token=fit.prefill_s_per_token,
    )
    found = TargetModel(engine=engine, delay_s=fit.ttft_overhead_s)
    return Measured(target_id=spec.target_id, attempts=len(attempts), fit=fit, model=found)


def _observations(
    attempts: Sequence[Mapping[str, Any]],
) -> tuple[list[DecodeObservation], list[PrefillObservation]]:
    """Return what attempts that ended whole say, with how many ran beside them."""
    edges = sorted(
        [(row["started_at"], 1) for row in attempts] + [(row["started_at"] + row["duration_s"], -1) for row in attempts]
    )
    times = [at for at, _ in edges]
    counts = list(accumulate(change for _, change in edges))
    held = [0.0, *accumulate((b - a) * n for a, b, n in zip(times, times[1:], counts, strict=False))]
    firsts = sorted((row["started_at"] + row["ttft_s"], _fresh(row)) for row in attempts if row["ttft_s"] is not None)
    first_at = [at for at, _ in firsts]
    prompts = [0, *accumulate(tokens for _, tokens in firsts)]
    beside = _Beside(attempts)

    def held_until(at: float) -> float:
        place = bisect_right(times, at) - 1
        return 0.0 if place < 0 else held[place] + (at - times[place]) * counts[place]

    decode: list[DecodeObservation] = []
    prefill: list[PrefillObservation] = []
    whole = [row for row in attempts if row["outcome"] == AttemptOutcome.FINISHED and row["ttft_s"]]
    for row in whole[:: max(1, len(whole) // _MOST)]:
        begun, first, end = row["started_at"], row["started_at"] + row["ttft_s"], row["started_at"] + row["duration_s"]
        running = counts[bisect_right(times, begun) - 1]
        prefill.append(
            PrefillObservation(
                prompt_tokens=max(1, _fresh(row)),
                ttft_s=row["ttft_s"],
                concurrency=max(1, running),
                beside_tokens=beside.tokens(row),
            )
        )
        tokens = row["output_tokens"] or 0
        if tokens >= 4 and row["tpot_s"] and end > first:
            others = prompts[bisect_left(first_at, end)] - prompts[bisect_right(first_at, first)]
            decode.append(
                DecodeObservation(
                    concurrency=max(1.0, (held_until(end) - held_until(first)) / (end - first)),
                    tpot_s=row["tpot_s"],
                    prefill_per_token=max(0, others) / (tokens - 1),
                )
            )
    return decode, prefill


class _Beside:
    """Tells whose prompts were prefilled while a request waited for its first token."""

    def __init__(self, attempts: Sequence[Mapping[str, Any]]) -> None:
        heard = [row for row in attempts if row["ttft_s"] is not None]
        self._rows = sorted(heard, key=_first_at)
        self._first_at = [_first_at(row) for row in self._rows]

    def tokens(self, row: Mapping[str, Any]) -> float:
        """Return the others' prompt tokens: all of what shared its step, the rest of what was under way before it."""
        begun, first = row["started_at"], _first_at(row)
        same_step_s = _SAME_STEP * (row["tpot_s"] or 0.0)
        found = 0.0
        for place in range(bisect_right(self._first_at, begun), bisect_right(self._first_at, first + same_step_s)):
            other = self._rows[place]
            if other is row:
                continue
            share = 1.0
            if other["started_at"] < begun and self._first_at[place] < first - same_step_s:
                share = (self._first_at[place] - begun) / other["ttft_s"]
            found += share * _fresh(other)
        return found


def _first_at(row: Mapping[str, Any]) -> float:
    at: float = row["started_at"] + row["ttft_s"]
    return at


def _fresh(row: Mapping[str, Any]) -> int:
    """Return the prompt tokens that were worked on."""
    return max(0, (row["prompt_tokens"] or 0) - (row["cached_tokens"] or 0))


def _why_not(row: Mapping[str, Any], model: str) -> str | None:
    if row["surface"] == Surface.EMBEDDINGS:
        return "embeddings"
    if row["model"] != model:
        return "other_model"
    if row["outcome"] == Outcome.COMPLETED:
        if not row["attempts"]:
            return "from_the_cache"
        return None if row["output_tokens"] and row["prompt_tokens"] else "without_tokens"
    if row["outcome"] not in _REFUSED:
        return str(row["outcome"])
    return None if row["prompt_tokens"] else "without_tokens"


def _row(number: int, row: Mapping[str, Any], origin_s: float) -> SimulatedRequest:
    reason = row["reason"]
    return SimulatedRequest(
        number,
        row["arrived_at"] - origin_s,
        row["prompt_tokens_reported"] or row["prompt_tokens"],
        row["output_tokens"] or 0,
        row["key_id"],
        row["cached_tokens"] or 0,
        outcome=Outcome(row["outcome"]),
        target_id=row["target_id"],
        spill=None if row["spill"] is None else Spill(row["spill"]),
        reason=RejectReason(reason) if reason in _REASONS else None,
        queue_wait_s=row["queue_wait_s"],
        ttft_s=row["ttft_s"],
        e2e_s=row["e2e_s"],
    )


def _cells(path: Path, table: Table) -> Iterator[Mapping[str, Any]]:
    with contextlib.closing(LedgerStore.open(path, read_only=True)) as store:
        for values in store.rows(table):
            yield dict(zip(table.columns, values, strict=True))
