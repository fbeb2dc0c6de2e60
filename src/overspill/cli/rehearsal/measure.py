"""Measures a stage: how fast its local engine is, what it can carry, and how a trace fares in each mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from overspill.cli.rehearsal.stage import PROBE, Scene, Stage
from overspill.errors import EngineError, LedgerError
from overspill.gateway.rehearsal.load import LoadOptions, play
from overspill.gateway.rehearsal.summary import RequestResult, Summary, summarise
from overspill.ledger.store import ATTEMPTS, REQUESTS, LedgerStore, Table
from overspill.perf.latency import DecodeObservation, EngineFit, PrefillObservation, fit_engine_model
from overspill.planner.attempts import Attempts
from overspill.planner.workload import TraceRequest

LOCAL_TARGET = "local/0"
_PROBE_OUTPUT = 96
_PROBE_PROMPTS = (16, 64, 128, 256, 512)
_REPEATS = 3
_PATIENCE_S = 120.0
_PROBE_PATIENCE_S = 1800.0
_LEDGER_CHECKS = 50
_LEDGER_CHECK_S = 0.2
_CAPACITY_ROUNDS = 6
"""The capacity probe sends this many times as many requests as there are slots."""
OUTPUT_EXACT = {"ignore_eos": True}
"""llama.cpp then writes exactly ``max_tokens``, as the trace wants; other servers ignore or lack the field."""

Progress = Callable[[str], None]
Row = Mapping[str, Any]
"""One row of the ledger, by column."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """What the local engine can carry, measured with the trace's own mixture of lengths."""

    requests_per_s: float
    output_tokens_per_s: float
    sample: int


class ModeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One mode's outcome, from the player's side and from the ledger's."""

    summary: Summary
    cost_usd: float
    local_busy: float
    """Share of the local engine's slots in use while requests arrived, 0 to 1: what still runs after the last arrival
    is left out, since nothing could have filled the slots then."""
    local_output_tokens: int
    cloud_output_tokens: int
    local_fit: EngineFit | None = None
    """How fast the local engine was meanwhile, from its attempts; ``None`` if they are too few."""


class Player:
    """Plays requests on one stage, each with a prompt that was never sent before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.next_number = 0
        """Of the next request; the ledger has it as ``client_request_id``."""

    async def play(
        self,
        model: str,
        requests: Sequence[TraceRequest],
        *,
        progress: Progress | None = None,
        timeout_s: float = _PATIENCE_S,
    ) -> list[RequestResult]:
        """Send every request at its time."""
        options = LoadOptions(model=model, first_number=self.next_number, fields=OUTPUT_EXACT, timeout_s=timeout_s)
        self.next_number += len(requests)
        done = 0

        def count(_: RequestResult) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(f"{model}: {done} of {len(requests)} requests have ended")

        return await play(self._stage.gateway, requests, options, on_result=count)

    async def local(self, requests: Sequence[TraceRequest]) -> list[RequestResult]:
        """Send requests to the local engine alone; raise ``EngineError`` if one fails."""
        results = await self.play(PROBE, requests, timeout_s=_PROBE_PATIENCE_S)
        for result in results:
            if result.error is not None:
                raise EngineError(f"the local engine failed while it was measured: {result.error}: {result.message}")
        return results


async def probe_engine(player: Player, scene: Scene, progress: Progress) -> EngineFit:
    """Measure the local engine alone at several concurrencies and prompt lengths, and fit its scalars."""
    decode: list[DecodeObservation] = []
    for count in sorted({1, 2, max(1, scene.max_batch_size // 2), scene.max_batch_size}):
        progress(f"measuring the local engine with {count} requests at once")
        for _ in range(_REPEATS):
            results = await player.local([TraceRequest(0.0, 8, _PROBE_OUTPUT)] * count)
            tpots_s = [tpot_s for result in results if (tpot_s := _tpot_s(result)) > 0]
            decode += [DecodeObservation(concurrency=count, tpot_s=tpot_s) for tpot_s in tpots_s]
    prefill: list[PrefillObservation] = []
    for tokens in [n for n in _PROBE_PROMPTS if 5 * n < scene.context_tokens] * _REPEATS:
        progress(f"measuring the local engine with a prompt of {tokens} tokens")
        (result,) = await player.local([TraceRequest(0.0, tokens, 2)])
        if result.ttft_s is not None:
            prefill.append(PrefillObservation(prompt_tokens=tokens, ttft_s=result.ttft_s))
    return fit_engine_model(decode, prefill, prefill_chunk_tokens=scene.prefill_chunk_tokens())


def _tpot_s(result: RequestResult) -> float:
    """Return the mean time per token of a long answer to a short prompt; 0 if there is none.

    A very small model's tokens may all arrive at the end, its server's sender having been starved; then the first one's
    arrival says nothing, and the whole time is divided.
    """
    if result.ttft_s is None or result.output_tokens < 2:
        return 0.0
    if result.ttft_s > result.e2e_s / 2:
        return result.e2e_s / result.output_tokens
    return (result.e2e_s - result.ttft_s) / (result.output_tokens - 1)


async def probe_capacity(player: Player, scene: Scene, trace: Sequence[TraceRequest], progress: Progress) -> Capacity:
    """Measure what the local engine carries when it is never idle: the trace's first requests, all sent at once."""
    sample = [msgspec.structs.replace(r, at_s=0.0) for r in trace[: scene.max_batch_size * _CAPACITY_ROUNDS]]
    progress(f"measuring what the local engine can carry with {len(sample)} requests of the trace")
    results = await player.local(sample)
    length_s = max(result.e2e_s for result in results)
    return Capacity(
        requests_per_s=len(results) / length_s,
        output_tokens_per_s=sum(result.output_tokens for result in results) / length_s,
        sample=len(sample),
    )


