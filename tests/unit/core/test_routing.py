from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.core.making import World, arrived, cloud, local, only_end, policy, route, starts

from overspill.core.events import Arrived, Finished, PolicyChanged, TargetChanged, TargetReported
from overspill.core.options import Wait
from overspill.core.queueing import Request
from overspill.core.routing import RouteTable, Survey, decide, expected_usd, spill_reason, tie_break
from overspill.core.short_way import start_at_home
from overspill.core.target import TargetState
from overspill.core.types import (
    BreakerPolicy,
    FailureKind,
    Health,
    Lack,
    LatencyPrior,
    Missing,
    Price,
    Refusal,
    RejectReason,
    Slo,
    Spill,
    Surface,
    TargetSpec,
)
from overspill.features import BITS, Feature, features_of, mask


def full_world(*clouds: TargetSpec, busy_s: float = 60.0, ttft_s: float = 2.0) -> World:
    """One local slot, taken for about ``busy_s`` seconds."""
    world = World(local(), *clouds, routes=(route(("gpu",), tuple(c.target_id for c in clouds), ttft_s=ttft_s),))
    world.start("holder", max_tokens=None)
    gpu = world.controller.targets["gpu"]
    (attempt,) = gpu.running.values()
    gpu.ended(attempt)
    attempt.expected_s = busy_s
    attempt.expected_end_at = world.now + busy_s
    gpu.started(attempt, world.now)
    world.controller._dispatch.silent.drop(attempt)  # it has spoken; told so, the target's speed would be another
    return world


# -- the first tier


def test_a_target_that_just_keeps_its_promise_is_taken_at_home() -> None:
    world = World(local(ttft_s=2.0), cloud(ttft_s=0.1), routes=(route(("gpu",), ("api",), ttft_s=2.0),))
    request = Request(arrived(), world.controller.policy.routes[0], 100.0, 0, 0.0)
    targets = world.controller.targets
    start = start_at_home(request, targets, 0.0)
    assert start is not None
    assert start == decide(request, Survey(request, targets, 0, 0.0), True, 0.0)
    assert start_at_home(request, targets, 0.01) is None


# -- the table of routes


def test_an_exact_name_goes_before_globs_and_globs_in_their_order() -> None:
    table = RouteTable(
        [route(pattern="*"), route(pattern="deep*"), route(pattern="deepseek-chat"), route(pattern="a?c")]
    )
    assert table.find("deepseek-chat").pattern == "deepseek-chat"  # type: ignore[union-attr]
    assert table.find("deepseek-r1").pattern == "*"  # type: ignore[union-attr]
    narrow_first = RouteTable([route(pattern="deep*"), route(pattern="a?c"), route(pattern="*")])
    assert narrow_first.find("deepseek-r1").pattern == "deep*"  # type: ignore[union-attr]
    assert narrow_first.find("abc").pattern == "a?c"  # type: ignore[union-attr]
    assert narrow_first.find("abbc").pattern == "*"  # type: ignore[union-attr]


def test_the_first_of_two_equal_names_wins_and_an_unknown_name_has_no_route() -> None:
    first, second = route(("a",), pattern="m"), route(("b",), pattern="m")
    table = RouteTable([first, second])
    assert table.find("m") is first
    assert table.find("other") is None


@pytest.mark.parametrize("name", ["a+b", "a.b[0]", "x(y)|z"])
def test_signs_of_regular_expressions_in_a_glob_are_plain(name: str) -> None:
    table = RouteTable([route(pattern=name + "*")])
    assert table.find(name + "\n1") is not None
    assert table.find("aab") is None


# -- within the SLO


def test_it_runs_locally_while_local_meets_the_slo() -> None:
    world = World(local(slots=4), cloud(ttft_s=0.01))
    start = world.start()
    assert start.target_id == "gpu"
    assert start.model == "gpu-model"
    assert start.spill is None
    assert start.predicted_ttft_s == 0.2


def test_at_home_the_fastest_runs_it_and_beyond_home_the_cheapest_that_meets_the_slo() -> None:
    world = World(
        local("slow", ttft_s=0.9), local("fast", ttft_s=0.3), cloud("dear", usd=9.0), cloud("cheap", ttft_s=1)
    )
    assert [world.start(str(i)).target_id for i in range(3)] == ["fast", "slow", "cheap"]


