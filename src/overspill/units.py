"""Units: how quantities are written by people and how they are shown to them.

Inside the program a quantity is a plain float or int whose name ends in its unit (``ttft_s``, ``vram_bytes``).
Conversion happens here, at the edge.
"""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024**2
GIB = 1024**3

# Digits are bounded so that no number becomes infinite.
_NUMBER = r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*"
_DURATION = re.compile(_NUMBER + r"(us|ms|s|m|h|d)?\s*")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(_NUMBER + r"(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)?\s*")
_BYTES = {
    "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1024**4,
    "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
}  # fmt: skip


def parse_duration_s(text: str) -> float:
    """Read ``"250ms"``, ``"2s"``, ``"5m"``, ``"1.5h"`` or a bare number of seconds; raise ``ValueError`` otherwise."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, like 250ms, 2s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_size_bytes(text: str) -> int:
    """Read ``"512MiB"``, ``"8GB"`` or a bare number of bytes; raise ``ValueError`` otherwise."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write a number and a unit, like 64KiB, 512MiB or 8GB")
    return int(float(match[1]) * _BYTES[match[2] or "B"])


def format_duration(seconds: float) -> str:
    """Show a duration with three significant digits in the unit that fits: ``1.23 s``, ``45.6 ms``."""
    for unit, scale in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if abs(seconds) >= scale * 0.9995:  # 0.9996 s are 1 s in three digits, not 1e+03 ms
            return f"{seconds / scale:.3g} {unit}"
    return "0 s" if seconds == 0 else f"{seconds / 1e-6:.3g} µs"


def format_bytes(count: float) -> str:
    """Show a byte count in binary units: ``512 MiB``, ``1.5 GiB``."""
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(count) >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def format_usd(amount: float | None) -> str:
    """Show money; ``None`` is unknown, never free."""
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if abs(amount) >= 0.01 or amount == 0 else f"${amount:.3g}"
