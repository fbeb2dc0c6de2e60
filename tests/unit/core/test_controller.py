from __future__ import annotations

import msgspec
import pytest
from tests.unit.core.making import World, any_model, arrived, cloud, local, only_end, only_start, policy, route, starts

from overspill.core.commands import CancelAttempt, Complete, Reject
from overspill.core.events import (
    ClientGone,
    DrainStarted,
    Failed,
    Finished,
    FirstToken,
    PolicyChanged,
    Progress,
    TargetChanged,
    TargetReported,
)
from overspill.core.types import BreakerPolicy, FailureKind, Health, Outcome, RejectReason, RescueRefusal, Spill

K = FailureKind
RETRIED = [kind for kind in K if kind not in (K.BAD_REQUEST, K.MODERATION, K.HISTORY)]


def rejected(world_says: list) -> Reject:  # type: ignore[type-arg]
    end = only_end(world_says)
    assert isinstance(end, Reject)
    return end


# -- one request


def test_a_whole_answer_completes_the_request_once() -> None:
    world = World(local())
    start = world.start()
    world.first_token(start.attempt_id, 0.3)
    assert world.tell(Progress(attempt_id=start.attempt_id, output_tokens=5)) == []
    assert world.finish(start.attempt_id, 0.5) == [
        Complete(request_id="r1", outcome=Outcome.COMPLETED, attempt_id=start.attempt_id)
    ]
    assert world.finish(start.attempt_id) == []
    assert world.controller.open_requests == 0


def test_late_events_of_an_ended_attempt_are_ignored() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    world.finish(attempt)
    before = world.controller.targets["gpu"].prefill_tokens
    for event in (
        FirstToken(attempt_id=attempt),
        Progress(attempt_id=attempt, output_tokens=9),
        Failed(attempt_id=attempt, kind=K.CUT),
        Finished(attempt_id=attempt),
        ClientGone(request_id="r1"),
        Finished(attempt_id=999),
        TargetReported(target_id="nobody", running=3),
        TargetChanged(target_id="nobody", health=Health.DOWN),
    ):
        assert world.tell(event) == []
    assert world.controller.targets["gpu"].prefill_tokens == before == 0


def test_a_second_first_token_counts_once() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    world.first_token(attempt)
    world.first_token(attempt)
    assert world.controller.targets["gpu"].prefill_tokens == 0


def test_an_unknown_model_is_rejected() -> None:
    end = rejected(World(local()).arrive(model="other"))
    assert (end.reason, end.outcome, end.retry_after_s) == (RejectReason.UNKNOWN_MODEL, Outcome.REJECTED, None)


@pytest.mark.parametrize(("asked", "given"), [(-5, 0), (0, 0), (2, 2), (99, 2)])
def test_a_priority_outside_the_classes_is_brought_inside(asked: int, given: int) -> None:
    world = World(local())
    holder = world.start("holder").attempt_id
    world.arrive("low", priority=2)
    world.arrive("asked", priority=asked)
    first = starts(world.finish(holder))[0]
    assert first.request_id == ("asked" if given < 2 else "low")


def test_the_client_that_leaves_frees_its_slot_at_once() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    world.arrive("next")
    cancel, complete, start = world.tell(ClientGone(request_id="r1"))
    assert cancel == CancelAttempt(attempt_id=attempt)
    assert complete == Complete(request_id="r1", outcome=Outcome.CLIENT_GONE, attempt_id=attempt)
    assert starts([start])[0].request_id == "next"


def test_a_client_that_is_cut_off_by_a_shutdown_has_not_left() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    cancel, complete = world.tell(ClientGone(request_id="r1", is_shutdown=True))
    assert cancel == CancelAttempt(attempt_id=attempt)
    assert complete == Complete(request_id="r1", outcome=Outcome.SHUTDOWN, attempt_id=attempt)


