"""Learn an engine's speed from requests that it has answered.

The gateway's ledger has what is needed: for each answer its prompt's length, its TTFT and TPOT, and how many requests
ran beside it. The result is the scalars of ``perf.batching.EngineModel``.

A step of continuous batching costs ``b + r·B + p·n`` for B requests decoded and n prompt tokens prefilled (see
``perf.batching``), hence for one answer

    TPOT ≈ b + r·B + p·I      B: mean requests running, itself included; I: prompt tokens of *others* prefilled while it
                              decoded, per token it decoded
    TTFT ≈ o + s·(b + r·(B-1)) + p·(n + w)    n: its prompt; s: its ⌈n / chunk⌉ steps and the half step it waits to
                              join; w: prompt tokens of others in the step it waited for and in those it shared

o is what every request pays besides (connection, tokenizer, template). The second term of TPOT is the one that simple
calculators leave out: with B equal requests it is (B-1)/output × prefill(prompt) per token. w is the same for TTFT: on
a full engine several slots free up within one step, and their prompts are prefilled together.

Each line is fitted by the Theil-Sen estimator: the median of the slopes between all pairs of points, then the median
residual as intercept (Theil 1950; Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 1968).
Up to 29 % of the points may be wrong without ruining it, and logs of real traffic have such points. The two lines share
b, r and p, so they are fitted in turn until they agree. Where nearly all answers had the same company (a full engine)
the log cannot tell b from r: the slope would be noise, so all of it is taken as b.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import NamedTuple, TypeVar

import msgspec

_ROUNDS = 8
"""The two fits in turn settle to 1e-3 within this many rounds on the cases of the tests."""
_MAX_POINTS = 100
"""More points than this are merged to medians of neighbours: 4,950 slopes are enough."""
_LEAST_SPREAD = 0.25
"""From the first to the ninth decile of concurrencies, relative to their median; below, no slope is looked for."""
_LEAST_STEP_S = 1e-6
"""A step is never free; where the line says so it is drawn from here instead."""

_GROUPS = 8
"""Of a delete-a-group jackknife (Shao, Wu, "A general theory for jackknife variance estimation", Ann. Stat. 1989)."""
_REACH = 1.895
"""Deviations to either side that hold 90 % of Student's t with one degree of freedom less than there are groups."""

_Point = tuple[float, float]
_Seen = TypeVar("_Seen")


