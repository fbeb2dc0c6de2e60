"""The gateway's own ledger as a workload, as a database and as each of its exports."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.ledger.sample_records import a_request

from overspill.core.types import Outcome, Surface
from overspill.errors import LedgerError, TraceError
from overspill.ledger.export import Format, export
from overspill.ledger.store import LedgerStore
from overspill.planner.workload import Dropped, TraceRequest
from overspill.planner.workloads.reading import open_workload
from overspill.planner.workloads.rows import Options

RECORDS = [
    a_request(
        3, model="m", key_id="team", prompt_tokens=90, prompt_tokens_reported=100, cached_tokens=60, output_tokens=7
    ),
    a_request(
        1,
        model='m,"x"',
        key_id="",
        prompt_tokens=50,
        prompt_tokens_reported=None,
        cached_tokens=None,
        output_tokens=3,
        outcome=Outcome.BROKEN,
        attempts=2,
    ),
    a_request(4, model="m", output_tokens=None, outcome=Outcome.REJECTED, attempts=0),
    a_request(5, model="m", surface=Surface.EMBEDDINGS, output_tokens=None),
    a_request(6, model="m", attempts=0),
]


def written(folder: Path, form: str) -> Path:
    path = folder / "ledger.db"
    store = LedgerStore.open(path)
    try:
        store.write(RECORDS, [])
        if form == "sqlite":
            return path
        destination = folder / f"export.{form}"
        export(store, "requests", destination, Format(form))
        return destination
    finally:
        store.close()


@pytest.mark.parametrize("form", ["sqlite", "csv", "jsonl", "parquet"])
def test_the_ledger_is_a_workload_in_each_of_its_forms(tmp_path: Path, form: str) -> None:
    workload = open_workload(written(tmp_path, form))
    assert workload.format == "ledger"
    assert list(workload.requests()) == [TraceRequest(0.0, 50, 3), TraceRequest(2.0, 100, 7, "team", 60)]
    assert workload.starts_at_unix_s == 1001.0
    assert workload.dropped == {Dropped.NOT_ANSWERED: 1, Dropped.NOT_GENERATED: 2}


@pytest.mark.parametrize("form", ["sqlite", "csv", "jsonl", "parquet"])
def test_one_model_of_the_ledger(tmp_path: Path, form: str) -> None:
    workload = open_workload(written(tmp_path, form), options=Options(model='m,"x"'))
    assert [request.output_tokens for request in workload.requests()] == [3]
    assert workload.dropped == {Dropped.OTHER_MODEL: 4}


def test_damaged_exports_say_where(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text("request_id,arrived_at,prompt_tokens,outcome,attempts\nx,soon,1,completed,1\n")
    with pytest.raises(TraceError, match=r"export.csv:2: this row is no request"):
        list(open_workload(path).requests())
    path.write_text('{"arrived_at": 1, "prompt_tokens": 1, "attempts": 1}\n')
    with pytest.raises(TraceError, match=r"export.csv:1.*outcome"):
        list(open_workload(path).requests())
    path.write_text('{"arrived_at": 1, \n')
    with pytest.raises(TraceError, match=r"export.csv:1"):
        list(open_workload(path).requests())
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(TraceError, match="no Parquet export"):
        list(open_workload(path).requests())


def test_another_programs_database_is_no_ledger(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(LedgerError, match="another program"):
        list(open_workload(path).requests())
