"""The reference of the ledger's tables, from the records that are written to them."""

from __future__ import annotations

import types
import typing

from tests.docs.generators.source import field_docs, page, table

from overspill.ledger.export import columns_of
from overspill.ledger.schema import APPLICATION_ID, MIGRATIONS
from overspill.ledger.store import TABLES, Table

_INTRODUCTION = f"""
The ledger is one SQLite file in WAL mode (`application_id` {APPLICATION_ID:#x}, `user_version` {len(MIGRATIONS)}). The
gateway's writer thread is its only writer; `overspill ledger summary` and `overspill ledger export` read it meanwhile.
How it works: [ledger and metrics](../explanation/ledger-and-metrics.md).

A number that nobody reported is NULL, never 0. A cost that is NULL is unknown, never free. Times of day are Unix
seconds; names end in their unit. Words in `outcome`, `reason`, `spill` and `failure` are in [reasons](reasons.md).
An export has the same columns in the same order; truth values are 0 and 1 in SQLite, and true and false in exports.
"""
_TABLES = {
    "requests": "One row per request, written when it has its final answer.",
    "attempts": "One row per try on a target. The sum over a request's attempts is what was consumed.",
    "bodies": "The texts, only where `ledger.store_bodies` is true. Nothing removes them.",
}


def ledger_page() -> str:
    parts: list[str | list[str]] = []
    for one in TABLES:
        parts += [f"## {one.name}", _TABLES[one.name], table(("column", "type", "NULL", "meaning"), _rows(one))]
    return page("Ledger", _INTRODUCTION, *parts)


def _rows(one: Table) -> list[tuple[str, ...]]:
    docs, hints = field_docs(one.record), typing.get_type_hints(one.record)
    names = {str: "text", int: "integer", float: "real", bool: "truth value", bytes: "blob"}
    return [
        (
            f"`{column.name}`",
            names[column.kind],
            "yes" if isinstance(hints[column.name], types.UnionType) and _has_none(hints[column.name]) else "",
            docs[column.name].replace("``", "`"),
        )
        for column in columns_of(one)
    ]


def _has_none(hint: object) -> bool:
    return type(None) in typing.get_args(hint)
