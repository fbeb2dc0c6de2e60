"""What a machine of one's own costs a year, term by term, each with its units, its arithmetic and its source.

capital      the annuity of price less discounted residual value, over the years that it is used
support      maintenance contract
spares       the same annuity on spare machines
electricity  kW × PUE × hours × $/kWh, between idle and full load by utilisation (unless the rent has it)
rent         kW kept ready × $ per kW and month × 12
operations   network, remote hands, by machine
staff        for all machines together
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from overspill.catalog.hardware_prices import Fact, Finance, Node, Site
from overspill.errors import ConfigError
from overspill.planner.remarks import Remark
from overspill.planner.screening import Committed

HOURS_A_YEAR = 8760.0


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a year's cost."""

    name: str
    usd_per_year: float
    how: Remark
    """The arithmetic, with units."""
    source: str


class OwnedCost(msgspec.Struct, frozen=True, kw_only=True):
    """A machine of one's own, for a year."""

    node: Node
    lines: tuple[CostLine, ...]
    """By machine, at the utilisation that was asked for."""
    shared_usd_per_year: float
    """For all machines together."""
    fixed_usd_per_hour: float
    """By machine, whether it works or not."""
    busy_usd_per_hour: float
    """More at full load: the electricity between idle and full."""

    @property
    def usd_per_year(self) -> float:
        """By machine, without what is shared."""
        return sum(line.usd_per_year for line in self.lines)

    def committed(self, name: str = "owned") -> Committed:
        """Return it as a tier."""
        return Committed(
            name=name,
            usd_per_unit_hour=self.fixed_usd_per_hour,
            usd_per_busy_hour=self.busy_usd_per_hour,
            setup_usd_per_hour=self.shared_usd_per_year / HOURS_A_YEAR,
        )


def annuity_usd(usd: float, residual_usd: float, years: float, cost_of_capital: float) -> float:
    """Return the yearly payment that buys something for ``usd`` and sells it for ``residual_usd`` after ``years``."""
    if years <= 0 or usd < 0 or residual_usd < 0 or cost_of_capital < 0:
        raise ConfigError("an annuity needs years above 0, and a price, residual value and rate of 0 or more")
    if cost_of_capital == 0:
        return (usd - residual_usd) / years
    discount = math.pow(1 + cost_of_capital, -years)
    return (usd - residual_usd * discount) * cost_of_capital / (1 - discount)


def electricity_usd(kw: float, pue: float, hours: float, usd_per_kwh: float) -> float:
    """Return what running ``kw`` for ``hours`` costs."""
    return kw * pue * hours * usd_per_kwh


def owned_cost(node: Node, site: Site, finance: Finance, utilisation: float = 1.0, machines: float = 1.0) -> OwnedCost:
    """Return what a unit of one's own costs a year; a unit is ``machines`` of these, or a part of one.

    ``utilisation`` is the share of the time at full load, from 0 to 1.
    """
    if not 0 <= utilisation <= 1 or machines <= 0:
        raise ConfigError("utilisation is a share from 0 to 1, and a unit needs more than 0 machines")
    lines = _lines(node, site, finance, utilisation, machines)
    tariff = 0.0 if site.has_power else site.usd_per_kwh
    busy = electricity_usd(machines * (node.kw_max - node.kw_idle), site.pue, 1.0, tariff)
    fixed = sum(line.usd_per_year for line in lines) / HOURS_A_YEAR - busy * utilisation
    return OwnedCost(
        node=node,
        lines=tuple(line for line in lines if line.usd_per_year or line.name == "electricity"),
        shared_usd_per_year=finance.staff_usd_per_year,
        fixed_usd_per_hour=fixed,
        busy_usd_per_hour=busy,
    )


def _lines(node: Node, site: Site, finance: Finance, utilisation: float, machines: float) -> list[CostLine]:
    return [*_of_machine(node, finance, machines), *_of_site(node, site, utilisation, machines)]


def _of_machine(node: Node, finance: Finance, machines: float) -> Iterator[CostLine]:
    rate, price = finance.cost_of_capital, f"{_times(machines)}{_usd(node.usd)}"
    capital = machines * annuity_usd(node.usd, node.usd * node.residual, node.years, rate)
    yield CostLine(
        name="capital",
        usd_per_year=capital,
        how=Remark(
            f"{price}, {node.residual:.0%} left after {node.years:g} years, {rate:.1%} a year",
            f"{price}，{node.years:g} 年后残值 {node.residual:.0%}，年利率 {rate:.1%}",
        ),
        source=_cited(node, finance),
    )
    yield CostLine(
        name="support",
        usd_per_year=machines * node.usd * node.support,
        how=Remark(f"{node.support:.0%} of the price a year", f"每年为价格的 {node.support:.0%}"),
        source=_cited(node),
    )
    yield CostLine(
        name="spares",
        usd_per_year=capital * finance.spare_share,
        how=Remark(f"{finance.spare_share:.0%} of the capital", f"资本的 {finance.spare_share:.0%}"),
        source=_cited(finance),
    )


def _of_site(node: Node, site: Site, utilisation: float, machines: float) -> Iterator[CostLine]:
    mean_kw = machines * (node.kw_idle + (node.kw_max - node.kw_idle) * utilisation)
    tariff = 0.0 if site.has_power else site.usd_per_kwh
    power = f"{mean_kw:.2f} kW × PUE {site.pue:g} × {HOURS_A_YEAR:g} h × {tariff:g} $/kWh"
    kept_kw, operations = f"{machines * node.kw_max:g} kW", _usd(site.operations_usd_per_node_year)
    yield CostLine(
        name="electricity",
        usd_per_year=electricity_usd(mean_kw, site.pue, HOURS_A_YEAR, tariff),
        how=Remark("in the rent", "已含在机位租金中") if site.has_power else Remark(power, power),
        source=_cited(site, node),
    )
    yield CostLine(
        name="rent",
        usd_per_year=machines * node.kw_max * site.usd_per_kw_month * 12,
        how=Remark(
            f"{kept_kw} × {site.usd_per_kw_month:g} $/kW/month × 12",
            f"{kept_kw} × {site.usd_per_kw_month:g} $/kW/月 × 12",
        ),
        source=_cited(site, node),
    )
    yield CostLine(
        name="operations",
        usd_per_year=machines * site.operations_usd_per_node_year,
        how=Remark(f"{_times(machines)}{operations} by machine and year", f"{_times(machines)}每台每年 {operations}"),
        source=_cited(site),
    )


def _usd(amount: float) -> str:
    return f"${amount:,.0f}"


def _times(machines: float) -> str:
    return "" if machines == 1 else f"{machines:g} × "


def _cited(*rows: Fact) -> str:
    return "; ".join(f"{row.source} ({row.as_of})" for row in rows)
