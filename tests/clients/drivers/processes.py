"""Clients that are programs: how they are run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

LONGEST_S = 60.0
_KEPT = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")


class Ended(NamedTuple):
    """What a program wrote, and how it ended."""

    code: int | None
    """``None`` if it had to be stopped."""
    out: str
    err: str


def run(
    command: Sequence[str], folder: Path, *, environ: Mapping[str, str] | None = None, longest_s: float = LONGEST_S
) -> Ended:
    """Run a client, at longest so long, in an empty home: no settings of this machine's user, and no proxy."""
    own = {name: os.environ[name] for name in _KEPT if name in os.environ}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**own, "HOME": str(folder), "NO_COLOR": "1", **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=longest_s)
    except subprocess.TimeoutExpired:
        _stop(process)
        out, err = process.communicate()
        return Ended(None, out, err)
    finally:
        _stop(process)
    return Ended(process.returncode, out, err)


def _stop(process: subprocess.Popen[str]) -> None:
    """End it and what it started, which is a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
