"""What must stay local stays: whole gateways on loopback, whatever breaks, and an outside that records every byte.

The scripts ask, break engines, reload and leave in an order that Hypothesis chooses; ``support.leaks`` says what may be
seen outside. ``LEAK_EXAMPLES=1000 pytest tests/property/test_nothing_leaks.py`` looks longer than the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.leaks import BINDINGS, BY_TEXT, FAULTS, VARIANTS, Asked, World, world
from tests.support.loops import PATIENCE_S, run, until
from tests.support.outside import MODES
from tests.support.touchy import install_touchy

from overspill.core.types import Refusal, Surface

EXAMPLES = int(os.environ.get("LEAK_EXAMPLES", "25"))
BOUND = BINDINGS[1:]
LONG_S = 4 * PATIENCE_S
"""Each scenario waits for deadlines, and starts processes."""


@pytest.fixture(scope="module", autouse=True)
def touchy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install_touchy(tmp_path_factory.mktemp("packages") / "site-packages", patch)
        yield


# -- each way out by itself: what is not bound goes it, and what is bound does not


async def _busy(it: World) -> None:
    it.engine.faults = FAULTS["busy"]


async def _error(it: World) -> None:
    it.engine.faults = FAULTS["error"]


async def _cut(it: World) -> None:
    it.engine.faults = FAULTS["cut_at_once"]


async def _rate(it: World) -> None:
    it.engine.faults = FAULTS["rate"]


async def _dead(it: World) -> None:
    await it.die()


async def _full(it: World) -> None:
    """Have the engine's one slot taken by somebody who stays."""
    it.engine.faults = FAULTS["stall"]
    await it.ask("key")
    await until(lambda: it.gateway.driver.running_on("local/0") == 1)


async def _breaker(it: World) -> None:
    it.engine.faults = FAULTS["error"]
    driver = it.gateway.driver
    target = driver.controller.targets["local/0"]
    while target.refusal(Surface.CHAT, 1, False, driver.now(), "m") is not Refusal.BREAKER_OPEN:
        await (await it.ask("header")).reading


async def _outside_first(it: World) -> None:
    it.reload("outside_first")


async def _moved(it: World) -> None:
    """Have the local target's place taken by one outside, under the same name."""
    it.reload("moved")


async def _silent(it: World) -> None:
    """Have the engine say nothing but that it lives: a second target is asked beside it."""
    it.reload("roomy")
    it.engine.faults = FAULTS["keepalive"]


async def _hedged(it: World) -> None:
    it.reload("roomy")
    it.engine.faults = FAULTS["stall_at_once"]


WAYS = (_busy, _error, _cut, _rate, _dead, _full, _breaker, _outside_first, _moved)
BESIDE = (_silent, _hedged)
"""Where the first attempt goes on, so that only time shows whether there is a second."""


async def _goes_outside(it: World, stream: bool, model: str = "m") -> None:
    """Ask unbound until it is seen outside: on a busy machine the detectors may be late, and then it stays too."""
    while True:
        await until(it.are_detectors_ready)
        free = await it.ask("none", model=model, stream=stream)
        await it.settle()
        await until(partial(it.has_gone_its_way, free))
        await it.leave(free)
        if it.seen_outside(free):
            return


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_what_is_bound_does_not_go_where_the_same_unbound_goes(way: Any, stream: bool) -> None:
    async def main() -> None:
        async with world() as it:
            await way(it)
            for binding in BOUND:
                asked = await it.ask(binding, stream=stream, chat=binding != "tokens")
                await it.settle()
                await it.leave(asked)
            await _goes_outside(it, stream)
            it.check()
            assert all(asked.is_bound for asked in it.asked if asked.binding in BOUND)

    run(main(), patience_s=LONG_S)


@pytest.mark.parametrize("way", BESIDE, ids=lambda way: way.__name__.strip("_"))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_no_second_attempt_outside_runs_beside_one_that_is_bound(way: Any, stream: bool) -> None:
    async def main() -> None:
        async with world() as it:
            await way(it)
            await until(it.are_detectors_ready)
            for binding in BOUND:
                await it.ask(binding, stream=stream, chat=binding != "tokens")
            await it.settle()
            await _goes_outside(it, stream)  # later than those before it
            it.check()
            assert it.gateway.driver.open_sessions >= len(BOUND) - 1  # and they still run

    run(main(), patience_s=LONG_S)


