"""How fast the built-in model is: llama.cpp's own worker, asked directly, and the same through the gateway.

    .venv/bin/python benchmarks/model.py --rounds 40

Two workers run, one started here and one under `overspill serve`; they take turns (direct, gateway, gateway, direct …),
so that noise falls on both, and who does not work costs nothing. A round is as short as it can be, as many answers as
there are streams, so that what disturbs this machine for seconds falls on both sides of a pair; and a pair in which
processes that are none of ours took more than `--others` of a core is measured again. A figure is the median over the
rounds; the gateway's cost is the median of the rounds' ratios, with a 95 % interval of it (bootstrap). Answers are
streamed, of exactly `--tokens` tokens (`ignore_eos`), greedy. The client is a loop around `epoll` that looks at nothing
but an answer's end: it shares the cores with what it measures. CPU times are the kernel's, by process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overspill.models import DEFAULT_TEMPERATURE, KNOWN_ANSWER, shipped_path, shipped_sha256
from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.protocol import EngineSpec

SLOTS = 32
CONTEXT_TOKENS = 4096
KEY = "benchmark"
TAIL_BYTES = 2000
RESAMPLES = 2000
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Timing:
    """One round on one side: the speed, our processes' CPU time, and how many cores all other processes took."""

    tokens_per_s: float
    cpu_s: dict[str, float]
    others: float


@dataclass(frozen=True)
class Side:
    """One way to the model: where it listens, what to send along, which processes work for it."""

    name: str
    address: str | tuple[str, int]
    key: str | None
    processes: dict[str, int]

    def request(self, number: int, tokens: int) -> bytes:
        """Return one request as bytes."""
        body = {
            "model": "overspill-tiny",
            "messages": [{"role": "user", "content": f"Tell me a story. {number}"}],
            "max_tokens": tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
        }
        content = json.dumps(body).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
            f"content-length: {len(content)}\r\n"
        )
        if self.key is not None:
            head += f"authorization: Bearer {self.key}\r\n"
        return head.encode() + b"content-type: application/json\r\n\r\n" + content

    def connect(self) -> socket.socket:
        """Open a connection."""
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.connect(self.address)
        return connection

    def time(self, streams: int, answers: int, tokens: int) -> Timing:
        """Keep ``streams`` answers under way until there are ``answers``."""
        before, all_before = {name: cpu_s(pid) for name, pid in self.processes.items()}, machine_s()
        started = time.perf_counter()
        self._ask(streams, answers, tokens)
        took_s = time.perf_counter() - started
        ours = {name: cpu_s(pid) - before[name] for name, pid in self.processes.items()}
        others = max(0.0, machine_s() - all_before - sum(ours.values())) / took_s
        return Timing(answers * tokens / took_s, ours, others)

    def _ask(self, streams: int, answers: int, tokens: int) -> None:
        numbers = iter(range(answers))
        with selectors.DefaultSelector() as selector:

            def begin() -> bool:
                if (number := next(numbers, None)) is None:
                    return False
                connection = self.connect()
                connection.sendall(self.request(number, tokens))
                selector.register(connection, selectors.EVENT_READ, [b""])
                return True

            running = sum(begin() for _ in range(streams))
            while running:
                for key, _ in selector.select():
                    connection: Any = key.fileobj
                    piece = connection.recv(65536)
                    if piece:
                        key.data[0] = piece if len(piece) > TAIL_BYTES else (key.data[0] + piece)[-TAIL_BYTES:]
                        continue
                    selector.unregister(connection)
                    connection.close()
                    self._check(key.data[0])
                    running += begin() - 1

    def _check(self, tail: bytes) -> None:
        if b"[DONE]" not in tail or b'"finish_reason":"length"' not in tail.replace(b" ", b""):
            raise SystemExit(f"an answer of {self.name} did not end as it should: {tail!r}")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process, threads that have ended included; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def machine_s() -> float:
    """Return the CPU time of everything on this machine; 0 where there is no /proc."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S


def engine_of(pid: int) -> int | None:
    """Return the gateway's engine among the processes that it started."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            if b"llamacpp_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


@contextlib.contextmanager
def direct(folder: Path, variant: str, threads: int | None) -> Iterator[Side]:
    """Start the worker alone, as the supervisor does."""
    spec = EngineSpec(
        name="direct",
        model=str(shipped_path(variant)),
        served_name="overspill-tiny",
        max_batch_size=SLOTS,
        context_tokens=CONTEXT_TOKENS,
        threads=threads,
        sha256=shipped_sha256(variant),
        known_answer=KNOWN_ANSWER,
        default_temperature=DEFAULT_TEMPERATURE,
    )
    launch = EmbeddedLlamaCpp().launch(spec, run_dir=str(folder), api_key=KEY)
    process = subprocess.Popen(
        launch.argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **launch.env},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert launch.origin.uds_path is not None
    with process, process.stdin, process.stdout:
        try:
            process.stdin.write(launch.stdin)
            process.stdin.close()
            while (status := json.loads(process.stdout.readline()))["status"] != "ready":
                if status["status"] == "failed":
                    raise SystemExit(status["reason"])
            yield Side("the worker", launch.origin.uds_path, KEY, {"engine": process.pid, "client": os.getpid()})
        finally:
            process.terminate()


