from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import pytest
from tests.unit.ledger.sample_records import a_body, a_request, an_attempt

from overspill.errors import LedgerError
from overspill.ledger.store import BODIES, REQUESTS, TABLES, LedgerStore
from overspill.ledger.writer import LedgerWriter


def counts(path: Path) -> list[int]:
    store = LedgerStore.open(path, read_only=True)
    try:
        return [len(list(store.rows(table))) for table in TABLES]
    finally:
        store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_what_was_added_is_in_the_file_after_close(path: Path) -> None:
    writer = LedgerWriter(path, interval_s=3600)
    writer.start()
    for number in range(100):
        writer.add_request(a_request(number))
        writer.add_attempt(an_attempt(number))
    assert writer.close() == 0
    assert counts(path) == [100, 100, 0]
    assert (writer.written, writer.buffered, writer.dropped) == (200, 0, 0)


def test_the_thread_writes_without_being_asked(path: Path) -> None:
    writer = LedgerWriter(path, interval_s=0.01)
    writer.start()
    arrived = threading.Event()
    writer._report_recovery = arrived.set  # type: ignore[method-assign]
    writer.add_request(a_request())
    assert arrived.wait(20)
    assert counts(path) == [1, 0, 0]
    writer.close()


def test_records_added_by_several_threads_all_arrive(path: Path) -> None:
    writer = LedgerWriter(path, interval_s=0.001)
    writer.start()

    def add(first: int) -> None:
        for number in range(first, first + 2000):
            writer.add_request(a_request(number))

    threads = [threading.Thread(target=add, args=(start,)) for start in (0, 2000, 4000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(60) == 0
    store = LedgerStore.open(path, read_only=True)
    assert [row[0] for row in store.rows(REQUESTS)] == [f"req_{number}" for number in range(6000)]
    store.close()


def test_more_than_one_transaction_empties_the_buffer(path: Path) -> None:
    writer = LedgerWriter(path)
    for number in range(5000):
        writer.add_attempt(an_attempt(number))
    assert writer.flush()
    assert writer.buffered == 0
    assert writer.close() == 0
    assert counts(path) == [0, 5000, 0]


def test_a_full_buffer_drops_the_newest_and_counts_them(path: Path) -> None:
    writer = LedgerWriter(path, capacity=3)
    for number in range(5):
        writer.add_request(a_request(number))
        writer.add_attempt(an_attempt(number))
    assert writer.dropped == 4
    assert writer.buffered == 6
    assert writer.close() == 0
    store = LedgerStore.open(path, read_only=True)
    assert [row[0] for row in store.rows(REQUESTS)] == ["req_0", "req_1", "req_2"]
    store.close()


def test_drops_are_logged_once_per_interval(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = LedgerWriter(path, capacity=1)
    for _ in range(3):
        writer.add_request(a_request())
    writer._warn_of_drops(now=100.0)
    writer._warn_of_drops(now=100.0)
    writer.add_request(a_request())
    writer._warn_of_drops(now=130.0)
    assert [record.getMessage() for record in caplog.records if "dropped 2 records" in record.getMessage()]
    assert len(caplog.records) == 1
    writer._warn_of_drops(now=161.0)
    assert "dropped 1 records" in caplog.records[1].getMessage()
    writer.close()


def test_a_locked_database_keeps_the_records_until_it_is_free(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    LedgerStore.open(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = LedgerWriter(path)
    writer.add_request(a_request())
    assert not writer.flush()
    assert not writer.is_healthy
    assert "locked" in str(writer.last_error)
    assert writer.buffered == 1
    other.execute("ROLLBACK")
    other.close()
    assert writer.flush()
    assert writer.last_error is None
    assert writer.close() == 0
    assert counts(path) == [1, 0, 0]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_full_disk_keeps_the_records_and_loses_none_when_there_is_room(path: Path) -> None:
    writer = LedgerWriter(path)
    assert writer.flush()
    writer.add_request(a_request(0))
    assert writer.flush()
    assert writer._store is not None
    # SQLite's own limit on the file's size makes it fail as a full disk does, with SQLITE_FULL.
    pages = writer._store.connection.execute("PRAGMA page_count").fetchone()[0]
    writer._store.connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 2001):
        writer.add_request(a_request(number))
    assert not writer.flush()
    assert writer.last_error == "database or disk is full"
    assert writer.buffered == 2000
    assert writer.flush(), "the next try opens the file anew, and the limit is gone with the old connection"
    assert writer.close() == 0
    assert counts(path) == [2001, 0, 0]


def test_a_failure_is_logged_once_however_often_it_is_tried(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.joinpath("ledger.db").mkdir()
    writer = LedgerWriter(path)
    writer.add_request(a_request())
    assert not writer.flush()
    assert not writer.flush()
    assert len(caplog.records) == 1
    assert "requests are served" in caplog.records[0].getMessage()
    assert writer.close(timeout_s=0) == 1
    assert "1 records were not written" in caplog.records[1].getMessage()


def test_a_file_that_cannot_be_a_ledger_is_refused_at_the_start(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LedgerError, match="cannot be opened"):
        LedgerWriter(path).start()


def test_a_value_that_cannot_be_stored_does_not_stop_the_others(path: Path) -> None:
    writer = LedgerWriter(path)
    writer.add_request(a_request(0, max_tokens=10**30))
    writer.add_request(a_request(1))
    assert writer.flush()
    assert (writer.written, writer.dropped, writer.unstorable, writer.is_healthy) == (1, 1, 1, True)
    writer.close()


def test_texts_are_forgotten_unless_asked_for(path: Path) -> None:
    writer = LedgerWriter(path)
    writer.add_body(a_body())
    assert writer.buffered == 0
    assert writer.dropped == 0
    writer.close()


def test_waiting_texts_are_bounded_by_their_bytes(path: Path) -> None:
    writer = LedgerWriter(path, store_bodies=True, body_bytes=1000)
    text = b"x" * 300
    for number in range(3):
        writer.add_body(a_body(number, prompt=text, answer=text))
    assert writer.dropped == 2
    assert writer.flush()
    writer.add_body(a_body(3, prompt=text, answer=text))
    writer.add_request(a_request(0))
    writer.add_request(a_request(3))
    assert writer.close() == 0
    store = LedgerStore.open(path, read_only=True)
    assert [row[0] for row in store.rows(BODIES)] == ["req_0", "req_3"]
    store.close()


def test_what_comes_after_close_is_dropped(path: Path) -> None:
    writer = LedgerWriter(path, store_bodies=True)
    writer.start()
    writer.close()
    writer.add_request(a_request())
    writer.add_attempt(an_attempt())
    writer.add_body(a_body())
    assert (writer.dropped, writer.buffered) == (3, 0)


def test_close_tries_again_while_it_has_time(path: Path) -> None:
    writer = LedgerWriter(path, interval_s=0.01)
    LedgerStore.open(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    report = writer._report_failure

    def free_then_report(error: BaseException) -> None:
        other.execute("ROLLBACK")
        report(error)

    writer._report_failure = free_then_report  # type: ignore[method-assign]
    writer.start()
    writer.add_request(a_request())
    assert writer.close(timeout_s=30) == 0
    other.close()
    assert counts(path) == [1, 0, 0]
