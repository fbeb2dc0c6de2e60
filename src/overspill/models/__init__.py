"""The placeholder model that travels in the package, so that a first start answers without a download.

It has the shape of DeepSeek-V3 and random weights; ``models/placeholder/generate.py`` in the repository writes it.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

_FILE = "placeholder.gguf"


def placeholder_path() -> Path:
    """Return where the placeholder model lies; the package is installed as plain files."""
    return Path(str(resources.files(__name__) / _FILE))


def placeholder_sha256() -> str:
    """Return the digest of the placeholder model as it was when it was made, hex."""
    manifest = json.loads((resources.files(__name__) / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest[_FILE]["sha256"])
