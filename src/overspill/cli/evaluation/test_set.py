"""The held-out test set: questions with one right answer each, and the judge of what a target replies.

The set travels in the package, made by ``models/tiny-reasoner/make_test_set.py``; no operands in it occur in what the
built-in model was trained on. Tasks that any target can be asked (sums, comparing, counting, sorting, stories, tools)
are judged by what an answer says, whatever words it uses; ``chat``, ``beyond`` and ``recite`` are about the built-in
model.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from overspill.errors import ConfigError, UnknownName
from overspill.models import held_out_path

Kind = Literal["number", "first", "numbers", "contains", "any", "text", "calls"]


class Expected(msgspec.Struct, frozen=True):
    """What a right reply has.

    ``number``: the last number said; ``first``: the first one; ``numbers``: these, in order, last; ``contains``: all
    these words; ``any``: one of these; ``text``: exactly this; ``calls``: exactly these calls of tools.
    """

    kind: Kind
    value: Any


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question: a conversation, with tools or without."""

    id: str
    task: str
    language: str
    messages: list[dict[str, Any]]
    expected: Expected
    tools: list[dict[str, Any]] = []


class Reply(msgspec.Struct, frozen=True):
    """What a target said: content without reasoning, and calls as (name, arguments as JSON text)."""

    content: str = ""
    calls: tuple[tuple[str, str], ...] = ()


def read_items(path: Path | None = None) -> list[Item]:
    """Read the test set, by default the one in the package; raise ``ConfigError`` if it cannot be read."""
    source = held_out_path() if path is None else path
    try:
        lines = gzip.decompress(source.read_bytes()).splitlines()
        return [msgspec.json.decode(line, type=Item) for line in lines]
    except (OSError, EOFError, msgspec.DecodeError) as error:
        raise ConfigError(f"the test set {source} cannot be read: {error}; install the package again") from None


def choose(items: Iterable[Item], tasks: Collection[str], limit: int | None) -> list[Item]:
    """Keep these tasks (all if none is named), and of each task and language its share of ``limit``, the first ones.

    Raises ``UnknownName`` for a task that there is not.
    """
    strata: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        strata[item.task, item.language].append(item)
    known = {task for task, _ in strata}
    for task in tasks:
        if task not in known:
            raise UnknownName("task", task, known)
    wanted = [key for key in strata if not tasks or key[0] in tasks]
    if limit is None:
        return [item for key in wanted for item in strata[key]]
    share, rest = divmod(limit, len(wanted))
    return [item for number, key in enumerate(wanted) for item in strata[key][: share + (number < rest)]]


_NUMBER = re.compile(r"(?<![\d.])-?\d+(?:\.\d+)?")


def numbers_in(text: str) -> list[float]:
    """Return the numbers that a text names; a minus counts where it stands before a number and not after one."""
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.replace("−", "-"))
    plain = re.sub(r"(?<=\d)\s*-\s*(?=\d)", " ", plain)
    return [float(number) for number in _NUMBER.findall(plain)]


def is_right(expected: Expected, reply: Reply) -> bool:
    """Judge a reply."""
    value, said = expected.value, reply.content
    match expected.kind:
        case "number":
            return bool(numbers_in(said)[-1:] == [value])
        case "first":
            return bool(numbers_in(said)[:1] == [value])
        case "numbers":
            return bool(numbers_in(said)[-max(1, len(value)) :] == list(value))
        case "contains":
            return all(str(word).lower() in said.lower() for word in value)
        case "any":
            return any(str(word).lower() in said.lower() for word in value)
        case "text":
            return said.strip() == str(value).strip()
        case "calls":
            return [_call(name, arguments) for name, arguments in reply.calls] == list(value)


def _call(name: str, arguments: str) -> Mapping[str, Any]:
    try:
        return {"name": name, "arguments": msgspec.json.decode(arguments)}
    except msgspec.DecodeError:
        return {"name": name, "arguments": None}
