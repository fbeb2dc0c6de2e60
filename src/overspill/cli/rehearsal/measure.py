"""Measures a stage: how fast its local engine is, what it can carry, and how a trace fares in each mode."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from overspill.cli.rehearsal.stage import LOCAL_ONLY, Scene, Stage
from overspill.errors import EngineError, LedgerError
from overspill.gateway.rehearsal.load import LoadOptions, play
from overspill.gateway.rehearsal.summary import RequestResult, Summary, summarise
from overspill.ledger.store import ATTEMPTS, REQUESTS, LedgerStore, Table
from overspill.perf.latency import DecodeObservation, EngineFit, PrefillObservation, fit_engine_model
from overspill.planner.workload import TraceRequest

LOCAL_TARGET = "local/0"
_PROBE_OUTPUT = 96
_PROBE_PROMPTS = (16, 64, 128, 256, 512)
_REPEATS = 3
_LEDGER_CHECKS = 50
_LEDGER_CHECK_S = 0.2
_CAPACITY_ROUNDS = 6
"""The capacity probe sends this many times as many requests as there are slots."""
OUTPUT_EXACT = {"ignore_eos": True}
"""llama.cpp then writes exactly ``max_tokens``, as the trace wants; other servers ignore or lack the field."""

Progress = Callable[[str], None]


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
    """Share of the local engine's slot-seconds that were used, 0 to 1."""
    local_output_tokens: int
    cloud_output_tokens: int


class Player:
    """Plays requests on one stage, each with a prompt that was never sent before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._next_number = 0

    async def play(
        self, model: str, requests: Sequence[TraceRequest], *, progress: Progress | None = None
    ) -> list[RequestResult]:
        """Send every request at its time."""
        options = LoadOptions(model=model, first_number=self._next_number, fields=OUTPUT_EXACT)
        self._next_number += len(requests)
        done = 0

        def count(_: RequestResult) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(f"{model}: {done} of {len(requests)} requests have ended")

        return await play(self._stage.gateway, requests, options, on_result=count)

    async def local(self, requests: Sequence[TraceRequest]) -> list[RequestResult]:
        """Send requests to the local engine alone; raise ``EngineError`` if one fails."""
        results = await self.play(LOCAL_ONLY, requests)
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
            for result in await player.local([TraceRequest(0.0, 8, _PROBE_OUTPUT)] * count):
                if result.ttft_s is not None and result.output_tokens > 1:
                    tpot_s = (result.e2e_s - result.ttft_s) / (result.output_tokens - 1)
                    decode.append(DecodeObservation(concurrency=count, tpot_s=tpot_s))
    prefill: list[PrefillObservation] = []
    for tokens in [n for n in _PROBE_PROMPTS if 5 * n < scene.context_tokens] * _REPEATS:
        progress(f"measuring the local engine with a prompt of {tokens} tokens")
        (result,) = await player.local([TraceRequest(0.0, tokens, 2)])
        if result.ttft_s is not None:
            prefill.append(PrefillObservation(prompt_tokens=tokens, ttft_s=result.ttft_s))
    return fit_engine_model(decode, prefill)


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
    results = await player.play(mode, trace, progress=progress)
    summary = summarise(results, slo_ttft_s=scene.slo_ttft_s)
    return _figures(stage.ledger, scene, mode, summary, answers=sum(1 for r in results if r.status is not None))


def _figures(path: Path, scene: Scene, mode: str, summary: Summary, *, answers: int) -> ModeFigures:
    """Add what the ledger knows; wait for its writer to have written every request of the mode."""
    requests = {row["request_id"] for row in _wait_for_rows(path, mode, answers)}
    attempts = [row for row in _rows(path, ATTEMPTS) if row["request_id"] in requests]
    local = [row for row in attempts if row["target_id"] == LOCAL_TARGET]
    slot_s = summary.length_s * scene.max_batch_size
    return ModeFigures(
        summary=summary,
        cost_usd=sum(row["cost_usd"] or 0.0 for row in attempts),
        local_busy=sum(row["duration_s"] for row in local) / slot_s if slot_s else 0.0,
        local_output_tokens=sum(row["output_tokens"] or 0 for row in local),
        cloud_output_tokens=sum(row["output_tokens"] or 0 for row in attempts if row["target_id"] != LOCAL_TARGET),
    )


def _wait_for_rows(path: Path, mode: str, wanted: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for _ in range(_LEDGER_CHECKS):
        rows = [row for row in _rows(path, REQUESTS) if row["route"] == mode]
        if len(rows) >= wanted:
            return rows
        time.sleep(_LEDGER_CHECK_S)
    raise LedgerError(f"the ledger has {len(rows)} of {wanted} requests of the mode {mode}; its writer is behind")


def _rows(path: Path, table: Table) -> list[dict[str, Any]]:
    store = LedgerStore.open(path, read_only=True)
    try:
        return [dict(zip(table.columns, values, strict=True)) for values in store.rows(table)]
    finally:
        store.close()
