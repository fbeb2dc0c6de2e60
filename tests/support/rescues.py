"""Two servers with the same weights that go on with an answer exactly, and a stream that breaks off on one of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.gateways import address_of, chat, serving, text_of
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, Reply
from tests.support.scripted_upstream import DONE, ROLE, Call, ScriptedUpstream, delta, scripted

from overspill.gateway.service import Gateway

TRIAL = ["One", ",", " two", ",", " three", "."]
"""What the servers here answer to the gateway's own question."""


async def show_continuing(server: ScriptedUpstream, *, thoughts: bool = True) -> None:
    """Play a llama.cpp that goes on exactly, for as long as the gateway looks."""
    for _ in range(10 if thoughts else 6):
        call = await server.call()
        message = call.json()["messages"][-1]
        given = message.get("reasoning_content", "") or message["content"]
        if not thoughts and "reasoning_content" in message:
            given = "something else"
        call.reply(200, {"prompt": f"<|user|>…<|assistant|>{given}"})
    (await server.call()).stream(ROLE + b"".join(map(delta, TRIAL)) + delta(finish="stop") + DONE)
    call = await server.call()
    given = call.json()["messages"][-1]["content"]
    rest = "".join(TRIAL).removeprefix(given)
    call.stream(ROLE + delta(rest) + delta(finish="stop") + DONE)


class Stage:
    """A gateway over two servers with the same weights, both seen to go on exactly."""

    def __init__(self, gateway: Gateway, servers: tuple[ScriptedUpstream, ScriptedUpstream], client: RawClient) -> None:
        self.gateway = gateway
        self.servers = servers
        self.client = client

    async def begin(self, *events: bytes, **more: Any) -> tuple[Reply, Call, int]:
        """Ask, let one of the servers send ``events``, and return it once the client has the last of them."""
        return await self.ask(chat(stream=True, **more), *events, seen=events[-1][-40:])

    async def ask(
        self, body: dict[str, Any], *events: bytes, seen: bytes, path: str = "/v1/chat/completions"
    ) -> tuple[Reply, Call, int]:
        """Ask at ``path``, let one of the servers send ``events``, and return it once the client has ``seen``."""
        self.client.ask(body, path)
        calls = [asyncio.ensure_future(server.call()) for server in self.servers]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        first = done.pop()
        call = first.result()
        call.start_stream(ROLE)
        for data in events:
            call.chunk(data)
            await call.drained()
        reply = await self.client.head()
        await self.client.read_until(reply, seen)
        return reply, call, calls.index(first)

    async def second(self, first: int) -> Call:
        """Return what the other server is asked."""
        return await self.servers[1 - first].call()


def staged(scenario: Callable[[Stage], Awaitable[None]], *, path: Path | None = None, **route: Any) -> None:
    async def main() -> None:
        async with scripted() as a, scripted() as b:
            pool = {"attach": "llamacpp", "url": [a.url, b.url], "slots": 4, "verify_continuation": True}
            routes = [{"model": "m", "tiers": [["p"]], **route}]
            async with serving(text_of({"p": pool}, routes, path=path)) as gateway, playing(a, b):
                await until(lambda: all(t.continues for t in gateway.driver.controller.targets.values()))
                async with RawClient(address_of(gateway)) as client:
                    await scenario(Stage(gateway, (a, b), client))

    run(main())


@contextlib.asynccontextmanager
async def playing(*servers: ScriptedUpstream) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(show_continuing(server))
        yield
