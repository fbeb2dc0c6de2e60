"""Finds an upstream adapter by its name: an explicit table, then the entry points that other packages offer.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import cast

from overspill import plugins
from overspill.pools.upstreams.protocol import Upstream

GROUP = "overspill.upstreams"
_OWN = {
    "bailian": "overspill.pools.upstreams.bailian:Bailian",
    "deepseek": "overspill.pools.upstreams.deepseek:DeepSeek",
    "openai_compatible": "overspill.pools.upstreams.openai_compat:OpenAICompatible",
}


def names() -> tuple[str, ...]:
    """List every adapter's name, our own and installed ones."""
    return plugins.names(_OWN, GROUP)


def create(kind: str) -> Upstream:
    """Return the adapter called ``kind``; raise ``OverspillError`` if there is none that works.

    A name of our own table cannot be taken over by another package.
    """
    own = _OWN.get(kind)
    if own is None:
        return cast("Upstream", plugins.load("upstream", kind, _OWN, GROUP, Upstream))
    module, _, attribute = own.partition(":")
    return cast("Upstream", getattr(importlib.import_module(module), attribute)())
