"""The rows of ``overspill providers list``: each model at each provider, with what it costs at a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from overspill.catalog.load import Catalog
from overspill.catalog.rows import OfferedModel, Provider
from overspill.core.cost import is_peak
from overspill.core.types import Price, Tariff


class Listed(NamedTuple):
    """One model at one provider, or a provider of which no models are known."""

    provider: str
    title: str
    base_url: str
    key_env: str | None
    has_key: bool
    used_unasked: bool
    model_id: str | None
    model: str | None
    """The canonical name."""
    quantization: str | None
    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    cached_input_usd_per_mtok: float | None
    rate: str | None
    """``peak`` or ``off_peak``; ``None`` where the price is the same all day."""
    peak_input_usd_per_mtok: float | None
    peak_output_usd_per_mtok: float | None
    retires: str | None
    as_of: str
    confidence: str
    source: str


def rows(
    catalog: Catalog, providers: Sequence[Provider], environ: Mapping[str, str], at: dt.datetime
) -> Iterator[Listed]:
    """Give the rows of ``providers``; prices are those of the moment ``at``."""
    for provider in providers:
        for offer in provider.models or (None,):
            tariff = None if offer is None else catalog.tariff(provider.name, offer.id)
            yield _row(provider, offer, tariff, environ, at.timestamp())


def has_key(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Tell whether the provider's customary variable holds a key."""
    return provider.key_env is not None and bool(environ.get(provider.key_env, "").strip())


def _row(
    provider: Provider, offer: OfferedModel | None, tariff: Tariff | None, environ: Mapping[str, str], unix_s: float
) -> Listed:
    peak = None if offer is None else offer.known_price
    rate = None if tariff is None else "peak" if is_peak(tariff, unix_s) else "off_peak"
    now: Price | None = tariff.off_peak if tariff is not None and rate == "off_peak" else peak
    return Listed(
        provider=provider.name,
        title=provider.title,
        base_url=provider.base_url,
        key_env=provider.key_env,
        has_key=has_key(provider, environ),
        used_unasked=provider.is_used_unasked,
        model_id=None if offer is None else offer.id,
        model=None if offer is None else offer.model,
        quantization=None if offer is None else offer.quantization,
        input_usd_per_mtok=None if now is None else now.input_usd_per_mtok,
        output_usd_per_mtok=None if now is None else now.output_usd_per_mtok,
        cached_input_usd_per_mtok=None if now is None else now.cached_input_usd_per_mtok,
        rate=rate,
        peak_input_usd_per_mtok=None if peak is None else peak.input_usd_per_mtok,
        peak_output_usd_per_mtok=None if peak is None else peak.output_usd_per_mtok,
        retires=None if offer is None or offer.retires is None else str(offer.retires),
        as_of=str((offer.as_of if offer is not None else None) or provider.as_of),
        confidence=(offer.confidence if offer is not None else None) or provider.confidence,
        source=(offer.source if offer is not None else None) or provider.source,
    )