def test_at_home_prices_do_not_count() -> None:
    targets = cloud("cheap", usd=0.1, ttft_s=0.9), cloud("fast", usd=9.0, ttft_s=0.3)
    assert World(*targets, routes=(route(("cheap", "fast")),)).start().target_id == "fast"


def test_the_cheapest_is_left_out_when_it_would_be_too_late() -> None:
    world = full_world(cloud("cheap", usd=0.1, ttft_s=2.5), cloud("dear", usd=9.0, ttft_s=0.5))
    assert world.start().target_id == "dear"


def test_an_unknown_price_goes_last() -> None:
    world = full_world(cloud("unknown", usd=None, ttft_s=0.1), cloud("dear", usd=900.0))
    assert world.start().target_id == "dear"
    assert World(cloud("unknown", usd=None)).start().target_id == "unknown"


def test_the_price_counts_both_directions_and_the_answer_that_is_expected() -> None:
    price = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
    reads = TargetSpec(target_id="reads", pool="c", is_local=False, price=price)
    request = Request(arrived(prompt_tokens=1000), route(), 100.0, 1, 0.0)
    assert expected_usd(request, TargetState(reads, BreakerPolicy()), 0.0) == pytest.approx(0.002)


def test_equal_prices_are_decided_by_speed_and_equal_speeds_by_a_hash_of_names() -> None:
    world = full_world(cloud("slow", ttft_s=0.6), cloud("fast", ttft_s=0.4))
    assert world.start().target_id == "fast"
    spread = full_world(cloud("one"), cloud("two"))
    chosen = [spread.start(f"r{i}").target_id for i in range(64)]
    assert 10 < chosen.count("one") < 54
    assert chosen == [min(("one", "two"), key=lambda t: tie_break(f"r{i}", t)) for i in range(64)]


# -- hold or spill


def test_it_holds_when_a_slot_frees_soon_enough() -> None:
    world = full_world(cloud(), busy_s=0.5)
    assert world.arrive() == []
    (attempt,) = world.controller.targets["gpu"].running
    (start,) = starts(world.finish(attempt, after_s=0.5))
    assert (start.request_id, start.target_id, start.spill) == ("r1", "gpu", None)
    assert start.queue_wait_s == pytest.approx(0.5)


def test_a_holder_spills_in_time_when_the_slot_does_not_come_free() -> None:
    world = full_world(cloud("cheap"), cloud("dear", usd=9.0, ttft_s=0.1), busy_s=1.0)
    arrived_at = world.now
    assert world.arrive() == []
    (start,) = starts(world.tick_until_something_happens())
    assert start.target_id == "cheap"  # and not just the fastest: it is not too late to choose
    assert start.spill is Spill.LOCAL_FULL
    assert world.now - arrived_at + start.predicted_ttft_s <= 2.0


def test_a_holders_wake_up_leaves_room_for_a_timer_that_rings_late() -> None:
    world = full_world(cloud(ttft_s=0.5), busy_s=0.5)
    assert world.arrive() == []
    at = world.controller.next_wakeup(world.now)
    assert at == pytest.approx(world.now + 2.0 - 0.5 - 0.02)


def test_a_slow_later_tier_does_not_shorten_the_hold_to_nothing() -> None:
    world = full_world(cloud(ttft_s=1.99), busy_s=0.5)
    assert world.arrive() == []
    assert world.controller.next_wakeup(world.now) == pytest.approx(world.now + 0.5)


def test_it_spills_at_once_when_no_slot_frees_soon_enough() -> None:
    world = full_world(cloud(), busy_s=60.0)
    start = world.start()
    assert (start.target_id, start.spill, start.queue_wait_s) == ("api", Spill.LOCAL_FULL, 0.0)


def test_it_holds_for_the_slot_that_frees_first() -> None:
    world = World(local("a"), local("b", ttft_s=0.3))
    world.start("on a", max_tokens=100)
    world.start("on b", max_tokens=20)
    assert world.arrive() == []
    assert world.controller.targets["b"].holding == 1
    assert world.controller.targets["a"].holding == 0


