"""Targets with their models, for the simulator's tests."""

from __future__ import annotations

from typing import Any

from tests.unit.core.making import policy

from overspill.core.types import LatencyPrior, Policy, Price, Route, TargetSpec
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import simulate
from overspill.planner.workload import TraceRequest

ENGINE = EngineModel(slots=4, step_base_s=0.02, step_s_per_running=0.001, prefill_s_per_token=0.0001)
CLOUD = EngineModel(slots=512, step_base_s=0.01)


def home(target_id: str = "gpu", engine: EngineModel = ENGINE, **rest: Any) -> TargetSpec:
    """Make a local target that knows its engine's speed."""
    prior = LatencyPrior(
        ttft_base_s=engine.step_base_s,
        prefill_s_per_token=engine.prefill_s_per_token,
        tpot_base_s=engine.step_base_s,
        tpot_s_per_running=engine.step_s_per_running,
    )
    fields = {"slots": engine.slots, "prior": prior, **rest}
    return TargetSpec(target_id=target_id, pool="local", is_local=True, **fields)


def away(target_id: str = "api", usd: float = 1.0) -> TargetSpec:
    """Make a rented target."""
    price = Price(input_usd_per_mtok=usd, output_usd_per_mtok=usd)
    return TargetSpec(
        target_id=target_id, pool="cloud", is_local=False, price=price, prior=LatencyPrior(ttft_base_s=0.1)
    )


def even(count: int, every_s: float, prompt_tokens: int = 50, output_tokens: int = 20) -> list[TraceRequest]:
    """Make a trace of equal requests at equal distances."""
    return [TraceRequest(number * every_s, prompt_tokens, output_tokens) for number in range(count)]


def run(
    trace: list[TraceRequest],
    *targets: TargetSpec,
    routes: tuple[Route, ...] = (),
    models: dict[str, TargetModel] | None = None,
    local_only: bool = False,
) -> list[SimulatedRequest]:
    """Simulate ``trace``; local targets are ``ENGINE`` and others ``CLOUD`` unless ``models`` says otherwise."""
    world: Policy = policy(*targets, routes=routes)
    known = {t.target_id: TargetModel(engine=ENGINE if t.is_local else CLOUD) for t in targets}
    return simulate(trace, world, {**known, **(models or {})}, "m", local_only=local_only)
