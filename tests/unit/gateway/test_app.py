"""What each path answers, and what the head alone refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.support.gateways import PRICE, address_of, attach, chat, fake_engine, serving, text_of, upstream, url_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, Reply, ask, get

from overspill.gateway.service import Gateway
from overspill.units import MIB

ROUTES = [
    {"model": ["small", "deepseek-flash"], "tiers": [["local"], ["cloud"]]},
    {"model": "rented", "tiers": [["cloud"]]},
    {"model": "gpt-*", "tiers": [[{"pool": "local", "model": "rehearsal"}]]},
]


def on_gateway(scenario: Callable[[str, Gateway], Awaitable[None]], **sections: Any) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            pools = {"local": attach(url_of(engine)), "cloud": upstream(url_of(engine))}
            async with serving(text_of(pools, ROUTES, **sections)) as gateway:
                await scenario(address_of(gateway), gateway)

    run(main())


WITH_KEY: dict[str, Any] = {"server": {"api_keys": ["env:GATE_KEY"]}}


def test_the_index_lists_the_paths() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        page = (await get(address, "/")).json()
        assert page["name"] == "overspill"
        assert {"/v1/chat/completions", "/v1/models", "/metrics", "/debug/route"} <= set(page["paths"])

    on_gateway(scenario)


def test_health_is_not_readiness() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await get(address, "/healthz")).json() == {"status": "ok"}
        ready = await get(address, "/readyz")
        assert (ready.status, ready.json()["status"]) == (200, "ready")
        assert set(ready.json()["targets"]) == {
            "local/0",
            "cloud/main/small",
            "cloud/main/deepseek-flash",
            "cloud/main/rented",
        }

    on_gateway(scenario)


def test_a_gateway_without_a_target_is_alive_and_not_ready() -> None:
    async def main() -> None:
        async with serving('{"server": {"port": 0}, "ledger": {"enabled": false}}') as gateway:
            assert (await get(address_of(gateway), "/healthz")).status == 200
            reply = await get(address_of(gateway), "/readyz")
            assert (reply.status, reply.json()) == (503, {"status": "no target is ready", "targets": {}})
            assert (await ask(address_of(gateway), chat())).error["message"].endswith("known: none")

    run(main())


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_models_are_those_with_a_name(path: str) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        listing = (await get(address, path)).json()
        assert listing["object"] == "list"
        cards = {card["id"]: card for card in listing["data"]}
        assert list(cards) == ["small", "deepseek-flash", "rented"]
        assert [card["local"] for card in cards.values()] == [True, True, False]
        assert cards["small"]["owned_by"] == "overspill"

    on_gateway(scenario)


def test_one_model_is_described_by_its_name_or_by_a_glob_that_takes_it() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        for name in ("small", "gpt-5/x"):
            reply = await get(address, f"/v1/models/{name}")
            assert (reply.status, reply.json()["id"]) == (200, name)
        missing = await get(address, "/v1/models/smal")
        assert missing.status == 404
        assert missing.error["code"] == "model_not_found"
        assert "did you mean 'small'?" in missing.error["message"]

    on_gateway(scenario)


def test_an_unknown_path_is_404_with_a_suggestion() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await get(address, "/v1/chat/completion")
        assert reply.status == 404
        assert reply.error["code"] == "unknown_path"
        assert "did you mean '/v1/chat/completions'?" in reply.error["message"]

    on_gateway(scenario)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET"),
        ("PUT", "/v1/models/small", "GET"),
        ("POST", "/metrics", "GET"),
        ("TRACE", "/healthz", "GET"),
        ("QUERY", "/v1/embeddings", "POST"),
    ],
)
def test_the_wrong_method_is_405_and_names_the_right_one(method: str, path: str, allowed: str) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await get(address, path, method=method)
        listed = "POST, OPTIONS" if allowed == "POST" else "GET, HEAD, OPTIONS"
        assert (reply.status, reply.headers["allow"]) == (405, listed)
        assert reply.error["message"] == f"{path} takes {allowed}, not {method}"

    on_gateway(scenario)


def test_no_completion_is_kept_to_be_listed() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await get(address, "/v1/chat/completions?limit=1")
        assert (reply.status, reply.json()["data"], reply.json()["has_more"]) == (200, [], False)
        reply = await get(address, "/chat/completions", method="DELETE")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, POST, OPTIONS")
        assert "takes POST, not DELETE" in reply.error["message"]

    on_gateway(scenario)


def test_a_head_request_has_no_body() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.send("HEAD", "/healthz")
            head = await client.head()
            assert head.status == 200
            client.send("GET", "/healthz")
            assert (await client.reply()).json() == {"status": "ok"}

    on_gateway(scenario)


@pytest.mark.parametrize("headers", [(), (("authorization", "Bearer sk-other"),), (("x-api-key", ""),)])
def test_without_a_good_key_only_probes_and_scrapers_get_in(headers: tuple[tuple[str, str], ...]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await get(address, path, headers)).status == 200
        for path in ("/", "/v1/models", "/debug/route?model=small", "/nowhere"):
            reply = await get(address, path, headers)
            assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="overspill"')
        refused = await ask(address, chat("small"), headers=headers)
        assert refused.status == 401
        assert refused.error["code"] == "invalid_api_key"
        assert gateway.driver.open_sessions == 0

    on_gateway(scenario, **WITH_KEY)


@pytest.mark.parametrize("header", [("authorization", "Bearer sk-gate"), ("x-api-key", "sk-gate")])
def test_a_good_key_gets_in(header: tuple[str, str]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await get(address, "/v1/models", (header,))).status == 200
        assert (await ask(address, chat("small"), headers=(header,))).status == 200

    on_gateway(scenario, **WITH_KEY)


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "malformed JSON": (b'{"model": "small", "messages": [', "not valid JSON"),
    "no object": (b"[1, 2]", "must be a JSON object"),
    "bad UTF-8": (b'{"model": "small\xff", "messages": []}', "not valid UTF-8"),
    "half a surrogate": (b'{"model": "\\ud800", "messages": [{"role": "user"}]}', "not valid JSON"),
    "no model": (b'{"messages": [{"role": "user", "content": "x"}]}', "'model' is missing"),
    "no messages": (b'{"model": "small"}', "'messages' is missing"),
    "absurd max_tokens": (msgspec.json.encode(chat("small", max_tokens=10**12)), "at most"),
    "negative max_tokens": (msgspec.json.encode(chat("small", max_tokens=-1)), "at least 0"),
    "a wrong type": (msgspec.json.encode(chat("small", stream="yes")), "must be true or false"),
    "nested too deeply": (
        b'{"model": "small", "messages": [{"role": "user", "content": "x"}], "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        "nested too deeply",
    ),
}


@pytest.mark.parametrize(("body", "words"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_body_that_cannot_be_read_is_400_and_the_connection_stays(body: bytes, words: str) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.ask(body)
            reply = await client.reply()
            assert reply.status == 400
            assert words in reply.error["message"]
            assert reply.headers["x-request-id"].startswith("req-")
            client.ask(chat("small"))
            assert (await client.reply()).status == 200

    on_gateway(scenario)


def test_an_over_large_body_is_413_before_it_is_read() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.send("POST", "/v1/chat/completions", headers=(("content-length", str(2 * MIB)),))
            assert (await client.reply()).status == 413

    on_gateway(scenario, server={"limits": {"max_body": "1MiB"}})


def test_a_wish_that_cannot_be_read_is_400_and_goes_nowhere() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, chat("small"), headers=(("x-overspill-local-onyl", "true"),))
        assert reply.status == 400
        assert reply.error["param"] == "x-overspill-local-onyl"
        assert gateway.driver.controller.open_requests == 0

    on_gateway(scenario)


def test_request_ids_are_never_used_twice() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        ids = [(await ask(address, chat("small"))).headers["x-request-id"] for _ in range(5)]
        ids.append((await ask(address, b"{}")).headers["x-request-id"])
        assert len(set(ids)) == 6

    on_gateway(scenario)


def scraped(reply: Reply, name: str) -> list[str]:
    return [line for line in reply.body.decode().splitlines() if line.startswith(name)]


def test_metrics_show_what_was_served_and_the_present() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        await ask(address, chat("small", stream=True, max_tokens=5))
        await ask(address, chat("nothing"))
        reply = await get(address, "/metrics")
        assert reply.headers["content-type"].startswith("text/plain")
        assert 'overspill_requests_total{model="small",outcome="completed"} 1.0' in scraped(reply, "overspill_req")
        assert 'overspill_requests_total{model="",outcome="rejected"} 1.0' in scraped(reply, "overspill_req")
        assert scraped(reply, "overspill_rejections_total") == [
            'overspill_rejections_total{reason="unknown_model"} 1.0'
        ]
        assert 'overspill_target_ready{target="local/0"} 1.0' in scraped(reply, "overspill_target_ready")
        assert 'overspill_breaker_state{state="closed",target="local/0"} 1.0' in scraped(reply, "overspill_breaker")
        assert 'overspill_num_requests_running{target="local/0"} 0.0' in scraped(reply, "overspill_num_requests_run")
        assert 'overspill_generation_tokens_total{target="local/0"} 5.0' in scraped(reply, "overspill_generation")

    on_gateway(scenario)


def test_the_explanation_of_a_route_shows_each_target() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        page = (await get(address, "/debug/route?model=small&prompt_tokens=10")).json()
        assert page["route"] == "small"
        assert page["decision"]["do"] == "start"
        assert page["decision"]["target"] == "local/0"
        home, cloud = page["targets"]
        assert (home["target"], home["tier"], home["local"], home["refusal"]) == ("local/0", 0, True, None)
        assert cloud["price_usd_per_mtok"] == [PRICE["input"], PRICE["output"]]
        only = (await get(address, "/debug/route?model=rented&local_only=true")).json()
        assert only["decision"] == {"do": "reject", "why": "no_target"}
        assert [target["refusal"] for target in only["targets"]] == ["local_only"]
        unknown = (await get(address, "/debug/route?model=nothing")).json()
        assert unknown["decision"] == {"do": "reject", "why": "unknown_model"}

    on_gateway(scenario)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "parameter 'model' is missing"),
        ("?model=", "parameter 'model' is missing"),
        ("?model=small&tokens=1", "unknown parameter 'tokens'"),
        ("?model=small&prompt_tokens=many", "must be a whole number"),
        ("?model=small&prompt_tokens=9999999999", "must be a whole number"),
        ("?model=small&local_only=perhaps", "must be true or false"),
        ("?model=small&surface=speech", "unknown surface 'speech'"),
    ],
)
def test_a_question_about_a_route_that_makes_no_sense_is_400(query: str, words: str) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await get(address, f"/debug/route{query}")
        assert reply.status == 400
        assert words in reply.error["message"]

    on_gateway(scenario)


def test_a_wish_that_cannot_be_read_is_refused_each_time_its_head_comes() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            numbers = set()
            for _ in range(3):
                client.ask(chat("small"), headers=(("x-overspill-priority", "urgent"),))
                reply = await client.reply()
                assert reply.status == 400
                assert b"urgent" in reply.body
                numbers.add(reply.headers["x-request-id"])
            assert len(numbers) == 3
        assert gateway.driver.controller.open_requests == 0

    on_gateway(scenario)


def test_the_wishes_of_a_head_count_each_time_it_comes() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            stays = (("x-overspill-local-only", "true"),)
            for headers in ((), (), stays, stays, stays, (), ()):
                client.ask(chat("rented", max_tokens=1), headers=headers)
                reply = await client.reply()
                assert (reply.status == 200) == (headers == ())
                assert reply.headers["x-overspill-reason"] == ("no_target" if headers else "home")

    on_gateway(scenario)


@pytest.mark.parametrize("wish", [(), (("x-overspill-local-only", "false"),)])
def test_the_requests_of_a_key_that_is_bound_stay_local_whatever_they_wish(wish: tuple[tuple[str, str], ...]) -> None:
    keys = ["env:CLOUD_KEY", {"key": "env:GATE_KEY", "name": "bound", "local_only": True}]

    async def scenario(address: str, gateway: Gateway) -> None:
        bound = (("authorization", "Bearer sk-gate"), *wish)
        refused = await ask(address, chat("rented", max_tokens=1), headers=bound)
        assert (refused.status, refused.error["code"]) == (503, "no_target")
        assert (await ask(address, chat("small", max_tokens=1), headers=bound)).status == 200
        free = (("authorization", "Bearer sk-cloud"),)
        assert (await ask(address, chat("rented", max_tokens=1), headers=free)).status == 200

    on_gateway(scenario, server={"api_keys": keys})