@contextlib.contextmanager
def gateway(folder: Path, variant: str, threads: int | None) -> Iterator[Side]:
    """Start ``overspill serve`` without a configuration, as a user does."""
    address_file = folder / "address"
    more = [] if threads is None else ["--set", f"pools.local.threads={threads}"]
    process = subprocess.Popen(
        [
            *(os.environ.get("OVERSPILL", f"{Path(sys.executable).parent}/overspill"), "serve", "--quiet"),
            *("--no-discovery", "--port", "0", "--model", f"builtin:{variant}", "--address-file", str(address_file)),
            *more,
        ],
        env={**os.environ, "XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            while not (address_file.exists() and address_file.read_text(encoding="utf-8").endswith("\n")):
                if process.poll() is not None:
                    raise SystemExit("the gateway ended before it was ready")
                time.sleep(0.05)
            host, _, port = address_file.read_text(encoding="utf-8").strip().rpartition(":")
            processes = {"gateway": process.pid, "engine": engine_of(process.pid) or 0, "client": os.getpid()}
            yield Side("the gateway", (host, int(port)), None, processes)
        finally:
            process.terminate()


def measure(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Let both sides take turns; return a row for each number of streams."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with (
            direct(folder, asked.variant, asked.threads) as worker,
            gateway(folder, asked.variant, asked.threads) as front,
        ):
            for streams in asked.streams:
                answers = max(asked.answers, streams)
                for side in (worker, front):
                    side.time(streams, 2 * answers, asked.tokens)  # first calls pay for what later ones reuse
                pairs = _pairs(asked, worker, front, streams, answers)
                rows.append(_row(streams, pairs) | _cpu(pairs, asked.rounds * answers * asked.tokens))
    return rows


def _pairs(
    asked: argparse.Namespace, worker: Side, front: Side, streams: int, answers: int
) -> list[tuple[Timing, Timing]]:
    """Measure as many undisturbed pairs as were asked for; give up after ten times as many."""
    pairs: list[tuple[Timing, Timing]] = []
    for number in range(10 * asked.rounds):
        order = (worker, front) if number % 2 == 0 else (front, worker)
        found = {side.name: side.time(streams, answers, asked.tokens) for side in order}
        if all(timing.others <= asked.others for timing in found.values()):
            pairs.append((found[worker.name], found[front.name]))
        if len(pairs) == asked.rounds:
            return pairs
    raise SystemExit(f"only {len(pairs)} pairs of {10 * asked.rounds} were undisturbed; wait, or raise --others")


def _row(streams: int, pairs: Sequence[tuple[Timing, Timing]]) -> dict[str, Any]:
    speeds = [(alone.tokens_per_s, through.tokens_per_s) for alone, through in pairs]
    costs = [1 - through / alone for alone, through in speeds]
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(costs, k=len(costs))) for _ in range(RESAMPLES))
    return {
        "streams": streams,
        "worker_tokens_per_s": statistics.median(alone for alone, _ in speeds),
        "gateway_tokens_per_s": statistics.median(through for _, through in speeds),
        "gateway_cost": statistics.median(costs),
        "gateway_cost_from": medians[RESAMPLES // 40],
        "gateway_cost_to": medians[-RESAMPLES // 40],
        "rounds": speeds,
    }


def _cpu(pairs: Sequence[tuple[Timing, Timing]], tokens: int) -> dict[str, dict[str, float]]:
    """Return the CPU time of a token by process, in microseconds, on either side."""
    found = {}
    for label, timings in zip(("worker_cpu_us", "gateway_cpu_us"), zip(*pairs, strict=True), strict=True):
        names = timings[0].cpu_s
        found[label] = {name: sum(timing.cpu_s[name] for timing in timings) / tokens * 1e6 for name in names}
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--answers", type=int, default=1, help="answers in a round, at least as many as streams")
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--threads", type=int, help="the engine's; as it would choose if left out")
    parser.add_argument("--others", type=float, default=0.1, help="cores that other processes may take in a round")
    parser.add_argument("--variant", default="q8_0")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked)
    if asked.json:
        print(json.dumps(rows))
        return
    print("| streams | worker, tokens/s | gateway, tokens/s | the gateway costs (95 % interval) | CPU µs/token |")
    print("|---|---|---|---|---|")
    for row in rows:
        cost = f"{row['gateway_cost']:.1%} ({row['gateway_cost_from']:.1%} to {row['gateway_cost_to']:.1%})"
        cpu = ", ".join(f"{name} {us:.0f}" for name, us in row["gateway_cpu_us"].items())
        cpu += "; without it " + ", ".join(f"{name} {us:.0f}" for name, us in row["worker_cpu_us"].items())
        speeds = f"{row['worker_tokens_per_s']:.0f} | {row['gateway_tokens_per_s']:.0f}"
        print(f"| {row['streams']} | {speeds} | {cost} | {cpu} |")


if __name__ == "__main__":
    main()