def test_the_client_that_leaves_the_queue_is_settled_without_an_attempt() -> None:
    world = World(local())
    world.start()
    world.arrive("next")
    assert world.tell(ClientGone(request_id="next")) == [Complete(request_id="next", outcome=Outcome.CLIENT_GONE)]
    assert world.controller.waiting_by_lane() == {("m", False): 0}
    assert world.controller.targets["gpu"].holding == 0
    assert world.controller.next_wakeup(world.now) is None


# -- failures


@pytest.mark.parametrize("kind", RETRIED)
def test_a_failure_before_the_first_token_is_retried_elsewhere(kind: FailureKind) -> None:
    world = World(local(), cloud())
    first = world.start()
    second = only_start(world.fail(first.attempt_id, kind))
    assert (second.request_id, second.target_id) == ("r1", "api")
    assert second.attempt_id != first.attempt_id
    assert only_end(world.finish(second.attempt_id)).outcome is Outcome.COMPLETED


def test_a_target_that_wants_the_history_otherwise_is_asked_once_more_at_once_and_then_its_word_counts() -> None:
    world = World(local(), cloud())
    first = world.start()
    second = only_start(world.fail(first.attempt_id, K.HISTORY, status=400))
    assert (second.target_id, second.spill) == ("gpu", None)
    end = only_end(world.fail(second.attempt_id, K.HISTORY, status=400))
    assert (end.outcome, end.failure, end.status) == (Outcome.CLIENT_ERROR, K.HISTORY, 400)  # type: ignore[union-attr]
    assert world.controller.targets["gpu"].breaker.refusal(world.now) is None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_failure_after_tokens_is_never_retried_from_the_beginning(kind: FailureKind) -> None:
    world = World(local(), cloud())
    attempt = world.start().attempt_id
    world.first_token(attempt)
    assert world.fail(attempt, kind, output_tokens=3, status=200) == [
        Complete(
            request_id="r1",
            outcome=Outcome.BROKEN,
            attempt_id=attempt,
            failure=kind,
            status=200,
            unrescued=RescueRefusal.UNVERIFIED,
        )
    ]
    assert world.controller.open_requests == 0


@pytest.mark.parametrize("kind", [K.BAD_REQUEST, K.MODERATION])
def test_a_clients_own_error_is_passed_on_and_nobody_else_is_asked(kind: FailureKind) -> None:
    world = World(local(), cloud())
    attempt = world.start().attempt_id
    assert world.fail(attempt, kind, status=422) == [
        Complete(request_id="r1", outcome=Outcome.CLIENT_ERROR, attempt_id=attempt, failure=kind, status=422)
    ]
    assert world.controller.targets["gpu"].breaker.refusal(world.now) is None


def test_attempts_run_out() -> None:
    world = World(cloud("a"), cloud("b"), cloud("c"), routes=(route(("a", "b", "c"), max_attempts=2),))
    second = only_start(world.fail(world.start().attempt_id, K.CONNECT))
    end = rejected(world.fail(second.attempt_id, K.HOLLOW, status=200))
    assert (end.reason, end.outcome) == (RejectReason.ATTEMPTS_EXHAUSTED, Outcome.FAILED)
    assert (end.failure, end.status) == (K.HOLLOW, 200)


@pytest.mark.parametrize("kind", [K.OVERLOADED, K.RATE_LIMITED])
def test_a_busy_target_is_asked_again_with_a_growing_pause_until_the_deadline(kind: FailureKind) -> None:
    world = World(cloud(), routes=(route(("api",), max_attempts=1, deadline_s=60.0),))
    born = world.now
    attempt = world.start().attempt_id
    pauses = []
    while True:
        failed_at = world.now
        out = world.fail(attempt, kind) or world.tick_until_something_happens()
        if not starts(out):
            break
        pauses.append(world.now - failed_at)
        attempt = only_start(out).attempt_id
    assert (rejected(out).outcome, rejected(out).failure) == (Outcome.FAILED, kind)
    assert len(pauses) >= 5
    assert pauses == sorted(pauses)
    assert world.now <= born + 60.0


