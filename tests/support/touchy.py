"""A detector of another package that fails on demand, installed for a test as pip would."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.packages import install

_SOURCE = """
    import os
    import time

    class Touchy:
        kind = "touchy"
        description = "fails on demand"

        def check(self, options):
            pass

        def load(self, options):
            if options.get("load") == "raise":
                raise RuntimeError("no licence")
            return self.find

        def find(self, text):
            if "raise-me" in text:
                raise ValueError("cannot read " + text)
            if "crash-me" in text:
                os._exit(3)
            if "hang-me" in text:
                time.sleep(3600)
            if "print-me" in text:
                print("a library prints", text)
            if text.startswith("environment-has "):
                return text.split()[1] in os.environ
            return "find-me" in text

    class Broken:
        kind = "broken"
"""


def install_touchy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``detector: touchy`` work here and in the detectors' process."""
    install(
        folder,
        "acme_touchy",
        _SOURCE,
        {"overspill.detectors": {"touchy": "acme_touchy:Touchy", "halved": "acme_touchy:Broken"}},
    )
    monkeypatch.syspath_prepend(str(folder))
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{inherited}" if inherited else str(folder))