def test_a_hold_in_a_later_tier_goes_before_a_dearer_tier_after_it() -> None:
    world = World(
        local("gpu"),
        local("rented"),
        cloud(),
        routes=(route(("gpu",), ("rented",), ("api",), ttft_s=1.6),),
    )
    assert world.start("a").target_id == "gpu"
    assert world.start("b", max_tokens=30).target_id == "rented"
    assert world.arrive("c") == []
    assert world.controller.targets["rented"].holding == 1


# -- the promise about tokens after the first


def pace(target_id: str = "gpu", slots: int | None = 4, tpot_s: float = 0.04, **rest: Any) -> TargetSpec:
    """Make a local target that makes tokens at ``tpot_s`` alone, and slower by a fifth of that per request beside."""
    prior = LatencyPrior(ttft_base_s=rest.pop("ttft_s", 0.2), tpot_base_s=tpot_s * 0.8, tpot_s_per_running=tpot_s * 0.2)
    return TargetSpec(target_id=target_id, pool="local", is_local=True, slots=slots, prior=prior, **rest)


def paced(*targets: TargetSpec, tpot_s: float | None = 0.05, **rest: Any) -> World:
    """A world that promises ``tpot_s`` per token: local targets first, then the others."""
    home = tuple(t.target_id for t in targets if t.is_local)
    away = tuple(t.target_id for t in targets if not t.is_local)
    made = route(home, away, **rest)
    return World(*targets, routes=(msgspec.structs.replace(made, slo=Slo(ttft_s=2.0, tpot_s=tpot_s)),))


def test_it_spills_when_one_more_would_make_tokens_come_too_slowly() -> None:
    world = paced(pace(), cloud())
    assert [world.start(str(i)).target_id for i in range(2)] == ["gpu", "gpu"]  # 40 and 48 ms per token
    start = world.start()
    assert (start.target_id, start.spill) == ("api", Spill.TPOT_AT_RISK)


def test_a_route_that_promises_no_pace_fills_home() -> None:
    world = paced(pace(), cloud(), tpot_s=None)
    assert [world.start(str(i)).target_id for i in range(4)] == ["gpu"] * 4


def test_it_comes_home_when_fewer_run_there() -> None:
    world = paced(pace(), cloud())
    first = world.start("first").attempt_id
    world.start("second")
    assert world.start("third").target_id == "api"
    world.finish(first)
    assert world.start("fourth").target_id == "gpu"


def test_the_pace_that_is_judged_is_learned() -> None:
    world = paced(local(slots=4), cloud())
    for i in range(8):
        start = world.start(str(i))
        world.first_token(start.attempt_id, after_s=0.2)
        world.finish(start.attempt_id, after_s=0.1 * 50, output_tokens=51)
    start = world.start()
    assert (start.target_id, start.spill) == ("api", Spill.TPOT_AT_RISK)


def test_no_slot_is_held_for_where_tokens_would_come_too_slowly() -> None:
    world = paced(pace(slots=1, tpot_s=0.06), cloud(), ttft_s=2.0)
    world.tell(Arrived(request_id="holder", model="m", prompt_tokens=1, max_tokens=5, local_only=True))
    start = world.start()
    assert (start.target_id, start.spill) == ("api", Spill.TPOT_AT_RISK)


def test_a_slot_that_frees_is_judged_without_the_request_that_frees_it() -> None:
    world = paced(pace(slots=1, tpot_s=0.045), cloud())  # two at once would take 54 ms, but two never run at once
    world.start("holder", max_tokens=5)
    assert world.arrive() == []
    assert world.controller.targets["gpu"].holding == 1


def test_a_slot_that_others_hold_is_judged_as_if_it_ran_alone_there() -> None:
    world = paced(pace(slots=1, tpot_s=0.045))
    world.tell(TargetReported(target_id="gpu", running=1))
    _, seen, _ = world.controller.explain(arrived(), world.now)
    assert [o.refusal for o in seen] == [Refusal.NO_SLOT]
    assert seen[0].target.tpot_s(True, world.now) == pytest.approx(0.045)


