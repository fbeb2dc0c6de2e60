"""A ledger that a simulation wrote, so that what is read from it can be compared with what made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.unit.ledger.sample_records import a_request, an_attempt

from overspill.core.types import Outcome, Policy
from overspill.ledger.records import AttemptRecord, RequestRecord
from overspill.ledger.store import LedgerStore
from overspill.planner.bills import Bills
from overspill.planner.simulated import SimulatedRequest, TargetModel
from overspill.planner.simulator import Simulator
from overspill.planner.workload import TraceRequest

STARTS_AT = 1_800_000_000.0


def write_ledger(
    path: Path, trace: Sequence[TraceRequest], policy: Policy, models: Mapping[str, TargetModel], model: str
) -> list[SimulatedRequest]:
    """Simulate, and write what came of it as a gateway would have."""
    rows = Simulator(policy, models, starts_at_unix_s=STARTS_AT).run(trace, model)
    bills = Bills(policy, STARTS_AT)
    write_records(
        path, [_request(row, model, bills.usd(row)) for row in rows], [a for row in rows for a in _attempts(row)]
    )
    return rows


def write_records(path: Path, requests: Sequence[RequestRecord], attempts: Sequence[AttemptRecord] = ()) -> None:
    """Write records."""
    store = LedgerStore.open(path)
    try:
        assert store.write(requests, attempts) == 0
    finally:
        store.close()


def _request(row: SimulatedRequest, model: str, usd: float | None) -> RequestRecord:
    is_answered = row.outcome is Outcome.COMPLETED
    return a_request(
        row.number,
        arrived_at=STARTS_AT + row.at_s,
        model=model,
        prompt_tokens=row.prompt_tokens,
        prompt_tokens_reported=row.prompt_tokens if is_answered else None,
        cached_tokens=None,
        output_tokens=row.output_tokens if is_answered else None,
        max_tokens=row.output_tokens,
        outcome=row.outcome,
        reason=row.reason,
        spill=row.spill,
        target_id=row.target_id,
        queue_wait_s=row.queue_wait_s or 0.0,
        ttft_s=row.ttft_s,
        e2e_s=row.e2e_s,
        cost_usd=usd,
    )


def _attempts(row: SimulatedRequest) -> list[AttemptRecord]:
    if row.outcome is not Outcome.COMPLETED or row.started_s is None or row.ttft_s is None or row.e2e_s is None:
        return []
    waited_s = row.started_s - row.at_s
    tokens = row.output_tokens
    return [
        an_attempt(
            row.number,
            target_id=row.target_id,
            started_at=STARTS_AT + row.started_s,
            ttft_s=row.ttft_s - waited_s,
            tpot_s=(row.e2e_s - row.ttft_s) / (tokens - 1) if tokens > 1 else None,
            duration_s=row.e2e_s - waited_s,
            prompt_tokens=row.prompt_tokens,
            cached_tokens=None,
            output_tokens=tokens,
        )
    ]
