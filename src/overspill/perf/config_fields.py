"""A model's ``config.json`` as typed fields: what is missing or of the wrong kind is named, with what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from overspill.errors import ConfigError

_INNER = ("text_config", "language_config", "llm_config")
"""Where multimodal configurations keep the language model's."""
_TOWERS = ("vision_config", "audio_config", "visual", "vision_tower", "mm_vision_tower", "img_processor", "vit_config")
_WHOLE = "thinker_config"
"""Where those that speak keep all that does not."""


class Fields:
    """The language model's part of a ``config.json``, over what is missing there the whole, over that defaults."""

    def __init__(self, config: Mapping[str, Any], file: str | None = None) -> None:
        self.file = file
        self.outer_type = config.get("model_type")
        whole = config[_WHOLE] if isinstance(config.get(_WHOLE), Mapping) else config
        inner = next((whole[name] for name in _INNER if isinstance(whole.get(name), Mapping)), None)
        self.is_multimodal = inner is not None or any(name in whole for name in _TOWERS)
        self._values: dict[str, Any] = {**whole, **(inner or {})}
        self._asked: set[str] = set()

    def with_defaults(self, defaults: Mapping[str, Any]) -> Fields:
        """Return the same with values for what a family's configurations may leave out."""
        return self._with({**defaults, **{name: value for name, value in self._values.items() if value is not None}})

    def with_values(self, values: Mapping[str, Any]) -> Fields:
        """Return the same with other values for some fields; a null takes one out."""
        return self._with({**self._values, **values})

    def _with(self, values: dict[str, Any]) -> Fields:
        fields = Fields({}, self.file)
        fields._values, fields._asked = values, self._asked
        fields.is_multimodal, fields.outer_type = self.is_multimodal, self.outer_type
        return fields

    def get(self, *names: str) -> Any:
        """Return the first of these fields that is there and not null, or ``None``."""
        self._asked.update(names)
        return next((self._values[name] for name in names if self._values.get(name) is not None), None)

    def not_asked(self) -> dict[str, Any]:
        """Return the fields with a value that nobody has asked for."""
        return {name: value for name, value in self._values.items() if name not in self._asked and value}

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def whole(self, *names: str, default: int | None = None) -> int:
        """Return a whole number above 0; the first of the names that is there counts."""
        number = self.whole_or_none(*names)
        if number is None:
            number = default
        if number is None:
            raise self.error(f"{_either(names)} is missing: add it, as the model's card or its code says")
        return number

    def whole_or_none(self, *names: str) -> int | None:
        """Return a whole number, or ``None`` if none of the fields is there."""
        value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(f"{_either(names)} must be a whole number, not {value!r}")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes or no."""
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(f"{name} must be true or false, not {value!r}")
        return value

    def text(self, name: str) -> str | None:
        """Return a string, or ``None`` if it is not there."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise self.error(f"{name} must be a string, not {value!r}")
        return value

    def per_layer(self, name: str, layers: int) -> tuple[Any, ...] | None:
        """Return a list with a value for each layer (more than that are of MTP modules), or ``None``."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) < layers:
            raise self.error(f"{name} must list a value for each of the {layers} layers")
        return tuple(value)[:layers]

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """Return an object, or ``None`` if it is not there."""
        value = self.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.error(f"{name} must be an object, not {value!r}")
        return value

    def error(self, message: str) -> ConfigError:
        """Return an error about this file."""
        return ConfigError(message, file=self.file or "config.json")


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)