def test_a_later_tier_that_is_too_slow_is_passed_over_for_one_after_it() -> None:
    rented = pace("rented", tpot_s=0.2)
    made = route(("gpu",), ("rented",), ("api",))
    made = msgspec.structs.replace(made, slo=Slo(ttft_s=2.0, tpot_s=0.05))
    world = World(pace(tpot_s=0.1), rented, cloud(), routes=(made,))
    assert world.start().target_id == "api"


def test_a_hold_is_not_cut_short_for_a_later_tier_that_would_be_too_slow() -> None:
    slow = msgspec.structs.replace(cloud(), prior=LatencyPrior(ttft_base_s=1.0, tpot_base_s=0.2))
    world = paced(pace(slots=1), slow)
    world.start("holder", max_tokens=5)
    assert world.arrive() == []
    assert world.controller._dispatch.queue.alarms.next_at() == pytest.approx(world.now + 2.0 - 0.2)


def test_a_pace_that_nobody_keeps_is_not_paid_for() -> None:
    fast = msgspec.structs.replace(cloud(ttft_s=0.01), prior=LatencyPrior(ttft_base_s=0.01, tpot_base_s=0.09))
    start = paced(pace(tpot_s=0.1), fast).start()
    assert (start.target_id, start.spill) == ("gpu", None)


def test_a_pace_that_nobody_keeps_leaves_the_promise_about_the_first_token() -> None:
    slow = msgspec.structs.replace(cloud(), prior=LatencyPrior(ttft_base_s=0.5, tpot_base_s=0.2))
    start = paced(pace(tpot_s=0.1, ttft_s=3.0), slow).start()
    assert (start.target_id, start.spill) == ("api", Spill.SLO_AT_RISK)
    held = paced(pace(slots=1, tpot_s=0.1), slow)
    held.start("holder", max_tokens=5)
    assert held.arrive() == []
    assert held.controller.targets["gpu"].holding == 1


def test_when_neither_promise_can_be_kept_whatever_speaks_first_runs_it() -> None:
    slow = msgspec.structs.replace(cloud(), prior=LatencyPrior(ttft_base_s=3.0, tpot_base_s=0.2))
    start = paced(pace(tpot_s=0.1, ttft_s=4.0), slow).start()
    assert (start.target_id, start.spill) == ("api", Spill.SLO_AT_RISK)


def test_embeddings_have_no_pace() -> None:
    both = (Surface.CHAT, Surface.EMBEDDINGS)
    world = paced(pace(tpot_s=0.1, surfaces=both), cloud(surfaces=both))
    assert world.start(surface=Surface.EMBEDDINGS).target_id == "gpu"
    assert world.start("chat").target_id == "api"


def test_explaining_says_which_promise_is_at_risk_where() -> None:
    world = paced(pace(tpot_s=0.1), cloud(ttft_s=3.0), cloud("third"))
    _, seen, _ = world.controller.explain(arrived(), world.now)
    assert [o.risk for o in seen] == [Spill.TPOT_AT_RISK, Spill.SLO_AT_RISK, None]


# -- best effort


def test_when_nothing_meets_the_slo_whatever_speaks_first_runs_it() -> None:
    world = World(local(ttft_s=4.0), cloud("a", ttft_s=3.0), cloud("b", usd=0.1, ttft_s=5.0))
    start = world.start()
    assert (start.target_id, start.spill) == ("a", Spill.SLO_AT_RISK)


def test_when_nothing_meets_the_slo_equal_speeds_are_decided_by_price() -> None:
    world = World(local(ttft_s=4.0), cloud("dear", usd=9.0, ttft_s=3.0), cloud("cheap", ttft_s=3.0))
    assert world.start().target_id == "cheap"


def test_when_nothing_meets_the_slo_home_is_kept_where_it_speaks_first() -> None:
    start = World(local(ttft_s=3.0), cloud(ttft_s=4.0)).start()
    assert (start.target_id, start.spill) == ("gpu", None)


