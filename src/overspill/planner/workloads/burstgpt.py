"""BurstGPT: CSV with ``Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type``.

Times are seconds from an origin that the authors do not tell. The third release has ``Session ID,Elapsed time`` after
the time. Failed requests stand in it with 0 tokens (7.9 % of the first release); they are dropped under that reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from overspill.planner.workload import Dropped
from overspill.planner.workloads.rows import Row, checked
from overspill.planner.workloads.source import Source

_NEEDED = ("Timestamp", "Model", "Request tokens", "Response tokens")


def is_burstgpt(first_line: str) -> bool:
    """Tell whether a file begins like this."""
    return set(_NEEDED) <= set(first_line.split(","))


def rows_of(source: Source, model: str | None) -> Callable[[], Iterator[Row]]:
    """Return what reads the file once."""

    def rows() -> Iterator[Row]:
        lines = source.lines()
        _, header = next(lines)
        columns = header.split(",")
        time, name, prompt, output = (columns.index(needed) for needed in _NEEDED)
        session = columns.index("Session ID") if "Session ID" in columns else None
        for number, text in lines:
            cells = text.split(",")
            try:
                at_s, counts = float(cells[time]), (int(cells[prompt]), int(cells[output]))
            except (ValueError, IndexError) as error:
                raise source.bad_row(number, text, str(error)) from error
            if min(counts) < 0 or not math.isfinite(at_s):
                raise source.bad_row(number, text, "a time and two token counts of 0 or more are needed")
            if model is not None and cells[name] != model:
                yield Dropped.OTHER_MODEL
            else:
                yield checked(at_s, *counts, "" if session is None else cells[session])

    return rows
