"""What the attempts on one target tell of its speed: who ran beside whom is worked out from their times.

Attempts are the ledger's rows, by column. The result is a fit of ``EngineModel``'s scalars, or the loads that the
target was seen under, each with what was measured of it: rows that calibrate a prediction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import log2
from statistics import mean
from typing import Any

import msgspec

from overspill.ledger.records import AttemptOutcome
from overspill.perf.latency import DecodeObservation, EngineFit, PrefillObservation, fit_engine_model

_FEWEST = 12
"""Fewer attempts do not say how fast a target is."""
_MOST = 2000
"""Attempts that are looked at, evenly spread over the log."""
_LEAST_TOKENS = 4
"""Shorter answers do not tell a time per token."""
_FEWEST_ALIKE = 8
"""Attempts with as much company that make a load an observed one."""
_SAME_STEP = 0.1
"""First tokens closer than this share of a step came with the same one."""

Attempt = Mapping[str, Any]


class ObservedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a target was seen to do under one load: means over the attempts that had it."""

    attempts: int
    concurrency: int
    """Requests in flight at the target."""
    prompt_tokens: int
    """Less what its prefix cache had."""
    output_tokens: int
    ttft_s: float
    tpot_s: float


class Attempts:
    """All attempts on one target; those that failed ran beside the others too."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        attempts = _with_prompts(attempts)
        self._company = _Company(attempts)
        self._beside = _Beside(attempts)
        silent = [row for row in attempts if _is_silent(row)]
        self._silent = silent[:: max(1, len(silent) // _MOST)]
        whole = [row for row in attempts if row["outcome"] == AttemptOutcome.FINISHED and row["ttft_s"]]
        self._whole = whole[:: max(1, len(whole) // _MOST)]

    def fit(self, *, prefill_chunk_tokens: int) -> EngineFit | None:
        """Fit the target's speed; ``None`` if there are too few attempts."""
        prefill = [self._prefill(row) for row in self._whole]
        decode = [self._decode(row) for row in self._whole if _tells_tpot(row)]
        if len(decode) < _FEWEST or len(prefill) < _FEWEST:
            return None
        prefill += [self._prefill(row) for row in self._silent]
        return fit_engine_model(decode, prefill, prefill_chunk_tokens=prefill_chunk_tokens)

    def loads(self) -> list[ObservedLoad]:
        """Return the loads that were seen often enough, the lightest first.

        Attempts are taken together that had about as much company (within a factor of 1.4). Their lengths are mixed, as
        those of their company are, and times grow with lengths in straight lines: so means belong together.
        """
        groups: dict[int, list[Attempt]] = {}
        for row in self._whole:
            if _tells_tpot(row):
                groups.setdefault(round(2 * log2(self._running(row))), []).append(row)
        return [self._load(group) for _, group in sorted(groups.items()) if len(group) >= _FEWEST_ALIKE]

    def _load(self, group: Sequence[Attempt]) -> ObservedLoad:
        return ObservedLoad(
            attempts=len(group),
            concurrency=max(1, round(mean(map(self._running, group)))),
            prompt_tokens=max(1, round(mean(map(fresh_tokens, group)))),
            output_tokens=round(mean(row["output_tokens"] for row in group)),
            ttft_s=_without_extremes([row["ttft_s"] for row in group]),
            tpot_s=_without_extremes([row["tpot_s"] for row in group]),
        )

    def _running(self, row: Attempt) -> float:
        return max(1.0, self._company.mean(_first_at(row), _end_at(row)))

    def _prefill(self, row: Attempt) -> PrefillObservation:
        return PrefillObservation(
            prompt_tokens=max(1, fresh_tokens(row)),
            ttft_s=row["duration_s"] if row["ttft_s"] is None else row["ttft_s"],
            concurrency=max(1, self._company.at(row["started_at"])),
            beside_tokens=self._beside.while_waiting(row),
            is_censored=row["ttft_s"] is None,
        )

    def _decode(self, row: Attempt) -> DecodeObservation:
        return DecodeObservation(
            concurrency=self._running(row),
            tpot_s=row["tpot_s"],
            prefill_per_token=self._beside.while_decoding(row) / (row["output_tokens"] - 1),
        )


