"""What a rehearsal leaves behind: one JSON file with its scene, its trace, its figures, and what a simulation needs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import msgspec

from overspill import __version__
from overspill.cli.rehearsal.measure import LOCAL_TARGET, Capacity, ModeFigures
from overspill.cli.rehearsal.stage import CLOUD_ONLY, HYBRID, LOCAL_ONLY, Scene
from overspill.config.compile import engine_weights
from overspill.core.types import Policy, Price, Route, RouteTarget, Slo, TargetSpec
from overspill.errors import TraceError
from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.perf.latency import EngineFit
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.workload import TraceRequest

CLOUD_TARGET = "cloud/rehearsal/rehearsal"
FORMAT = 1
_PAUSE_S = 1.0
"""Between the last answer of one mode and the first request of the next."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal's file."""

    overspill_rehearsal: int = FORMAT
    version: str = __version__
    made_at: str
    machine: str
    trace_source: str
    over: float
    """Offered load as a multiple of what the local engine can carry."""
    scene: Scene
    capacity: Capacity
    engine_fit: EngineFit
    trace: tuple[TraceRequest, ...]
    modes: dict[str, ModeFigures]


def describe_machine() -> str:
    """Return the processor and how many of its cores this process may use."""
    model = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{next(names, model)}, {cores} cores, Python {platform.python_version()}"


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Write the file; raise ``TraceError`` if that fails."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=1) + b"\n")
    except OSError as error:
        raise TraceError(f"the rehearsal cannot be written to {path}: {error.strerror}; check the folder") from error


def read_outcome(path: Path) -> Outcome:
    """Read the file; raise ``TraceError`` if it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Outcome)
    except OSError as error:
        raise TraceError(f"the rehearsal {path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TraceError(
            f"{path} is no rehearsal of this version; make one with overspill rehearse: {error}"
        ) from error


def policy_of(outcome: Outcome) -> Policy:
    """Return the policy that was rehearsed, with an engine that is ready from the start.

    The controller begins with the beliefs that a new one has, not with what was measured: its learning is part of what
    is simulated.
    """
    scene = outcome.scene
    local = TargetSpec(
        target_id=LOCAL_TARGET,
        pool="local",
        is_local=True,
        slots=scene.max_batch_size,
        context_tokens=scene.context_tokens,
    )
    price = Price(input_usd_per_mtok=scene.price_input, output_usd_per_mtok=scene.price_output)
    account = CLOUD_TARGET.rpartition("/")[0]
    cloud = TargetSpec(target_id=CLOUD_TARGET, pool="cloud", is_local=False, price=price, account=account)
    home = (RouteTarget(target_id=LOCAL_TARGET, model="rehearsed", weights=engine_weights(scene.model, None)),)
    away = (RouteTarget(target_id=CLOUD_TARGET, model="rehearsal"),)
    tiers = {HYBRID: (home, away), LOCAL_ONLY: (home,), CLOUD_ONLY: (away,)}
    routes = tuple(
        Route(
            pattern=mode,
            tiers=tiers[mode],
            slo=Slo(ttft_s=scene.slo_ttft_s),
            deadline_s=scene.deadline_s,
            queue_limit=scene.queue_limit,
            local_only=mode == LOCAL_ONLY,
        )
        for mode in tiers
    )
    return Policy(targets=(local, cloud), routes=routes)


def models_of(outcome: Outcome) -> dict[str, TargetModel]:
    """Return the targets' models: the local engine as it was measured, the cloud as it was rehearsed."""
    fit = played_fit(outcome)
    if fit is None:
        local = TargetModel(engine=probed_engine(outcome), delay_s=outcome.engine_fit.ttft_overhead_s)
    else:
        local = TargetModel(engine=_engine(outcome.scene, fit), delay_s=fit.ttft_overhead_s)
    return {LOCAL_TARGET: local, CLOUD_TARGET: TargetModel(engine=outcome.scene.cloud)}


def simulate_modes(outcome: Outcome) -> dict[str, list[SimulatedRequest]]:
    """Simulate every mode, one after the other as they were played: what was learned in one is known in the next.

    Times of arrival are from the beginning of each.
    """
    simulator = Simulator(policy_of(outcome), models_of(outcome))
    found: dict[str, list[SimulatedRequest]] = {}
    begin_s = 0.0
    for mode in outcome.modes:
        trace = [msgspec.structs.replace(request, at_s=begin_s + request.at_s) for request in outcome.trace]
        rows = found[mode] = simulator.run(trace, mode)
        next_s = max(row.at_s + (row.e2e_s or 0.0) for row in rows) + _PAUSE_S
        for row in rows:
            row.at_s -= begin_s
        begin_s = next_s
    return found


def played_fit(outcome: Outcome) -> EngineFit | None:
    """Return how fast the local engine was while the trace was played to it alone; ``None`` if that is not known.

    It is the same machine minutes later, under the same mixture: closer to the hybrid than what was probed before, and
    nothing of the hybrid is in it.
    """
    alone = outcome.modes.get(LOCAL_ONLY)
    return None if alone is None else alone.local_fit


def probed_engine(outcome: Outcome) -> EngineModel:
    """Return the local engine's model before any trace was played: its shape from the fit, its scale from the capacity.

    The fit sees one kind of work at a time, on an engine that has the machine to itself; the capacity probe is the
    trace's own mixture. Where the fitted engine would have carried that sample faster or slower, all its costs are
    scaled by the difference (1.20 and 1.18 for the built-in model on two busy cores, 1.005 for a fake engine; 2026-11).
    """
    fitted = _engine(outcome.scene, outcome.engine_fit)
    sample = outcome.trace[: outcome.capacity.sample]
    if len(sample) < outcome.capacity.sample:  # the trace was cut shorter than what was probed
        return fitted
    scale = len(sample) / outcome.capacity.requests_per_s / _burst_s(fitted, sample)
    return msgspec.structs.replace(
        fitted,
        step_base_s=fitted.step_base_s * scale,
        step_s_per_running=fitted.step_s_per_running * scale,
        prefill_s_per_token=fitted.prefill_s_per_token * scale,
    )


def _engine(scene: Scene, fit: EngineFit) -> EngineModel:
    return EngineModel(
        slots=scene.max_batch_size,
        step_base_s=fit.step_base_s,
        step_s_per_running=fit.step_s_per_running,
        prefill_s_per_token=fit.prefill_s_per_token,
        prefill_chunk_tokens=scene.prefill_chunk_tokens(),
        context_tokens=scene.context_tokens,
    )


def _burst_s(engine: EngineModel, requests: Sequence[TraceRequest]) -> float:
    """Return how long the engine needs for requests that all come at once."""
    batch = Batch(engine)
    for number, request in enumerate(requests):
        tokens = engine.answer_tokens(request.prompt_tokens, request.output_tokens)
        batch.admit(number, request.prompt_tokens, tokens, 0.0)
    return batch.advance(float("inf"))[-1].at_s