class DecodeObservation(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one answer's tokens came."""

    concurrency: float
    """Mean requests running while it decoded, itself included: 1 or more."""
    tpot_s: float
    """Mean seconds per output token after the first."""
    prefill_per_token: float = 0.0
    """Prompt tokens of other requests prefilled while it decoded, divided by the tokens it decoded."""


class PrefillObservation(msgspec.Struct, frozen=True, kw_only=True):
    """How soon one answer's first token came, for a request that found a free slot."""

    prompt_tokens: int
    """Less the tokens that the engine had in its prefix cache."""
    ttft_s: float
    """From sending it to the engine; waiting for a slot is not in it."""
    concurrency: float = 1.0
    """Requests running then, itself included."""
    beside_tokens: float = 0.0
    """Prompt tokens of others that were prefilled between its sending and its first token."""
    is_censored: bool = False
    """True if it was given up without a first token: that would have taken longer than ``ttft_s``."""


class EngineFit(msgspec.Struct, frozen=True, kw_only=True):
    """Fitted scalars under the names of ``EngineModel``, and how well they explain what was observed."""

    step_base_s: float
    step_s_per_running: float
    prefill_s_per_token: float
    ttft_overhead_s: float
    """Seconds that every first token takes besides: not part of ``EngineModel``."""
    tpot_error: float
    """Median of \\|fitted - observed\\| / observed over the TPOTs, in the sample itself: held-out errors are larger."""
    ttft_error: float | None
    """The same over the TTFTs; ``None`` if there were none."""
    decode_count: int
    prefill_count: int
    intervals: Mapping[str, tuple[float, float]] = {}
    """By scalar, where it lies nine times of ten; empty where the observations are too few to tell."""


class _Scalars(NamedTuple):
    step_base_s: float
    step_s_per_running: float
    prefill_s_per_token: float
    ttft_overhead_s: float


def fit_engine_model(
    decode: Sequence[DecodeObservation],
    prefill: Sequence[PrefillObservation] = (),
    *,
    prefill_chunk_tokens: int = 2048,
) -> EngineFit:
    """Return the scalars that explain the observations best; what they cannot tell apart is taken as 0.

    Without observations at clearly different concurrencies ``step_s_per_running`` is 0, without prompts of different
    lengths ``prefill_s_per_token`` is 0. Raises ``ValueError`` if ``decode`` is empty or an observation cannot be.
    """
    _check(decode, prefill)
    found = _solve(decode, prefill, prefill_chunk_tokens)
    tpot_errors = [abs(_tpot_s(seen, found) - seen.tpot_s) / seen.tpot_s for seen in decode]
    spoke = [seen for seen in prefill if not seen.is_censored]
    ttft_errors = [abs(_ttft_s(seen, found, prefill_chunk_tokens) - seen.ttft_s) / seen.ttft_s for seen in spoke]
    return EngineFit(
        step_base_s=found.step_base_s,
        step_s_per_running=found.step_s_per_running,
        prefill_s_per_token=found.prefill_s_per_token,
        ttft_overhead_s=found.ttft_overhead_s,
        tpot_error=median(tpot_errors),
        ttft_error=median(ttft_errors) if ttft_errors else None,
        decode_count=len(decode),
        prefill_count=len(spoke),
        intervals=_intervals(found, decode, prefill, prefill_chunk_tokens),
    )


def _solve(
    decode: Sequence[DecodeObservation], prefill: Sequence[PrefillObservation], prefill_chunk_tokens: int
) -> _Scalars:
    base_s = per_running_s = per_token_s = overhead_s = 0.0
    is_slope_seen = _is_spread([seen.concurrency for seen in decode])
    heard = [seen for seen in prefill if not seen.is_censored] or prefill
    for number in range(_ROUNDS if prefill else 1):
        tpots = [(seen.concurrency, seen.tpot_s - per_token_s * seen.prefill_per_token) for seen in decode]
        if is_slope_seen:
            base_s, per_running_s = _fit_costs(tpots, _LEAST_STEP_S)
        else:
            base_s = max(_LEAST_STEP_S, median(tpot_s for _, tpot_s in tpots))
        if prefill:
            ttfts = [
                _ttft_point(seen, _Scalars(base_s, per_running_s, per_token_s, overhead_s), prefill_chunk_tokens)
                for seen in (prefill if number else heard)  # what to expect of the others they have to say first
            ]
            overhead_s, per_token_s = _fit_costs(ttfts, 0.0)
    return _Scalars(base_s, per_running_s, per_token_s, overhead_s)


def _ttft_point(seen: PrefillObservation, found: _Scalars, prefill_chunk_tokens: int) -> _Point:
    """Return the tokens that a first token waited for, and how long; if it was given up, at least as is expected."""
    ttft_s = seen.ttft_s
    if seen.is_censored:
        ttft_s = max(ttft_s, _ttft_s(seen, found, prefill_chunk_tokens))
    joining_s = _joining_s(seen, found.step_base_s, found.step_s_per_running, prefill_chunk_tokens)
    return seen.prompt_tokens + seen.beside_tokens, ttft_s - joining_s


def _intervals(
    found: _Scalars,
    decode: Sequence[DecodeObservation],
    prefill: Sequence[PrefillObservation],
    prefill_chunk_tokens: int,
) -> dict[str, tuple[float, float]]:
    """Return where each scalar lies nine times of ten, by a jackknife over groups; nothing for few observations."""
    if min(len(decode), len(prefill)) < 2 * _GROUPS:
        return {}
    without = [
        _solve(_all_but(decode, group), _all_but(prefill, group), prefill_chunk_tokens) for group in range(_GROUPS)
    ]
    intervals = {}
    for name, value, *others in zip(_Scalars._fields, found, *without, strict=True):
        middle = sum(others) / _GROUPS
        deviation = math.sqrt((_GROUPS - 1) / _GROUPS * sum((other - middle) ** 2 for other in others))
        intervals[name] = (max(0.0, value - _REACH * deviation), value + _REACH * deviation)
    return intervals


def _all_but(seen: Sequence[_Seen], group: int) -> list[_Seen]:
    return [one for place, one in enumerate(seen) if place % _GROUPS != group]


def _tpot_s(seen: DecodeObservation, found: _Scalars) -> float:
    step_s = found.step_base_s + found.step_s_per_running * seen.concurrency
    return step_s + found.prefill_s_per_token * seen.prefill_per_token


def _ttft_s(seen: PrefillObservation, found: _Scalars, prefill_chunk_tokens: int) -> float:
    joining_s = _joining_s(seen, found.step_base_s, found.step_s_per_running, prefill_chunk_tokens)
    work_s = found.prefill_s_per_token * (seen.prompt_tokens + seen.beside_tokens)
    return found.ttft_overhead_s + joining_s + work_s


def _joining_s(seen: PrefillObservation, base_s: float, per_running_s: float, chunk_tokens: int) -> float:
    """Return the part of a TTFT that is not the prompt's own: the steps it shares and the half step before them."""
    others = seen.concurrency - 1
    steps = math.ceil(seen.prompt_tokens / chunk_tokens) + (0.5 if others else 0.0)
    return steps * (base_s + per_running_s * others)


def _is_spread(values: Sequence[float]) -> bool:
    """Return whether values differ enough to look for a slope along them."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(0.9 * last)] - ordered[round(0.1 * last)] >= _LEAST_SPREAD * median(ordered)


def theil_sen(points: Sequence[_Point]) -> _Point:
    """Return (intercept, slope) of the line through ``points`` by medians; the slope is 0 if all x are equal."""
    merged = _merge(points)
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(merged, 2) if x2 != x1]
    slope = median(slopes) if slopes else 0.0
    return median(y - slope * x for x, y in points), slope


def _fit_costs(points: Sequence[_Point], least_intercept: float) -> _Point:
    """Fit a line of costs: a falling one is taken as flat, one that starts too low is drawn from the least start."""
    intercept, slope = theil_sen(points)
    if slope < 0:
        intercept, slope = median(y for _, y in points), 0.0
    if intercept < least_intercept:
        intercept = least_intercept
        slope = max(0.0, median((y - intercept) / x for x, y in points))
    return intercept, slope


def _merge(points: Sequence[_Point]) -> list[_Point]:
    """Thin many points to the medians of at most ``_MAX_POINTS`` groups of neighbours along x."""
    ordered = sorted(points)
    if len(ordered) <= _MAX_POINTS:
        return ordered
    bounds = [len(ordered) * index // _MAX_POINTS for index in range(_MAX_POINTS + 1)]
    groups = [ordered[low:high] for low, high in pairwise(bounds)]
    return [(median(x for x, _ in group), median(y for _, y in group)) for group in groups]


def _check(decode: Sequence[DecodeObservation], prefill: Sequence[PrefillObservation]) -> None:
    if not decode:
        raise ValueError("no TPOT was observed: at least one is needed to fit a step's time")
    if any(not (seen.tpot_s > 0 and seen.concurrency >= 1 and seen.prefill_per_token >= 0) for seen in decode):
        raise ValueError("an observed TPOT needs tpot_s > 0, concurrency >= 1 and prefill_per_token >= 0")
    if any(not _is_possible(seen) for seen in prefill):
        raise ValueError(
            "an observed TTFT needs ttft_s > 0, prompt_tokens > 0, concurrency >= 1 and beside_tokens >= 0"
        )


def _is_possible(seen: PrefillObservation) -> bool:
    return seen.ttft_s > 0 and seen.prompt_tokens > 0 and seen.concurrency >= 1 and seen.beside_tokens >= 0
