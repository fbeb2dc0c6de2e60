"""What happens when a target fails: before the first token another one answers, after it the stream ends as broken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
import pytest
from tests.support.gateways import (
    FAST,
    MESSAGES,
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
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import DONE, ROLE, STREAM, delta, event, scripted, usage

from overspill.core.events import TargetChanged
from overspill.core.types import Health
from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus
from overspill.gateway.rehearsal.speech import text_of as words


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_the_first_token_is_answered_by_the_next_tier(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            fake_engine(faults=(ErrorStatus(every=1, status=500),)) as local,
            fake_engine() as cloud,
            serving(text_of({"local": attach(url_of(local)), "cloud": upstream(url_of(cloud))}, path=path)) as gateway,
        ):
            reply = await ask(address_of(gateway), chat(stream=stream, max_tokens=3))
            assert reply.status == 200
            assert b" t2" in reply.body
            assert reply.headers["x-overspill-reason"] == "attempt_failed"
            assert reply.headers["x-overspill-target"] == "cloud/main/m"
            assert reply.headers["x-overspill-attempts"] == "2"
            assert reply.headers["x-request-id"]
            assert (local.received, cloud.received) == (1, 1)
            assert metric(gateway, "overspill_spills_total", "attempt_failed") == 1
            assert metric(gateway, "overspill_attempts_total", "local/0", "failed") == 1
            assert metric(gateway, "overspill_attempts_total", "cloud/main/m", "finished") == 1

    run(main())
    (request,) = rows(path, "requests")
    first, second = rows(path, "attempts")
    assert (first["target_id"], first["outcome"], first["failure"], first["status"]) == (
        "local/0",
        "failed",
        "server_error",
        500,
    )
    assert (first["spill"], first["cost_usd"], first["attempt_id"]) == (None, 0.0, 1)
    assert (second["target_id"], second["outcome"], second["spill"]) == ("cloud/main/m", "finished", "attempt_failed")
    assert second["started_at"] >= first["started_at"]
    assert {first["request_id"], second["request_id"]} == {request["request_id"]}
    assert (request["attempts"], request["spill"], request["target_id"]) == (2, "attempt_failed", "cloud/main/m")
    assert (request["outcome"], request["reason"], request["cost_usd"]) == ("completed", None, second["cost_usd"])
    assert request["queue_wait_s"] < first["duration_s"] + 0.01


def test_a_target_that_is_not_there_is_passed_over() -> None:
    async def main() -> None:
        async with fake_engine() as cloud, scripted() as gone:
            await gone.close()
            pools = {"local": attach(gone.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                reply = await ask(address_of(gateway), chat(max_tokens=1))
                assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/m")

    run(main())


def test_a_stream_that_breaks_after_tokens_ends_with_an_error_and_never_with_done(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with (
            fake_engine(faults=(CutAfterTokens(every=1, tokens=3),)) as local,
            fake_engine() as cloud,
            serving(text_of({"local": attach(url_of(local)), "cloud": upstream(url_of(cloud))}, path=path)) as gateway,
        ):
            reply = await ask(address_of(gateway), chat(stream=True, max_tokens=9))
            assert reply.status == 200
            assert b" t2" in reply.body
            assert b"[DONE]" not in reply.body
            last = reply.body.split(b"data: ")[-1]
            assert b'"code":"stream_cut"' in last
            assert b"local/0" in last
            assert cloud.received == 0

    run(main())
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["reason"], request["client_status"]) == ("broken", "cut", 200)
    assert (request["output_tokens"], request["target_id"]) == (3, "local/0")


def test_the_openai_client_raises_on_a_broken_stream() -> None:
    def talk(address: str) -> None:
        with (
            openai.OpenAI(base_url=f"http://{address}/v1", api_key="x", max_retries=0) as client,
            client.chat.completions.create(model="m", messages=MESSAGES, stream=True, max_tokens=9) as stream,
        ):
            pieces: list[str | None] = []
            with pytest.raises(openai.APIError, match="the answer broke off"):
                pieces.extend(chunk.choices[0].delta.content for chunk in stream)
            assert "".join(piece or "" for piece in pieces) == words(2)

    async def main() -> None:
        async with (
            fake_engine(faults=(CutAfterTokens(every=1, tokens=2),)) as local,
            serving(text_of({"local": attach(url_of(local))})) as gateway,
        ):
            await asyncio.to_thread(talk, address_of(gateway))

    run(main())


def test_an_error_event_before_the_first_token_is_answered_elsewhere() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True, max_tokens=2)))
                (await local.call()).stream(ROLE + event({"error": {"message": "server busy", "code": 503}}))
                reply = await asking
                assert reply.headers["x-overspill-target"] == "cloud/main/m"
                assert reply.body.endswith(DONE)
                assert b"busy" not in reply.body

    run(main())


def test_an_error_event_after_tokens_breaks_the_stream_in_our_own_words() -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url)})) as gateway:
            asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True)))
            (await local.call()).stream(delta("x") + event({"error": {"message": "secret", "code": 500}}) + DONE)
            reply = await asking
            assert reply.body.startswith(delta("x"))
            assert b'"code":"stream_server_error"' in reply.body
            assert b"secret" not in reply.body
            assert b"[DONE]" not in reply.body

    run(main())


def test_a_target_s_verdict_on_the_request_is_passed_on_and_nobody_else_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as local, scripted() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(cloud.url)}
            async with serving(text_of(pools, path=path)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(temperature=9)))
                body = {"error": {"message": "temperature must be at most 2", "param": "temperature", "code": "range"}}
                (await local.call()).reply(422, body)
                reply = await asking
                assert reply.status == 422
                assert reply.error == {
                    "message": "temperature must be at most 2",
                    "type": "invalid_request_error",
                    "param": "temperature",
                    "code": "range",
                }
                assert reply.headers["x-overspill-target"] == "local/0"
                assert cloud.received == 0
                assert gateway.driver.controller.targets["local/0"].breaker.state.value == "closed"

    run(main())
    (request,) = rows(path, "requests")
    assert (request["outcome"], request["reason"], request["client_status"]) == ("client_error", "bad_request", 422)


def test_when_every_attempt_fails_the_client_hears_why(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with fake_engine(faults=(CutAfterTokens(every=1, tokens=0),)) as local:
            routes = [{"model": "m", "tiers": [["local"]], "max_attempts": 2}]
            async with serving(text_of({"local": attach(url_of(local))}, routes, path=path)) as gateway:
                reply = await ask(address_of(gateway), chat(stream=True))
                assert reply.status == 502
                assert reply.error["code"] == "attempts_exhausted"
                assert "its answer broke off" in reply.error["message"]
                assert reply.headers["x-overspill-attempts"] == "2"
                assert local.received == 2

    run(main())
    (request,) = rows(path, "requests")
    assert [row["outcome"] for row in rows(path, "attempts")] == ["failed", "failed"]
    assert (request["outcome"], request["reason"], request["attempts"]) == ("failed", "attempts_exhausted", 2)
    assert (request["target_id"], request["ttft_s"], request["output_tokens"]) == (None, None, None)


def test_a_busy_target_is_asked_again_until_it_takes_the_request() -> None:
    async def main() -> None:
        async with (
            fake_engine(faults=(ErrorStatus(requests=(1, 2), status=503),)) as local,
            serving(text_of({"local": attach(url_of(local))})) as gateway,
        ):
            reply = await ask(address_of(gateway), chat(max_tokens=1))
            assert (reply.status, reply.headers["x-overspill-attempts"]) == (200, "3")
            assert reply.headers["x-overspill-reason"] == "home"

    run(main())


def test_a_prompt_that_only_the_target_finds_too_long_goes_where_it_fits() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(max_tokens=1)))
                (await local.call()).reply(400, {"error": {"message": "x", "code": "context_length_exceeded"}})
                reply = await asking
                assert reply.headers["x-overspill-reason"] == "context_too_long"

    run(main())


def test_a_prompt_that_fits_nowhere_is_400(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as local, serving(text_of({"local": attach(local.url, context_tokens=64)})) as gateway:
            reply = await ask(address_of(gateway), chat(messages=[{"role": "user", "content": "word " * 200}]))
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
            assert local.received == 0

    run(main())


def test_an_adapter_that_fails_on_a_request_costs_its_target_and_not_the_request() -> None:
    class Broken:
        """A plugin's adapter with a bug."""

        def __init__(self, real: object, error: Exception) -> None:
            self._real = real
            self._error = error

        def translate(self, *args: object) -> object:
            raise self._error

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    async def main() -> None:
        async with fake_engine() as local, fake_engine() as cloud:
            pools = {"local": attach(url_of(local)), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                live = gateway.driver.targets["local/0"]
                live.engine = Broken(live.engine, KeyError("speech"))  # type: ignore[attr-defined]
                for stream in (True, False):
                    reply = await ask(address_of(gateway), chat(stream=stream, max_tokens=1))
                    assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/m")
                assert gateway.driver.running_on("local/0") == 0
                assert gateway.driver.open_sessions == 0

    run(main())


def test_a_call_that_cannot_be_written_safely_costs_its_target_and_not_the_request() -> None:
    async def main() -> None:
        async with fake_engine() as local, fake_engine() as cloud:
            pools = {"local": attach(url_of(local)), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                gateway.driver.targets["local/0"].api_key = "a\r\nb: c"  # type: ignore[attr-defined]
                reply = await ask(address_of(gateway), chat(max_tokens=1))
                assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/m")

    run(main())


def test_a_target_that_goes_down_while_a_request_runs_is_not_asked_again() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"own": upstream(local.url, local=True), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(max_tokens=1)))
                call = await local.call()
                gateway.driver.feed(TargetChanged(target_id="own/main/m", health=Health.DOWN))
                call.cut()
                reply = await asking
                assert reply.headers["x-overspill-reason"] == "local_broken"
                again = await ask(address_of(gateway), chat(max_tokens=1))
                assert again.headers["x-overspill-reason"] == "local_broken"
                assert local.received == 1

    run(main())


