"""``python wait_ready.py ADDRESS_FILE LOG``: waits until a gateway listens and all its targets are ready."""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_PATIENCE_S = 20.0
_READING_S = 0.7
"""A reader is not quicker: meanwhile the gateway tries what a new target can do, for which the target is busy."""


def main() -> None:
    addresses, log = map(Path, sys.argv[1:])
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if addresses.exists() and (address := addresses.read_text(encoding="utf-8").strip()) and is_ready(address):
            time.sleep(_READING_S)
            return
        time.sleep(0.05)
    sys.exit(f"the gateway was not ready within {_PATIENCE_S:.0f} s:\n{log.read_text(encoding='utf-8')}")


def is_ready(address: str) -> bool:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    for scheme in ("http", "https"):
        try:
            with urllib.request.urlopen(f"{scheme}://{address}/readyz", timeout=2.0, context=trusting) as answer:
                targets = json.load(answer)["targets"]
                return bool(targets) and all(targets.values())
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            continue
    return False


if __name__ == "__main__":
    main()
