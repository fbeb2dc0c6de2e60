"""An attempt on a target that speaks the client's surface itself."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.loops import run, until
from tests.support.scripted_upstream import Call, scripted

from overspill.core.commands import StartAttempt
from overspill.core.events import AnyEvent, Finished, FirstToken
from overspill.core.types import Patience, Surface
from overspill.gateway.http.client import HttpClient
from overspill.gateway.live_target import LiveUpstream
from overspill.gateway.pace import outlasts
from overspill.gateway.relay import Relay
from overspill.gateway.translating import NativeRelay
from overspill.pools.upstreams.openai import OpenAI
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Origin
from overspill.wire.surfaces import read_request

PATIENCE = Patience(first_token_s=120.0, stall_s=30.0, floor_tokens_per_s=5.0)


class Listener:
    """The session's and the driver's side, with a clock that the test sets."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.sent = b""
        self.is_slow = False
        self.passage: Callable[[bytes], None] | None = None
        self.time_s = 0.0

    def commit(self, relay: Relay) -> None:
        assert not self.sent

    def forward(self, raw: bytes) -> None:
        self.sent += raw

    def feed(self, event: AnyEvent) -> None:
        self.events.append(event)

    def now(self) -> float:
        return self.time_s


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


CREATED = event("response.created", response={"status": "in_progress"})
THINKS = event("response.output_item.added", item={"type": "reasoning", "summary": []})
ALIVE = event("keepalive", sequence_number=3)
TEXT = event("response.output_text.delta", delta="Hi")
COMPLETED = event("response.completed", response={"status": "completed", "output": [{"type": "message"}]})


def staged(scenario: Callable[[Relay, Listener, Call], Awaitable[None]]) -> None:
    async def main() -> None:
        async with scripted() as target:
            client = HttpClient()
            account = Account(account_id="a", origin=Origin(port=target.port, prefix=b"/v1"), api_key="sk-1")
            request = read_request("responses", b'{"model": "m", "input": "hi", "stream": true}')
            command = StartAttempt(request_id="r", attempt_id=7, target_id="u/a", model="gpt-6")
            listener = Listener()
            live = LiveUpstream("u/a", OpenAI(), account)
            relay = NativeRelay(command, live, Surface.CHAT, request, listener, listener)
            relay.start(client, request)
            try:
                await scenario(relay, listener, await target.call())
            finally:
                await client.close()

    run(main())


def test_a_model_may_think_out_of_sight_for_as_long_as_its_target_shows_life() -> None:
    async def scenario(relay: Relay, listener: Listener, call: Call) -> None:
        call.start_stream(CREATED + THINKS)
        await until(lambda: relay.first_token_at is not None)
        assert listener.events == [FirstToken(attempt_id=7)]
        for minute in range(1, 9):
            listener.time_s = 60.0 * minute
            assert not outlasts(relay, PATIENCE, listener.time_s)
            call.chunk(ALIVE)
            await until(lambda: relay.heard_at == listener.time_s)
        assert not outlasts(relay, PATIENCE, listener.time_s + 119.0)
        assert outlasts(relay, PATIENCE, listener.time_s + 121.0)
        call.end_stream(TEXT + COMPLETED)
        await until(lambda: relay.is_over)
        assert isinstance(listener.events[-1], Finished)
        assert listener.sent == CREATED + THINKS + ALIVE * 8 + TEXT

    staged(scenario)


def test_a_target_that_only_shows_life_before_it_begins_is_a_queue() -> None:
    async def scenario(relay: Relay, listener: Listener, call: Call) -> None:
        call.start_stream(CREATED)
        for second in (60.0, 119.0):
            listener.time_s = second
            call.chunk(ALIVE)
            await call.drained()
        assert not outlasts(relay, PATIENCE, 119.0)
        assert outlasts(relay, PATIENCE, 121.0)
        assert listener.sent == b""

    staged(scenario)