def test_a_server_that_stops_answering_is_found_out_and_its_return_is_noticed() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                target = gateway.driver.controller.targets["local/0"]
                await until(lambda: local.polls)
                await local.close()
                await until(lambda: target.health is Health.DOWN)
                reply = await ask(address_of(gateway), chat(max_tokens=1))
                assert reply.headers["x-overspill-reason"] == "local_broken"
                await local.listen()
                await until(lambda: target.health is Health.READY)

    run(main())


def test_an_aggregated_stream_is_one_body_and_a_broken_one_is_answered_elsewhere() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine() as cloud:
            pools = {"local": attach(local.url, attach="llamacpp"), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat()))
                call = await local.call()
                assert call.json()["stream"] is True
                call.stream(STREAM + usage(4, 2) + DONE)
                reply = await asking
                assert reply.headers["content-type"] == "application/json"
                assert reply.json()["choices"][0]["message"]["content"] == "Hello"

                asking = asyncio.ensure_future(ask(address_of(gateway), chat(max_tokens=1)))
                call = await local.call()
                call.start_stream(delta("x"))
                await until(lambda: gateway.driver.running_on("local/0"))
                call.cut()
                reply = await asking
                assert reply.headers["x-overspill-target"] == "cloud/main/m"
                assert reply.json()["choices"][0]["message"]["content"] == words(1)

    run(main())


