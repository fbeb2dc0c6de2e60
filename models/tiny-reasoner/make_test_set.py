"""Write the held-out test set that travels in the package and ``overspill eval`` asks.

    python make_test_set.py ../../src/overspill/models/test_set.jsonl.gz

Operands are of the test split throughout, so none of these questions, nor another one about the same numbers, was
trained on. ``chat``, ``beyond`` and ``recite`` have no operands: see those lessons.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from lessons import arithmetic
from lessons.example import LANGUAGES, Example
from lessons.mixture import MAKERS, draw_task
from lessons.split import TEST

SEED = 2
EACH = 130
"""Questions of each task in each language."""
SUMS = {"sums-4": (1, 4), "sums-6": (5, 6)}
"""Additions and subtractions by the digits of the longer operand."""
FEWER = {"recite": 30}


def draw_items() -> Iterator[dict[str, Any]]:
    """Yield the questions, none of them twice in a task and language (but for those that are learnt by heart)."""
    for task in (*SUMS, *(name for name in MAKERS if name != "sum")):
        for language in LANGUAGES:
            seen: set[str] = set()
            index = 0
            while len(seen) < FEWER.get(task, EACH):
                example = _draw(task, language, index)
                index += 1
                key = json.dumps([*example.messages, *example.tools], ensure_ascii=False)
                if key not in seen and _fits(task, example):
                    seen.add(key)
                    yield _item(f"{task}-{language}-{len(seen)}", task, language, example)


def _draw(task: str, language: str, index: int) -> Example:
    if task not in SUMS:
        return draw_task(SEED, TEST, task, index, language)
    return arithmetic.make(Random(f"{SEED}:{task}:{language}:{index}"), TEST, language, SUMS[task][1])


def _fits(task: str, example: Example) -> bool:
    if task not in SUMS:
        return True
    operands = example.thought.split("\n", 1)[0].replace("-", " ").replace("+", " ").split()
    return SUMS[task][0] <= max(map(len, operands)) <= SUMS[task][1]


def _item(name: str, task: str, language: str, example: Example) -> dict[str, Any]:
    item: dict[str, Any] = {"id": name, "task": task, "language": language, "messages": list(example.messages)}
    if example.tools:
        item["tools"] = list(example.tools)
    return item | {"expected": {"kind": example.expected.kind, "value": example.expected.value}}


def main(path: Path) -> None:
    """Write the set; the same bytes on every machine."""
    lines = [json.dumps(item, ensure_ascii=False) for item in draw_items()]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    print(f"{len(lines)} questions, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
