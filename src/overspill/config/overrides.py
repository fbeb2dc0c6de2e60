"""Changes single values from outside the file: ``--set a.b.c=value`` and the environment.

They are applied to the plain values before these are checked, so the same schema and the same checks hold for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from overspill.config.yaml_source import Path, read_yaml
from overspill.errors import ConfigError

VARIABLES: Mapping[str, str] = {"OVERSPILL_HOST": "server.host", "OVERSPILL_PORT": "server.port"}


class Override(msgspec.Struct, frozen=True):
    """One value to put at a path."""

    path: Path
    value: Any
    origin: str
    """How an error names it: ``--set server.port=x`` or ``OVERSPILL_PORT``."""


def from_environment(environ: Mapping[str, str]) -> list[Override]:
    """Read the variables that Overspill knows; empty ones count as unset."""
    return [
        Override(_path(dotted, name), _value(environ[name], name), name)
        for name, dotted in VARIABLES.items()
        if environ.get(name)
    ]


def from_arguments(settings: Iterable[str]) -> list[Override]:
    """Read ``a.b.c=value`` texts. A value is YAML: ``500ms``, ``true``, ``[a, b]``; numbers in a path index a list."""
    found = []
    for setting in settings:
        dotted, sign, text = setting.partition("=")
        origin = f"--set {dotted}"
        if not sign or not dotted:
            raise ConfigError(f"--set {setting}: write it as key.key=value, for example server.port=9000")
        found.append(Override(_path(dotted, origin), _value(text, origin), origin))
    return found


def apply(value: Any, overrides: Iterable[Override]) -> Any:
    """Return ``value`` with the overrides in it; mappings on the way are made where they are missing."""
    for override in overrides:
        value = _put(value, override.path, override)
    return value


def _put(value: Any, path: Path, override: Override) -> Any:
    if not path:
        return override.value
    step, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(step, int):
        if step >= len(value):
            raise ConfigError(f"{override.origin}: there is no entry {step}; the list has {len(value)}")
        return [*value[:step], _put(value[step], rest, override), *value[step + 1 :]]
    if value is None or isinstance(value, dict):
        mapping = value or {}
        return {**mapping, str(step): _put(mapping.get(str(step)), rest, override)}
    where = ".".join(map(str, override.path[: len(override.path) - len(path)]))
    raise ConfigError(f"{override.origin}: {where} is {'a list' if isinstance(value, list) else 'a single value'}")


def _path(dotted: str, origin: str) -> Path:
    steps = dotted.split(".")
    if not all(steps):
        raise ConfigError(f"{origin}: the key has an empty part")
    return tuple(int(step) if step.isdigit() else step for step in steps)


def _value(text: str, origin: str) -> Any:
    # Wrapped, so that a bare value need not be a document of its own.
    if text.strip() == "":
        return ""
    return read_yaml(text, file=origin).value
