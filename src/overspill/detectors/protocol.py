"""What a detector is: it looks at text and says whether a request with it must stay on local targets.

The gateway asks ``check`` when it reads the configuration. Everything else happens in a process of its own (see
``worker``): a detector that hangs, crashes or is slow costs its own time limit, and the request stays local.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Finds = Callable[[str], bool]
"""Says whether a text has what was looked for. It may take its time and may raise: both count as found."""


class Detector(Protocol):
    """One kind of detector. Options are what the configuration says under ``options``."""

    kind: str
    description: str
    """What it finds, in a few words, for the reference page."""

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ``OverspillError`` if it could not work with ``options``; called in the gateway, so it is quick."""
        ...

    def load(self, options: Mapping[str, Any]) -> Finds:
        """Make it ready to look; called once in the detectors' process, and may load models."""
        ...
