"""Keys, teams, rates and budgets for the random lives of a controller, and what must be true of them at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from overspill.core.controller import Controller
from overspill.core.events import AnyEvent, Arrived, ClockRead, SpentBefore
from overspill.core.types import Budget, Client, Limits, Policy, Scope, Shared, TargetSpec, Window

if TYPE_CHECKING:
    from tests.property.controller_scripts import Choices

KEYS = ("", "", "alice", "bob", "carol")
ACCOUNTS = ("one", "two")
_WINDOWS = tuple(Window)
_NOON = 1_700_049_600.0


def with_limits(choose: Choices, policy: Policy) -> Policy:
    """Limit a policy in one of many ways; half of them not at all."""
    if choose.below(2) == 0:
        return policy
    return msgspec.structs.replace(
        policy,
        targets=tuple(_target(choose, spec) for spec in policy.targets),
        routes=tuple(msgspec.structs.replace(route, limits=_limits(choose)) for route in policy.routes),
        clients=tuple(_client(choose, key) for key in KEYS[1:] if choose.below(3)),
        teams=(Shared(name="red", limits=_limits(choose) or Limits()),),
        accounts=tuple(
            Shared(name=name, limits=Limits(budgets=_budgets(choose))) for name in ACCOUNTS if choose.below(2)
        ),
        reserved=choose.of(((), (), (1,), (1, 1), (9, 0))),
    )


def _target(choose: Choices, spec: TargetSpec) -> TargetSpec:
    if spec.is_local:
        return spec
    return msgspec.structs.replace(
        spec,
        account=choose.of(("", *ACCOUNTS)),
        limits=_limits(choose),
        is_adaptive=choose.below(3) == 2,
    )


def _client(choose: Choices, key_id: str) -> Client:
    return Client(
        key_id=key_id,
        team=choose.of(("", "red", "blue")),
        weight=choose.of((1.0, 1.0, 3.0, 0.25)),
        local_only=choose.below(6) == 5,
        models=choose.of(((), (), ("alpha*",), ("beta", "nobody's"))),
        limits=_limits(choose),
    )


def _limits(choose: Choices) -> Limits | None:
    if choose.below(3) == 0:
        return None
    return Limits(
        requests_per_minute=choose.of((None, 6.0, 60.0, 600.0)),
        tokens_per_minute=choose.of((None, None, 600.0, 60_000.0)),
        burst_s=choose.of((60.0, 1.0, 10.0)),
        concurrency=choose.of((None, None, 1, 3)),
        budgets=_budgets(choose),
    )


def _budgets(choose: Choices) -> tuple[Budget, ...]:
    usd = choose.of((None, None, 1e-4, 0.01, 5.0))
    return () if usd is None else (Budget(usd=usd, window=choose.of(_WINDOWS)),)


def world_event(choose: Choices, now: float) -> AnyEvent:
    """Tell the time of day, which may jump, or what was spent before."""
    if choose.below(2):
        return ClockRead(unix_s=_NOON + now + choose.of((0.0, 0.0, 3600.0, -86_400.0, 2_700_000.0)))
    scope, name = choose.of(
        ((Scope.KEY, "alice"), (Scope.TEAM, "red"), (Scope.MODEL, "*"), (Scope.ACCOUNT, "one"), (Scope.KEY, "nobody"))
    )
    return SpentBefore(scope=scope, name=name, window=choose.of(_WINDOWS), usd=choose.of((0.0, 1e-4, 3.0)))


def is_bound(policy: Policy, arrived: Arrived) -> bool:
    """Say whether the policy keeps this request's key at local targets."""
    return any(client.local_only and client.key_id == arrived.key_id for client in policy.clients)


def check_nothing_is_held(controller: Controller) -> None:
    """Check, once every request has its answer, that no place is taken, no money set aside and nobody waits."""
    dispatch = controller._dispatch
    for meter in dispatch.limiter._meters.values():
        assert meter.slots is None or meter.slots.used == 0
        assert all(abs(purse._reserved_usd) < 1e-9 for purse in meter.purses)
    assert dispatch.queue.live == 0
    assert dispatch.queue.fairness._shares == {}


def check_places(controller: Controller) -> None:
    """Check that no holder has more places in use than requests that are open."""
    for meter in controller._dispatch.limiter._meters.values():
        if meter.slots is not None:
            assert 0 <= meter.slots.used <= controller.open_requests
