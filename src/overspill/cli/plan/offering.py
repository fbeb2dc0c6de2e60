"""What a case is offered, as options say it: machines to buy, to rent or to reserve, and tokens."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
import msgspec

from overspill.catalog.hardware_prices import HardwarePrices, term_h
from overspill.catalog.registry import load_catalog
from overspill.core.cost import is_peak
from overspill.core.types import Price, Tariff
from overspill.errors import ConfigError, UnknownName
from overspill.gateway.places import config_dir
from overspill.planner.case import Purchase, Rental, TokenOffer

_PRICE = ("in", "out", "hit")


def purchase_of(given: dict[str, Any], prices: HardwarePrices) -> Purchase | None:
    """Return the machine to buy, or ``None``."""
    if given["own"] is None:
        return None
    node = prices.node(given["own"])
    if given["capex"] is not None:
        node = msgspec.structs.replace(node, usd=given["capex"], source=f"--capex {given['capex']:g}; {node.source}")
    return Purchase(node=node, site=prices.site(given["site"]), machines=given["machines"])


def rental_of(given: dict[str, Any], prices: HardwarePrices) -> Rental | None:
    """Return the machine to rent with its terms, or ``None``."""
    if given["rent"] is None:
        return None
    instance = prices.instance(given["rent"])
    zones = given["spot_zones"]
    return Rental(
        instance=msgspec.structs.replace(instance, reserved={**instance.reserved, **_terms(given["reserved"])}),
        machines=given["machines"],
        spot_statistics=None if zones is None else prices.spot(instance.gpus, zones),
        start_h=given["start"] / 3600,
    )


def _terms(texts: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        term, _, amount = (part.strip() for part in text.partition("="))
        try:
            term_h(term)
        except ValueError as error:
            raise click.UsageError(f"--reserved {text}: {error}") from None
        if term in found:
            raise click.UsageError(f"--reserved {text}: there is another price for {term} already; give one")
        found[term] = number(amount, f"--reserved {text}", "1y=14.20")
    return found


def offer_of(given: dict[str, Any]) -> TokenOffer | None:
    """Return the tokens to buy, or ``None``."""
    if given["token_price"] is None:
        return None if given["tokens"] is None else _catalogue_offer(given["tokens"])
    if given["tokens"] is not None:
        raise click.UsageError("give either --tokens or --token-price")
    found = numbers(given["token_price"], _PRICE, "--token-price", ", in US dollars by million tokens")
    if not {"in", "out"} <= set(found):
        raise click.UsageError("--token-price needs in= and out=, in US dollars by million tokens")
    price = Price(
        input_usd_per_mtok=found["in"],
        output_usd_per_mtok=found["out"],
        cached_input_usd_per_mtok=found.get("hit"),
    )
    return TokenOffer(name="given", price_at=lambda _: price, source=f"--token-price {given['token_price']}")


def _catalogue_offer(name: str) -> TokenOffer:
    catalog = load_catalog(config_dir(os.environ))
    provider_name, _, model = name.partition("/")
    provider = catalog.provider(provider_name)
    if provider is None:
        raise UnknownName("provider", provider_name, [row.name for row in catalog.providers])
    if not model:
        known = ", ".join(row.id for row in provider.models) or "none"
        raise click.UsageError(f"--tokens {name}: name a model too, as in {provider_name}/MODEL; known: {known}")
    offer = provider.offer(model)
    if offer is None:
        raise UnknownName(f"model of {provider_name}", model, [row.id for row in provider.models])
    price = offer.known_price
    if price is None:
        raise ConfigError(f"the price of {name} is unknown, which is never free; give one with --token-price")
    tariff = catalog.tariff(provider_name, model)
    return TokenOffer(
        name=name,
        price_at=_price_at(price, tariff),
        source=f"{name}: {offer.source or provider.source}",
        as_of=offer.as_of or provider.as_of,
        tariff=None if tariff is None else next(row for row in catalog.tariffs if row.name == provider.tariff),
    )


def _price_at(price: Price, tariff: Tariff | None) -> Callable[[float | None], Price | None]:
    def at(unix_s: float | None) -> Price | None:
        if tariff is None or unix_s is None or is_peak(tariff, unix_s):
            return price
        return tariff.off_peak

    return at


def numbers(text: str, keys: tuple[str, ...], option: str, unit: str = "") -> dict[str, float]:
    """Read ``in=9000,out=1800``; raise ``UsageError`` for what is none."""
    found: dict[str, float] = {}
    for part in text.split(","):
        key, _, amount = (piece.strip() for piece in part.partition("="))
        if key not in keys:
            raise click.UsageError(str(UnknownName(f"number of {option}", key, keys)))
        if key in found:
            raise click.UsageError(f"{option} {text}: {key} is given twice")
        found[key] = number(amount, f"{option} {text}", f"{key}=2", unit)
    return found


def number(text: str, where: str, example: str, unit: str = "") -> float:
    """Read a number above 0; raise ``UsageError`` if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise click.UsageError(f"{where}: {text.strip()!r} must be a number above 0{unit}, as in {example}")
    return value
