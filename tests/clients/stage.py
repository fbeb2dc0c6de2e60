"""A gateway between real clients and two targets that it takes for DeepSeek's API, on loopback, in a loop of its own.

``home`` is DeepSeek's API as far as the gateway knows, and what a test makes trouble with; ``backup``, where requests
spill, is another one, or a llama.cpp. Both play a script. A test runs clients in its own thread or as processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import urllib.request
from collections.abc import Coroutine, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
from tests.clients.storm import Storm
from tests.support.gateways import address_of, attach, fake_engine, serving, text_of, url_of
from tests.support.loops import until

from overspill.core.types import Health
from overspill.gateway.rehearsal.engine import FakeEngine
from overspill.gateway.rehearsal.faults import Fault
from overspill.gateway.rehearsal.speech import Script, ScriptedCall
from overspill.gateway.service import Gateway
from overspill.perf.engine_model import EngineModel

MODEL = "deepseek-flash"
QUESTION = "What is the weather in Chengdu?"
THOUGHT = "The user wants to know the weather, so I look it up."
CITY = "Chengdu"
WEATHER = "21 degrees and fog"
"""What the clients' tool says."""
ANSWER = "In Chengdu it is foggy now, and as warm as it was said to be: neither hot nor cold, 不冷不热."
FINDING = "The weather service says: {result}."
TOOL = "get_weather"
CALL = ScriptedCall(name=TOOL, arguments={"city": CITY})
PLAIN = Script(answer=ANSWER, reasoning=THOUGHT)
WITH_TOOL = Script(answer=FINDING, reasoning=THOUGHT, calls=(CALL,))
_REQUESTS = re.compile(r'^overspill_requests_total{.*outcome="([a-z_]+)"} (\d+)', re.MULTILINE)
_SPEED = EngineModel(slots=32, step_base_s=1e-3)
_STARTING_S = 30.0
_T = TypeVar("_T")


class Stage(NamedTuple):
    """What a test sees of it."""

    gateway: Gateway
    home: FakeEngine
    backup: FakeEngine

    @property
    def origin(self) -> str:
        return f"http://{address_of(self.gateway)}"

    @property
    def url(self) -> str:
        """The base URL that clients of OpenAI's API are given."""
        return f"{self.origin}/v1"

    def outcomes(self) -> dict[str, int]:
        """Return how many requests of clients ended how."""
        with urllib.request.urlopen(f"{self.origin}/metrics") as page:
            found = _REQUESTS.findall(page.read().decode())
        return {outcome: sum(int(count) for name, count in found if name == outcome) for outcome, _ in found}


def provider(url: str, **more: Any) -> dict[str, Any]:
    """Write a pool that is DeepSeek's API, but on this machine."""
    accounts = [{"name": "main", "api_key": "env:CLOUD_KEY"}]
    return {"upstream": "deepseek", "base_url": f"{url}/v1", "accounts": accounts, **more}


@contextlib.contextmanager
def staged(
    script: Script = PLAIN,
    *faults: Fault,
    backup: tuple[Fault, ...] = (),
    rescued_by: Literal["deepseek", "llamacpp"] | None = None,
    **route: Any,
) -> Iterator[Stage]:
    """Set the stage. Faults begin once it is set; with ``rescued_by`` ``backup`` goes on with broken streams."""
    with _loop() as call:
        stack = contextlib.AsyncExitStack()
        try:
            stage = call(_set(stack, script, rescued_by, route))
            stage.home.faults, stage.home.received = faults, 0
            stage.backup.faults, stage.backup.received = backup, 0
            yield stage
        finally:
            call(stack.aclose())


@contextlib.contextmanager
def storming() -> Iterator[Storm]:
    """Yield a busy provider alone."""
    with _loop() as call:
        storm = Storm()
        try:
            yield call(storm.__aenter__())
        finally:
            call(storm.__aexit__())


@contextlib.contextmanager
def deepseek_alone() -> Iterator[str]:
    """Yield the base URL of an API that demands thoughts in histories, with a tool to be called."""
    with _loop() as call:
        script = msgspec.structs.replace(WITH_TOOL, demands_reasoning=True)
        engine = fake_engine(_SPEED, script=script)
        try:
            yield f"{url_of(call(engine.__aenter__()))}/v1"
        finally:
            call(engine.__aexit__(None, None, None))


async def _set(
    stack: contextlib.AsyncExitStack, script: Script, rescued_by: str | None, route: dict[str, Any]
) -> Stage:
    home = await stack.enter_async_context(fake_engine(_SPEED, script=script))
    backup = await stack.enter_async_context(fake_engine(_SPEED, script=script))
    rescue = {"weights": "v4-flash", "verify_continuation": True} if rescued_by else {}
    second = attach(url_of(backup), **rescue) | {"attach": "llamacpp"}
    if rescued_by != "llamacpp":
        second = provider(url_of(backup), **rescue)
    pools = {"home": provider(url_of(home), weights="v4-flash"), "backup": second}
    routes = [{"model": MODEL, "tiers": [["home"], ["backup"]], **route}]
    gateway = await stack.enter_async_context(serving(text_of(pools, routes)))
    targets = gateway.driver.controller.targets.values()
    await until(lambda: all(target.health is Health.READY for target in targets))
    if rescued_by:
        await until(lambda: any(target.continues for target in targets))
    return Stage(gateway, home, backup)


class _Call:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __call__(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_STARTING_S)


@contextlib.contextmanager
def _loop() -> Iterator[_Call]:
    """Run a loop in a thread of its own; what its callbacks raised makes the test fail."""
    loop = asyncio.new_event_loop()
    raised: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: raised.append(context))
    thread = threading.Thread(target=loop.run_forever, name="stage")
    thread.start()
    try:
        yield _Call(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert not raised, raised
