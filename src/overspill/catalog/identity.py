"""Which model a name means, however it is written: ``deepseek-ai/DeepSeek-R1``, ``deepseek-r1:7b-qwen-distill-q4_K_M``.

The same weights are called by another name at each host. What a name says of the number format is told beside it,
because the same weights in four bits do not give the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from overspill.catalog.rows import KnownModel

_QUANTIZATION = re.compile(
    r"[-_.:@](?:ud-)?(i?q\d(?:_\d|_k(?:_(?:xxs|xs|s|m|l|xl))?|_(?:xxs|xs|s|m|l|xl|nl))?"
    r"|fp?(?:4|8|16|32)|bf16|mxfp4|nvfp4|int[48]|w[48]a(?:8|16)|awq|gptq|[48]bit)$"
)
_DECORATION = re.compile(r"(?:[-_](?:gguf|mlx|hf|it-hf))$")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which model it is, as far as its name tells."""

    model: str | None = None
    """The canonical name."""
    family: str | None = None
    quantization: str | None = None


class Names:
    """All spellings of all models."""

    def __init__(self, models: Iterable[KnownModel]) -> None:
        self._models = {model.name: model for model in models}
        self._spellings: dict[str, str] = {}
        for model in self._models.values():
            for name in (model.name, *model.names, *model.retired):
                self._spellings.setdefault(name.lower(), model.name)

    def of_model(self, name: str, quantization: str | None = None) -> Identity:
        """Return the identity of a model by its own name."""
        model = self._models.get(name)
        return Identity(model=name, family=None if model is None else model.family, quantization=quantization)

    def identify(self, name: str) -> Identity:
        """Return what ``name`` says: the model if its spelling is known, and the number format."""
        rest = name.lower()
        quantization = quantization_of(rest)
        for candidate in _candidates(rest):
            known = self._spellings.get(candidate)
            if known is not None:
                return self.of_model(known, quantization)
        return Identity(quantization=quantization)


def quantization_of(name: str) -> str | None:
    """Return the number format at the end of a model's or a file's name, lower case, or ``None``."""
    match = _QUANTIZATION.search(_plain(name))
    return None if match is None else match[1]


def _plain(name: str) -> str:
    return _DECORATION.sub("", name.lower().removesuffix(".gguf").removesuffix(":latest"))


def _candidates(name: str) -> list[str]:
    """Return the spellings to look for: as written, then with less and less of what does not change the weights."""
    plain = _plain(name)
    bare = _DECORATION.sub("", _QUANTIZATION.sub("", plain))
    found = [name, plain, bare]
    found += [spelling.rpartition("/")[2] for spelling in found]
    return list(dict.fromkeys(found))
