"""Detectors before a real gateway: what they find stays local, and so does what they cannot judge."""

from __future__ import annotations

import asyncio
import logging
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
    metric_samples,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import LOOPS, run, until
from tests.support.outside import Outside, outside
from tests.support.raw_client import RawClient, Reply, ask, get
from tests.support.touchy import install_touchy

from overspill.errors import ConfigError
from overspill.gateway.rehearsal.engine import FakeEngine
from overspill.gateway.screening import TextVerdict
from overspill.gateway.service import Gateway
from overspill.wire.responses.packed import Packed, pack

OURS = {"detector": "patterns", "options": {"keywords": ["hush"], "known": ["cn_id_card"]}}
IMAGE = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "https://example.com/a"}}]


def said(content: Any, model: str = "far", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 3, **more}


def config(cloud: Outside, local: FakeEngine, *, route: dict[str, Any] | None = None, **screening: Any) -> str:
    """Write it: ``far`` is only outside, ``near`` is local and spills."""
    pools = {"local": attach(url_of(local)), "cloud": upstream(cloud.url)}
    more = {"screening": route} if route else {}
    routes = [
        {"model": "far", "tiers": [["cloud"]], **more},
        {"model": "near", "tiers": [["local"], ["cloud"]], **more},
    ]
    screening = {"detectors": {"ours": OURS}, "timeout": "20s", **screening}
    path = screening.pop("path", None)
    return text_of(pools, routes, path=path, screening=screening)


async def stays(gateway: Gateway, cloud: Outside, content: Any) -> Reply:
    """Ask for the model that is only outside; the request must be refused, and nothing of it be seen outside."""
    before = cloud.seen
    reply = await ask(address_of(gateway), said(content))
    assert reply.status == 503
    assert reply.headers["x-overspill-local-only"] == "detector"
    assert cloud.seen == before
    return reply


async def leaves(gateway: Gateway, content: Any) -> None:
    reply = await ask(address_of(gateway), said(content))
    assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/far")
    assert "x-overspill-local-only" not in reply.headers


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stream", [True, False])
def test_what_a_detector_finds_runs_at_home_and_the_answer_says_why(tmp_path: Path, stream: bool, loop: str) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local, path=path)) as gateway:
            await leaves(gateway, "nothing special")
            reply = await ask(address_of(gateway), said("hush, this is ours", "near", stream=stream))
            assert (reply.status, reply.headers["x-overspill-target"]) == (200, "local/0")
            assert reply.headers["x-overspill-local-only"] == "detector"
            assert "hush" not in str(reply.headers)
            await stays(gateway, cloud, "身份证 11010519491231002X")
            reply = await ask(address_of(gateway), said("plain", "near", stream=stream))
            assert "x-overspill-local-only" not in reply.headers
            assert metric_samples(gateway, "overspill_screenings_total") == {("clean",): 2, ("found",): 2}

    run(main(), loop=loop)
    marks = [(row["local_only"], row["local_only_by"], row["outcome"]) for row in rows(path, "requests")]
    assert marks == [
        (0, None, "completed"),
        (1, "detector", "completed"),
        (1, "detector", "rejected"),
        (0, None, "completed"),
    ]


def test_what_a_client_of_responses_carries_packed_is_looked_at_as_the_text_it_is() -> None:
    def carried(thought: str) -> dict[str, Any]:
        reasoning = {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": pack(Packed.THOUGHT, thought),
        }
        return {"model": "far", "input": [reasoning, {"role": "user", "content": "go on"}], "max_output_tokens": 3}

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local)) as gateway:
            address = address_of(gateway)
            reply = await ask(address, carried("nothing special"), "/v1/responses")
            assert (reply.status, reply.headers["x-overspill-target"]) == (200, "cloud/main/far")
            reply = await ask(address, carried("this is hush"), "/v1/responses")
            assert (reply.status, reply.headers["x-overspill-local-only"]) == (503, "detector")

    run(main())


