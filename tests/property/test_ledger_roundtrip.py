"""What goes into the ledger comes out of it, and its quantiles are the definition's."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.core.cost import cost_usd
from overspill.core.types import FailureKind, Outcome, Price, RejectReason, Spill, Surface
from overspill.ledger.export import Format, export
from overspill.ledger.records import AttemptOutcome, AttemptRecord, RequestRecord
from overspill.ledger.store import ATTEMPTS, LedgerStore
from overspill.ledger.summary import summary
from overspill.ledger.writer import LedgerWriter

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
times = st.floats(min_value=0, max_value=1e12, allow_nan=False)
counts = st.integers(min_value=0, max_value=2**63 - 1)
maybe_times = st.none() | times
maybe_counts = st.none() | counts
spills = st.none() | st.sampled_from(Spill)

requests = st.builds(
    RequestRecord,
    request_id=texts,
    arrived_at=times,
    model=texts,
    route=texts,
    surface=st.sampled_from(Surface),
    key_id=texts,
    stream=st.booleans(),
    priority=counts,
    local_only=st.booleans(),
    prompt_tokens=counts,
    prompt_tokens_reported=maybe_counts,
    cached_tokens=maybe_counts,
    output_tokens=maybe_counts,
    reasoning_tokens=maybe_counts,
    max_tokens=maybe_counts,
    outcome=st.sampled_from(Outcome),
    reason=st.none() | st.sampled_from(RejectReason) | st.sampled_from(FailureKind),
    spill=spills,
    target_id=st.none() | texts,
    attempts=counts,
    queue_wait_s=times,
    ttft_s=maybe_times,
    tpot_s=maybe_times,
    e2e_s=times,
    cost_usd=maybe_times,
    finish_reason=st.none() | texts,
    client_status=maybe_counts,
)
attempts = st.builds(
    AttemptRecord,
    request_id=texts,
    attempt_id=counts,
    target_id=texts,
    model=texts,
    started_at=times,
    spill=spills,
    predicted_ttft_s=maybe_times,
    ttft_s=maybe_times,
    tpot_s=maybe_times,
    duration_s=times,
    outcome=st.sampled_from(AttemptOutcome),
    failure=st.none() | st.sampled_from(FailureKind),
    status=maybe_counts,
    prompt_tokens=maybe_counts,
    cached_tokens=maybe_counts,
    output_tokens=maybe_counts,
    cost_usd=maybe_times,
)


@given(st.lists(requests, max_size=40), st.lists(attempts, max_size=40))
@settings(max_examples=60, deadline=None)
def test_every_record_that_is_added_is_exported_as_it_was(
    added: list[RequestRecord], tried: list[AttemptRecord]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        writer = LedgerWriter(path)
        writer.start()
        for request in added:
            writer.add_request(request)
        for attempt in tried:
            writer.add_attempt(attempt)
        assert writer.close() == 0
        assert writer.dropped == 0
        store = LedgerStore.open(path, read_only=True)
        out = Path(folder) / "requests.jsonl"
        export(store, "requests", out, Format.JSONL)
        rows: list[dict[str, Any]] = [json.loads(line) for line in out.read_bytes().splitlines()]
        expected = [msgspec.to_builtins(request) for request in sorted(added, key=lambda request: request.arrived_at)]
        assert rows == expected
        assert list(store.rows(ATTEMPTS)) == [tuple(msgspec.to_builtins(attempt).values()) for attempt in tried]
        store.close()


@given(st.lists(times, min_size=1, max_size=150), st.booleans())
@settings(max_examples=60, deadline=None)
def test_quantiles_are_the_smallest_value_that_enough_of_all_do_not_exceed(values: list[float], spilled: bool) -> None:
    spill = Spill.LOCAL_FULL if spilled else None
    base = RequestRecord(
        "r", 1.0, "m", "m", Surface.CHAT, "k", True, 1, False, 1, None, None, None, None, None, Outcome.COMPLETED,
        None, spill, "t", 1, 0.0, None, None, 1.0, None, None, 200,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = LedgerStore.open(Path(folder) / "ledger.db")
        store.write([msgspec.structs.replace(base, ttft_s=value) for value in values], [])
        found = summary(store)
        store.close()
    mine, other = (found.ttft_spilled, found.ttft_local) if spilled else (found.ttft_local, found.ttft_spilled)
    ranked = sorted(values)
    assert mine.count == len(values)
    assert other.count == 0
    for quantile, value in ((0.50, mine.p50_s), (0.99, mine.p99_s)):
        assert value == ranked[math.ceil(round(quantile * len(ranked), 9)) - 1]


@given(
    st.builds(
        Price,
        input_usd_per_mtok=st.floats(min_value=0.001, max_value=100),
        output_usd_per_mtok=st.floats(min_value=0.001, max_value=100),
    ),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(min_value=0, max_value=1),
)
def test_a_discount_on_cached_tokens_never_makes_an_answer_dearer_or_negative(
    price: Price, prompt: int, cached: int, output: int, discount: float
) -> None:
    cheaper = msgspec.structs.replace(price, cached_input_usd_per_mtok=price.input_usd_per_mtok * discount)
    full = cost_usd(price, prompt, cached, output)
    reduced = cost_usd(cheaper, prompt, cached, output)
    assert full is not None
    assert reduced is not None
    assert 0 <= reduced <= full * (1 + 1e-9)
