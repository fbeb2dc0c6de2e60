from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.ledger.sample_records import a_request, an_attempt

from overspill.errors import LedgerError
from overspill.ledger.spending import spending
from overspill.ledger.store import LedgerStore


def test_known_costs_are_summed_by_key_route_and_target_since_a_time(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    rows = [(50.0, "a", 9.0), (100.0, "a", 1.0), (150.0, "a", 2.0), (150.0, "b", None), (160.0, "b", 0.0)]
    requests = [
        a_request(n, arrived_at=at, key_id=key, route=f"to-{key}", cost_usd=usd)
        for n, (at, key, usd) in enumerate(rows)
    ]
    attempts = [
        an_attempt(n, started_at=at, target_id=f"cloud/{key}/m", cost_usd=usd) for n, (at, key, usd) in enumerate(rows)
    ]
    store.write(requests, attempts)
    found = spending(store, 100.0)
    assert found == ({"a": 3.0}, {"to-a": 3.0}, {"cloud/a/m": 3.0})
    store.connection.execute("DROP TABLE attempts")
    with pytest.raises(LedgerError, match="cannot be read"):
        spending(store, 100.0)
    store.close()
