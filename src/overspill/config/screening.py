"""The part of the schema about detectors: what looks at a request's text, and which routes want that.

``check`` asks each detector whether its options work; ``compile`` makes a number of what a route wants, by which the
core tells whether a request was looked at by the detectors that its route has now.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from overspill.config.facts import Facts
from overspill.config.scalars import Duration, Size
from overspill.config.section import Section, duration, size
from overspill.errors import OverspillError, did_you_mean
from overspill.units import KIB

Undecided = Literal["local_only", "allow"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class DetectorConfig(Section, frozen=True, kw_only=True):
    """Something that looks at text and says whether it must stay local."""

    detector: Annotated[
        str,
        Meta(
            description="Which one. patterns is built in, presidio needs the extra `pii`; there may be more in other "
            "packages.",
            min_length=1,
        ),
    ]
    options: Annotated[
        dict[str, Any],
        Meta(description="What it is to find. For patterns: known, patterns, keywords."),
    ] = msgspec.field(default_factory=dict)


class ScreeningConfig(Section, frozen=True, kw_only=True):
    """Detectors that look at each request's text before it goes anywhere; what they find makes it `local_only`."""

    detectors: Annotated[dict[str, DetectorConfig], Meta(description="Detectors by name; nothing looks if empty.")] = (
        msgspec.field(default_factory=dict)
    )
    timeout: Annotated[
        Duration, Meta(description="Longest time for one request, waiting included; then they have failed.")
    ] = duration(1)
    max_text: Annotated[Size, Meta(description="Longest text that is looked at; with a longer one they fail.")] = size(
        256 * KIB
    )
    processes: Annotated[
        int, Meta(description="Processes of the detectors; each looks at one request at a time.", ge=1, le=32)
    ] = 1


class RouteScreening(Section, frozen=True, kw_only=True):
    """Which detectors look at a route's requests, and what becomes of those they cannot judge."""

    detectors: Annotated[
        tuple[str, ...] | None,
        Meta(description="Names of `screening.detectors`; all of them if left out, none if empty."),
    ] = None
    when_unseen: Annotated[
        Undecided,
        Meta(
            description="A request with images, audio, files or token ids, which no detector sees: local_only or allow."
        ),
    ] = "local_only"
    when_failed: Annotated[
        Undecided, Meta(description="A request whose detectors failed or took too long: local_only or allow.")
    ] = "local_only"


class ScreeningPlan(msgspec.Struct, frozen=True):
    """What a route wants of the detectors, as the gateway uses it."""

    detectors: tuple[str, ...]
    lets_unseen: bool
    lets_failed: bool


def plan_of(config: ScreeningConfig, route: RouteScreening) -> ScreeningPlan | None:
    """Return what a route wants, or ``None`` if nothing is to look."""
    names = tuple(config.detectors) if route.detectors is None else route.detectors
    if not names:
        return None
    return ScreeningPlan(names, route.when_unseen == "allow", route.when_failed == "allow")


def fingerprint(config: ScreeningConfig, plan: ScreeningPlan) -> int:
    """Return a number, never 0, that changes whenever ``plan`` would judge otherwise."""
    detectors = [(name, config.detectors[name]) for name in plan.detectors]
    written = msgspec.json.encode([detectors, plan.lets_unseen, plan.lets_failed], order="sorted")
    return 1 + int.from_bytes(hashlib.sha256(written).digest()[:6], "big")  # within what JSON numbers hold everywhere


def screening_problems(config: ScreeningConfig, facts: Facts) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give what is wrong with the detectors, with its path."""
    if not config.timeout > 0:
        yield ("screening", "timeout"), "it must be above 0: in no time nothing can be looked at"
    for name, entry in config.detectors.items():
        path = ("screening", "detectors", name)
        if not _NAME.fullmatch(name):
            yield path, f"{name!r} is no name for a detector: letters, digits, '-', '_' and '.', at most 64"
        try:
            facts.detector(entry.detector).check(entry.options)
        except OverspillError as error:
            yield path, str(error)


def unknown_detectors(config: ScreeningConfig, names: Sequence[str]) -> Iterator[str]:
    """Say which of the names that a route gives are none of a detector."""
    for name in names:
        if name not in config.detectors:
            known = ", ".join(config.detectors) or "none"
            yield f"there is no detector {name!r}{did_you_mean(name, config.detectors)}; the detectors are {known}"
