"""schemathesis finds nothing against a running gateway with the built-in model: `make test-api`.

It reads the document that the gateway serves, and sends what it allows and what it does not. ``API_SECONDS`` bounds how
long; the phases that come before the time counts take about a minute more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
SECONDS = int(os.environ.get("API_SECONDS", "120"))
PATIENCE_S = 60.0

pytestmark = pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="needs schemathesis: make test-api")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Start the gateway as ``make serve`` does, beside nothing that is found on this machine."""
    at = tmp_path / "address"
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    arguments = ["-m", "overspill", "serve", "--no-discovery", "--port", "0", "--quiet", "--address-file", str(at)]
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen([sys.executable, *arguments], env=environ, stdout=log, stderr=log)
    try:
        wait_until_ready(gateway, at)
        yield at.read_text(encoding="utf-8").strip()
    finally:
        gateway.terminate()
        gateway.wait(PATIENCE_S)


def wait_until_ready(gateway: subprocess.Popen[bytes], at: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and gateway.poll() is None:
        try:
            urllib.request.urlopen(f"http://{at.read_text(encoding='utf-8').strip()}/readyz", timeout=5).close()
        except (OSError, ValueError):
            time.sleep(0.1)
        else:
            return
    pytest.fail("the gateway was not ready in time")


def test_nothing_is_found_against_the_document(address: str, tmp_path: Path) -> None:
    options = ["--max-time", str(SECONDS), "--max-examples", "50", "--continue-on-failure", "--warnings", "off"]
    command = [str(SCHEMATHESIS), "run", f"http://{address}/openapi.json", *options, "--report-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=SECONDS + 600, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
