"""A report of the ledger that a real gateway wrote under a burst that spilled."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tests.support.gateways import (
    address_of,
    attach,
    chat,
    fake_engine,
    ready,
    rows,
    serving,
    text_of,
    upstream,
    url_of,
)
from tests.support.loops import run
from tests.support.raw_client import ask
from tests.unit.cli.calling import overspill
from tests.unit.planner.report.reading import ReadPage, plots_of

from overspill.perf.batching import EngineModel

pytest.importorskip("plotly", reason="extra `report`")
REQUESTS = 24


def test_a_report_shows_what_a_gateway_recorded(tmp_path: Path) -> None:
    ledger, page_file = tmp_path / "ledger.db", tmp_path / "report.html"

    async def main() -> None:
        slow = EngineModel(slots=2, step_base_s=2e-3)
        async with fake_engine(slow) as home, fake_engine() as cloud:
            pools = {"home": attach(url_of(home), slots=2), "cloud": upstream(url_of(cloud))}
            async with serving(text_of(pools, path=ledger)) as gateway:
                await ready(gateway, "home/0")
                body = chat(max_tokens=20)
                answers = await asyncio.gather(*(ask(address_of(gateway), body) for _ in range(REQUESTS)))
                assert {answer.status for answer in answers} == {200}

    run(main())
    recorded = rows(ledger, "requests")
    spilled = sum(row["spill"] is not None for row in recorded)
    assert 0 < spilled < REQUESTS
    called = overspill("plan", "report", "-w", str(ledger), "--window", "1s", "--unit", "rps=20", "--own", "8xH100",
                       "--token-price", "in=1,out=2", "--out", str(page_file), "--json")  # fmt: skip
    assert called.code == 0, called.err
    values = json.loads(called.out)
    assert values["workload"]["format"] == "ledger"
    assert values["workload"]["requests"] + values["workload"]["left_out_at_the_ends"] == REQUESTS
    assert values["latencies"]["recorded_spilled_share"] == pytest.approx(spilled / REQUESTS)
    fastest = min(row["ttft_s"] for row in recorded if row["spill"] is None)
    home = next(row for row in values["latencies"]["recorded"] if (row["where"], row["measure"]) == ("local", "ttft"))
    assert home["seconds"][0] == pytest.approx(fastest)
    page = ReadPage(page_file.read_text(encoding="utf-8"))
    assert {"plot-recorded-ttft", "plot-spill"} <= set(plots_of(page))
