"""What happened since a time: counts, times to first token and money, read from the ledger.

Used by the command line and by the rehearsal's report. It reads the whole range once per figure; ten million requests
take some seconds.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from overspill.errors import LedgerError
from overspill.ledger.store import LedgerStore, time_window


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Exact quantiles (nearest rank) of a time in seconds; ``None`` where there is no value."""

    count: int
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class TargetSummary:
    """What one target did, over all its attempts."""

    target_id: str
    attempts: int
    finished: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    cost_usd: float
    """Sum of the known costs."""
    unpriced_attempts: int
    """Attempts whose cost is unknown, so ``cost_usd`` does not hold it."""


@dataclass(frozen=True, slots=True)
class LedgerSummary:
    """All of one range. Counts are of requests, except in ``targets``."""

    requests: int
    by_outcome: dict[str, int]
    by_reason: dict[str, int]
    """Why requests were not completed."""
    by_spill: dict[str, int]
    """Spilled requests by reason; those that stayed are in none of them."""
    targets: tuple[TargetSummary, ...]
    ttft_local: Quantiles
    """Answered requests that stayed in the first tier."""
    ttft_spilled: Quantiles
    prompt_tokens: int
    output_tokens: int
    cost_usd: float
    """Sum of the known costs of all attempts."""
    unpriced_attempts: int


def summary(store: LedgerStore, since: float | None = None, until: float | None = None) -> LedgerSummary:
    """Sum up the requests that arrived, and the attempts that started, in ``[since, until)`` (Unix seconds).

    All figures are of one moment, even while the gateway writes. Raise ``LedgerError`` if the file cannot be read.
    """
    window = time_window(since, until)
    try:
        store.connection.execute("BEGIN")
        try:
            return _read(store.connection, window)
        finally:
            store.connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger {store.path} cannot be read ({error}); check the disk") from error


_IN_WINDOW = "arrived_at >= :since AND arrived_at < :until"


def _read(connection: sqlite3.Connection, window: dict[str, float]) -> LedgerSummary:
    by_outcome = _counts(connection, window, "outcome")
    targets = tuple(TargetSummary(*row) for row in connection.execute(_TARGETS, window))
    return LedgerSummary(
        requests=sum(by_outcome.values()),
        by_outcome=by_outcome,
        by_reason=_counts(connection, window, "reason"),
        by_spill=_counts(connection, window, "spill"),
        targets=targets,
        ttft_local=_ttft(connection, window, "spill IS NULL"),
        ttft_spilled=_ttft(connection, window, "spill IS NOT NULL"),
        prompt_tokens=sum(target.prompt_tokens for target in targets),
        output_tokens=sum(target.output_tokens for target in targets),
        cost_usd=sum(target.cost_usd for target in targets),
        unpriced_attempts=sum(target.unpriced_attempts for target in targets),
    )


_TARGETS = """
    SELECT target_id, count(*), sum(outcome = 'finished'), coalesce(sum(prompt_tokens), 0),
        coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0), total(cost_usd), sum(cost_usd IS NULL)
    FROM attempts WHERE started_at >= :since AND started_at < :until GROUP BY target_id ORDER BY target_id
"""


def _counts(connection: sqlite3.Connection, window: dict[str, float], column: str) -> dict[str, int]:
    query = (
        f"SELECT {column}, count(*) FROM requests WHERE {_IN_WINDOW} AND {column} IS NOT NULL "  # noqa: S608
        f"GROUP BY {column} ORDER BY {column}"
    )
    return dict(connection.execute(query, window).fetchall())


def _ttft(connection: sqlite3.Connection, window: dict[str, float], condition: str) -> Quantiles:
    answered = f"FROM requests WHERE {_IN_WINDOW} AND ttft_s IS NOT NULL AND {condition}"
    (count,) = connection.execute(f"SELECT count(*) {answered}", window).fetchone()

    def at(percent: int) -> float | None:
        if not count:
            return None
        rank = -(-count * percent // 100)  # ceil, in whole numbers
        query = f"SELECT ttft_s {answered} ORDER BY ttft_s LIMIT 1 OFFSET :skip"
        value = connection.execute(query, {**window, "skip": rank - 1}).fetchone()[0]
        return float(value)

    return Quantiles(count, at(50), at(99))