def test_when_nothing_meets_the_slo_it_waits_for_a_slot_that_beats_all_that_is_free() -> None:
    world = full_world(cloud(ttft_s=30.0), busy_s=4.0)
    assert world.arrive() == []
    assert world.controller.targets["gpu"].holding == 1
    assert world.controller.next_wakeup(world.now) == pytest.approx(world.now + 4.0)


def test_a_free_target_is_worth_half_as_much_wait_again_as_a_slot_that_is_only_predicted() -> None:
    world = full_world(cloud(ttft_s=6.0), busy_s=4.0)  # 4 · 1.5 + 0.2 s
    start = world.start()
    assert (start.target_id, start.spill) == ("api", Spill.LOCAL_FULL)


# -- what no target does


def test_local_only_never_leaves_even_for_a_free_target_that_would_be_in_time() -> None:
    world = full_world(cloud())
    assert world.arrive(local_only=True) == []
    world.tick()
    out = world.tick_until_something_happens()
    assert only_end(out).reason is RejectReason.DEADLINE_EVICTED  # type: ignore[union-attr]


def test_local_only_without_a_local_target_is_refused_at_once() -> None:
    world = World(cloud())
    assert only_end(world.arrive(local_only=True)).reason is RejectReason.NO_TARGET  # type: ignore[union-attr]


def test_a_prompt_too_long_for_home_runs_where_it_fits() -> None:
    world = World(local(context_tokens=100), cloud(context_tokens=1000))
    start = world.start(prompt_tokens=500)
    assert (start.target_id, start.spill) == ("api", Spill.CONTEXT_TOO_LONG)


@pytest.mark.parametrize("local_only", [False, True])
def test_a_prompt_too_long_for_all_is_the_clients_matter(local_only: bool) -> None:
    world = World(local(context_tokens=100), cloud(context_tokens=100))
    end = only_end(world.arrive(prompt_tokens=500, local_only=local_only))
    assert end.reason is RejectReason.PROMPT_TOO_LONG  # type: ignore[union-attr]
    assert end.retry_after_s is None  # type: ignore[union-attr]


def test_a_prompt_that_might_fit_a_broken_target_is_not_called_too_long() -> None:
    world = World(local(context_tokens=100), cloud())
    world.tell(TargetChanged(target_id="api", health=Health.BROKEN))
    end = only_end(world.arrive(prompt_tokens=500))
    assert end.reason is RejectReason.NO_TARGET  # type: ignore[union-attr]
    assert end.retry_after_s is not None  # type: ignore[union-attr]


def test_a_prompt_that_each_target_itself_finds_too_long_is_the_clients_matter() -> None:
    world = World(local(), cloud())
    first = world.start()
    (second,) = starts(world.fail(first.attempt_id, FailureKind.CONTEXT_TOO_LONG, status=400))
    assert (second.target_id, second.spill) == ("api", Spill.CONTEXT_TOO_LONG)
    end = only_end(world.fail(second.attempt_id, FailureKind.CONTEXT_TOO_LONG, status=400))
    assert end.reason is RejectReason.PROMPT_TOO_LONG  # type: ignore[union-attr]


@pytest.mark.parametrize("surface", list(Surface))
def test_an_endpoint_that_no_target_serves_is_the_clients_matter(surface: Surface) -> None:
    others = tuple(other for other in Surface if other is not surface)
    world = World(local(surfaces=others), cloud(surfaces=others))
    end = only_end(world.arrive(surface=surface))
    assert end.reason is RejectReason.UNSUPPORTED  # type: ignore[union-attr]
    assert end.retry_after_s is None  # type: ignore[union-attr]


def test_an_endpoint_that_only_rented_targets_serve_is_not_there_for_what_must_stay_local() -> None:
    world = World(local(), cloud(surfaces=(Surface.EMBEDDINGS,)))
    end = only_end(world.arrive(surface=Surface.EMBEDDINGS, local_only=True))
    assert end.reason is RejectReason.UNSUPPORTED  # type: ignore[union-attr]


def test_an_endpoint_that_a_broken_target_serves_is_not_called_unsupported() -> None:
    world = World(local(), cloud(surfaces=(Surface.EMBEDDINGS,)))
    world.tell(TargetChanged(target_id="api", health=Health.BROKEN))
    end = only_end(world.arrive(surface=Surface.EMBEDDINGS))
    assert end.reason is RejectReason.NO_TARGET  # type: ignore[union-attr]


