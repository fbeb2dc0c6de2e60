"""A rehearsal that cannot start, or is stopped: one clear line, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
MARK = "OVERSPILL_TEST_REHEARSAL"


def processes(tmp_path: Path) -> list[int]:
    """Find every process that was started by the test of this folder."""
    mark = f"{MARK}={tmp_path}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it may end while we look, or be somebody else's
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def assert_nothing_is_left(tmp_path: Path) -> None:
    limit = time.monotonic() + 10.0
    while (left := processes(tmp_path)) and time.monotonic() < limit:
        select.select([], [], [], 0.05)  # the kernel takes a moment to clear ended children
    assert left == []
    assert list(tmp_path.iterdir()) == []


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a rehearsal whose processes can be told by their environment; what it leaves behind is ended at last."""
    running: list[subprocess.Popen[str]] = []
    # A shell that runs the tests in the background has them ignore it, and their children would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def started(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "overspill", "rehearse", *arguments],
            env={**os.environ, MARK: str(tmp_path), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield started
    signal.signal(signal.SIGINT, before)
    for pid in processes(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in running:
        process.communicate()


def said(process: subprocess.Popen[str], timeout_s: float = 60.0) -> tuple[int, list[str]]:
    """Wait for the end, and return the exit code and the lines about it."""
    out, err = process.communicate(timeout=timeout_s)
    assert "Traceback" not in out + err
    return process.returncode, [line for line in err.splitlines() if line]


def test_a_model_file_that_is_missing_is_one_line(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    code, lines = said(start("--model", "/nowhere/model.gguf"))
    assert code == 3
    (line,) = lines
    assert line.startswith("error: local/0 cannot be rehearsed with: ")
    assert "there is no model file /nowhere/model.gguf" in line
    assert_nothing_is_left(tmp_path)


def test_a_file_that_is_no_model_is_one_line(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    code, lines = said(start("--model", __file__))
    assert code == 3
    (line,) = lines
    assert "is no GGUF file" in line
    assert_nothing_is_left(tmp_path)


def test_an_engine_that_does_not_live_is_one_line(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    damaged = tmp_path.parent / f"{tmp_path.name}.gguf"
    damaged.write_bytes(b"GGUF" + bytes(100))
    code, lines = said(start("--model", str(damaged)))
    assert code == 3
    (line,) = lines
    assert line.startswith("error: local/0 cannot be rehearsed with: engine local/0 is broken: ")
    assert_nothing_is_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_rehearsal_that_is_stopped_ends_all_that_it_started(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start("--engine", "fake", "--json")
    limit = time.monotonic() + 30.0
    while len(processes(tmp_path)) < 4:  # itself, the cloud, the gateway, its engine
        assert process.poll() is None
        assert time.monotonic() < limit
        select.select([], [], [], 0.05)
    process.send_signal(number)
    code, lines = said(process)
    assert (code, lines) == (130, [])
    assert_nothing_is_left(tmp_path)