@pytest.mark.parametrize("binding", BOUND)
def test_a_model_that_is_only_outside_is_refused_to_what_is_bound(binding: str) -> None:
    async def main() -> None:
        async with world() as it:
            await _goes_outside(it, True, "far")
            asked = await it.ask(binding, model="far")
            reply = await asked.reading
            if binding != "model":  # that one has a route of its own
                assert reply.status == 503
                assert reply.headers["x-overspill-local-only"] == ("detector" if binding in BY_TEXT else binding)
            await it.settle()
            it.check()

    run(main(), patience_s=LONG_S)


def _has_settled(it: World, asked: Asked) -> bool:
    """Say whether it waits and was seen outside, or never will be: the detectors were late, or it has its answer."""
    waits = sum(it.gateway.driver.controller.waiting_by_lane().values()) > 0
    return (waits and it.seen_outside(asked) > 0) or it.is_kept_local(asked) or asked.reading.done()


async def _waits_while_all_are_busy(it: World, binding: str) -> Asked:
    """Ask when every target is busy: the request was seen outside, and waits to be asked again."""
    it.engine.faults = FAULTS["busy"]
    for cloud in it.clouds:
        cloud.mode = "busy"
    waiting = it.gateway.driver.controller.waiting_by_lane
    while True:
        await until(it.are_detectors_ready)
        asked = await it.ask(binding)
        await until(partial(_has_settled, it, asked))
        if it.seen_outside(asked) and sum(waiting().values()):
            return asked
        await it.leave(asked)


@pytest.mark.parametrize(
    ("first", "second", "binding"),
    [
        ("base", "route_bound", "none"),
        ("no_detectors", "base", "word"),
        ("no_detectors", "base", "none"),
        ("base", "other_detectors", "none"),
        ("outside_first", "route_bound", "none"),
    ],
)
def test_a_reload_binds_what_waits(first: str, second: str, binding: str) -> None:
    async def main() -> None:
        async with world(PATIENCE_S) as it:
            it.reload(first)
            bound = await _waits_while_all_are_busy(it, binding)
            it.reload(second)
            assert bound.most_outside is not None
            for cloud in it.clouds:
                cloud.mode = "answer"
            it.engine.faults = FAULTS["none"]
            reply = await bound.reading
            assert (reply.status, reply.headers["x-overspill-target"]) == (200, "local/0")
            assert reply.headers["x-overspill-local-only"] in ("model", "detector")
            it.check()

    run(main(), patience_s=LONG_S)


def test_a_reload_that_binds_nothing_lets_what_waits_go_outside() -> None:
    """Show that there was time enough for that in the test before."""

    async def main() -> None:
        async with world(PATIENCE_S) as it:
            free = await _waits_while_all_are_busy(it, "none")
            it.reload("roomy")
            for cloud in it.clouds:
                cloud.mode = "answer"
            reply = await free.reading
            assert (reply.status, "cloud" in reply.headers["x-overspill-target"]) == (200, True)

    run(main(), patience_s=LONG_S)


# -- everything together

asks = st.tuples(
    st.just("ask"),
    st.sampled_from((*BINDINGS, "none", "none")),
    st.sampled_from(("m", "m", "m", "far")),
    st.booleans(),
    st.booleans(),
)
steps = st.one_of(
    asks,
    asks,
    asks,
    st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS))),
    st.tuples(st.just("outside"), st.sampled_from((0, 1)), st.sampled_from(MODES)),
    st.tuples(st.just("reload"), st.sampled_from(VARIANTS)),
    st.tuples(st.sampled_from(("die", "revive", "settle", "breathe"))),
    st.tuples(st.sampled_from(("leave", "retry")), st.integers(0, 20)),
)


async def _do(it: World, step: tuple[Any, ...]) -> None:
    match step:
        case "ask", binding, model, stream, chat:
            await it.ask(binding, model=model, stream=stream, chat=chat)
        case "fault", name:
            it.engine.faults = FAULTS[name]
        case "outside", which, mode:
            it.clouds[which].mode = mode
        case "reload", variant:
            it.reload(variant)
        case ("die",):
            await it.die()
        case ("revive",):
            await it.revive()
        case ("settle",):
            await it.settle()
        case ("breathe",):
            received = it.engine.received
            handled = it.gateway.driver._handled
            await until(
                lambda: it.engine.received > received or it.gateway.driver._handled >= handled + 1 or not it.asked
            )
        case "leave", number if number < len(it.asked):
            await it.leave(it.asked[number])
        case "retry", number if number < len(it.asked):
            await it.retry(it.asked[number])


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=4, max_size=24))
def test_nothing_that_must_stay_local_is_seen_outside(script: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        async with world() as it:
            for step in script:
                await _do(it, step)
            await it.finish()
            it.check()

    run(main(), patience_s=LONG_S)