def test_the_pause_doubles_up_to_its_longest() -> None:
    world = World(cloud(), routes=(route(("api",), deadline_s=1e6),))
    attempt = world.start().attempt_id
    pauses = []
    for _ in range(9):
        out = world.fail(attempt, K.RATE_LIMITED, retry_after_s=0.0)
        failed_at = world.now
        attempt = only_start(out or world.tick_until_something_happens()).attempt_id
        pauses.append(round(world.now - failed_at, 3))
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_a_thousand_busy_answers_in_a_long_deadline_do_no_harm() -> None:
    world = World(cloud(), routes=(route(("api",), deadline_s=1e9),))
    attempt = world.start().attempt_id
    for _ in range(1200):
        out = world.fail(attempt, K.RATE_LIMITED)
        attempt = only_start(out or world.tick_until_something_happens()).attempt_id
    assert only_end(world.finish(attempt)).outcome is Outcome.COMPLETED


def test_a_target_is_not_asked_again_sooner_than_it_wished() -> None:
    world = World(
        cloud(),
        routes=(
            route(
                ("api",),
            ),
        ),
    )
    attempt = world.start().attempt_id
    assert world.fail(attempt, K.OVERLOADED, retry_after_s=7.0) == []
    before = world.now
    assert only_start(world.tick_until_something_happens()).queue_wait_s == pytest.approx(7.0)
    assert world.now == before + 7.0


def test_a_failure_after_the_deadline_is_not_retried() -> None:
    world = World(local(), cloud(), routes=(route(("gpu",), ("api",), deadline_s=5.0),))
    attempt = world.start().attempt_id
    world.now += 6.0
    end = rejected(world.fail(attempt, K.TIMEOUT))
    assert (end.reason, end.outcome, end.failure) == (RejectReason.DEADLINE_EVICTED, Outcome.FAILED, K.TIMEOUT)


def test_a_failed_request_keeps_its_turn() -> None:
    world = World(local(slots=1))
    first = world.start("first").attempt_id
    world.now += 1.0
    for name in ("second", "third"):
        world.arrive(name)
    # While it waits out its back-off the slot is not idle.
    second = only_start(world.fail(first, K.CONNECT))
    assert second.request_id == "second"
    world.now += 1.0
    assert starts(world.finish(second.attempt_id))[0].request_id == "first"


def test_a_slot_that_the_first_in_turn_cannot_use_goes_to_one_behind_it() -> None:
    world = World(local("small", context_tokens=100), local("large", ttft_s=0.3))
    small = world.start("a", prompt_tokens=10).attempt_id
    world.start("b", prompt_tokens=200)
    assert world.arrive("long", prompt_tokens=200) == world.arrive("short") == world.arrive("short too") == []
    (start,) = starts(world.finish(small))
    assert (start.request_id, start.target_id) == ("short", "small")
    assert world.controller.waiting_by_lane() == {("m", False): 2}


def test_a_slot_that_nobody_can_use_stays_free() -> None:
    routes = (route(("small", "large"), pattern="a"), route(("large",), pattern="b"))
    world = World(local("small", context_tokens=100), local("large", ttft_s=0.3), routes=routes)
    small = world.start("a", model="a", prompt_tokens=10).attempt_id
    world.start("b", model="a", prompt_tokens=200)
    for name, model in (("long", "a"), ("long too", "a"), ("other", "b"), ("other too", "b")):
        assert world.arrive(name, model=model, prompt_tokens=200) == []
    assert starts(world.finish(small)) == []
    assert world.controller.waiting_by_lane() == {("a", False): 2, ("b", False): 2}


# -- the queue


def test_a_request_that_waits_too_long_is_evicted() -> None:
    world = World(local(), routes=(route(("gpu",), deadline_s=9.0),))
    world.start("holder")
    world.arrive()
    began = world.now
    end = rejected(world.tick_until_something_happens())
    assert (end.request_id, end.reason, end.outcome) == ("r1", RejectReason.DEADLINE_EVICTED, Outcome.EVICTED)
    assert world.now == began + 9.0


