"""What the configuration wants to know of providers, models and adapters, in one object: see ``config.facts``.

The catalogue knows providers and models. What an adapter says of itself (what it serves, how many requests at once)
stands in the adapter and nowhere else, also where another package offers it; it is imported when a pool names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overspill.catalog.identity import Identity
from overspill.catalog.load import Catalog
from overspill.catalog.registry import load_catalog
from overspill.catalog.rows import KnownModel, Provider
from overspill.core.types import Tariff
from overspill.detectors import registry as detectors
from overspill.detectors.protocol import Detector
from overspill.pools.engines import registry as engines
from overspill.pools.engines.protocol import AttachedEngine, ManagedEngine
from overspill.pools.upstreams import registry as upstreams
from overspill.pools.upstreams.protocol import Upstream


class KnownFacts:
    """The catalogue, and all adapters there are."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def catalog(self) -> Catalog:
        """The catalogue itself, for what prints it."""
        return self._catalog

    @property
    def providers(self) -> Sequence[Provider]:
        """Every provider of the catalogue."""
        return self._catalog.providers

    @property
    def models(self) -> Sequence[KnownModel]:
        """Every model of the catalogue."""
        return self._catalog.models

    def provider(self, name: str) -> Provider | None:
        """Return the provider called ``name``, or ``None``."""
        return self._catalog.provider(name)

    def model(self, name: str) -> KnownModel | None:
        """Return the model whose own name is ``name``, or ``None``."""
        return self._catalog.model(name)

    def identify(self, provider: str | None, name: str) -> Identity:
        """Say which model is called ``name``, at a provider or in general."""
        return self._catalog.identify(provider, name)

    def tariff(self, provider: str, offer: str) -> Tariff | None:
        """Return when a model is cheaper at a provider, or ``None`` if it costs the same all day."""
        return self._catalog.tariff(provider, offer)

    def engine(self, kind: str) -> ManagedEngine:
        """Return the adapter of an engine to start; raise ``OverspillError`` if there is none that works."""
        return engines.create_managed(kind)

    def attached(self, kind: str) -> AttachedEngine:
        """Return the adapter of a running server; raise ``OverspillError`` if there is none that works."""
        return engines.create_attached(kind)

    def upstream(self, kind: str) -> Upstream:
        """Return a provider's adapter; raise ``OverspillError`` if there is none that works."""
        return upstreams.create(kind)

    def detector(self, kind: str) -> Detector:
        """Return a detector; raise ``OverspillError`` if there is none that works."""
        return detectors.create(kind)

    def upstream_names(self) -> tuple[str, ...]:
        """List the adapters that ``upstream`` takes."""
        return upstreams.names()


def load_facts(folder: Path | None = None) -> KnownFacts:
    """Read the catalogue: what is shipped with Overspill, and what ``folder`` has over it."""
    return KnownFacts(load_catalog(folder))
