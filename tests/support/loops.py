"""Runs a scenario on a loop, with a limit to its time; whatever a callback raised makes the test fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

PATIENCE_S = 30.0
"""Nothing takes this long unless it is broken."""
LOOPS: dict[str, Callable[[Coroutine[Any, Any, None]], None]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


def run(scenario: Coroutine[Any, Any, None], *, loop: str = "asyncio", patience_s: float = PATIENCE_S) -> None:
    LOOPS[loop](_watched(scenario, patience_s))


async def _watched(scenario: Coroutine[Any, Any, None], patience_s: float) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
    async with asyncio.timeout(patience_s):
        await scenario
    assert not raised, raised


async def until(claim: Callable[[], object]) -> None:
    """Let the loop run until ``claim`` holds; the scenario's own limit ends a wait in vain."""
    while not claim():  # noqa: ASYNC110 - it may be about anything, so nothing could set an event
        await asyncio.sleep(0.001)
