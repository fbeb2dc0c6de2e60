"""What does not pass, and why: read from ``exceptions.yaml`` and checked in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import yaml

_LISTED = Path(__file__).with_name("exceptions.yaml")


class Exceptions(msgspec.Struct, forbid_unknown_fields=True):
    """Tests that fail for one reason."""

    tests: list[str]
    """Names, with ``*`` for anything."""
    why: str
    targets: list[str] | None = None
    """On which targets they fail; on all if left out."""


def read() -> dict[str, list[Exceptions]]:
    return msgspec.convert(yaml.safe_load(_LISTED.read_text(encoding="utf-8")), dict[str, list[Exceptions]])


def complaints(exceptions: Iterable[Exceptions], outcomes: Mapping[str, str], target: str) -> list[str]:
    """Return what is not as listed: failures without a reason, and reasons without a failure."""
    patterns = [pattern for one in exceptions if one.targets is None or target in one.targets for pattern in one.tests]
    found = [
        f"failed: {test}: {wrong}"
        for test, wrong in outcomes.items()
        if wrong and not any(matches(test, pattern) for pattern in patterns)
    ]
    for pattern in patterns:
        matching = [test for test in outcomes if matches(test, pattern)]
        found += [f"an exception that passes: {test} ({pattern})" for test in matching if not outcomes[test]]
        if not matching:
            found.append(f"an exception that is no test: {pattern}")
    return found


def matches(test: str, pattern: str) -> bool:
    """Compare with ``*`` only: the brackets of parameters are nothing special."""
    return fnmatchcase(test, pattern.replace("[", "[[]"))
