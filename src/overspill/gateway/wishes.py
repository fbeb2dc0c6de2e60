"""What a client asks of the gateway itself, in ``x-overspill-*`` request headers.

A wish that cannot be read is an error and is never ignored: a misspelt ``local-only`` must not let a request leave the
building.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from overspill.errors import WireError, did_you_mean
from overspill.units import parse_duration_s
from overspill.wire.form import SHOWN, ReasoningForm

PREFIX = b"x-overspill-"
PRIORITIES = {"interactive": 0, "default": 1, "bulk": 2}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class CacheWish(enum.StrEnum):
    """What a client wants of the cache, in ``x-overspill-cache``."""

    AUTO = "auto"  # as if not sent: only what comes out the same each time
    ON = "on"  # whatever the temperature
    OFF = "off"  # neither a kept answer, nor keep this one
    REFRESH = "refresh"  # a new answer, kept in place of an old one


class Wishes(NamedTuple):
    """The wishes of one request; the defaults are those of a client that sends none."""

    local_only: bool = False
    priority: int = 1
    ttft_slo_s: float | None = None
    deadline_s: float | None = None
    cache: CacheWish = CacheWish.AUTO
    reasoning: ReasoningForm | None = None
    """Where it wants thoughts in answers of chat; ``None`` is as its key says, or the normal form."""


NO_WISHES = Wishes()


def read_wishes(headers: list[tuple[bytes, bytes]]) -> Wishes:
    """Read the wishes out of a request's headers; raise ``WireError`` for one that is unknown or unreadable."""
    found: dict[str, bytes] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            wish = name[len(PREFIX) :].decode("ascii", "replace")
            if wish in found:
                raise _bad(wish, "it is sent twice")
            found[wish] = value
    if not found:
        return NO_WISHES
    local_only, priority = False, 1
    ttft_slo_s: float | None = None
    deadline_s: float | None = None
    cache = CacheWish.AUTO
    reasoning: ReasoningForm | None = None
    for wish, raw in found.items():
        text = raw.decode("utf-8", "replace").strip()
        match wish:
            case "local-only":
                local_only = _flag(wish, text)
            case "priority":
                priority = _priority(text)
            case "ttft-slo":
                ttft_slo_s = _duration_s(wish, text)
            case "deadline":
                deadline_s = _duration_s(wish, text)
            case "cache":
                cache = _cache(text)
            case "reasoning":
                reasoning = _reasoning(text)
            case _:
                known = ("local-only", "priority", "ttft-slo", "deadline", "cache", "reasoning")
                raise _bad(wish, f"there is no such header{did_you_mean(wish, known)}; known: {', '.join(known)}")
    return Wishes(local_only, priority, ttft_slo_s, deadline_s, cache, reasoning)


def _flag(wish: str, text: str) -> bool:
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise _bad(wish, f"{text!r} is neither true nor false")


def _priority(text: str) -> int:
    named = PRIORITIES.get(text.lower())
    if named is not None:
        return named
    if text.isascii() and text.isdigit() and len(text) <= 3:
        return int(text)
    raise _bad("priority", f"{text!r} is none of {', '.join(PRIORITIES)} and no number")


def _cache(text: str) -> CacheWish:
    try:
        return CacheWish(text.lower())
    except ValueError:
        raise _bad("cache", f"{text!r} is none of {', '.join(CacheWish)}") from None


def _reasoning(text: str) -> ReasoningForm:
    if text.lower() not in SHOWN:
        raise _bad("reasoning", f"{text!r} is none of {', '.join(SHOWN)}")
    return ReasoningForm(text.lower())


def _duration_s(wish: str, text: str) -> float:
    try:
        duration_s = parse_duration_s(text)
    except ValueError as error:
        raise _bad(wish, str(error)) from None
    if not duration_s:
        raise _bad(wish, f"{text!r} is no time at all; write one above zero, or leave the header out")
    return duration_s


def _bad(wish: str, why: str) -> WireError:
    return WireError(f"header x-overspill-{wish}: {why}", code="invalid_header", param=f"x-overspill-{wish}")
