"""What was assumed or left out, in words: English text that also knows its Chinese."""

from __future__ import annotations

from typing import Final, Literal, Self, get_args

from overspill.units import format_duration

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
_UNITS_ZH: Final = {"µs": "微秒", "ms": "毫秒", "s": "秒", "min": "分钟", "h": "小时", "d": "天"}


class Remark(str):
    """English words; ``zh`` has the same in Chinese."""

    __slots__ = ("zh",)
    zh: str

    def __new__(cls, en: str, zh: str) -> Self:
        """Make one from both."""
        made = super().__new__(cls, en)
        made.zh = zh
        return made


def in_language(said: str, language: Language) -> str:
    """Return a remark in a language; words that are no remark are the same in both."""
    return said.zh if language == "zh" and isinstance(said, Remark) else str(said)


def length_zh(seconds: float) -> str:
    """Return a length of time as it is written in Chinese."""
    count, unit = format_duration(seconds).split(" ")
    return f"{count} {_UNITS_ZH[unit]}"
