"""Which limits hold a request, that all or none are taken, and which one says no."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.core.making import policy, route

from overspill.core.limits import Allowance, Denial, Limiter, denial, money_denial, reserve
from overspill.core.types import Budget, Client, Limits, Policy, Resource, Route, Scope, Shared, Window

ROUTE = route(("gpu",))


def limiter(**rest: Any) -> Limiter:
    made = Limiter()
    made.adopt(limiting(**rest))
    return made


def limiting(model: Limits | None = None, **rest: Any) -> Policy:
    held = msgspec.structs.replace(ROUTE, limits=model)
    return msgspec.structs.replace(policy(routes=(held,)), **rest)


def key(name: str = "alice", team: str = "", **limits: Any) -> Client:
    return Client(key_id=name, team=team, limits=Limits(**limits) if limits else None)


def allowance(made: Limiter, name: str = "alice", at: Route = ROUTE) -> Allowance:
    found = made.allowance_of(name, at)
    assert found is not None
    return found


def who(found: Denial | None) -> tuple[Scope, str, Resource] | None:
    return None if found is None else (found.hit.scope, found.hit.name, found.hit.resource)


def test_where_nothing_is_limited_there_is_no_allowance() -> None:
    assert limiter().allowance_of("alice", ROUTE) is None
    made = limiter(clients=(key("bob", requests_per_minute=1),))
    assert made.allowance_of("alice", ROUTE) is None
    assert made.client("alice") is None
    assert made.client("bob") is not None


def test_a_request_is_held_to_its_key_its_team_and_its_model() -> None:
    made = limiter(
        clients=(key("alice", "red", requests_per_minute=60), key("bob", "red"), key("carol")),
        teams=(Shared(name="red", limits=Limits(tokens_per_minute=60)),),
        model=Limits(concurrency=2),
    )
    names = [[(s, n) for s, n, _ in allowance(made, name).holders] for name in ("alice", "bob", "carol")]
    model = (Scope.MODEL, ROUTE.pattern)
    assert names == [[(Scope.KEY, "alice"), (Scope.TEAM, "red"), model], [(Scope.TEAM, "red"), model], [model]]
    assert made.allowance_of("alice", ROUTE) is made.allowance_of("alice", ROUTE)


def test_each_limit_says_no_and_when_it_would_not() -> None:
    made = limiter(clients=(key(requests_per_minute=60, burst_s=1.0, tokens_per_minute=6000, concurrency=3),))
    held = allowance(made)
    assert denial(held, 10.0, 0.0) is None
    first = reserve(held, 100.0, 0.0)
    found = denial(held, 10.0, 0.0)
    assert who(found) == (Scope.KEY, "alice", Resource.REQUESTS)
    assert found is not None
    assert (found.ready_at, found.hit.amount, found.hit.left) == (1.0, 60, 0.0)
    found = denial(held, 1000.0, 1.5)  # more than the burst: when the bucket is full
    assert found is None
    reserve(held, 1000.0, 1.5)
    found = denial(held, 10.0, 2.5)
    assert who(found) == (Scope.KEY, "alice", Resource.TOKENS)
    assert found is not None
    assert found.ready_at == pytest.approx(10.6)
    reserve(held, 0.0, 20.0)
    found = denial(held, 0.0, 40.0)
    assert who(found) == (Scope.KEY, "alice", Resource.CONCURRENCY)
    assert found is not None
    assert (found.hit.amount, found.ready_at) == (3, 40.0 + 10.0 / 3)
    first.used_tokens = int(100.0)
    first.settle(40.0)
    assert denial(held, 0.0, 40.0) is None


def test_the_limit_that_takes_longest_is_named_and_nothing_is_taken_by_a_refusal() -> None:
    made = limiter(
        clients=(key("alice", "red", requests_per_minute=60, burst_s=1.0),),
        teams=(Shared(name="red", limits=Limits(requests_per_minute=6, burst_s=1.0)),),
    )
    held = allowance(made)
    reserve(held, 0.0, 0.0)
    before = [meter.requests.left(0.5) for _, _, meter in held.holders if meter.requests]
    for _ in range(3):
        assert who(denial(held, 0.0, 0.5)) == (Scope.TEAM, "red", Resource.REQUESTS)
    assert [meter.requests.left(0.5) for _, _, meter in held.holders if meter.requests] == before


def test_settling_gives_back_what_was_not_used() -> None:
    made = limiter(clients=(key(tokens_per_minute=60, concurrency=1),))
    held = allowance(made)
    taken = reserve(held, 60.0, 0.0)
    taken.used_tokens = int(20.0)
    taken.settle(0.0)
    meter = held.holders[0][2]
    assert meter.tokens is not None
    assert meter.tokens.left(0.0) == 40.0
    assert meter.slots is not None
    assert meter.slots.used == 0


def test_a_reservation_outlives_the_limits_it_was_made_under() -> None:
    made = limiter(clients=(key(tokens_per_minute=60, concurrency=1),))
    taken = reserve(allowance(made), 60.0, 0.0)
    made.adopt(limiting(clients=(key(requests_per_minute=5),)))
    made.adopt(limiting(clients=(key(tokens_per_minute=60, concurrency=1),)))
    taken.used_tokens = int(10.0)
    taken.settle(1.0)
    held = allowance(made)
    assert denial(held, 60.0, 1.0) is None
    slots = held.holders[0][2].slots
    assert slots is not None
    assert slots.used == 0


def test_a_new_policy_keeps_what_was_used_of_limits_that_stay() -> None:
    made = limiter(clients=(key(requests_per_minute=1),))
    reserve(allowance(made), 0.0, 0.0)
    made.adopt(limiting(clients=(key(requests_per_minute=1),)))
    assert denial(allowance(made), 0.0, 0.0) is not None
    made.adopt(limiting(clients=(key(requests_per_minute=3),)))
    assert denial(allowance(made), 0.0, 0.0) is not None
    made.adopt(limiting())
    assert made.allowance_of("alice", ROUTE) is None
    made.adopt(limiting(clients=(key(requests_per_minute=1),)))
    assert denial(allowance(made), 0.0, 0.0) is None


def test_budgets_of_all_holders_and_of_the_account_are_asked() -> None:
    made = limiter(
        clients=(
            key("alice", "red", budgets=(Budget(usd=1.0, window=Window.HOUR), Budget(usd=5.0, window=Window.DAY))),
        ),
        teams=(Shared(name="red", limits=Limits(budgets=(Budget(usd=3.0, window=Window.DAY),))),),
        accounts=(Shared(name="cloud/main", limits=Limits(budgets=(Budget(usd=9.0, window=Window.MONTH),))),),
    )
    made.set_clock(0.0, 0.0)
    purses = (*allowance(made).purses, *made.purses_of_account("cloud/main"))
    assert [(scope, name) for scope, name, _ in purses] == [
        (Scope.KEY, "alice"),
        (Scope.KEY, "alice"),
        (Scope.TEAM, "red"),
        (Scope.ACCOUNT, "cloud/main"),
    ]
    assert made.purses_of_account("cloud/other") == ()
    assert money_denial(purses, 1.0, 0.0) is None
    made.spent_before(Scope.TEAM, "red", Window.DAY, 2.5, 0.0)
    made.spent_before(Scope.TEAM, "red", Window.MONTH, 2.5, 0.0)
    made.spent_before(Scope.TEAM, "nobody", Window.DAY, 2.5, 0.0)
    made.spent_before(Scope.KEY, "alice", Window.HOUR, 0.75, 0.0)
    found = money_denial(purses, 1.0, 0.0)
    assert found is not None
    assert (found.hit.scope, found.hit.window, found.hit.left, found.ready_at) == (
        Scope.TEAM,
        Window.DAY,
        0.5,
        86_400.0,
    )
    found = money_denial(purses, 2.0, 0.0)
    assert found is not None
    assert (found.hit.scope, found.hit.window, found.ready_at) == (Scope.KEY, Window.HOUR, float("inf"))
