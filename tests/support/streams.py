"""A stream from a target's connection to a client's, through all that is between them; both ends are the test's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
from tests.support.wires import Wire, dechunked

from overspill.core.commands import AnyCommand, StartAttempt
from overspill.core.events import AnyEvent
from overspill.core.types import Policy, Route, RouteTarget, Surface, TargetSpec
from overspill.gateway.answer_lines import AnswerLines
from overspill.gateway.books import Bookkeeper
from overspill.gateway.caller import Caller
from overspill.gateway.driver import Driver
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_connection import ClientConnection
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.server import Server
from overspill.gateway.http.server_connection import ServerConnection
from overspill.gateway.live_target import LiveUpstream
from overspill.gateway.relay import Relay
from overspill.gateway.session import Session
from overspill.gateway.wishes import NO_WISHES
from overspill.pools.upstreams.openai_compat import OpenAICompatible
from overspill.pools.upstreams.protocol import Account
from overspill.telemetry.metrics import Metrics
from overspill.wire.chat import parse_request
from overspill.wire.http import Origin

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
ORIGIN = Origin(port=1)
TARGET = "u/a"
POLICY = Policy(
    targets=(TargetSpec(target_id=TARGET, pool="u", is_local=False),),
    routes=(Route(pattern="m", tiers=((RouteTarget(target_id=TARGET, model="m"),),), max_attempts=1),),
)
_DATE = re.compile(rb"date: [^\r]*\r\n")


class StandingClock:
    """A loop on which no time passes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_later(self, delay_s: float, callback: Callable[..., None]) -> asyncio.TimerHandle:
        return self._loop.call_later(1e6, callback)


class Chain:
    """One client's streamed request on one target."""

    def __init__(self, *, passes: bool = True, write_buffer_bytes: int = 64 * 1024, version: str = "1.1") -> None:
        """Make it; without ``passes`` the session keeps the answer, and no chunk may pass it by."""
        self._passes = passes
        self.events: list[AnyEvent] = []
        self.answers: list[AnyCommand] = []
        self.client = HttpClient(clock=lambda: 0.0)
        self.pool = self.client._pool(ORIGIN)
        self.wires: list[Wire] = []
        account = Account(account_id="a", origin=ORIGIN, api_key="sk-1")
        self.driver = Driver(
            POLICY,
            {TARGET: LiveUpstream(TARGET, OpenAICompatible(), account)},
            self.client,
            Bookkeeper(None, Metrics("1")),
            loop=cast("asyncio.AbstractEventLoop", StandingClock(asyncio.get_running_loop())),
            known_models=lambda model: "",
            recorder=self._record,
        )
        limits = Limits(write_buffer_bytes=write_buffer_bytes)
        self.server = Server(self._handle, limits=limits, clock=lambda: 0.0)
        self.session: Session | None = None
        self.relay: Relay | None = None
        self.out = Wire(ServerConnection(self.server))
        self._version = version.encode()
        self.ask()

    def ask(self) -> None:
        """Send the client's request, or the next."""
        if not self.pool.idle:
            connection = ClientConnection(self.pool)
            self.wires.append(Wire(connection))
            self.pool.adopt(connection)
            self.pool.put_back(connection)
        body = msgspec.json.encode({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        head = b"POST / HTTP/%b\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (self._version, len(body))
        self.out.receive(head + body)

    def _handle(self, exchange: Exchange) -> None:
        request = parse_request("chat", exchange.request.body)
        caller = Caller(Surface.CHAT, "chat", "anonymous", NO_WISHES)
        self.session = Session("r1", exchange, caller, request, AnswerLines(), 0.0, 0.0)
        if not self._passes:
            self.session.answer = bytearray()
        self.driver.submit(self.session)
        self.relay = self.session.relay

    def _record(self, now: float, event: AnyEvent, commands: list[AnyCommand]) -> None:
        self.events.append(event)
        self.answers += [command for command in commands if not isinstance(command, StartAttempt)]

    @property
    def target(self) -> Wire:
        """The connection to the target."""
        return self.wires[-1]

    @property
    def passed(self) -> int:
        """Tokens that went straight on."""
        assert self.relay is not None
        passage = self.relay._passage
        return 0 if passage is None else passage.passed

    def look(self) -> None:
        """Have the driver's sweep look at the attempt."""
        if self.relay is not None:
            self.relay.look_for_progress(1.0)

    @property
    def payload(self) -> bytes:
        """What the client's parser has made of the body."""
        _, _, body = self.out.sent.partition(b"\r\n\r\n")
        return dechunked(body)[0]

    def state(self) -> dict[str, Any]:
        relay = self.relay
        assert relay is not None
        return {
            "sent": _DATE.sub(b"", self.out.sent),
            "out": (self.out.is_closed, self.out.is_reading, self.out.get_write_buffer_size()),
            "target": (self.target.is_closed, self.target.is_reading),
            "pool": (len(self.wires), len(self.pool.idle)),
            "events": self.events,
            "answers": self.answers,
            "relay": (relay.tokens, relay.is_over, relay.is_whole, relay.failure, relay.finish_reason, relay.usage),
            "error": relay.error,
        }

    async def close(self) -> None:
        self.driver.close()
        await self.server.close()
        await self.client.close()
