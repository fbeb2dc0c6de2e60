"""Every figure that a plan was made from, each with its unit, its source and its date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from overspill.catalog.hardware_prices import Fact, Finance
from overspill.core.types import Price
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.case import Purchase, Rental, TokenOffer
from overspill.planner.report.latency import PredictedSpeed

_WEEK_HOURS = 7 * 24


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    name: str
    """What it is; ``words`` has it in the languages of reports."""
    subject: str
    """Whose: a machine, a provider, a file."""
    value: float | str
    unit: str
    source: str
    as_of: str | None
    """The date of the source, ``YYYY-MM-DD``; ``None`` for what is of today: the log, a size, an option."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a case was put together from, and the options that put a figure over the catalogue's."""

    workload: str
    window_s: float
    load_factor: float
    hurdle_share: float
    capacity: UnitCapacity
    finance: Finance
    purchase: Purchase | None = None
    rental: Rental | None = None
    offer: TokenOffer | None = None
    predicted: PredictedSpeed | None = None
    options: dict[str, str] = msgspec.field(default_factory=dict)
    """Name of an input → the option that set it, as it was written."""


def inputs(given: Given) -> tuple[Input, ...]:
    """Return all figures, in the order in which they are asked for."""
    rows = [*_of_the_call(given), *_of_a_unit(given)]
    if given.purchase is not None:
        rows += _of_a_purchase(given.purchase, given.finance)
    if given.rental is not None:
        rows += _of_a_rental(given.rental, given.finance)
    if given.offer is not None:
        rows += _of_tokens(given.offer)
    return tuple(_by_option(row, given.options) for row in rows)


def _by_option(row: Input, options: dict[str, str]) -> Input:
    written = options.get(row.name)
    return row if written is None else msgspec.structs.replace(row, source=written, as_of=None)


def _of_the_call(given: Given) -> Iterator[Input]:
    for name, value, unit, option in (
        ("window", given.window_s, "s", "--window"),
        ("load_factor", given.load_factor, "×", "--load"),
        ("hurdle", given.hurdle_share, "share", "--hurdle"),
    ):
        yield Input(name=name, subject=given.workload, value=value, unit=unit, source=option, as_of=None)


def _of_a_unit(given: Given) -> Iterator[Input]:
    carries = given.capacity
    for name, rate, unit in (
        ("unit_requests", carries.requests_per_s, "1/s"),
        ("unit_prompt_tokens", carries.prompt_tokens_per_s, "tokens/s"),
        ("unit_output_tokens", carries.output_tokens_per_s, "tokens/s"),
    ):
        if rate is not None:
            source = carries.source if given.predicted is None else f"{carries.source}; {given.predicted.source}"
            subject = "" if given.predicted is None else given.predicted.model
            yield Input(name=name, subject=subject, value=rate, unit=unit, source=source, as_of=None)


def _of_a_purchase(purchase: Purchase, finance: Finance) -> Iterator[Input]:
    node, site = purchase.node, purchase.site
    yield _cited("machines", node.name, purchase.machines, "1/unit", node)
    yield _cited("node_usd", node.name, node.usd, "$", node)
    yield _cited("node_years", node.name, node.years, "years", node)
    yield _cited("node_residual", node.name, node.residual, "share", node)
    yield _cited("node_support", node.name, node.support, "share/year", node)
    yield _cited("node_kw_max", node.name, node.kw_max, "kW", node)
    yield _cited("node_kw_idle", node.name, node.kw_idle, "kW", node)
    yield _cited("site_rent", site.name, site.usd_per_kw_month, "$/kW/month", site)
    if not site.has_power:
        yield _cited("site_pue", site.name, site.pue, "×", site)
        yield _cited("site_electricity", site.name, site.usd_per_kwh, "$/kWh", site)
    yield _cited("site_operations", site.name, site.operations_usd_per_node_year, "$/machine/year", site)
    yield _cited("cost_of_capital", "", finance.cost_of_capital, "share/year", finance)
    yield _cited("staff", "", finance.staff_usd_per_year, "$/year", finance)
    yield _cited("spares", "", finance.spare_share, "share", finance)


def _of_a_rental(rental: Rental, finance: Finance) -> Iterator[Input]:
    instance = rental.instance
    yield _cited("machines_rented", instance.name, rental.machines, "1/unit", instance)
    if instance.on_demand is not None:
        yield _cited("rent_on_demand", instance.name, instance.on_demand, "$/h", instance)
    for term, usd in sorted(instance.reserved.items()):
        yield _cited(f"rent_reserved_{term}", instance.name, usd, "$/h", instance)
    statistics = rental.spot_statistics
    if statistics is not None:
        for name, usd in zip(("rent_spot_low", "rent_spot_high"), instance.spot or (), strict=False):
            yield _cited(name, instance.name, usd, "$/h", instance)
        yield _cited("spot_availability", instance.name, statistics.availability, "share", statistics)
        yield _cited("spot_run", instance.name, statistics.mean_up_h, "h", statistics)
    yield Input(
        name="start", subject=instance.name, value=rental.start_h * 3600, unit="s", source="--start", as_of=None
    )
    yield _cited("egress", "", finance.egress_usd_per_gb, "$/GB", finance)
    yield _cited("egress_bytes", "", finance.bytes_per_output_token, "bytes/token", finance)


def _of_tokens(offer: TokenOffer) -> Iterator[Input]:
    dearest = offer.price_at(None)
    cheaper = [] if dearest is None else _cheaper(offer, dearest)
    for kind, price in (("_peak" if cheaper else "", dearest), *(("_off_peak", price) for price in cheaper)):
        if price is None:
            continue
        for name, usd in (
            ("tokens_in", price.input_usd_per_mtok),
            ("tokens_hit", price.cached_input_usd_per_mtok),
            ("tokens_out", price.output_usd_per_mtok),
        ):
            if usd is not None:
                yield Input(
                    name=name + kind,
                    subject=offer.name,
                    value=usd,
                    unit="$/M tokens",
                    source=offer.source,
                    as_of=_date(offer.as_of),
                )
    if offer.tariff is not None:
        tariff = offer.tariff
        yield Input(
            name="tariff",
            subject=offer.name,
            value=f"{', '.join(tariff.peak)} UTC{tariff.utc_offset}",
            unit="",
            source=tariff.source,
            as_of=_date(tariff.as_of),
        )


def _cheaper(offer: TokenOffer, dearest: Price) -> list[Price]:
    """Return the prices of a week's hours that are not the dearest one; 1970-01-05 was a Monday."""
    monday_s = 4 * 86_400.0 - offer.utc_offset_s
    found = [offer.price_at(monday_s + hour * 3600 + 1) for hour in range(_WEEK_HOURS)]
    return list({price: None for price in found if price is not None and price != dearest})


def _cited(name: str, subject: str, value: float, unit: str, row: Fact) -> Input:
    return Input(name=name, subject=subject, value=value, unit=unit, source=row.source, as_of=_date(row.as_of))


def _date(date: dt.date | None) -> str | None:
    return None if date is None else date.isoformat()
