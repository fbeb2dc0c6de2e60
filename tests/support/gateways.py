"""A real gateway in this process, made from a configuration's text, with targets on real loopback sockets."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.loops import until

from overspill.config.load import load_text
from overspill.config.schema import Config
from overspill.core.types import Health
from overspill.gateway.driver import Recorder
from overspill.gateway.rehearsal.engine import EngineConfig, FakeEngine
from overspill.gateway.rehearsal.faults import Fault
from overspill.gateway.service import Gateway
from overspill.perf.engine_model import EngineModel
from overspill.pools.facts import load_facts

FACTS = load_facts()
FAST = EngineModel(slots=32, step_base_s=1e-4)
NEVER = EngineModel(slots=32, step_base_s=1e6)
"""Its first token comes after eleven days: what is sent to it stays there."""
MESSAGES = [{"role": "user", "content": "hello"}]
PRICE = {"input": 1.0, "output": 2.0}


def chat(model: str = "m", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, **more}


def attach(url: str, **more: Any) -> dict[str, Any]:
    """Write a local pool: a server that runs."""
    return {"attach": "vllm", "url": url, "slots": 4, **more}


def upstream(url: str, **more: Any) -> dict[str, Any]:
    """Write a pool that is somebody else's, with a price."""
    accounts = [{"name": "main", "api_key": "env:CLOUD_KEY"}]
    return {"upstream": "openai_compatible", "base_url": f"{url}/v1", "accounts": accounts, "price": PRICE, **more}


def text_of(
    pools: Mapping[str, Any], routes: list[dict[str, Any]] | None = None, *, path: Path | None = None, **sections: Any
) -> str:
    """Write a configuration, in that part of YAML which is JSON; without routes, model ``m`` spills pool by pool."""
    tiers = [[name] for name in pools]
    ledger = {"enabled": False} if path is None else {"path": str(path), **sections.pop("ledger", {})}
    server = {"port": 0, **sections.pop("server", {})}
    routes = [{"model": "m", "tiers": tiers}] if routes is None else routes
    return json.dumps({"server": server, "pools": dict(pools), "routes": routes, "ledger": ledger, **sections})


ENVIRON = {"CLOUD_KEY": "sk-cloud", "GATE_KEY": "sk-gate", "HOME": "/nonexistent"}


def config_of(text: str) -> Config:
    return load_text(text, FACTS)


@contextlib.asynccontextmanager
async def serving(
    text: str,
    *,
    environ: Mapping[str, str] = ENVIRON,
    recorder: Recorder | None = None,
    keys_file: Path | None = None,
) -> AsyncIterator[Gateway]:
    gateway = Gateway(config_of(text), FACTS, environ=environ, recorder=recorder, keys_file=keys_file)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def address_of(gateway: Gateway) -> str:
    return gateway.addresses[0]


@contextlib.asynccontextmanager
async def fake_engine(
    model: EngineModel = FAST, *, faults: tuple[Fault, ...] = (), **options: Any
) -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(EngineConfig(engine=model, faults=faults, **options))
    await engine.listen()
    try:
        yield engine
    finally:
        await engine.close()


def url_of(engine: FakeEngine) -> str:
    return f"http://{engine.origin.host}:{engine.origin.port}"


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    """Read a table of the ledger in the order of writing; the gateway must have stopped."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid")]


def metric(gateway: Gateway, name: str, *labels: str) -> float:
    """Read one counter's series, or the count of a histogram's, as a scrape would."""
    gateway.metrics.samples()
    for counter in gateway.metrics.counters:
        if counter.metric.name == name:
            return counter.series.get(labels, [0.0])[0]
    for histogram in gateway.metrics.histograms:
        if histogram.metric.name == name:
            return sum(histogram.series.get(labels, [0.0])[:-1])
    raise AssertionError(f"no metric {name}")


def metric_samples(gateway: Gateway, name: str) -> dict[tuple[str, ...], float]:
    """Read all series of a metric that is read from the present, as a scrape would."""
    return {sample.labels: sample.value for sample in gateway.metrics.samples() if sample.metric.name == name}


async def ready(gateway: Gateway, target_id: str) -> None:
    """Wait until the controller takes a target for ready."""
    await until(lambda: gateway.driver.controller.targets[target_id].health is Health.READY)
