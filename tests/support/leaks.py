"""A gateway between one local engine and two targets outside that record every byte; and what may be seen there.

Every request carries a word of its own. ``World`` knows of each which binding it had when it came, and of those that a
reload bound how often they had been sent outside before; ``check`` compares with what was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.gateways import FAST, address_of, attach, config_of, serving, text_of, upstream, url_of
from tests.support.loops import until
from tests.support.outside import Outside, outside
from tests.support.raw_client import RawClient, Reply

from overspill.core.commands import AnyCommand, StartAttempt
from overspill.core.events import AnyEvent
from overspill.gateway.rehearsal.engine import EngineConfig, FakeEngine
from overspill.gateway.rehearsal.faults import CutAfterTokens, ErrorStatus, Fault, KeepaliveOnly, StallAfterTokens
from overspill.gateway.service import Gateway
from overspill.gateway.session import Session

ENVIRON = {"CLOUD_KEY": "sk-cloud", "FREE": "sk-free", "TIED": "sk-tied", "HOME": "/nonexistent"}
DEADLINE_S = 0.4
BINDINGS = ("none", "key", "header", "model", "word", "image", "tokens", "raise", "crash", "hang")
"""What binds a request; all but the first do, those from ``word`` on while the configuration has detectors."""
BY_TEXT = frozenset(("word", "image", "tokens", "raise", "crash", "hang"))
_WORDS = {"word": "hush", "raise": "raise-me", "crash": "crash-me", "hang": "hang-me"}
VARIANTS = ("base", "route_bound", "moved", "no_detectors", "other_detectors", "outside_first", "roomy")
FAULTS: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "busy": (ErrorStatus(every=1, status=503),),
    "rate": (ErrorStatus(every=1, status=429, retry_after_s=1),),
    "error": (ErrorStatus(every=1, status=500),),
    "cut_at_once": (CutAfterTokens(every=1, tokens=0),),
    "cut": (CutAfterTokens(every=1, tokens=2),),
    "stall": (StallAfterTokens(every=1, tokens=2),),
    "stall_at_once": (StallAfterTokens(every=1, tokens=0),),
    "keepalive": (KeepaliveOnly(every=1, period_s=0.01),),
}


@dataclass
class Asked:
    """One request of a script."""

    word: str
    binding: str
    is_bound: bool
    """Whether it was bound when it came."""
    model: str
    variant: str
    """The configuration that it came under."""
    client: RawClient
    reading: asyncio.Task[Reply]
    form: tuple[bool, bool]
    """Whether it asked for a stream, and whether for a chat."""
    most_outside: int | None = None
    """How often it may be seen outside, where a reload has bound it."""


@dataclass
class World:
    """See the module. Make it with ``world``."""

    gateway: Gateway
    engine: FakeEngine
    clouds: tuple[Outside, Outside]
    deadline_s: float
    variant: str = "base"
    asked: list[Asked] = field(default_factory=list)
    sent_outside: Counter[str] = field(default_factory=Counter)
    """Attempts outside by request id, as the controller ordered them."""

    def record(self, now: float, event: AnyEvent, commands: list[AnyCommand]) -> None:
        """See every command as the gateway's recorder."""
        local = {spec.target_id for spec in self.gateway.policy.targets if spec.is_local}
        for command in commands:
            if isinstance(command, StartAttempt) and command.target_id not in local:
                self.sent_outside[command.request_id] += 1

    async def ask(
        self,
        binding: str,
        *,
        model: str = "m",
        stream: bool = True,
        chat: bool = True,
        again: Asked | None = None,
    ) -> Asked:
        """Send a request, the first time or ``again`` as its client's retry, and wait until the gateway has it."""
        word = f"word-{len(self.asked)}-of-{binding}" if again is None else again.word
        model = "tied" if binding == "model" else model
        is_bound = binding in ("key", "header", "model") or (model == "m" and self.variant == "route_bound")
        is_bound = is_bound or (binding in BY_TEXT and self.variant != "no_detectors")
        path = "/v1/chat/completions" if chat else "/v1/completions"
        headers = [
            ("x-api-key", "sk-tied" if binding == "key" else "sk-free"),
            ("x-stainless-retry-count", "0" if again is None else "1"),
        ]
        if binding == "header":
            headers.append(("x-overspill-local-only", "true"))
        client = RawClient(address_of(self.gateway))
        await client.__aenter__()
        before = self.gateway.app._number
        client.ask({"model": model, "stream": stream, **_body(binding, word, chat)}, path, tuple(headers))
        reading = asyncio.create_task(client.reply())
        asked = Asked(word, binding, is_bound, model, self.variant, client, reading, (stream, chat))
        self.asked.append(asked)
        await until(lambda: self.gateway.app._number != before)
        return asked

    def reload(self, variant: str) -> None:
        """Take another configuration; what it binds may not go outside once more."""
        before = Counter(self.sent_outside)
        words = {asked.word: asked for asked in self.asked}
        had, has = self.variant != "no_detectors", variant != "no_detectors"
        opened = [
            (request_id, asked)
            for request_id, session in self.gateway.driver._sessions.items()
            for word, asked in words.items()
            if _has(session, word)
        ]
        self.variant = variant
        self.gateway.reload(config_of(self.text(variant)))
        for request_id, asked in opened:
            is_new = has and (
                asked.variant == "no_detectors"
                or (variant == "other_detectors") != (asked.variant == "other_detectors")
            )
            if (asked.model == "m" and variant == "route_bound") or (is_new and (had or has)):
                most = before[request_id] if asked.most_outside is None else min(before[request_id], asked.most_outside)
                asked.most_outside = most

    def has_gone_its_way(self, asked: Asked) -> bool:
        return self.seen_outside(asked) > 0 or asked.reading.done() or self.is_kept_local(asked)

    def is_kept_local(self, asked: Asked) -> bool:
        """Say whether the gateway has bound it: unbound ones are too, where the detectors were late."""
        return any(
            _has(session, asked.word) and session.local_only_by is not None
            for session in self.gateway.driver._sessions.values()
        )

    def are_detectors_ready(self) -> bool:
        screening = self.gateway.entrance.screening
        return screening is None or screening.is_ready

    def text(self, variant: str) -> str:
        return config_text(url_of(self.engine), self.clouds, variant, self.deadline_s)

    async def retry(self, first: Asked) -> None:
        """Have a client leave and ask once more, as SDKs do; what is bound now would not be the same request."""
        await self.leave(first)
        if first.variant == self.variant and first.most_outside is None:
            stream, chat = first.form
            await self.ask(first.binding, model=first.model, stream=stream, chat=chat, again=first)

    async def die(self) -> None:
        """Cut off every connection to the engine, and have nobody listen there."""
        await self.engine.close()

    async def revive(self) -> None:
        """Start the engine again where it was."""
        port = self.engine.origin.port
        await self.engine.close()
        self.engine = FakeEngine(EngineConfig(engine=FAST, port=port, faults=self.engine.faults))
        await self.engine.listen()

    async def settle(self) -> None:
        """Wait until nobody is with the detectors and nobody waits in the queue: that has a deadline."""
        intake = self.gateway.app.intake
        controller = self.gateway.driver.controller
        await until(
            lambda: not (intake is not None and intake.is_busy) and not sum(controller.waiting_by_lane().values())
        )

    async def finish(self) -> None:
        """Have all well again, let what waits try once more, and have all clients leave."""
        self.engine.faults = ()
        await self.revive()
        for cloud in self.clouds:
            cloud.mode = "answer"
        await self.settle()
        for asked in self.asked:
            await self.leave(asked)
        await until(lambda: not self.gateway.driver.open_sessions)

    async def leave(self, asked: Asked) -> None:
        asked.reading.cancel()
        await asyncio.gather(asked.reading, return_exceptions=True)
        await asked.client.leave()

    def seen_outside(self, asked: Asked) -> int:
        return sum(cloud.count(f"{asked.word}.") for cloud in self.clouds)

    def check(self) -> None:
        """Compare what was seen outside with what may be."""
        for asked in self.asked:
            seen = self.seen_outside(asked)
            if asked.is_bound:
                assert seen == 0, f"{asked.word} came under {asked.variant} and was seen outside {seen} times"
            if asked.most_outside is not None:
                assert seen <= asked.most_outside, f"{asked.word} was sent outside after a reload had bound it"


