"""Model names and globs over them: ``*`` stands for anything, ``?`` for one sign."""

from __future__ import annotations

import re
from collections.abc import Sequence


def is_glob(pattern: str) -> bool:
    """Say whether a pattern stands for more than itself."""
    return "*" in pattern or "?" in pattern


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a glob; it must match a whole name."""
    pieces = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.compile("".join(pieces), re.DOTALL)


class Names:
    """A set of names, some written as globs."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = frozenset(pattern for pattern in patterns if not is_glob(pattern))
        self._globs = tuple(compiled(pattern) for pattern in patterns if is_glob(pattern))

    def __contains__(self, name: str) -> bool:
        return name in self._exact or any(glob.fullmatch(name) for glob in self._globs)
