"""The targets of a running gateway: starts and stops engines, keeps adapters and addresses, follows a reload.

A reload keeps what it can: an engine whose options are unchanged is not touched, and a changed one is replaced only
when nothing runs on it any more. Each engine has at most one task that brings it to what is wanted of it, so that
reloads in quick succession neither start two processes nor lose one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import NamedTuple

from overspill.config.compile import CompiledTarget, EngineOptions, Wiring
from overspill.config.secrets import resolve as resolve_secret
from overspill.core.events import AnyEvent, TargetChanged
from overspill.core.types import Health
from overspill.errors import OverspillError
from overspill.gateway.background import in_background
from overspill.gateway.continuity import Continuity
from overspill.gateway.http.client import HttpClient
from overspill.gateway.key_file import key_file
from overspill.gateway.live_target import LiveEngine, LiveTarget, LiveUpstream
from overspill.gateway.poller import Poller, Watched
from overspill.models import DEFAULT_TEMPERATURE, KNOWN_ANSWER, shipped_sha256
from overspill.pools.engines import registry as engines
from overspill.pools.engines.model_source import builtin_variant
from overspill.pools.engines.model_source import resolve as resolve_model
from overspill.pools.engines.protocol import EngineSpec
from overspill.pools.engines.supervisor import Phase, Supervisor, SupervisorState
from overspill.pools.upstreams import registry as upstreams
from overspill.pools.upstreams.protocol import Account
from overspill.units import format_bytes
from overspill.wire.http import Origin

log = logging.getLogger("overspill.fleet")

_REPLACE_CHECK_S = 0.2
_REPLACE_GRACE_S = 600.0
_HEALTH = {
    Phase.STARTING: Health.STARTING,
    Phase.READY: Health.READY,
    Phase.DOWN: Health.DOWN,
    Phase.DRAINING: Health.DRAINING,
    Phase.BROKEN: Health.BROKEN,
}


class _Wish(NamedTuple):
    """What is wanted of an engine of ours."""

    kind: str
    options: EngineOptions


class _Managed(NamedTuple):
    """An engine of ours that runs."""

    wish: _Wish
    supervisor: Supervisor


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
        self._continuity = Continuity(client, feed)
        self._verifies: dict[str, tuple[str, ...]] = {}
        self._poller = Poller(client, self._polled)
        self._wishes: dict[str, _Wish] = {}
        self._managed: dict[str, _Managed] = {}
        self._changes: dict[str, asyncio.Task[None]] = {}
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
            engine = engines.create_managed(target.kind)
            return LiveEngine(target.target_id, engine, Origin(), key, form=target.form)
        assert target.origin is not None  # only an engine still to be started has none
        if target.role == "attach":
            return LiveEngine(
                target.target_id,
                engines.create_attached(target.kind),
                target.origin,
                key,
                streams_whole=target.streams_whole,
                form=target.form,
            )
        dialect = target.dialect
        account = Account(
            account_id=target.account,
            origin=target.origin,
            api_key=key,
            auth=dialect.auth,
            allowed_fields=dialect.allowed_fields,
            extra_headers=dialect.headers,
        )
        return LiveUpstream(
            target.target_id,
            upstreams.create(target.kind),
            account,
            streams_whole=target.streams_whole,
            form=target.form,
            key_file=key_file(target.key, key, what=f"pool {target.pool!r}"),
            key_expires=dialect.key_expires,
        )

    def adopt(self, wiring: Wiring, targets: dict[str, LiveTarget]) -> None:
        """Run with ``targets`` (from ``prepare``): start new engines, keep unchanged ones, replace and stop others."""
        for target_id, old in self.targets.items():
            if target_id in targets:
                targets[target_id].contracts.update(old.contracts)
                if targets[target_id].form == old.form:  # what it was seen to want
                    targets[target_id].rules.update(old.rules)
        self.targets = targets
        self._verifies = {target.target_id: target.verifies for target in wiring.targets}
        self._wishes = {t.target_id: _Wish(t.kind, t.engine) for t in wiring.targets if t.engine is not None}
        for target_id in {**self._wishes, **self._managed}:
            self._point(target_id)
            if target_id not in self._changes:
                task = asyncio.get_running_loop().create_task(self._change(target_id))
                self._changes[target_id] = task
        self._watch(wiring)
        for live in targets.values():
            if isinstance(live, LiveUpstream):
                self._verify(live.target_id, f"{live.kind} {live.origin} {live.account.account_id}")

    def _polled(self, event: AnyEvent) -> None:
        """Pass on what the poller found; of a server that has come up nothing is known any more."""
        self._feed(event)
        if isinstance(event, TargetChanged) and event.health is Health.READY:
            self._verify(event.target_id, None)

    def _verify(self, target_id: str, version: Hashable) -> None:
        """Have it seen how a target that is up goes on with an answer that broke off."""
        live = self.targets.get(target_id)
        if live is not None:
            for model in self._verifies.get(target_id, ()):
                self._continuity.verify(live, model, version)

    def _watch(self, wiring: Wiring) -> None:
        watched: list[Watched] = []
        for target in wiring.targets:
            live = self.targets[target.target_id]
            if isinstance(live, LiveEngine) and target.role == "attach":
                adapter = engines.create_attached(target.kind)
                watched.append(Watched(live, adapter.models_path, adapter if target.asks_for_slots else None))
            elif isinstance(live, LiveEngine):
                watched.append(Watched(live))
        self._poller.watch(watched)

    def _point(self, target_id: str) -> None:
        """Give the live target the address and key of its process, if it has one."""
        live, managed = self.targets.get(target_id), self._managed.get(target_id)
        if managed is not None and isinstance(live, LiveEngine):
            live.origin = managed.supervisor.origin
            live.api_key = managed.supervisor.api_key

    async def _change(self, target_id: str) -> None:
        """Bring an engine to what is wanted of it, which may change meanwhile; then say how it is."""
        failed: _Wish | None = None
        while True:
            wish, managed = self._wishes.get(target_id), self._managed.get(target_id)
            if managed is not None and managed.wish != wish:
                await self._end(target_id, managed)
            elif managed is None and wish is not None and wish != failed:
                failed = None if await self._start(target_id, wish) else wish
            else:
                break
        del self._changes[target_id]
        if managed is not None:  # the controller may have forgotten it between two reloads
            self._tell(target_id, managed.supervisor.state)

    async def _start(self, target_id: str, wish: _Wish) -> bool:
        """Find the model, then hand the engine to a supervisor; return whether it could be."""
        try:
            spec = await in_background(lambda: self._spec(wish.options), name=f"looking for the model of {target_id}")
            kind = engines.create_managed(wish.kind)
            supervisor = Supervisor(kind, spec, lambda state: self._changed(target_id, state))
        except (OverspillError, TypeError, ValueError) as error:  # the latter two: an option of the wrong kind
            log.error("engine %s cannot be started: %s", target_id, error)  # noqa: TRY400 - the reason is the text
            self._feed(TargetChanged(target_id=target_id, health=Health.BROKEN))
            return False
        self._managed[target_id] = _Managed(wish, supervisor)
        self._point(target_id)
        supervisor.start()
        return True

    def _spec(self, options: EngineOptions) -> EngineSpec:
        """Resolve the model's file, if there is to be one; blocks while it is fetched."""
        path, variant = "", None
        if options.model is not None:
            found = resolve_model(options.model, self._model_cache, environ=self._environ, progress=_Fetching())
            path, variant = str(found), builtin_variant(options.model)
        return EngineSpec(
            name=options.name,
            model=path,
            served_name=options.served_name,
            max_batch_size=options.max_batch_size,
            context_tokens=options.context_tokens,
            threads=options.threads,
            cache_ram_mib=options.cache_ram_mib,
            kv_cache_type=options.kv_cache_type,
            gpu_layers=options.gpu_layers,
            sha256=options.sha256 if variant is None else shipped_sha256(variant),
            known_answer=None if variant is None else KNOWN_ANSWER,
            default_temperature=None if variant is None else DEFAULT_TEMPERATURE,
            load_timeout_s=options.load_timeout_s,
            surfaces=options.surfaces,
            extra=options.extra,
        )

    async def _end(self, target_id: str, managed: _Managed) -> None:
        """Stop a process once nothing runs on it, or keep it if it is wanted again before that.

        Its successor is started after it: two would not fit most machines.
        """
        self._feed(TargetChanged(target_id=target_id, health=Health.STARTING))
        waited_s = 0.0
        while self._count_running(target_id) and waited_s < _REPLACE_GRACE_S:
            await asyncio.sleep(_REPLACE_CHECK_S)
            waited_s += _REPLACE_CHECK_S
            if self._wishes.get(target_id) == managed.wish:
                return
        await managed.supervisor.stop()
        del self._managed[target_id]
        log.info("engine %s stopped: the configuration no longer wants it as it was", target_id)

    def _changed(self, target_id: str, state: SupervisorState) -> None:
        match state.phase:
            case Phase.READY:
                log.info("engine %s is ready: %s slots, %.2f s to load", target_id, state.slots, state.load_s or 0.0)
            case Phase.DOWN | Phase.BROKEN:
                if state.reason != "stopped":
                    log.warning("engine %s is %s: %s", target_id, state.phase.value, state.reason)
            case Phase.STARTING | Phase.DRAINING:
                pass
        if target_id not in self._changes:  # the end of one that is to be replaced must not refuse who waits for it
            self._tell(target_id, state)

    def _tell(self, target_id: str, state: SupervisorState) -> None:
        self._feed(
            TargetChanged(
                target_id=target_id,
                health=_HEALTH[state.phase],
                slots=state.slots,
                context_tokens=state.context_tokens,
            )
        )
        managed = self._managed.get(target_id)
        if state.phase is Phase.READY and managed is not None:
            self._verify(target_id, (target_id, repr(managed.wish)))

    def states(self) -> dict[str, SupervisorState]:
        """Return what is known of each managed engine."""
        return {target_id: managed.supervisor.state for target_id, managed in self._managed.items()}

    def log_tail(self, target_id: str) -> list[str]:
        """Return the last lines that a managed engine wrote."""
        return self._managed[target_id].supervisor.log_tail()

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop polling and end every engine; the gateway has drained them before."""
        await self._poller.close()
        await self._continuity.close()
        changes = list(self._changes.values())
        for task in changes:
            task.cancel()
        await asyncio.gather(*changes, return_exceptions=True)
        await asyncio.gather(*(managed.supervisor.stop(grace_s) for managed in self._managed.values()))


class _Fetching:
    """Says in the log how far a download is: at its start, and whenever another tenth has come."""

    def __init__(self) -> None:
        self._file = ""
        self._said_tenths = 0

    def __call__(self, file: str, done_bytes: int, size_bytes: int | None) -> None:
        """Take note of the progress; called for each piece that has come, on the download's own thread."""
        if file != self._file:
            self._file, self._said_tenths = file, 0
            log.info("fetching %s: %s", file, "size unknown" if size_bytes is None else format_bytes(size_bytes))
        if not size_bytes:
            return
        tenths = 10 * done_bytes // size_bytes
        if tenths > self._said_tenths:
            self._said_tenths = tenths
            log.info("fetching %s: %d %% of %s", file, 10 * tenths, format_bytes(size_bytes))