def test_an_image_stays_unless_its_route_lets_it_go() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            async with serving(config(cloud, local)) as gateway:
                await stays(gateway, cloud, IMAGE)
                assert metric_samples(gateway, "overspill_screenings_total") == {("unseen",): 1}
            async with serving(config(cloud, local, route={"when_unseen": "allow"})) as gateway:
                await leaves(gateway, IMAGE)
                await stays(gateway, cloud, [*IMAGE, {"type": "text", "text": "hush"}])

    run(main())


def test_a_route_chooses_its_detectors() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            async with serving(config(cloud, local, route={"detectors": []})) as gateway:
                await leaves(gateway, "hush")
                assert gateway.entrance.screening is None
            other = {"detector": "patterns", "options": {"keywords": ["psst"]}}
            detectors = {"ours": OURS, "other": other}
            async with serving(config(cloud, local, route={"detectors": ["other"]}, detectors=detectors)) as gateway:
                await leaves(gateway, "hush")
                await stays(gateway, cloud, "psst")

    run(main())


@pytest.fixture
def touchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    install_touchy(tmp_path / "site-packages", monkeypatch)
    return {"detectors": {"touchy": {"detector": "touchy"}}, "timeout": "20s"}


@pytest.mark.parametrize("word", ["raise-me", "crash-me", "find-me"])
def test_a_detector_that_raises_or_crashes_keeps_the_request_local_and_the_next_is_judged(
    touchy: dict[str, Any], word: str
) -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local, **touchy)) as gateway:
            await leaves(gateway, "plain")
            await stays(gateway, cloud, f"please {word}")
            await leaves(gateway, "plain and print-me")

    run(main())


def test_detectors_get_none_of_the_keys(touchy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_KEY", "sk-cloud")

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local, **touchy)) as gateway:
            await leaves(gateway, "environment-has CLOUD_KEY")
            await stays(gateway, cloud, "environment-has PATH")

    run(main())


def test_a_detector_that_hangs_is_given_up_while_everything_else_goes_on(touchy: dict[str, Any]) -> None:
    async def main() -> None:
        async with (
            outside() as cloud,
            fake_engine() as local,
            serving(config(cloud, local, **{**touchy, "timeout": "500ms"})) as gateway,
        ):
            address = address_of(gateway)
            hanging = asyncio.create_task(stays(gateway, cloud, "hang-me"))
            assert (await get(address, "/healthz")).status == 200
            await hanging
            screening = gateway.entrance.screening
            assert screening is not None
            assert gateway.entrance.verdicts[TextVerdict.FAILED] == 1

    run(main())


def test_a_regular_expression_that_runs_away_is_given_up() -> None:
    runaway = {"detector": "patterns", "options": {"patterns": {"bad": "(a+)+b"}}}

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            text = config(cloud, local, detectors={"ours": runaway}, timeout="700ms")
            async with serving(text) as gateway:
                await until(lambda: gateway.entrance.screening is not None and gateway.entrance.screening.is_ready)
                await stays(gateway, cloud, "a" * 64)
                await until(lambda: gateway.entrance.screening is not None and gateway.entrance.screening.is_ready)
                await leaves(gateway, "plain")

    run(main())


def test_a_route_may_let_go_what_its_detectors_failed_on(touchy: dict[str, Any]) -> None:
    async def main() -> None:
        async with (
            outside() as cloud,
            fake_engine() as local,
            serving(config(cloud, local, route={"when_failed": "allow"}, **touchy)) as gateway,
        ):
            await leaves(gateway, "raise-me")
            await stays(gateway, cloud, "find-me")

    run(main())


def test_detectors_that_cannot_be_loaded_keep_everything_local_at_once(
    touchy: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"touchy": {"detector": "touchy", "options": {"load": "raise"}}}

    async def main() -> None:
        async with (
            outside() as cloud,
            fake_engine() as local,
            serving(config(cloud, local, detectors=broken)) as gateway,
        ):
            await stays(gateway, cloud, "plain")
            await stays(gateway, cloud, "plain")

    with caplog.at_level(logging.ERROR):
        run(main())
    assert "the detectors cannot be used, so requests stay local: RuntimeError('no licence')" in caplog.text


