"""Figures of what became of many requests, and the promise that they are held to: values. ``tally`` adds them up."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from overspill.core.types import Outcome
from overspill.planner.simulated import SimulatedRequest

HOUR_S = 3600.0
_COMPLETED = Outcome.COMPLETED  # asked of every request; in Python 3.11 a member of an enum costs 90 ns


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What a request must keep to count as good."""

    ttft_s: float
    tpot_s: float | None = None
    """Not judged where it is ``None``."""

    def is_kept(self, row: SimulatedRequest) -> bool:
        """Tell whether a request was answered in time."""
        return row.outcome is _COMPLETED and self.is_met(row.ttft_s, tpot_of(row))

    def is_met(self, ttft_s: float | None, tpot_s: float | None) -> bool:
        """Tell whether an answer with these was in time."""
        if ttft_s is None or ttft_s > self.ttft_s:
            return False
        return self.tpot_s is None or tpot_s is None or tpot_s <= self.tpot_s


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank quantiles of ``count`` values."""

    count: int
    p50: float
    p90: float
    p99: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the requests that arrived within ``length_s``. Shares are of all of them, 0 to 1."""

    start_s: float
    """From the trace's start."""
    length_s: float
    requests: int
    answered: int
    spilled: Mapping[str, int]
    """Answered away from home, by reason."""
    refused: Mapping[str, int]
    """Without an answer, by reason."""
    slo_met: float
    """Share that was answered within the promise."""
    goodput_per_s: float
    """As many of them per second."""
    prompt_tokens: int
    output_tokens: int
    """Of answered requests, as ``prompt_tokens``."""
    token_usd: float
    """Of all attempts whose price is known."""
    unpriced: int
    """Requests with an attempt whose price is unknown: ``token_usd`` does not hold it."""
    unit_usd: float
    """Of what is paid by the hour."""
    ttft_s: Spread | None
    """Of answered requests, as are the next two; ``None`` where there was none."""
    tpot_s: Spread | None
    e2e_s: Spread | None

    @property
    def spilled_share(self) -> float:
        """Part of all requests that was answered away from home."""
        return sum(self.spilled.values()) / self.requests if self.requests else 0.0

    @property
    def refused_share(self) -> float:
        """Part of all requests that got no answer."""
        return sum(self.refused.values()) / self.requests if self.requests else 0.0

    @property
    def usd(self) -> float:
        """Tokens and units."""
        return self.token_usd + self.unit_usd

    @property
    def usd_per_hour(self) -> float:
        """Tokens and units, by the hour."""
        return self.usd / (self.length_s / HOUR_S) if self.length_s else 0.0


def tpot_of(row: SimulatedRequest) -> float | None:
    """Return an answer's mean seconds per token after the first; ``None`` where it has no second one."""
    ttft_s, e2e_s, following = row.ttft_s, row.e2e_s, row.output_tokens - 1
    return None if ttft_s is None or e2e_s is None or following < 1 else (e2e_s - ttft_s) / following
