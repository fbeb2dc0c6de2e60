"""A stream that broke off goes on where the same weights were seen to go on; in every other case its request ends."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.making import World, cloud, local

from overspill.core.commands import AnyCommand, Complete, Reject, StartAttempt
from overspill.core.events import (
    ClientGone,
    Cut,
    Failed,
    Finished,
    FirstToken,
    PolicyChanged,
    TargetChanged,
    TargetVerified,
    Tick,
)
from overspill.core.rescue import weights_of
from overspill.core.types import (
    Continues,
    FailureKind,
    Health,
    Outcome,
    Policy,
    RejectReason,
    RescuePolicy,
    RescueRefusal,
    Route,
    RouteTarget,
    Spill,
)

K = FailureKind
R = RescueRefusal
CUT = Cut(output_tokens=20)
THOUGHT = Cut(output_tokens=20, has_reasoning=True)


def place(target_id: str, weights: str = "w") -> RouteTarget:
    return RouteTarget(target_id=target_id, model=f"{target_id}-model", weights=weights)


def way(*tiers: tuple[RouteTarget, ...], **rest: Any) -> Route:
    return Route(pattern="m", tiers=tiers, **rest)


def world(*, verified: Continues | None = Continues.REASONING, **rest: Any) -> World:
    """Make two local engines with the same weights."""
    made = World(local("a", 4), local("b", 4), routes=(way((place("a"), place("b")), **rest),))
    if verified is not None:
        for name in ("a", "b"):
            made.tell(TargetVerified(target_id=name, model=f"{name}-model", continues=verified))
    return made


def broke(made: World, start: StartAttempt, cut: Cut | None = CUT, kind: FailureKind = K.CUT) -> list[AnyCommand]:
    """Let an attempt speak and then break off."""
    made.tell(FirstToken(attempt_id=start.attempt_id), 0.2)
    return made.tell(Failed(attempt_id=start.attempt_id, kind=kind, output_tokens=20, cut=cut), 1.0)


def resumed(commands: list[AnyCommand]) -> StartAttempt:
    (start,) = commands
    assert isinstance(start, StartAttempt)
    assert start.resumes
    return start


def unrescued(commands: list[AnyCommand]) -> RescueRefusal | None:
    (complete,) = commands
    assert isinstance(complete, Complete)
    assert complete.outcome is Outcome.BROKEN
    assert complete.failure is not None
    return complete.unrescued


def test_another_replica_goes_on_at_once() -> None:
    made = world()
    first = made.start()
    assert not first.resumes
    second = resumed(broke(made, first))
    assert {first.target_id, second.target_id} == {"a", "b"}
    assert second.spill is None
    assert made.controller.targets[second.target_id].prefill_tokens == 10 + 20
    (complete,) = made.tell(Finished(attempt_id=second.attempt_id, prompt_tokens=30, output_tokens=5), 1.0)
    assert complete == Complete(request_id="r1", outcome=Outcome.COMPLETED, attempt_id=second.attempt_id)


def test_streams_are_kept_wherever_somebody_could_go_on_with_them() -> None:
    home, away = (place("a"), place("b", "v")), (place("c"), place("gone"))
    targets = (local("a", 4), local("b", 4), cloud("c"))
    made = World(*targets, routes=(way(home, away),))
    kept = {name: target.kept_for for name, target in made.controller.targets.items()}
    assert not any(kept.values())
    made.tell(TargetVerified(target_id="b", model="another", continues=Continues.REASONING))
    made.tell(TargetVerified(target_id="c", model="c-model", continues=Continues.NOTHING))
    assert not made.start().is_kept
    made.tell(TargetVerified(target_id="c", model="c-model", continues=Continues.CONTENT))
    assert {name: set(target.kept_for) for name, target in made.controller.targets.items()} == {
        "a": {"m"},
        "b": set(),
        "c": {"m"},
    }
    off = Policy(targets=targets, routes=(way(home, away, rescue=RescuePolicy.OFF),))
    made.tell(PolicyChanged(policy=off))
    assert not any(target.kept_for for target in made.controller.targets.values())


def test_a_reload_does_not_change_what_a_running_answer_is_made_of() -> None:
    made = world()
    first = made.start()
    targets = (local("a", 4), local("b", 4))
    made.tell(PolicyChanged(policy=Policy(targets=targets, routes=(way((place("a", "new"), place("b", "new"))),))))
    assert unrescued(broke(made, first)) is R.OTHER_WEIGHTS


def test_one_target_may_have_several_models() -> None:
    two = RouteTarget(target_id="a", model="small", weights="s"), RouteTarget(target_id="a", model="large", weights="l")
    assert [weights_of(way(two), "a", model) for model in ("small", "large", "other")] == ["s", "l", ""]


def test_half_an_answer_makes_no_room_for_a_newcomer() -> None:
    made = World(local("a", 1), routes=(way((place("a"),), queue_limit=1),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start(priority=2)
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    assert broke(made, first) == []
    (rejected,) = made.arrive("r2", priority=0)
    assert rejected == Reject(
        request_id="r2", reason=RejectReason.QUEUE_FULL, outcome=Outcome.REJECTED, retry_after_s=5.0
    )


def test_a_killed_engine_goes_on_when_it_is_back() -> None:
    made = World(local("a", 4), routes=(way((place("a"),)),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start()
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    assert broke(made, first) == []
    commands = made.tell(TargetChanged(target_id="a", health=Health.READY), 0.1)
    if not commands:  # it is given the back-off of its failure first
        made.now = made.controller.next_wakeup(made.now) or 0.0
        commands = made.tell(Tick())
    assert resumed(commands).target_id == "a"


def test_a_client_does_not_wait_longer_than_the_route_says() -> None:
    made = World(local("a", 4), routes=(way((place("a"),), rescue_wait_s=3.0),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start()
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    assert broke(made, first) == []
    at = made.controller.next_wakeup(made.now)
    assert at == pytest.approx(made.now + 3.0)
    made.now = at or 0.0
    assert unrescued(made.tell(Tick())) is R.NO_TARGET
    assert made.controller.open_requests == 0


def test_a_target_that_is_still_being_looked_at_is_waited_for() -> None:
    made = World(local("a", 4, ttft_s=0.1), local("b", 4, ttft_s=0.5), routes=(way((place("a"), place("b"))),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start()
    made.tell(TargetChanged(target_id="a", health=Health.BROKEN))
    assert broke(made, first) == []
    assert made.tell(TargetVerified(target_id="nobody", model="m", continues=Continues.CONTENT)) == []
    commands = made.tell(TargetVerified(target_id="b", model="b-model", continues=Continues.CONTENT))
    assert resumed(commands).target_id == "b"


def test_a_thought_goes_on_only_where_thoughts_do() -> None:
    made = world(verified=Continues.CONTENT)
    assert unrescued(broke(made, made.start(), THOUGHT)) is R.OTHER_WEIGHTS
    made = world()
    assert resumed(broke(made, made.start(), THOUGHT))


def test_other_weights_do_not_go_on_and_their_place_away_from_home_is_a_spill() -> None:
    home, away = (place("a"),), (place("b", "v"), place("c"))
    made = World(local("a", 4), cloud("b", ttft_s=0.1), cloud("c"), routes=(way(home, away),))
    for name in "abc":
        made.tell(TargetVerified(target_id=name, model=f"{name}-model", continues=Continues.REASONING))
    start = resumed(broke(made, made.start()))
    assert (start.target_id, start.spill) == ("c", Spill.STREAM_BROKE)
    made = World(local("a", 4), cloud("b"), routes=(way((place("a", ""),), (place("b", ""),)),))
    assert unrescued(broke(made, made.start())) is R.OTHER_WEIGHTS


def test_what_must_stay_at_home_does() -> None:
    made = World(local("a", 4), cloud("b"), routes=(way((place("a"),), (place("b"),), rescue_wait_s=1.0),))
    for name in "ab":
        made.tell(TargetVerified(target_id=name, model=f"{name}-model", continues=Continues.REASONING))
    first = made.start(local_only=True)
    made.tell(TargetChanged(target_id="a", health=Health.BROKEN))
    assert unrescued(broke(made, first)) is R.NO_TARGET


@pytest.mark.parametrize(
    ("cut", "kind", "reason"),
    [
        (None, K.CUT, R.UNVERIFIED),
        (Cut(output_tokens=20, refusal=R.TOOL_CALL), K.CUT, R.TOOL_CALL),
        (CUT, K.MODERATION, R.MODERATION),
        (CUT, K.BAD_REQUEST, R.REFUSED),
        (CUT, K.DIVERGED, R.DIVERGED),
    ],
)
def test_what_is_not_continued_ends_the_request(cut: Cut | None, kind: FailureKind, reason: RescueRefusal) -> None:
    made = world()
    assert unrescued(broke(made, made.start(), cut, kind)) is reason


def test_a_route_may_want_no_rescue() -> None:
    made = world(rescue=RescuePolicy.OFF)
    assert unrescued(broke(made, made.start())) is R.OFF


def test_a_continuation_that_fails_before_it_adds_anything_is_tried_elsewhere_and_at_last_given_up() -> None:
    made = world(max_attempts=3)
    second = resumed(broke(made, made.start()))
    made.tell(TargetChanged(target_id="a", health=Health.READY))
    commands = made.tell(Failed(attempt_id=second.attempt_id, kind=K.CONNECT), 5.0)
    third = resumed(commands)
    assert third.target_id != second.target_id
    assert unrescued(made.tell(Failed(attempt_id=third.attempt_id, kind=K.CUT), 5.0)) is R.ATTEMPTS_EXHAUSTED


def test_a_busy_target_is_asked_again_until_the_client_has_waited_long_enough() -> None:
    made = world(max_attempts=1, rescue_wait_s=20.0)
    first = made.start()
    second = resumed(broke(made, first, kind=K.OVERLOADED))
    assert made.tell(Failed(attempt_id=second.attempt_id, kind=K.OVERLOADED, retry_after_s=15.0)) == []
    made.now = made.controller.next_wakeup(made.now) or 0.0
    assert resumed(made.tell(Tick())).target_id == first.target_id


def test_a_second_break_is_continued_with_all_that_was_written() -> None:
    made = world()
    second = resumed(broke(made, made.start()))
    third = resumed(broke(made, second, Cut(output_tokens=50)))
    assert made.controller.targets[third.target_id].prefill_tokens == 10 + 50


def test_half_an_answer_that_nobody_kept_is_not_continued() -> None:
    made = world()
    second = resumed(broke(made, made.start()))
    assert unrescued(broke(made, second, None)) is R.UNVERIFIED


def test_an_answer_too_long_for_the_context_is_not_continued() -> None:
    made = World(local("a", 4, context_tokens=100), routes=(way((place("a"),)),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.REASONING))
    assert unrescued(broke(made, made.start(), Cut(output_tokens=95))) is R.CONTEXT_TOO_LONG


def test_a_client_that_leaves_while_it_waits_is_gone() -> None:
    made = World(local("a", 4), routes=(way((place("a"),)),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start()
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    broke(made, first)
    (complete,) = made.tell(ClientGone(request_id="r1"))
    assert isinstance(complete, Complete)
    assert complete.outcome is Outcome.CLIENT_GONE
    assert made.controller.next_wakeup(made.now) is None


def test_a_route_that_is_gone_ends_what_waits_as_broken() -> None:
    made = World(local("a", 4), routes=(way((place("a"),)),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    first = made.start()
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    broke(made, first)
    commands = made.tell(PolicyChanged(policy=Policy(targets=(local("a", 4),), routes=())))
    assert unrescued(commands) is R.NO_TARGET


def test_a_full_queue_does_not_send_away_who_has_half_an_answer() -> None:
    made = World(local("a", 1), routes=(way((place("a"),), queue_limit=0),))
    made.tell(TargetVerified(target_id="a", model="a-model", continues=Continues.CONTENT))
    assert broke(made, made.start()) == []
    assert made.controller.open_requests == 1


def test_what_was_seen_of_a_target_stays_over_a_restart() -> None:
    made = world()
    made.tell(TargetChanged(target_id="a", health=Health.DOWN))
    made.tell(TargetChanged(target_id="a", health=Health.READY))
    assert made.controller.targets["a"].continues == {"a-model": Continues.REASONING}
