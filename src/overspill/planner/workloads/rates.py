"""A table of rates: CSV with ``window_start_s,requests_per_s`` and, where known, tokens per second.

Further columns are ``prompt_tokens_per_s``, ``cached_tokens_per_s`` and ``output_tokens_per_s``; any others are
ignored. ``window_start_s`` counts from any origin. Rows that are missing are windows without requests.
"""

from __future__ import annotations

import itertools
import math

from overspill.errors import TraceError
from overspill.planner.workloads.buckets import Bucket, BucketWorkload
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.source import Source

_TOKENS = ("prompt_tokens_per_s", "cached_tokens_per_s", "output_tokens_per_s")
_DEFAULT_WINDOW_S = 600.0


def is_rates(first_line: str) -> bool:
    """Tell whether a file begins like this."""
    return first_line.startswith("window_start_s,requests_per_s")


def read_rates(source: Source, options: Options) -> BucketWorkload:
    """Read the table; raise ``TraceError`` for a row that has no numbers."""
    lines = source.lines()
    _, header = next(lines)
    columns = header.split(",")
    rates: list[tuple[float, list[float]]] = []
    for number, text in lines:
        cells = dict(zip(columns, text.split(","), strict=False))
        try:
            start_s = float(cells["window_start_s"])
            row = [float(cells["requests_per_s"]), *(float(cells.get(name, 0) or 0) for name in _TOKENS)]
        except (ValueError, KeyError) as error:
            raise source.bad_row(number, text, str(error)) from error
        if min(row) < 0 or not math.isfinite(start_s + sum(row)):
            raise source.bad_row(number, text, "rates of 0 or more are needed")
        rates.append((start_s, row))
    if not rates:
        raise TraceError(f"{source.path}: there is no row in this table of rates")
    rates.sort()
    starts = [start_s for start_s, _ in rates]
    window_s = min((b - a for a, b in itertools.pairwise(starts)), default=_DEFAULT_WINDOW_S)
    if window_s <= 0:
        raise TraceError(f"{source.path}: two rows of this table of rates have the same window_start_s")
    buckets = [Bucket(start_s, start_s + window_s, *(rate * window_s for rate in row)) for start_s, row in rates]
    return BucketWorkload(source.name, "rates", buckets, options, has_dates=False)
