"""Public suites: collected only where their packages are installed (``make test-conformance``)."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("http_snapshot") else ["test_suites.py"]