def test_the_log_says_that_screening_failed_and_nothing_of_the_text(
    touchy: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local, **touchy)) as gateway:
            await stays(gateway, cloud, "raise-me and tell nobody")

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "a detector raised ValueError" in caplog.text
    assert "nobody" not in caplog.text


def test_a_text_that_is_too_long_stays() -> None:
    async def main() -> None:
        async with (
            outside() as cloud,
            fake_engine() as local,
            serving(config(cloud, local, max_text="1KiB")) as gateway,
        ):
            await leaves(gateway, "word " * 100)
            await stays(gateway, cloud, "word " * 300)
            await stays(gateway, cloud, "word " * 2_000_000)

    run(main())


def test_a_client_that_leaves_while_its_text_is_looked_at_is_forgotten(tmp_path: Path, touchy: dict[str, Any]) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            text = config(cloud, local, path=path, **{**touchy, "timeout": "300ms"})
            async with serving(text) as gateway:
                async with RawClient(address_of(gateway)) as client:
                    client.ask(said("hang-me"))
                    await until(lambda: gateway.app.intake is not None and gateway.app.intake.is_busy)
                await until(lambda: gateway.app.intake is not None and not gateway.app.intake.is_busy)
                assert gateway.driver.open_sessions == 0
                assert cloud.seen == b""

    run(main())
    (row,) = rows(path, "requests")
    assert (row["outcome"], row["attempts"], row["route"]) == ("client_gone", 0, "far")


@pytest.mark.parametrize("comes_back", ["while it is looked at", "later", "never"])
def test_a_retry_goes_on_with_what_is_with_the_detectors(touchy: dict[str, Any], comes_back: str) -> None:
    first, second = (("x-stainless-retry-count", "0"),), (("x-stainless-retry-count", "1"),)

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            text = config(cloud, local, route={"when_failed": "allow"}, **{**touchy, "timeout": "500ms"})
            async with serving(text) as gateway:
                intake = gateway.app.intake
                assert intake is not None
                async with RawClient(address_of(gateway)) as client:
                    client.ask(said("hang-me"), headers=first)
                    await until(lambda: intake.is_busy)
                if comes_back == "later":
                    await until(lambda: not intake.is_busy)
                if comes_back != "never":
                    assert (await ask(address_of(gateway), said("hang-me"), headers=second)).status == 200
                    assert gateway.driver.rejoining.rejoined == 1
                await until(lambda: cloud.count("hang-me") == 1)
                await until(lambda: not gateway.driver.open_sessions)
                assert not gateway.driver.rejoining._open

    run(main())


@pytest.mark.parametrize("change", ["stop", "reload"])
def test_what_is_with_the_detectors_at_the_end_stays_local(touchy: dict[str, Any], change: str) -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            text = config(cloud, local, **touchy)
            async with serving(text) as gateway, RawClient(address_of(gateway)) as client:
                client.ask(said("hang-me"))
                await until(lambda: gateway.app.intake is not None and gateway.app.intake.is_busy)
                if change == "stop":
                    await gateway.stop()
                else:
                    gateway.reload(config_of(config(cloud, local)))
                reply = await client.reply()
                assert (reply.status, reply.headers["x-overspill-local-only"]) == (503, "detector")
                assert cloud.seen == b""

    run(main())


def test_a_reload_that_brings_detectors_binds_what_waits_and_has_not_been_looked_at() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            cloud.mode = "busy"
            without = config(cloud, local, detectors={})
            async with serving(without) as gateway, RawClient(address_of(gateway)) as client:
                client.ask(said("hush"))
                await until(lambda: cloud.count("hush") >= 1)
                await until(lambda: sum(gateway.driver.controller.waiting_by_lane().values()) == 1)
                seen = cloud.count("hush")
                gateway.reload(config_of(config(cloud, local)))
                cloud.mode = "answer"
                reply = await client.reply()
                assert (reply.status, reply.headers["x-overspill-local-only"]) == (503, "detector")
                assert cloud.count("hush") == seen

    run(main())


