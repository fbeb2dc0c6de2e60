"""The detectors by their names, our own and those of other packages; ``plugins`` finds them."""

from __future__ import annotations

from typing import cast

from overspill import plugins
from overspill.detectors.protocol import Detector

GROUP = "overspill.detectors"
_OWN = {
    "patterns": "overspill.detectors.patterns:Patterns",
    "presidio": "overspill.detectors.presidio:Presidio",
}


def names() -> tuple[str, ...]:
    """List every detector's name, our own and installed ones."""
    return plugins.names(_OWN, GROUP)


def create(kind: str) -> Detector:
    """Return the detector called ``kind``; raise ``OverspillError`` if there is none that works."""
    return cast("Detector", plugins.create("detector", kind, _OWN, GROUP, Detector))
