from __future__ import annotations

import pytest
from tests.unit.core.making import World, cloud, local

from overspill.core.events import TargetReported
from overspill.core.target import Attempt, TargetState
from overspill.core.types import BreakerPolicy, Health, LatencyPrior, Refusal, Surface, TargetSpec

NOW = 100.0


def state(spec: TargetSpec) -> TargetState:
    return TargetState(spec, BreakerPolicy())


def run(target: TargetState, number: int, expected_s: float, now: float = NOW, prompt_tokens: int = 10) -> Attempt:
    attempt = Attempt(number, f"r{number}", target, now, prompt_tokens, 0.5, expected_s)
    target.started(attempt, now)
    return attempt


def test_a_slot_is_free_until_all_are_taken() -> None:
    target = state(local(slots=2))
    run(target, 1, 1.0)
    assert target.has_slot(NOW)
    attempt = run(target, 2, 1.0)
    assert not target.has_slot(NOW)
    target.ended(attempt)
    assert target.has_slot(NOW)


def test_a_target_without_slots_always_has_one() -> None:
    target = state(cloud())
    for number in range(1000):
        run(target, number, 1.0)
    assert target.has_slot(NOW)


def test_prefill_in_flight_makes_the_first_token_later_until_it_is_done() -> None:
    prior = LatencyPrior(ttft_base_s=0.1, prefill_s_per_token=0.001)
    target = state(TargetSpec(target_id="gpu", pool="local", is_local=True, slots=8, prior=prior))
    alone = target.ttft_s(100, NOW)
    attempt = run(target, 1, 5.0, prompt_tokens=1000)
    assert target.ttft_s(100, NOW) == pytest.approx(alone + 1.0)
    target.first_token(attempt, NOW + 1.0)
    assert target.prefill_tokens == 0
    target.ended(attempt)
    assert target.prefill_tokens == 0


def test_an_attempt_that_ends_before_its_first_token_takes_its_prefill_with_it() -> None:
    target = state(local(slots=8))
    attempt = run(target, 1, 5.0, prompt_tokens=1000)
    target.ended(attempt)
    assert target.prefill_tokens == 0
    assert target.running == {}


def test_the_kth_waiter_gets_the_slot_that_frees_kth() -> None:
    target = state(local(slots=3))
    for number, expected_s in enumerate((3.0, 1.0, 2.0)):
        run(target, number, expected_s)
    waits = []
    for waiters in range(5):
        target.holding = waiters
        waits.append(target.slot_wait_s(0, NOW))
    assert waits == pytest.approx([1.0, 2.0, 3.0, 1.0 + 2.0, 2.0 + 2.0])


def test_those_who_come_after_do_not_count() -> None:
    target = state(local(slots=2))
    run(target, 1, 1.0)
    run(target, 2, 4.0)
    target.holding = 1
    assert target.slot_wait_s(1, NOW) == pytest.approx(1.0)
    assert target.slot_wait_s(7, NOW) == pytest.approx(1.0)


def test_a_request_that_outlives_its_expectation_is_given_another_quarter() -> None:
    target = state(local(slots=1))
    run(target, 1, 4.0)
    assert target.slot_wait_s(0, NOW + 3.5) == pytest.approx(1.0)
    assert target.slot_wait_s(0, NOW + 400.0) == pytest.approx(1.0)


def test_a_wait_is_never_nothing() -> None:
    target = state(local(slots=1))
    run(target, 1, 0.0)
    assert target.slot_wait_s(0, NOW) == 0.001


def test_of_many_running_requests_the_mean_is_taken() -> None:
    target = state(local(slots=100))
    for number in range(100):
        run(target, number, 10.0)
    assert target.slot_wait_s(0, NOW) == pytest.approx(0.1)
    target.holding = 9
    assert target.slot_wait_s(0, NOW) == pytest.approx(1.0)


