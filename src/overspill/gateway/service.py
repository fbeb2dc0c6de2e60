"""One gateway, put together: configuration in, a listening server out; reloaded and drained as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

from overspill import __version__
from overspill.config.compile import Wiring, compile_config
from overspill.config.facts import Facts
from overspill.config.key_file import without_budgets
from overspill.config.schema import Config, ServerConfig
from overspill.config.secrets import resolve as resolve_secret
from overspill.core.events import AnyEvent
from overspill.core.types import Policy
from overspill.errors import ConfigError, OverspillError
from overspill.gateway.app import App
from overspill.gateway.asking import Asking
from overspill.gateway.auth import Keyring
from overspill.gateway.background import in_background
from overspill.gateway.books import Bookkeeper
from overspill.gateway.budgets import BudgetKey, budgets_in, spent_before
from overspill.gateway.certificate import Certificate, files_of
from overspill.gateway.driver import Driver, Recorder
from overspill.gateway.entrance import Entrance
from overspill.gateway.fleet import Fleet
from overspill.gateway.gauges import controller_gauges, driver_gauges, entrance_gauges, fleet_gauges, ledger_gauges
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.proxies import TrustedProxies
from overspill.gateway.http.server import Server, serve
from overspill.gateway.keys import Held, KeyWatch, keyring
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.pages import known_models
from overspill.gateway.places import cache_dir, state_dir
from overspill.gateway.pseudonyms import Pseudonyms, find_salt
from overspill.gateway.thoughts import Thoughts
from overspill.gateway.web_guard import WebGuard
from overspill.ledger.writer import LedgerWriter
from overspill.telemetry.metrics import Metrics

log = logging.getLogger("overspill.gateway")


_FOLLOWS = ("api_keys", "keys_file", "allowed_hosts", "cors_origins")
"""What of ``server`` follows a reload."""


class Gateway:
    """A running gateway. Make it with ``start``; ``reload`` any time; ``stop`` once."""

    def __init__(
        self,
        config: Config,
        facts: Facts,
        *,
        environ: Mapping[str, str] | None = None,
        recorder: Recorder | None = None,
        wall_clock: Callable[[], float] = time.time,
        keys_file: Path | None = None,
    ) -> None:
        """Make it; ``keys_file`` is the file of keys where the configuration names none."""
        self._environ = os.environ if environ is None else environ
        self._facts = facts
        self._recorder = recorder
        self._wall_clock = wall_clock
        self.config = config
        self.metrics = Metrics(__version__)
        self.ledger: LedgerWriter | None = None
        if config.ledger.enabled:
            self.ledger = LedgerWriter(ledger_path(config, self._environ), store_bodies=config.ledger.store_bodies)
        self.client = HttpClient()
        self._keys = KeyWatch(keys_file, wall_clock)
        self._keys.held = held = self._keys.read(config)
        joined, self._wiring = self._compile(config, held, facts)
        self.fleet = Fleet(
            self.client,
            environ=self._environ,
            model_cache=cache_dir(self._environ) / "models",
            feed=self._feed,
            count_running=self._count_running,
        )
        books = Bookkeeper(self.ledger, self.metrics, store_bodies=config.ledger.store_bodies)
        books.set_prices(self._wiring.policy.targets)
        self.metrics.before_scrape(books.post)
        self._asking = Asking(Thoughts(int(config.reasoning.remember)), self._pseudonyms())
        self.driver = self._make_driver(config.server, books, recorder)
        self.app = App(
            self.driver,
            keyring(joined, self._environ, held, self._keys.now()),
            web_guard(config),
            self.metrics,
            store_bodies=config.ledger.store_bodies,
            version=__version__,
            wall_clock=wall_clock,
        )
        self.app.lines.know(self._wiring.served)
        self.entrance = Entrance(self.driver, books)
        self._server: Server | None = None
        self._telling: asyncio.Task[None] | None = None
        self._certificate: Certificate | None = None
        self._watching: list[asyncio.Task[None]] = []

    def _compile(self, config: Config, held: Held, facts: Facts) -> tuple[Config, Wiring]:
        """Return the configuration with the keys of the file, and what it compiles to."""
        joined = self._keys.joined(config, held)
        try:
            return joined, compile_config(joined, facts)
        except ConfigError as error:
            # Of the file only budgets can be wrong here. They must not keep other keys, or a revocation, from counting.
            without = without_budgets(joined)
            if without == joined:
                raise
            wiring = compile_config(without, facts)
            log.error("keys with a budget are not used: %s", error)  # noqa: TRY400 - the text is it
            return without, wiring

    def _make_driver(self, server: ServerConfig, books: Bookkeeper, recorder: Recorder | None) -> Driver:
        return Driver(
            self._wiring.policy,
            self.fleet.prepare(self._wiring),
            self.client,
            books,
            loop=asyncio.get_running_loop(),
            known_models=lambda model: known_models(self.driver.controller.policy, model),
            asking=self._asking,
            recorder=recorder,
            commit_deadline_s=float(server.commit_deadline),
            heartbeat_s=float(server.heartbeat),
            linger_s=float(server.retry_linger),
            wall_clock=self._wall_clock,
        )

    def _pseudonyms(self) -> Pseudonyms:
        """Find the salt of this installation: what the file names, or what lies beside the ledger."""
        named = self.config.server.user_salt
        if named is not None:
            return Pseudonyms(resolve_secret(named, self._environ, what="server.user_salt").encode())
        is_rented = any(not spec.is_local for spec in self._wiring.policy.targets)
        folder = None if self.ledger is None or not is_rented else self.ledger.path.parent
        return Pseudonyms(find_salt(folder))

    async def start(self) -> None:
        """Listen, and start the engines; ``OverspillError`` if the address or the ledger cannot be had."""
        try:
            if self.ledger is not None:
                self.ledger.start()
            await self._tell_spending(budgets_in(self.policy))
            self.app.intake = self.entrance.adopt(self._keys.joined(self.config, self._keys.held), self._wiring)
            await self._listen()
        except OverspillError:
            await self._release()
            raise
        if self.ledger is not None:
            ledger = self.ledger
            self.metrics.add_source(lambda: ledger_gauges(ledger))
        self.metrics.add_source(lambda: controller_gauges(self.driver.controller))
        self.metrics.add_source(lambda: driver_gauges(self.driver))
        self.metrics.add_source(lambda: fleet_gauges(self.fleet))
        self.metrics.add_source(lambda: entrance_gauges(self.entrance))
        self.fleet.adopt(self._wiring, self.driver.targets)
        self._watch(self._keys.run(self._take_keys))
        if self._certificate is not None:
            self._watch(self._certificate.run())

    def _watch(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_watched)
        self._watching.append(task)

    async def _tell_spending(self, budgets: frozenset[BudgetKey]) -> None:
        """Tell the controller the time of day, and what these budgets had seen spent before."""
        self.driver.tell_time()
        if self.ledger is None or not budgets:
            return
        path, policy, unix_s = self.ledger.path, self.policy, self._wall_clock()
        found = await in_background(lambda: spent_before(path, policy, budgets, unix_s), name="reading the ledger")
        for event in found:
            self.driver.feed(event)

    async def _tell_later(self, budgets: frozenset[BudgetKey]) -> None:
        try:
            await self._tell_spending(budgets)
        except OverspillError:
            log.exception("what new budgets have seen spent is not known, so they begin full")

    async def _listen(self) -> None:
        server = self.config.server
        files = files_of(self.config)
        self._certificate = None if files is None else Certificate(files)
        try:
            self._server = await serve(
                self.app.handle,
                host=server.host,
                port=server.port,
                limits=_limits(server),
                tls=None if self._certificate is None else self._certificate.context,
                head_check=self.app.check_head,
                proxies=TrustedProxies(server.trusted_proxies),
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot listen on {server.host}:{server.port}: {reason}; stop what listens there, or choose another "
                "with --port or OVERSPILL_PORT"
            ) from error

    @property
    def policy(self) -> Policy:
        """What the controller decides by."""
        return self.driver.controller.policy

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [] if self._server is None else self._server.addresses

    def reload(self, config: Config, facts: Facts | None = None) -> list[str]:
        """Take a new configuration without dropping a request; return what of it needs a restart.

        ``facts`` are what is known now of providers and models, if they were read again. Raises ``OverspillError``,
        with nothing changed, if the new one cannot be used.
        """
        if self._certificate is not None:
            self._certificate.refresh()
        facts = self._facts if facts is None else facts
        held = self._keys.read(config)
        joined, wiring = self._compile(config, held, facts)
        targets = self.fleet.prepare(wiring)
        keys = keyring(joined, self._environ, held, self._keys.now())
        ignored = [name for name in ("server", "ledger", "log") if _differs(self.config, config, name)]
        self._facts, self._keys.held = facts, held
        self.fleet.adopt(wiring, targets)
        self._change(wiring, targets, keys, web_guard(config))
        self.app.intake = self.entrance.adopt(joined, wiring)
        self._asking.thoughts.resize(int(config.reasoning.remember))
        self.config = config
        return ignored

    def _take_keys(self) -> None:
        """Take up what has changed in the keys' file; what runs goes on."""
        try:
            joined, wiring = self._compile(self.config, self._keys.held, self._facts)
            keys = keyring(joined, self._environ, self._keys.held, self._keys.now())
        except OverspillError:
            log.exception("the keys stay what they were")
            return
        self._change(wiring, self.driver.targets, keys, self.app.guard)
        self.entrance.take_keys(joined)

    def _change(self, wiring: Wiring, targets: dict[str, LiveTarget], keys: Keyring, guard: WebGuard) -> None:
        self._wiring = wiring
        self.app.adopt(keys, guard)
        self.app.lines.know(wiring.served)
        if self._server is not None:
            self._server.forget_heads()
        before = budgets_in(self.policy)
        self.driver.change_policy(wiring.policy, targets)
        added = budgets_in(wiring.policy) - before
        if added:
            self._telling = asyncio.get_running_loop().create_task(self._tell_later(added))

    async def stop(self) -> int:
        """Drain, then end everything; return how many requests had to be cut off."""
        grace_s = float(self.config.server.drain_timeout)
        if self._server is not None:
            self._server.stop_accepting()
        await self.entrance.close()  # what is with the detectors goes on to the driver, bound to local targets
        cut = await self.driver.drain(grace_s)
        self.driver.close()
        if self._server is not None:
            await self._server.drain(1.0)
            await self._server.close()
        await self.fleet.close()
        for task in (self._telling, *self._watching):
            if task is not None:
                task.cancel()
        await self._release()
        return cut

    async def _release(self) -> None:
        await self.entrance.close()
        await self.client.close()
        if self.ledger is not None:
            lost = await asyncio.to_thread(self.ledger.close)
            if lost:
                log.warning("%d ledger records could not be written", lost)

    def _feed(self, event: AnyEvent) -> None:
        self.driver.feed(event)  # made after the fleet, which therefore cannot be given the method itself

    def _count_running(self, target_id: str) -> int:
        return self.driver.running_on(target_id)