def test_a_deadline_of_nothing_means_now_or_not_at_all() -> None:
    world = World(local())
    world.start("holder", deadline_s=0.0)
    assert world.arrive(deadline_s=0.0) == []
    assert rejected(world.tick()).reason is RejectReason.DEADLINE_EVICTED


def test_a_queue_is_bounded_per_lane() -> None:
    world = World(local(), routes=(route(("gpu",), queue_limit=2),))
    world.start("holder")
    assert world.arrive("a") == world.arrive("b") == []
    assert rejected(world.arrive("c")).reason is RejectReason.QUEUE_FULL
    assert world.arrive("mine", local_only=True) == []
    assert world.controller.waiting_by_lane() == {("m", False): 2, ("m", True): 1}


def test_one_that_may_only_run_locally_does_not_block_one_that_may_leave() -> None:
    world = World(local(), cloud())
    world.start("holder")
    assert world.arrive("mine", local_only=True) == []
    assert world.start("other", max_tokens=None).target_id == "api"


def test_the_first_in_turn_of_all_lanes_gets_the_free_slot() -> None:
    routes = (route(("gpu",), pattern="a"), route(("gpu",), pattern="b"))
    world = World(local(), routes=routes)
    attempt = world.start("holder", model="a").attempt_id
    world.arrive("third", model="a", priority=2)
    world.arrive("second", model="b", priority=1)
    world.arrive("first", model="a", priority=0)
    order = []
    for _ in range(3):
        start = starts(world.finish(attempt))[0]
        order.append(start.request_id)
        attempt = start.attempt_id
    assert order == ["first", "second", "third"]


def test_many_slots_that_free_at_once_all_fill() -> None:
    world = World(local(slots=3, ready_at_start=False))
    for i in range(5):
        assert world.arrive(str(i)) == []
    out = world.tell(TargetChanged(target_id="gpu", health=Health.READY))
    assert [s.request_id for s in starts(out)] == ["0", "1", "2"]


def test_learned_answer_lengths_are_used_to_predict_the_wait() -> None:
    world = World(local())
    for i in range(200):
        attempt = world.start(f"short{i}").attempt_id
        world.first_token(attempt, 0.2)
        world.finish(attempt, 0.1, output_tokens=10, prompt_tokens=20)
    attempt = world.start("holder").attempt_id
    (running,) = world.controller.targets["gpu"].running.values()
    assert running.expected_s == pytest.approx(0.3, rel=0.3)
    assert world.controller.targets["gpu"].token_ratio.value == pytest.approx(2.0, rel=0.05)
    world.finish(attempt)


def test_an_answer_whose_length_nobody_reports_is_taken_as_far_as_it_was_seen() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    world.first_token(attempt, 0.2)
    world.tell(Progress(attempt_id=attempt, output_tokens=50), 0.3)
    world.tell(Progress(attempt_id=attempt, output_tokens=40))  # never backwards
    world.finish(attempt, 0.2)
    world.start("next")
    (running,) = world.controller.targets["gpu"].running.values()
    assert running.expected_s < 0.2 + 100 * 0.0105


def test_an_answer_without_tokens_teaches_nothing() -> None:
    world = World(local())
    before = world.controller.explain(arrived(), world.now)[1][0].ttft_s
    world.finish(world.start().attempt_id, 0.2)
    world.start("next")
    (running,) = world.controller.targets["gpu"].running.values()
    assert running.expected_s == pytest.approx(before + 100 * 0.01)


# -- targets


