"""What a run found: figures by gateway, medians and spreads; a table for people, a document for programs."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

OURS = "overspill"
SHARES = ("utilisation", "foreign")  # shares of a core: no spread, no ratio


@dataclass
class Figures:
    """Every figure of every turn: {gateway: {figure: [value of each turn]}}."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, gateway: str, figure: str, value: float) -> None:
        """Note one turn's value."""
        self.values.setdefault(gateway, {}).setdefault(figure, []).append(float(value))

    def median(self, gateway: str, figure: str) -> float | None:
        """Return the median over the turns, None when it was not measured."""
        values = self.values.get(gateway, {}).get(figure)
        return statistics.median(values) if values else None

    def spread(self, gateway: str, figure: str) -> float:
        """Return the greatest less the smallest turn, as a share of the median."""
        values = self.values[gateway][figure]
        middle = statistics.median(values)
        return (max(values) - min(values)) / abs(middle) if middle else 0.0

    def names(self) -> list[str]:
        """List all figures, in the order in which they were first measured."""
        return list(dict.fromkeys(figure for figures in self.values.values() for figure in figures))


def table(figures: Figures, gateways: list[str]) -> str:
    """Set out medians with the spread of the turns, a column a gateway; then ours as a multiple of others."""
    others = [name for name in gateways if name != OURS] if OURS in gateways else []
    head = ["median (spread)", *gateways, *(f"{OURS}/{name}" for name in others)]
    rows = [head]
    for figure in figures.names():
        ours = figures.median(OURS, figure)
        is_share = figure.partition("@")[0].endswith(SHARES)
        cells = [figure]
        for name in gateways:
            middle = figures.median(name, figure)
            cells.append("" if middle is None else _cell(figures, name, figure, middle))
        for name in others:
            theirs = figures.median(name, figure)
            cells.append(f"{ours / theirs:.2f}" if ours and theirs and not is_share else "")
        if any(cells[1:]):
            rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    lines = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(figures: Figures, name: str, figure: str, middle: float) -> str:
    if figure.partition("@")[0].endswith(SHARES):
        return f"{middle:.0%}"
    return f"{_number(middle)} ({figures.spread(name, figure):.0%})"


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def document(figures: Figures, settings: dict[str, object], faults: list[str]) -> dict[str, object]:
    """Collect everything, for programs."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": settings,
        "faults": faults,
        "figures": {
            gateway: {
                name: {"median": statistics.median(turns), "min": min(turns), "max": max(turns), "turns": turns}
                for name, turns in measured.items()
            }
            for gateway, measured in figures.values.items()
        },
    }


def machine() -> dict[str, object]:
    """Describe the machine: absolute figures of two machines cannot be compared, ratios can with care."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }
