"""Agents: collected only by ``make test-agents``, which installs them."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("OVERSPILL_AGENTS") else ["*"]
