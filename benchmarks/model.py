"""How fast the built-in model is: llama.cpp's own worker, asked directly, and the same through the gateway.

    .venv/bin/python benchmarks/model.py --rounds 5

Two workers run, one started here and one under `overspill serve`; they take turns (direct, gateway, direct, gateway …),
so that noise falls on both, and who does not work costs nothing. A figure is the median over the rounds; the gateway's
cost is the median of the rounds' ratios. Answers are streamed, of exactly `--tokens` tokens (`ignore_eos`), greedy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from overspill.models import DEFAULT_TEMPERATURE, KNOWN_ANSWER, shipped_path, shipped_sha256
from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.protocol import EngineSpec

Connect = Callable[[], "asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]"]
SLOTS = 32
CONTEXT_TOKENS = 4096
KEY = "benchmark"


class Side:
    """One way to the model: how to connect, and what to send along."""

    def __init__(self, name: str, connect: Connect, key: str | None) -> None:
        self.name, self.connect, self.key = name, connect, key

    async def answer(self, number: int, tokens: int) -> None:
        """Ask for one answer and read it to its end."""
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
        reader, writer = await self.connect()
        writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + content)
        tail = b""
        while piece := await reader.read(65536):
            tail = (tail + piece)[-2000:]
        writer.close()
        if b"[DONE]" not in tail or b'"finish_reason":"length"' not in tail.replace(b" ", b""):
            raise SystemExit(f"an answer of {self.name} did not end as it should: {tail!r}")

    async def tokens_per_s(self, streams: int, answers: int, tokens: int) -> float:
        """Keep ``streams`` answers under way until there are ``answers``."""
        numbers = iter(range(answers))

        async def work() -> None:
            for number in numbers:
                await self.answer(number, tokens)

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(streams)))
        return answers * tokens / (time.perf_counter() - started)


@contextlib.asynccontextmanager
async def direct(folder: Path, variant: str, threads: int | None) -> AsyncIterator[Side]:
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
    process = await asyncio.create_subprocess_exec(
        *launch.argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **launch.env},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(launch.stdin)
    process.stdin.close()
    try:
        while (status := json.loads(await process.stdout.readline()))["status"] != "ready":
            if status["status"] == "failed":
                raise SystemExit(status["reason"])
        yield Side("the worker", lambda: asyncio.open_unix_connection(launch.origin.uds_path), KEY)
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def gateway(folder: Path, variant: str, threads: int | None) -> AsyncIterator[Side]:
    """Start ``overspill serve`` without a configuration, as a user does."""
    address_file = folder / "address"
    more = [] if threads is None else ["--set", f"pools.local.threads={threads}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "overspill", "serve", "--quiet", "--no-discovery", "--port", "0"),
        *("--model", f"builtin:{variant}", "--address-file", str(address_file), *more),
        env={**os.environ, "XDG_STATE_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while not (address_file.exists() and address_file.read_text().endswith("\n")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        host, _, port = address_file.read_text().strip().rpartition(":")
        yield Side("the gateway", lambda: asyncio.open_connection(host, int(port)), None)
    finally:
        process.terminate()
        await process.wait()


async def measure(asked: argparse.Namespace) -> list[dict[str, float]]:
    """Let both sides take turns; return a row for each number of streams."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with (
            direct(folder, asked.variant, asked.threads) as worker,
            gateway(folder, asked.variant, asked.threads) as front,
        ):
            for side in (worker, front):
                await side.tokens_per_s(4, 8, 64)  # first calls pay for what later ones reuse
            for streams in asked.streams:
                answers = max(asked.answers, 2 * streams)
                pairs = []
                for number in range(asked.rounds):
                    order = (worker, front) if number % 2 == 0 else (front, worker)
                    found = {side.name: await side.tokens_per_s(streams, answers, asked.tokens) for side in order}
                    pairs.append((found[worker.name], found[front.name]))
                rows.append(
                    {
                        "streams": streams,
                        "worker_tokens_per_s": statistics.median(pair[0] for pair in pairs),
                        "gateway_tokens_per_s": statistics.median(pair[1] for pair in pairs),
                        "gateway_cost": 1 - statistics.median(pair[1] / pair[0] for pair in pairs),
                        "least_cost": 1 - max(pair[1] / pair[0] for pair in pairs),
                        "greatest_cost": 1 - min(pair[1] / pair[0] for pair in pairs),
                    }
                )
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--answers", type=int, default=8, help="answers in a round, at least twice as many as streams")
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--threads", type=int, help="the engine's; as it would choose if left out")
    parser.add_argument("--variant", default="q8_0")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = asyncio.run(measure(asked))
    if asked.json:
        print(json.dumps(rows))
        return
    print("| streams | worker, tokens/s | gateway, tokens/s | the gateway costs (range of rounds) |")
    print("|---|---|---|---|")
    for row in rows:
        cost = f"{row['gateway_cost']:.1%} ({row['least_cost']:.1%} to {row['greatest_cost']:.1%})"
        print(f"| {row['streams']} | {row['worker_tokens_per_s']:.0f} | {row['gateway_tokens_per_s']:.0f} | {cost} |")


if __name__ == "__main__":
    main()