def ledger_path(config: Config, environ: Mapping[str, str]) -> Path:
    """Return where the ledger of ``config`` is."""
    named = config.ledger.path
    return state_dir(environ) / "ledger.db" if named is None else Path(named).expanduser()


def web_guard(config: Config) -> WebGuard:
    """Return what knows whose web pages ``config`` lets in."""
    server = config.server
    return WebGuard(server.host, server.allowed_hosts, server.cors_origins)


def _watched(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a file is not looked after any more", exc_info=error)


def _differs(old: Config, new: Config, section: str) -> bool:
    before, after = getattr(old, section), getattr(new, section)
    if section == "server":
        return bool(_fixed(before) != _fixed(after))
    return bool(before != after)


def _fixed(server: object) -> list[object]:
    """Return what does not follow a reload."""
    names: tuple[str, ...] = server.__struct_fields__  # type: ignore[attr-defined]
    return [getattr(server, name) for name in names if name not in _FOLLOWS]


def _limits(server: ServerConfig) -> Limits:
    limits = server.limits
    return Limits(
        compress_from_bytes=Limits().compress_from_bytes if server.compress else sys.maxsize,
        max_body_bytes=int(limits.max_body),
        max_header_bytes=int(limits.max_header),
        header_timeout_s=float(limits.header_timeout),
        body_timeout_s=float(limits.body_timeout),
        idle_timeout_s=float(limits.idle_timeout),
        write_stall_s=float(limits.write_stall),
        max_connections=limits.max_connections,
    )
