"""What a check says: a code, what is stated, what is right, the ratio of both, and the same in two languages."""

from __future__ import annotations

import enum

import msgspec


class Finding(enum.StrEnum):
    """How a statement stands."""

    RIGHT = "right"  # it derives again
    WRONG = "wrong"  # it does not
    MISSING = "missing"  # something that decides is left out
    DATED = "dated"  # the catalogue has another figure of another date


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """One statement, checked."""

    code: str
    finding: Finding
    subject: str
    """Which of several, such as an instance; empty if there is one."""
    unit: str
    expected: float | None
    """As computed; ``None`` where there is no such number."""
    stated: float | None
    """As the article says; ``None`` where it says nothing."""
    quote: str
    en: str
    zh: str
    sources: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """Expected by stated."""
        if self.expected is None or not self.stated:
            return None
        return self.expected / self.stated
