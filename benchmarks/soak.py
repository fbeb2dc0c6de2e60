"""Memory under faults: many requests through a gateway process whose home target fails one in ten; RSS on the way.

Run ``python benchmarks/soak.py`` for 200,000 requests, ``--requests N`` for fewer, ``--json`` for figures to keep.
``OVERSPILL`` names the program to run. Linux only: memory is read in ``/proc``.

Three processes beside this one, which is the clients: a rehearsal engine with faults as home, a healthy one to spill
to and to continue broken streams, and the gateway with its ledger. Half of the requests are streamed, half are chats.
Each answer is checked as the fault lab checks it. The exit status is 1 if one is neither whole nor an error that says
so, or if memory grew by more than a twentieth after the first fifth of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.rehearsal.faults import (
    HTML_ERROR,
    BadEventAfterTokens,
    CutAfterTokens,
    EndAfterTokens,
    ErrorEventAfterTokens,
    ErrorStatus,
    Fault,
    FixedBody,
    KeepaliveOnly,
)
from overspill.gateway.rehearsal.scenarios import OUTPUT_TOKENS, Shape
from overspill.gateway.rehearsal.verdict import Verdict, judge
from overspill.gateway.rehearsal.witness import ask
from overspill.wire.http import HttpCall, Origin

FAULTS: tuple[Fault, ...] = (
    ErrorStatus(every=61, status=503),
    ErrorStatus(every=67, status=429),
    CutAfterTokens(every=71),
    CutAfterTokens(every=73, tokens=5),
    EndAfterTokens(every=79, finish_reason="stop"),
    KeepaliveOnly(every=83, period_s=0.001, count=3),
    FixedBody(every=89, content_type="text/html", body=HTML_ERROR),
    ErrorEventAfterTokens(every=97, tokens=3),
    BadEventAfterTokens(every=503, tokens=2),
)
"""Primes, so that they seldom meet: the sum of their shares is 10.6 %."""
ENGINE = {"slots": 256, "step_base_s": 0.001}
GOOD = {Verdict.WHOLE, Verdict.ERROR}
GROWTH = 1.05
SETTLED = 0.2
SAMPLES = 40
PATIENCE_S = 60.0


async def start_engine(faults: tuple[Fault, ...]) -> tuple[asyncio.subprocess.Process, int]:
    """Start a rehearsal engine; return it and its port."""
    config = {"engine": ENGINE, "faults": msgspec.to_builtins(faults)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "overspill.gateway.rehearsal.engine", json.dumps(config)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    status = json.loads(await process.stdout.readline())
    return process, int(status["address"].rpartition(":")[2])


async def start_gateway(folder: Path, home: int, backup: int) -> tuple[asyncio.subprocess.Process, Origin]:
    """Start the gateway; return it and where it listens."""
    config = {
        "server": {"port": 0},
        "pools": {
            "home": {
                "upstream": "openai_compatible",
                "base_url": f"http://127.0.0.1:{home}/v1",
                "accounts": [{"name": "soak", "api_key": "env:SOAK_KEY"}],
                "price": {"input": 0.3, "output": 1.2},
                "weights": "rehearsed",
            },
            "backup": {
                "attach": "llamacpp",
                "url": f"http://127.0.0.1:{backup}",
                "slots": ENGINE["slots"],
                "weights": "rehearsed",
                "verify_continuation": True,
            },
        },
        "routes": [{"model": "soak", "tiers": [[{"pool": name, "model": "rehearsed"}] for name in ("home", "backup")]}],
        "breaker": {"cooldown": "1ms"},
        "ledger": {"path": str(folder / "ledger.db")},
        "log": {"level": "error"},
    }
    path, addresses = folder / "overspill.yaml", folder / "addresses"
    path.write_text(json.dumps(config), encoding="utf-8")
    program = os.environ.get("OVERSPILL", str(Path(sys.executable).with_name("overspill")))
    process = await asyncio.create_subprocess_exec(
        program,
        *("serve", "--config", str(path), "--quiet", "--address-file", str(addresses)),
        env={**os.environ, "SOAK_KEY": "soak"},
    )
    async with asyncio.timeout(30.0):
        while not (addresses.exists() and addresses.read_text().endswith("\n")):  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)
    host, _, port = addresses.read_text().strip().rpartition(":")
    return process, Origin(host=host, port=int(port))


def rss_mb(pid: int) -> float:
    """Return a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory: it has ended")


