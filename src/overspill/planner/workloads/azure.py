"""AzurePublicDataset, LLM inference 2023 and 2024: CSV with ``TIMESTAMP,ContextTokens,GeneratedTokens``.

The stamps of 2023 name no zone and those of 2024 end in ``+00:00``; both are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from overspill.planner.workloads.rows import Row, checked
from overspill.planner.workloads.source import Source

HEADER: Final = "TIMESTAMP,ContextTokens,GeneratedTokens"


def is_azure(first_line: str) -> bool:
    """Tell whether a file begins like this."""
    return first_line == HEADER


def rows_of(source: Source) -> Callable[[], Iterator[Row]]:
    """Return what reads the file once."""

    def rows() -> Iterator[Row]:
        for number, text in source.lines():
            if text == HEADER:
                continue
            try:
                stamp, prompt, output = text.split(",")
                counts = int(prompt), int(output)
                moment = datetime.fromisoformat(stamp)
            except ValueError as error:
                raise source.bad_row(number, text, str(error)) from error
            if min(counts) < 0:
                raise source.bad_row(number, text, "two token counts of 0 or more are needed")
            unix_s = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
            yield checked(unix_s, *counts)

    return rows
