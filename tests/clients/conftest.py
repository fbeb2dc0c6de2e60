"""Real clients: collected only where they are installed (``make test-clients``)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
collect_ignore_glob = [] if find_spec("langchain_deepseek") else ["*"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pass what clients leave open when they are done, which is theirs to close."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
