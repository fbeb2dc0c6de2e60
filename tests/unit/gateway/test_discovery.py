"""Which servers are found on this machine, on addresses of loopback that nobody else uses."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.support.loops import run

from overspill.config.discover import FoundServer
from overspill.gateway.discovery import find_servers
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.server import serve

HOST = "127.31.17.9"
Pages = dict[str, tuple[int, object]]
VLLM: Pages = {
    "/v1/models": (200, {"object": "list", "data": [{"id": "big", "owned_by": "vllm", "max_model_len": 8192}]})
}
LLAMA: Pages = {
    "/v1/models": (
        200,
        {"object": "list", "data": [{"id": "small", "owned_by": "llamacpp", "meta": {"n_ctx": 2048}}]},
    ),
}
OLLAMA: Pages = {
    "/api/version": (200, {"version": "0.20"}),
    "/v1/models": (200, {"object": "list", "data": [{"id": "a", "owned_by": "library"}, {"id": "b"}]}),
}


@contextlib.asynccontextmanager
async def listening(port: int, pages: Pages) -> AsyncIterator[None]:
    def answer(exchange: Exchange) -> None:
        status, body = pages.get(exchange.request.path, (404, {}))
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        exchange.reply(status, [(b"content-type", b"application/json")], raw)

    server = await serve(answer, host=HOST, port=port)
    try:
        yield
    finally:
        await server.close()


async def found(**options: int) -> list[FoundServer]:
    client = HttpClient()
    try:
        return await find_servers(client, host=HOST, **options)
    finally:
        await client.close()


def test_servers_are_found_with_their_models_and_context() -> None:
    async def main() -> None:
        async with listening(8000, VLLM), listening(8080, LLAMA), listening(11434, OLLAMA):
            servers = {server.kind: server for server in await found()}
        assert set(servers) == {"vllm", "llamacpp", "ollama"}
        assert servers["vllm"] == FoundServer(
            kind="vllm", url=f"http://{HOST}:8000", models=("big",), context_tokens=8192
        )
        assert servers["llamacpp"].context_tokens == 2048
        assert servers["ollama"].models == ("a", "b")

    run(main())


def test_nothing_is_found_where_nothing_listens() -> None:
    async def main() -> None:
        assert await found() == []

    run(main())


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/v1/models": (500, {})},
        {"/v1/models": (200, b"<html>hello</html>")},
        {"/v1/models": (200, {"object": "list", "data": [{"id": "x", "owned_by": "somebody"}]})},
        {"/v1/models": (200, {"object": "list", "data": []})},
    ],
    ids=["404", "500", "HTML", "another's", "no models"],
)
def test_what_is_no_such_server_is_left_alone(pages: Pages) -> None:
    async def main() -> None:
        async with listening(8000, pages):
            assert await found() == []

    run(main())


def test_our_own_port_is_not_asked() -> None:
    async def main() -> None:
        async with listening(8000, VLLM):
            assert await found(skip_port=8000) == []

    run(main())
