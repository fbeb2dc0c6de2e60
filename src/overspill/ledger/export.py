"""The ledger as a file for other programs: CSV, JSON lines or Parquet.

Rows are streamed, so memory stays constant however long the ledger is. The file appears under its name only when it
is whole: it is written beside it first and then renamed.
"""

from __future__ import annotations

import contextlib
import csv
import enum
import os
import tempfile
import types
import typing
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from overspill.errors import LedgerError, UnknownName
from overspill.ledger.store import TABLES, LedgerStore, Row, Table

_ROWS_PER_GROUP = 65_536
"""Rows of a Parquet row group, and of one write."""


class Format(enum.StrEnum):
    """What the file is."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Column(msgspec.Struct, frozen=True):
    """A column of an exported table."""

    name: str
    kind: type
    """One of ``str int float bool bytes``."""


def export(
    store: LedgerStore,
    table_name: str,
    destination: Path,
    file_format: Format,
    *,
    since: float | None = None,
    until: float | None = None,
) -> int:
    """Write the rows of ``[since, until)`` (Unix seconds) to ``destination``, replacing it, and return how many.

    ``table_name`` is ``requests``, ``attempts`` or ``bodies``. NULL is an empty CSV field, JSON's null and Parquet's
    null; times are Unix seconds. Raise ``UnknownName`` for another table and ``LedgerError`` if the ledger cannot be
    read, the file cannot be written, or Parquet's library is missing.
    """
    table = _table(table_name)
    write = _writer(file_format)
    try:
        with (
            _replacing(destination) as partial,
            contextlib.closing(store.rows(table, since=since, until=until)) as rows,
        ):
            return write(partial, columns_of(table), rows)
    except OSError as error:
        raise LedgerError(f"{destination} cannot be written ({error}); check the folder and its free space") from error


def columns_of(table: Table) -> tuple[Column, ...]:
    """Return the exported columns of a table, in order, with the plain types of their values."""
    hints = typing.get_type_hints(table.record)
    return tuple(Column(name, _plain(hints[name])) for name in table.columns)


def _plain(hint: Any) -> type:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    first = next(option for option in options if option is not type(None))
    return str if issubclass(first, enum.StrEnum) else typing.cast("type", first)


def _table(name: str) -> Table:
    for table in TABLES:
        if table.name == name:
            return table
    raise UnknownName("ledger table", name, [table.name for table in TABLES])


def _writer(file_format: Format) -> Callable[[Path, tuple[Column, ...], Iterator[Row]], int]:
    match file_format:
        case Format.CSV:
            return _write_csv
        case Format.JSONL:
            return _write_jsonl
        case Format.PARQUET:
            return _write_parquet
        case _:
            typing.assert_never(file_format)


@contextlib.contextmanager
def _replacing(destination: Path) -> Iterator[Path]:
    """Give a new file beside ``destination`` to write to; put it in its place if the block succeeds, else remove it."""
    handle, name = tempfile.mkstemp(prefix=f".{destination.name}.", suffix=".partial", dir=destination.parent)
    partial = Path(name)
    try:
        yield partial
        os.fsync(handle)
        partial.replace(destination)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _write_csv(path: Path, columns: tuple[Column, ...], rows: Iterator[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for row in _as_text(columns, rows):
            writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in row])
            count += 1
    return count


def _write_jsonl(path: Path, columns: tuple[Column, ...], rows: Iterator[Row]) -> int:
    encode = msgspec.json.Encoder().encode
    names = [column.name for column in columns]
    count = 0
    with path.open("wb") as file:
        for row in _as_text(columns, rows):
            file.write(encode(dict(zip(names, row, strict=True))) + b"\n")
            count += 1
    return count


def _write_parquet(path: Path, columns: tuple[Column, ...], rows: Iterator[Row]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise LedgerError(
            "Parquet needs pyarrow, which is not installed; run: pip install 'overspill[parquet]' "
            "(CSV and JSONL need nothing more)"
        ) from error
    arrow_types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), bytes: pa.binary()}
    schema = pa.schema([(column.name, arrow_types[column.kind]) for column in columns])
    count = 0
    typed = _with_booleans(columns, rows)
    with pq.ParquetWriter(path, schema) as writer:
        while group := list(islice(typed, _ROWS_PER_GROUP)):
            arrays = [
                pa.array(values, type=field.type)
                for values, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(group)
    return count


def _with_booleans(columns: tuple[Column, ...], rows: Iterator[Row]) -> Iterator[Row]:
    """Turn SQLite's 0 and 1 back into booleans."""
    booleans = frozenset(place for place, column in enumerate(columns) if column.kind is bool)
    for row in rows:
        yield tuple(bool(value) if place in booleans else value for place, value in enumerate(row))


def _as_text(columns: tuple[Column, ...], rows: Iterator[Row]) -> Iterator[Row]:
    """Turn booleans back, and bytes into text; bytes that are no UTF-8 are written as hexadecimal escapes."""
    for row in _with_booleans(columns, rows):
        yield tuple(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value for value in row)