async def run_mode(
    player: Player, stage: Stage, scene: Scene, mode: str, trace: Sequence[TraceRequest], progress: Progress
) -> ModeFigures:
    """Play the trace in one mode and return its figures."""
    began_at = time.time()  # the ledger's clock
    first_number = player.next_number
    results = await player.play(mode, trace, progress=progress)
    summary = summarise(results, slo_ttft_s=scene.slo_ttft_s)
    answers = sum(1 for result in results if result.status is not None)
    requests, attempts = _wait_for_rows(stage.ledger, mode, began_at, answers)
    planned = {row["request_id"]: trace[int(row["client_request_id"]) - first_number] for row in requests}
    attempts = [{**row, "prompt_tokens": planned[row["request_id"]].prompt_tokens} for row in attempts]
    return mode_figures(summary, requests, attempts, scene)


def mode_figures(summary: Summary, requests: Sequence[Row], attempts: Sequence[Row], scene: Scene) -> ModeFigures:
    """Add to a mode's summary what its rows in the ledger tell.

    The attempts' prompts are counted in the trace's tokens, as simulations count them: the engine's own may be others.
    """
    local = [row for row in attempts if row["target_id"] == LOCAL_TARGET]
    arrivals = [row["arrived_at"] for row in requests]
    return ModeFigures(
        summary=summary,
        cost_usd=sum(row["cost_usd"] or 0.0 for row in attempts),
        local_busy=_busy(local, min(arrivals), max(arrivals), scene.max_batch_size) if arrivals else 0.0,
        local_output_tokens=sum(row["output_tokens"] or 0 for row in local),
        cloud_output_tokens=sum(row["output_tokens"] or 0 for row in attempts if row["target_id"] != LOCAL_TARGET),
        local_fit=Attempts(local).fit(prefill_chunk_tokens=scene.prefill_chunk_tokens()),
    )


def _busy(attempts: Sequence[Row], from_s: float, until_s: float, slots: int) -> float:
    """Return the share of ``slots`` that attempts held between two moments; 0 if there is no time between them."""
    if until_s <= from_s:
        return 0.0
    held_s: float = sum(
        max(0.0, min(row["started_at"] + row["duration_s"], until_s) - max(row["started_at"], from_s))
        for row in attempts
    )
    return held_s / (slots * (until_s - from_s))


def _wait_for_rows(path: Path, mode: str, began_at: float, wanted: int) -> tuple[list[Row], list[Row]]:
    """Wait until the ledger's writer has written every request of the mode; return its requests and attempts."""
    rows: list[Row] = []
    for _ in range(_LEDGER_CHECKS):
        rows = [row for row in _rows(path, REQUESTS, began_at) if row["route"] == mode]
        if len(rows) >= wanted:
            known = {row["request_id"] for row in rows}
            return rows, [row for row in _rows(path, ATTEMPTS, began_at) if row["request_id"] in known]
        time.sleep(_LEDGER_CHECK_S)
    raise LedgerError(f"the ledger has {len(rows)} of {wanted} requests of the mode {mode}; its writer is behind")


def _rows(path: Path, table: Table, since: float) -> list[Row]:
    store = LedgerStore.open(path, read_only=True)
    try:
        return [dict(zip(table.columns, values, strict=True)) for values in store.rows(table, since=since)]
    finally:
        store.close()
