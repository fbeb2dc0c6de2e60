"""Reading and writing the ledger's tables.

The writer thread holds one store to write with; exports and summaries open their own, read-only, while it writes
(WAL lets both go on). Nothing here is called on the path of a request.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import msgspec

from overspill.errors import LedgerError
from overspill.ledger.records import AttemptRecord, BodyRecord, RequestRecord
from overspill.ledger.schema import connect

TableName = Literal["requests", "attempts", "bodies"]
Row = tuple[object, ...]

# SQLite stores NaN as NULL, and Python's sqlite3 binds a float six times faster than None (40 against 270 ns).
_NULL = float("nan")
# One statement for 24 rows: a sixth less CPU than row by row, and the interpreter's lock changes hands 24 times less.
# 24 rows of at most 41 columns stay below 999 variables, the least that any build of SQLite allows.
_ROWS_PER_STATEMENT = 24
# What SQLite or Python says of a value that cannot be stored, as opposed to a database that cannot be written to.
_UNSTORABLE = (
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    OverflowError,
    ValueError,
    TypeError,
    AttributeError,
)


class Table(msgspec.Struct, frozen=True):
    """One table: how a record becomes its row, and what its columns are called."""

    name: TableName
    record: type[msgspec.Struct]
    to_row: Callable[[Any], Row]
    selected_by: str
    """Condition for ``[:since, :until)``."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, which are the record's field names."""
        return self.record.__struct_fields__


