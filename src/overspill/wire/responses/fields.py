"""A JSON object of a client's, read field by field: what is not as it must be becomes an error that names its place."""

from __future__ import annotations

from typing import Any

import msgspec

from overspill.errors import WireError

_SHOWN = 40


class Fields:
    """One object and where it stands in the request, such as ``input[2].content[0]``; the top level has no place."""

    __slots__ = ("_at", "values")

    def __init__(self, value: Any, at: str = "") -> None:
        if not isinstance(value, dict):
            raise wrong_type(at, value, "an object")
        self._at = at
        self.values: dict[str, Any] = value

    def at(self, name: str) -> str:
        """Return the place of a field."""
        return f"{self._at}.{name}" if self._at else name

    def text(self, name: str) -> str:
        """Read a string that must be there."""
        value = self.values.get(name)
        if value is None:
            raise missing(self.at(name))
        if not isinstance(value, str):
            raise wrong_type(self.at(name), value, "a string")
        return value

    def optional_text(self, name: str) -> str | None:
        """Read a string that may be absent or null."""
        return None if self.values.get(name) is None else self.text(name)

    def name(self, name: str) -> str:
        """Read a string that must not be empty."""
        value = self.text(name)
        if not value:
            raise bad(f"'{self.at(name)}' is empty.", self.at(name), "invalid_value")
        return value

    def one_of(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """Read one of a few words, or nothing."""
        value = self.optional_text(name)
        if value is not None and value not in allowed:
            raise unknown_value(self.at(name), value, allowed)
        return value

    def flag(self, name: str) -> bool | None:
        """Read true or false, or nothing."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.at(name), value, "true or false")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Read a number from ``low`` to ``high``, or nothing."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(self.at(name), value, "a number")
        if value < low:
            raise bad(_too_small(self.at(name), value, low), self.at(name), "decimal_below_min_value")
        if value > high:
            raise bad(_too_large(self.at(name), value, high), self.at(name), "decimal_above_max_value")
        return value

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Read an integer from ``low`` to ``high``, or nothing. ``1.0`` is one, as in JSON."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(self.at(name), value, "an integer")
        if value < low:
            raise bad(_too_small(self.at(name), value, low), self.at(name), "integer_below_min_value")
        if value > high:
            raise bad(_too_large(self.at(name), value, high), self.at(name), "integer_above_max_value")
        return value

    def array(self, name: str) -> list[Any] | None:
        """Read an array, or nothing."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, list):
            raise wrong_type(self.at(name), value, "an array")
        return value

    def object(self, name: str) -> Fields | None:
        """Read an object, or nothing."""
        value = self.values.get(name)
        return None if value is None else Fields(value, self.at(name))

    def objects(self, name: str) -> list[Fields]:
        """Read an array of objects; nothing is an empty one."""
        return [Fields(value, f"{self.at(name)}[{index}]") for index, value in enumerate(self.array(name) or ())]


def bad(message: str, param: str, code: str) -> WireError:
    """Return an error of the client's at one place of its request."""
    return WireError(message, param=param, code=code)


def missing(place: str) -> WireError:
    """Return the error for a field that must be there and is not."""
    return bad(f"The field '{place}' is missing.", place, "missing_required_parameter")


def wrong_type(place: str, value: Any, expected: str) -> WireError:
    """Return the error for a value of another type than expected."""
    where = f"'{place}'" if place else "The request body"
    return bad(f"{where} must be {expected}, not {_shown(value)}.", place, "invalid_type")


def unknown_value(place: str, value: str, allowed: tuple[str, ...]) -> WireError:
    """Return the error for a word that is none of those allowed."""
    return bad(f"'{place}' is {_shown(value)}; it must be one of: {', '.join(allowed)}.", place, "invalid_value")


def unsupported(place: str, what: str) -> WireError:
    """Return the error for something that is valid in OpenAI's API and that this gateway cannot do."""
    return bad(f"'{place}' {what}", place, "unsupported_parameter")


def _too_small(place: str, value: float, low: float) -> str:
    return f"'{place}' is {value}; it must be at least {low}."


def _too_large(place: str, value: float, high: float) -> str:
    return f"'{place}' is {value}; it must be at most {high}."


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
