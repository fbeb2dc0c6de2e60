"""Asks engines how they are: their metrics correct our counts, and a server that stops answering is marked down.

Only engines are polled, never somebody else's API. A managed engine's health is its supervisor's to tell; of an
attached server nobody else would notice that it left or came back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from overspill.core.events import AnyEvent, TargetChanged, TargetReported
from overspill.core.types import Health
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import Fetched, fetch
from overspill.gateway.live_target import LiveEngine
from overspill.pools.engines.protocol import AttachedEngine
from overspill.wire.http import Headers, HttpCall

log = logging.getLogger("overspill.poller")

_INTERVAL_S = 1.0
_TIMEOUT_S = 2.0
_STRIKES = 3
"""Failed polls in a row before a server counts as down: one lost packet is no outage."""
_NOT_OFFERED = 501
"""What a ``llama-server`` without ``--metrics`` says to our question; it is well."""
_MAX_BYTES = 4 * 1024 * 1024


class Watched(NamedTuple):
    """An engine to poll."""

    live: LiveEngine
    health_path: bytes | None = None
    """GET this for its health, which is then told as well; ``None`` if a supervisor tells that."""
    asked_for_slots: AttachedEngine | None = None
    """Its adapter, if the server itself is to say how many requests it takes."""


class Poller:
    """Polls the engines of one gateway, each on its own rhythm so that a slow one delays no other."""

    def __init__(
        self, client: HttpClient, feed: Callable[[AnyEvent], None], *, interval_s: float = _INTERVAL_S
    ) -> None:
        self._client = client
        self._feed = feed
        self._interval_s = interval_s
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def watch(self, engines: Iterable[Watched]) -> None:
        """Poll exactly these from now on."""
        wanted = {watched.live.target_id: watched for watched in engines}
        for target_id in [name for name in self._tasks if name not in wanted]:
            self._tasks.pop(target_id).cancel()
        for target_id, watched in wanted.items():
            old = self._tasks.get(target_id)
            if old is not None:
                old.cancel()
            self._tasks[target_id] = asyncio.get_running_loop().create_task(self._poll(watched))

    async def close(self) -> None:
        """Stop polling."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self, watched: Watched) -> None:
        engine = watched.live
        path = engine.engine.stats_path or watched.health_path
        if path is None:
            return
        state = _Polled()
        while True:
            is_answering = await self._ask(engine, path)
            if watched.health_path is not None:
                slots = None
                if is_answering and not state.is_up and watched.asked_for_slots is not None:
                    slots = await self._slots(engine, watched.asked_for_slots)
                self._judge(engine, state, is_answering, slots)
            await asyncio.sleep(self._interval_s)

    async def _ask(self, engine: LiveEngine, path: bytes) -> bool:
        """Return whether the server answered as one does that can work, and pass its statistics on."""
        answer = await self._get(engine, path)
        if isinstance(answer, TransportFault):
            return False
        if answer.status == 200 and path == engine.engine.stats_path:
            self._report(engine, answer.body)
        return answer.status < 500 or answer.status == _NOT_OFFERED

    async def _slots(self, engine: LiveEngine, adapter: AttachedEngine) -> int | None:
        """Ask a server that has come up how many requests it takes at once; its options may not be what they were."""
        if adapter.slots_path is None:
            return None
        answer = await self._get(engine, adapter.slots_path)
        if isinstance(answer, TransportFault) or answer.status != 200:
            return None
        try:
            return adapter.parse_slots(answer.body)
        except ValueError as error:
            log.debug("%s does not say how many requests it takes: %s", engine.target_id, error)
            return None

    async def _get(self, engine: LiveEngine, path: bytes) -> Fetched | TransportFault:
        headers: Headers = ((b"authorization", b"Bearer " + engine.api_key.encode()),) if engine.api_key else ()
        call = HttpCall(b"GET", engine.origin.prefix + path, headers, b"")
        return await fetch(self._client, engine.origin, call, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)

    def _report(self, engine: LiveEngine, body: bytes) -> None:
        try:
            stats = engine.engine.parse_stats(body)
        except ValueError as error:
            log.debug("metrics of %s cannot be read: %s", engine.target_id, error)
            return
        self._feed(
            TargetReported(
                target_id=engine.target_id, running=stats.running, waiting=stats.waiting, kv_usage=stats.kv_usage
            )
        )

    def _judge(self, engine: LiveEngine, state: _Polled, is_answering: bool, slots: int | None) -> None:
        """Count failed polls; tell the controller where it makes a difference."""
        if is_answering:
            state.strikes = 0
            if state.is_up is False:
                log.info("%s answers again", engine.target_id)
            if not state.is_up:
                state.is_up = True
                self._feed(TargetChanged(target_id=engine.target_id, health=Health.READY, slots=slots))
            return
        state.strikes += 1
        if state.strikes == _STRIKES:
            log.warning("%s does not answer; requests go elsewhere until it does", engine.target_id)
            state.is_up = False
            self._feed(TargetChanged(target_id=engine.target_id, health=Health.DOWN))


class _Polled:
    """What is known of one server."""

    def __init__(self) -> None:
        self.strikes = 0
        """Failed polls in a row."""
        self.is_up: bool | None = None
        """``None`` before the first answer: after a reload the controller may still believe that it is down."""
