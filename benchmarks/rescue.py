"""Does an answer come out the same if its engine is killed in the middle? The built-in model, greedy, SIGKILL.

    .venv/bin/python benchmarks/rescue.py --kills 200

Each question is first asked undisturbed. Then it is asked again, and when a drawn number of events has come, the engine
that serves it is killed: every other time in mid-thought, else in the content. Half of the kills are with one engine,
which goes on with the answer once it is back, half with two, of which the other does. An answer counts as the same if
reasoning, content and finish reason are, character for character, and the stream ends as a whole one does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from overspill.config.load import load_text
from overspill.gateway.service import Gateway
from overspill.pools.facts import load_facts

QUESTIONS = (
    "What is 4821 + 977?",
    "What is 90817 - 4466?",
    "987654 + 123456 等于多少？",
    "What is 12 + 345 - 67?",
    "Tell me a story.",
    "讲个故事",
    "Sort these numbers: 45, 12, 99, 3, 70",
    "How many letters are in the word banana?",
    "Tom has 12 apples and buys 30 more. How many apples does he have?",
    "Which is larger, 40213 or 40231?",
)
KILLS_PER_LIFE = 4
"""An engine that dies a fifth time within a minute is given a long rest; a new gateway knows nothing of that."""
PATIENCE_S = 60.0


class Answer(NamedTuple):
    """What a client has at the end of a stream."""

    reasoning: str
    content: str
    finish_reason: str | None
    is_done: bool
    is_labelled: bool
    error: str
    gap_s: float
    """The longest wait between two events."""
    thoughts: int
    """Events of reasoning."""
    events: int


class Reading:
    """One stream, event by event."""

    def __init__(self) -> None:
        self.reasoning = self.content = self.error = ""
        self.finish_reason: str | None = None
        self.is_done = self.is_labelled = False
        self.events = self.thoughts = 0
        self.gap_s = 0.0
        self._last_s = 0.0

    def take(self, event: bytes) -> None:
        """Read one event."""
        if event.startswith(b":"):  # a seam, or a sign of life while a client waits for the rest
            self.is_labelled = self.is_labelled or event.startswith(b": overspill rescued")
            return
        data = event.removeprefix(b"data: ")
        if data == b"[DONE]":
            self.is_done = True
            return
        now_s = time.monotonic()
        self.gap_s = max(self.gap_s, now_s - (self._last_s or now_s))
        self._last_s = now_s
        chunk = json.loads(data)
        if "error" in chunk:
            self.error = chunk["error"]["message"]
        for choice in chunk.get("choices", ()):
            self.events += 1
            thought = choice["delta"].get("reasoning_content") or ""
            self.thoughts += bool(thought)
            self.reasoning += thought
            self.content += choice["delta"].get("content") or ""
            self.finish_reason = choice["finish_reason"] or self.finish_reason

    def answer(self) -> Answer:
        """Return what was read."""
        return Answer(
            self.reasoning,
            self.content,
            self.finish_reason,
            self.is_done,
            self.is_labelled,
            self.error,
            self.gap_s,
            self.thoughts,
            self.events,
        )


async def events_of(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Cut a chunked body into events."""
    pending = b""
    while size := int(await reader.readline(), 16):
        pending += await reader.readexactly(size)
        await reader.readline()
        *events, pending = pending.split(b"\n\n")
        for event in events:
            yield event


