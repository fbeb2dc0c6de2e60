"""Attempts that do not speak in time: when another target is asked as well, and which one wins."""

from __future__ import annotations

import pytest
from tests.unit.core.making import World, cloud, local, only_end, only_start, route, starts

from overspill.core.commands import CancelAttempt, Complete
from overspill.core.events import Arrived, ClientGone, Failed, Finished, FirstToken, Queued
from overspill.core.types import BreakerPolicy, FailureKind, RetryPolicy, Spill, Surface

SLO_S = 2.0


def world(*clouds: str, **rest: object) -> World:
    """One local target that promises 0.2 s, and rented ones that promise 0.5 s."""
    names = clouds or ("api",)
    made = route(("gpu",), names, ttft_s=SLO_S, **rest)
    return World(local(slots=4), *(cloud(name) for name in names), routes=(made,))


def race(stage: World) -> tuple[int, int]:
    """Let a request start at home and stay silent until it is also sent elsewhere; return both attempts."""
    first = stage.start()
    second = only_start(stage.tick_until_something_happens())
    return first.attempt_id, second.attempt_id


def test_a_silent_target_gets_a_rival_at_the_last_moment_at_which_that_is_in_time() -> None:
    stage = world()
    began = stage.now
    assert stage.start().target_id == "gpu"
    rival = only_start(stage.tick_until_something_happens())
    assert (rival.target_id, rival.spill) == ("api", Spill.SILENT)
    assert stage.now - began == pytest.approx(SLO_S - 0.5 - 0.02)


def test_the_first_look_lies_in_the_future_also_within_a_rounding_of_the_slo() -> None:
    stage = world()
    stage.now = 0.43
    stage.start("r1")
    stage.now = 1.43 + 1.0  # 2.43 - 4e-16: the SLO is due, but for a rounding
    assert only_start(stage.tick()).target_id == "api"


def test_a_target_that_speaks_in_time_gets_none() -> None:
    stage = world()
    stage.first_token(stage.start().attempt_id, after_s=0.3)
    assert stage.controller.next_wakeup(stage.now) is None


def test_the_first_that_speaks_has_the_request_and_the_other_is_cancelled() -> None:
    for winner in (0, 1):
        stage = world()
        attempts = race(stage)
        assert stage.tell(FirstToken(attempt_id=attempts[winner])) == [CancelAttempt(attempt_id=attempts[1 - winner])]
        assert stage.tell(Finished(attempt_id=attempts[1 - winner])) == []
        end = only_end(stage.finish(attempts[winner]))
        assert isinstance(end, Complete)
        assert end.attempt_id == attempts[winner]
        assert stage.controller.open_requests == 0


def test_a_whole_answer_without_a_first_token_wins_too() -> None:
    stage = world()
    first, second = race(stage)
    cancel, end = stage.finish(second)
    assert cancel == CancelAttempt(attempt_id=first)
    assert isinstance(end, Complete)


def test_a_failure_never_wins_and_the_other_goes_on_alone() -> None:
    for kind in (FailureKind.SERVER_ERROR, FailureKind.BAD_REQUEST):
        for loser in (0, 1):
            stage = world()
            attempts = race(stage)
            assert stage.tell(Failed(attempt_id=attempts[loser], kind=kind)) == []
            assert stage.tell(FirstToken(attempt_id=attempts[1 - loser])) == []
            assert isinstance(only_end(stage.finish(attempts[1 - loser])), Complete)


def test_when_both_fail_the_request_is_tried_again() -> None:
    stage = world("api", "other")
    first, second = race(stage)
    asked = {a.target.spec.target_id for a in stage.controller._dispatch.attempts.values()}
    stage.fail(first, FailureKind.CONNECT)
    third = only_start(stage.fail(second, FailureKind.CONNECT)).target_id
    assert {*asked, third} == {"gpu", "api", "other"}


def test_a_client_that_leaves_ends_both() -> None:
    stage = world()
    first, second = race(stage)
    commands = stage.tell(ClientGone(request_id="r1"))
    assert commands[:2] == [CancelAttempt(attempt_id=first), CancelAttempt(attempt_id=second)]
    end = only_end(commands)
    assert isinstance(end, Complete)
    assert end.attempt_id == second
    assert all(not target.running for target in stage.controller.targets.values())


