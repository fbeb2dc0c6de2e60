"""From dated prices to tiers: what a unit costs an hour when rented, reserved, taken on spot or bought by the token."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from overspill.catalog.hardware_prices import Finance, Instance, SpotStatistics
from overspill.core.cost import cost_usd
from overspill.core.types import Price
from overspill.errors import ConfigError
from overspill.planner.demand import DemandSeries
from overspill.planner.screening import Committed, Flexible

PriceAt = Callable[[float | None], Price | None]
"""What tokens cost at a time in Unix seconds; at ``None``, what they cost at most. ``None`` is unknown."""


class SpotTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What spot machines really cost, with what must stand in while there is none."""

    usd_per_unit_hour: float | tuple[float, ...]
    """By hour of demand that is served, by them or by what stands in."""
    served_share: float
    """Of the demand that they serve themselves."""


def on_demand(instance: Instance, machines: float, egress_usd_per_hour: float = 0.0) -> Flexible | None:
    """Return an instance as a tier, or ``None`` if its price is unknown; a unit is ``machines`` of it."""
    if instance.on_demand is None:
        return None
    return Flexible(
        name="on_demand",
        usd_per_unit_hour=instance.on_demand * machines + egress_usd_per_hour,
        is_divisible=False,
    )


def reserved(instance: Instance, machines: float, egress_usd_per_hour: float = 0.0) -> tuple[Committed, ...]:
    """Return an instance's reserved terms as tiers; none where no price is known."""
    return tuple(
        Committed(
            name=f"reserved_{term}",
            usd_per_unit_hour=usd_per_hour * machines,
            usd_per_busy_hour=egress_usd_per_hour,
        )
        for term, usd_per_hour in sorted(instance.reserved.items())
    )


def spot(
    instance: Instance,
    machines: float,
    statistics: SpotStatistics,
    start_h: float,
    stand_in: Flexible,
    egress_usd_per_hour: float = 0.0,
) -> SpotTerms | None:
    """Return spot's price with its interruptions paid for, or ``None`` if its price is unknown.

    A machine is to be had for ``availability`` of the time, in runs of ``mean_up_h``, each of which begins with
    ``start_h`` in which it is paid for and serves nothing. ``stand_in`` serves all that is left, its egress paid. The
    price is the middle of what was seen over the zones.
    """
    if instance.spot is None:
        return None
    usd_per_hour = sum(instance.spot) / 2 * machines
    served = statistics.availability * max(0.0, 1 - start_h / statistics.mean_up_h)
    paid = statistics.availability * usd_per_hour + served * egress_usd_per_hour
    prices = stand_in.usd_per_unit_hour
    effective = (
        tuple(paid + (1 - served) * price for price in prices)
        if isinstance(prices, tuple)
        else paid + (1 - served) * prices
    )
    return SpotTerms(usd_per_unit_hour=effective, served_share=served)


def tokens(demand: DemandSeries, units: tuple[float, ...], price_at: PriceAt) -> Flexible:
    """Return buying by the token as a tier: for each window, what its tokens cost by unit and hour.

    Windows without demand get the mean price: nothing is bought in them. Raise ``ConfigError`` if the price is unknown.
    """
    usd = token_bill_usd(demand, price_at)
    window_h = demand.window_s / 3600
    total = sum(units) * window_h
    mean = sum(usd) / total if total else 0.0
    return Flexible(
        name="tokens",
        usd_per_unit_hour=tuple(
            amount / (busy * window_h) if busy > 0 else mean for amount, busy in zip(usd, units, strict=True)
        ),
        is_divisible=True,
    )


def token_bill_usd(demand: DemandSeries, price_at: PriceAt) -> tuple[float, ...]:
    """Return what each window's tokens cost; cached ones at their own price where there is one."""
    times: tuple[float | None, ...]
    times = (None,) * len(demand) if demand.starts_at_unix_s is None else demand.times_unix_s()
    found = []
    for at_s, prompt, cached, output in zip(
        times, demand.prompt_tokens, demand.cached_tokens, demand.output_tokens, strict=True
    ):
        price = price_at(at_s)
        if price is None:
            raise ConfigError(
                "the price of these tokens is unknown, which is never free; name a model with a price, or give one"
            )
        input_usd = _input_usd(price, prompt, cached)
        found.append(input_usd + output * price.output_usd_per_mtok / 1e6)
    return tuple(found)


def _input_usd(price: Price, prompt: float, cached: float) -> float:
    usd = cost_usd(price, round(prompt), round(cached), 0)
    assert usd is not None  # all counts are known
    return usd


def egress_usd_per_unit_hour(finance: Finance, demand: DemandSeries, units: tuple[float, ...]) -> float:
    """Return what sending answers out of a cloud costs by unit-hour, on average over the demand."""
    unit_hours = sum(units) * demand.window_s / 3600
    gigabytes = sum(demand.output_tokens) * finance.bytes_per_output_token / 1e9
    return gigabytes * finance.egress_usd_per_gb / unit_hours if unit_hours else 0.0