BLIND = Lack(feature=Feature.IMAGES, why="it sees nothing")
NO_TOOLS = Lack(feature=Feature.TOOLS, why="its template has none")


def test_a_request_leaves_a_home_that_is_known_not_to_do_what_it_needs() -> None:
    world = World(local(lacks=(BLIND,)), cloud())
    start = world.start(needs=mask([Feature.IMAGES, Feature.TOOLS]))
    assert (start.target_id, start.spill) == ("api", Spill.LACKS_FEATURE)
    assert world.start("r2", needs=mask([Feature.TOOLS])).target_id == "gpu"


def test_what_no_target_does_is_refused_with_what_is_missing_where_and_why() -> None:
    world = World(local(lacks=(NO_TOOLS, BLIND)), cloud(lacks=(BLIND,)))
    end = only_end(world.arrive(needs=mask([Feature.IMAGES])))
    assert end.reason is RejectReason.LACKS_FEATURE  # type: ignore[union-attr]
    assert end.retry_after_s is None  # type: ignore[union-attr]
    assert end.missing == (  # type: ignore[union-attr]
        Missing(target_id="gpu", feature=Feature.IMAGES, why="it sees nothing"),
        Missing(target_id="api", feature=Feature.IMAGES, why="it sees nothing"),
    )


def test_what_must_stay_local_is_told_only_of_local_targets() -> None:
    world = World(local(lacks=(BLIND,)), cloud())
    end = only_end(world.arrive(needs=mask([Feature.IMAGES]), local_only=True))
    assert [missing.target_id for missing in end.missing] == ["gpu"]  # type: ignore[union-attr]


def test_a_target_that_does_it_and_is_broken_is_no_reason_to_call_it_missing() -> None:
    world = World(local(lacks=(BLIND,)), cloud())
    world.tell(TargetChanged(target_id="api", health=Health.BROKEN))
    end = only_end(world.arrive(needs=mask([Feature.IMAGES])))
    assert end.reason is RejectReason.NO_TARGET  # type: ignore[union-attr]


def test_a_reload_may_say_that_a_target_does_it_after_all() -> None:
    world = World(local(lacks=(BLIND,)))
    world.tell(PolicyChanged(policy=policy(local())))
    assert world.start(needs=mask([Feature.IMAGES])).target_id == "gpu"


def test_what_only_a_surface_can_say_goes_to_a_target_that_speaks_it_and_to_no_other() -> None:
    needs = mask([Feature.NATIVE_MESSAGES])
    world = World(local(), cloud(native=(Feature.NATIVE_MESSAGES,)), cloud("other"))
    assert world.start(needs=needs).target_id == "api"
    end = only_end(world.arrive("r2", needs=mask([Feature.NATIVE_RESPONSES])))
    assert {missing.why for missing in end.missing} == {"it does not speak OpenAI's Responses itself"}  # type: ignore[union-attr]


def test_features_and_their_bits_are_the_same_said_otherwise() -> None:
    assert features_of(mask(Feature)) == tuple(Feature)
    assert sum(BITS.values()) == 2 ** len(Feature) - 1
    assert features_of(0) == ()


@pytest.mark.parametrize("health", [Health.BROKEN, Health.DRAINING])
def test_nothing_is_waited_for_that_will_not_come_back(health: Health) -> None:
    world = World(local())
    world.tell(TargetChanged(target_id="gpu", health=health))
    assert only_end(world.arrive()).reason is RejectReason.NO_TARGET  # type: ignore[union-attr]


