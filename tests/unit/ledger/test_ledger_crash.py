from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.unit.ledger.sample_records import a_request

from overspill.ledger.store import ATTEMPTS, REQUESTS, LedgerStore
from overspill.ledger.writer import LedgerWriter

_ADD_FOREVER = """
import sys, time
from pathlib import Path
from overspill.ledger.writer import LedgerWriter
from tests.unit.ledger.sample_records import a_request, an_attempt

writer = LedgerWriter(Path(sys.argv[1]), interval_s=0.005)
writer.start()
number = 0
while True:
    for _ in range(50):
        writer.add_attempt(an_attempt(number))
        writer.add_request(a_request(number))
        number += 1
    print(writer.written, flush=True)
    time.sleep(0.001)
"""


def test_a_killed_process_leaves_a_readable_file_with_all_that_was_committed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    process = subprocess.Popen(
        [sys.executable, "-c", _ADD_FOREVER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    with process.stdout:
        committed = 0
        while committed < 2000:
            committed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):
                committed = int(line)
    assert process.wait() == -signal.SIGKILL

    store = LedgerStore.open(path, read_only=True)
    assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    requests = [row[0] for row in store.rows(REQUESTS)]
    attempts = [row[0] for row in store.rows(ATTEMPTS)]
    store.close()
    assert len(requests) + len(attempts) >= committed
    assert requests == [f"req_{number}" for number in range(len(requests))]
    assert attempts == [f"req_{number}" for number in range(len(attempts))]

    writer = LedgerWriter(path)
    writer.add_request(a_request(10**6))
    assert writer.close() == 0
    again = sqlite3.connect(path)
    assert again.execute("SELECT count(*) FROM requests").fetchone() == (len(requests) + 1,)
    again.close()
