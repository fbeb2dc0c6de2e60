"""The gateway's own ledger, as its SQLite file or as ``overspill ledger export`` writes it: CSV, JSON lines, Parquet.

A request counts with the prompt tokens that its target reported, else with the estimate on arrival. What was refused,
failed or was cut off has no answer whose length is known; embeddings and answers from the gateway's own cache generate
nothing. Those are left out by reason: where many were refused, demand is higher than what is planned for here.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from overspill.core.types import Outcome, Surface
from overspill.errors import TraceError
from overspill.ledger.store import REQUESTS, LedgerStore
from overspill.planner.workload import Dropped
from overspill.planner.workloads.rows import Row, checked
from overspill.planner.workloads.source import Source

SQLITE: Final = b"SQLite format 3\0"
PARQUET: Final = b"PAR1"
_CHUNK_ROWS = 8192
S = TypeVar("S", bound=msgspec.Struct)


class _LedgerRow(msgspec.Struct, gc=False):
    """The columns that a workload is made of; others are not read."""

    arrived_at: float
    prompt_tokens: int
    outcome: Outcome
    attempts: int
    model: str = ""
    surface: str = ""
    key_id: str = ""
    prompt_tokens_reported: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None

    def row(self, model: str | None) -> Row:
        """Return it as a request, or why it is none."""
        if model is not None and self.model != model:
            return Dropped.OTHER_MODEL
        if self.surface == Surface.EMBEDDINGS or (self.outcome is Outcome.COMPLETED and self.attempts == 0):
            return Dropped.NOT_GENERATED
        if not self.output_tokens:
            return Dropped.NOT_ANSWERED
        prompt = self.prompt_tokens if self.prompt_tokens_reported is None else self.prompt_tokens_reported
        return checked(self.arrived_at, prompt, self.output_tokens, self.key_id, self.cached_tokens or 0)


def is_ledger(first_line: str) -> bool:
    """Tell whether a text file is an export of the ledger's requests."""
    return '"arrived_at"' in first_line if first_line.startswith("{") else "arrived_at" in first_line.split(",")


def sqlite_rows(path: Path, model: str | None) -> Callable[[], Iterator[Row]]:
    """Return what reads the ledger's file once, also while a gateway writes it."""

    def rows() -> Iterator[Row]:
        for read in _sqlite(path, _LedgerRow):
            yield read.row(model)

    return rows


def text_rows(source: Source, model: str | None) -> Callable[[], Iterator[Row]]:
    """Return what reads an export in CSV or JSON lines once."""

    def rows() -> Iterator[Row]:
        for read in _text(source, _LedgerRow):
            yield read.row(model)

    return rows


def parquet_rows(path: Path, model: str | None) -> Callable[[], Iterator[Row]]:
    """Return what reads an export in Parquet once."""

    def rows() -> Iterator[Row]:
        for read in _parquet(path, _LedgerRow):
            yield read.row(model)

    return rows


def cells_of(source: Source, kind: type[S]) -> Iterator[S]:
    """Yield each request of the ledger's file or of an export as a ``kind``, whose fields are columns."""
    head = source.head()
    if head.startswith(SQLITE):
        return _sqlite(source.path, kind)
    return _parquet(source.path, kind) if head.startswith(PARQUET) else _text(source, kind)


def _sqlite(path: Path, kind: type[S]) -> Iterator[S]:
    names = kind.__struct_fields__
    places = [REQUESTS.columns.index(name) for name in names]
    with contextlib.closing(LedgerStore.open(path, read_only=True)) as store:
        for cells in store.rows(REQUESTS):
            yield _read({name: cells[place] for name, place in zip(names, places, strict=True)}, kind)


def _text(source: Source, kind: type[S]) -> Iterator[S]:
    is_json = source.first_line().startswith("{")
    for number, cells in _json_rows(source) if is_json else _csv_rows(source, kind.__struct_fields__):
        try:
            read = _read(cells, kind)
        except msgspec.ValidationError as error:
            raise source.bad_row(number, str(cells), str(error)) from error
        yield read


def _parquet(path: Path, kind: type[S]) -> Iterator[S]:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise TraceError(
            f"{path} is Parquet, which needs pyarrow; run: pip install 'overspill[parquet]', or export the ledger "
            "as CSV or JSONL"
        ) from error
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_CHUNK_ROWS, columns=list(kind.__struct_fields__)):
                for cells in batch.to_pylist():
                    yield _read(cells, kind)
    except (OSError, ValueError, KeyError, msgspec.ValidationError) as error:
        raise TraceError(f"{path}: this is no Parquet export of the ledger's requests: {error}") from error


def _read(cells: Any, kind: type[S]) -> S:
    return msgspec.convert(cells, kind, strict=False)


def _csv_rows(source: Source, names: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for number, text in source.lines():  # noqa: B007 - the number is for errors
            yield text

    reader = csv.reader(texts())
    try:
        columns = [name if name in names else "" for name in next(reader)]
        for cells in reader:
            yield number, {name: text for name, text in zip(columns, cells, strict=False) if name and text}
    except csv.Error as error:
        raise source.bad_row(number, "", str(error)) from error


def _json_rows(source: Source) -> Iterator[tuple[int, Any]]:
    for number, text in source.lines():
        try:
            yield number, msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise source.bad_row(number, text, str(error)) from error
