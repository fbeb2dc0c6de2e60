"""Request traces as values: when requests came, how long their prompts and answers were, and nothing of what they said.

The start of the planner's path: ``workloads`` reads a log into these, here it is cut and scaled, then played by the
simulator in virtual time or by ``overspill rehearse`` as real requests, or summed into a ``DemandSeries`` and priced.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import msgspec


class Dropped(enum.StrEnum):
    """Why a row of a trace is no request."""

    NO_PROMPT = "no_prompt"  # 0 prompt tokens
    NO_OUTPUT = "no_output"  # 0 output tokens: a failed call
    NOT_ANSWERED = "not_answered"  # refused or failed, so that its answer's length is unknown
    NOT_GENERATED = "not_generated"  # an embedding, or an answer from the gateway's own cache
    OTHER_MODEL = "other_model"  # another model than the one that was asked for
    BATCH = "batch"  # sent through a batch API, for which no capacity must stand ready


class TraceRequest(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One request of a trace; both token counts are 1 or more."""

    at_s: float
    """Seconds from the trace's start."""
    prompt_tokens: int
    output_tokens: int
    key_id: str = ""
    """Whose request it is, where a trace says so."""
    cached_tokens: int = 0
    """Prompt tokens that a prefix cache had, where a trace tells; they are among ``prompt_tokens``."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in order of time."""

    source: str
    """File name, for reports."""
    requests: tuple[TraceRequest, ...]
    dropped: Mapping[Dropped, int] = {}
    """Rows that were left out when the file was read, by reason."""

    @property
    def length_s(self) -> float:
        """Seconds from the trace's start to its last request; 0 for an empty trace."""
        return self.requests[-1].at_s if self.requests else 0.0


class OfferedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How much a trace asks for, on average over ``length_s``."""

    requests: int
    length_s: float
    requests_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float


def cut(trace: Trace, start_s: float, length_s: float) -> Trace:
    """Return the requests with start_s ≤ at < start_s + length_s, with times from ``start_s``."""
    end_s = start_s + length_s
    kept = (request for request in trace.requests if start_s <= request.at_s < end_s)
    return _with(trace, (msgspec.structs.replace(request, at_s=request.at_s - start_s) for request in kept))


def scale_time(trace: Trace, factor: float) -> Trace:
    """Multiply all times: 0.5 is the same requests in half the time, so twice the load."""
    if not factor > 0:
        raise ValueError(f"a trace's times can be multiplied by a factor above 0, not by {factor}")
    return _with(trace, (msgspec.structs.replace(request, at_s=request.at_s * factor) for request in trace.requests))


def scale_tokens(
    trace: Trace, *, max_prompt: int | None = None, max_output: int | None = None, factor: float = 1.0
) -> Trace:
    """Multiply both token counts by ``factor``, round, then limit them; a count never falls below 1."""
    if not factor > 0 or (max_prompt or 1) < 1 or (max_output or 1) < 1:
        raise ValueError("factor must be above 0, max_prompt and max_output must be 1 or more")

    def scaled(count: int, limit: int | None) -> int:
        count = max(1, round(count * factor))
        return count if limit is None else min(count, limit)

    return _with(
        trace,
        (
            msgspec.structs.replace(
                request,
                prompt_tokens=(prompt := scaled(request.prompt_tokens, max_prompt)),
                output_tokens=scaled(request.output_tokens, max_output),
                cached_tokens=min(prompt, round(request.cached_tokens * factor)),
            )
            for request in trace.requests
        ),
    )


def offered_load(trace: Trace) -> OfferedLoad:
    """Return what a trace asks for; rates are 0 where it has no length."""
    count = len(trace.requests)
    prompt_tokens = sum(request.prompt_tokens for request in trace.requests)
    output_tokens = sum(request.output_tokens for request in trace.requests)
    length_s = trace.length_s
    per_s = 1 / length_s if length_s else 0.0
    return OfferedLoad(
        requests=count,
        length_s=length_s,
        requests_per_s=count * per_s,
        prompt_tokens_per_s=prompt_tokens * per_s,
        output_tokens_per_s=output_tokens * per_s,
        mean_prompt_tokens=prompt_tokens / count if count else 0.0,
        mean_output_tokens=output_tokens / count if count else 0.0,
    )


def _with(trace: Trace, requests: Iterable[TraceRequest]) -> Trace:
    return msgspec.structs.replace(trace, requests=tuple(requests))