class _Company:
    """Tells how many attempts ran at a time."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        edges = sorted([(row["started_at"], 1) for row in attempts] + [(_end_at(row), -1) for row in attempts])
        self._times: list[float] = [at for at, _ in edges]
        self._counts = list(accumulate(change for _, change in edges))
        spans = zip(self._times, self._times[1:], self._counts, strict=False)
        self._held: list[float] = [0.0, *accumulate((later - earlier) * count for earlier, later, count in spans)]

    def at(self, at: float) -> int:
        """Return how many ran at a moment that is not before the first one's start."""
        return self._counts[bisect_right(self._times, at) - 1]

    def mean(self, begin: float, end: float) -> float:
        """Return how many ran on average between two moments, the later one after the earlier."""
        return (self._until(end) - self._until(begin)) / (end - begin)

    def _until(self, at: float) -> float:
        place = bisect_right(self._times, at) - 1
        return self._held[place] + (at - self._times[place]) * self._counts[place]


class _Beside:
    """Tells how many tokens of other prompts were prefilled while a request waited or decoded."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        self._rows = sorted((row for row in attempts if row["ttft_s"] is not None or _is_silent(row)), key=_first_at)
        self._first_at = [_first_at(row) for row in self._rows]
        self._sums = [0, *accumulate(map(fresh_tokens, self._rows))]

    def while_decoding(self, row: Attempt) -> int:
        """Return the tokens of prompts that were done between its first token and its end."""
        begin, end = bisect_right(self._first_at, _first_at(row)), bisect_left(self._first_at, _end_at(row))
        return max(0, self._sums[end] - self._sums[begin])

    def while_waiting(self, row: Attempt) -> float:
        """Return the tokens of prompts that shared its step, and the rest of those under way before that."""
        begun, first = row["started_at"], _first_at(row)
        same_step_s = _SAME_STEP * (row["tpot_s"] or 0.0)
        found = 0.0
        for place in range(bisect_right(self._first_at, begun), bisect_right(self._first_at, first + same_step_s)):
            other = self._rows[place]
            if other is row:
                continue
            share = 1.0
            if other["started_at"] < begun and self._first_at[place] < first - same_step_s:
                share = (self._first_at[place] - begun) / (self._first_at[place] - other["started_at"])
            found += share * fresh_tokens(other)
        return found


def fresh_tokens(row: Attempt) -> int:
    """Return the prompt tokens that were worked on."""
    return max(0, (row["prompt_tokens"] or 0) - (row["cached_tokens"] or 0))


def _tells_tpot(row: Attempt) -> bool:
    return bool((row["output_tokens"] or 0) >= _LEAST_TOKENS and row["tpot_s"] and _end_at(row) > _first_at(row))


def _is_silent(row: Attempt) -> bool:
    """Return whether an attempt was given up before its first token, after its prompt was worked on."""
    return row["outcome"] == AttemptOutcome.CANCELLED and row["ttft_s"] is None and fresh_tokens(row) > 0


def _with_prompts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return the attempts, those whose target never counted their prompt with what the gateway counted.

    That is brought to the target's own tokens by what both counted of the others.
    """
    both = [row for row in attempts if row["prompt_tokens"] and row.get("asked_tokens")]
    asked = sum(row["asked_tokens"] for row in both)
    factor = sum(row["prompt_tokens"] for row in both) / asked if asked else 1.0

    def known(row: Attempt) -> Attempt:
        if row["prompt_tokens"] is not None or not row.get("asked_tokens"):
            return row
        return {**row, "prompt_tokens": round(factor * row["asked_tokens"])}

    return [known(row) for row in attempts]


def _first_at(row: Attempt) -> float:
    """Return when its first token came, or when it was given up."""
    at: float = row["started_at"] + (row["duration_s"] if row["ttft_s"] is None else row["ttft_s"])
    return at


def _end_at(row: Attempt) -> float:
    at: float = row["started_at"] + row["duration_s"]
    return at


def _without_extremes(values: Sequence[float]) -> float:
    """Return the mean without the least and the largest twentieth."""
    ordered = sorted(values)
    cut = len(ordered) // 20
    return mean(ordered[cut : len(ordered) - cut])
