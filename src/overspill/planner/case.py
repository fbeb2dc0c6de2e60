"""A case to decide: a user's demand in units, and the market of tiers that these units could be had from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from overspill.catalog.hardware_prices import Finance, Instance, Node, Site, SpotStatistics
from overspill.catalog.rows import TariffRow
from overspill.catalog.tariffs import read_utc_offset
from overspill.errors import ConfigError
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.demand import DemandSeries
from overspill.planner.remarks import Remark
from overspill.planner.screening import Committed, Flexible, Load, Market
from overspill.planner.tco import OwnedCost, owned_cost
from overspill.planner.tiers import (
    PriceAt,
    egress_usd_per_unit_hour,
    on_demand,
    reserved,
    spot,
    tokens,
)

OWNED = "owned"


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    """Machines to buy: how many make a unit, and where they stand."""

    node: Node
    site: Site
    machines: float = 1.0


class Rental(msgspec.Struct, frozen=True, kw_only=True):
    """Machines to rent: how many make a unit, and, for spot, how long they are to be had and take to start."""

    instance: Instance
    machines: float = 1.0
    spot_statistics: SpotStatistics | None = None
    start_h: float = 390 / 3600
    """From its order to its first token: 390 s for a model of 100 GB from object storage."""


class TokenOffer(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of a model at a provider."""

    name: str
    price_at: PriceAt
    source: str
    as_of: dt.date | None = None
    tariff: TariffRow | None = None
    """When it is dearer, where it is not the same all day."""

    @property
    def utc_offset_s(self) -> int:
        """Of the clock by which it is billed; 0 without a tariff."""
        return 0 if self.tariff is None else read_utc_offset(self.tariff.utc_offset)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Demand and market, with where the figures come from."""

    demand: DemandSeries
    capacity: UnitCapacity
    load: Load
    market: Market
    owned: OwnedCost | None
    start_h: float
    """How long a rented machine takes to start."""
    sources: tuple[str, ...]
    notes: tuple[Remark, ...]
    """What was left out or assumed, in words."""
    is_tariff_unused: bool = False
    """True if tokens are cheaper at some hours, and the demand has no date by which that could be applied."""

    @property
    def tokens(self) -> float:
        """Prompt and answer tokens of the whole demand."""
        return sum(self.demand.prompt_tokens) + sum(self.demand.output_tokens)

    @property
    def years(self) -> float:
        """How long the demand lasts, in years."""
        return self.load.hours / 8760


def build_case(
    demand: DemandSeries,
    capacity: UnitCapacity,
    finance: Finance,
    *,
    purchase: Purchase | None = None,
    rental: Rental | None = None,
    offer: TokenOffer | None = None,
    is_divisible: bool = False,
) -> Case:
    """Put a case together; raise ``ConfigError`` if there is nothing that could serve what goes beyond own units."""
    units = capacity.units(demand)
    load = Load(units=units, window_h=demand.window_s / 3600)
    if load.unit_hours <= 0:
        raise ConfigError("there is no demand in this workload, so there is nothing to plan")
    notes: list[Remark] = []
    sources = [f"capacity: {capacity.source or 'given'}"]
    owned = None if purchase is None else _owned(purchase, finance, load)
    committed: list[Committed] = [] if owned is None else [owned.committed(OWNED)]
    flexible: list[Flexible] = []
    if owned is not None:
        sources += [f"{line.name}: {line.source}" for line in owned.lines]
    if purchase is not None and rental is not None:
        notes += _gpu_notes(purchase, rental)
    if offer is not None:
        notes += _token_notes(demand, offer)
        flexible.append(tokens(demand, units, offer.price_at))
        sources.append(f"tokens: {offer.source}" + ("" if offer.as_of is None else f" ({offer.as_of})"))
    if rental is not None:
        egress_usd = egress_usd_per_unit_hour(finance, demand, units)
        notes += _egress_notes(finance, egress_usd)
        rented, terms = _rented(rental, egress_usd, flexible, notes)
        flexible += rented
        committed += terms
        sources.append(f"rented: {rental.instance.name}, {rental.instance.source} ({rental.instance.as_of})")
    if not flexible:
        raise ConfigError(
            "nothing is left for the peaks: name tokens to buy (--tokens, --token-price) or an instance with an "
            "on-demand price (--rent)"
        )
    return Case(
        demand=demand,
        capacity=capacity,
        load=load,
        market=Market(committed=tuple(committed), flexible=tuple(flexible), is_divisible=is_divisible),
        owned=owned,
        start_h=0.0 if rental is None else rental.start_h,
        sources=tuple(dict.fromkeys(sources)),
        notes=tuple(notes),
        is_tariff_unused=offer is not None and offer.tariff is not None and demand.starts_at_unix_s is None,
    )


def _gpu_notes(purchase: Purchase, rental: Rental) -> list[Remark]:
    kinds = purchase.node.gpu, rental.instance.gpu
    if kinds[0] == kinds[1]:
        return []
    return [
        Remark(
            f"a unit is taken to carry the same on {kinds[0]} and on {kinds[1]}",
            f"假设一个单元在 {kinds[0]} 与 {kinds[1]} 上的承载能力相同",
        )
    ]


def _token_notes(demand: DemandSeries, offer: TokenOffer) -> list[Remark]:
    """Return what is assumed of tokens; raise ``ConfigError`` if there are none to buy."""
    if not any(demand.prompt_tokens) and not any(demand.output_tokens):
        raise ConfigError("this workload has no token counts, so tokens to buy have no price; leave them out")
    notes = []
    if any(demand.cached_tokens):
        notes.append(
            Remark(
                "the seller of tokens is taken to have the same prefix hits, billed at its price for them",
                "假设 token 供应商的前缀命中相同，并按其命中价计费",
            )
        )
    if demand.starts_at_unix_s is None and offer.tariff is not None:
        notes.append(
            Remark(
                "the workload tells no date: tokens are reckoned at their peak price all the time",
                "负载没有日期：token 始终按高峰价计算",
            )
        )
    return notes


def _owned(purchase: Purchase, finance: Finance, load: Load) -> OwnedCost:
    """Reckon electricity at the use of the machine that works most; the tier splits it into idle and busy again."""
    share = min(1.0, sum(load.layer(0)) / len(load.units))
    return owned_cost(purchase.node, purchase.site, finance, share, purchase.machines)


def _egress_notes(finance: Finance, usd_per_unit_hour: float) -> list[Remark]:
    if not usd_per_unit_hour:
        return []
    price, size = f"{finance.egress_usd_per_gb:g} $/GB", f"{finance.bytes_per_output_token:g}"
    return [
        Remark(
            f"rented machines also pay ${usd_per_unit_hour:.3f} a unit-hour for egress ({price}, {size} bytes by "
            "answer token)",
            f"租用机器另付出口流量费，每单元小时 ${usd_per_unit_hour:.3f}（{price}，每输出 token {size} 字节）",
        )
    ]


def _rented(
    rental: Rental, egress_usd: float, others: Sequence[Flexible], notes: list[Remark]
) -> tuple[list[Flexible], tuple[Committed, ...]]:
    flexible: list[Flexible] = []
    name = rental.instance.name
    whole = on_demand(rental.instance, rental.machines, egress_usd)
    if whole is None:
        notes.append(
            Remark(
                f"{name} has no known on-demand price, so it is not rented by the hour",
                f"{name} 的按需价格未知，因此不按小时租用",
            )
        )
    else:
        flexible.append(whole)
    stand_in = whole if whole is not None else next(iter(others), None)
    if rental.spot_statistics is not None and stand_in is not None:
        terms = spot(rental.instance, rental.machines, rental.spot_statistics, rental.start_h, stand_in, egress_usd)
        if terms is None:
            notes.append(Remark(f"{name} has no known spot price", f"{name} 的竞价价格未知"))
        else:
            flexible.append(Flexible(name="spot", usd_per_unit_hour=terms.usd_per_unit_hour, is_divisible=False))
            notes.append(_spot_note(rental.spot_statistics, terms.served_share, is_machine=whole is not None))
    return flexible, reserved(rental.instance, rental.machines, egress_usd)


def _spot_note(seen: SpotStatistics, served_share: float, *, is_machine: bool) -> Remark:
    others, others_zh = ("machines on demand stand", "按需实例") if is_machine else ("tokens stand", "按 token 购买")
    return Remark(
        f"spot machines serve {served_share:.0%} of what they are asked for (availability {seen.availability:.0%}, "
        f"runs of {seen.mean_up_h:g} h); {others} in for the rest: {seen.source}",
        f"竞价实例承担所需的 {served_share:.0%}（可得时间 {seen.availability:.0%}，平均运行 {seen.mean_up_h:g} 小时），"
        f"其余由{others_zh}补足：{seen.source}",
    )
