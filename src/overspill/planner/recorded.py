"""What the gateway's ledger recorded, as a simulation's result, its trace and the speed of its targets.

So a simulation can be checked: the same requests, the same configuration, targets as fast as they were seen to be.
Only the SQLite file has the attempts that say how fast a target was.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from overspill.core.types import Outcome, RejectReason, Spill, Surface, TargetSpec
from overspill.errors import TraceError
from overspill.ledger.store import ATTEMPTS, REQUESTS, LedgerStore, Table
from overspill.perf.latency import EngineFit
from overspill.planner.attempts import Attempts
from overspill.planner.scenario import model_of_prior
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.ledger import SQLITE
from overspill.planner.workloads.source import Source

_REFUSED = (Outcome.REJECTED, Outcome.EVICTED, Outcome.FAILED)
_REASONS = frozenset(RejectReason)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger's requests for one model."""

    model: str
    starts_at_unix_s: float
    rows: list[SimulatedRequest]
    """In order of arrival, the first one at 0."""
    usd: list[float | None]
    """What each cost."""
    tokens_per_asked: float
    """A prompt's tokens as targets that cost something counted them (or all, if none does), by those that the gateway
    counted. Each target has its own tokenizer; a request has one length, wherever it goes."""
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
    per_asked = _tokens_per_asked(kept)
    rows = [_row(number, row, origin_s, per_asked) for number, row in enumerate(kept)]
    return Recorded(
        model=model,
        starts_at_unix_s=origin_s,
        rows=rows,
        usd=[row["cost_usd"] for row in kept],
        tokens_per_asked=per_asked,
        left_out=dict(sorted(left_out.items())),
        unknown_lengths=sum(1 for row in rows if row.outcome is not Outcome.COMPLETED),
        tells_lengths=2
        * sum(row["max_tokens"] is not None and row["max_tokens"] == row["output_tokens"] for row in kept)
        > sum(1 for row in rows if row.outcome is Outcome.COMPLETED),
    )


def measure(path: Path, targets: Sequence[TargetSpec], *, tokens_per_asked: float | None = None) -> list[Measured]:
    """Fit the speed of each target to the attempts that a ledger has of it.

    Prompts are counted in the target's own tokens, or with ``tokens_per_asked`` as the requests of ``Recorded`` are.
    """
    by_target = read_attempts(path)
    if tokens_per_asked is not None:
        by_target = {
            target: [_in_asked_tokens(row, tokens_per_asked) for row in rows] for target, rows in by_target.items()
        }
    return [_measured(spec, by_target.get(spec.target_id, [])) for spec in targets]


def read_attempts(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    """Read all attempts by target; raise ``LedgerError``.

    Each is its row by column, with ``asked_tokens``: its prompt as the gateway counted it.
    """
    asked = {row["request_id"]: row["prompt_tokens"] for row in _cells(path, REQUESTS)}
    by_target: dict[str, list[Mapping[str, Any]]] = {}
    for row in _cells(path, ATTEMPTS):
        known = {**row, "asked_tokens": asked.get(row["request_id"])}
        by_target.setdefault(row["target_id"], []).append(known)
    return by_target


def _measured(spec: TargetSpec, attempts: list[Mapping[str, Any]]) -> Measured:
    prior = model_of_prior(spec)
    fit = Attempts(attempts).fit(prefill_chunk_tokens=prior.engine.prefill_chunk_tokens)
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


def _tokens_per_asked(rows: Sequence[Mapping[str, Any]]) -> float:
    counted = [row for row in rows if row["prompt_tokens"] and row["prompt_tokens_reported"]]
    counted = [row for row in counted if row["cost_usd"]] or counted
    asked = sum(row["prompt_tokens"] for row in counted)
    return sum(row["prompt_tokens_reported"] for row in counted) / asked if asked else 1.0


def _in_asked_tokens(row: Mapping[str, Any], per_asked: float) -> Mapping[str, Any]:
    if not row["asked_tokens"]:
        return row
    prompt = max(1, round(row["asked_tokens"] * per_asked))
    hit = (row["cached_tokens"] or 0) / row["prompt_tokens"] if row["prompt_tokens"] else 0.0
    return {**row, "prompt_tokens": prompt, "cached_tokens": round(prompt * min(1.0, hit))}


def _row(number: int, row: Mapping[str, Any], origin_s: float, per_asked: float) -> SimulatedRequest:
    reason = row["reason"]
    prompt = max(1, round(row["prompt_tokens"] * per_asked)) if row["prompt_tokens"] else row["prompt_tokens_reported"]
    hit = (row["cached_tokens"] or 0) / (row["prompt_tokens_reported"] or prompt)
    return SimulatedRequest(
        number,
        row["arrived_at"] - origin_s,
        prompt,
        row["output_tokens"] or 0,
        row["key_id"],
        round(prompt * min(1.0, hit)),
        outcome=Outcome(row["outcome"]),
        target_id=row["target_id"],
        spill=None if row["spill"] is None else Spill(row["spill"]),
        reason=RejectReason(reason) if reason in _REASONS else None,
        queue_wait_s=row["queue_wait_s"],
        ttft_s=row["ttft_s"],
        e2e_s=row["e2e_s"],
    )


def _cells(path: Path, table: Table) -> Iterator[Mapping[str, Any]]:
    if not Source(path).head().startswith(SQLITE):
        raise TraceError(
            f"{path} is not the ledger's own file; its exports lack the attempts, which say how fast a target was"
        )
    with contextlib.closing(LedgerStore.open(path, read_only=True)) as store:
        for values in store.rows(table):
            yield dict(zip(table.columns, values, strict=True))
