"""Real clients: collected only where they are installed (``make test-clients``)."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("langchain_deepseek") else ["*"]
