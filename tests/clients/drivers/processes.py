"""Clients that are programs: how they are run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LONGEST_S = 60
_KEPT = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")


def run(
    command: Sequence[str], folder: Path, *, environ: Mapping[str, str] | None = None, longest_s: float = LONGEST_S
) -> subprocess.CompletedProcess[str]:
    """Run a client to its end in an empty home: no settings of this machine's user, and no proxy."""
    own = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.run(
        command,
        cwd=folder,
        env={**own, "HOME": str(folder), "NO_COLOR": "1", **(environ or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=longest_s,
        check=False,
    )
