"""What a decision costs: CPU-µs of ``Controller.handle``, by number of targets and by what waits.

Run ``python benchmarks/decision.py`` for a table, ``--json`` for figures to keep. Cases:

* ``cycle``: a whole request, Arrived → FirstToken → Finished, nothing queued.
* ``arrive home``: Arrived alone, and the home tier takes it at once.
* ``arrive spill``: Arrived alone, with the home tier full: all targets are looked at, the cheapest cloud one runs it.
* ``arrive wait``: Arrived alone, with every target full and 200 requests in the lane: it joins them.
* ``cycle wait``: Finished with 200 requests in the lane: the head starts, and one more arrives.

Time is the process's CPU time; each figure is the median of several rounds, the clean-up between two counted events is
not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator

from overspill.core.commands import StartAttempt
from overspill.core.controller import Controller
from overspill.core.events import Arrived, ClientGone, Finished, FirstToken
from overspill.core.types import LatencyPrior, Policy, Price, Route, RouteTarget, Slo, TargetSpec

TARGETS = (1, 2, 4, 20)
WAITING = 200
NEVER_BUSY = 1_000_000
LOCAL_PRIOR = LatencyPrior(ttft_base_s=0.2, prefill_s_per_token=1e-5)
CLOUD_PRIOR = LatencyPrior(ttft_base_s=0.6)


def policy(targets: int, local_slots: int, cloud_slots: int | None) -> Policy:
    """Half of the targets (at least one) are local and home; the others are priced and the second tier."""
    local = max(1, targets // 2)
    specs = [
        TargetSpec(target_id=f"local-{i}", pool="local", is_local=True, slots=local_slots, prior=LOCAL_PRIOR)
        for i in range(local)
    ]
    specs += [
        TargetSpec(
            target_id=f"cloud-{i}",
            pool="cloud",
            is_local=False,
            slots=cloud_slots,
            prior=CLOUD_PRIOR,
            price=Price(input_usd_per_mtok=0.3 + i / 100, output_usd_per_mtok=1.1),
        )
        for i in range(targets - local)
    ]
    places = [RouteTarget(target_id=s.target_id, model="m") for s in specs]
    tiers = (tuple(places[:local]), tuple(places[local:]))
    route = Route(pattern="m", tiers=tiers, slo=Slo(ttft_s=2.0), deadline_s=600.0, queue_limit=4 * WAITING)
    return Policy(targets=tuple(specs), routes=(route,))


def arrivals() -> Iterator[Arrived]:
    """Make arrivals of one model with prompts of a few hundred tokens."""
    number = 0
    while True:
        number += 1
        yield Arrived(request_id=f"r{number}", model="m", prompt_tokens=200 + number % 300, max_tokens=128)


def measure(step: Callable[[float], float], repeats: int, rounds: int) -> float:
    """Return the median over rounds of the mean CPU-µs that ``step(now)`` says it used."""
    now = 1000.0
    figures = []
    for _ in range(rounds):
        used = 0.0
        for _ in range(repeats):
            now += 0.01
            used += step(now)
        figures.append(used / repeats * 1e6)
    return statistics.median(figures)


def occupy(controller: Controller, now: float, count: int) -> None:
    """Let ``count`` requests arrive that nobody ends."""
    for i in range(count):
        controller.handle(Arrived(request_id=f"kept-{i}", model="m", prompt_tokens=100, deadline_s=1e6), now)


def cycle(targets: int, repeats: int, rounds: int) -> float:
    """Measure whole requests with nothing queued; the clock is read once around all of them."""
    controller = Controller(policy(targets, NEVER_BUSY, None))
    source = arrivals()
    events = [next(source) for _ in range(repeats)]
    figures = []
    now = 1000.0
    for _ in range(rounds):
        begin = time.process_time()
        for event in events:
            now += 0.01
            (start,) = controller.handle(event, now)
            assert isinstance(start, StartAttempt)
            attempt = start.attempt_id
            controller.handle(FirstToken(attempt_id=attempt), now + 0.002)
            controller.handle(Finished(attempt_id=attempt, prompt_tokens=210, output_tokens=64), now + 0.008)
        figures.append((time.process_time() - begin) / repeats * 1e6)
    return statistics.median(figures)


def arrive(targets: int, kept: int, local_slots: int, cloud_slots: int | None, repeats: int, rounds: int) -> float:
    """Measure Arrived alone, beside ``kept`` requests that stay; each client leaves again, uncounted."""
    controller = Controller(policy(targets, local_slots, cloud_slots))
    occupy(controller, 1000.0, kept)
    source = arrivals()

    def step(now: float) -> float:
        event = next(source)
        begin = time.process_time()
        controller.handle(event, now)
        used = time.process_time() - begin
        controller.handle(ClientGone(request_id=event.request_id), now)
        return used

    return measure(step, repeats, rounds)


def cycle_waiting(targets: int, repeats: int, rounds: int) -> float:
    """Measure Arrived and Finished with ``WAITING`` requests queued, so that each Finished starts the next in turn."""
    controller = Controller(policy(targets, 1, 1))
    source = arrivals()
    running: list[int] = []
    for _ in range(targets + WAITING):
        running += [c.attempt_id for c in controller.handle(next(source), 1000.0) if isinstance(c, StartAttempt)]
    turn = 0

    def step(now: float) -> float:
        nonlocal turn
        slot = turn % len(running)
        turn += 1
        arrived, finished = next(source), Finished(attempt_id=running[slot], prompt_tokens=210, output_tokens=64)
        begin = time.process_time()
        controller.handle(arrived, now)
        commands = controller.handle(finished, now)
        used = time.process_time() - begin
        running[slot] = next(c.attempt_id for c in commands if isinstance(c, StartAttempt))
        return used

    return measure(step, repeats, rounds)


def figures(targets: int, repeats: int, rounds: int) -> dict[str, float]:
    """Measure every case for one number of targets."""
    local = max(1, targets // 2)
    return {
        "cycle": cycle(targets, repeats, rounds),
        "arrive home": arrive(targets, 0, NEVER_BUSY, None, repeats, rounds),
        "arrive spill": arrive(targets, local, 1, None, repeats, rounds) if targets > 1 else float("nan"),
        "arrive wait": arrive(targets, targets + WAITING, 1, 1, repeats, rounds),
        "cycle wait": cycle_waiting(targets, repeats, rounds),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU-µs of one decision")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--repeats", type=int, default=2000, help="decisions per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median is shown")
    options = parser.parse_args()
    rows = {targets: figures(targets, options.repeats, options.rounds) for targets in TARGETS}
    if options.json:
        shown = {t: {k: None if v != v else round(v, 2) for k, v in row.items()} for t, row in rows.items()}
        print(json.dumps({"unit": "cpu_us", "waiting": WAITING, "by_targets": shown}))
        return
    print("targets" + "".join(f"{name:>14}" for name in rows[TARGETS[0]]) + "   (CPU-µs)")
    for targets, row in rows.items():
        print(f"{targets:>7}" + "".join(f"{v:>14.1f}" for v in row.values()))


if __name__ == "__main__":
    main()
