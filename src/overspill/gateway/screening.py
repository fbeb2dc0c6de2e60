"""Screening: asks the detectors about a request's text before it goes anywhere. In doubt the request stays local.

A request waits for a free process and for its answer no longer than the configured time. What has not been answered by
then, what is too long, and what the detectors raise on has *failed*, and stays local unless its route says otherwise.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence

import msgspec

from overspill.config.screening import ScreeningConfig, ScreeningPlan
from overspill.detectors.frames import Plan
from overspill.gateway.detector_process import DetectorFailed, DetectorProcess
from overspill.units import MIB
from overspill.wire.texts import Texts, read_texts

log = logging.getLogger("overspill.screening")

_LARGEST_BODY = 8 * MIB
"""A longer one is not even read for its text: that would hold up the loop."""
_LOAD_TIMEOUT_S = 120.0
_MOST_WAITING = 1024
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_WARN_EVERY_S = 60.0


class TextVerdict(enum.StrEnum):
    """What became of looking at one request's text."""

    CLEAN = "clean"  # the detectors found nothing
    FOUND = "found"  # a detector found something
    UNSEEN = "unseen"  # it holds images, audio, files or token ids, which no detector sees
    FAILED = "failed"  # a detector failed, took too long, or the text was too long


class _Job:
    """One question that waits, or is being asked."""

    __slots__ = ("answer", "deadline", "detectors", "texts")

    def __init__(
        self, detectors: Sequence[str], texts: list[str], deadline: float, answer: asyncio.Future[bool]
    ) -> None:
        self.detectors = detectors
        self.texts = texts
        self.deadline = deadline
        self.answer = answer


class Screening:
    """The detectors of one configuration. Make it in a running loop; ``close`` it once."""

    def __init__(self, config: ScreeningConfig, verdicts: Counter[TextVerdict]) -> None:
        """Make it; ``verdicts`` is counted up."""
        self.config = config
        self._verdicts = verdicts
        self._broken: str | None = None
        """Why the detectors cannot be loaded, while that is so: nobody then waits for them."""
        self._plans = {name: Plan(entry.detector, entry.options) for name, entry in config.detectors.items()}
        self._timeout_s = float(config.timeout)
        self._max_text = int(config.max_text)
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._has_jobs = asyncio.Event()
        self._quiet_until = 0.0
        self._is_closed = False
        self._idle = 0
        self._keepers = [self._loop.create_task(self._keep()) for _ in range(config.processes)]

    @property
    def is_ready(self) -> bool:
        """True while a process waits for a question."""
        return self._idle > 0

    async def look(self, fields: Mapping[str, msgspec.Raw], body_bytes: int, plan: ScreeningPlan) -> TextVerdict:
        """Look at the text of a request's top-level fields; count and return what came of it."""
        verdict = TextVerdict.FAILED if body_bytes > _LARGEST_BODY else await self._judge(read_texts(fields), plan)
        self._verdicts[verdict] += 1
        return verdict

    async def _judge(self, texts: Texts, plan: ScreeningPlan) -> TextVerdict:
        if texts.has_unseen and not plan.lets_unseen:
            return TextVerdict.UNSEEN
        if texts.is_unreadable:
            return TextVerdict.FAILED
        if self._broken is not None or self._is_closed or len(self._jobs) >= _MOST_WAITING:
            return TextVerdict.FAILED
        if sum(map(len, texts.strings)) > self._max_text:
            self._warn(f"a text was longer than {self._max_text} characters")
            return TextVerdict.FAILED
        answer: asyncio.Future[bool] = self._loop.create_future()
        self._jobs.append(_Job(plan.detectors, texts.strings, self._loop.time() + self._timeout_s, answer))
        self._has_jobs.set()
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await answer
        except TimeoutError:
            self._warn(f"no answer of the detectors within {self._timeout_s:g} s")
            return TextVerdict.FAILED
        except DetectorFailed as error:
            self._warn(str(error))
            return TextVerdict.FAILED
        return TextVerdict.FOUND if found else TextVerdict.CLEAN

    async def close(self) -> None:
        """End the processes. What waits has failed."""
        self._is_closed = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._fail_all(DetectorFailed("the detectors were closed"))

    def _fail_all(self, error: DetectorFailed) -> None:
        while self._jobs:
            _fail(self._jobs.popleft(), error)

    async def _keep(self) -> None:
        """Have a process ready and give it jobs; after one that failed, start another."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                process = await DetectorProcess.launch(self._plans, _LOAD_TIMEOUT_S)
            except DetectorFailed as error:
                self._broken = str(error)
                self._fail_all(error)
                log.error("the detectors cannot be used, so requests stay local: %s", error)  # noqa: TRY400
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            self._broken = None
            try:
                while await self._ask_next(process):
                    pause_s = _FIRST_PAUSE_S
            finally:
                await process.kill()

    async def _ask_next(self, process: DetectorProcess) -> bool:
        """Do one job; return whether the process can be used again."""
        self._idle += 1
        try:
            job = await self._next_job()
        finally:
            self._idle -= 1
        limit_s = job.deadline - self._loop.time()
        try:
            async with asyncio.timeout(limit_s):
                found = await process.ask(job.detectors, job.texts, limit_s)
        except TimeoutError:
            return False  # who waited has given up by now; the process may still be at it
        except DetectorFailed as error:
            _fail(job, error)
            return not error.is_over
        except asyncio.CancelledError:
            _fail(job, DetectorFailed("the detectors were closed"))
            raise
        if not job.answer.done():
            job.answer.set_result(found)
        return True

    async def _next_job(self) -> _Job:
        while True:
            while self._jobs:
                job = self._jobs.popleft()
                if not job.answer.done():
                    return job
            self._has_jobs.clear()
            await self._has_jobs.wait()

    def _warn(self, message: str) -> None:
        """Say it in the log, but not for each request of a bad day."""
        now = self._loop.time()
        if now >= self._quiet_until:
            self._quiet_until = now + _WARN_EVERY_S
            log.warning("screening failed: %s; such requests stay local, unless their route says otherwise", message)


def _fail(job: _Job, error: DetectorFailed) -> None:
    if not job.answer.done():
        job.answer.set_exception(error)
