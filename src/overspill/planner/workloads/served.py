"""What a ledger recorded of the requests that were answered: how long they took, and whether they were spilled."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from overspill.core.types import Outcome, Surface
from overspill.planner.workloads.ledger import cells_of
from overspill.planner.workloads.source import Source


class Served(msgspec.Struct, frozen=True, gc=False):
    """One request that was answered."""

    is_spilled: bool
    ttft_s: float | None
    tpot_s: float | None


class _ServedRow(msgspec.Struct, gc=False):
    """The columns that tell it; others are not read."""

    outcome: Outcome
    attempts: int
    model: str = ""
    surface: str = ""
    spill: str | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None


def read_served(source: Source, model: str | None) -> Iterator[Served]:
    """Yield what was answered by a target, of the ledger's file or its export; ``model`` only, if it is given."""
    for row in cells_of(source, _ServedRow):
        is_wanted = model is None or row.model == model
        if is_wanted and row.outcome is Outcome.COMPLETED and row.attempts and row.surface != Surface.EMBEDDINGS:
            yield Served(bool(row.spill), row.ttft_s, row.tpot_s)
