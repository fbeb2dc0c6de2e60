"""Reads the few gauges that matter out of an engine's Prometheus page. The poller has fetched it."""

from __future__ import annotations

import math


def read_samples(page: bytes, names: tuple[bytes, ...]) -> dict[bytes, list[float]]:
    """Return each name's values, one for each label set (a server with data parallelism has several).

    Raises ``ValueError`` if none of ``names`` is there: then it is another page, or metrics are switched off.
    """
    found: dict[bytes, list[float]] = {}
    for line in page.splitlines():
        for name in names:
            if line.startswith(name) and line[len(name) : len(name) + 1] in (b" ", b"{"):
                value = _value(line)
                if value is not None:
                    found.setdefault(name, []).append(value)
    if not found:
        expected = ", ".join(name.decode() for name in names)
        raise ValueError(f"no metric of this engine in the answer (expected {expected})")
    return found


def whole_sum(values: list[float] | None) -> int | None:
    """Add up counts; ``None`` stays unknown."""
    return None if not values else round(sum(values))


def _value(line: bytes) -> float | None:
    """Read the number after the name and its labels; a time stamp may follow it. Not finite is unknown."""
    fields = line.rpartition(b"}")[2].split() if b"}" in line else line.split()[1:]
    try:
        value = float(fields[0])
    except (IndexError, ValueError):
        return None
    return value if math.isfinite(value) else None
