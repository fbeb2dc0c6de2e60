"""The values that people write in a configuration in a form of their own: durations, sizes and references to secrets.

Each is a subclass of what the program calculates with, so a reader of the configuration uses it as a plain number or
string; each knows how it is written.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from overspill.units import GIB, KIB, MIB, parse_duration_s, parse_size_bytes

_NAME = r"env:[A-Za-z_][A-Za-z0-9_]*"
_FILE = r"file:[^\s].*"
_DIGEST = r"sha256:[0-9a-f]{64}"


class Duration(float):
    """Seconds, written ``250ms``, ``2s``, ``5m``, ``1h`` or as a number of seconds."""

    json_schema: ClassVar[dict[str, Any]] = {
        "type": ["string", "number"],
        "pattern": r"^\d+(\.\d+)?\s*(us|ms|s|m|h|d)?$",
        "minimum": 0,
        "examples": ["250ms", "2s", "5m"],
    }
    kind: ClassVar[str] = "duration"

    @classmethod
    def read(cls, value: object) -> Duration:
        """Read what was written; raise ``ValueError`` if it is no duration above zero."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError("expected a duration such as 250ms, 2s, 5m or 1h")
        seconds = parse_duration_s(value) if isinstance(value, str) else float(value)
        if not 0 < seconds < float("inf"):
            raise ValueError(f"expected a duration above zero, got {value}")
        return cls(seconds)

    def written(self) -> str:
        """Return the shortest exact form: ``1h``, ``90s``, ``250ms``."""
        if self >= 1:
            for unit, scale in (("h", 3600), ("m", 60)):
                if self % scale == 0:
                    return f"{self / scale:g}{unit}"
            return f"{float(self):g}s"
        return f"{self * 1e3:g}ms"


class Size(int):
    """Bytes, written ``64KiB``, ``512MiB``, ``8GB`` or as a number of bytes."""

    json_schema: ClassVar[dict[str, Any]] = {
        "type": ["string", "integer"],
        "pattern": r"^\d+(\.\d+)?\s*(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)?$",
        "minimum": 0,
        "examples": ["64KiB", "512MiB", "8GB"],
    }
    kind: ClassVar[str] = "size"

    @classmethod
    def read(cls, value: object) -> Size:
        """Read what was written; raise ``ValueError`` if it is no size."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise TypeError("expected a size such as 64KiB, 512MiB or 8GB")
        count = parse_size_bytes(value) if isinstance(value, str) else value
        if count < 0:
            raise ValueError(f"expected a size of zero or more, got {value}")
        return cls(count)

    def written(self) -> str:
        """Return the form with the largest unit that divides it."""
        for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
            if self and self % scale == 0:
                return f"{self // scale}{unit}"
        return str(int(self))


class SecretRef(str):
    """Where a secret is: ``env:NAME`` or ``file:PATH``. The secret itself never stands in a configuration."""

    json_schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": f"^({_NAME}|{_FILE})$",
        "examples": ["env:DEEPSEEK_API_KEY"],
    }
    kind: ClassVar[str] = "env:NAME or file:PATH"
    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> SecretRef:
        """Read what was written; raise ``ValueError``, which never quotes the value, if it is no reference."""
        if not isinstance(value, str) or not re.fullmatch(f"{_NAME}|{_FILE}", value):
            raise ValueError(
                "a key must not stand in the configuration, where backups and screenshots would show it; put it into "
                "an environment variable or a file and write env:NAME or file:PATH here"
            )
        return cls(value)

    def written(self) -> str:
        """Return the reference."""
        return str(self)


class KeyRef(str):
    """A key that clients may use: where it is, or the SHA-256 of it (``sha256:`` and 64 hex digits)."""

    json_schema: ClassVar[dict[str, Any]] = {
        "type": "string",
        "pattern": f"^({_NAME}|{_FILE}|{_DIGEST})$",
        "examples": ["env:OVERSPILL_API_KEY"],
    }
    kind: ClassVar[str] = "env:NAME, file:PATH or sha256:HEX"
    __slots__ = ()

    @classmethod
    def read(cls, value: object) -> KeyRef:
        """Read what was written; raise ``ValueError``, which never quotes the value, if it is neither."""
        if not isinstance(value, str) or not re.fullmatch(f"{_NAME}|{_FILE}|{_DIGEST}", value):
            raise ValueError(
                "a key must not stand in the configuration; write env:NAME or file:PATH for where it is, or its digest "
                "as sha256:HEX (printf %s KEY | sha256sum)"
            )
        return cls(value)

    def written(self) -> str:
        """Return the reference or the digest."""
        return str(self)


SCALARS = (Duration, Size, SecretRef, KeyRef)


def dec_hook(kind: type, value: Any) -> Any:
    """Read one of ``SCALARS``: msgspec's hook for decoding."""
    if issubclass(kind, SCALARS):
        return kind.read(value)
    raise NotImplementedError(f"no reader for {kind!r}")


def enc_hook(value: Any) -> Any:
    """Write one of ``SCALARS``: msgspec's hook for encoding."""
    if isinstance(value, SCALARS):
        return value.written()
    raise NotImplementedError(f"no writer for {type(value)!r}")
