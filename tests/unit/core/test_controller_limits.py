"""Limits, budgets, reserved slots and breakers per model, as the controller applies them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.core.making import World, arrived, cloud, local, only_start, policy, route

from overspill.core.commands import AnyCommand, Complete, Reject, StartAttempt
from overspill.core.events import ClientGone, ClockRead, Failed, PolicyChanged, SpentBefore, TargetChanged
from overspill.core.options import Never, Wait
from overspill.core.types import (
    Budget,
    Client,
    FailureKind,
    Health,
    Limits,
    Outcome,
    Refusal,
    RejectReason,
    Resource,
    Route,
    RouteTarget,
    Scope,
    Shared,
    Spill,
    Window,
)

K = FailureKind
R = RejectReason
NOON = 1_700_049_600.0


def only_reject(commands: list[AnyCommand]) -> Reject:
    (command,) = commands
    assert isinstance(command, Reject)
    return command


def starts(commands: list[AnyCommand]) -> list[StartAttempt]:
    return [command for command in commands if isinstance(command, StartAttempt)]


def client(key_id: str = "alice", **rest: Any) -> Client:
    return Client(key_id=key_id, **rest)


def usd(amount: float, window: Window = Window.DAY) -> Limits:
    return Limits(budgets=(Budget(usd=amount, window=window),))


# -- requests, tokens and places of clients


def test_a_request_over_its_keys_rate_is_refused_with_the_limit_and_when_to_come_back() -> None:
    limits = Limits(requests_per_minute=60.0, burst_s=2.0)
    world = World(local(slots=None), clients=(client(limits=limits),))
    for name in ("r1", "r2"):
        world.start(name, key_id="alice")
    refused = only_reject(world.arrive("r3", key_id="alice"))
    assert (refused.reason, refused.outcome, refused.retry_after_s) == (R.RATE_LIMITED, Outcome.REJECTED, 1.0)
    assert refused.limit is not None
    assert (refused.limit.scope, refused.limit.name, refused.limit.resource) == (
        Scope.KEY,
        "alice",
        Resource.REQUESTS,
    )
    world.start("r4", key_id="bob")
    world.now += refused.retry_after_s or 0.0
    world.start("r5", key_id="alice")


def test_the_limits_of_a_gateway_without_keys_hold_everybody_together() -> None:
    world = World(local(slots=None), clients=(client("", limits=Limits(concurrency=1)),))
    first = world.start("r1")
    refused = only_reject(world.arrive("r2"))
    assert refused.limit is not None
    assert refused.limit.resource is Resource.CONCURRENCY
    world.finish(first.attempt_id)
    world.start("r3")


def test_a_place_is_kept_while_a_request_waits_and_free_however_it_ends() -> None:
    world = World(local(slots=1), clients=(client(limits=Limits(concurrency=2)),))
    running = world.start("r1", key_id="alice")
    assert world.arrive("r2", key_id="alice") == []
    assert only_reject(world.arrive("r3", key_id="alice")).reason is R.RATE_LIMITED
    world.tell(ClientGone(request_id="r2"))
    assert world.arrive("r4", key_id="alice", deadline_s=1.0) == []
    evicted = world.tick_until_something_happens()
    assert [c.reason for c in evicted if isinstance(c, Reject)] == [R.DEADLINE_EVICTED]
    assert world.arrive("r5", key_id="alice") == []
    world.fail(running.attempt_id, K.BAD_REQUEST)
    assert world.arrive("r6", key_id="alice") == []
    assert only_reject(world.arrive("r7", key_id="alice")).reason is R.RATE_LIMITED


def test_who_is_not_limited_has_no_levels() -> None:
    world = World(local(), clients=(client(limits=Limits(concurrency=1)),))
    found = world.controller.find_route("m")
    assert found is not None
    assert world.controller.limits_of("bob", found, world.now) == []
    (level,) = world.controller.limits_of("alice", found, world.now)
    assert (level.resource, level.amount, level.left) == (Resource.CONCURRENCY, 1, 1)


def tokens_left(world: World, key_id: str = "alice") -> float:
    found = world.controller.find_route("m")
    assert found is not None
    (level,) = world.controller.limits_of(key_id, found, world.now)
    return level.left


def test_tokens_are_reserved_by_the_guess_and_settled_by_the_count() -> None:
    world = World(local(slots=None), cloud(), clients=(client(limits=Limits(tokens_per_minute=1000.0)),))
    assert tokens_left(world) == pytest.approx(1000.0)
    run = world.start("r1", key_id="alice", prompt_tokens=50, max_tokens=400)
    assert tokens_left(world) == pytest.approx(850.0)  # 100 expected, since none was seen yet
    world.finish(run.attempt_id, prompt_tokens=60, output_tokens=340)
    assert tokens_left(world) == pytest.approx(600.0)
    run = world.start("r2", key_id="alice", prompt_tokens=10, max_tokens=10)
    assert tokens_left(world) == pytest.approx(580.0)
    (again,) = starts(world.fail(run.attempt_id, K.SERVER_ERROR, status=500))
    assert tokens_left(world) == pytest.approx(580.0)  # our own retry is not the client's
    world.first_token(again.attempt_id)
    world.tell(ClientGone(request_id="r2"))
    assert tokens_left(world) == pytest.approx(589.0)  # the prompt and the token that it had had


def test_a_request_that_got_nothing_is_given_all_back() -> None:
    world = World(local(slots=1), clients=(client(limits=Limits(tokens_per_minute=1000.0)),))
    world.start("r1", key_id="bob")
    world.arrive("r2", key_id="alice", prompt_tokens=100, deadline_s=0.5)
    assert tokens_left(world) == pytest.approx(800.0)
    world.tick_until_something_happens()
    assert tokens_left(world) == pytest.approx(1000.0)


def test_a_key_may_ask_for_its_models_only() -> None:
    world = World(local(slots=None), routes=(route(("gpu",), pattern="*"),), clients=(client(models=("a*", "m")),))
    world.start("r1", model="m", key_id="alice")
    world.start("r2", model="abc", key_id="alice")
    assert only_reject(world.arrive("r3", model="b", key_id="alice")).reason is R.MODEL_NOT_ALLOWED
    world.start("r4", model="b", key_id="bob")
    assert world.controller.may_ask_for("alice", "abc")
    assert not world.controller.may_ask_for("alice", "b")


def test_a_key_that_is_bound_never_leaves_local_targets_also_after_a_reload() -> None:
    world = World(local(slots=1), cloud(), clients=(client(local_only=True),))
    world.start("r1", key_id="alice")
    assert world.arrive("r2", key_id="alice") == []
    free = world.start("r3", key_id="bob")
    assert free.target_id == "api"
    bound = policy(local(slots=1), cloud(), clients=(client("bob", local_only=True),))
    world.tell(PolicyChanged(policy=bound))
    assert starts(world.fail(free.attempt_id, K.CONNECT)) == []
    assert world.start("r4", key_id="carol").target_id == "api"


def test_a_key_that_a_reload_binds_binds_what_runs_also_where_its_route_is_gone() -> None:
    world = World(cloud(), clients=(client("bob", weight=2.0),))
    free = world.start("r1", key_id="bob")
    bound = policy(cloud(), routes=(route(("api",), pattern="other"),), clients=(client("bob", local_only=True),))
    world.tell(PolicyChanged(policy=bound))
    refused = only_reject(world.fail(free.attempt_id, K.CONNECT))
    assert (refused.reason, refused.outcome) == (R.NO_TARGET, Outcome.FAILED)


# -- money


def spend(world: World, request_id: str, **rest: Any) -> list[AnyCommand]:
    return world.arrive(request_id, key_id="alice", prompt_tokens=0, **rest)


def test_a_budget_keeps_a_request_at_what_is_owned() -> None:
    """A million tokens cost a dollar: the 100 that are expected cost 0.0001."""
    world = World(local(slots=1), cloud(), clients=(client(limits=usd(0.00025)),))
    world.tell(ClockRead(unix_s=NOON))
    assert world.controller.has_budgets
    home = only_start(spend(world, "r1"))
    first, second = only_start(spend(world, "r2")), only_start(spend(world, "r3"))
    assert [first.target_id, second.target_id] == ["api", "api"]
    assert spend(world, "r4") == []  # no money is left to leave with, but a slot will be free
    page, seen, decision = world.controller.explain(arrived("r5", key_id="alice", prompt_tokens=0), world.now)
    assert page is not None
    assert isinstance(decision, Wait)
    assert seen[1].refusal is Refusal.OVER_BUDGET
    assert seen[1].retry_at == pytest.approx(world.now + 12 * 3600.0)
    (command, start) = world.finish(home.attempt_id)
    assert isinstance(command, Complete)
    assert isinstance(start, StartAttempt)
    assert start.target_id == "gpu"


def test_money_is_settled_by_what_the_answer_cost() -> None:
    world = World(cloud(), clients=(client(limits=usd(0.00025)),))
    world.tell(ClockRead(unix_s=NOON))
    one = only_start(spend(world, "r1"))
    world.finish(one.attempt_id, prompt_tokens=0, output_tokens=10, cached_tokens=0)
    two = only_start(spend(world, "r2", max_tokens=10))
    world.fail(two.attempt_id, K.BAD_REQUEST, status=400)  # refused: costs nothing
    world.tell(ClientGone(request_id="r2"))
    three = only_start(spend(world, "r3", max_tokens=200))
    world.first_token(three.attempt_id)
    world.tell(ClientGone(request_id="r3"))
    found = world.controller.find_route("m")
    assert found is not None
    (level,) = world.controller.limits_of("alice", found, world.now)
    assert level.left == pytest.approx(0.00025 - 0.00001 - 0.000001)
    assert (level.resource, level.window) == (Resource.MONEY, Window.DAY)


def test_what_no_budget_allows_is_refused_with_when_the_next_window_begins() -> None:
    world = World(cloud(), clients=(client(limits=usd(0.00015, Window.HOUR)),))
    world.tell(ClockRead(unix_s=NOON + 600.0))
    world.tell(SpentBefore(scope=Scope.KEY, name="alice", window=Window.HOUR, usd=0.0001))
    refused = only_reject(spend(world, "r1"))
    assert (refused.reason, refused.retry_after_s) == (R.BUDGET_EXCEEDED, pytest.approx(3000.0))
    assert refused.limit is not None
    assert (refused.limit.resource, refused.limit.window, refused.limit.left) == (
        Resource.MONEY,
        Window.HOUR,
        pytest.approx(0.00005),
    )
    never = only_reject(world.arrive("r2", key_id="alice", prompt_tokens=100_000))
    assert (never.reason, never.retry_after_s) == (R.BUDGET_EXCEEDED, None)
    world.start("r3", key_id="bob")


def test_a_budget_that_is_full_again_before_the_deadline_is_waited_for() -> None:
    world = World(cloud(), clients=(client(limits=usd(0.00015, Window.HOUR)),))
    world.tell(ClockRead(unix_s=NOON + 3590.0))
    world.tell(SpentBefore(scope=Scope.KEY, name="alice", window=Window.HOUR, usd=0.0001))
    assert spend(world, "r1") == []
    assert only_start(world.tick_until_something_happens()).queue_wait_s == pytest.approx(10.0)


def test_the_budget_of_an_account_sends_requests_to_another() -> None:
    dear, other = cloud("dear", account="dear/main"), cloud("other", account="other/main")
    accounts = (Shared(name="dear/main", limits=usd(0.0001)),)
    world = World(dear, other, routes=(route(("dear",), ("other",)),), accounts=accounts)
    world.tell(ClockRead(unix_s=NOON))
    first, second = world.start("r1", prompt_tokens=0), world.start("r2", prompt_tokens=0)
    assert [first.target_id, second.target_id] == ["dear", "other"]
    assert second.spill is Spill.OVER_BUDGET


def test_an_unknown_price_is_more_than_any_budget() -> None:
    world = World(cloud(usd=None), clients=(client(limits=usd(1000.0)),))
    refused = only_reject(spend(world, "r1"))
    assert (refused.reason, refused.retry_after_s) == (R.BUDGET_EXCEEDED, None)


# -- what hosts allow


def test_a_host_at_its_rate_is_waited_for_in_turn_and_never_passed() -> None:
    limits = Limits(requests_per_minute=60.0, burst_s=2.0)
    world = World(cloud(limits=limits))
    sent = [only_start(world.arrive(f"r{n}")).request_id for n in range(2)]
    for n in range(2, 6):
        assert world.arrive(f"r{n}") == []
    began = world.now
    while len(sent) < 6:
        for start in starts(world.tick()):
            sent.append(start.request_id)
            assert world.now == pytest.approx(began + len(sent) - 2)
    assert sent == [f"r{n}" for n in range(6)]


def test_two_lanes_use_a_hosts_rate_to_the_full() -> None:
    limits = Limits(requests_per_minute=60.0, burst_s=1.0)
    routes = (route(("api",)), route(("api",), pattern="n"))
    world = World(cloud(limits=limits), routes=routes)
    world.start("first")
    for n in range(10):
        assert world.arrive(f"r{n}", model="mn"[n % 2]) == []
    began, count = world.now, 0
    while count < 10:
        count += len(starts(world.tick()))
    assert world.now <= began + 10 + 1e-6


def test_a_host_at_its_rate_is_left_when_another_is_sooner() -> None:
    slow, other = cloud("slow", limits=Limits(requests_per_minute=6.0, burst_s=1.0)), cloud("other")
    world = World(slow, other, routes=(route(("slow",), ("other",)),))
    world.start("r1")
    spilled = world.start("r2")
    assert (spilled.target_id, spilled.spill) == ("other", Spill.LOCAL_FULL)


def test_tokens_of_a_host_are_settled_by_its_own_count() -> None:
    world = World(cloud(limits=Limits(tokens_per_minute=6000.0, burst_s=1.0)))
    first = world.start("r1", prompt_tokens=0)  # takes 100: all there is
    world.finish(first.attempt_id, prompt_tokens=0, output_tokens=20)
    world.start("r2", prompt_tokens=0)
    assert world.arrive("r3", prompt_tokens=0) == []


def test_an_adaptive_host_is_sent_half_as_much_once_it_says_that_it_is_busy() -> None:
    world = World(cloud(is_adaptive=True))
    target = world.controller.targets["api"]
    running = [world.start(f"r{n}") for n in range(8)]
    assert world.arrive("r8") == []
    world.finish(running[0].attempt_id, 1.0)
    for attempt in running[1:4]:
        world.fail(attempt.attempt_id, K.OVERLOADED)
    assert target.slots == 4
    spec = cloud(is_adaptive=True, slots=3)
    world.tell(PolicyChanged(policy=policy(spec)))
    assert target.slots == 3
    world.tell(PolicyChanged(policy=policy(cloud(slots=9))))
    assert (target.slots, target.window) == (9, None)
    world.tell(PolicyChanged(policy=policy(cloud(is_adaptive=True))))
    assert target.slots == 8


# -- priorities, fairness, full lanes


def test_reserved_slots_are_left_to_better_classes() -> None:
    world = World(local(slots=4), reserved=(1, 1))
    for n in range(3):
        world.start(f"r{n}", priority=1)
    assert world.arrive("low", priority=2) == []
    assert world.arrive("middle", priority=1) == []
    high = world.start("high", priority=0)
    assert [s.request_id for s in starts(world.finish(high.attempt_id))] == []
    (seen,) = world.controller.explain(arrived("x", priority=2), world.now)[1]
    assert seen.refusal is Refusal.NO_SLOT


def test_every_class_may_use_one_slot_whatever_is_reserved() -> None:
    world = World(local(slots=1), reserved=(5,))
    world.start("r1", priority=1)
    world = World(local(slots=0), reserved=(5,))
    assert world.arrive("r1", priority=1) == []


def test_a_full_lane_sends_the_longest_backlog_away_and_not_the_newcomer() -> None:
    short = route(("gpu",), queue_limit=2)
    world = World(local(slots=1), routes=(short,), clients=(client("a"),))
    world.start("r1", key_id="a")
    assert world.arrive("r2", key_id="a") == []
    assert world.arrive("r3", key_id="a") == []
    out = world.arrive("r4", key_id="b")
    assert [(c.request_id, c.reason, c.outcome) for c in out if isinstance(c, Reject)] == [
        ("r3", R.QUEUE_FULL, Outcome.EVICTED)
    ]
    assert only_reject(world.arrive("r5", key_id="b")).request_id == "r5"


def test_what_a_key_held_when_others_waited_decides_whose_turn_it_is() -> None:
    world = World(local(slots=1))
    first = world.start("a1", key_id="a")
    for n in range(3):
        world.arrive(f"a{n + 2}", key_id="a")
    for n in range(3):
        world.arrive(f"b{n + 1}", key_id="b")
    order = []
    attempt = first
    for _ in range(6):
        (attempt,) = starts(world.finish(attempt.attempt_id, 1.2, output_tokens=100))
        order.append(attempt.request_id[0])
    assert order == ["a", "b", "a", "b", "a", "b"]


# -- one breaker for each model


def many() -> Route:
    return Route(pattern="*", tiers=((RouteTarget(target_id="gpu", model=""),),))


def test_a_broken_model_rests_and_the_others_of_its_target_do_not() -> None:
    world = World(local(slots=9), cloud(), routes=(many(),))
    for n in range(5):
        run = world.start(f"bad{n}", model="bad")
        world.fail(run.attempt_id, K.SERVER_ERROR, output_tokens=1, status=200)
    assert not world.controller.targets["gpu"].is_plain
    world.start("good1", model="good")
    _, seen, _ = world.controller.explain(arrived("x", model="bad"), world.now)
    assert (seen[0].refusal, seen[0].retry_at) == (Refusal.BREAKER_OPEN, world.now + 5.0)
    world.now += 5.0
    probe = world.start("bad9", model="bad")
    _, seen, _ = world.controller.explain(arrived("x", model="bad"), world.now)
    assert (seen[0].refusal, seen[0].retry_at) == (Refusal.BREAKER_OPEN, None)
    world.finish(probe.attempt_id)
    assert world.controller.targets["gpu"].is_plain
    world.start("bad10", model="bad")


def test_a_target_that_cannot_be_reached_rests_for_all_its_models() -> None:
    world = World(local(slots=9), routes=(many(),))
    for n in range(5):
        run = world.start(f"r{n}", model=f"m{n}")
        world.fail(run.attempt_id, K.CONNECT, output_tokens=1)
    assert world.arrive("other", model="other") == []
    assert world.controller.targets["gpu"].breaker.refusal(world.now) is Refusal.BREAKER_OPEN


def test_a_probe_of_a_model_that_says_nothing_of_it_leaves_its_place_to_the_next() -> None:
    world = World(local(slots=9), routes=(many(),))
    run = world.start("r1", model="bad")
    world.fail(run.attempt_id, K.NO_MODEL, status=404, output_tokens=1)
    world.now += 300.0
    probe = world.start("r2", model="bad")
    world.tell(ClientGone(request_id="r2"))
    probe = world.start("r3", model="bad")
    world.tell(Failed(attempt_id=probe.attempt_id, kind=K.RATE_LIMITED, retry_after_s=1.0, output_tokens=1))
    _, seen, _ = world.controller.explain(arrived("x", model="bad"), world.now)
    assert (seen[0].refusal, seen[0].retry_at) == (Refusal.COOLING_DOWN, world.now + 1.0)
    world.now += 1.0
    world.start("r4", model="bad")


def test_an_engine_that_starts_anew_has_forgotten_which_models_failed() -> None:
    world = World(local(slots=9), routes=(many(),))
    run = world.start("r1", model="bad")
    world.fail(run.attempt_id, K.NO_MODEL, output_tokens=1)
    world.tell(TargetChanged(target_id="gpu", health=Health.DOWN))
    world.tell(TargetChanged(target_id="gpu", health=Health.READY))
    world.start("r2", model="bad")


def test_a_reload_keeps_what_is_known_of_models_while_there_are_several() -> None:
    world = World(local(slots=9), routes=(many(),))
    run = world.start("r1", model="bad")
    world.fail(run.attempt_id, K.NO_MODEL, output_tokens=1)
    same = msgspec.structs.replace(world.controller.policy, priorities=2)
    world.tell(PolicyChanged(policy=same))
    assert world.arrive("r2", model="bad", deadline_s=1.0)[0] == Reject(
        request_id="r2", reason=R.NO_TARGET, outcome=Outcome.REJECTED, retry_after_s=300.0
    )
    world.tell(PolicyChanged(policy=policy(local(slots=9))))
    assert world.controller.targets["gpu"].models is None


def test_of_too_many_models_the_one_that_failed_first_is_forgotten() -> None:
    world = World(local(slots=None), routes=(many(),))
    for n in range(70):
        run = world.start(f"r{n}", model=f"m{n}")
        world.fail(run.attempt_id, K.NO_MODEL, output_tokens=1)
    models = world.controller.targets["gpu"].models
    assert models is not None
    assert len(models) == 64
    world.start("old", model="m0")
    assert world.controller.explain(arrived("x", model="m69"), world.now)[2] is not Never.UNSUPPORTED
    assert models.find("m69") is not None


def test_a_model_that_still_fails_now_and_then_is_watched_and_another_is_not() -> None:
    world = World(local(slots=9), routes=(many(),))
    run = world.start("r1", model="shaky")
    world.fail(run.attempt_id, K.CUT, output_tokens=1)
    world.finish(world.start("r2", model="shaky").attempt_id)
    world.finish(world.start("r3", model="good").attempt_id)
    world.tell(ClientGone(request_id=world.start("r4", model="good").request_id))
    run = world.start("r5", model="good")
    world.fail(run.attempt_id, K.BAD_REQUEST)
    models = world.controller.targets["gpu"].models
    assert models is not None
    assert models.find("good") is None
    assert models.find("shaky") is not None
    world.now += 31.0  # its one failure has left the window
    world.finish(world.start("r6", model="shaky").attempt_id)
    assert len(models) == 0


def test_a_failure_that_says_nothing_of_load_leaves_an_adaptive_window_alone() -> None:
    world = World(cloud(is_adaptive=True))
    world.fail(world.start("r1").attempt_id, K.BAD_REQUEST)
    assert world.controller.targets["api"].slots == 8
