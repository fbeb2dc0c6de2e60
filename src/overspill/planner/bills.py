"""What a simulated request is billed: each of its attempts at its target's price at the time when it started.

By the same functions as the gateway's ledger (``core.cost``), so both mean the same by a cost, and by an unknown one.
"""

from __future__ import annotations

from collections.abc import Sequence

from overspill.core.cost import Billing, cost_usd
from overspill.core.types import Outcome, Policy, Price, TargetSpec
from overspill.planner.simulated import SimulatedRequest


class Bills:
    """The prices of a policy's targets, for a trace that begins at a time of day."""

    def __init__(self, policy: Policy, starts_at_unix_s: float | None) -> None:
        """Make them; without a time of day a tariff counts at its dearer price."""
        self._starts_at_unix_s = starts_at_unix_s
        self._billing = {spec.target_id: Billing(spec) for spec in policy.targets}
        self._free = frozenset(target_id for target_id, billing in self._billing.items() if _is_free(billing.dearest))
        """Targets whose tokens cost nothing at any time, as those of what is owned."""

    def usd(self, row: SimulatedRequest) -> float | None:
        """Return what all attempts of a request cost; ``None`` if that of one is unknown.

        One that was cancelled before it spoke is billed its prompt, as the gateway reckons: a provider may do so.
        """
        usd: float | None = 0.0
        target_id = row.target_id
        if target_id is not None and target_id not in self._free and row.outcome is Outcome.COMPLETED:
            usd = self._attempt(target_id, row.started_s, row, row.output_tokens)
        for lost in row.lost or ():
            more = self._attempt(lost.target_id, lost.started_s, row, 0)
            usd = None if usd is None or more is None else usd + more
        return usd

    def _attempt(
        self, target_id: str, started_s: float | None, row: SimulatedRequest, output_tokens: int
    ) -> float | None:
        begins = self._starts_at_unix_s
        unix_s = None if begins is None or started_s is None else begins + started_s
        price = self._billing[target_id].at(unix_s)
        return cost_usd(price, row.prompt_tokens, row.cached_tokens or None, output_tokens)


def _is_free(dearest: Price | None) -> bool:
    if dearest is None or dearest.input_usd_per_mtok or dearest.output_usd_per_mtok:
        return False
    return not dearest.cached_input_usd_per_mtok


def unpriced(targets: Sequence[TargetSpec]) -> list[str]:
    """Return the targets whose tokens have no known price."""
    return [spec.target_id for spec in targets if Billing(spec).dearest is None]