def _has(session: Session, word: str) -> bool:
    return any(f"{word}.".encode() in bytes(raw) for raw in session.request.fields.values())


def _body(binding: str, word: str, chat: bool) -> dict[str, Any]:
    text = f"{word}. {_WORDS.get(binding, '')}"
    more: dict[str, Any] = {"max_tokens": 6, "temperature": 0}
    if binding == "tokens":
        return {"prompt": [1, 2, 3], "user": text, **more} if not chat else _chat([text, _IMAGE], more)
    if not chat:
        return {"prompt": text, **more, **({"suffix": "data:image/png;base64,AA"} if binding == "image" else {})}
    return _chat([text, _IMAGE] if binding == "image" else [text], more)


_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def _chat(parts: list[Any], more: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"messages": [{"role": "user", "content": content}], **more}


def config_text(local_url: str, clouds: tuple[Outside, Outside], variant: str, deadline_s: float) -> str:
    """Write one of the configurations that a script reloads between."""
    pools = {
        # The same target, moved outside: what was bound must not follow it.
        "local": attach(clouds[0].url, slots=1, local=False)
        if variant == "moved"
        else attach(local_url, slots=32 if variant == "roomy" else 1),
        "cloud": upstream(clouds[0].url, prior={"ttft_base": "5ms"}),
        "cloud2": upstream(clouds[1].url, prior={"ttft_base": "10ms"}),
        "spare": attach(local_url, slots=1, models=["spare"]),
    }
    tiers = [["local"], ["cloud"], ["cloud2"]]
    common = {
        "slo": {"ttft": "50ms"},
        "deadline": f"{deadline_s:g}s",
        "queue_limit": 2,
        "hedge_after": "150ms",
    }
    routes = [
        {"model": "m", "tiers": tiers[::-1] if variant == "outside_first" else tiers, **common},
        {"model": "tied", "tiers": [*tiers, [{"pool": "spare", "model": "spare"}]], "local_only": True, **common},
        {"model": "far", "tiers": tiers[1:], **common},
    ]
    routes[0]["local_only"] = variant == "route_bound"
    if variant == "moved":
        routes[0]["local_only"] = False
    detectors: dict[str, Any] = {
        "ours": {"detector": "patterns", "options": {"keywords": ["hush"]}},
        "touchy": {"detector": "touchy"},
    }
    if variant == "other_detectors":
        detectors["more"] = {"detector": "patterns", "options": {"keywords": ["psst"]}}
    screening = {} if variant == "no_detectors" else {"detectors": detectors, "timeout": "700ms", "processes": 2}
    return text_of(
        pools,
        routes,
        screening=screening,
        cache={"enabled": True, "scope": "all"},
        breaker={"min_count": 2, "open": "100ms"},
        server={
            "api_keys": [{"key": "env:FREE", "name": "free"}, {"key": "env:TIED", "name": "tied", "local_only": True}]
        },
    )


@contextlib.asynccontextmanager
async def world(deadline_s: float = DEADLINE_S) -> AsyncIterator[World]:
    """Start all of it, under the first configuration, with detectors that are ready."""
    engine = FakeEngine(EngineConfig(engine=FAST))
    await engine.listen()
    async with outside() as first, outside() as second:
        clouds = (first, second)
        made: list[World] = []
        text = config_text(url_of(engine), clouds, "base", deadline_s)

        def record(now: float, happened: AnyEvent, commands: list[AnyCommand]) -> None:
            made[0].record(now, happened, commands)

        async with serving(text, environ=ENVIRON, recorder=record) as gateway:
            it = World(gateway, engine, clouds, deadline_s)
            made.append(it)
            await until(it.are_detectors_ready)
            try:
                yield it
            finally:
                for asked in it.asked:
                    await it.leave(asked)
                await it.engine.close()