def test_debug_route_shows_where_a_request_would_go_whose_text_is_clean() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local)) as gateway:
            shown = (await get(address_of(gateway), "/debug/route?model=far")).json()
            assert shown["decision"]["target"] == "cloud/main/far"
            assert shown["screened"] is True

    run(main())


@pytest.mark.parametrize(
    ("screening", "words"),
    [
        ({"detectors": {"x": {"detector": "paterns"}}}, "did you mean 'patterns'"),
        (
            {"detectors": {"x": {"detector": "patterns"}}},
            "screening.detectors.x: options: there is nothing to look for",
        ),
        ({"detectors": {"a b": OURS}}, "'a b' is no name for a detector"),
        ({"detectors": {"x": OURS}, "timeout": "0s"}, "timeout"),
    ],
)
def test_what_cannot_work_is_an_error_with_its_place(screening: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(text_of({"local": attach("http://127.0.0.1:9")}, screening=screening))
    assert words in str(caught.value)


def test_a_route_that_names_no_detector_of_ours_is_an_error() -> None:
    routes = [{"model": "m", "tiers": [["local"]], "screening": {"detectors": ["our"]}}]
    text = text_of({"local": attach("http://127.0.0.1:9")}, routes, screening={"detectors": {"ours": OURS}})
    with pytest.raises(ConfigError, match=r"there is no detector 'our' \(did you mean 'ours'"):
        config_of(text)


def test_a_header_that_binds_is_said_to_have_bound() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local)) as gateway:
            headers = (("x-overspill-local-only", "true"),)
            reply = await ask(address_of(gateway), said("plain", "near"), headers=headers)
            assert reply.headers["x-overspill-local-only"] == "header"
            assert metric_samples(gateway, "overspill_screenings_total") == {}

    run(main())


def test_a_key_that_binds_is_said_to_have_bound() -> None:
    async def main() -> None:
        async with outside() as cloud, fake_engine() as local:
            keys = {"api_keys": [{"key": "env:GATE_KEY", "name": "tied", "local_only": True}]}
            pools = {"local": attach(url_of(local)), "cloud": upstream(cloud.url)}
            async with serving(text_of(pools, server=keys), environ=ENVIRON) as gateway:
                reply = await ask(address_of(gateway), chat(max_tokens=2), headers=(("x-api-key", "sk-gate"),))
                assert reply.headers["x-overspill-local-only"] == "key"

    run(main())


def test_presidio_looks_at_requests_in_its_own_process() -> None:
    pytest.importorskip("presidio_analyzer", reason="the extra pii is not installed")

    async def main() -> None:
        detectors = {"pii": {"detector": "presidio", "options": {"entities": ["CREDIT_CARD", "EMAIL_ADDRESS"]}}}
        async with (
            outside() as cloud,
            fake_engine() as local,
            serving(config(cloud, local, detectors=detectors)) as gateway,
        ):
            await leaves(gateway, "What is the weather like?")
            await stays(gateway, cloud, "Write to jane.doe@example.com, the card is 4111 1111 1111 1111.")

    run(main())


def test_the_driver_sends_nothing_where_it_must_not_even_if_the_controller_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second lock: here driver and controller do not agree on which targets are outside."""

    async def main() -> None:
        async with outside() as cloud, fake_engine() as local, serving(config(cloud, local)) as gateway:
            gateway.driver._outside = frozenset({"local/0"})
            reply = await ask(address_of(gateway), said("hush", "near"))
            assert (reply.status, local.received, cloud.seen) == (502, 0, b"")
            assert (await ask(address_of(gateway), said("plain", "near"))).status == 200

    run(main())
    assert "must stay local and was to be sent to local/0" in caplog.text
