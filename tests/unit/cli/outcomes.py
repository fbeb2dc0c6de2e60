"""A rehearsal's outcome without the rehearsal, for the tests of what is made of one."""

from __future__ import annotations

from typing import Any

from overspill.cli.rehearsal.measure import Capacity, ModeFigures
from overspill.cli.rehearsal.outcome import Outcome
from overspill.cli.rehearsal.stage import Scene
from overspill.gateway.rehearsal.summary import HOME, RequestResult, Summary, summarise
from overspill.perf.engine_model import EngineModel
from overspill.perf.latency import EngineFit
from overspill.planner.workload import TraceRequest

CLOUD = EngineModel(slots=64, step_base_s=0.01)
FIT = EngineFit(
    step_base_s=0.02,
    step_s_per_running=0.001,
    prefill_s_per_token=0.0001,
    ttft_overhead_s=0.004,
    tpot_error=0.01,
    ttft_error=None,
    decode_count=3,
    prefill_count=0,
)
TRACE = tuple(TraceRequest(0.1 * number, 40, 20) for number in range(60))


def a_scene(**changes: Any) -> Scene:
    fields: dict[str, Any] = {
        "engine": "fake",
        "max_batch_size": 4,
        "engine_options": {},
        "cloud": CLOUD,
        "price_input": 0.1,
        "price_output": 0.5,
    }
    return Scene(**{**fields, **changes})


def a_result(index: int, **changes: Any) -> RequestResult:
    fields: dict[str, Any] = {
        "index": index,
        "planned_s": 0.1 * index,
        "sent_s": 0.1 * index,
        "e2e_s": 0.5,
        "ttft_s": 0.1,
        "status": 200,
        "output_tokens": 20,
        "finish_reason": "length",
        "target": "local/0",
        "reason": HOME,
    }
    return RequestResult(**{**fields, **changes})


def a_summary(home: int = 3, spilled: int = 2, refused: int = 1) -> Summary:
    """Add up requests of each kind."""
    away = {"reason": "local_full", "target": "cloud/rehearsal/rehearsal", "ttft_s": 0.3}
    no = {"status": 503, "error": "status", "ttft_s": None, "output_tokens": 0, "target": None, "reason": None}
    kinds: list[dict[str, Any]] = [{}] * home + [away] * spilled + [no] * refused
    return summarise((a_result(index, **kind) for index, kind in enumerate(kinds)), slo_ttft_s=1.0)


def figures(summary: Summary) -> ModeFigures:
    return ModeFigures(summary=summary, cost_usd=0.5, local_busy=0.9, local_output_tokens=60, cloud_output_tokens=40)


def an_outcome(**changes: Any) -> Outcome:
    fields: dict[str, Any] = {
        "made_at": "2026-11-23T00:00:00+00:00",
        "machine": "a machine, 2 cores",
        "trace_source": "made up",
        "over": 3.0,
        "scene": a_scene(),
        "capacity": Capacity(requests_per_s=5.0, output_tokens_per_s=100.0, sample=24),
        "engine_fit": FIT,
        "trace": TRACE,
        "modes": {
            "local-only": figures(a_summary(4, 0, 2)),
            "cloud-only": figures(a_summary(6, 0, 0)),
            "hybrid": figures(a_summary(4, 2, 0)),
        },
    }
    return Outcome(**{**fields, **changes})
