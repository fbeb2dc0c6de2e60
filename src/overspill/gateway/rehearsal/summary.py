"""Adds up what a rehearsal's requests experienced. Pure: results in, figures out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

_Key = TypeVar("_Key", int, str)
HOME = "home"
"""``x-overspill-reason`` of a request that was answered in its first tier."""


class RequestResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one request, as its client saw it. Times ending a field's name in ``_s`` are seconds."""

    index: int
    """Its place in the trace as given."""
    planned_s: float
    """When the trace wanted it sent, from the start."""
    sent_s: float
    """When it was; later than planned if the player could not keep up."""
    e2e_s: float
    """From sending to the end of its answer, or to its failure."""
    ttft_s: float | None = None
    """From sending to the first delta with content."""
    status: int | None = None
    """``None`` if no answer began."""
    output_tokens: int = 0
    """Deltas with content."""
    finish_reason: str | None = None
    target: str | None = None
    reason: str | None = None
    error: str | None = None
    """``None`` for a whole answer, ``status`` for an answer with another status than 200, else what went wrong."""
    message: str = ""
    text: str | None = None


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank quantiles of ``count`` values."""

    count: int
    p50: float
    p99: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A rehearsal in figures. Every request is in exactly one of ``answered``, ``refused`` and ``failed``."""

    requests: int
    answered: int
    refused: Mapping[int, int]
    """By HTTP status."""
    failed: Mapping[str, int]
    """By error: ``cut``, ``timeout``, ``error_event``, ``not_sent``, ``refused`` (nobody listens)…"""
    spilled: Mapping[str, int]
    """Answered away from home, by reason."""
    ttft_s: Quantiles | None
    """Of answered requests, as are the next three; ``None`` where there was none."""
    home_ttft_s: Quantiles | None
    spilled_ttft_s: Quantiles | None
    target_ttft_s: Mapping[str, Quantiles]
    slo_ttft_s: float
    goodput_per_s: float
    """Requests answered whole with TTFT within the SLO, per second of ``length_s``."""
    slo_met: float
    """The same as a share of all requests, 0 to 1."""
    output_tokens_per_s: float
    """Tokens of answered requests."""
    length_s: float
    """From the first request's sending to the last one's end."""
    max_late_s: float
    """How late the player itself sent a request at worst: above some ms, the load was not the trace's."""


def summarise(results: Iterable[RequestResult], *, slo_ttft_s: float) -> Summary:
    """Add up results."""
    results = list(results)
    answered = [result for result in results if result.error is None]
    spilled = [result for result in answered if _is_spilled(result)]
    home = [result for result in answered if not _is_spilled(result)]
    length_s = 0.0
    if results:
        length_s = max(one.sent_s + one.e2e_s for one in results) - min(one.sent_s for one in results)
    per_s = 1 / length_s if length_s else 0.0
    good = sum(1 for result in answered if result.ttft_s is not None and result.ttft_s <= slo_ttft_s)
    targets = sorted({result.target for result in answered if result.target is not None})
    by_target = {target: _ttft(one for one in answered if one.target == target) for target in targets}
    return Summary(
        requests=len(results),
        answered=len(answered),
        refused=_counts(result.status for result in results if result.error == "status"),
        failed=_counts(result.error for result in results if result.error != "status"),
        spilled=_counts(result.reason for result in spilled),
        ttft_s=_ttft(answered),
        home_ttft_s=_ttft(home),
        spilled_ttft_s=_ttft(spilled),
        target_ttft_s={target: found for target, found in by_target.items() if found is not None},
        slo_ttft_s=slo_ttft_s,
        goodput_per_s=good * per_s,
        slo_met=good / len(results) if results else 0.0,
        output_tokens_per_s=sum(result.output_tokens for result in answered) * per_s,
        length_s=length_s,
        max_late_s=max((result.sent_s - result.planned_s for result in results), default=0.0),
    )


def quantiles(values: Iterable[float]) -> Quantiles | None:
    """Return nearest-rank quantiles, or ``None`` of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    count = len(ordered)
    return Quantiles(count=count, p50=ordered[math.ceil(0.5 * count) - 1], p99=ordered[math.ceil(0.99 * count) - 1])


def _is_spilled(result: RequestResult) -> bool:
    """Tell whether it was answered away from home; an engine asked directly names no reason."""
    return result.reason is not None and result.reason != HOME


def _ttft(results: Iterable[RequestResult]) -> Quantiles | None:
    return quantiles(result.ttft_s for result in results if result.ttft_s is not None)


def _counts(keys: Iterable[_Key | None]) -> dict[_Key, int]:
    return dict(sorted(Counter(key for key in keys if key is not None).items()))
