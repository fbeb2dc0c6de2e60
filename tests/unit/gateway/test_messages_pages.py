"""What clients of Anthropic's API get besides answers: counts, models, errors in their own form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.gateways import address_of, attach, fake_engine, serving, text_of, url_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask, get
from tests.support.scripted_upstream import scripted

from overspill.gateway.service import Gateway

VERSION = ("anthropic-version", "2023-06-01")
COUNT = "/v1/messages/count_tokens"
ROUTES = [
    {"model": name, "tiers": [[{"pool": "local", "model": "rehearsal"}]]} for name in ("claude-a", "claude-b", "gpt-*")
]
PROMPT = {"model": "claude-a", "messages": [{"role": "user", "content": "hello there, how are you?"}]}


def on_gateway(scenario: Callable[[str, Gateway], Awaitable[None]], **sections: Any) -> None:
    async def main() -> None:
        async with (
            fake_engine() as engine,
            serving(text_of({"local": attach(url_of(engine))}, ROUTES, **sections)) as gateway,
        ):
            await scenario(address_of(gateway), gateway)

    run(main())


@pytest.mark.parametrize("path", [COUNT, "/anthropic/v1/messages/count_tokens", f"{COUNT}?beta=true"])
def test_the_tokens_of_a_prompt_are_counted_and_said_to_be_an_estimate(path: str) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, PROMPT, path)
        assert (reply.status, reply.headers["x-overspill-count"]) == (200, "estimated")
        short = reply.json()["input_tokens"]
        longer = await ask(address, {**PROMPT, "system": "You answer at length. " * 100}, path)
        assert longer.json()["input_tokens"] > 10 * short

    on_gateway(scenario)


def test_a_count_learns_from_what_targets_have_counted() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        before = (await ask(address, PROMPT, COUNT)).json()["input_tokens"]
        gateway.driver.controller.targets["local/0"].token_ratio.observe(3.0)
        after = (await ask(address, PROMPT, COUNT)).json()["input_tokens"]
        assert after > before

    on_gateway(scenario)


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ({"model": "claude-a"}, 400, "invalid_request_error", "messages: Field required"),
        ({**PROMPT, "model": "claude-c"}, 404, "not_found_error", "no route for model 'claude-c' (did you mean"),
    ],
)
def test_what_cannot_be_counted_is_an_error_in_anthropics_form(
    body: dict[str, Any], status: int, kind: str, message: str
) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, body, COUNT)
        assert reply.status == status
        assert reply.error["type"] == kind
        assert message in reply.error["message"]
        assert reply.json()["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]

    on_gateway(scenario)


def test_a_key_counts_only_for_models_that_it_may_ask_for() -> None:
    keys = [{"key": "env:GATE_KEY", "name": "one", "models": ["claude-b"]}]

    async def scenario(address: str, gateway: Gateway) -> None:
        headers = (("x-api-key", "sk-gate"),)
        assert (await ask(address, PROMPT, COUNT, headers)).status == 404
        assert (await ask(address, {**PROMPT, "model": "claude-b"}, COUNT, headers)).status == 200
        listed = (await get(address, "/v1/models", (*headers, VERSION))).json()
        assert [model["id"] for model in listed["data"]] == ["claude-b"]

    on_gateway(scenario, server={"api_keys": keys})


def test_the_models_are_listed_in_the_form_of_who_asks() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        listed = (await get(address, "/v1/models?limit=1", (VERSION,))).json()
        assert [model["type"] for model in listed["data"]] == ["model"]
        assert (listed["first_id"], listed["has_more"]) == ("claude-a", True)
        rest = (await get(address, "/v1/models?after_id=claude-a", (VERSION,))).json()
        assert [model["id"] for model in rest["data"]] == ["claude-b"]
        assert (await get(address, "/v1/models")).json()["object"] == "list"
        refused = await get(address, "/v1/models?limit=many", (VERSION,))
        assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")

    on_gateway(scenario)


def test_one_model_is_described_in_the_form_of_who_asks() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await get(address, "/v1/models/gpt-x", (VERSION,))).json()["display_name"] == "gpt-x"
        missing = await get(address, "/v1/models/other", (VERSION,))
        assert (missing.status, missing.error["type"]) == (404, "not_found_error")

    on_gateway(scenario)


def test_errors_of_the_head_come_in_anthropics_form() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        good = ("x-api-key", "sk-gate")
        for reply, status, kind in (
            (await ask(address, PROMPT, "/v1/messages"), 401, "authentication_error"),
            (await get(address, "/v1/messages", (good,)), 405, "invalid_request_error"),
            (await get(address, COUNT, (good,)), 405, "invalid_request_error"),
            (await get(address, "/v1/message", (good, VERSION)), 404, "not_found_error"),
            (await ask(address, PROMPT, "/v1/messages", (good,)), 400, "invalid_request_error"),
        ):
            assert (reply.status, reply.error["type"], reply.json()["type"]) == (status, kind, "error")
        wish = (good, ("x-overspill-priority", "urgent"))
        assert (await ask(address, PROMPT, "/v1/messages", wish)).error["type"] == "invalid_request_error"

    on_gateway(scenario, server={"api_keys": ["env:GATE_KEY"]})


def test_a_look_whether_somebody_is_there_needs_no_key() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.send("HEAD", "/")
            assert (await client.head()).status == 200
        assert (await get(address, "/")).status == 401

    on_gateway(scenario, server={"api_keys": ["env:GATE_KEY"]})


PLACED = [{"model": "claude-a", "tiers": [[{"pool": "local", "model": "m"}]]}]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"input_tokens": 7}, (7, "exact")),
        (200, {"input_tokens": "many"}, None),
        (404, {"error": "no such path"}, None),
    ],
)
def test_a_local_engine_that_counts_is_asked(
    status: int, body: dict[str, Any], expected: tuple[int, str] | None
) -> None:
    async def main() -> None:
        async with scripted() as engine:
            pool = {"attach": "llamacpp", "url": engine.url, "slots": 1}
            async with serving(text_of({"local": pool}, PLACED)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), {**PROMPT, "system": "Be brief."}, COUNT))
                call = await engine.call()
                assert call.head.startswith("POST /v1/chat/completions/input_tokens ")
                assert call.json()["model"] == "m"
                assert [message["role"] for message in call.json()["messages"]] == ["system", "user"]
                call.reply(status, body)
                reply = await asking
                assert reply.status == 200
                said = (reply.json()["input_tokens"], reply.headers["x-overspill-count"])
                assert said == expected if expected is not None else said[1] == "estimated"

    run(main())


def test_an_engine_that_does_not_answer_costs_a_moment_and_not_the_count() -> None:
    async def main() -> None:
        async with scripted() as engine:
            pool = {"attach": "llamacpp", "url": engine.url, "slots": 1}
            async with serving(text_of({"local": pool}, PLACED)) as gateway:
                asking = asyncio.ensure_future(ask(address_of(gateway), PROMPT, COUNT))
                (await engine.call()).cut()
                assert (await asking).headers["x-overspill-count"] == "estimated"

    run(main())


def test_a_prompt_does_not_leave_this_machine_for_the_sake_of_a_number() -> None:
    async def main() -> None:
        async with scripted() as engine:
            pool = {"attach": "llamacpp", "url": engine.url, "slots": 1, "local": False}
            async with serving(text_of({"local": pool}, PLACED)) as gateway:
                assert (await ask(address_of(gateway), PROMPT, COUNT)).headers["x-overspill-count"] == "estimated"
                assert engine.received == 0

    run(main())
