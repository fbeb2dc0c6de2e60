"""The model that travels in the package, so that a first start answers without a download or a network.

``overspill-tiny`` has the architecture of DeepSeek-V3 and six million parameters; ``MODEL_CARD.md`` beside this says
what it can do, and ``models/tiny-reasoner`` in the repository how it is made. Beside the GGUF files lies the held-out
test set that ``overspill eval`` asks.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

DEFAULT = "q8_0"
VARIANTS = ("q8_0", "q4")
"""How the weights are stored: in 8 bits, and in 4."""
KNOWN_ANSWER = ("What is 4821 + 977?", "4821 + 977 = 5798")
"""A question, and what every variant answers to it when nothing is left to chance."""
DEFAULT_TEMPERATURE = 0.0
"""For requests that name none: llama.cpp's own 0.8 makes a model this small miscalculate."""


def shipped_path(variant: str = DEFAULT) -> Path:
    """Return where a variant lies; the package is installed as plain files."""
    return Path(str(resources.files(__name__) / _file(variant)))


def shipped_sha256(variant: str = DEFAULT) -> str:
    """Return the digest of a variant as it was when it was made, hex."""
    manifest = json.loads((resources.files(__name__) / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest[_file(variant)]["sha256"])


def held_out_path() -> Path:
    """Return where the held-out test set lies: gzipped JSON lines."""
    return Path(str(resources.files(__name__) / "test_set.jsonl.gz"))


def _file(variant: str) -> str:
    return f"overspill-tiny-{variant}.gguf"
