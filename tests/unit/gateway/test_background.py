"""Work in a thread: its result, its errors, and that nobody waits for it who has left."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.support.loops import run, until

from overspill.errors import ModelUnusable, OverspillError
from overspill.gateway.background import in_background


def test_the_result_comes_back_and_the_loop_went_on_meanwhile() -> None:
    async def main() -> None:
        may_end = threading.Event()
        working = asyncio.ensure_future(in_background(lambda: may_end.wait() and 7, name="work"))
        await asyncio.sleep(0)
        assert not working.done()
        may_end.set()
        assert await working == 7

    run(main())


def test_an_expected_error_is_raised_as_it_is() -> None:
    def fail() -> int:
        raise ModelUnusable("damaged")

    async def main() -> None:
        with pytest.raises(ModelUnusable, match="damaged"):
            await in_background(fail, name="work")

    run(main())


def test_an_unexpected_error_ends_the_wait_too_and_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)

    def fail() -> int:
        raise KeyError("oops")

    async def main() -> None:
        with pytest.raises(OverspillError, match="work failed unexpectedly"):
            await in_background(fail, name="work")
        await until(lambda: printed)

    run(main())
    assert printed[0].exc_type is KeyError


def test_who_cancels_does_not_wait_and_a_late_result_is_dropped() -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait()
        has_ended.set()

    async def main() -> None:
        working = asyncio.ensure_future(in_background(work, name="work"))
        await asyncio.sleep(0)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    run(main())
    may_end.set()
    assert has_ended.wait(10)
