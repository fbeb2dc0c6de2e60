"""The built-in detector: regular expressions and keywords of the user's, and known numbers. Needs no other package.

Text is looked at as it is and in its compatibility form (NFKC) without invisible characters, so that full-width digits
and zero-width spaces hide nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.detectors.known import KNOWN, Known
from overspill.detectors.protocol import Finds
from overspill.errors import OverspillError, UnknownName

_WORD = re.compile(r"\w", re.ASCII)


class PatternOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to look for; one hit is enough."""

    known: tuple[str, ...] = ()
    patterns: dict[str, str] = {}
    """A name of the user's → a regular expression in Python's syntax."""
    keywords: tuple[str, ...] = ()
    """In any case; of letters of ASCII, only as whole words."""


class Patterns:
    """See the module."""

    kind = "patterns"
    description = "your regular expressions and keywords, and known numbers and secrets"

    def check(self, options: Mapping[str, Any]) -> None:
        """See ``Detector``."""
        self.load(options)

    def load(self, options: Mapping[str, Any]) -> Finds:
        """See ``Detector``."""
        wanted = _read(options)
        expressions = [_compiled(name, text) for name, text in wanted.patterns.items()]
        if wanted.keywords:
            expressions.append(re.compile("|".join(map(_keyword, wanted.keywords)), re.IGNORECASE))
        numbers = [KNOWN[name] for name in wanted.known]
        return lambda text: any(_found(form, expressions, numbers) for form in _forms(text))


def _read(options: Mapping[str, Any]) -> PatternOptions:
    try:
        wanted = msgspec.convert(options, PatternOptions)
    except msgspec.ValidationError as error:
        raise OverspillError(f"options: {error}") from None
    if not (wanted.known or wanted.patterns or wanted.keywords):
        raise OverspillError("options: there is nothing to look for; give known, patterns or keywords")
    for name in wanted.known:
        if name not in KNOWN:
            raise UnknownName("known pattern", name, tuple(KNOWN))
    if not all(word.strip() for word in wanted.keywords):
        raise OverspillError("options: a keyword is empty, which would be found everywhere")
    return wanted


def _compiled(name: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise OverspillError(f"options: the pattern {name!r} is no regular expression: {error}") from None
    if pattern.search("") is not None:
        raise OverspillError(f"options: the pattern {name!r} matches the empty text, so it would be found everywhere")
    return pattern


def _keyword(word: str) -> str:
    word = unicodedata.normalize("NFKC", word).strip()
    before = r"(?<![A-Za-z0-9_])" if _WORD.match(word[0]) else ""
    behind = r"(?![A-Za-z0-9_])" if _WORD.match(word[-1]) else ""
    return f"{before}{re.escape(word)}{behind}"


def _forms(text: str) -> tuple[str, ...]:
    if text.isascii():
        return (text,)
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    return (text,) if plain == text else (text, plain)


def _found(text: str, expressions: list[re.Pattern[str]], numbers: list[Known]) -> bool:
    return any(expression.search(text) for expression in expressions) or any(
        any(known.holds(match.group()) for match in known.pattern.finditer(text)) for known in numbers
    )
