"""Finds adapters by their names: in a table of our own, then among the entry points that other packages offer.

The registries of engines, upstreams and detectors are such tables. Nothing is imported before it is asked for, and an
error of somebody else's adapter names its package.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from overspill.errors import OverspillError, UnknownName


def names(own: Mapping[str, str], group: str) -> tuple[str, ...]:
    """List the names of our own table and of what is installed."""
    return tuple(sorted(own.keys() | {point.name for point in entry_points(group=group)}))


def create(what: str, kind: str, own: Mapping[str, str], group: str, protocol: type) -> Any:
    """Return the adapter called ``kind``; a name of ``own`` cannot be taken over by another package.

    Raise ``UnknownName`` if there is none, and ``OverspillError`` if another package's does not work.
    """
    return make(own[kind]) if kind in own else load(what, kind, own, group, protocol)


def make(path: str) -> Any:
    """Return a new object of our own; ``path`` is ``module:class``."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def load(what: str, kind: str, own: Mapping[str, str], group: str, protocol: type) -> Any:
    """Return an adapter of another package.

    Raise ``UnknownName`` if none is called ``kind``, and ``OverspillError`` if it cannot be loaded or lacks something
    that ``protocol`` asks for.
    """
    for point in entry_points(group=group):
        if point.name == kind:
            return _load(what, point, protocol)
    raise UnknownName(what, kind, names(own, group))


def _load(what: str, point: EntryPoint, protocol: type) -> Any:
    package = point.dist.name if point.dist is not None else "an unknown package"
    try:
        adapter = point.load()()
    except Exception as error:
        raise OverspillError(
            f"the {what} {point.name!r} of {package} cannot be loaded: {error!r}; update or remove that package"
        ) from error
    missing = [name for name in members(protocol) if not hasattr(adapter, name)]
    if missing:
        raise OverspillError(
            f"the {what} {point.name!r} of {package} lacks {', '.join(missing)}; it was made for another version of "
            "Overspill: update that package"
        )
    return adapter


def members(protocol: type) -> list[str]:
    """Return the names that an adapter must have."""
    bases = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    found = {name for base in bases for name in (*vars(base).get("__annotations__", {}), *vars(base))}
    return sorted(name for name in found if not name.startswith("_"))
