from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from overspill.models import shipped_path
from overspill.pools.engines.llamacpp_config import WorkerConfig

pytestmark = [
    pytest.mark.local_engine,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's"),
]
WORKER = [sys.executable, "-P", "-m", "overspill.pools.engines.llamacpp_worker"]
# Starts the worker as the supervisor does, says its process id, passes on its status lines and lives on.
MIDDLE = """
import os, subprocess, sys
worker = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                          env={**os.environ, "OVERSPILL_PARENT_PID": str(os.getpid())})
worker.stdin.write(sys.stdin.buffer.read())
worker.stdin.close()
print(worker.pid, flush=True)
for line in worker.stdout:
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
"""


def config(folder: Path) -> bytes:
    made = WorkerConfig(
        model=str(shipped_path()),
        socket_path=str(folder / "e.sock"),
        api_key="key",
        served_name="m",
        slots=1,
        context_tokens=256,
        threads=1,
    )
    return made.encode()


def start(argv: list[str], document: bytes, **environ: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environ},
    )
    assert process.stdin is not None
    process.stdin.write(document)
    process.stdin.close()
    return process


def status_of(stream: IO[bytes] | None) -> dict[str, Any]:
    assert stream is not None
    status: dict[str, Any] = json.loads(stream.readline())
    return status


def test_the_worker_speaks_one_json_line_for_each_status_and_ends_by_sigterm(tmp_path: Path) -> None:
    with start(WORKER, config(tmp_path)) as worker:
        assert status_of(worker.stdout)["status"] == "loading"
        ready = status_of(worker.stdout)
        assert ready["address"] == f"unix://{tmp_path / 'e.sock'}"
        assert {key: ready[key] for key in ("status", "slots", "context_tokens", "model_sha256")} == {
            "status": "ready",
            "slots": 1,
            "context_tokens": 256,
            "model_sha256": None,
        }
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == -signal.SIGTERM


def test_a_stale_socket_does_not_stop_the_next_start(tmp_path: Path) -> None:
    for _ in range(2):
        with start(WORKER, config(tmp_path)) as worker:
            assert status_of(worker.stdout)["status"] == "loading"
            assert status_of(worker.stdout)["status"] == "ready"
            worker.kill()
    assert (tmp_path / "e.sock").is_socket()


def test_the_worker_dies_with_its_parent(tmp_path: Path) -> None:
    with start([sys.executable, "-c", MIDDLE, *WORKER], config(tmp_path)) as middle:
        assert middle.stdout is not None
        pid = int(middle.stdout.readline())
        watched = os.pidfd_open(pid)
        try:
            assert status_of(middle.stdout)["status"] == "loading"
            assert status_of(middle.stdout)["status"] == "ready"
            assert not select.select([watched], [], [], 0)[0]
            middle.kill()
            assert select.select([watched], [], [], 30)[0], "the worker outlived its parent"
        finally:
            os.close(watched)


def test_a_worker_whose_parent_is_gone_already_ends_at_once(tmp_path: Path) -> None:
    with start(WORKER, config(tmp_path), OVERSPILL_PARENT_PID="1") as worker:
        assert worker.wait(30) == 0
        assert worker.stdout is not None
        assert worker.stdout.read() == b""


@pytest.mark.parametrize("document", [b"", b"{}", b"not json"])
def test_a_configuration_that_cannot_be_read_is_reported(document: bytes) -> None:
    with start(WORKER, document) as worker:
        status = status_of(worker.stdout)
        assert (status["status"], worker.wait(30)) == ("failed", 3)
        assert "configuration on standard input cannot be read" in status["reason"]


def test_without_the_engine_installed_the_worker_says_how_to_install_it(tmp_path: Path) -> None:
    # An empty module of that name, found first, stands for a broken installation.
    (tmp_path / "xllamacpp").mkdir()
    (tmp_path / "xllamacpp" / "__init__.py").write_text("raise ImportError('no such engine')")
    with start(WORKER, config(tmp_path), PYTHONPATH=str(tmp_path)) as worker:
        reason = status_of(worker.stdout)["reason"]
        assert reason == (
            "the embedded engine cannot be imported (no such engine); install it with: pip install 'overspill[local]'"
        )