@pytest.mark.parametrize("health", [Health.STARTING, Health.DOWN])
def test_an_engine_that_is_coming_up_is_waited_for(health: Health) -> None:
    world = World(local(ready_at_start=False))
    world.tell(TargetChanged(target_id="gpu", health=health))
    assert world.arrive() == []
    (start,) = starts(world.tell(TargetChanged(target_id="gpu", health=Health.READY), after_s=3.0))
    assert start.queue_wait_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (FailureKind.BAD_KEY, Refusal.BAD_KEY),
        (FailureKind.NO_MONEY, Refusal.NO_MONEY),
        (FailureKind.NO_MODEL, Refusal.NO_MODEL),
        (FailureKind.RATE_LIMITED, Refusal.COOLING_DOWN),
    ],
)
def test_a_breakers_refusal_sends_the_request_on(kind: FailureKind, refusal: Refusal) -> None:
    world = World(local(slots=4), cloud())
    attempt = world.start("first").attempt_id
    world.fail(attempt, kind)
    _, seen, _ = world.controller.explain(arrived("second"), world.now)
    assert [o.refusal for o in seen] == [refusal, None]
    start = world.start("second")
    assert (start.target_id, start.spill) == ("api", Spill.LOCAL_BROKEN)


def test_a_request_waits_for_a_cool_down_that_ends_before_its_deadline_and_no_other() -> None:
    world = World(local(slots=4))
    attempt = world.start("first").attempt_id
    world.fail(attempt, FailureKind.RATE_LIMITED, retry_after_s=30.0)
    assert world.arrive("patient") == []
    assert only_end(world.arrive("hasty", deadline_s=5.0)).reason is RejectReason.NO_TARGET  # type: ignore[union-attr]
    before = world.now
    # "first" waits too: its back-off on this target ends with the cool-down.
    assert {s.request_id for s in starts(world.tick())} == {"first", "patient"}
    assert world.now == before + 30.0


def test_while_a_probe_runs_the_others_wait_for_what_it_says() -> None:
    world = World(local(slots=4), breaker=BreakerPolicy(min_count=1))
    world.fail(world.start("first").attempt_id, FailureKind.CUT)
    assert world.arrive("second") == []
    (probe,) = starts(world.tick_until_something_happens())
    (done, *rest) = world.finish(probe.attempt_id)
    assert only_end([done]).request_id == probe.request_id
    assert [s.request_id for s in starts(rest)] == [{"first": "second", "second": "first"}[probe.request_id]]


# -- the reasons for a spill


def reason(world: World, **rest: object) -> Spill | None:
    return world.start("spilled", **rest).spill


def test_spill_local_absent() -> None:
    assert reason(World(cloud(), routes=(route(("gpu",), ("api",)),))) is Spill.LOCAL_ABSENT
    assert reason(World(cloud(), routes=(route((), ("api",)),))) is Spill.LOCAL_ABSENT


def test_spill_slo_at_risk() -> None:
    assert reason(World(local(ttft_s=5.0), cloud())) is Spill.SLO_AT_RISK


def test_spill_local_full() -> None:
    assert reason(full_world(cloud())) is Spill.LOCAL_FULL


def test_spill_local_full_by_what_others_send() -> None:
    world = World(local(slots=2), cloud())
    world.tell(TargetReported(target_id="gpu", running=2))
    assert reason(world) is Spill.LOCAL_FULL


def test_spill_local_broken() -> None:
    world = World(local(), cloud())
    world.tell(TargetChanged(target_id="gpu", health=Health.DOWN))
    assert reason(world) is Spill.LOCAL_BROKEN


def test_spill_unsupported() -> None:
    world = World(local(surfaces=(Surface.CHAT,)), cloud(surfaces=(Surface.EMBEDDINGS,)))
    assert reason(world, surface=Surface.EMBEDDINGS) is Spill.UNSUPPORTED


def test_spill_attempt_failed() -> None:
    world = World(local(slots=4), cloud())
    (second,) = starts(world.fail(world.start().attempt_id))
    assert (second.target_id, second.spill) == ("api", Spill.ATTEMPT_FAILED)


def test_no_spill_when_a_retry_comes_home() -> None:
    world = World(local(slots=4), local("gpu2", ttft_s=0.3))
    (second,) = starts(world.fail(world.start().attempt_id))
    assert (second.target_id, second.spill) == ("gpu2", None)


def test_a_target_of_home_that_may_not_be_used_is_no_reason_of_its_own() -> None:
    request = Request(arrived(local_only=True), route(("api",), ("gpu",)), 100.0, 1, 0.0)
    targets = {s.target_id: TargetState(s, BreakerPolicy()) for s in (local(), cloud())}
    survey = Survey(request, targets, 0, 0.0)
    assert spill_reason(survey.all()) is Spill.LOCAL_BROKEN