class LedgerStore:
    """One connection to a ledger's file. Open it with ``LedgerStore.open``; use it from one thread at a time.

    It must not be carried over a ``fork``: open it in the process that uses it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, busy_timeout_s: float = 5.0) -> LedgerStore:
        """Open the ledger at ``path``; raise ``LedgerError`` if it cannot be.

        A missing or older file is made or migrated, except when ``read_only``. ``busy_timeout_s`` is how long one
        statement waits for another process's lock.
        """
        return cls(connect(path, read_only=read_only, busy_timeout_s=busy_timeout_s), path)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def write(
        self,
        requests: Sequence[RequestRecord],
        attempts: Sequence[AttemptRecord],
        bodies: Sequence[BodyRecord] = (),
    ) -> int:
        """Add all records in one transaction and return how many had a value that no database could store.

        Those are left out. Raise ``sqlite3.Error`` if the database cannot be written to; then nothing was added.
        """
        batches = ((REQUESTS, requests), (ATTEMPTS, attempts), (BODIES, bodies))
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            unstorable = sum(self._insert(table, records) for table, records in batches)
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return unstorable

    def _insert(self, table: Table, records: Sequence[msgspec.Struct]) -> int:
        whole = len(records) - len(records) % _ROWS_PER_STATEMENT
        many = _insert_statement(table, _ROWS_PER_STATEMENT)
        unstorable = 0
        for start in range(0, whole, _ROWS_PER_STATEMENT):
            group = records[start : start + _ROWS_PER_STATEMENT]
            try:
                self.connection.execute(many, list(chain.from_iterable(map(table.to_row, group))))
            except _UNSTORABLE:
                unstorable += self._insert_singly(table, group)
        return unstorable + self._insert_singly(table, records[whole:])

    def _insert_singly(self, table: Table, records: Sequence[msgspec.Struct]) -> int:
        one = _insert_statement(table, 1)
        unstorable = 0
        for record in records:
            try:
                self.connection.execute(one, table.to_row(record))
            except _UNSTORABLE:
                unstorable += 1
        return unstorable

    def rows(
        self, table: Table, *, since: float | None = None, until: float | None = None
    ) -> Generator[Row, None, None]:
        """Yield the rows of requests (or attempts) that arrived (or started) in ``[since, until)``, one by one.

        Times are Unix seconds. Columns are in the order of ``table.columns``; booleans come as 0 or 1. The bodies are
        those of the requests that arrived then. Raise ``LedgerError`` if the file cannot be read.
        """
        query = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {table.selected_by}"  # noqa: S608
        try:
            yield from self.connection.execute(query, time_window(since, until))
        except sqlite3.Error as error:
            raise LedgerError(f"the ledger {self.path} cannot be read ({error}); check the disk") from error


def time_window(since: float | None, until: float | None) -> dict[str, float]:
    """Return the parameters of a ``[:since, :until)`` condition; ``None`` leaves that side open."""
    return {
        "since": float("-inf") if since is None else since,
        "until": float("inf") if until is None else until,
    }


def _insert_statement(table: Table, rows: int) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES {', '.join([row] * rows)}"  # noqa: S608


# The two row functions are written out, and not ``msgspec.structs.astuple``, because sqlite3 takes 230-320 ns more for
# each None, bool or enum member than for a plain value; a test holds them to the records' fields.
# ``_value_`` is the documented plain attribute behind ``value``, which is a Python-level property before 3.12.


def request_row(r: RequestRecord) -> Row:
    """Turn a request into its row, of plain values only."""
    return (
        r.request_id,
        r.arrived_at,
        r.model,
        r.route,
        r.surface,
        r.key_id,
        +r.stream,
        r.priority,
        +r.local_only,
        r.prompt_tokens,
        _NULL if r.prompt_tokens_reported is None else r.prompt_tokens_reported,
        _NULL if r.cached_tokens is None else r.cached_tokens,
        _NULL if r.output_tokens is None else r.output_tokens,
        _NULL if r.reasoning_tokens is None else r.reasoning_tokens,
        _NULL if r.max_tokens is None else r.max_tokens,
        r.outcome._value_,
        _NULL if r.reason is None else r.reason._value_,
        _NULL if r.spill is None else r.spill._value_,
        _NULL if r.target_id is None else r.target_id,
        r.attempts,
        r.queue_wait_s,
        _NULL if r.ttft_s is None else r.ttft_s,
        _NULL if r.tpot_s is None else r.tpot_s,
        r.e2e_s,
        _NULL if r.cost_usd is None else r.cost_usd,
        _NULL if r.finish_reason is None else r.finish_reason,
        _NULL if r.client_status is None else r.client_status,
        _NULL if r.local_only_by is None else r.local_only_by._value_,
        r.rescues,
        _NULL if r.unrescued is None else r.unrescued._value_,
        _NULL if r.client_request_id is None else r.client_request_id,
        _NULL if r.client_address is None else r.client_address,
    )


def attempt_row(a: AttemptRecord) -> Row:
    """Turn an attempt into its row, of plain values only."""
    return (
        a.request_id,
        a.attempt_id,
        a.target_id,
        a.model,
        a.started_at,
        _NULL if a.spill is None else a.spill._value_,
        _NULL if a.predicted_ttft_s is None else a.predicted_ttft_s,
        _NULL if a.ttft_s is None else a.ttft_s,
        _NULL if a.tpot_s is None else a.tpot_s,
        a.duration_s,
        a.outcome._value_,
        _NULL if a.failure is None else a.failure._value_,
        _NULL if a.status is None else a.status,
        _NULL if a.prompt_tokens is None else a.prompt_tokens,
        _NULL if a.cached_tokens is None else a.cached_tokens,
        _NULL if a.output_tokens is None else a.output_tokens,
        _NULL if a.cost_usd is None else a.cost_usd,
        _NULL if a.resumed_at is None else a.resumed_at,
        _NULL if a.answered_model is None else a.answered_model,
    )


_ARRIVED = "arrived_at >= :since AND arrived_at < :until"
REQUESTS = Table(
    name="requests", record=RequestRecord, to_row=request_row, selected_by=f"{_ARRIVED} ORDER BY arrived_at"
)
ATTEMPTS = Table(
    name="attempts",
    record=AttemptRecord,
    to_row=attempt_row,
    selected_by="started_at >= :since AND started_at < :until",
)
BODIES = Table(
    name="bodies",
    record=BodyRecord,
    to_row=msgspec.structs.astuple,
    selected_by=f"request_id IN (SELECT request_id FROM requests WHERE {_ARRIVED})",  # noqa: S608
)
TABLES: tuple[Table, ...] = (REQUESTS, ATTEMPTS, BODIES)
