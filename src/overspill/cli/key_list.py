"""The list of keys: what each may, until when, and when it was last used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from overspill.config.allowance import KeyRecord
from overspill.config.decode import plain
from overspill.config.explain import describe_limits
from overspill.ledger.usage import KeyUse
from overspill.units import format_usd


def key_state(record: KeyRecord, now: datetime) -> str:
    """Return ``live``, ``expired`` or ``revoked``."""
    if record.revoked_at is not None:
        return "revoked"
    return "live" if record.is_live(now) else "expired"


def as_rows(records: tuple[KeyRecord, ...], uses: Mapping[str, KeyUse], now: datetime) -> list[dict[str, Any]]:
    """Return one row a key, ready for JSON. Keys that had one name after another share what the ledger knows."""
    rows: list[dict[str, Any]] = []
    for record in records:
        shown = {"name": record.key_id, "key": f"{record.hint}…", "state": key_state(record, now), **plain(record)}
        use = uses.get(record.key_id)
        shown["key"] = f"{record.hint}…"
        shown.pop("hint", None)
        shown["requests"] = 0 if use is None else use.requests
        shown["cost_usd"] = 0.0 if use is None else use.cost_usd
        shown["last_used_at"] = None if use is None else _written(datetime.fromtimestamp(use.last_used_at, UTC))
        shown["may"] = _may(record)
        rows.append(shown)
    return rows


def _may(record: KeyRecord) -> str:
    said = [f"models {', '.join(record.models)}"] if record.models else []
    said += ["local pools only"] if record.local_only else []
    said += [f"reasoning as {record.reasoning}"] if record.reasoning != "reasoning_content" else []
    said += [f"weight {record.weight:g}"] if record.weight != 1 else []
    if record.limits is not None or record.budget is not None:
        said.append(describe_limits(record.limits, record.budget))
    return "; ".join(said)


def lines_of(row: dict[str, Any]) -> list[str]:
    """Return one key for people: what it is and did, and below it what it may."""
    ends = row.get("revoked_at") or row.get("expires_at")
    words = {"live": "until", "expired": "since", "revoked": "since"}
    state = row["state"] if ends is None else f"{row['state']} {words[row['state']]} {_minute(ends)}"
    used = "never used" if row["last_used_at"] is None else f"last used {_minute(row['last_used_at'])}"
    spent = f", {row['requests']} requests, {format_usd(row['cost_usd'])}" if row["requests"] else ""
    said = [f"team {row['team']}"] if "team" in row else []
    said += [part for part in (row["may"], row.get("note", "")) if part]
    return [f"{row['name']}  {row['key']}  {state}, {used}{spent}", *([f"    {'; '.join(said)}"] if said else [])]


def _written(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
