"""Measures gateways side by side: CPU per request and per chunk, added latency, memory, start, growth.

Starts one mock upstream and every gateway in front of it, then takes turns (A B C A B C ...) so that a
neighbour's noise falls on all of them, and reports medians. Gateways run on one core, mock and load generator on
another. Every answer is checked by the load generator; what is wrong is printed, and the exit status is then 1.
See ../README.md.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import procs
import report
from gateways import HERE, KEY, KINDS, Gateway, free_port

DIRECT = "direct"  # the mock itself, no gateway between: what latencies are compared with
UPSTREAMS = 2  # ports of the mock, each an engine to a gateway; overspill.yaml names as many
SECTIONS = ("ready", "requests", "chunks", "light", "growth")


@dataclass
class Bench:
    """A run: the mock, the gateways in it, the figures so far and what went wrong."""

    args: argparse.Namespace
    mock_port: int
    gateways: dict[str, Gateway]
    figures: report.Figures = field(default_factory=report.Figures)
    faults: list[str] = field(default_factory=list)

    def upstream_counts(self) -> dict[str, int]:
        """Ask the mock what has reached it so far."""
        connection = http.client.HTTPConnection("127.0.0.1", self.mock_port, timeout=10)
        connection.request("GET", "/stats")
        counts: dict[str, int] = json.loads(connection.getresponse().read())
        connection.close()
        return counts

    def load(self, name: str, **options: float) -> tuple[dict[str, Any], procs.CpuUsed | None]:
        """Run the load generator against one gateway: its report, and the CPU used while requests counted."""
        port = self.mock_port if name == DIRECT else self.gateways[name].port
        argv = [str(HERE / "bin/load"), "--port", str(port), "--key", KEY, "--sync", "1"]
        for key, value in options.items():
            argv += ["--" + key.replace("_", "-"), f"{value:g}"]
        before_counts = self.upstream_counts()
        process = procs.start(argv, self.args.load_core, self.args.folder / "load.log", is_piped=True)
        before = self._at(process, "ready", name)
        after = self._at(process, "done", name)
        out, _ = process.communicate(timeout=60)
        told = json.loads(out)
        self._check(name, told, options, before_counts, self.upstream_counts())
        return told, procs.cpu_between(before, after) if before and after else None

    def _at(self, process: subprocess.Popen[str], word: str, name: str) -> procs.CpuReading | None:
        """Wait for the load generator's word, read the gateway's CPU time, let it go on."""
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if said != word:
            log = (self.args.folder / "load.log").read_text()
            raise SystemExit(f"the load generator said {said!r} instead of {word!r}: {log[-2000:]}")
        reading = None if name == DIRECT else procs.read_cpu(self.gateways[name].pid, self.args.gateway_core)
        process.stdin.write("\n")
        process.stdin.flush()
        return reading

    def _check(
        self,
        name: str,
        told: dict[str, Any],
        options: dict[str, float],
        before: dict[str, int],
        after: dict[str, int],
    ) -> None:
        """Note a fault unless every answer was right and the upstream was asked exactly once for each."""
        if told["failed"]:
            self.faults.append(f"{name}: {told['failed']} of {told['requests']} answers wrong: {told['errors']}")
        asked, sent = after["requests"] - before["requests"], options["requests"] + options["warmup"]
        if asked != sent:
            self.faults.append(f"{name}: {sent:g} requests reached the mock {asked} times")
        for what in ("aborted", "bad"):
            if after[what] != before[what]:
                self.faults.append(f"{name}: the mock counts {after[what] - before[what]} {what} requests")

    def turns(self, *also: str) -> Iterator[str]:
        """Yield names in the order to measure them: round after round."""
        for _ in range(self.args.rounds):
            yield from (*also, *self.gateways)


def measure_ready(bench: Bench) -> None:
    """Time start to first answered chat request, one gateway at a time."""
    for name in bench.turns():
        gateway = bench.gateways[name]
        gateway.start()
        bench.figures.add(name, "ready_s", gateway.ready_s)
        bench.figures.add(name, "idle_rss_mb", procs.rss_mb(gateway.pid))
        gateway.stop()


def measure_requests(bench: Bench) -> None:
    """Run the closed loop, not streamed."""
    a = bench.args
    for name in bench.turns():
        _closed_loop(bench, name, a.connections, a.requests, "")


def _closed_loop(bench: Bench, name: str, connections: int, requests: int, suffix: str) -> None:
    told, used = bench.load(name, connections=connections, requests=requests, warmup=max(requests // 10, connections))
    assert used is not None
    add = bench.figures.add
    add(name, f"cpu_us_per_request{suffix}", used.cpu_s * 1e6 / requests)
    add(name, f"requests_per_s{suffix}", requests / told["wall_s"])
    add(name, f"request_utilisation{suffix}", used.utilisation)
    add(name, f"request_foreign{suffix}", used.foreign)


def measure_chunks(bench: Bench) -> None:
    """Run concurrent streams, one chunk per interval each."""
    a = bench.args
    for name in bench.turns():
        _streams(bench, name, a.streams, a.waves, a.interval_ms * 1000, "")
        bench.figures.add(name, "loaded_rss_mb", procs.rss_mb(bench.gateways[name].pid))


def _streams(bench: Bench, name: str, streams: int, waves: int, interval_us: float, suffix: str) -> None:
    chunks = bench.args.chunks
    told, used = bench.load(
        name, stream=1, connections=streams, requests=streams * waves, warmup=streams, chunks=chunks,
        interval_us=interval_us,
    )  # fmt: skip
    assert used is not None
    add = bench.figures.add
    add(name, f"cpu_us_per_chunk{suffix}", used.cpu_s * 1e6 / (streams * waves * chunks))
    add(name, f"chunk_utilisation{suffix}", used.utilisation)
    add(name, f"chunk_foreign{suffix}", used.foreign)
    for q in ("p50", "p99"):
        add(name, f"chunk_delay_{q}_us{suffix}", told["chunk_delay_us"][q])


def measure_light(bench: Bench) -> None:
    """Send at a low rate on one connection; what is added is the latency less that of the mock alone."""
    a = bench.args
    direct: dict[str, float] = {}
    for name in bench.turns(DIRECT):
        requests = int(a.light_rate * a.light_s)
        told, _ = bench.load(name, rate=a.light_rate, requests=requests, warmup=requests // 10)
        if name == DIRECT:
            direct = told["latency_us"]
        for q in ("p50", "p90", "p99"):
            own = told["latency_us"][q]
            bench.figures.add(name, f"light_{q}_us", own)
            if name != DIRECT:
                bench.figures.add(name, f"added_{q}_us", own - direct[q])


def measure_growth(bench: Bench) -> None:
    """Spread the same requests, and the same chunks per second, over more and more connections."""
    a = bench.args
    for name in bench.turns():
        for n in a.growth:
            _closed_loop(bench, name, n, a.requests, f"@{n}")
            # Total rate and total count stay; only the number of streams that share them grows.
            interval_us = n / a.growth_chunks_per_s * 1e6
            _streams(bench, name, n, max(1, a.growth[-1] // n), interval_us, f"@{n}")


MEASURES: dict[str, Callable[[Bench], None]] = {
    "ready": measure_ready,
    "requests": measure_requests,
    "chunks": measure_chunks,
    "light": measure_light,
    "growth": measure_growth,
}


@contextmanager
def running_mock(args: argparse.Namespace, ports: list[int]) -> Iterator[None]:
    """Run the mock upstream, listening on every port."""
    argv = [str(HERE / "bin/mock")]
    for port in ports:
        argv += ["--port", str(port)]
    process = procs.start(argv, args.load_core, args.folder / "mock.log")
    try:
        yield
    finally:
        procs.stop(process)


def chosen_gateways(args: argparse.Namespace, ports: list[int]) -> dict[str, Gateway]:
    """Set up the gateways asked for; one that cannot run here ends the run, saying what it lacks."""
    gateways: dict[str, Gateway] = {}
    for name in args.only:
        if name not in KINDS:
            raise SystemExit(f"no gateway is called {name!r}; there are: {', '.join(KINDS)}")
        gateway = KINDS[name](ports, args.folder, args.gateway_core, name)
        if why := gateway.missing():
            raise SystemExit(f"{name} cannot run here. {why}. Or leave it out with --only.")
        gateways[name] = gateway
    return gateways


def parse_args() -> argparse.Namespace:
    """Read the command line; the defaults are the settings of the figures in RESULTS.md."""
    names = lambda text: text.split(",")  # noqa: E731
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument(
        "--only",
        type=names,
        default=["overspill", "sglang-router", "sglang-router-round-robin", "nginx"],
        metavar="NAME,...",
        help=f"gateways, of {', '.join(KINDS)} (default: all but the last)",
    )
    p.add_argument(
        "--measure",
        type=names,
        default=list(SECTIONS),
        metavar="SECTION,...",
        help=f"what to measure, of {', '.join(SECTIONS)} (default: all)",
    )
    p.add_argument("--rounds", type=int, default=5, help="turns of each gateway (default %(default)s)")
    p.add_argument("--connections", type=int, default=64, help="closed loop, not streamed (default %(default)s)")
    p.add_argument("--requests", type=int, default=20000, help="counted requests of a turn (default %(default)s)")
    p.add_argument("--streams", type=int, default=200, help="concurrent streams (default %(default)s)")
    p.add_argument("--waves", type=int, default=3, help="counted streams of each connection (default %(default)s)")
    p.add_argument("--chunks", type=int, default=50, help="content chunks of a stream (default %(default)s)")
    p.add_argument(
        "--interval-ms", type=float, default=20.0, help="from chunk to chunk of a stream (default %(default)s)"
    )
    p.add_argument(
        "--light-rate", type=float, default=200.0, help="requests per second at light load (default %(default)s)"
    )
    p.add_argument("--light-s", type=float, default=4.0, help="seconds of a turn at light load (default %(default)s)")
    p.add_argument(
        "--growth",
        type=lambda t: [int(n) for n in t.split(",")],
        default=[10, 100, 1000],
        metavar="N,...",
        help="numbers of connections and streams, growing (default 10,100,1000)",
    )
    p.add_argument("--growth-chunks-per-s", type=float, default=10000.0, help="their total rate (default %(default)s)")
    p.add_argument("--gateway-core", type=int, default=0)
    p.add_argument("--load-core", type=int, default=1)
    p.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every turn there")
    p.add_argument("--keep", type=Path, metavar="FOLDER", help="configurations and logs (default: a temporary folder)")
    return checked(p, p.parse_args())


def checked(p: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments if a run is possible with them; else end with what is wrong."""
    if unknown := set(args.measure) - set(SECTIONS):
        p.error(f"no section is called {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}")
    cores = os.sched_getaffinity(0)
    if not {args.gateway_core, args.load_core} <= cores or args.gateway_core == args.load_core:
        p.error(f"needs two different cores of those this process may use: {sorted(cores)}")
    return args


