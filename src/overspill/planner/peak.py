"""The peak of a workload: the rate and lengths that capacity is planned for, and the requests that it is held to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from overspill.errors import TraceError
from overspill.planner.attainment import Arrivals
from overspill.planner.capacity import Lengths
from overspill.planner.sizing import Demand
from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.reading import Workload
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.synthetic import SyntheticWorkload

_MINUTE_S = 60.0
_QUANTILE = 0.99
_MOST_REQUESTS = 9000
"""Simulated of a peak."""
_FEW_REQUESTS = 1800
"""Enough, less those at both ends, that a share of 95 % is known within a point."""
_LEAST_S, _MOST_S = 600.0, 3600.0
"""How long a stretch around the busiest minute is simulated."""
_ANSWERS, _TOKEN_S = 8, 0.05
"""A drawn stretch is long enough for so many mean answers, one after the other, at so many seconds a token."""


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned for."""

    demand: Demand
    arrivals: Arrivals


def peak_of(workload: Workload, options: Options, longest: float = 0.0) -> Peak:
    """Return the peak of a workload; ``longest`` is a request's most tokens, if more than it shows."""
    if isinstance(workload, SyntheticWorkload):
        return _of_numbers(workload, options, longest)
    minutes, sums, most = _summed(workload.requests())
    count = sum(minutes.values())
    busiest = sorted(minutes.get(index, 0) for index in range(max(minutes) + 1))
    rate = busiest[max(0, math.ceil(len(busiest) * _QUANTILE) - 1)] / _MINUTE_S
    prompt, answer = math.ceil(sums[0] / count), math.ceil(sums[1] / count)
    return Peak(
        demand=Demand(
            requests_per_s=rate,
            lengths=Lengths(
                prompt_tokens=prompt,
                answer_tokens=answer,
                longest_tokens=max(most, math.ceil(longest), prompt + answer),
            ),
            source=f"{workload.name}: {count:,} requests, rate of the busiest minute of a hundred",
        ),
        arrivals=stretch(workload, minutes),
    )


def busiest_stretch(workload: Workload) -> Arrivals:
    """Return the requests around a workload's busiest minute."""
    return stretch(workload, _summed(workload.requests())[0])


def stretch(workload: Workload, minutes: dict[int, int]) -> Arrivals:
    """Return the requests around the busiest minute: ten minutes to an hour of them, and no more than some thousands.

    The longer the fewer they are, so that a share of them means something.
    """
    place = max(minutes, key=lambda index: (minutes[index], -index))
    length_s = min(_MOST_S, max(_LEAST_S, _FEW_REQUESTS / (minutes[place] / _MINUTE_S)))
    length_s = min(length_s, max(2 * _MINUTE_S, _MOST_REQUESTS / (minutes[place] / _MINUTE_S)))
    start_s = max(0.0, (place + 0.5) * _MINUTE_S - length_s / 2)
    kept = tuple(
        msgspec.structs.replace(request, at_s=request.at_s - start_s)
        for request in _between(workload.requests(), start_s, start_s + length_s)
    )
    return Arrivals(requests=kept, source=f"{length_s / 60:.0f} min around the busiest one of {workload.name}")


def _of_numbers(workload: SyntheticWorkload, options: Options, longest: float) -> Peak:
    shape = workload.shape
    rate = shape.peak
    prompt, answer = math.ceil(shape.prompt_tokens), math.ceil(shape.output_tokens)
    length_s = max(_FEW_REQUESTS / rate, _ANSWERS * answer * _TOKEN_S)
    hours = min(length_s, _MOST_REQUESTS / rate) / 3600
    flat = (
        f"rps={rate!r},peak={rate!r},in={shape.prompt_tokens!r},out={shape.output_tokens!r},cv={shape.cv!r},"
        f"hours={hours!r}"
    )
    drawn = SyntheticWorkload(flat, msgspec.structs.replace(options, rate_factor=1.0))
    how = "flat" if shape.peak == shape.rps else f"the peak of a mean of {shape.rps:g}"
    return Peak(
        demand=Demand(
            requests_per_s=rate,
            lengths=Lengths(
                prompt_tokens=prompt,
                answer_tokens=answer,
                longest_tokens=max(prompt + answer, math.ceil(longest)),
            ),
            source=f"{workload.name}: {how}",
        ),
        arrivals=Arrivals(
            requests=tuple(drawn.requests()),
            source=f"drawn at the peak's rate, gaps with a coefficient of variation of {shape.cv:g}",
        ),
    )


def _summed(requests: Iterable[TraceRequest]) -> tuple[dict[int, int], tuple[int, int], int]:
    """Return the requests of each minute, the sums of prompts and answers, and the longest request."""
    minutes: dict[int, int] = {}
    prompts = answers = longest = 0
    for request in requests:
        minute = int(request.at_s // _MINUTE_S)
        minutes[minute] = minutes.get(minute, 0) + 1
        prompts += request.prompt_tokens
        answers += request.output_tokens
        longest = max(longest, request.prompt_tokens + request.output_tokens)
    if not minutes:
        raise TraceError("no request is in this workload, so there is nothing to size for")
    return minutes, (prompts, answers), longest


def _between(requests: Iterable[TraceRequest], start_s: float, end_s: float) -> Iterator[TraceRequest]:
    for request in requests:
        if request.at_s >= end_s:
            return
        if request.at_s >= start_s:
            yield request
