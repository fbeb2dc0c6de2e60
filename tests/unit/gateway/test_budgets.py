"""Budgets over restarts and reloads, and what a client sees of a limit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import (
    ENVIRON,
    address_of,
    attach,
    chat,
    config_of,
    fake_engine,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import run, until
from tests.support.raw_client import ask, get
from tests.unit.core.making import cloud, policy, route
from tests.unit.ledger.sample_records import a_request, an_attempt

from overspill.core.events import AnyEvent, ClockRead, SpentBefore
from overspill.core.types import Budget, Client, Limits, Policy, Scope, Shared, Window
from overspill.gateway.budgets import BudgetKey, budgets_in, spent_before
from overspill.ledger.store import LedgerStore

NOON = 1_700_049_600.0
ALICE = (("authorization", "Bearer sk-gate"),)
KEY = {"key": "env:GATE_KEY", "name": "alice"}


def usd(amount: float, *windows: Window) -> Limits:
    return Limits(budgets=tuple(Budget(usd=amount, window=window) for window in windows))


def limited() -> Policy:
    return policy(
        cloud(account="cloud/main"),
        routes=(route(("api",), limits=usd(1.0, Window.DAY)),),
        clients=(
            Client(key_id="alice", team="red", limits=usd(1.0, Window.HOUR, Window.DAY)),
            Client(key_id="bob", team="red"),
            Client(key_id="carol", limits=Limits(concurrency=1)),
        ),
        teams=(Shared(name="red", limits=usd(1.0, Window.DAY)),),
        accounts=(Shared(name="cloud/main", limits=usd(1.0, Window.MONTH)),),
    )


def test_every_budget_of_a_policy_is_found() -> None:
    assert budgets_in(limited()) == {
        BudgetKey(Scope.KEY, "alice", Window.HOUR),
        BudgetKey(Scope.KEY, "alice", Window.DAY),
        BudgetKey(Scope.TEAM, "red", Window.DAY),
        BudgetKey(Scope.MODEL, "m", Window.DAY),
        BudgetKey(Scope.ACCOUNT, "cloud/main", Window.MONTH),
    }


def test_what_was_spent_in_the_present_window_is_read_from_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = LedgerStore.open(path)
    spent = [("alice", NOON - 90_000.0, 8.0), ("alice", NOON - 60.0, 2.0), ("alice", NOON + 5.0, 1.0)]
    spent += [("bob", NOON - 60.0, 4.0), ("zed", NOON - 60.0, 16.0)]
    requests = [a_request(n, arrived_at=at, key_id=key, route="m", cost_usd=c) for n, (key, at, c) in enumerate(spent)]
    targets = ("cloud/main/m", "cloud/main", "cloud/mainz/m", "cloud/main/n", "cloud/other/m")
    attempts = [
        an_attempt(n, started_at=at, target_id=target, cost_usd=c)
        for n, (target, (_, at, c)) in enumerate(zip(targets, spent, strict=True))
    ]
    store.write(requests, attempts)
    store.close()
    found = spent_before(path, limited(), budgets_in(limited()), NOON + 10.0)
    assert {(e.scope, e.name, e.window): e.usd for e in found} == {
        (Scope.KEY, "alice", Window.HOUR): 1.0,
        (Scope.KEY, "alice", Window.DAY): 3.0,
        (Scope.TEAM, "red", Window.DAY): 7.0,
        (Scope.MODEL, "m", Window.DAY): 23.0,
        (Scope.ACCOUNT, "cloud/main", Window.MONTH): 14.0,
    }
    assert spent_before(path, limited(), budgets_in(limited()), NOON + 90_000_000.0) == []
    assert spent_before(tmp_path / "none.db", limited(), budgets_in(limited()), NOON) == []
    assert spent_before(path, limited(), frozenset(), NOON) == []


def cheap_cloud(url: str) -> dict[str, Any]:
    return upstream(url, price={"input": 0.001, "output": 1000.0})  # a token of an answer is a tenth of a cent


def test_a_spent_budget_stays_spent_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"cloud": cheap_cloud(url_of(engine))}
            keys = {"api_keys": [{**KEY, "budget": {"month": 0.01}}]}
            text = text_of(pools, path=path, server=keys)
            async with serving(text) as gateway:
                first = await ask(address_of(gateway), chat(max_tokens=8), headers=ALICE)
                assert first.status == 200
            async with serving(text) as gateway:
                refused = await ask(address_of(gateway), chat(max_tokens=8), headers=ALICE)
                assert (refused.status, refused.error["type"], refused.error["code"]) == (
                    429,
                    "insufficient_quota",
                    "budget_exceeded",
                )
                assert "the budget of key 'alice' has $0.0020 left of $0.01 per month" in refused.error["message"]
                assert refused.headers["x-overspill-limit"] == "key/money"
                assert int(refused.headers["retry-after"]) >= 1
                small = await ask(address_of(gateway), chat(max_tokens=1), headers=ALICE)
                assert small.status == 200

    run(main())


def test_a_budget_that_a_reload_brings_knows_what_was_spent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    seen: list[AnyEvent] = []

    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"cloud": cheap_cloud(url_of(engine))}
            free = text_of(pools, path=path, server={"api_keys": [KEY]})
            bound = text_of(pools, path=path, server={"api_keys": [{**KEY, "budget": {"month": 0.01}}]})
            async with serving(free, recorder=lambda now, event, commands: seen.append(event)) as gateway:
                assert (await ask(address_of(gateway), chat(max_tokens=8), headers=ALICE)).status == 200
                assert gateway.ledger is not None
                ledger = gateway.ledger
                await until(lambda: ledger.written >= 2)
                gateway.reload(config_of(bound))
                await until(lambda: any(isinstance(event, SpentBefore) for event in seen))
                assert (await ask(address_of(gateway), chat(max_tokens=8), headers=ALICE)).status == 429
                told = len(seen)
                gateway.reload(config_of(bound))
                assert not any(isinstance(event, SpentBefore) for event in seen[told:])

    run(main())
    told = [event for event in seen if isinstance(event, SpentBefore)]
    assert [(e.scope, e.name, e.window, round(e.usd, 4)) for e in told] == [(Scope.KEY, "alice", Window.MONTH, 0.008)]


def test_a_ledger_that_cannot_be_read_is_said_and_new_budgets_begin_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"cloud": cheap_cloud(url_of(engine))}
            free = text_of(pools, path=path, server={"api_keys": [KEY]})
            bound = text_of(pools, path=path, server={"api_keys": [{**KEY, "budget": {"month": 0.01}}]})
            async with serving(free) as gateway:
                path.write_bytes(b"no database at all" * 1000)
                for extra in ("-wal", "-shm"):
                    (tmp_path / f"ledger.db{extra}").unlink(missing_ok=True)
                gateway.reload(config_of(bound))
                await until(lambda: "so they begin full" in caplog.text)
                assert (await ask(address_of(gateway), chat(max_tokens=1), headers=ALICE)).status == 200

    run(main())


def test_the_time_of_day_is_told_where_money_is_limited_and_again_when_the_clock_jumps() -> None:
    seen: list[AnyEvent] = []

    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"cloud": cheap_cloud(url_of(engine))}
            text = text_of(pools, server={"api_keys": [{**KEY, "budget": {"day": 5}}]})
            async with serving(text, recorder=lambda now, event, commands: seen.append(event)) as gateway:
                for _ in range(3):
                    gateway.driver.tell_time()
                gateway.driver._wall_clock = lambda: time.time() + 7200.0
                gateway.driver.tell_time()
            async with serving(text_of(pools), recorder=lambda now, event, commands: seen.append(event)):
                pass

    run(main())
    told = [event.unix_s for event in seen if isinstance(event, ClockRead)]
    assert len(told) == 2
    assert 7190.0 < told[1] - told[0] < 7260.0


def test_a_key_over_its_rate_is_told_which_limit_it_was() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            keys = {"api_keys": [{**KEY, "limits": {"requests_per_minute": 1}}]}
            async with serving(text_of({"local": attach(url_of(engine))}, server=keys)) as gateway:
                address = address_of(gateway)
                assert (await ask(address, chat(max_tokens=1), headers=ALICE)).status == 200
                refused = await ask(address, chat(max_tokens=1), headers=ALICE)
                assert (refused.status, refused.error["type"], refused.error["code"]) == (
                    429,
                    "rate_limit_error",
                    "rate_limit_exceeded",
                )
                assert refused.headers["x-ratelimit-limit-requests"] == "1"
                assert 50 <= int(refused.headers["retry-after"]) <= 60
                page = (await get(address, "/debug/route?model=m&key=alice", headers=ALICE)).json()
                (limit,) = page["limits"]
                assert limit["left"] < 1.0
                assert {**limit, "left": 0} == {
                    "of": "key",
                    "name": "alice",
                    "what": "requests",
                    "limit": 1,
                    "per": "minute",
                    "left": 0,
                }

    run(main())


def test_the_model_list_of_a_key_has_what_it_may_ask_for() -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            keys = {"api_keys": ["env:CLOUD_KEY", {**KEY, "models": ["b*"]}]}
            routes = [{"model": ["a", "b"], "tiers": [["local"]]}]
            async with serving(text_of({"local": attach(url_of(engine))}, routes, server=keys)) as gateway:
                address = address_of(gateway)
                listed = (await get(address, "/v1/models", headers=ALICE)).json()["data"]
                assert [card["id"] for card in listed] == ["b"]
                all_ = (("authorization", f"Bearer {ENVIRON['CLOUD_KEY']}"),)
                assert len((await get(address, "/v1/models", headers=all_)).json()["data"]) == 2
                refused = await ask(address, chat("a", max_tokens=1), headers=ALICE)
                assert (refused.status, refused.error["code"]) == (403, "model_not_allowed")

    run(main())
