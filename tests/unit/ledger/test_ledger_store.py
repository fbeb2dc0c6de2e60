from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from tests.unit.ledger.sample_records import a_body, a_request, an_attempt

from overspill.core.types import FailureKind, Outcome, RejectReason, RescueRefusal, Spill
from overspill.errors import LedgerError
from overspill.ledger.records import AttemptOutcome
from overspill.ledger.schema import APPLICATION_ID, MIGRATIONS
from overspill.ledger.store import _ROWS_PER_STATEMENT, ATTEMPTS, BODIES, REQUESTS, TABLES, LedgerStore


def plain(record: msgspec.Struct) -> tuple[object, ...]:
    """What a record should read back as."""
    return tuple(
        str(value) if isinstance(value, str) else int(value) if isinstance(value, bool) else value
        for value in msgspec.structs.astuple(record)
    )


def test_the_columns_of_each_table_are_the_fields_of_its_record_in_order(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    for table in TABLES:
        columns = [row[1] for row in store.connection.execute(f"PRAGMA table_info({table.name})")]
        assert tuple(columns) == table.columns
        assert len(columns) * _ROWS_PER_STATEMENT <= 999
    store.close()


def test_every_value_of_a_record_is_read_back_and_none_is_null(tmp_path: Path) -> None:
    full = a_request(1, reasoning_tokens=7, max_tokens=64, reason=FailureKind.CUT, spill=Spill.SLO_AT_RISK)
    empty = a_request(
        2,
        outcome=Outcome.REJECTED,
        reason=RejectReason.QUEUE_FULL,
        prompt_tokens_reported=None,
        cached_tokens=None,
        output_tokens=None,
        target_id=None,
        ttft_s=None,
        tpot_s=None,
        cost_usd=None,
        finish_reason=None,
        client_status=None,
    )
    failed = an_attempt(
        2,
        outcome=AttemptOutcome.FAILED,
        failure=FailureKind.CONNECT,
        spill=Spill.LOCAL_BROKEN,
        predicted_ttft_s=None,
        ttft_s=None,
        tpot_s=None,
        status=None,
        prompt_tokens=None,
        cached_tokens=None,
        output_tokens=None,
        cost_usd=None,
    )
    store = LedgerStore.open(tmp_path / "ledger.db")
    assert store.write([full, empty], [an_attempt(1), failed], [a_body(1)]) == 0
    assert list(store.rows(REQUESTS)) == [plain(full), plain(empty)]
    assert list(store.rows(ATTEMPTS)) == [plain(an_attempt(1)), plain(failed)]
    assert list(store.rows(BODIES)) == [plain(a_body(1))]
    types = store.connection.execute("SELECT DISTINCT typeof(stream), typeof(cost_usd) FROM requests").fetchall()
    assert sorted(types) == [("integer", "null"), ("integer", "real")]
    store.close()


def test_more_rows_than_one_statement_takes_are_all_written_in_order(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    requests = [a_request(number) for number in range(75)]
    store.write(requests, [])
    assert list(store.rows(REQUESTS)) == [plain(request) for request in requests]
    store.close()


def test_a_value_that_cannot_be_stored_loses_its_own_row_only(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    requests = [a_request(number) for number in range(40)]
    requests[3] = a_request(3, max_tokens=10**30)
    requests[5] = a_request(5, model="\ud800")
    requests[39] = a_request(39, outcome="no enum member")
    assert store.write(requests, [an_attempt(0, started_at=None)]) == 4
    kept = [row[0] for row in store.rows(REQUESTS)]
    assert kept == [f"req_{number}" for number in range(39) if number not in (3, 5)]
    assert list(store.rows(ATTEMPTS)) == []
    store.close()


def test_a_write_that_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    store.connection.execute("DROP TABLE bodies")
    with pytest.raises(sqlite3.OperationalError, match="bodies"):
        store.write([a_request()], [an_attempt()], [a_body()])
    assert not store.connection.in_transaction
    assert list(store.rows(REQUESTS)) == []
    store.close()


def test_rows_are_those_that_arrived_from_since_to_before_until(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    numbers = range(10)
    store.write([a_request(n) for n in numbers], [an_attempt(n) for n in numbers], [a_body(n) for n in numbers])
    for table in TABLES:
        ids = [row[0] for row in store.rows(table, since=1003.0, until=1006.0)]
        assert ids == ["req_3", "req_4", "req_5"]
    store.close()


def test_requests_are_read_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    store.write([a_request(2), a_request(0), a_request(1)], [])
    assert [row[0] for row in store.rows(REQUESTS)] == ["req_0", "req_1", "req_2"]
    store.close()


def test_a_reader_sees_what_is_committed_while_a_writer_goes_on(tmp_path: Path) -> None:
    writer = LedgerStore.open(tmp_path / "ledger.db")
    writer.write([a_request(0)], [])
    reader = LedgerStore.open(tmp_path / "ledger.db", read_only=True)
    writer.connection.execute("BEGIN IMMEDIATE")
    assert len(list(reader.rows(REQUESTS))) == 1
    writer.connection.execute("COMMIT")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.write([a_request(1)], [])
    reader.close()
    writer.close()


def test_the_file_is_for_its_owner_only_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "100% #1?.db"
    store = LedgerStore.open(path)
    store.write([a_request()], [])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert set(modes.values()) == {0o600}
    store.close()


def test_opening_again_keeps_the_rows_and_the_version(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    first = LedgerStore.open(path)
    first.write([a_request()], [])
    first.close()
    again = LedgerStore.open(path)
    assert len(list(again.rows(REQUESTS))) == 1
    assert again.connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    again.close()


def test_a_ledger_of_an_older_version_keeps_its_rows_and_gets_the_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {MIGRATIONS[0]} PRAGMA user_version = 1;")
        old.execute(
            "INSERT INTO requests (request_id, arrived_at, model, route, surface, key_id, stream, priority, local_only,"
            " prompt_tokens, outcome, attempts, queue_wait_s, e2e_s)"
            " VALUES ('req_old', 1000.0, 'm', 'm', 'chat', 'k', 1, 1, 0, 5, 'completed', 1, 0.0, 1.0)"
        )
        old.commit()
    store = LedgerStore.open(path)
    store.write([a_request(1, rescues=2, unrescued=RescueRefusal.TOOL_CALL)], [])
    found = [(row["request_id"], row["rescues"], row["unrescued"]) for row in _dicts(store)]
    assert found == [("req_old", 0, None), ("req_1", 2, "tool_call")]
    store.close()


def _dicts(store: LedgerStore) -> list[dict[str, object]]:
    return [dict(zip(REQUESTS.columns, row, strict=True)) for row in store.rows(REQUESTS)]


def test_reading_a_ledger_that_is_not_there_says_so_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger at"):
        LedgerStore.open(tmp_path / "ledger.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = LedgerStore.open(path)
    store.connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(LedgerError, match=r"schema version 99.*upgrade Overspill"):
        LedgerStore.open(path)


def test_an_older_ledger_is_not_migrated_by_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    with pytest.raises(LedgerError, match="start the gateway on it once"):
        LedgerStore.open(path, read_only=True)


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    with pytest.raises(LedgerError, match="another program"):
        LedgerStore.open(path)
    other = sqlite3.connect(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("notes",)]
    other.close()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one " * 4)
    with pytest.raises(LedgerError, match="move it away"):
        LedgerStore.open(path)
    assert path.read_text().startswith("not a database")


def test_a_place_that_cannot_hold_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be opened"):
        LedgerStore.open(tmp_path / "file" / "ledger.db")


def test_rows_of_a_damaged_ledger_raise_a_ledger_error(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    store.connection.execute("DROP TABLE attempts")
    with pytest.raises(LedgerError, match="cannot be read"):
        list(store.rows(ATTEMPTS))
    store.close()
