"""What happens at the edge to whole requests: compression, numbers, proxies, HEAD, 100-continue."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.gateways import address_of, attach, chat, config_of, fake_engine, rows, serving, text_of, url_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask, get

from overspill.errors import ConfigError
from overspill.gateway.service import Gateway

JSON = ("content-type", "application/json")


def with_server(
    scenario: Callable[[str, Gateway], Awaitable[None]], *, path: Path | None = None, **server: Any
) -> None:
    async def main() -> None:
        async with fake_engine() as engine:
            text = text_of({"local": attach(url_of(engine))}, path=path, server=server)
            async with serving(text) as gateway:
                await scenario(address_of(gateway), gateway)

    run(main())


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_answered_like_any(coding: str, compress: Callable[[bytes], bytes]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            for number in range(1, 4):  # also when the head comes again
                body = compress(msgspec.json.encode(chat(max_tokens=number)))
                client.ask(body, headers=(("content-encoding", coding),))
                reply = await client.reply()
                assert (reply.status, reply.json()["usage"]["completion_tokens"]) == (200, number)

    with_server(scenario)


def test_a_bomb_costs_its_client_413_and_not_the_connection() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            client.ask(gzip.compress(bytes(1_000_000)), headers=(("content-encoding", "gzip"),))
            refused = await client.reply()
            assert (refused.status, refused.error["code"]) == (413, "body_too_large")
            assert "once decompressed" in refused.error["message"]
            client.ask(gzip.compress(b"{}")[:-4], headers=(("content-encoding", "gzip"),))
            assert (await client.reply()).error["code"] == "invalid_content_encoding"
            client.ask(chat())
            assert (await client.reply()).status == 200
        unknown = await ask(address, chat(), headers=(("content-encoding", "br"),))
        assert (unknown.status, unknown.error["code"]) == (415, "unsupported_content_encoding")
        assert unknown.headers["accept-encoding"] == "gzip, deflate"

    with_server(scenario, limits={"max_body": "100KiB"})


def test_large_whole_answers_are_compressed_for_those_who_accept_it() -> None:
    accepting = (("accept-encoding", "gzip, deflate"),)

    async def scenario(address: str, gateway: Gateway) -> None:
        plain = await ask(address, chat(max_tokens=4000))
        assert plain.headers["vary"] == "accept-encoding"
        assert "content-encoding" not in plain.headers
        reply = await ask(address, chat(max_tokens=4000), headers=accepting)
        assert reply.headers["content-encoding"] == "gzip"
        text = msgspec.json.decode(gzip.decompress(reply.body))["choices"][0]["message"]["content"]
        assert text == plain.json()["choices"][0]["message"]["content"]
        assert len(reply.body) < len(plain.body)
        assert "content-encoding" not in (await ask(address, chat(max_tokens=3), headers=accepting)).headers
        stream = await ask(address, chat(max_tokens=4000, stream=True), headers=accepting)
        assert "content-encoding" not in stream.headers
        scrape = await get(address, "/metrics", accepting)
        assert gzip.decompress(scrape.body).startswith(b"# HELP")

    with_server(scenario)


def test_compression_can_be_switched_off() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, chat(max_tokens=4000), headers=(("accept-encoding", "gzip"),))
        assert "content-encoding" not in reply.headers
        assert "vary" not in reply.headers

    with_server(scenario, compress=False)


OURS = re.compile(r"req-[0-9a-f]{12}-[0-9a-f]+")


def test_a_clients_number_is_repeated_and_ours_stands_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(address: str, gateway: Gateway) -> None:
        own = await ask(address, chat())
        assert OURS.fullmatch(own.headers["x-request-id"])
        assert "x-overspill-request-id" not in own.headers
        async with RawClient(address) as client:
            for _ in range(2):
                client.ask(chat(), headers=(("x-request-id", "trace-1/a:b"),))
                reply = await client.reply()
                assert reply.headers["x-request-id"] == "trace-1/a:b"
                assert OURS.fullmatch(reply.headers["x-overspill-request-id"])
            client.ask(chat("unknown"), headers=(("x-request-id", "trace-2"),))
            refused = await client.reply()
            assert (refused.status, refused.headers["x-request-id"]) == (404, "trace-2")
            client.ask(b"{", headers=(("x-request-id", "trace-3"),))
            assert (await client.reply()).headers["x-request-id"] == "trace-3"
            client.ask(chat(stream=True, max_tokens=2), headers=(("x-request-id", "trace-4"),))
            assert (await client.reply()).headers["x-request-id"] == "trace-4"
        assert (await get(address, "/nowhere", (("x-request-id", "trace-5"),))).headers["x-request-id"] == "trace-5"

    with_server(scenario, path=path)
    assert [row["client_request_id"] for row in rows(path, "requests")] == [
        None, "trace-1/a:b", "trace-1/a:b", "trace-2", "trace-4",
    ]  # fmt: skip
    assert {row["client_address"] for row in rows(path, "requests")} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "sent", [("",), ("a b",), ("a\tb",), ("é",), ("x" * 129,), ('"quoted"',), ("one", "two"), ("one", "one")]
)
def test_a_number_that_is_odd_or_repeated_is_not_repeated(sent: tuple[str, ...]) -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        reply = await ask(address, chat(), headers=tuple(("x-request-id", value) for value in sent))
        assert reply.status == 200
        assert OURS.fullmatch(reply.headers["x-request-id"])

    with_server(scenario)


@pytest.mark.parametrize(("proxies", "expected"), [(["127.0.0.0/8"], "203.0.113.9"), (["10.0.0.0/8"], "127.0.0.1")])
def test_a_trusted_proxy_says_who_asked(tmp_path: Path, proxies: list[str], expected: str) -> None:
    path = tmp_path / "ledger.db"

    async def scenario(address: str, gateway: Gateway) -> None:
        async with RawClient(address) as client:
            for _ in range(2):
                client.ask(chat(), headers=(("x-forwarded-for", "6.6.6.6, 203.0.113.9"),))
                assert (await client.reply()).status == 200

    with_server(scenario, path=path, trusted_proxies=proxies)
    assert [row["client_address"] for row in rows(path, "requests")] == [expected] * 2


def test_the_name_that_a_trusted_proxy_was_asked_by_is_guarded_too() -> None:
    outer = (("x-forwarded-host", "gate.example"),)

    async def scenario(address: str, gateway: Gateway) -> None:
        assert (await get(address, "/v1/models", outer)).error["code"] == "host_not_allowed"

    with_server(scenario, trusted_proxies=["127.0.0.1"])

    async def ignored(address: str, gateway: Gateway) -> None:
        assert (await get(address, "/v1/models", outer)).status == 200

    with_server(ignored)


def test_what_is_no_network_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"trusted_proxies\[1\].*'proxy.lan' is neither an address nor a network"):
        config_of(text_of({}, [], server={"trusted_proxies": ["10.0.0.1", "proxy.lan"]}))


def test_every_page_answers_head_with_the_head_of_get() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        pages = ["/", "/healthz", "/readyz", "/v1/models", "/models", "/v1/models/m", "/debug/route?model=m"]
        for page in [*pages, "/v1/models/none", "/debug/route"]:
            full = await get(address, page)
            async with RawClient(address) as client:
                client.send("HEAD", page)
                head = await client.head()
                client.send("GET", "/healthz")  # nothing of a body stands between
                assert (await client.reply()).json() == {"status": "ok"}
            assert head.status == full.status
            assert head.headers.keys() == full.headers.keys()
            assert head.headers["content-type"] == full.headers["content-type"]

    with_server(scenario)


def test_a_client_is_told_to_go_on_only_if_its_request_will_be_read() -> None:
    async def scenario(address: str, gateway: Gateway) -> None:
        body = msgspec.json.encode(chat())
        lines = (JSON, ("expect", "100-continue"), ("content-length", str(len(body))))
        async with RawClient(address) as client:
            client.send("POST", "/v1/chat/completions", headers=(*lines, ("x-api-key", "sk-gate")))
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.writer.write(body)
            assert (await client.reply()).status == 200
        async with RawClient(address) as client:
            client.send("POST", "/v1/chat/completions", headers=lines)
            assert (await client.reply()).status == 401

    with_server(scenario, api_keys=["env:GATE_KEY"])
