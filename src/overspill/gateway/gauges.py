"""What ``/metrics`` shows of the present: read from the controller, the engines and the ledger at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from overspill.core.breaker import BreakerState
from overspill.core.controller import Controller
from overspill.core.types import Health
from overspill.gateway.driver import Driver
from overspill.gateway.entrance import Entrance
from overspill.gateway.fleet import Fleet
from overspill.ledger.writer import LedgerWriter
from overspill.telemetry import definitions as d
from overspill.telemetry.sample import Sample


def controller_gauges(controller: Controller) -> Iterator[Sample]:
    """Yield the state of targets and lanes."""
    for target_id, target in controller.targets.items():
        yield Sample(d.NUM_REQUESTS_RUNNING, (target_id,), len(target.running))
        yield Sample(d.TARGET_READY, (target_id,), target.health is Health.READY)
        for state in BreakerState:
            yield Sample(d.BREAKER_STATE, (target_id, state.value), target.breaker.state is state)
    for (pattern, is_local_only), waiting in controller.waiting_by_lane().items():
        yield Sample(d.NUM_REQUESTS_WAITING, (f"{pattern} (local only)" if is_local_only else pattern,), waiting)


def driver_gauges(driver: Driver) -> Iterator[Sample]:
    """Yield how often clients' retries cost nothing."""
    yield Sample(d.REJOINED, (), driver.rejoining.rejoined)


def fleet_gauges(fleet: Fleet) -> Iterator[Sample]:
    """Yield how often engines had to be started again."""
    for target_id, state in fleet.states().items():
        yield Sample(d.ENGINE_RESTARTS, (target_id,), state.restarts)


def entrance_gauges(entrance: Entrance) -> Iterator[Sample]:
    """Yield what the detectors said, and how the cache is doing."""
    for verdict, count in entrance.verdicts.items():
        yield Sample(d.SCREENINGS, (verdict.value,), count)
    if entrance.cache is not None:
        yield Sample(d.CACHE_LOOKUPS, ("hit",), entrance.lookups.hits)
        yield Sample(d.CACHE_LOOKUPS, ("miss",), entrance.lookups.misses)
        yield Sample(d.CACHE_ANSWERS, (), len(entrance.cache))
        yield Sample(d.CACHE_BYTES, (), entrance.cache.size_bytes)


def ledger_gauges(ledger: LedgerWriter) -> Iterator[Sample]:
    """Yield how the ledger is doing."""
    yield Sample(d.LEDGER_BUFFERED, (), ledger.buffered)
    yield Sample(d.LEDGER_DROPPED, (), ledger.dropped)
    yield Sample(d.LEDGER_HEALTHY, (), ledger.is_healthy)
