"""Demand in capacity units: how many replicas, each as fast as it may be within its SLO, a window of demand needs.

A unit is what sizing says that one replica carries. Prefill and decode compete for it, so the shares of both add up;
where they run on machines of their own, the sum is the number of both kinds together.
"""

from __future__ import annotations

import msgspec

from overspill.errors import ConfigError
from overspill.planner.demand import DemandSeries


class UnitCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit carries within the SLO: requests per second, or tokens per second of either kind alone."""

    requests_per_s: float | None = None
    prompt_tokens_per_s: float | None = None
    """Prefill alone."""
    output_tokens_per_s: float | None = None
    """Decode alone."""
    is_prompt_with_cached: bool = False
    """True if prefix hits are counted in ``prompt_tokens_per_s``, as in DeepSeek's published figures."""
    source: str = ""

    def check(self) -> None:
        """Raise ``ConfigError`` unless it says either requests or tokens per second."""
        tokens = (self.prompt_tokens_per_s, self.output_tokens_per_s)
        given = [rate for rate in (self.requests_per_s, *tokens) if rate is not None]
        if not given or min(given) <= 0:
            raise ConfigError("what one unit carries must be above 0: give requests per second, or tokens per second")
        if self.requests_per_s is not None and tokens != (None, None):
            raise ConfigError("say what one unit carries in requests or in tokens per second, not in both")

    def units(self, demand: DemandSeries) -> tuple[float, ...]:
        """Return how many units each window keeps busy, which is no whole number."""
        self.check()
        if self.requests_per_s is not None:
            per_unit = self.requests_per_s * demand.window_s
            return tuple(count / per_unit for count in demand.requests)
        if not any(demand.output_tokens) and not any(demand.prompt_tokens):
            raise ConfigError("this workload has no token counts; say what one unit carries in requests per second")
        prefill = 0.0 if self.prompt_tokens_per_s is None else 1 / (self.prompt_tokens_per_s * demand.window_s)
        decode = 0.0 if self.output_tokens_per_s is None else 1 / (self.output_tokens_per_s * demand.window_s)
        hits = 0.0 if self.is_prompt_with_cached else 1.0
        return tuple(
            (prompt - hits * cached) * prefill + output * decode
            for prompt, cached, output in zip(
                demand.prompt_tokens, demand.cached_tokens, demand.output_tokens, strict=True
            )
        )
