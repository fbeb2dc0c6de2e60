"""Puts rows over rows: a newer file over the shipped ones, and a user's own words over both.

A newer file replaces whole rows, as far as they were read later. A user's file changes single fields of rows, adds rows
and takes them away::

    providers:
      - name: deepseek
        base_url: https://proxy.example.com/deepseek
        models:
          - {id: deepseek-flash, max_concurrency: 100}
          - {id: deepseek-v4-pro, remove: true}
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from overspill.catalog.load import CatalogFile, convert
from overspill.errors import ConfigError, did_you_mean

_KEYS: dict[str, tuple[str, ...]] = {
    "models": ("name",),
    "providers": ("name",),
    "tariffs": ("name",),
    "calendars": ("name", "year"),
    "currencies": ("code",),
}
"""Section → the fields that name a row in it."""


class Change(NamedTuple):
    """One difference between two catalogues, in words."""

    row: str
    """``providers: deepseek``."""
    what: str


def newer(rows: CatalogFile, update: CatalogFile) -> CatalogFile:
    """Return ``rows`` with those of ``update`` that were read no earlier, and with its new ones."""
    merged: dict[str, Any] = {}
    for section, keys in _KEYS.items():
        found = {_key(row, keys): row for row in getattr(rows, section)}
        for row in getattr(update, section):
            old = found.get(_key(row, keys))
            if old is None or row.as_of >= old.as_of:
                found[_key(row, keys)] = row
        merged[section] = tuple(found.values())
    return CatalogFile(schema=2, **merged)


def overridden(rows: CatalogFile, changes: Any, file: str, written: dt.date) -> CatalogFile:
    """Return ``rows`` changed by a user's file, which was ``written`` then; raise ``ConfigError`` if it cannot be."""
    if changes is None:
        return rows
    if not isinstance(changes, dict):
        raise ConfigError("it must be a mapping, such as providers: [{name: deepseek, ...}]", file=file)
    for section in changes:
        if section not in {*_KEYS, "schema", "as_of"}:
            near = did_you_mean(str(section), _KEYS)
            raise ConfigError(f"there is no section {section!r}{near}; sections: {', '.join(_KEYS)}", file=file)
    merged: dict[str, Any] = msgspec.to_builtins(rows, builtin_types=(dt.date,))
    merged.pop("as_of")
    dated = changes.get("as_of", written)
    for section, keys in _KEYS.items():
        found = {tuple(row[key] for key in keys): row for row in merged[section]}
        for row in _rows(changes.get(section), section, keys, file):
            _apply(found, tuple(row[key] for key in keys), row, {"as_of": dated, "source": file, "confidence": "seen"})
        merged[section] = list(found.values())
    return convert(merged, file)


def differences(before: CatalogFile, after: CatalogFile) -> Iterator[Change]:
    """Give what differs between two catalogues, row by row and field by field."""
    for section, keys in _KEYS.items():
        old = {_key(row, keys): row for row in getattr(before, section)}
        new = {_key(row, keys): row for row in getattr(after, section)}
        for key in dict.fromkeys((*old, *new)):
            title = f"{section}: {' '.join(str(part) for part in key)}"
            if key not in new:
                yield Change(title, "gone")
            elif key not in old:
                yield Change(title, "new")
            else:
                yield from (Change(title, what) for what in _fields(old[key], new[key]))


def _fields(old: Any, new: Any) -> Iterator[str]:
    for field in msgspec.structs.fields(type(old)):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if field.name == "models":
            yield from _offers(before, after)
        else:
            yield f"{field.name}: {_shown(before)} → {_shown(after)}"


def _offers(before: Any, after: Any) -> Iterator[str]:
    old, new = {row.id: row for row in before}, {row.id: row for row in after}
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield f"model {name}: gone"
        elif name not in old:
            yield f"model {name}: new"
        else:
            yield from (f"model {name}: {what}" for what in _fields(old[name], new[name]))


def _shown(value: Any) -> str:
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        return ", ".join(f"{key} {shown}" for key, shown in plain.items() if shown is not None) or "none"
    if isinstance(plain, list | tuple):
        return (
            f"{len(plain)} entries" if any(isinstance(entry, dict) for entry in plain) else ", ".join(map(str, plain))
        )
    return "none" if plain is None else str(plain)


def _key(row: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(row, key) for key in keys)


def _rows(value: Any, section: str, keys: tuple[str, ...], file: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ConfigError(f"{section} must be a list of rows", file=file)
    for number, row in enumerate(value, start=1):
        missing = keys[0] if not isinstance(row, dict) else next((key for key in keys if key not in row), None)
        if missing is not None:
            raise ConfigError(
                f"{section}: row {number} has no {missing}, so it is not known what it changes", file=file
            )
    return value


def _apply(found: dict[Any, dict[str, Any]], key: Any, change: dict[str, Any], added: dict[str, Any]) -> None:
    """Change, add or take away the row of this key."""
    if change.get("remove") is True:
        found.pop(key, None)
        return
    old = found.get(key)
    if old is None:
        found[key] = {**added, **change}
        return
    for name, value in change.items():
        if name == "models" and isinstance(value, list):
            old["models"] = _changed_offers(old.get("models", []), value)
        elif isinstance(value, dict) and isinstance(old.get(name), dict):
            old[name] = {**old[name], **value}
        else:
            old[name] = value
    if "source" not in change:
        old["source"] = f"{old['source']}; changed by {added['source']}"


def _changed_offers(offers: list[dict[str, Any]], changes: list[Any]) -> list[Any]:
    found: dict[Any, dict[str, Any]] = {offer["id"]: offer for offer in offers}
    unnamed = [change for change in changes if not (isinstance(change, dict) and "id" in change)]
    for change in changes:
        if isinstance(change, dict) and "id" in change:
            _apply_offer(found, change)
    return [*found.values(), *unnamed]  # what has no id is refused where rows are read, by its place


def _apply_offer(found: dict[Any, dict[str, Any]], change: dict[str, Any]) -> None:
    if change.get("remove") is True:
        found.pop(change["id"], None)
        return
    old = found.setdefault(change["id"], {})
    for name, value in change.items():
        both = isinstance(value, dict) and isinstance(old.get(name), dict)
        old[name] = {**old[name], **value} if both else value