def test_two_silent_targets_are_not_the_end_the_older_gives_its_place_to_a_third() -> None:
    stage = world("api", "other")
    first, second = race(stage)
    cancel, start = stage.tick_until_something_happens()
    assert cancel == CancelAttempt(attempt_id=first)
    third = only_start([start])
    assert {third.target_id, stage.controller._dispatch.attempts[second].target.spec.target_id} == {"api", "other"}
    assert stage.tell(FirstToken(attempt_id=second)) == [CancelAttempt(attempt_id=third.attempt_id)]


def test_a_slot_that_a_race_leaves_goes_to_who_waits() -> None:
    stage = World(local(slots=1), cloud(slots=1), routes=(route(("gpu",), ("api",), ttft_s=SLO_S, deadline_s=500.0),))
    first, second = race(stage)
    assert stage.arrive("r2") == []
    cancel, start = stage.tell(FirstToken(attempt_id=second))
    assert cancel == CancelAttempt(attempt_id=first)
    assert (only_start([start]).request_id, only_start([start]).target_id) == ("r2", "gpu")


def test_without_another_target_silence_changes_nothing() -> None:
    stage = World(local(), routes=(route(("gpu",)),))
    stage.start()
    assert stage.controller.next_wakeup(stage.now) is None


def test_while_no_other_target_may_take_it_it_is_looked_at_more_and_more_seldom() -> None:
    stage = world()
    stage.start(local_only=True)
    gaps = []
    for _ in range(30):
        before = stage.now
        assert stage.tick() == []
        gaps.append(stage.now - before)
    assert gaps[-1] > 10 * gaps[2] >= 1.0


def test_the_retry_budget_bounds_the_races() -> None:
    made = route(("gpu",), ("api",), ttft_s=SLO_S)
    stage = World(local(slots=50), cloud(), routes=(made,), retry=RetryPolicy(share=0.0, min_per_s=0.3))
    for n in range(20):
        stage.start(f"r{n}")
    rivals = sum((len(starts(stage.tick())) for _ in range(20)), 0)
    assert rivals == 3


# -- what keep-alives say


def test_keep_alives_make_the_target_slower_in_the_eyes_of_all_that_come_after() -> None:
    stage = world()
    first = stage.start("r1")
    assert stage.tell(Queued(attempt_id=first.attempt_id), after_s=0.1) == []
    assert stage.start("r2").target_id == "gpu"
    stage.now += 1.0
    assert stage.controller.targets["gpu"].ttft_s(10, stage.now) == pytest.approx(1.1)
    stage.first_token(first.attempt_id, after_s=0.1)
    assert stage.controller.targets["gpu"].queued_since is None


def test_an_attempt_that_waits_there_is_the_loser_s_failure_and_one_that_was_only_slow_is_none() -> None:
    for keep_alive, opens in ((True, True), (False, False)):
        made = route(("gpu",), ("api",), ttft_s=SLO_S)
        stage = World(local(), cloud(), routes=(made,), breaker=BreakerPolicy(min_count=1))
        first = stage.start()
        if keep_alive:
            stage.tell(Queued(attempt_id=first.attempt_id))
        rival = only_start(stage.tick_until_something_happens())
        stage.tell(FirstToken(attempt_id=rival.attempt_id), after_s=0.2)
        assert (stage.controller.targets["gpu"].breaker.refusal(stage.now) is not None) is opens
        assert stage.controller.targets["gpu"].ttft_s(10, stage.now) > 0.6  # either way it would have taken longer


def test_keep_alives_of_a_first_token_or_of_nobody_change_nothing() -> None:
    stage = world()
    first = stage.start()
    stage.first_token(first.attempt_id)
    assert stage.tell(Queued(attempt_id=first.attempt_id)) == []
    assert stage.tell(Queued(attempt_id=77)) == []
    assert stage.controller.targets["gpu"].queued_since is None


def test_a_failed_attempt_waits_there_no_longer() -> None:
    stage = world()
    first = stage.start()
    stage.tell(Queued(attempt_id=first.attempt_id))
    stage.fail(first.attempt_id)
    assert stage.controller.targets["gpu"].queued_since is None


def test_keep_alives_of_a_request_that_is_late_already_send_it_elsewhere_at_once() -> None:
    stage = world()
    first = stage.start(ttft_slo_s=0.3)
    rival = only_start(stage.tell(Queued(attempt_id=first.attempt_id), after_s=0.31))
    assert rival.target_id == "api"


