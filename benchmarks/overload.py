"""Overload with nowhere to spill: what is answered in time at 1 to 5 times what the engine can do, and who gets it.

The gateway's own controller in virtual time (the simulate driver), against one modelled engine; first one key for all
requests, then three: ``steady`` and ``greedy`` weigh 1, ``paying`` weighs 2; ``greedy`` sends most, and its answers are
three times as long. With three keys the goodput grows with the load: short answers get more of the engine.

    .venv/bin/python benchmarks/overload.py
"""

from __future__ import annotations

import time
from zlib import crc32

from overspill.core.types import (
    Client,
    LatencyPrior,
    Outcome,
    Policy,
    Route,
    RouteTarget,
    Slo,
    TargetSpec,
)
from overspill.perf.engine_model import EngineModel
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import simulate
from overspill.planner.workload import TraceRequest

SLOTS = 16
ENGINE = EngineModel(slots=SLOTS, step_base_s=0.01, step_s_per_running=0.0005, prefill_s_per_token=0.0001)
SLO_S, DEADLINE_S, SECONDS, WARM_S = 2.0, 20.0, 300.0, 30.0
Keys = dict[str, tuple[float, float, int]]
"""Weight, share of the requests, tokens of an answer in the mean."""
ONE: Keys = {"everybody": (1.0, 1.0, 200)}
THREE: Keys = {"steady": (1.0, 0.3, 100), "greedy": (1.0, 0.5, 300), "paying": (2.0, 0.2, 100)}
STEP_S = ENGINE.step_base_s + SLOTS * ENGINE.step_s_per_running


def chance(*names: object) -> float:
    """Return a number from 0 to 1 that only depends on the names."""
    return crc32("/".join(map(str, names)).encode()) / 2**32


def capacity(keys: Keys) -> float:
    """Return the requests per second that the engine can do, were all slots always full of the mixture."""
    return SLOTS / (sum(share * tokens for _, share, tokens in keys.values()) * STEP_S)


def trace(keys: Keys, times: float) -> list[TraceRequest]:
    """Make uneven arrivals at ``times`` the capacity, of every key its share of the requests."""
    requests: list[TraceRequest] = []
    for key, (_, share, tokens) in keys.items():
        gap_s = 1.0 / (capacity(keys) * times * share)
        for n in range(int(SECONDS / gap_s)):
            length = max(2, round(tokens * (0.2 + 1.6 * chance("length", key, n))))
            at_s = gap_s * (n + chance("at", key, n))
            requests.append(TraceRequest(at_s, 20 + int(180 * chance("prompt", key, n)), length, key))
    return sorted(requests, key=lambda request: request.at_s)


def policy(keys: Keys) -> Policy:
    """Return one engine, one route that cannot spill, and the keys with their weights."""
    prior = LatencyPrior(ttft_base_s=0.1, prefill_s_per_token=0.0002, tpot_base_s=STEP_S)
    gpu = TargetSpec(target_id="gpu", pool="local", is_local=True, slots=SLOTS, prior=prior)
    route = Route(
        pattern="m",
        tiers=((RouteTarget(target_id="gpu", model="m"),),),
        slo=Slo(ttft_s=SLO_S),
        deadline_s=DEADLINE_S,
        queue_limit=256,
    )
    clients = tuple(Client(key_id=key, weight=weight) for key, (weight, _, _) in keys.items())
    return Policy(targets=(gpu,), routes=(route,), clients=clients)


def in_time(row: SimulatedRequest) -> bool:
    """Say whether a request had its first token within the SLO, and its whole answer."""
    return row.outcome is Outcome.COMPLETED and row.ttft_s is not None and row.ttft_s <= SLO_S


def held_s(row: SimulatedRequest) -> float:
    """Return how long a row held its slot between the warm-up and the end of arrivals."""
    if row.target_id is None or row.e2e_s is None or row.queue_wait_s is None:
        return 0.0
    return max(0.0, min(row.at_s + row.e2e_s, SECONDS) - max(row.at_s + row.queue_wait_s, WARM_S))


def main() -> None:
    """Print a table for each mixture."""
    for keys in (ONE, THREE):
        measure(keys)


def measure(keys: Keys) -> None:
    """Run one mixture at each load."""
    print(f"{len(keys)} key(s), capacity {capacity(keys):.2f}/s, SLO {SLO_S:g} s, deadline {DEADLINE_S:g} s")
    print("load | goodput/s | of peak | longest wait s | rejected | evicted | CPU s | slot time by key")
    figures = []
    for times in (0.5, 1.0, 1.5, 2.0, 3.0, 5.0):
        began = time.process_time()
        rows = simulate(trace(keys, times), policy(keys), {"gpu": TargetModel(engine=ENGINE)}, "m")
        cpu_s = time.process_time() - began
        seen = [row for row in rows if WARM_S <= row.at_s + (row.e2e_s or 0.0) < SECONDS]
        figures.append((times, sum(map(in_time, seen)) / (SECONDS - WARM_S), rows, cpu_s))
    peak = max(goodput for _, goodput, _, _ in figures)
    for times, goodput, rows, cpu_s in figures:
        started = [row.queue_wait_s for row in rows if row.queue_wait_s is not None]
        unanswered = [row.e2e_s or 0.0 for row in rows if row.outcome is Outcome.EVICTED]
        outcomes = [row.outcome for row in rows]
        held = {key: sum(held_s(row) for row in rows if row.key_id == key) for key in keys}
        shares = ", ".join(f"{key} {100 * s / sum(held.values()):.1f} %" for key, s in held.items())
        print(
            f"{times:4g} | {goodput:9.2f} | {100 * goodput / peak:5.1f} % | {max([*started, *unanswered]):14.2f} | "
            f"{outcomes.count(Outcome.REJECTED):8d} | {outcomes.count(Outcome.EVICTED):7d} | {cpu_s:5.1f} | {shares}"
        )


if __name__ == "__main__":
    main()
