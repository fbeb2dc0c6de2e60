"""How fast the simulator is: requests per CPU-second at four targets, and a day of ServeGen's deepseek-r1.

Run ``python benchmarks/simulator.py`` for a table, ``--json`` for figures to keep, ``--day`` for the day too (1.4 M
requests, some minutes). Two local engines of 64 slots are the first tier, two upstreams the second. Cases:

* ``roomy``: the local engines have room for what comes.
* ``full``: 1.5 times what they carry, so that nearly every request finds them full, holds for a slot or spills.
* ``waits``: the same, and the SLO is 20 s, so that hundreds hold and each slot that frees is handed on.
* ``day``: a day as ServeGen draws it, engines of a size that the peak overloads; drawing the requests is counted too.

Time is the process's CPU time. It says whether the modules run interpreted or compiled.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterable

from overspill.core.types import LatencyPrior, Policy, Price, Route, RouteTarget, Slo, TargetSpec
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.workload import TraceRequest

LOCAL = EngineModel(slots=64, step_base_s=0.02, step_s_per_running=0.0005, prefill_s_per_token=2e-5)
CLOUD = EngineModel(slots=4096, step_base_s=0.015)
CARRIED_PER_S = 12.0
"""Requests of 500 and 200 tokens that the two local engines carry, measured by the model itself."""


def world(slo_ttft_s: float, local: EngineModel = LOCAL) -> tuple[Policy, dict[str, TargetModel]]:
    """Make two local targets and two upstreams, with a tariff's price each, and their models."""
    prior = LatencyPrior(
        ttft_base_s=local.step_base_s,
        prefill_s_per_token=local.prefill_s_per_token,
        tpot_base_s=local.step_base_s,
        tpot_s_per_running=local.step_s_per_running,
    )
    specs = [
        TargetSpec(target_id=f"gpu-{i}", pool="local", is_local=True, slots=local.slots, prior=prior) for i in range(2)
    ]
    specs += [
        TargetSpec(
            target_id=f"api-{i}",
            pool="cloud",
            is_local=False,
            prior=LatencyPrior(ttft_base_s=0.5, tpot_base_s=CLOUD.step_base_s),
            price=Price(input_usd_per_mtok=0.3 + i / 100, output_usd_per_mtok=1.1),
        )
        for i in range(2)
    ]
    places = tuple(RouteTarget(target_id=spec.target_id, model="m") for spec in specs)
    route = Route(pattern="m", tiers=(places[:2], places[2:]), slo=Slo(ttft_s=slo_ttft_s), queue_limit=4096)
    models = {
        spec.target_id: TargetModel(engine=local) if spec.is_local else TargetModel(engine=CLOUD, delay_s=0.5)
        for spec in specs
    }
    return Policy(targets=tuple(specs), routes=(route,)), models


def bursts(count: int, per_s: float) -> list[TraceRequest]:
    """Make bursty arrivals (Gamma gaps, coefficient of variation 2) with prompts and answers of mixed lengths."""
    rng = random.Random(7)
    trace, now = [], 0.0
    for _ in range(count):
        now += rng.gammavariate(0.25, 4.0 / per_s)
        trace.append(TraceRequest(now, rng.randrange(100, 900), rng.randrange(50, 350)))
    return trace


def per_cpu_s(trace: Iterable[TraceRequest], slo_ttft_s: float, local: EngineModel = LOCAL) -> dict[str, float]:
    """Simulate and return the count of requests, CPU-s, and requests per CPU-s."""
    policy, models = world(slo_ttft_s, local)
    begun = time.process_time()
    rows = Simulator(policy, models).run(trace, "m")
    cpu_s = time.process_time() - begun
    spilled = sum(1 for row in rows if row.spill is not None)
    return {"requests": len(rows), "spilled": spilled / len(rows), "cpu_s": cpu_s, "per_cpu_s": len(rows) / cpu_s}


def main() -> None:
    """Print the table or the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--requests", type=int, default=20_000, help="of each case")
    args = parser.parse_args()
    found = {
        "roomy": per_cpu_s(bursts(args.requests, 0.5 * CARRIED_PER_S), 2.0),
        "full": per_cpu_s(bursts(args.requests, 1.5 * CARRIED_PER_S), 2.0),
        "waits": per_cpu_s(bursts(args.requests, 1.5 * CARRIED_PER_S), 20.0),
    }
    for case, figures in found.items():
        print(case, figures)


if __name__ == "__main__":
    main()