def call_of(number: int) -> tuple[HttpCall, bool]:
    """Return a request, and whether it asks for a stream; the numbers take all forms in turn."""
    is_stream, is_chat = number % 2 == 0, number % 4 < 2
    own: dict[str, Any] = {"prompt": f"hello {number}"}
    if is_chat:
        own = {"messages": [{"role": "user", "content": f"hello {number}"}]}
    path = b"/v1/chat/completions" if is_chat else b"/v1/completions"
    body = {"model": "soak", "stream": is_stream, "max_tokens": 64, "x_output_tokens": OUTPUT_TOKENS, **own}
    return HttpCall(b"POST", path, ((b"content-type", b"application/json"),), msgspec.json.encode(body)), is_stream


async def load(
    origin: Origin, pid: int, requests: int, clients: int, say: Any
) -> tuple[Counter[str], Counter[str], list[Any]]:
    """Send all requests from so many clients; return how they ended, what errors said, and memory by requests done."""
    client = HttpClient()
    ends: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    samples: list[Any] = []
    todo = iter(range(requests))
    every = max(1, requests // SAMPLES)

    async def visit() -> None:
        for number in todo:
            call, is_stream = call_of(number)
            sight = await ask(client, origin, call, is_stream=is_stream, patience_s=PATIENCE_S)
            ends[judge(sight, Shape.TEXT).value] += 1
            if sight.error is not None:
                errors[sight.error.message] += 1
            done = ends.total()
            if done % every == 0:
                samples.append({"requests": done, "rss_mb": round(rss_mb(pid), 1)})
                say(f"{done} requests, {samples[-1]['rss_mb']:.1f} MB")

    try:
        await asyncio.gather(*(visit() for _ in range(clients)))
    finally:
        await client.close()
    return ends, errors, samples


async def failed_share(origin: Origin, requests: int) -> float:
    """Return the attempts that failed, by the gateway's own count, as a share of the requests."""
    client = HttpClient()
    answer = await fetch(client, origin, HttpCall(b"GET", b"/metrics", (), b""), timeout_s=10.0)
    await client.close()
    assert isinstance(answer, Fetched)
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("overspill_attempts_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'outcome="failed"' in line) / requests


async def soak(requests: int, clients: int, say: Any) -> dict[str, Any]:
    """Do it all and return the figures."""
    processes: list[asyncio.subprocess.Process] = []
    with tempfile.TemporaryDirectory(prefix="overspill-soak-") as folder:
        try:
            home, home_port = await start_engine(FAULTS)
            processes.append(home)
            backup, backup_port = await start_engine(())
            processes.append(backup)
            gateway, origin = await start_gateway(Path(folder), home_port, backup_port)
            processes.append(gateway)
            began_s = time.monotonic()
            ends, errors, samples = await load(origin, gateway.pid, requests, clients, say)
            length_s = time.monotonic() - began_s
            failed = await failed_share(origin, requests)
        finally:
            for process in reversed(processes):
                if process.returncode is None:
                    process.terminate()
                await process.wait()
    settled = [sample["rss_mb"] for sample in samples if sample["requests"] >= SETTLED * requests]
    return {
        "requests": requests,
        "clients": clients,
        "ends": dict(ends),
        "errors": dict(errors),
        "failed_attempts_share": round(failed, 4),
        "requests_per_s": round(requests / length_s, 1),
        "rss_mb_settled": settled[0],
        "rss_mb_end": settled[-1],
        "rss_mb_greatest": max(settled),
        "growth": round(settled[-1] / settled[0], 4),
        "samples": samples,
    }


def main() -> int:
    """Run as a program; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    options = parser.parse_args()
    if options.requests < SAMPLES or options.clients < 1:
        parser.error(f"--requests must be {SAMPLES} or more and --clients 1 or more")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    figures = asyncio.run(soak(options.requests, options.clients, say))
    print(
        json.dumps(figures) if options.json else json.dumps({**figures, "samples": len(figures["samples"])}, indent=2)
    )
    bad = sum(count for end, count in figures["ends"].items() if end not in GOOD)
    return 0 if not bad and figures["growth"] <= GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
