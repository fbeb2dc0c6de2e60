"""The targets of a running gateway: starts and stops engines, keeps adapters and addresses, follows a reload.

A reload keeps what it can: an engine whose options are unchanged is not touched, and a changed one is replaced only
when nothing runs on it any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from overspill.config.compile import CompiledTarget, EngineOptions, Wiring
from overspill.config.secrets import resolve as resolve_secret
from overspill.core.events import AnyEvent, TargetChanged
from overspill.core.types import Health
from overspill.errors import OverspillError
from overspill.gateway.http.client import HttpClient
from overspill.gateway.live_target import LiveEngine, LiveTarget, LiveUpstream
from overspill.gateway.poller import Poller
from overspill.models import placeholder_sha256
from overspill.pools.engines import registry as engines
from overspill.pools.engines.model_source import resolve as resolve_model
from overspill.pools.engines.protocol import EngineSpec
from overspill.pools.engines.supervisor import Phase, Supervisor, SupervisorState
from overspill.pools.upstreams import registry as upstreams
from overspill.pools.upstreams.protocol import Account
from overspill.wire.http import Origin

log = logging.getLogger("overspill.fleet")

BUILTIN = "builtin"
_REPLACE_CHECK_S = 0.2
_REPLACE_GRACE_S = 600.0
_HEALTH = {
    Phase.STARTING: Health.STARTING,
    Phase.READY: Health.READY,
    Phase.DOWN: Health.DOWN,
    Phase.DRAINING: Health.DRAINING,
    Phase.BROKEN: Health.BROKEN,
}


class _Managed:
    """An engine of ours that runs."""

    def __init__(self, options: EngineOptions, supervisor: Supervisor) -> None:
        self.options = options
        self.supervisor = supervisor


class Fleet:
    """All targets of one gateway."""

    def __init__(
        self,
        client: HttpClient,
        *,
        environ: Mapping[str, str],
        model_cache: Path,
        feed: Callable[[AnyEvent], None],
        count_running: Callable[[str], int],
    ) -> None:
        self._environ = environ
        self._model_cache = model_cache
        self._feed = feed
        self._count_running = count_running
        self._poller = Poller(client, feed)
        self._managed: dict[str, _Managed] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self.targets: dict[str, LiveTarget] = {}

    def prepare(self, wiring: Wiring) -> dict[str, LiveTarget]:
        """Make the live targets of ``wiring`` without touching anything; raise ``OverspillError`` if one cannot be.

        Engines that are to be started get their address in ``adopt``.
        """
        return {target.target_id: self._live(target) for target in wiring.targets}

    def _live(self, target: CompiledTarget) -> LiveTarget:
        key = ""
        if target.key is not None:
            key = resolve_secret(target.key, self._environ, what=f"pool {target.pool!r}")
        if target.role == "engine":
            return LiveEngine(target.target_id, engines.create_managed(target.kind), Origin(), key)
        assert target.origin is not None  # only an engine still to be started has none
        if target.role == "attach":
            return LiveEngine(target.target_id, engines.create_attached(target.kind), target.origin, key)
        account = Account(account_id=target.account, origin=target.origin, api_key=key)
        return LiveUpstream(target.target_id, upstreams.create(target.kind), account)

    def adopt(self, wiring: Wiring, targets: dict[str, LiveTarget]) -> None:
        """Run with ``targets`` (from ``prepare``): start new engines, keep unchanged ones, replace and stop others."""
        self.targets = targets
        wanted = {t.target_id: t.engine for t in wiring.targets if t.engine is not None}
        for target_id in [name for name in self._managed if name not in wanted]:
            self._spawn(self._retire(target_id, self._managed.pop(target_id)))
        for target_id, options in wanted.items():
            live = targets[target_id]
            assert isinstance(live, LiveEngine)  # made from the same wiring
            old = self._managed.get(target_id)
            if old is not None and old.options == options:
                _point_at(live, old.supervisor)
            elif old is not None:
                self._spawn(self._replace(live, old, options))
            else:
                self._spawn(self._start(live, options))
        self._watch(wiring)

    def _watch(self, wiring: Wiring) -> None:
        watched: list[tuple[LiveEngine, bytes | None]] = []
        for target in wiring.targets:
            live = self.targets[target.target_id]
            if isinstance(live, LiveEngine):
                is_attached = target.role == "attach"
                watched.append((live, engines.create_attached(target.kind).models_path if is_attached else None))
        self._poller.watch(watched)

    async def _start(self, live: LiveEngine, options: EngineOptions) -> None:
        """Find the model, then hand the engine to a supervisor."""
        try:
            spec = await asyncio.to_thread(self._spec, options)
        except OverspillError as error:
            log.error("engine %s cannot be started: %s", live.target_id, error)  # noqa: TRY400 - the reason is the text
            self._feed(TargetChanged(target_id=live.target_id, health=Health.BROKEN))
            return
        kind = engines.create_managed(live.kind)
        supervisor = Supervisor(kind, spec, lambda state: self._changed(live.target_id, state))
        self._managed[live.target_id] = _Managed(options, supervisor)
        _point_at(live, supervisor)
        supervisor.start()

    def _spec(self, options: EngineOptions) -> EngineSpec:
        """Resolve the model's file; blocks while it is fetched."""
        path = resolve_model(
            f"{BUILTIN}:" if options.model == BUILTIN else options.model, self._model_cache, environ=self._environ
        )
        is_builtin = options.model == BUILTIN
        return EngineSpec(
            name=options.name,
            model=str(path),
            served_name=options.served_name,
            max_batch_size=options.max_batch_size,
            context_tokens=options.context_tokens,
            threads=options.threads,
            cache_ram_mib=options.cache_ram_mib,
            kv_cache_type=options.kv_cache_type,
            gpu_layers=options.gpu_layers,
            sha256=placeholder_sha256() if is_builtin else options.sha256,
            load_timeout_s=options.load_timeout_s,
            extra=options.extra,
        )

    async def _replace(self, live: LiveEngine, old: _Managed, options: EngineOptions) -> None:
        """Stop the old process once nothing runs on it, then start the new one: two would not fit most machines."""
        _point_at(live, old.supervisor)
        self._feed(TargetChanged(target_id=live.target_id, health=Health.STARTING))
        await self._wait_until_idle(live.target_id)
        await old.supervisor.stop()
        await self._start(live, options)

    async def _retire(self, target_id: str, old: _Managed) -> None:
        await self._wait_until_idle(target_id)
        await old.supervisor.stop()
        log.info("engine %s stopped: the configuration no longer names it", target_id)

    async def _wait_until_idle(self, target_id: str) -> None:
        waited_s = 0.0
        while self._count_running(target_id) and waited_s < _REPLACE_GRACE_S:
            await asyncio.sleep(_REPLACE_CHECK_S)
            waited_s += _REPLACE_CHECK_S

    def _changed(self, target_id: str, state: SupervisorState) -> None:
        match state.phase:
            case Phase.READY:
                log.info("engine %s is ready: %s slots, %.2f s to load", target_id, state.slots, state.load_s or 0.0)
            case Phase.DOWN | Phase.BROKEN:
                if state.reason != "stopped":
                    log.warning("engine %s is %s: %s", target_id, state.phase.value, state.reason)
            case Phase.STARTING | Phase.DRAINING:
                pass
        self._feed(
            TargetChanged(
                target_id=target_id,
                health=_HEALTH[state.phase],
                slots=state.slots,
                context_tokens=state.context_tokens,
            )
        )

    def states(self) -> dict[str, SupervisorState]:
        """Return what is known of each managed engine."""
        return {target_id: managed.supervisor.state for target_id, managed in self._managed.items()}

    def log_tail(self, target_id: str) -> list[str]:
        """Return the last lines that a managed engine wrote."""
        return self._managed[target_id].supervisor.log_tail()

    def _spawn(self, change: object) -> None:
        assert asyncio.iscoroutine(change)
        task = asyncio.get_running_loop().create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop polling and end every engine; the gateway has drained them before."""
        await self._poller.close()
        for task in list(self._changes):
            task.cancel()
        await asyncio.gather(*self._changes, return_exceptions=True)
        await asyncio.gather(*(managed.supervisor.stop(grace_s) for managed in self._managed.values()))


def _point_at(live: LiveEngine, supervisor: Supervisor) -> None:
    live.origin = supervisor.origin
    live.api_key = supervisor.api_key
