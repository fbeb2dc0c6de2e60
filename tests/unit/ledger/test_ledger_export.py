from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.ledger.sample_records import SPILLED, a_body, a_request, an_attempt

from overspill.errors import LedgerError, UnknownName
from overspill.ledger import export as export_module
from overspill.ledger.export import Format, columns_of, export
from overspill.ledger.store import ATTEMPTS, BODIES, REQUESTS, LedgerStore


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    store = LedgerStore.open(tmp_path / "ledger.db")
    requests = [a_request(0), a_request(1, local_only=True, model='a,"b"\n模型'), a_request(2, **SPILLED)]
    store.write(requests, [an_attempt(number) for number in range(3)], [a_body(0), a_body(1, answer=b"\xff\x00")])
    return store


def test_csv_has_a_header_and_reads_back(store: LedgerStore, tmp_path: Path) -> None:
    out = tmp_path / "requests.csv"
    assert export(store, "requests", out, Format.CSV) == 3
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == REQUESTS.columns
    assert [row["local_only"] for row in rows] == ["false", "true", "false"]
    assert rows[1]["model"] == 'a,"b"\n模型'
    assert rows[0]["reasoning_tokens"] == ""
    assert float(rows[2]["cost_usd"]) == 0.002
    store.close()


def test_json_lines_keep_types_and_nulls(store: LedgerStore, tmp_path: Path) -> None:
    out = tmp_path / "requests.jsonl"
    assert export(store, "requests", out, Format.JSONL, since=1001.0) == 2
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert rows[0]["model"] == 'a,"b"\n模型'
    assert rows[0]["local_only"] is True
    assert rows[0]["max_tokens"] is None
    assert rows[1]["spill"] == "local_full"
    assert rows[1]["arrived_at"] == 1002.0
    store.close()


def test_parquet_has_the_columns_types(store: LedgerStore, tmp_path: Path) -> None:
    out = tmp_path / "requests.parquet"
    assert export(store, "requests", out, Format.PARQUET, until=1002.0) == 2
    table = pq.read_table(out)
    assert table.schema.field("local_only").type == pa.bool_()
    assert table.schema.field("ttft_s").type == pa.float64()
    assert table.schema.field("prompt_tokens").type == pa.int64()
    assert table.column("local_only").to_pylist() == [False, True]
    assert table.column("spill").to_pylist() == [None, None]
    store.close()


def test_parquet_is_written_in_groups(store: LedgerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "_ROWS_PER_GROUP", 2)
    assert export(store, "attempts", tmp_path / "attempts.parquet", Format.PARQUET) == 3
    assert pq.ParquetFile(tmp_path / "attempts.parquet").num_row_groups == 2
    store.close()


def test_an_empty_range_gives_a_file_with_columns_and_no_rows(store: LedgerStore, tmp_path: Path) -> None:
    for file_format in Format:
        assert export(store, "requests", tmp_path / file_format, file_format, since=5000.0) == 0
    assert (tmp_path / "csv").read_text().strip().split(",") == list(REQUESTS.columns)
    assert (tmp_path / "jsonl").read_bytes() == b""
    assert pq.read_table(tmp_path / "parquet").num_rows == 0
    store.close()


def test_texts_are_exported_as_text_and_bytes_that_are_none_as_escapes(store: LedgerStore, tmp_path: Path) -> None:
    export(store, "bodies", tmp_path / "bodies.jsonl", Format.JSONL)
    rows = [json.loads(line) for line in (tmp_path / "bodies.jsonl").read_bytes().splitlines()]
    assert [row["answer"] for row in rows] == ["你好", "\\xff\x00"]
    export(store, "bodies", tmp_path / "bodies.parquet", Format.PARQUET)
    assert pq.read_table(tmp_path / "bodies.parquet").column("answer").to_pylist()[1] == b"\xff\x00"
    store.close()


def test_without_pyarrow_the_error_says_what_to_install(
    store: LedgerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LedgerError, match=r"pip install 'overspill\[parquet\]'"):
        export(store, "requests", tmp_path / "r.parquet", Format.PARQUET)
    assert not list(tmp_path.glob("*parquet*"))
    store.close()


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(store: LedgerStore, tmp_path: Path) -> None:
    out = tmp_path / "exports" / "attempts.csv"
    out.parent.mkdir()
    out.write_text("old")
    store.connection.execute("DROP TABLE attempts")
    with pytest.raises(LedgerError, match="cannot be read"):
        export(store, "attempts", out, Format.CSV)
    assert out.read_text() == "old"
    assert list(out.parent.iterdir()) == [out]
    store.close()


def test_a_folder_that_is_not_there_is_a_ledger_error(store: LedgerStore, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be written"):
        export(store, "requests", tmp_path / "no" / "r.csv", Format.CSV)
    store.close()


def test_an_unknown_table_lists_the_known_ones(store: LedgerStore, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'requests'"):
        export(store, "request", tmp_path / "r.csv", Format.CSV)
    store.close()


def test_exported_columns_have_plain_types() -> None:
    kinds = {column.name: column.kind for table in (REQUESTS, ATTEMPTS, BODIES) for column in columns_of(table)}
    assert kinds["reason"] is str
    assert kinds["stream"] is bool
    assert kinds["cost_usd"] is float
    assert kinds["cached_tokens"] is int
    assert kinds["prompt"] is bytes
