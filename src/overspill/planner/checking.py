"""A simulation's figures beside what a ledger recorded, with the error of each."""

from __future__ import annotations

from typing import Literal

import msgspec

from overspill.planner.figures import Figures, Spread

Kind = Literal["share", "ratio"]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, recorded and simulated."""

    name: str
    kind: Kind
    recorded: float
    simulated: float

    @property
    def error(self) -> float | None:
        """Simulated less recorded: of shares as a difference, of others as a part of what was recorded."""
        if self.kind == "share":
            return self.simulated - self.recorded
        return self.simulated / self.recorded - 1 if self.recorded else None


def check(recorded: Figures, simulated: Figures) -> list[Checked]:
    """Return every figure that both have."""
    found = [
        _share("slo_met", recorded.slo_met, simulated.slo_met),
        _share("spilled", recorded.spilled_share, simulated.spilled_share),
    ]
    found += [
        _share(f"spilled.{reason}", _part(recorded, reason), _part(simulated, reason))
        for reason in sorted({*recorded.spilled, *simulated.spilled})
    ]
    found += [
        _share("refused", recorded.refused_share, simulated.refused_share),
        _ratio("goodput_per_s", recorded.goodput_per_s, simulated.goodput_per_s),
        _ratio("usd_per_hour", recorded.usd_per_hour, simulated.usd_per_hour),
    ]
    for name in ("ttft_s", "tpot_s", "e2e_s"):
        seen: Spread | None = getattr(recorded, name)
        told: Spread | None = getattr(simulated, name)
        if seen is not None and told is not None:
            for quantile in ("p50", "p90", "p99"):
                found.append(_ratio(f"{name}.{quantile}", getattr(seen, quantile), getattr(told, quantile)))
    return found


def _part(figures: Figures, reason: str) -> float:
    return figures.spilled.get(reason, 0) / figures.requests if figures.requests else 0.0


def _share(name: str, recorded: float, simulated: float) -> Checked:
    return Checked(name=name, kind="share", recorded=recorded, simulated=simulated)


def _ratio(name: str, recorded: float, simulated: float) -> Checked:
    return Checked(name=name, kind="ratio", recorded=recorded, simulated=simulated)
