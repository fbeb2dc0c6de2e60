"""Reads pages: their headings, links and fenced blocks, and the comments that say what a test does with a block.

Right before a block:

* ``<!-- run -->`` runs it (bash or python); ``<!-- run: COMMAND -->`` runs COMMAND instead, where the block itself
  cannot be (it needs a network, or does not end);
* ``<!-- serve -->`` starts it (one line of bash) and waits until every target of that gateway is ready; an earlier
  gateway on the same port is stopped first; ``<!-- serve: COMMAND -->`` starts COMMAND instead;
* ``<!-- file: NAME -->`` writes it to NAME; a YAML file must load as a configuration;
* ``<!-- shows -->`` is what the block before prints: each of its lines must occur, in order; ``…`` stands for anything;
* ``<!-- not run: REASON -->`` says why nothing is done.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_MARKER = re.compile(r"\s*<!-- (run|serve|file|shows|not run)(?:: (.*?))? -->\s*")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"\s*(```+)(\w*)\s*")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    action: str | None
    argument: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page, read."""

    path: Path
    blocks: tuple[Block, ...]
    headings: tuple[tuple[int, str], ...]
    """Depth and text."""
    links: tuple[str, ...]


def read_page(path: Path) -> Page:
    """Read the page at ``path``."""
    blocks: list[Block] = []
    headings: list[tuple[int, str]] = []
    links: list[str] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.fullmatch(line)
        if fence is None:
            if line.startswith("#"):
                depth = len(line) - len(line.lstrip("#"))
                headings.append((depth, line[depth:].strip()))
            links += _LINK.findall(line)
            number += 1
            continue
        indent = len(line) - len(line.lstrip())
        end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[1])
        marker = _MARKER.fullmatch(lines[number - 1]) if number else None
        text = "".join(one[indent:] + "\n" for one in lines[number + 1 : end])
        action, argument = (marker[1], marker[2] or "") if marker else (None, "")
        blocks.append(Block(fence[2], text, number + 1, action, argument))
        number = end + 1
    return Page(path, tuple(blocks), tuple(headings), tuple(links))


def anchor(heading: str) -> str:
    """Return what a link to a heading is called, by GitHub's rule."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")