@pytest.mark.parametrize("health", [Health.DOWN, Health.BROKEN, Health.DRAINING])
def test_when_a_target_goes_down_those_who_hold_for_it_are_decided_again(health: Health) -> None:
    world = World(local(), cloud())
    world.start("holder", max_tokens=20)
    assert world.arrive("a") == world.arrive("b", local_only=True) == []
    out = world.tell(TargetChanged(target_id="gpu", health=health))
    (start,) = starts(out)
    assert (start.request_id, start.target_id, start.spill) == ("a", "api", Spill.LOCAL_BROKEN)
    if health is Health.DOWN:
        assert world.controller.waiting_by_lane() == {("m", False): 0, ("m", True): 1}
    else:
        assert only_end(out).request_id == "b"
    assert world.controller.targets["gpu"].holding == 0


def test_when_one_target_goes_down_those_behind_a_holder_of_another_are_decided_again_too() -> None:
    targets = local("small", context_tokens=100), local("large", ttft_s=0.3), cloud()
    world = World(*targets)
    for name, prompt_tokens in (("a", 10), ("b", 200)):
        world.start(name, prompt_tokens=prompt_tokens, max_tokens=50)
    assert world.arrive("first", prompt_tokens=200) == []
    assert world.arrive("second", prompt_tokens=10) == []
    assert {n: t.holding for n, t in world.controller.targets.items()} == {"small": 1, "large": 1, "api": 0}
    (start,) = starts(world.tell(TargetChanged(target_id="small", health=Health.DOWN)))
    assert (start.request_id, start.target_id) == ("second", "api")


def test_the_client_of_a_probe_that_leaves_makes_room_for_the_next_probe() -> None:
    world = World(local(slots=4), breaker=BreakerPolicy(min_count=1))
    world.fail(world.start("first").attempt_id, K.CUT)
    assert world.arrive("second") == []
    (probe,) = starts(world.tick_until_something_happens())
    (start,) = starts(world.tell(ClientGone(request_id=probe.request_id)))
    assert {probe.request_id, start.request_id} == {"first", "second"}


def test_a_model_that_is_missing_rests_a_target_that_is_asked_for_no_other() -> None:
    world = World(local(), cloud())
    world.fail(world.start().attempt_id, K.NO_MODEL)
    assert world.start("again").target_id == "api"


def test_a_model_that_is_missing_rests_no_other_of_a_target_with_many() -> None:
    world = World(local(slots=2), cloud(), routes=(any_model(("gpu",), ("api",)),))
    first = world.start()
    (retry,) = starts(world.fail(first.attempt_id, K.NO_MODEL))
    assert (first.target_id, retry.target_id) == ("gpu", "api")
    assert world.start("another", model="other").target_id == "gpu"
    assert world.start("same").target_id == "api"


def test_a_model_that_no_target_has_is_refused_at_once() -> None:
    world = World(local(slots=2), routes=(any_model(("gpu",)),))
    (reject,) = world.fail(world.start().attempt_id, K.NO_MODEL)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.failure) == (RejectReason.NO_TARGET, K.NO_MODEL)


def test_a_target_that_comes_back_starts_with_a_clean_breaker() -> None:
    world = World(local(slots=2), cloud())
    world.fail(world.start().attempt_id, K.NO_MODEL)
    world.tell(TargetChanged(target_id="gpu", health=Health.DOWN))
    world.tell(TargetChanged(target_id="gpu", health=Health.READY))
    assert world.start("again").target_id == "gpu"


def test_a_target_that_says_again_that_it_is_ready_keeps_its_breaker() -> None:
    world = World(local(slots=2), cloud())
    world.fail(world.start().attempt_id, K.NO_MODEL)
    world.tell(TargetChanged(target_id="gpu", health=Health.READY))
    assert world.start("again").target_id == "api"


def test_the_slots_and_context_that_an_engine_really_has_count() -> None:
    world = World(local(slots=1, context_tokens=100))
    world.start("a")
    world.arrive("b")
    out = world.tell(TargetChanged(target_id="gpu", health=Health.READY, slots=2, context_tokens=1000))
    assert [s.request_id for s in starts(out)] == ["b"]
    world.tell(TargetChanged(target_id="gpu", health=Health.READY, slots=3))
    assert world.start("long", prompt_tokens=500).target_id == "gpu"


