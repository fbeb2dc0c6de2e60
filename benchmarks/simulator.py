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
import json
import platform
import random
import time
from collections.abc import Iterable

from overspill.core.types import LatencyPrior, Policy, Price, Route, RouteTarget, Slo, TargetSpec
from overspill.perf.engine_model import EngineModel
from overspill.planner import simulator
from overspill.planner.scenario import scenario
from overspill.planner.simulated import TargetModel
from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.reading import open_workload

LOCAL = EngineModel(slots=64, step_base_s=0.02, step_s_per_running=0.0005, prefill_s_per_token=2e-5)
CLOUD = EngineModel(slots=4096, step_base_s=0.015)
CARRIED_PER_S = 12.0
"""Requests of 500 and 200 tokens that the two local engines carry: 2 × 64 slots, each held for some 10 s."""
CASES = {"roomy": (0.5, 2.0), "full": (1.5, 2.0), "waits": (1.5, 20.0)}
"""Load as a multiple of that, and the SLO of the first token."""
DAY_LOCAL = EngineModel(slots=256, step_base_s=0.02, step_s_per_running=0.00008, prefill_s_per_token=1e-5)
"""A node of eight GPUs each, roughly: the day's mean load fills two of them."""
Figures = dict[str, float]


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


def per_cpu_s(trace: Iterable[TraceRequest], slo_ttft_s: float, local: EngineModel = LOCAL) -> Figures:
    """Simulate, add up by the hour as the planner does, and return what it took."""
    policy, models = world(slo_ttft_s, local)
    played = scenario("benchmark", policy, "m", models=models)
    tally = played.tally(3600.0)
    begun = time.process_time()
    count = played.play(trace, tally.add)
    total = tally.total()
    cpu_s = time.process_time() - begun
    return {
        "requests": count,
        "spilled": total.spilled_share,
        "cpu_s": cpu_s,
        "per_cpu_s": count / cpu_s,
    }


def best(count: int, rounds: int, load: float, slo_ttft_s: float) -> Figures:
    """Return the fastest of several rounds: what else the machine does only ever makes it slower."""
    trace = bursts(count, load * CARRIED_PER_S)
    return max((per_cpu_s(trace, slo_ttft_s) for _ in range(rounds)), key=lambda figures: figures["per_cpu_s"])


def day() -> Figures:
    """Simulate a day as ServeGen draws it; the densities of lengths come with Overspill."""
    workload = open_workload("bundled:servegen-deepseek-r1")
    return per_cpu_s(workload.requests(), 2.0, DAY_LOCAL)


def main() -> None:
    """Print the table or the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--requests", type=int, default=20_000, help="of each case")
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts")
    parser.add_argument("--day", action="store_true", help="simulate the day too")
    args = parser.parse_args()
    found = {case: best(args.requests, args.rounds, load, slo) for case, (load, slo) in CASES.items()}
    if args.day:
        found["day"] = day()
    how = "interpreted" if (simulator.__file__ or "").endswith(".py") else "compiled"
    if args.json:
        print(json.dumps({"modules": how, "python": platform.python_version(), "cases": found}))
        return
    print(f"Python {platform.python_version()}, modules {how}")
    print("| case | requests | spilled | CPU-s | requests per CPU-s |\n|---|---|---|---|---|")
    for case, row in found.items():
        cells = f"{row['requests']:,.0f} | {row['spilled']:.1%} | {row['cpu_s']:.2f} | {row['per_cpu_s']:,.0f}"
        print(f"| {case} | {cells} |")


if __name__ == "__main__":
    main()
