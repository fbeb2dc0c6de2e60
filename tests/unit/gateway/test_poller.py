"""What the poller tells of engines: their numbers, and of servers that somebody else runs also whether they live."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.support.gateways import FAST, fake_engine
from tests.support.loops import run, until
from tests.support.scripted_upstream import ScriptedUpstream, scripted

from overspill.core.events import AnyEvent, TargetChanged, TargetReported
from overspill.core.types import Health
from overspill.gateway.http.client import HttpClient
from overspill.gateway.live_target import LiveEngine
from overspill.gateway.poller import Poller, Watched
from overspill.pools.engines.llamacpp import LlamaServer
from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.engines.protocol import Engine
from overspill.pools.engines.vllm import Vllm
from overspill.wire.http import Origin

UP = TargetChanged(target_id="e/0", health=Health.READY)
DOWN = TargetChanged(target_id="e/0", health=Health.DOWN)
MODELS = b"/v1/models"
RUNNING = b'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 2.0\n'


class Desk:
    """A poller at work, and what it tells."""

    def __init__(self, client: HttpClient) -> None:
        self.told: list[AnyEvent] = []
        self.poller = Poller(client, self.told.append, interval_s=0.002)


@contextlib.asynccontextmanager
async def polling() -> AsyncIterator[Desk]:
    client = HttpClient()
    desk = Desk(client)
    try:
        yield desk
    finally:
        await desk.poller.close()
        await client.close()


def live(server: ScriptedUpstream, engine: Engine | None = None, *, prefix: bytes = b"", key: str = "") -> LiveEngine:
    return LiveEngine("e/0", engine or AttachedServer(), Origin(port=server.port, prefix=prefix), key)


async def polls(server: ScriptedUpstream, count: int) -> None:
    wanted = server.polls + count
    await until(lambda: server.polls >= wanted)


def test_an_engine_s_own_numbers_are_passed_on() -> None:
    async def main() -> None:
        async with fake_engine(FAST) as engine, polling() as desk:
            desk.poller.watch([Watched(LiveEngine("e/0", Vllm(), engine.origin, ""), None)])
            await until(lambda: desk.told)
            assert desk.told[0] == TargetReported(target_id="e/0", running=0, waiting=0, kv_usage=0.0)

    run(main())


@pytest.mark.parametrize(
    ("page", "slots"),
    [((200, b'{"total_slots":6}'), 6), ((200, b"{}"), None), ((200, b"<html>"), None), ((401, b"{}"), None)],
)
def test_a_server_that_comes_up_is_asked_how_many_requests_it_takes(page: tuple[int, bytes], slots: int | None) -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages = {"/metrics": (200, b""), "/v1/models": (200, b"{}"), "/props": page}
            adapter = LlamaServer()
            desk.poller.watch([Watched(live(server, adapter), MODELS, adapter)])
            up = TargetChanged(target_id="e/0", health=Health.READY, slots=slots)
            await until(lambda: up in desk.told)
            assert [event for event in desk.told if isinstance(event, TargetChanged)] == [up]

    run(main())


def test_a_server_is_asked_again_after_it_was_down_and_not_meanwhile() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages = {"/metrics": (200, b""), "/props": (200, b'{"total_slots":6}')}
            adapter = LlamaServer()
            desk.poller.watch([Watched(live(server, adapter), MODELS, adapter)])
            await until(lambda: TargetChanged(target_id="e/0", health=Health.READY, slots=6) in desk.told)
            server.pages = {"/metrics": (503, b""), "/props": (200, b'{"total_slots":2}')}
            await until(lambda: DOWN in desk.told)
            server.pages["/metrics"] = (200, b"")
            await until(lambda: TargetChanged(target_id="e/0", health=Health.READY, slots=2) in desk.told)

    run(main())


def test_a_server_that_cannot_say_how_many_requests_it_takes_is_not_asked() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages["/v1/models"] = (200, b"{}")
            adapter = AttachedServer()
            desk.poller.watch([Watched(live(server, adapter), MODELS, adapter)])
            await until(lambda: desk.told)
            assert desk.told == [UP]

    run(main())


def test_a_server_is_told_up_once_and_down_after_three_failures_and_up_again() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages["/v1/models"] = (200, b"{}")
            desk.poller.watch([Watched(live(server), MODELS)])
            await polls(server, 3)
            assert desk.told == [UP]
            server.pages["/v1/models"] = (503, b"")
            before = server.polls
            await until(lambda: desk.told[-1] == DOWN)
            assert server.polls >= before + 3
            await polls(server, 3)
            server.pages["/v1/models"] = (200, b"{}")
            await until(lambda: desk.told[-1] == UP)
            await polls(server, 2)
            assert desk.told == [UP, DOWN, UP]

    run(main())


def test_a_single_lost_poll_is_no_outage() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            desk.poller.watch([Watched(live(server), MODELS)])
            await polls(server, 1)
            for _ in range(4):
                server.pages["/v1/models"] = (500, b"")
                await polls(server, 1)
                server.pages["/v1/models"] = (200, b"")
                await polls(server, 2)
            assert DOWN not in desk.told

    run(main())


def test_a_server_that_is_not_there_is_down() -> None:
    async def main() -> None:
        async with polling() as desk, scripted() as server:
            await server.close()
            desk.poller.watch([Watched(live(server), MODELS)])
            await until(lambda: desk.told)
            assert desk.told == [DOWN]

    run(main())


def test_a_server_without_the_page_is_well() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            for status in (404, 401, 501):
                server.pages["/metrics"] = (status, b'{"error": {"code": 501}}')
                desk.poller.watch([Watched(live(server, Vllm()), MODELS)])
                await polls(server, 5)
            assert desk.told == [UP, UP, UP]

    run(main())


def test_after_a_reload_a_server_that_is_up_is_told_up_again() -> None:
    """The controller may have known it as down; a poller that started anew would not notice its return."""

    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages["/v1/models"] = (500, b"")
            desk.poller.watch([Watched(live(server), MODELS)])
            await until(lambda: desk.told == [DOWN])
            desk.poller.watch([Watched(live(server), MODELS)])
            server.pages["/v1/models"] = (200, b"")
            await until(lambda: desk.told[-1] == UP)

    run(main())


def test_an_engine_of_our_own_is_never_judged_by_a_poll() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            desk.poller.watch([Watched(live(server, Vllm()), None)])
            server.pages["/metrics"] = (500, b"")
            await polls(server, 6)
            server.pages["/metrics"] = (200, b"these are no metrics \xff")
            await polls(server, 3)
            server.pages["/metrics"] = (200, RUNNING)
            await until(lambda: desk.told)
            reported = [event for event in desk.told if isinstance(event, TargetReported)]
            assert reported == desk.told
            assert (reported[-1].running, reported[-1].waiting) in ((3, 2), (None, None))

    run(main())


def test_an_engine_that_has_no_page_is_not_polled() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            desk.poller.watch([Watched(live(server), None)])
            for _ in range(5):
                await asyncio.sleep(0.002)
            assert server.polls == 0

    run(main())


def test_the_path_s_prefix_and_the_key_are_used() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            server.pages["/proxy/metrics"] = (200, RUNNING)
            desk.poller.watch([Watched(live(server, Vllm(), prefix=b"/proxy", key="sk-1"), MODELS)])
            await until(lambda: any(isinstance(event, TargetReported) for event in desk.told))
            assert TargetReported(target_id="e/0", running=3, waiting=2) in desk.told

    run(main())


def test_what_is_no_longer_watched_is_no_longer_asked() -> None:
    async def main() -> None:
        async with scripted() as server, polling() as desk:
            desk.poller.watch([Watched(live(server), MODELS)])
            await polls(server, 1)
            desk.poller.watch([])
            await asyncio.sleep(0.01)
            count = server.polls
            await asyncio.sleep(0.02)
            assert server.polls == count

    run(main())
