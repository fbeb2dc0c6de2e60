"""Hundreds of requests while everything fails now and then: nobody goes unanswered, nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import address_of, attach, chat, fake_engine, rows, serving, text_of, upstream, url_of
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, Reply

from overspill.cli.recording import Recording
from overspill.core.recording import decode_lines
from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus, KeepaliveOnly, StallAfterTokens
from overspill.gateway.rehearsal.speech import text_of as words
from overspill.gateway.relay import Relay
from overspill.gateway.service import Gateway
from overspill.gateway.session import Session
from overspill.perf.engine_model import EngineModel
from overspill.planner.replay import replay

CLIENTS = 24
MODEL = EngineModel(slots=8, step_base_s=0.001, step_s_per_running=0.0001)
FAULTS = (
    ErrorStatus(every=7, status=500),
    ErrorStatus(every=11, status=503),
    ErrorStatus(every=29, status=429, retry_after_s=1),
    ErrorStatus(every=31, status=400),
    CutAfterTokens(every=13, tokens=0),
    CutAfterTokens(every=17, tokens=3),
    StallAfterTokens(every=61, tokens=2),
    KeepaliveOnly(every=67, period_s=0.05),
)

IMPATIENT = {"first_token_timeout": "500ms", "stall_timeout": "500ms", "whole_timeout": "500ms"}


class Crowd:
    """Clients that ask, read, and sometimes leave."""

    def __init__(self, address: str, requests: int, seed: int) -> None:
        self.address = address
        self.requests = requests
        self.dice = random.Random(seed)
        self.left = 0
        self.answers: list[tuple[dict[str, Any], Reply]] = []

    async def come(self) -> None:
        todo = asyncio.Queue[int]()
        for number in range(self.requests):
            todo.put_nowait(number)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._visit(todo))

    async def _visit(self, todo: asyncio.Queue[int]) -> None:
        while not todo.empty():
            async with RawClient(self.address) as client:
                for _ in range(self.dice.randrange(1, 6)):  # several on one connection
                    if todo.empty() or not await self._ask(client, todo.get_nowait()):
                        break

    async def _ask(self, client: RawClient, number: int) -> bool:
        dice = self.dice
        body = chat(dice.choice(("m", "m", "n")), stream=dice.random() < 0.7, max_tokens=dice.randrange(1, 20))
        headers = (("x-overspill-local-only", "true"),) if dice.random() < 0.1 else ()
        client.ask(body, headers=(*headers, ("x-overspill-deadline", "5s")))
        if dice.random() < 0.1:
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            self.left += 1
            return False
        reply = await client.reply()
        self.answers.append((body, reply))
        return reply.is_whole


def check(body: dict[str, Any], reply: Reply) -> str:
    """Say how one request ended, and see that the client could not take a broken answer for a whole one."""
    if reply.status != 200:
        assert reply.is_whole
        assert set(reply.error) == {"message", "type", "param", "code"}
        return str(reply.status)
    assert reply.is_whole
    if not body["stream"]:
        assert reply.json()["choices"][0]["message"]["content"] == words(body["max_tokens"])
        return "whole"
    assert reply.body.count(b"[DONE]") + reply.body.count(b'"error"') == 1
    tokens = reply.body.count(b'"content":" t')
    if b"[DONE]" in reply.body:
        assert tokens == body["max_tokens"]
        return "streamed"
    assert 0 < tokens <= body["max_tokens"]
    return "broken"


@pytest.mark.parametrize(("loop", "requests"), [("uvloop", 500), ("asyncio", 150)])
def test_a_crowd_with_random_failures_is_answered_once_each_and_leaves_nothing_behind(
    tmp_path: Path, loop: str, requests: int
) -> None:
    path = tmp_path / "ledger.db"
    recorded = tmp_path / "run.jsonl"
    ends: Counter[str] = Counter()

    async def main() -> None:
        recording = Recording(recorded)
        async with fake_engine(MODEL, faults=FAULTS) as local, fake_engine(MODEL, faults=FAULTS[:4]) as cloud:
            pools = {"local": attach(url_of(local), slots=6), "cloud": upstream(url_of(cloud), max_concurrency=8)}
            routes = [
                {"model": "m", "tiers": [["local"], ["cloud"]], "slo": {"ttft": "1s"}, **IMPATIENT},
                {"model": "n", "tiers": [["local"]], "queue_limit": 4, **IMPATIENT},
            ]
            breaker = {"open": "50ms", "open_max": "100ms", "cooldown": "50ms"}
            text = text_of(pools, routes, path=path, breaker=breaker)
            async with serving(text, recorder=recording.write) as gateway:
                recording.begin(gateway.policy)
                crowd = Crowd(address_of(gateway), requests, seed=2)
                await crowd.come()
                await until(lambda: gateway.driver.open_sessions == 0)
                await until(lambda: local.held == cloud.held == 0)
                await until(lambda: gateway.driver._sweeper is None)
                await until(lambda: all(connection.is_idle for connection in gateway.client.connections))
                assert_nothing_is_left(gateway)
                ends.update(check(body, reply) for body, reply in crowd.answers)
                ends["left"] = crowd.left
        recording.close()

    run(main(), loop=loop)
    assert sum(ends.values()) == requests
    assert ends["streamed"] > requests // 5
    assert ends["broken"] > 0
    check_ledger(path, requests, ends)
    with recorded.open("rb") as lines:
        report = replay(decode_lines(lines))
    assert report.steps > 2 * requests
    assert report.differing == 0


def assert_nothing_is_left(gateway: Gateway) -> None:
    driver = gateway.driver
    assert driver.controller.open_requests == 0
    assert not driver._sessions
    assert not driver._relays
    assert driver.controller.next_wakeup(driver.now()) is None
    assert not any(target.running for target in driver.controller.targets.values())
    assert not any(target.holding for target in driver.controller.targets.values())
    assert not any(target.prefill_tokens for target in driver.controller.targets.values())
    gc.collect()
    alive = [kept for kept in gc.get_objects() if isinstance(kept, Relay | Session)]
    assert len(alive) <= CLIENTS, "sessions or relays are kept after their end"


def check_ledger(path: Path, count: int, ends: Counter[str]) -> None:
    requests = {row["request_id"]: row for row in rows(path, "requests")}
    assert len(requests) == count == len(rows(path, "requests"))
    outcomes = Counter(row["outcome"] for row in requests.values())
    assert 0 <= outcomes["broken"] - ends["broken"] <= ends["left"]  # who left may have missed that it broke
    assert outcomes["completed"] >= ends["streamed"] + ends["whole"]
    assert outcomes["client_gone"] <= ends["left"]
    attempts: dict[str, list[dict[str, Any]]] = {}
    for row in rows(path, "attempts"):
        attempts.setdefault(row["request_id"], []).append(row)
    for request_id, request in requests.items():
        own = attempts.get(request_id, [])
        assert len(own) == request["attempts"]
        assert len({row["attempt_id"] for row in own}) == len(own)
        assert [row["outcome"] for row in own].count("finished") == (request["outcome"] == "completed")
        if request["outcome"] == "completed":
            (finished,) = (row for row in own if row["outcome"] == "finished")
            assert finished["target_id"] == request["target_id"]
        if request["local_only"]:
            assert all(row["target_id"] == "local/0" for row in own)
