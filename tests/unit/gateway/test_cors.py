"""Which web pages may use a gateway from a browser, and what their browsers are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.gateways import address_of, attach, chat, config_of, fake_engine, serving, text_of, url_of
from tests.support.loops import run
from tests.support.raw_client import Headers, RawClient, Reply, ask, get

from overspill.errors import ConfigError
from overspill.gateway.cors import EXPOSED, Cors
from overspill.gateway.http.request import Request
from overspill.gateway.service import Gateway
from overspill.gateway.web_guard import WebGuard

SITE = "https://chat.example.com"
PAGE = ("origin", SITE)
HERE = ("origin", "http://localhost:3210")
PREFLIGHT: Headers = (
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type,x-stainless-os"),
)
WITH_KEY: dict[str, Any] = {"api_keys": ["env:GATE_KEY"]}
KEY = ("authorization", "Bearer sk-gate")


def with_server(scenario: Callable[[str, Gateway], Awaitable[None]], **server: Any) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            text = text_of({"local": attach(url_of(engine))}, server=server)
            async with serving(text) as gateway:
                await scenario(address_of(gateway), gateway)

    run(main())


async def preflight(address: str, *headers: tuple[str, str], path: str = "/v1/chat/completions") -> Reply:
    return await get(address, path, (*headers, *PREFLIGHT), method="OPTIONS")


@pytest.mark.parametrize("server", [{}, WITH_KEY], ids=["open", "with keys"])
@pytest.mark.parametrize(
    "origin",
    ["http://localhost:3210", "http://127.0.0.1", "http://[::1]:8080", "app://obsidian.md", "tauri://localhost"],
)
def test_pages_of_this_machine_and_applications_may(origin: str, server: dict[str, Any]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await preflight(address, ("origin", origin))
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == origin
        assert reply.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
        assert reply.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-os"
        assert reply.headers["access-control-max-age"] == "600"
        assert "access-control-allow-credentials" not in reply.headers
        assert "access-control-allow-private-network" not in reply.headers
        answer = await ask(address, chat(), headers=(("origin", origin), KEY))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, origin)
        assert "x-overspill-target" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"]

    with_server(scenario, **server)


@pytest.mark.parametrize("server", [{}, WITH_KEY], ids=["open", "with keys"])
@pytest.mark.parametrize(
    "origin", [SITE, "http://localhost.evil.example", "null", "chrome-extension://abcdef", "http://192.168.1.4:8788"]
)
def test_pages_of_others_may_not(origin: str, server: dict[str, Any]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        refused = await preflight(address, ("origin", origin))
        assert (refused.status, refused.error["code"]) == (403, "origin_not_allowed")
        assert "server.cors_origins" in refused.error["message"]
        for path in ("/healthz", "/metrics", "/v1/models"):
            reply = await get(address, path, (("origin", origin), KEY))
            assert (reply.status, reply.headers["vary"]) == (200, "origin")
            assert "access-control-allow-origin" not in reply.headers

    with_server(scenario, **server)


@pytest.mark.parametrize("server", [{}, WITH_KEY], ids=["open", "with keys"])
def test_a_page_that_is_named_may_whatever_the_answer(server: dict[str, Any]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await preflight(address, PAGE)).status == 204
        async with RawClient(address) as client:
            for _ in range(3):  # also when the head comes again
                client.ask(chat(), headers=(PAGE, KEY))
                reply = await client.reply()
                assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, SITE)
            client.ask(chat(stream=True), headers=(PAGE, KEY))
            assert (await client.reply()).headers["access-control-allow-origin"] == SITE
            client.ask(b"{", headers=(PAGE, KEY))
            bad = await client.reply()
            assert (bad.status, bad.headers["access-control-allow-origin"]) == (400, SITE)
        missing = await get(address, "/v1/nothing", (PAGE, KEY))
        assert (missing.status, missing.headers["access-control-allow-origin"]) == (404, SITE)
        if server:
            unknown = await ask(address, chat(), headers=(PAGE,))
            assert (unknown.status, unknown.headers["access-control-allow-origin"]) == (401, SITE)
        large = await ask(address, bytes(2000), headers=(PAGE, KEY))
        assert (large.status, large.headers["access-control-allow-origin"]) == (413, SITE)

    with_server(scenario, cors_origins=[SITE], limits={"max_body": "1KiB"}, **server)


def test_with_keys_any_page_may_if_the_configuration_says_so() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await preflight(address, PAGE)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "*")
        answer = await ask(address, chat(), headers=(PAGE, KEY))
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert "vary" not in answer.headers

    with_server(scenario, cors_origins=["*"], **WITH_KEY)


def test_without_keys_not_every_page_can_be_let_in() -> None:
    with pytest.raises(ConfigError, match="any web page that is open in a browser here could spend your money"):
        config_of(text_of({}, [], server={"cors_origins": ["*"]}))


@pytest.mark.parametrize("origin", ["chat.example.com", "https://a.example/path", "https://a.example/", ""])
def test_what_is_no_origin_is_an_error(origin: str) -> None:
    with pytest.raises(ConfigError, match="cors_origins"):
        config_of(text_of({}, [], server={"cors_origins": [origin]}))


def test_a_private_network_may_be_asked_by_pages_that_may_ask() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        private = ("access-control-request-private-network", "true")
        reply = await preflight(address, PAGE, private)
        assert reply.headers["access-control-allow-private-network"] == "true"
        refused = await preflight(address, ("origin", "https://evil.example"), private)
        assert "access-control-allow-private-network" not in refused.headers

    with_server(scenario, cors_origins=[SITE])


def test_a_name_that_a_site_pointed_here_is_told_nothing() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        rebound = (("origin", "http://evil.example:8788"), ("host", "evil.example:8788"))
        assert (await preflight(address, *rebound)).error["code"] == "host_not_allowed"

    with_server(scenario)


def test_a_reload_lets_other_pages_in() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await preflight(address, PAGE)).status == 403
        assert gateway.reload(config_of(text_of({}, [], server={"cors_origins": [SITE]}))) == []
        assert (await preflight(address, PAGE)).status == 204

    with_server(scenario)


def test_options_without_a_page_say_what_a_path_takes() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        for path, allowed in (
            ("/v1/completions", "POST, OPTIONS"),
            ("/v1/chat/completions", "GET, HEAD, POST, OPTIONS"),
            ("/v1/responses/one", "GET, HEAD, DELETE, OPTIONS"),
            ("/v1/models", "GET, HEAD, OPTIONS"),
            ("/v1/models/m", "GET, HEAD, OPTIONS"),
            ("*", "GET, HEAD, OPTIONS, POST"),
        ):
            reply = await get(address, path, method="OPTIONS")
            assert (reply.status, reply.headers["allow"]) == (204, allowed)
        assert (await get(address, "/nowhere", method="OPTIONS")).status == 404

    with_server(scenario, **WITH_KEY)


def test_a_request_of_no_page_has_no_header_about_pages() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, chat(), headers=(KEY,))
        assert not [name for name in reply.headers if name.startswith("access-control")]

    with_server(scenario, **WITH_KEY)


def test_odd_wishes_of_a_preflight_get_the_usual_list() -> None:
    cors = Cors(WebGuard("127.0.0.1", (), (SITE,)))
    for wish in (b"a\x80b", b"x" * 3000, b""):
        request = Request(
            "OPTIONS",
            "/",
            b"",
            [(b"access-control-request-method", b"GET"), (b"access-control-request-headers", wish)],
        )
        request.origin = SITE.encode()
        answer = cors.preflight(request, ("GET",))
        assert answer is not None
        assert dict(answer[1])[b"access-control-allow-headers"].startswith(b"authorization, content-type")


def test_origins_without_end_do_not_grow_what_is_kept() -> None:
    cors = Cors(WebGuard("127.0.0.1"))
    for number in range(1000):
        assert cors.lines(b"https://%d.example" % number) == b"vary: origin\r\n"
    assert len(cors._lines) <= 256
    assert not WebGuard("127.0.0.1", (), ("*",)).allows_page(b"https://" + b"a" * 300)


def test_a_page_may_read_each_header_that_the_reference_names() -> None:
    from tests.docs.generators.http_api import RESPONSE_HEADERS

    exposed = set(EXPOSED.split(", "))
    assert [name for name, _ in RESPONSE_HEADERS if name not in exposed] == []