class Stage:
    """One gateway with the built-in model."""

    def __init__(self, replicas: int) -> None:
        engine = {"engine": "llamacpp", "model": "builtin", "max_batch_size": 4, "threads": 1, "replicas": replicas}
        config = {
            "server": {"port": 0},
            "pools": {"local": engine},
            "routes": [{"model": "*", "tiers": [["local"]]}],
            "ledger": {"enabled": False},
            "log": {"level": "error"},
        }
        facts = load_facts()
        self.gateway = Gateway(load_text(json.dumps(config), facts), facts)
        self.replicas = replicas

    async def start(self) -> None:
        """Start, and wait until all engines are up and were seen to continue answers."""
        await self.gateway.start()
        async with asyncio.timeout(PATIENCE_S):
            # nobody is told when it is so far
            while not all(target.continues for target in self.gateway.driver.controller.targets.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def all_up(self) -> None:
        """Wait until every engine is up."""
        async with asyncio.timeout(PATIENCE_S):
            while any(state.phase.value != "ready" for state in self.gateway.fleet.states().values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def ask(self, question: str, kill_at: int | None = None) -> Answer:
        """Ask, and kill the engine that answers once ``kill_at`` events have come."""
        host, port = self.gateway.addresses[0].rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        request = {"model": "m", "stream": True, "messages": [{"role": "user", "content": question}]}
        body = json.dumps(request).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer_head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "http/1.1 200" not in answer_head:
            raise SystemExit(f"the gateway refused: {answer_head}{(await reader.read(500)).decode()}")
        target_id = answer_head.partition("x-overspill-target: ")[2].partition("\r\n")[0]
        reading = Reading()
        async with asyncio.timeout(PATIENCE_S):
            async for event in events_of(reader):
                reading.take(event)
                if kill_at is not None and reading.events >= kill_at:
                    pid = self.gateway.fleet.states()[target_id].pid
                    assert pid is not None
                    os.kill(pid, signal.SIGKILL)
                    kill_at = None
        writer.close()
        return reading.answer()


async def undisturbed(stage: Stage) -> dict[str, Answer]:
    """Ask each question and let it be answered."""
    return {question: await stage.ask(question) for question in QUESTIONS}


class Tally:
    """What came of the kills."""

    def __init__(self) -> None:
        self.same = {"thought": 0, "content": 0}
        self.kills = {"thought": 0, "content": 0}
        self.gaps_s: list[float] = []
        self.late = 0
        self.differing: list[str] = []

    def take(self, question: str, kill_at: int, expected: Answer, got: Answer) -> None:
        """Count one kill; one that the answer had outrun is none."""
        if not got.is_labelled and not got.error:
            self.late += 1
            return
        where = "thought" if kill_at <= expected.thoughts else "content"
        self.kills[where] += 1
        if got[:4] == expected[:4] and not got.error:
            self.same[where] += 1
            self.gaps_s.append(got.gap_s)
        else:
            self.differing.append(f"{question} at event {kill_at}: {got.error or got.content!r}")

    @property
    def count(self) -> int:
        """Kills in the middle of an answer."""
        return sum(self.kills.values())

    def row(self, name: str) -> str:
        """Write the tally down."""
        gaps = sorted(self.gaps_s) or [0.0]
        thought, content = self.kills["thought"], self.kills["content"]
        return (
            f"{name:12} kills {self.count:4} ({thought} in mid-thought, {content} in content)"
            f"  the same {sum(self.same.values()):4}  pause p50 {statistics.median(gaps):.2f} s"
            f" p99 {gaps[int(0.99 * (len(gaps) - 1))]:.2f} s  too late {self.late}"
        )


async def run(replicas: int, kills: int, random: Random) -> Tally:
    """Kill so many times, with a new gateway whenever its engines have died often enough."""
    tally = Tally()
    expected: dict[str, Answer] | None = None
    while tally.count < kills:
        stage = Stage(replicas)
        await stage.start()
        try:
            expected = expected or await undisturbed(stage)
            for _ in range(KILLS_PER_LIFE):
                question = random.choice(QUESTIONS)
                whole = expected[question]
                in_thought = tally.kills["thought"] <= tally.kills["content"] and whole.thoughts > 2
                least, most = (2, whole.thoughts) if in_thought else (whole.thoughts + 2, whole.events - 1)
                kill_at = random.randint(least, max(least, most))
                tally.take(question, kill_at, whole, await stage.ask(question, kill_at))
                await stage.all_up()
        finally:
            await stage.gateway.stop()
    return tally


async def main() -> int:
    """Run both halves and print them; 1 if an answer came out differently."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)  # a killed engine is no news here
    figures, wrong = {}, 0
    for name, replicas in (("one engine", 1), ("two engines", 2)):
        tally = await run(replicas, arguments.kills // 2, Random(arguments.seed))
        print(tally.row(name), flush=True)
        for line in tally.differing:
            print("  differs:", line)
        wrong += len(tally.differing)
        figures[name] = {"kills": tally.kills, "same": tally.same, "pause_s": sorted(tally.gaps_s)}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
