"""The keys of a configuration in their long form, each with the id that the ledger and the limits know it by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overspill.config.allowance import KeyEntry
from overspill.config.scalars import KeyRef
from overspill.config.schema import Config

_NUMBERED = re.compile(r"key-\d+")


def keys_of(config: Config) -> tuple[tuple[str, KeyEntry], ...]:
    """Return key id → entry: the id is the name that was given, or ``key-1``, ``key-2``, … by the place in the list."""
    entries = (KeyEntry(key=KeyRef(e)) if isinstance(e, str) else e for e in config.server.api_keys)
    return tuple((entry.name or f"key-{number}", entry) for number, entry in enumerate(entries, start=1))


def key_problems(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give what is wrong with the keys, with its path."""
    named: set[str] = set()
    for index, entry in enumerate(config.server.api_keys):
        path: tuple[str | int, ...] = ("server", "api_keys", index)
        if isinstance(entry, str):
            try:
                KeyRef.read(entry)
            except ValueError as error:
                yield path, str(error)
        elif entry.name is not None:
            if _NUMBERED.fullmatch(entry.name):
                yield (*path, "name"), f"{entry.name!r} is what a key without a name is called; choose another"
            if entry.name in named:
                yield (*path, "name"), f"the name {entry.name!r} stands twice"
            named.add(entry.name)
