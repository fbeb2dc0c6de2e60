"""What detectors let pass, and what they have not looked at: the latter stays local, also over a reload."""

from __future__ import annotations

import pytest
from tests.unit.core.making import World, cloud, local, only_end, only_start, policy, route, starts

from overspill.core.commands import Reject
from overspill.core.events import PolicyChanged
from overspill.core.types import Client, FailureKind, RejectReason


def far(screening: int = 7, **rest: object) -> World:
    """Make a world whose only target is outside, behind detectors."""
    return World(cloud(), routes=(route(("api",), screening=screening, **rest),))


@pytest.mark.parametrize(("screening", "leaves"), [(7, True), (0, False), (8, False)])
def test_only_what_the_route_s_own_detectors_have_let_pass_may_leave(screening: int, leaves: bool) -> None:
    out = far().arrive(screening=screening)
    if leaves:
        assert only_start(out).target_id == "api"
    else:
        end = only_end(out)
        assert isinstance(end, Reject)
        assert end.reason is RejectReason.NO_TARGET


def test_what_detectors_have_let_pass_for_a_route_without_any_may_leave() -> None:
    assert starts(far(screening=0).arrive(screening=7))


def test_what_was_not_looked_at_runs_at_home() -> None:
    world = World(local(), cloud(ttft_s=0.01), routes=(route(("api",), ("gpu",), screening=7),))
    assert world.start().target_id == "gpu"
    assert world.start("r2", screening=7).target_id == "api"


@pytest.mark.parametrize(("screening", "leaves"), [(7, True), (0, True), (8, False)])
def test_a_reload_with_other_detectors_binds_what_waits_and_they_have_not_looked_at(
    screening: int, leaves: bool
) -> None:
    world = far()
    attempt = world.start(screening=7).attempt_id
    assert world.fail(attempt, FailureKind.OVERLOADED) == []
    out = world.tell(PolicyChanged(policy=policy(cloud(), routes=(route(("api",), screening=screening),))))
    if leaves:
        assert only_start(world.tick_until_something_happens()).target_id == "api"
    else:
        assert isinstance(only_end(out), Reject)


def test_a_reload_without_detectors_does_not_loosen_what_was_bound() -> None:
    world = World(local(), cloud(), routes=(route(("gpu",), ("api",), screening=7),))
    first = world.start()
    assert first.target_id == "gpu"
    world.tell(PolicyChanged(policy=policy(local(), cloud(), routes=(route(("gpu",), ("api",)),))))
    assert not starts(world.fail(first.attempt_id))
    assert all(start.target_id == "gpu" for start in starts(world.tick_until_something_happens()))


def test_a_key_that_a_reload_binds_binds_what_runs_even_if_its_route_is_gone() -> None:
    world = World(cloud(), cloud("api2"), routes=(route(("api", "api2")),))
    first = world.start(key_id="ann")
    others = (route(("api", "api2"), pattern="other"),)
    bound = (Client(key_id="ann", local_only=True),)
    world.tell(PolicyChanged(policy=policy(cloud(), cloud("api2"), routes=others, clients=bound)))
    end = only_end(world.fail(first.attempt_id))
    assert isinstance(end, Reject)
    assert end.reason is RejectReason.NO_TARGET
