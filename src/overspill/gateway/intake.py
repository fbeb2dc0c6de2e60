"""What happens to a request between its reading and the controller, where it is configured: detectors, then the cache.

Detectors first: whether a request is bound to local targets decides which kept answers are for it. A gateway that has
neither has no intake, and a request goes straight to the driver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from overspill.config.screening import ScreeningPlan
from overspill.core.types import LocalOnly, Outcome
from overspill.gateway.books import Bookkeeper
from overspill.gateway.cache import AnswerCache, Keeping, is_repeatable
from overspill.gateway.driver import Driver
from overspill.gateway.screening import Screening, TextVerdict
from overspill.gateway.session import Session
from overspill.gateway.wishes import CacheWish

log = logging.getLogger("overspill.intake")


class Intake:
    """The detectors and the cache of one configuration; either may be missing."""

    def __init__(
        self,
        driver: Driver,
        books: Bookkeeper,
        *,
        screening: Screening | None,
        plans: Mapping[int, ScreeningPlan],
        cache: AnswerCache | None,
    ) -> None:
        """Make it; ``plans`` says what the numbers in ``Route.screening`` stand for."""
        self._driver = driver
        self._books = books
        self._screening = screening
        self._plans = plans
        self._cache = cache
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, session: Session) -> None:
        """Take a client's request: it reaches the driver, or is answered here."""
        route = self._driver.controller.find_route(session.request.model)
        if route is None or route.local_only or session.local_only_by is not None:
            self._admit(session)
            return
        session.route_pattern = route.pattern
        plan = self._plans.get(route.screening)
        if plan is None or self._screening is None:
            self._admit(session)
            return
        work = self._look(session, self._screening, route.screening, plan)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(lambda done: self._looked(session, done))

    async def _look(self, session: Session, screening: Screening, number: int, plan: ScreeningPlan) -> None:
        verdict = await screening.look(session.asked, len(session.exchange.request.body), plan)
        if verdict is TextVerdict.CLEAN or (verdict is TextVerdict.FAILED and plan.lets_failed):
            session.screening = number
        else:
            session.local_only_by = LocalOnly.DETECTOR
        if not session.exchange.is_finished:
            self._admit(session)
        elif session.comeback is None:  # the client left meanwhile
            self._books.request(session, Outcome.CLIENT_GONE, None, self._driver.now())
        else:  # it may come back with a retry
            self._admit(session)
            self._driver.client_left(session)

    def _looked(self, session: Session, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a request could not be screened", exc_info=error)
            session.exchange.fail()
            self._driver.rejoining.ended(session, self._driver.now())

    def _admit(self, session: Session) -> None:
        """Answer from the cache, or let the request go on; if it may be kept, its answer will be."""
        cache, wish = self._cache, session.wishes.cache
        request = session.request
        route = self._driver.controller.find_route(request.model)
        if cache is None or route is None or not self._may_be_kept(session):
            self._driver.submit(session)
            return
        session.bind(route)
        is_bound, shown = session.local_only_by is not None, session.wishes.reasoning or ""
        key = cache.key(route.pattern, request, session.key_id, is_bound, shown)
        now = self._driver.now()
        kept = None if wish is CacheWish.REFRESH else cache.get(key, now)
        if kept is not None:
            session.answer_again(kept, now)
            self._books.answered_again(session, kept, now)
            self._driver.rejoining.ended(session, now)
            return
        session.keeping = Keeping(cache, key, session.surface, is_limited=request.max_tokens is not None)
        self._driver.submit(session)

    def _may_be_kept(self, session: Session) -> bool:
        wish, request = session.wishes.cache, session.request
        if wish is CacheWish.OFF or (wish is CacheWish.AUTO and not is_repeatable(session.surface, request)):
            return False
        # Else a key could read what others may ask for.
        return self._driver.controller.may_ask_for(session.key_id, request.model)

    @property
    def is_busy(self) -> bool:
        """True while requests are with the detectors."""
        return bool(self._tasks)

    def retire(self) -> None:
        """Give no kept answers any more: there is a new configuration, and they may be another model's."""
        self._cache = None

    async def settle(self) -> None:
        """Wait until no request is with the detectors; close them before, and it is soon."""
        if self._tasks:
            await asyncio.wait(self._tasks)
