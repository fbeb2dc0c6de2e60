from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.ledger.sample_records import SPILLED, a_request, an_attempt

from overspill.core.types import FailureKind, Outcome, RejectReason, Spill
from overspill.errors import LedgerError
from overspill.ledger.records import AttemptOutcome
from overspill.ledger.store import LedgerStore
from overspill.ledger.summary import Quantiles, TargetSummary, summary


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    store = LedgerStore.open(tmp_path / "ledger.db")
    refused = a_request(
        3, outcome=Outcome.REJECTED, reason=RejectReason.QUEUE_FULL, target_id=None, attempts=0, ttft_s=None
    )
    store.write(
        [
            a_request(0, ttft_s=0.1),
            a_request(1, ttft_s=0.2),
            a_request(2, ttft_s=0.9, **SPILLED),
            refused,
            a_request(4, ttft_s=0.7, **{**SPILLED, "spill": Spill.ATTEMPT_FAILED}),
        ],
        [
            an_attempt(0),
            an_attempt(1),
            an_attempt(2, **SPILLED),
            an_attempt(4, outcome=AttemptOutcome.FAILED, failure=FailureKind.CUT, output_tokens=None),
            an_attempt(4, **{**SPILLED, "cost_usd": None}),
        ],
    )
    return store


def test_a_summary_counts_requests_by_outcome_reason_and_spill(store: LedgerStore) -> None:
    found = summary(store)
    assert found.requests == 5
    assert found.by_outcome == {"completed": 4, "rejected": 1}
    assert found.by_reason == {"queue_full": 1}
    assert found.by_spill == {"attempt_failed": 1, "local_full": 1}
    store.close()


def test_tokens_and_money_are_the_sum_of_what_each_target_did(store: LedgerStore) -> None:
    found = summary(store)
    assert found.targets == (
        TargetSummary("deepseek-1", 2, 2, 1640, 1024, 256, 0.002, 1),
        TargetSummary("local-0", 3, 2, 2460, 1536, 256, 0.0, 0),
    )
    assert (found.prompt_tokens, found.output_tokens) == (4100, 512)
    assert found.cost_usd == pytest.approx(0.002)
    assert found.unpriced_attempts == 1
    store.close()


def test_first_token_times_of_local_and_spilled_answers_are_apart(store: LedgerStore) -> None:
    found = summary(store)
    assert found.ttft_local == Quantiles(2, 0.1, 0.2)
    assert found.ttft_spilled == Quantiles(2, 0.7, 0.9)
    store.close()


def test_a_summary_of_a_range_holds_only_that_range(store: LedgerStore) -> None:
    found = summary(store, since=1002.0, until=1004.0)
    assert found.by_outcome == {"completed": 1, "rejected": 1}
    assert [target.target_id for target in found.targets] == ["deepseek-1"]
    assert found.ttft_local == Quantiles(0, None, None)
    store.close()


def test_a_summary_leaves_no_transaction_open(store: LedgerStore) -> None:
    summary(store)
    assert not store.connection.in_transaction
    store.connection.execute("DROP TABLE attempts")
    with pytest.raises(LedgerError, match="cannot be read"):
        summary(store)
    assert not store.connection.in_transaction
    store.close()
