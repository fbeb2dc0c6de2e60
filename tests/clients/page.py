"""The page of clients: tables that the tests measure, between marks in a written text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PAGE = Path("docs/reference/clients.md")


def check(name: str, head: Sequence[str], rows: Sequence[Sequence[object]], *, varying: str | None = None) -> None:
    """Compare the page's table of this name with what was measured, but for the column that varies from run to run.

    With ``OVERSPILL_REGENERATE`` write the table anew.
    """
    start, end = f"<!-- measured: {name} -->\n\n", f"\n\n<!-- end: {name} -->"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(start)
    old, _, after = rest.partition(end)
    assert after, f"{PAGE} has no place for the table {name!r}"
    new = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
    if os.environ.get("OVERSPILL_REGENERATE"):
        PAGE.write_text(before + start + "\n".join(new) + end + after, encoding="utf-8")
        return
    column = None if varying is None else head.index(varying)
    found, wanted = ([_without(line, column) for line in lines] for lines in (old.splitlines(), new))
    assert found == wanted, "make it anew with OVERSPILL_REGENERATE=1, and read the diff"


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _without(line: str, column: int | None) -> list[str]:
    return [cell for index, cell in enumerate(line.strip("| ").split(" | ")) if index != column]