def test_a_target_without_any_slot_is_not_asked_every_millisecond() -> None:
    world = World(local())
    world.tell(TargetChanged(target_id="gpu", health=Health.READY, slots=0))
    assert world.arrive() == []
    assert world.controller.next_wakeup(world.now) == world.now + 5.0


def test_others_load_fills_an_engine_and_its_end_lets_the_queue_move() -> None:
    world = World(local(slots=2))
    world.tell(TargetReported(target_id="gpu", running=2, waiting=1))
    assert world.arrive() == []
    assert [s.request_id for s in starts(world.tell(TargetReported(target_id="gpu", running=1)))] == ["r1"]


# -- a change of policy


def test_an_attempt_on_a_target_that_is_removed_runs_to_its_end() -> None:
    world = World(local(), cloud())
    attempt = world.start().attempt_id
    world.tell(PolicyChanged(policy=policy(cloud())))
    assert "gpu" not in world.controller.targets
    world.first_token(attempt, 0.1)
    assert only_end(world.finish(attempt, 0.1)).outcome is Outcome.COMPLETED
    assert world.controller._dispatch.roster.leaving == {}


def test_a_target_that_is_removed_stays_known_until_its_last_attempt_ends() -> None:
    world = World(local(slots=2), cloud())
    first, second = (world.start(name).attempt_id for name in ("a", "b"))
    world.tell(PolicyChanged(policy=policy(cloud())))
    world.finish(first)
    assert list(world.controller._dispatch.roster.leaving) == ["gpu"]
    world.finish(second)
    assert world.controller._dispatch.roster.leaving == {}


def test_a_retry_obeys_the_new_policy() -> None:
    world = World(local(), cloud("old"), cloud("new", usd=9.0))
    attempt = world.start().attempt_id
    world.tell(PolicyChanged(policy=policy(local(), cloud("new"))))
    assert only_start(world.fail(attempt)).target_id == "new"


def test_local_only_turned_on_binds_the_retry_of_what_runs() -> None:
    world = World(local(), cloud())
    attempt = world.start().attempt_id
    routes = (route(("gpu",), ("api",), local_only=True),)
    world.tell(PolicyChanged(policy=policy(local(), cloud(), routes=routes)))
    assert world.fail(attempt) == []
    assert only_start(world.tick_until_something_happens()).target_id == "gpu"


def test_local_only_turned_on_binds_what_waits_and_turned_off_does_not_free_it() -> None:
    world = World(local(), cloud())
    world.start("holder", max_tokens=20)
    world.arrive()
    strict = (route(("gpu",), ("api",), local_only=True),)
    world.tell(PolicyChanged(policy=policy(local(), cloud(), routes=strict)))
    assert world.controller.waiting_by_lane() == {("m", True): 1}
    out = world.tell(PolicyChanged(policy=policy(local(), cloud())))
    assert out == []
    out = world.tell(TargetChanged(target_id="gpu", health=Health.DOWN))
    assert starts(out) == []


def test_waiting_requests_of_a_route_that_is_gone_are_evicted_and_running_ones_end() -> None:
    world = World(local())
    attempt = world.start("runs").attempt_id
    world.arrive("waits")
    end = rejected(world.tell(PolicyChanged(policy=policy(local(), routes=(route(("gpu",), pattern="other"),)))))
    assert (end.request_id, end.reason, end.outcome) == ("waits", RejectReason.UNKNOWN_MODEL, Outcome.EVICTED)
    assert world.controller.waiting_by_lane() == {}
    assert only_end(world.finish(attempt)).request_id == "runs"


def test_a_new_target_takes_what_waits() -> None:
    world = World(local())
    world.start("holder")
    world.arrive()
    out = world.tell(PolicyChanged(policy=policy(local(), local("gpu2"))))
    assert only_start(out).target_id == "gpu2"


