"""The detectors and the cache of a running gateway, which follow a reload; ``intake`` is what requests meet of them."""

from __future__ import annotations

import asyncio
from collections import Counter

from overspill.config.compile import Wiring
from overspill.config.keys import keys_of
from overspill.config.schema import Config
from overspill.gateway.books import Bookkeeper
from overspill.gateway.cache import AnswerCache, CacheCounts, Scope
from overspill.gateway.driver import Driver
from overspill.gateway.intake import Intake
from overspill.gateway.screening import Screening, TextVerdict


class Entrance:
    """Makes the intake of each configuration. ``adopt`` any time in a running loop; ``close`` at the end."""

    def __init__(self, driver: Driver, books: Bookkeeper) -> None:
        self._driver = driver
        self._books = books
        self.verdicts: Counter[TextVerdict] = Counter()
        self.lookups = CacheCounts()
        self.screening: Screening | None = None
        self.cache: AnswerCache | None = None
        self._intakes: list[Intake] = []
        """The last one, and those before it that still have requests with the detectors."""
        self._closing: set[asyncio.Task[None]] = set()

    def adopt(self, config: Config, wiring: Wiring) -> Intake | None:
        """Return what requests are to meet from now on; ``None`` for nothing. What was cached is let go."""
        for intake in self._intakes:
            intake.retire()
        self._intakes = [intake for intake in self._intakes if intake.is_busy]
        self._screen(config, wiring)
        self.cache = None
        if config.cache.enabled:
            self.cache = AnswerCache(config.cache, _scope(config), self.lookups)
        if self.screening is None and self.cache is None:
            return None
        intake = Intake(self._driver, self._books, screening=self.screening, plans=wiring.screening, cache=self.cache)
        self._intakes.append(intake)
        return intake

    def take_keys(self, config: Config) -> None:
        """Take other keys and teams; what was cached stays."""
        if self.cache is not None:
            self.cache.scope = _scope(config)

    def _screen(self, config: Config, wiring: Wiring) -> None:
        """Keep the detectors' processes if they are what is wanted; else replace them."""
        old = self.screening
        if old is not None and wiring.screening and old.config == config.screening:
            return
        self.screening = Screening(config.screening, self.verdicts) if wiring.screening else None
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End the detectors' processes and let what is with them go on; once is enough, and more does no harm."""
        if self.screening is not None:
            await self.screening.close()
        for intake in self._intakes:
            await intake.settle()
        if self._closing:
            await asyncio.wait(self._closing)


def _scope(config: Config) -> Scope:
    teams = {key_id: entry.team for key_id, entry in keys_of(config) if entry.team is not None}
    return Scope(config.cache.scope, teams)
