"""What a simulation is made of and what it makes: the models of targets, and each request's fate.

Apart from ``simulator``, which works with them and can be compiled.
"""

from __future__ import annotations

import msgspec

from overspill.core.types import Outcome, RejectReason, Spill
from overspill.perf.engine_model import EngineModel


class TargetModel(msgspec.Struct, frozen=True, kw_only=True):
    """How a target behaves: an engine, behind a fixed delay for the network and whatever else stands before it."""

    engine: EngineModel
    delay_s: float = 0.0


class LostAttempt(msgspec.Struct, frozen=True, gc=False):
    """An attempt that was cancelled because another one had the request."""

    target_id: str
    started_s: float
    """From the trace's start."""


class SimulatedRequest(msgspec.Struct, gc=False):
    """One request's fate. Times are seconds from its arrival; ``None`` where it did not get so far."""

    number: int
    """Its place in the trace."""
    at_s: float
    prompt_tokens: int
    output_tokens: int
    """As the trace wants it; less, once an engine whose context has no room for more has taken it in."""
    key_id: str = ""
    cached_tokens: int = 0
    """As the trace says; the engine's model has no prefix cache, bills do."""
    outcome: Outcome | None = None
    """Never ``None`` after a run."""
    target_id: str | None = None
    """Where its last attempt ran."""
    spill: Spill | None = None
    reason: RejectReason | None = None
    queue_wait_s: float | None = None
    ttft_s: float | None = None
    e2e_s: float | None = None
    """To its final answer, a refusal included."""
    started_s: float | None = None
    """When the attempt that answered it started, from the trace's start: what a tariff looks at."""
    lost: list[LostAttempt] | None = None
    """The attempts beside that one, if there were any."""
