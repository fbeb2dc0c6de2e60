"""The rules of one continuous-batching engine, in figures that can be checked by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from overspill.perf.batching import Batch
from overspill.perf.engine_model import BatchEvent, EngineModel


def model(**changes: Any) -> EngineModel:
    scalars: dict[str, Any] = {
        "slots": 2,
        "step_base_s": 1.0,
        "step_s_per_running": 0.25,
        "prefill_s_per_token": 0.125,
        "prefill_chunk_tokens": 8,
    }
    return EngineModel(**(scalars | changes))


def drain(batch: Batch) -> list[BatchEvent]:
    events: list[BatchEvent] = []
    while (wakeup_s := batch.next_wakeup_s()) is not None:
        events += batch.advance(wakeup_s)
    return events


def test_one_request_pays_for_its_prompt_in_chunks_and_then_step_by_step() -> None:
    batch = Batch(model())
    batch.admit(7, prompt_tokens=12, output_tokens=3, now_s=10.0)
    first = BatchEvent(10.0 + (1 + 8 * 0.125) + (1 + 4 * 0.125), 7, False)
    last = BatchEvent(first.at_s + 2 * 1.25, 7, True)
    assert drain(batch) == [first, last]


def test_an_idle_engine_wants_no_wakeup() -> None:
    batch = Batch(model())
    assert batch.next_wakeup_s() is None
    assert batch.next_step_s() is None
    assert batch.advance(5.0) == []


def test_a_decoding_request_is_slowed_by_the_prefill_of_another() -> None:
    batch = Batch(model())
    batch.admit(1, 1, 4, 0.0)  # its first token comes at 1.125
    assert batch.advance(2.0) == [BatchEvent(1.125, 1, False)]
    batch.admit(2, 8, 1, 2.0)  # joins when the step that runs ends, at 2.375
    step_with_prefill_s = 1 + 0.25 + 8 * 0.125
    assert drain(batch) == [
        BatchEvent(2.375 + step_with_prefill_s, 2, False),
        BatchEvent(2.375 + step_with_prefill_s, 2, True),
        BatchEvent(2.375 + step_with_prefill_s + 1.25, 1, True),
    ]


def test_requests_beyond_the_slots_wait_in_order_of_arrival() -> None:
    batch = Batch(model(slots=1))
    for number in (3, 1, 2):
        batch.admit(number, 1, 1, 0.0)
    assert (batch.running, batch.waiting) == (1, 2)
    assert batch.next_step_s() == 1.125
    assert [event.request_id for event in drain(batch) if event.is_last] == [3, 1, 2]


def test_the_kv_cache_holds_back_a_request_and_those_behind_it() -> None:
    batch = Batch(model(slots=8, kv_capacity_tokens=30))
    batch.admit(1, 10, 10, 0.0)
    batch.admit(2, 10, 5, 0.0)
    batch.admit(3, 1, 1, 0.0)
    batch.advance(0.5)
    assert (batch.running, batch.waiting, batch.kv_tokens) == (1, 2, 20)
    ends = [event.request_id for event in drain(batch) if event.is_last]
    assert ends == [1, 3, 2]
    assert batch.kv_tokens == 0


def test_a_cancelled_request_leaves_at_the_end_of_the_step_it_is_in() -> None:
    batch = Batch(model(slots=1))
    batch.admit(1, 1, 100, 0.0)
    batch.admit(2, 1, 1, 0.0)
    assert batch.advance(2.0) == [BatchEvent(1.125, 1, False)]
    batch.cancel(1, 2.0)
    assert drain(batch) == [BatchEvent(2.375 + 1.125, 2, False), BatchEvent(2.375 + 1.125, 2, True)]


def test_a_request_cancelled_in_its_last_step_ends_in_silence() -> None:
    batch = Batch(model())
    batch.admit(1, 1, 2, 0.0)
    batch.admit(2, 1, 2, 0.0)
    assert len(batch.advance(1.25)) == 2
    batch.cancel(1, 1.5)
    assert drain(batch) == [BatchEvent(1.25 + 1.5, 2, True)]
    assert batch.kv_tokens == 0


def test_a_request_cancelled_while_its_prompt_is_read_gets_no_first_token() -> None:
    batch = Batch(model())
    batch.admit(1, 4, 5, 0.0)
    assert batch.advance(0.5) == []
    batch.cancel(1, 0.5)
    assert drain(batch) == []
    assert (batch.running, batch.kv_tokens) == (0, 0)


def test_a_waiting_request_can_be_cancelled_and_its_id_used_again() -> None:
    batch = Batch(model(slots=1))
    batch.admit(1, 1, 2, 0.0)
    batch.admit(2, 1, 2, 0.0)
    batch.admit(3, 1, 2, 0.0)
    batch.advance(0.5)
    batch.cancel(3, 0.5)
    batch.cancel(2, 0.5)
    batch.cancel(99, 0.5)  # unknown: its end and the client's leaving crossed
    batch.admit(2, 1, 1, 0.75)
    assert [event.request_id for event in drain(batch) if event.is_last] == [1, 2]


def test_tokens_are_counted_in_the_middle_of_a_run_of_steps() -> None:
    batch = Batch(model())
    batch.admit(1, 1, 50, 0.0)
    assert batch.produced(1) == 0
    batch.advance(1.125)
    assert batch.produced(1) == 1
    batch.advance(1.125 + 3 * 1.25 - 0.01)
    assert batch.produced(1) == 3
    assert batch.next_step_s() == 1.125 + 3 * 1.25
    batch.advance(1.125 + 3 * 1.25)
    assert batch.produced(1) == 4
    batch.advance(1000.0)
    with pytest.raises(KeyError):
        batch.produced(1)


def test_a_quotient_that_rounds_across_a_boundary_miscounts_no_step() -> None:
    batch = Batch(EngineModel(slots=1, step_base_s=0.1))
    batch.admit(1, 1, 2_000, 0.0)
    batch.advance(0.1)
    for made in range(1, 1_999):
        boundary_s = batch.next_step_s()
        assert boundary_s is not None
        batch.advance(math.nextafter(boundary_s, 0.0))
        assert batch.produced(1) == made
        batch.advance(boundary_s)
        assert batch.produced(1) == made + 1
    assert batch.advance(1e6) == [BatchEvent(0.1 + 1_999 * 0.1, 1, True)]


def test_time_does_not_go_back_and_events_are_not_skipped() -> None:
    batch = Batch(model(), now_s=5.0)
    with pytest.raises(ValueError, match="went back"):
        batch.advance(4.0)
    with pytest.raises(ValueError, match="went back"):
        batch.admit(1, 1, 1, 4.0)
    batch.admit(1, 1, 1, 5.0)
    with pytest.raises(ValueError, match=r"advance to 9\.0 first"):
        batch.admit(2, 1, 1, 9.0)
    with pytest.raises(ValueError, match=r"advance to 9\.0 first"):
        batch.cancel(1, 9.0)


def test_what_can_never_run_is_refused() -> None:
    batch = Batch(model(context_tokens=100, kv_capacity_tokens=80))
    with pytest.raises(ValueError, match="does not fit"):
        batch.admit(1, 60, 21, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        batch.admit(1, 0, 5, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        batch.admit(1, 5, 0, 0.0)
    batch.admit(1, 60, 20, 0.0)
    with pytest.raises(ValueError, match="already"):
        batch.admit(1, 1, 1, 0.0)


@pytest.mark.parametrize(
    ("context", "kv", "prompt", "wanted", "given"),
    [
        (None, None, 10_000, 500, 500),
        (100, None, 60, 500, 40),
        (None, 80, 60, 500, 20),
        (100, 80, 60, 5, 5),
        (100, None, 100, 5, 0),
        (100, None, 250, 5, 0),
    ],
)
def test_an_answer_ends_where_the_context_does(
    context: int | None, kv: int | None, prompt: int, wanted: int, given: int
) -> None:
    assert model(context_tokens=context, kv_capacity_tokens=kv).answer_tokens(prompt, wanted) == given


@pytest.mark.parametrize(
    "change",
    [
        {"slots": 0},
        {"prefill_chunk_tokens": 0},
        {"kv_capacity_tokens": 0},
        {"context_tokens": -1},
        {"step_base_s": 0.0},
        {"step_s_per_running": -0.1},
        {"prefill_s_per_token": -0.1},
    ],
)
def test_a_model_that_makes_no_sense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        model(**change)
