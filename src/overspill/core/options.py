"""What a look at the targets can come to, and what was seen of each; ``routing`` makes these for the controller."""

from __future__ import annotations

import enum

import msgspec

from overspill.core.target import TargetState
from overspill.core.types import Refusal, Spill


class Start(msgspec.Struct, frozen=True, gc=False):
    """Run it here, now."""

    target: TargetState
    model: str
    ttft_s: float
    tier: int
    spill: Spill | None = None
    """Why it leaves the first tier; ``None`` if it does not."""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Stay in the queue; look again at ``until`` at the latest. ``holding`` is the target whose slot is waited for."""

    until: float
    holding: TargetState | None
    is_late: bool = False
    """True if its SLO will not be kept: it waits for whatever answers at all."""


class Never(enum.Enum):
    """No target will take it before its deadline."""

    CONTEXT_TOO_LONG = enum.auto()
    UNSUPPORTED = enum.auto()
    LACKS_FEATURE = enum.auto()
    OVER_BUDGET = enum.auto()
    NO_TARGET = enum.auto()


class Option(msgspec.Struct, gc=False):
    """One target as seen by one request: a row of ``/debug/route``."""

    target: TargetState
    model: str
    tier: int
    refusal: Refusal | None
    ttft_s: float
    wait_s: float
    """0 with a free slot."""
    retry_at: float | None
    """When a refusal may lift: ``None`` if an event will tell, infinity if never."""
    risk: Spill | None
    """The promise that it is not predicted to keep, by running now or in the slot that frees next; TTFT goes first."""