def test_a_shorter_queue_keeps_the_first_in_turn() -> None:
    world = World(local())
    world.start("holder")
    for i in range(5):
        world.arrive(str(i))
    out = world.tell(PolicyChanged(policy=policy(local(), routes=(route(("gpu",), queue_limit=2),))))
    assert [(c.request_id, c.reason) for c in out if isinstance(c, Reject)] == [
        (str(i), RejectReason.QUEUE_FULL) for i in (2, 3, 4)
    ]
    assert world.controller.waiting_by_lane() == {("m", False): 2}


def test_a_target_that_is_removed_and_comes_back_while_it_runs_is_the_same_one() -> None:
    world = World(local())
    attempt = world.start().attempt_id
    world.tell(PolicyChanged(policy=policy(cloud())))
    world.tell(TargetChanged(target_id="gpu", health=Health.DOWN))
    world.tell(PolicyChanged(policy=policy(local())))
    assert list(world.controller.targets["gpu"].running) == [attempt]
    assert world.controller.targets["gpu"].health is Health.DOWN


def test_an_idle_target_that_is_removed_is_forgotten() -> None:
    world = World(local(), cloud())
    world.tell(PolicyChanged(policy=policy(cloud())))
    assert world.controller._dispatch.roster.leaving == {}
    assert list(world.controller.targets) == ["api"]


def test_a_new_breaker_policy_counts_from_now_on() -> None:
    world = World(local(slots=4), cloud())
    quick = msgspec.structs.replace(world.controller.policy.breaker, min_count=1)
    world.tell(PolicyChanged(policy=policy(local(slots=4), cloud(), breaker=quick)))
    world.fail(world.start().attempt_id, K.CUT)
    assert world.controller.targets["gpu"].breaker.refusal(world.now) is not None


# -- drain


def test_a_drain_admits_nothing_new_and_finishes_what_runs_or_waits() -> None:
    world = World(local())
    attempt = world.start("runs").attempt_id
    world.arrive("waits")
    assert world.tell(DrainStarted()) == []
    end = rejected(world.arrive("late"))
    assert (end.reason, end.outcome, end.retry_after_s) == (RejectReason.DRAINING, Outcome.REJECTED, 5.0)
    (start,) = starts(world.finish(attempt))
    assert start.request_id == "waits"
    world.finish(start.attempt_id)
    assert world.controller.open_requests == 0


# -- looking in


def test_explaining_changes_nothing() -> None:
    def lived() -> World:
        world = World(local(), cloud())
        world.controller.targets["gpu"].speed.ttft.observe(10.0, 0.2, world.now)
        world.start("holder")
        world.arrive("waits")
        return world

    world, twin = lived(), lived().controller
    for after_s in (0.0, 5.0, 30.0):
        route_, seen, decision = world.controller.explain(arrived("what if"), world.now + after_s)
        assert route_ is not None
        assert [o.target.spec.target_id for o in seen] == ["gpu", "api"]
        assert decision is not None
    assert world.controller.next_wakeup(world.now) == twin.next_wakeup(world.now)
    assert world.controller.waiting_by_lane() == twin.waiting_by_lane()
    (running,) = world.controller.targets["gpu"].running
    later = world.now + 40.0
    for event in (Finished(attempt_id=running, output_tokens=30), arrived("next"), arrived("and another")):
        assert world.controller.handle(event, later) == twin.handle(event, later)


def test_explaining_an_unknown_model_says_that_there_is_no_route() -> None:
    world = World(local())
    assert world.controller.explain(arrived(model="other"), world.now) == (None, [], None)
    assert world.controller.find_route("other") is None
    assert world.controller.find_route("m") is not None


def test_explaining_needs_no_lane() -> None:
    world = World(local())
    _, seen, _ = world.controller.explain(arrived(), world.now)
    assert [o.wait_s for o in seen] == [0.0]
