"""The keys of a configuration in their long form, each with the id that the ledger and the limits know it by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from overspill.config.allowance import KeyEntry, KeyRecord
from overspill.config.scalars import KeyRef
from overspill.config.schema import Config, RouteConfig
from overspill.core.names import Names, is_glob
from overspill.errors import did_you_mean

_NUMBERED = re.compile(r"key-\d+")


def patterns_of(route: RouteConfig) -> tuple[str, ...]:
    """Return the model names and globs of a route."""
    return (route.model,) if isinstance(route.model, str) else route.model


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
            continue
        if isinstance(entry, KeyRecord):
            continue  # from the keys' file, which may be used with several configurations
        yield from (((*path, "models"), said) for said in _unknown_models(entry, config))
        if entry.name is not None:
            yield from (((*path, "name"), said) for said in _wrong_name(entry.name))
            if entry.name in named:
                yield (*path, "name"), f"the name {entry.name!r} stands twice"
            named.add(entry.name)


def entry_problems(entry: KeyEntry, config: Config | None) -> Iterator[str]:
    """Give what is wrong with one key by itself, and with the configuration that it is for, if that is known."""
    yield from _wrong_name(entry.name or "")
    if config is not None:
        yield from _unknown_models(entry, config)


def _wrong_name(name: str) -> Iterator[str]:
    if _NUMBERED.fullmatch(name):
        yield f"{name!r} is what a key without a name is called; choose another"


def limit_problems(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give what is wrong with the limits, with its path: a limit that nothing is held to is a slip."""
    has_more = config.server.keys_file is not None  # whose keys come and go: their teams cannot be known here
    teams = sorted({entry.team for _, entry in keys_of(config) if entry.team is not None})
    for name in config.limits.teams:
        if name not in teams and not has_more:
            near = did_you_mean(name, teams)
            yield (
                ("limits", "teams", name),
                f"no key is of the team {name!r}{near}; teams: {', '.join(teams) or 'none'}",
            )
    patterns = [pattern for route in config.routes for pattern in patterns_of(route)]
    for name in config.limits.models:
        if name not in patterns:
            near = did_you_mean(name, patterns)
            yield ("limits", "models", name), f"no route is for {name!r}{near}; routes: {', '.join(patterns) or 'none'}"


def _unknown_models(entry: KeyEntry, config: Config) -> Iterator[str]:
    patterns = [pattern for route in config.routes for pattern in patterns_of(route)]
    served = Names(patterns)
    for name in entry.models:
        if not is_glob(name) and name not in served:
            yield f"no route serves {name!r}{did_you_mean(name, patterns)}; routes: {', '.join(patterns) or 'none'}"
