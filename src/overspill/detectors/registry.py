"""Finds a detector by its name: an explicit table, then the entry points that other packages offer.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
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
    """Return the detector called ``kind``; raise ``OverspillError`` if there is none that works.

    A name of our own table cannot be taken over by another package.
    """
    own = _OWN.get(kind)
    if own is None:
        return cast("Detector", plugins.load("detector", kind, _OWN, GROUP, Detector))
    module, _, attribute = own.partition(":")
    return cast("Detector", getattr(importlib.import_module(module), attribute)())
