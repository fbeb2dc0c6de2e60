"""Who has used a gateway, and when last: for the list of its keys."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from overspill.errors import LedgerError
from overspill.ledger.store import LedgerStore


class KeyUse(NamedTuple):
    """What one key has done since the ledger began."""

    requests: int
    last_used_at: float
    """Unix seconds."""
    cost_usd: float
    """Sum of the known costs."""


def use_by_key(store: LedgerStore) -> dict[str, KeyUse]:
    """Return what each key has done; raise ``LedgerError`` if the file cannot be read."""
    query = "SELECT key_id, count(*), max(arrived_at), total(cost_usd) FROM requests GROUP BY key_id"
    try:
        return {key_id: KeyUse(*use) for key_id, *use in store.connection.execute(query)}
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {store.path} cannot be read ({error}); check the disk") from error
