"""Clients that leave, and clients that read slowly: what they held is free at once, and nothing grows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.gateways import (
    NEVER,
    address_of,
    attach,
    chat,
    fake_engine,
    metric,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import LOOPS, run, until
from tests.support.raw_client import RawClient, ask
from tests.support.scripted_upstream import DONE, ROLE, delta, scripted

from overspill.core.types import Patience
from overspill.perf.engine_model import EngineModel
from overspill.units import KIB, MIB

SLOW = EngineModel(slots=4, step_base_s=0.001)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_leaves_mid_stream_frees_its_slot_and_cancels_upstream(tmp_path: Path, loop: str) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            fake_engine(SLOW) as local,
            serving(text_of({"local": attach(url_of(local), slots=1)}, path=path)) as gateway,
        ):
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True, max_tokens=100_000))
                await client.read_until(await client.head(), b" t5")
                assert local.held == 1
            await until(lambda: local.held == 0)
            assert gateway.driver.open_sessions == 0
            assert gateway.driver.running_on("local/0") == 0
            assert metric(gateway, "overspill_client_disconnects_total") == 1
            reply = await ask(address_of(gateway), chat(max_tokens=1))
            assert reply.headers["x-overspill-reason"] == "home"
            assert gateway.driver.controller.targets["local/0"].breaker.state.value == "closed"

    run(main(), loop=loop)
    gone, _ = rows(path, "requests")
    assert (gone["outcome"], gone["client_status"], gone["target_id"]) == ("client_gone", 200, None)
    assert gone["output_tokens"] >= 6
    assert [row["outcome"] for row in rows(path, "attempts")] == ["cancelled", "finished"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_token_cancels_upstream(stream: bool) -> None:
    async def main() -> None:
        async with fake_engine(NEVER) as local, serving(text_of({"local": attach(url_of(local))})) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=stream))
                await until(lambda: local.held == 1)
            await until(lambda: local.held == 0)
            assert gateway.driver.open_sessions == 0

    run(main())


def test_a_client_that_leaves_while_its_request_waits_is_forgotten() -> None:
    async def main() -> None:
        async with (
            fake_engine(NEVER) as local,
            serving(text_of({"local": attach(url_of(local), slots=1)})) as gateway,
            RawClient(address_of(gateway)) as first,
        ):
            first.ask(chat())
            await until(lambda: local.held == 1)
            async with RawClient(address_of(gateway)) as second:
                second.ask(chat())
                await until(lambda: gateway.driver.open_sessions == 2)
            await until(lambda: gateway.driver.open_sessions == 1)
            assert local.received == 1
            assert gateway.driver.controller.open_requests == 1

    run(main())


def test_a_client_that_leaves_while_it_is_retried_is_forgotten() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat())
                (await local.call()).reply(503, b"", "retry-after: 60\r\n")
                await until(lambda: sum(gateway.driver.controller.waiting_by_lane().values()) == 1)
            await until(lambda: gateway.driver.open_sessions == 0)
            assert gateway.driver.controller.open_requests == 0
            assert not gateway.driver._relays
            assert gateway.driver.controller.next_wakeup(gateway.driver.now()) is None

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_client_pauses_its_target_and_nothing_is_lost(loop: str) -> None:
    piece = delta("x" * 64 * KIB)

    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)})) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat(stream=True))
            call = await local.call()
            call.start_stream(ROLE + delta("first"))
            reply = await client.head()
            await client.read_until(reply, b"first")
            client.writer.transport.pause_reading()
            sent = 0
            while call.unsent_bytes < MIB:  # until no buffer in between takes any more
                call.chunk(piece)
                sent += 1
                await asyncio.sleep(0.001)
            assert sent < 1000, "a buffer grows without bound"
            (relay,) = gateway.driver._relays.values()
            await until(lambda: relay.is_paused)
            stuck = call.unsent_bytes
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert call.unsent_bytes == stuck
            client.writer.transport.resume_reading()
            call.end_stream(delta(finish="stop") + DONE)
            await client.rest(reply)
            assert reply.is_whole
            assert reply.body == ROLE + delta("first") + piece * sent + delta(finish="stop") + DONE

    run(main(), loop=loop)


def test_a_slow_client_is_no_fault_of_its_target() -> None:
    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)})) as gateway,
            RawClient(address_of(gateway)) as client,
        ):
            client.ask(chat(stream=True))
            call = await local.call()
            call.start_stream(delta("first"))
            reply = await client.head()
            await client.read_until(reply, b"first")
            client.writer.transport.pause_reading()
            (relay,) = gateway.driver._relays.values()
            while not relay.is_paused:
                call.chunk(delta("x" * 64 * KIB))
                await asyncio.sleep(0.001)
            for session in gateway.driver._sessions.values():
                session.patience = Patience(stall_s=0.0)
            gateway.driver._sweep()
            assert relay.failure is None
            client.writer.transport.resume_reading()
            reading = asyncio.ensure_future(client.rest(reply))
            await until(lambda: not relay.is_paused)
            call.end_stream(delta(finish="stop") + DONE)
            assert (await reading).body.endswith(DONE)

    run(main())


def test_a_client_that_reads_nothing_at_all_is_treated_as_gone() -> None:
    async def main() -> None:
        async with scripted() as local:
            text = text_of({"local": attach(local.url)}, server={"limits": {"write_stall": "100ms"}})
            async with serving(text) as gateway, RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True))
                call = await local.call()
                call.start_stream(delta("first"))
                await client.read_until(await client.head(), b"first")
                client.writer.transport.pause_reading()
                gone = asyncio.ensure_future(call.gone())
                while not gone.done():
                    call.chunk(delta("x" * 64 * KIB))
                    await call.drained()
                    await asyncio.sleep(0)
                await until(lambda: gateway.driver.open_sessions == 0)

    run(main())


def test_draining_finishes_what_runs_and_refuses_what_comes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            scripted() as local,
            serving(text_of({"local": attach(local.url)}, path=path)) as gateway,
            RawClient(address_of(gateway)) as late,
            RawClient(address_of(gateway)) as client,
        ):
            late.send("GET", "/healthz")
            assert (await late.reply()).status == 200
            client.ask(chat(stream=True))
            call = await local.call()
            call.start_stream(delta("x"))
            reply = await client.head()
            stopping = asyncio.ensure_future(gateway.stop())
            await until(lambda: gateway.driver._idle is not None)
            late.ask(chat())
            refused = await late.reply()
            assert (refused.status, refused.error["code"]) == (503, "draining")
            call.end_stream(delta(finish="stop") + DONE)
            assert (await client.rest(reply)).body.endswith(DONE)
            assert await stopping == 0

    run(main())
    assert [row["outcome"] for row in rows(path, "requests")] == ["rejected", "completed"]


def test_what_does_not_end_in_time_is_cut_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine(NEVER) as local, fake_engine() as cloud:
            pools = {"local": attach(url_of(local), slots=1), "cloud": upstream(url_of(cloud))}
            routes = [{"model": "m", "tiers": [["local"]]}]
            text = text_of(pools, routes, path=path, server={"drain_timeout": "20ms"})
            async with serving(text) as gateway:
                async with RawClient(address_of(gateway)) as client, RawClient(address_of(gateway)) as waiting:
                    client.ask(chat(stream=True))
                    await until(lambda: local.held == 1)
                    waiting.ask(chat())
                    await until(lambda: gateway.driver.open_sessions == 2)
                    assert await gateway.stop() == 2
                    assert gateway.driver.open_sessions == 0
                    assert metric(gateway, "overspill_client_disconnects_total") == 0
                await until(lambda: local.held == 0)
                assert local.received == 1

    run(main())
    ended = [(row["outcome"], row["attempts"], row["target_id"]) for row in rows(path, "requests")]
    assert ended == [("shutdown", 0, None), ("shutdown", 1, None)]
    assert [row["outcome"] for row in rows(path, "attempts")] == ["cancelled"]
