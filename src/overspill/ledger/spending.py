"""What was spent since a time, by key, route and target: so that budgets survive a restart."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from overspill.errors import LedgerError
from overspill.ledger.store import LedgerStore, time_window


class Spending(NamedTuple):
    """US dollars by holder. What the ledger could not price is not in it."""

    by_key: dict[str, float]
    by_route: dict[str, float]
    by_target: dict[str, float]


def spending(store: LedgerStore, since: float) -> Spending:
    """Sum up the known costs since ``since`` (Unix seconds); raise ``LedgerError`` if the file cannot be read."""
    try:
        return Spending(
            _sums(store, "requests", "key_id", "arrived_at", since),
            _sums(store, "requests", "route", "arrived_at", since),
            _sums(store, "attempts", "target_id", "started_at", since),
        )
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {store.path} cannot be read ({error}); check the disk") from error


def _sums(store: LedgerStore, table: str, column: str, at: str, since: float) -> dict[str, float]:
    query = (
        f"SELECT {column}, total(cost_usd) FROM {table} WHERE {at} >= :since AND {at} < :until "  # noqa: S608
        f"GROUP BY {column} HAVING total(cost_usd) > 0"
    )
    return dict(store.connection.execute(query, time_window(since, None)).fetchall())
