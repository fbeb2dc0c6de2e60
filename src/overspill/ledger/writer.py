"""The one writer: takes records from the path of a request at once and puts them into SQLite from a thread.

``add_*`` append to a list and return; they do no I/O, take no lock, do not log and never raise. The thread wakes every
``interval_s``, writes what has gathered in one transaction and only then removes it from the buffer, so a database
that is locked, full or gone loses nothing until the buffer is full. Then the newest records are dropped and counted.

Killing the process loses what was added since the last transaction (at most ``interval_s``); the file stays whole.

Threads and processes: ``add_*`` may be called from any thread, ``close`` from one. Make and start the writer in the
process that uses it: neither threads nor SQLite connections survive a ``fork``.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path

from overspill.errors import LedgerError
from overspill.ledger.records import AttemptRecord, BodyRecord, RequestRecord
from overspill.ledger.store import LedgerStore

_LOG = logging.getLogger(__name__)

_TRANSACTION_RECORDS = 1024
"""Most records of one table in one transaction: some 5 ms of work, and as few records to free in one go."""
_LOCK_WAIT_S = 1.0
_BACK_OFF_MAX_S = 30.0
_DROP_WARNING_S = 60.0


class LedgerWriter:
    """A bounded buffer in front of a ledger's file, and the thread that empties it.

    ``capacity`` is records per table (a request and its attempt take 1.1 kB together); ``body_bytes`` bounds
    the stored texts that wait, which are larger. ``add_body`` keeps nothing unless ``store_bodies``.
    """

    def __init__(
        self,
        path: Path,
        *,
        capacity: int = 50_000,
        interval_s: float = 0.5,
        store_bodies: bool = False,
        body_bytes: int = 64 * 1024**2,
    ) -> None:
        self.path = path
        self.last_error: str | None = None
        """Why the last transaction failed; ``None`` while the database takes what it is given."""
        self.dropped = 0
        """Records that found the buffer full, or held a value that SQLite cannot store."""
        self.unstorable = 0
        """Those of ``dropped`` that held such a value."""
        self.written = 0
        """Records that are in the database."""
        self._capacity = capacity
        self._interval_s = interval_s
        self._body_bytes_limit = body_bytes if store_bodies else 0
        self._body_bytes_added = 0
        self._body_bytes_removed = 0
        self._requests: list[RequestRecord] = []
        self._attempts: list[AttemptRecord] = []
        self._bodies: list[BodyRecord] = []
        self._store: LedgerStore | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._close_by = 0.0
        self._dropped_reported = 0
        self._drop_warning_after = 0.0

    @property
    def is_healthy(self) -> bool:
        """True while records reach the database."""
        return self.last_error is None

    @property
    def buffered(self) -> int:
        """Records that wait to be written."""
        return len(self._requests) + len(self._attempts) + len(self._bodies)

    def start(self) -> None:
        """Open the file and start the thread; raise ``LedgerError`` if the file cannot be used at all."""
        self._store = LedgerStore.open(self.path, busy_timeout_s=_LOCK_WAIT_S)
        self._thread = threading.Thread(target=self._run, name="overspill-ledger", daemon=True)
        self._thread.start()

    def add_request(self, record: RequestRecord) -> None:
        """Take a finished request, or count it as dropped if the buffer is full."""
        requests = self._requests
        if len(requests) < self._capacity:
            requests.append(record)
        else:
            self.dropped += 1

    def add_attempt(self, record: AttemptRecord) -> None:
        """Take a finished attempt, or count it as dropped if the buffer is full."""
        attempts = self._attempts
        if len(attempts) < self._capacity:
            attempts.append(record)
        else:
            self.dropped += 1

    def add_body(self, record: BodyRecord) -> None:
        """Take a request's texts if ``store_bodies`` is on; forget them otherwise."""
        if not self._body_bytes_limit:
            return
        size_bytes = len(record.prompt) + len(record.answer)
        waiting_bytes = self._body_bytes_added - self._body_bytes_removed
        if len(self._bodies) >= self._capacity or waiting_bytes + size_bytes > self._body_bytes_limit:
            self.dropped += 1
            return
        self._body_bytes_added += size_bytes
        self._bodies.append(record)

    def flush(self) -> bool:
        """Write all that has gathered; return False if the database refused, which leaves the rest in the buffer.

        The thread calls this. Call it yourself only where no thread was started.
        """
        while self.buffered:
            if not self._write_batch():
                return False
        return True

    def close(self, timeout_s: float = 5.0) -> int:
        """Write what is left, stop the thread, and return how many records could not be written in ``timeout_s``.

        Blocks for ``timeout_s`` at most: call it in a worker thread if an event loop must go on. Records added
        later are dropped.
        """
        self._close_by = time.monotonic() + timeout_s
        self._closing.set()
        if self._thread is None:
            self._drain()
        else:
            self._thread.join(timeout_s)
        self._capacity = 0
        lost = self.buffered
        if lost:
            _LOG.error("ledger %s: %d records were not written before shutdown (%s)", self.path, lost, self.last_error)
        return lost

    def _run(self) -> None:
        pause_s = self._interval_s
        while not self._closing.wait(pause_s):
            pause_s = self._interval_s if self.flush() else min(pause_s * 2, _BACK_OFF_MAX_S)
            self._warn_of_drops(time.monotonic())
        self._drain()

    def _drain(self) -> None:
        """Flush until nothing is left or the time to close is over, then let go of the file."""
        while not self.flush() and time.monotonic() + self._interval_s < self._close_by:
            time.sleep(self._interval_s)
        self._release_store()

    def _write_batch(self) -> bool:
        """Write the oldest records in one transaction and remove them from the buffer.

        Taking a slice and deleting it are each one step under the interpreter's lock, and others only append.
        """
        requests = self._requests[:_TRANSACTION_RECORDS]
        attempts = self._attempts[:_TRANSACTION_RECORDS]
        bodies = self._bodies[:_TRANSACTION_RECORDS]
        try:
            if self._store is None:
                self._store = LedgerStore.open(self.path, busy_timeout_s=_LOCK_WAIT_S)
            unstorable = self._store.write(requests, attempts, bodies)
        except (sqlite3.Error, LedgerError, OSError, MemoryError) as error:
            self._report_failure(error)
            return False
        del self._requests[: len(requests)]
        del self._attempts[: len(attempts)]
        del self._bodies[: len(bodies)]
        self._body_bytes_removed += sum(len(body.prompt) + len(body.answer) for body in bodies)
        self.dropped += unstorable
        self.unstorable += unstorable
        self.written += len(requests) + len(attempts) + len(bodies) - unstorable
        self._report_recovery()
        return True

    def _release_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            with contextlib.suppress(sqlite3.Error):
                store.close()

    def _report_failure(self, error: BaseException) -> None:
        """Note why, log the first failure of a row, and let the next try open the file anew."""
        if self.last_error is None:
            _LOG.warning(
                "ledger %s cannot be written (%s); requests are served, up to %d records are kept and retried",
                self.path,
                error,
                self._capacity,
            )
        self.last_error = str(error) or type(error).__name__
        self._release_store()

    def _report_recovery(self) -> None:
        if self.last_error is not None:
            _LOG.info("ledger %s is written again; %d records wait", self.path, self.buffered)
        self.last_error = None

    def _warn_of_drops(self, now: float) -> None:
        """Log how many records were dropped since the last warning, once in ``_DROP_WARNING_S``."""
        dropped = self.dropped - self._dropped_reported
        if not dropped or now < self._drop_warning_after:
            return
        _LOG.warning(
            "ledger %s dropped %d records since the last warning; since the start %d did not fit its buffer of %d, and "
            "%d held a value that SQLite cannot store",
            self.path,
            dropped,
            self.dropped - self.unstorable,
            self._capacity,
            self.unstorable,
        )
        self._dropped_reported = self.dropped
        self._drop_warning_after = now + _DROP_WARNING_S