# -- a survey


def test_a_tier_is_looked_at_only_when_it_is_asked_for() -> None:
    request = Request(arrived(), route(("gpu",), ("api", "gone")), 100.0, 1, 0.0)
    targets = {s.target_id: TargetState(s, BreakerPolicy()) for s in (local(), cloud())}
    survey = Survey(request, targets, 0, 0.0)
    assert survey.seen == []
    assert [o.target.spec.target_id for o in survey.next_tier() or ()] == ["gpu"]
    assert [o.target.spec.target_id for o in survey.all()] == ["gpu", "api"]
    assert survey.next_tier() is None


def test_a_full_queue_sends_a_request_away_rather_than_to_wait() -> None:
    routes = (route(("gpu",), queue_limit=1),)
    world = World(local(), routes=routes)
    holder = world.start("holder").attempt_id
    assert world.arrive("waits") == []
    end = only_end(world.arrive("one too many"))
    assert end.reason is RejectReason.QUEUE_FULL  # type: ignore[union-attr]
    assert 1.0 <= end.retry_after_s <= 60.0  # type: ignore[operator, union-attr]
    assert [s.request_id for s in starts(world.tell(Finished(attempt_id=holder)))] == ["waits"]


@pytest.mark.parametrize(("pause_s", "told_s"), [(90.0, 90.0), (20_000.0, 3600.0)])
def test_a_client_is_told_to_come_again_when_the_first_target_will_take_a_request(
    pause_s: float, told_s: float
) -> None:
    routes = (route(("gpu",), ("api",), deadline_s=30.0),)
    world = World(local(), cloud(), routes=routes)
    world.fail(world.start("a").attempt_id, FailureKind.RATE_LIMITED, retry_after_s=pause_s + 10.0)
    elsewhere = next(iter(world.controller._dispatch.attempts))
    end = only_end(world.fail(elsewhere, FailureKind.RATE_LIMITED, retry_after_s=pause_s))
    assert end.reason is RejectReason.NO_TARGET  # type: ignore[union-attr]
    assert end.retry_after_s == pytest.approx(told_s)  # type: ignore[union-attr]
    again = only_end(world.tell(arrived("b"), after_s=4.0))
    assert again.retry_after_s == pytest.approx(min(told_s, pause_s - 4.0))  # type: ignore[union-attr]


def test_who_waited_in_vain_is_told_when_a_slot_is_expected_to_free() -> None:
    world = World(local(slots=1), routes=(route(("gpu",), deadline_s=2.0),))
    attempt = world.start("holder")
    world.arrive("waits")
    end = only_end(world.tick_until_something_happens())
    target = world.controller.targets["gpu"]
    assert end.reason is RejectReason.DEADLINE_EVICTED  # type: ignore[union-attr]
    assert attempt.target_id == "gpu"
    assert end.retry_after_s == pytest.approx(max(1.0, target.slot_wait_s(0, world.now)))  # type: ignore[union-attr]


def test_a_full_queue_does_not_keep_a_request_from_running_elsewhere() -> None:
    routes = (route(("gpu",), ("api",), queue_limit=0),)
    world = World(local(), cloud(ttft_s=5.0), routes=routes)
    world.start("holder")
    start = world.start()
    assert (start.target_id, start.spill) == ("api", Spill.LOCAL_FULL)


def test_a_full_queue_turns_away_what_waits_for_a_cool_down_too() -> None:
    world = World(local(slots=4), routes=(route(("gpu",), queue_limit=0),))
    end = only_end(world.fail(world.start().attempt_id, FailureKind.RATE_LIMITED))
    assert end.reason is RejectReason.QUEUE_FULL  # type: ignore[union-attr]


def test_explaining_says_that_it_would_wait() -> None:
    world = full_world(busy_s=1.0)
    _, seen, decision = world.controller.explain(arrived(), world.now)
    assert isinstance(decision, Wait)
    assert [o.refusal for o in seen] == [Refusal.NO_SLOT]
