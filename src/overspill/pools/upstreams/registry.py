"""Finds an upstream adapter by its name: an explicit table, then the entry points that other packages offer.

Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from overspill.errors import OverspillError, UnknownName
from overspill.pools.upstreams.protocol import Upstream

GROUP = "overspill.upstreams"
_OWN = {
    "bailian": "overspill.pools.upstreams.bailian:Bailian",
    "deepseek": "overspill.pools.upstreams.deepseek:DeepSeek",
    "openai_compatible": "overspill.pools.upstreams.openai_compat:OpenAICompatible",
}


def names() -> tuple[str, ...]:
    """List every adapter's name, our own and installed ones."""
    return tuple(sorted(_OWN.keys() | {point.name for point in _plugins()}))


def create(kind: str) -> Upstream:
    """Return the adapter called ``kind``; raise ``UnknownName`` if there is none.

    A name of our own table cannot be taken over by another package.
    """
    own = _OWN.get(kind)
    if own is not None:
        module, _, attribute = own.partition(":")
        return cast("Upstream", getattr(importlib.import_module(module), attribute)())
    for point in _plugins():
        if point.name == kind:
            return _load(point)
    raise UnknownName("upstream", kind, names())


def _plugins() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _load(point: EntryPoint) -> Upstream:
    try:
        return cast("Upstream", point.load()())
    except Exception as error:
        package = point.dist.name if point.dist is not None else "an unknown package"
        raise OverspillError(
            f"the upstream {point.name!r} of {package} cannot be loaded: {error!r}; update or remove that package"
        ) from error