def run(args: argparse.Namespace) -> Bench:
    """Measure everything that was asked for."""
    ports = [free_port() for _ in range(UPSTREAMS)]
    with ExitStack() as stack:
        stack.enter_context(running_mock(args, ports))
        bench = Bench(args, ports[0], chosen_gateways(args, ports))
        for gateway in bench.gateways.values():
            stack.callback(gateway.stop)
        if "ready" in args.measure:
            measure_ready(bench)
        for gateway in bench.gateways.values():
            gateway.start()
        for section in SECTIONS[1:]:
            if section in args.measure:
                print(f"measuring {section} ...", file=sys.stderr, flush=True)
                MEASURES[section](bench)
    return bench


def main() -> int:
    """Build, measure, print; 0 when every answer was right."""
    args = parse_args()
    os.sched_setaffinity(0, {args.load_core})
    subprocess.run(["make", "--silent", "-C", str(HERE)], check=True)
    with tempfile.TemporaryDirectory(prefix="overspill-bench-") as scratch:
        args.folder = args.keep or Path(scratch)
        args.folder.mkdir(parents=True, exist_ok=True)
        bench = run(args)
        print(report.table(bench.figures, list(bench.gateways)))
        for fault in bench.faults:
            print(f"FAULT {fault}")
        if bench.faults and (args.folder / "load.log").exists():
            print((args.folder / "load.log").read_text()[-4000:], file=sys.stderr)
        if args.json:
            settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
            args.json.write_text(json.dumps(report.document(bench.figures, settings, bench.faults), indent=1) + "\n")
    return 1 if bench.faults else 0


if __name__ == "__main__":
    sys.exit(main())
