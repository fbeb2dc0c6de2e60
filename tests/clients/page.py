"""The page of clients: tables that the tests measure, between marks in a written text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PAGE = Path("docs/reference/clients.md")


def check(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Compare the page's table of this name with what was measured; with ``OVERSPILL_REGENERATE`` write it anew."""
    table = "\n".join(_line(row) for row in (head, ["---"] * len(head), *rows))
    start, end = f"<!-- measured: {name} -->\n\n", f"\n\n<!-- end: {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    assert after, f"{PAGE} has no place for the table {name!r}"
    new = before + start + table + end + after
    if os.environ.get("OVERSPILL_REGENERATE"):
        PAGE.write_text(new, encoding="utf-8")
        text = new
    assert text == new, "run OVERSPILL_REGENERATE=1 make test-clients, and read the diff"


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