def test_what_others_send_to_an_engine_takes_its_slots() -> None:
    target = state(local(slots=4))
    run(target, 1, 1.0)
    target.report(TargetReported(target_id="gpu", running=3, waiting=1), NOW)
    assert target.load(NOW) == 4
    assert not target.has_slot(NOW)
    assert target.has_slot(NOW + 10.1)  # too old to go by


def test_a_report_that_says_nothing_of_load_changes_nothing() -> None:
    target = state(local(slots=4))
    target.report(TargetReported(target_id="gpu", running=3), NOW)
    target.report(TargetReported(target_id="gpu", kv_usage=0.9), NOW)
    assert target.load(NOW) == 3


def test_an_engine_that_reports_less_than_we_run_there_is_not_believed() -> None:
    target = state(local(slots=4))
    run(target, 1, 1.0)
    target.report(TargetReported(target_id="gpu", running=0), NOW)
    assert target.load(NOW) == 1


def test_a_target_full_of_others_requests_is_looked_at_again_in_seconds() -> None:
    target = state(local(slots=1))
    target.report(TargetReported(target_id="gpu", running=1), NOW)
    assert target.slot_wait_s(0, NOW) == 5.0


@pytest.mark.parametrize(
    ("health", "refusal"),
    [
        (Health.READY, None),
        (Health.STARTING, Refusal.NOT_READY),
        (Health.DOWN, Refusal.NOT_READY),
        (Health.BROKEN, Refusal.NOT_READY),
        (Health.DRAINING, Refusal.DRAINING),
    ],
)
def test_only_a_ready_target_may_be_used(health: Health, refusal: Refusal | None) -> None:
    target = state(local())
    target.health = health
    assert target.refusal(Surface.CHAT, 10, False, NOW) is refusal


def test_a_target_refuses_what_it_cannot_do() -> None:
    target = state(cloud(context_tokens=100))
    assert target.refusal(Surface.CHAT, 10, True, NOW) is Refusal.LOCAL_ONLY
    assert target.refusal(Surface.EMBEDDINGS, 10, False, NOW) is Refusal.UNSUPPORTED
    assert target.refusal(Surface.CHAT, 100, False, NOW) is Refusal.CONTEXT_TOO_LONG
    assert target.refusal(Surface.CHAT, 99, False, NOW) is None


def test_the_targets_own_token_count_corrects_ours() -> None:
    target = state(local(context_tokens=100))
    for _ in range(200):
        target.token_ratio.observe(2.0)
    assert target.refusal(Surface.CHAT, 60, False, NOW) is Refusal.CONTEXT_TOO_LONG
    assert target.refusal(Surface.CHAT, 40, False, NOW) is None


def test_the_longer_the_answer_the_longer_it_is_expected_to_hold_its_slot() -> None:
    world = World(local(ttft_s=0.2))
    start = world.start(max_tokens=100)
    assert world.controller.targets["gpu"].running[start.attempt_id].expected_s == pytest.approx(0.2 + 100 * 0.01)


def test_a_new_specification_keeps_what_was_learned_and_what_the_engine_said() -> None:
    target = state(local(slots=4, context_tokens=1000))
    target.slots, target.context_tokens = 2, 500
    speed = target.speed
    target.respecify(local(slots=4, context_tokens=1000, surfaces=(Surface.CHAT,)), BreakerPolicy(min_count=9))
    assert (target.slots, target.context_tokens) == (2, 500)
    assert target.speed is speed
    assert target.spec.surfaces == (Surface.CHAT,)
    assert target.breaker.policy.min_count == 9


def test_a_new_specification_overrides_where_it_differs() -> None:
    target = state(local(slots=4, context_tokens=1000))
    speed = target.speed
    target.respecify(local(slots=6, context_tokens=2000, ttft_s=9.0), BreakerPolicy())
    assert (target.slots, target.context_tokens) == (6, 2000)
    assert target.speed is not speed
    assert target.ttft_s(0, NOW) == 9.0


def test_an_engine_that_is_not_ready_at_the_start_waits_for_its_supervisor() -> None:
    assert state(local(ready_at_start=False)).health is Health.STARTING
