"""``overspill serve`` as a process: start, reload, drain, stop, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import NEVER, attach, chat, fake_engine, rows, text_of, url_of
from tests.support.loops import run, until
from tests.support.processes import Served, served
from tests.support.raw_client import RawClient, Reply, ask, get
from tests.support.scripted_upstream import DONE, Call, ScriptedUpstream, delta, scripted

from overspill.core.recording import decode_lines
from overspill.gateway.rehearsal.speech import text_of as words
from overspill.planner.replay import replay


class Stream:
    """A stream in flight between a scripted target and a client."""

    def __init__(self, client: RawClient, call: Call, reply: Reply) -> None:
        self.client = client
        self.call = call
        self.reply = reply

    async def end(self) -> None:
        self.call.end_stream(delta(finish="stop") + DONE)
        await self.client.rest(self.reply)
        assert self.reply.is_whole
        assert self.reply.body.endswith(DONE)


async def opened(client: RawClient, target: ScriptedUpstream) -> Stream:
    client.ask(chat(stream=True))
    call = await target.call()
    call.start_stream(delta("x"))
    reply = await client.head()
    await client.read_until(reply, b'"x"')
    return Stream(client, call, reply)


def written(folder: Path, pools: dict[str, Any], routes: list[dict[str, Any]], **sections: Any) -> str:
    return text_of(pools, routes, path=folder / "ledger.db", **sections)


HOME = [{"model": "m", "tiers": [["local"]]}]


def test_sigterm_finishes_a_running_stream_and_ends_well(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as target:
            text = written(tmp_path, {"local": attach(target.url)}, HOME)
            async with served(tmp_path, config=text) as gateway:
                await gateway.listening()
                async with RawClient(gateway.address) as client:
                    stream = await opened(client, target)
                    gateway.signal(signal.SIGTERM)
                    await gateway.logged("stopping: no new requests, finishing 1")
                    with pytest.raises(ConnectionError):
                        await ask(gateway.address, chat())
                    stream.call.chunk(delta("y"))
                    await client.read_until(stream.reply, b'"y"')
                    await stream.end()
                assert await gateway.ended() == 0
                assert "Traceback" not in gateway.log

    run(main())
    assert [row["outcome"] for row in rows(tmp_path / "ledger.db", "requests")] == ["completed"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as target:
            text = written(tmp_path, {"local": attach(target.url)}, HOME)
            async with served(tmp_path, config=text) as gateway:
                await gateway.listening()
                async with RawClient(gateway.address) as client:
                    await opened(client, target)
                    gateway.signal(signal.SIGINT)
                    await gateway.logged("stopping")
                    gateway.signal(signal.SIGINT)
                    assert await gateway.ended() == 130
                    assert "Traceback" not in gateway.log

    run(main())


def test_what_outlives_the_drain_timeout_is_cut_and_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as target:
            text = written(tmp_path, {"local": attach(target.url)}, HOME, server={"drain_timeout": "50ms"})
            async with served(tmp_path, config=text) as gateway:
                await gateway.listening()
                async with RawClient(gateway.address) as client:
                    stream = await opened(client, target)
                    gateway.signal(signal.SIGTERM)
                    await client.rest(stream.reply)
                    assert not stream.reply.is_whole
                assert await gateway.ended() == 0
                assert "1 requests were cut off: they ran longer than server.drain_timeout" in gateway.log

    run(main())


def test_sighup_takes_a_new_configuration_and_drops_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            scripted() as old,
            fake_engine() as new,
            served(tmp_path, config=written(tmp_path, {"local": attach(old.url)}, HOME)) as gateway,
        ):
            await gateway.listening()
            async with RawClient(gateway.address) as client:
                stream = await opened(client, old)
                routes = [{"model": "fresh", "tiers": [["other"]]}]
                changed = written(tmp_path, {"other": attach(url_of(new))}, routes)
                (tmp_path / "overspill.yaml").write_text(changed)
                gateway.signal(signal.SIGHUP)
                await gateway.logged("configuration reloaded")
                reply = await ask(gateway.address, chat("fresh", max_tokens=2))
                assert reply.json()["choices"][0]["message"]["content"] == words(2)
                assert (await ask(gateway.address, chat("m"))).status == 404
                await stream.end()
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0

    run(main())
    outcomes = [(row["model"], row["outcome"]) for row in rows(tmp_path / "ledger.db", "requests")]
    assert outcomes == [("fresh", "completed"), ("m", "rejected"), ("m", "completed")]


def test_a_broken_new_configuration_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            text = written(tmp_path, {"local": attach(url_of(engine))}, HOME)
            async with served(tmp_path, config=text) as gateway:
                await gateway.listening()
                broken = [
                    ("{", "overspill.yaml"),
                    (text.replace('"local"', '"locla"', 1), "there is no pool 'local'"),
                    (text.replace('"slots"', '"slotz"'), "slotz"),
                    (text.replace('"attach"', '"attack"'), "did you mean 'attach'"),
                ]
                for count, (bad, word) in enumerate(broken, start=1):
                    (tmp_path / "overspill.yaml").write_text(bad)
                    gateway.signal(signal.SIGHUP)
                    await gateway.logged("the configuration was not reloaded, the old one stays", times=count)
                    assert word in gateway.log
                    assert (await ask(gateway.address, chat(max_tokens=1))).status == 200
                (tmp_path / "overspill.yaml").unlink()
                gateway.signal(signal.SIGHUP)
                await gateway.logged("the configuration cannot be read")
                assert (await ask(gateway.address, chat(max_tokens=1))).status == 200

    run(main())


def test_a_reload_says_what_needs_a_restart_and_follows_the_keys(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine))}
            async with served(
                tmp_path, config=written(tmp_path, pools, HOME), environ={"GATE_KEY": "sk-gate"}
            ) as gateway:
                await gateway.listening()
                changed = written(tmp_path, pools, HOME, server={"api_keys": ["env:GATE_KEY"], "port": 1})
                (tmp_path / "overspill.yaml").write_text(changed)
                gateway.signal(signal.SIGHUP)
                await gateway.logged("configuration reloaded; changes of server need a restart")
                assert (await ask(gateway.address, chat(max_tokens=1))).status == 401
                key = (("authorization", "Bearer sk-gate"),)
                assert (await ask(gateway.address, chat(max_tokens=1), headers=key)).status == 200

    run(main())


def test_a_managed_engine_is_started_and_ends_with_the_gateway(tmp_path: Path) -> None:
    pools = {"local": {"engine": "fake", "max_batch_size": 4}}

    async def main() -> None:
        async with served(tmp_path, config=written(tmp_path, pools, HOME)) as gateway:
            await gateway.listening()
            reply = await ask(gateway.address, chat(stream=True, max_tokens=3))
            assert reply.headers["x-overspill-target"] == "local/0"
            assert reply.body.endswith(DONE)
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0

    run(main())


def test_a_reload_that_changes_an_engine_lets_its_streams_finish_first(tmp_path: Path) -> None:
    def pools(slots: int) -> dict[str, Any]:
        speed = {"step_base_s": 0.02}
        return {"local": {"engine": "fake", "max_batch_size": slots, "options": {"engine": speed}}}

    async def main() -> None:
        async with served(tmp_path, config=written(tmp_path, pools(2), HOME)) as gateway:
            await gateway.listening()
            async with RawClient(gateway.address) as client:
                client.ask(chat(stream=True, max_tokens=60))
                reply = await client.head()
                await client.read_until(reply, b" t1")
                for slots in (3, 4):  # twice in a row: one process must come of it
                    (tmp_path / "overspill.yaml").write_text(written(tmp_path, pools(slots), HOME))
                    gateway.signal(signal.SIGHUP)
                    await gateway.logged("configuration reloaded", times=slots - 2)
                later = asyncio.ensure_future(ask(gateway.address, chat(max_tokens=1)))
                assert (await client.rest(reply)).body.endswith(DONE)
                assert b" t59" in reply.body
            assert (await later).status == 200
            page = (await get(gateway.address, "/debug/route?model=m")).json()
            assert page["targets"][0]["slots"] == 4
            assert gateway.log.count("is ready") == 2

    run(main())


def test_a_reload_that_drops_an_engine_lets_its_streams_finish_first(tmp_path: Path) -> None:
    pools = {
        "local": {
            "engine": "fake",
            "max_batch_size": 2,
            "options": {"engine": {"step_base_s": 0.02}},
        }
    }

    async def main() -> None:
        async with fake_engine() as other, served(tmp_path, config=written(tmp_path, pools, HOME)) as gateway:
            await gateway.listening()
            async with RawClient(gateway.address) as client:
                client.ask(chat(stream=True, max_tokens=60))
                reply = await client.head()
                await client.read_until(reply, b" t1")
                (tmp_path / "overspill.yaml").write_text(
                    written(tmp_path, {"other": attach(url_of(other))}, [{"model": "m", "tiers": [["other"]]}])
                )
                gateway.signal(signal.SIGHUP)
                await gateway.logged("configuration reloaded")
                reply2 = await ask(gateway.address, chat(max_tokens=1))
                assert reply2.headers["x-overspill-target"] == "other/0"
                assert (await client.rest(reply)).body.endswith(DONE)
                assert b" t59" in reply.body
            await gateway.logged("engine local/0 stopped")

    run(main())


def test_a_port_in_use_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = written(tmp_path, {"local": attach("http://127.0.0.1:9")}, HOME)
            async with served(tmp_path, "--port", str(port), config=text) as gateway:
                assert await gateway.ended() == 2
                assert f"cannot listen on 127.0.0.1:{port}" in gateway.log
                assert "choose another with --port or OVERSPILL_PORT" in gateway.log
                assert "Traceback" not in gateway.log

    run(main())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--host", "0.0.0.0"), 2, "set server.api_keys, or bind to 127.0.0.1"),
        (("--set", "server.prot=1"), 2, "did you mean 'port'"),
        (("--model", "x.gguf"), 2, "--model goes without --config"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    async def main() -> None:
        text = written(tmp_path, {"local": attach("http://127.0.0.1:9")}, HOME)
        async with served(tmp_path, *arguments, config=text) as gateway:
            assert await gateway.ended() == code
            assert words in gateway.log
            assert "Traceback" not in gateway.log

    run(main())


def test_a_ledger_that_cannot_be_opened_is_said_before_anything_listens(tmp_path: Path) -> None:
    async def main() -> None:
        text = text_of({"local": attach("http://127.0.0.1:9")}, HOME, path=tmp_path / "overspill.yaml" / "ledger.db")
        async with served(tmp_path, config=text) as gateway:
            assert await gateway.ended() == 3
            assert "the ledger" in gateway.log
            assert "Traceback" not in gateway.log
        assert not (tmp_path / "address").exists()

    run(main())


def test_public_with_a_key_is_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        text = written(tmp_path, {"local": attach("http://127.0.0.1:9")}, HOME, server={"api_keys": ["env:GATE_KEY"]})
        async with served(tmp_path, "--host", "0.0.0.0", config=text, environ={"GATE_KEY": "sk-gate"}) as gateway:
            await gateway.listening()
            reply = await get(gateway.address.replace("0.0.0.0", "127.0.0.1"), "/v1/models")
            assert reply.status == 401

    run(main())


def test_a_recorded_run_with_failures_and_spills_replays_without_a_difference(tmp_path: Path) -> None:
    recorded = tmp_path / "run.jsonl"

    async def ask_all(gateway: Served) -> None:
        replies = await asyncio.gather(
            *(ask(gateway.address, chat(stream=n % 2 == 0, max_tokens=1 + n % 5)) for n in range(60))
        )
        assert {reply.status for reply in replies} == {200}
        reasons = {reply.headers["x-overspill-reason"] for reply in replies}
        assert {"home", "local_full"} <= reasons

    async def main() -> None:
        faults = [{"kind": "error_status", "every": 5, "status": 500}, {"kind": "cut_after_tokens", "every": 7}]
        pools = {
            "local": {"engine": "fake", "max_batch_size": 2, "options": {"faults": faults}},
            "cloud": {"engine": "fake", "max_batch_size": 32},
        }
        routes = [{"model": "m", "tiers": [["local"], ["cloud"]], "slo": {"ttft": "600ms"}}]
        text = written(tmp_path, pools, routes)
        async with served(tmp_path, "--record", str(recorded), config=text) as gateway:
            await gateway.listening()
            await gateway.logged("is ready", times=2)
            await ask_all(gateway)
            gateway.signal(signal.SIGHUP)
            await gateway.logged("configuration reloaded")
            await ask_all(gateway)
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0

    run(main())
    with recorded.open("rb") as lines:
        recording = decode_lines(lines)
    kinds = {type(step.event).__name__ for step in recording.steps}
    assert {"Arrived", "FirstToken", "Finished", "Failed", "TargetChanged", "PolicyChanged", "DrainStarted"} <= kinds
    report = replay(recording)
    assert report.commands >= 240
    assert report.differing == 0


def test_without_a_configuration_it_serves_what_it_finds(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, "--no-discovery", "--port", "0") as gateway:
            await gateway.listening()
            page = (await get(gateway.address, "/v1/models")).json()
            assert json.dumps(page)
            assert (await get(gateway.address, "/healthz")).status == 200
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0

    run(main())


def test_an_engine_that_never_answers_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_engine(NEVER) as engine:
            text = written(tmp_path, {"local": attach(url_of(engine))}, HOME, server={"drain_timeout": "50ms"})
            async with served(tmp_path, config=text) as gateway:
                await gateway.listening()
                async with RawClient(gateway.address) as client:
                    client.ask(chat())
                    await until(lambda: engine.held == 1)
                    gateway.signal(signal.SIGTERM)
                    assert await gateway.ended() == 0
                await until(lambda: engine.held == 0)

    run(main())


def test_a_signal_during_a_download_ends_it_at_once(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")

    async def main() -> None:
        asked = asyncio.Event()

        async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        hub = await asyncio.start_server(never_answer, "127.0.0.1", 0)
        environ = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.sockets[0].getsockname()[1]}"}
        arguments = ("--no-discovery", "--port", "0", "--model", "hf:org/model:model.gguf")
        async with hub, served(tmp_path, *arguments, environ=environ) as gateway:
            await gateway.listening()
            await asked.wait()
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
            assert "Traceback" not in gateway.log

    run(main(), patience_s=10)
