"""Blocking work beside the loop that must not hold up the end of the process, such as a download."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from overspill.errors import OverspillError

T = TypeVar("T")


async def in_background(work: Callable[[], T], *, name: str) -> T:
    """Run ``work`` in a daemon thread and return what it returns, or raise the ``OverspillError`` that it raises.

    The loop's executor is no place for it: a process that was asked to stop would wait for an executor's threads, and
    a download may take an hour. Cancelled, this returns at once and the thread ends with the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | OverspillError) -> None:
        if done.done():
            return
        if isinstance(result, OverspillError):
            done.set_exception(result)
        else:
            done.set_result(result)

    def run() -> None:
        # For an error of no kind that we raise: the thread prints its traceback as it ends.
        result: T | OverspillError = OverspillError(f"{name} failed unexpectedly; standard error says how")
        try:
            result = work()
        except OverspillError as error:
            result = error
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
                loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