def test_a_stalled_target_is_given_up() -> None:
    async def main() -> None:
        async with scripted() as local, fake_engine(FAST) as cloud:
            pools = {"local": attach(local.url), "cloud": upstream(url_of(cloud))}
            routes = [{"model": "m", "tiers": [["local"], ["cloud"]], "first_token_timeout": "1ms"}]
            async with serving(text_of(pools, routes)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), chat(stream=True, max_tokens=1)))
                call = await local.call()
                call.start_stream(ROLE + b": keep-alive\n\n")
                assert (await asking).headers["x-overspill-reason"] == "attempt_failed"
                await call.gone()

    run(main())


def test_a_request_that_waited_for_its_engine_is_watched_too() -> None:
    """The sweep goes on while there is nothing to look after but a request that waits."""

    async def main() -> None:
        routes = [{"model": "m", "tiers": [["own"]], "stall_timeout": "1ms"}]
        async with (
            scripted() as local,
            serving(text_of({"own": upstream(local.url, local=True)}, routes)) as gateway,
        ):
            gateway.driver.feed(TargetChanged(target_id="own/main/m", health=Health.STARTING))
            async with RawClient(address_of(gateway)) as client:
                client.ask(chat(stream=True))
                await until(lambda: gateway.driver.controller.waiting_by_lane() == {("m", False): 1})
                gateway.driver._sweep()
                gateway.driver.feed(TargetChanged(target_id="own/main/m", health=Health.READY))
                call = await local.call()
                call.start_stream(delta("x"))
                reply = await client.reply()
                assert b'"code":"stream_timeout"' in reply.body
                await call.gone()

    run(main())


def test_the_breaker_opens_and_the_readiness_page_says_so() -> None:
    async def main() -> None:
        async with fake_engine(faults=(ErrorStatus(every=1, status=500),)) as local, fake_engine() as cloud:
            pools = {"local": attach(url_of(local)), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools)) as gateway:
                for _ in range(8):
                    assert (await ask(address_of(gateway), chat(max_tokens=1))).status == 200
                assert local.received == 5
                page = (await get(address_of(gateway), "/readyz")).json()
                assert page == {"status": "ready", "targets": {"local/0": False, "cloud/main/m": True}}

    run(main())