def test_where_the_other_target_never_could_have_been_in_time_it_is_asked_once_the_token_is_late() -> None:
    made = route(("gpu",), ("api",), ttft_s=SLO_S)
    stage = World(local(), cloud(ttft_s=5.0), routes=(made,))
    began = stage.now
    stage.start()
    stage.tick_until_something_happens()
    assert stage.now - began == pytest.approx(SLO_S)


# -- answers in one piece, and hedging


@pytest.mark.parametrize(
    ("wish", "streams_whole", "is_watched"),
    [
        ({"is_stream": True}, False, True),
        ({"is_stream": False}, True, True),
        ({"is_stream": False}, False, False),
        ({"surface": Surface.EMBEDDINGS}, True, False),
    ],
)
def test_only_of_tokens_that_can_be_seen_silence_says_something(
    wish: dict[str, object], streams_whole: bool, is_watched: bool
) -> None:
    surfaces = (Surface.CHAT, Surface.EMBEDDINGS)
    home = local(streams_whole=streams_whole, surfaces=surfaces)
    stage = World(home, cloud(surfaces=surfaces), routes=(route(("gpu",), ("api",)),))
    stage.tell(Arrived(request_id="r1", model="m", prompt_tokens=10, **wish))  # type: ignore[arg-type]
    assert (stage.controller.next_wakeup(stage.now) is not None) is is_watched


@pytest.mark.parametrize("wish", [{"is_stream": False}, {"surface": Surface.EMBEDDINGS}])
def test_an_answer_in_one_piece_is_raced_for_once_its_target_says_that_it_waits(wish: dict[str, object]) -> None:
    surfaces = (Surface.CHAT, Surface.EMBEDDINGS)
    home = local(streams_whole=False, surfaces=surfaces)
    stage = World(home, cloud(surfaces=surfaces), routes=(route(("gpu",), ("api",), ttft_s=SLO_S),))
    began = stage.now
    stage.tell(Arrived(request_id="r1", model="m", prompt_tokens=10, **wish))  # type: ignore[arg-type]
    assert stage.tell(Queued(attempt_id=1), after_s=0.1) == []
    rival = only_start(stage.tick_until_something_happens())
    assert (rival.target_id, rival.spill) == ("api", Spill.SILENT)
    assert stage.now - began == pytest.approx(SLO_S - 0.5 - 0.02)
    cancel, end = stage.finish(rival.attempt_id)
    assert cancel == CancelAttempt(attempt_id=1)
    assert isinstance(end, Complete)
    assert stage.controller.next_wakeup(stage.now) is None


def test_where_there_is_no_other_target_an_answer_in_one_piece_is_waited_for() -> None:
    stage = World(local(streams_whole=False), routes=(route(("gpu",), ttft_s=SLO_S),))
    stage.tell(Arrived(request_id="r1", model="m", prompt_tokens=10, is_stream=False))
    assert stage.tell(Queued(attempt_id=1)) == []
    assert stage.controller.next_wakeup(stage.now) is None


def test_a_route_that_hedges_asks_a_second_target_early_and_blames_nobody() -> None:
    stage = world(hedge_after_s=0.4)
    began = stage.now
    first = stage.start()
    rival = only_start(stage.tick_until_something_happens())
    assert stage.now - began == pytest.approx(0.4)
    assert rival.spill is Spill.HEDGED
    stage.tell(FirstToken(attempt_id=rival.attempt_id))
    assert stage.controller.targets["gpu"].breaker.refusal(stage.now) is None
    assert first.target_id == "gpu"


def test_asking_again_where_it_failed_costs_budget_and_waits_for_it() -> None:
    retry = RetryPolicy(share=0.0, min_per_s=0.1, window_s=10.0)
    stage = World(local(slots=9), routes=(route(("gpu",), deadline_s=300.0, max_attempts=16),), retry=retry)
    asked = 0
    attempt = stage.start().attempt_id
    began = stage.now
    while stage.now < began + 60.0:
        found = starts(stage.fail(attempt, FailureKind.OVERLOADED))
        while not found:
            found = starts(stage.tick())
        asked += 1
        attempt = found[0].attempt_id
        stage.controller.targets["gpu"].breaker.reset()
    assert 5 <= asked <= 7
