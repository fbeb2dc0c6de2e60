"""Total cost term by term, tiers from dated prices, and DeepSeek's published day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overspill.catalog.gpus import load_gpus
from overspill.catalog.hardware_prices import Finance, Instance, Node, Site, SpotStatistics, load_hardware_prices
from overspill.core.types import Price
from overspill.errors import ConfigError, UnknownName
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.demand import DemandSeries
from overspill.planner.screening import Flexible
from overspill.planner.tco import annuity_usd, electricity_usd, owned_cost
from overspill.planner.tiers import egress_usd_per_unit_hour, on_demand, reserved, spot, token_bill_usd, tokens

DAY = dt.date(2026, 11, 23)
NODE = Node(
    name="n", gpu="G", gpus=8, gpu_mem_gib=80, usd=120_000, years=3, kw_max=6.5, kw_idle=2.0, as_of=DAY, source="s"
)
ROOM = Site(name="room", usd_per_kw_month=0, has_power=False, pue=1.4, usd_per_kwh=0.10, operations_usd_per_node_year=0,
            as_of=DAY, source="s")  # fmt: skip
CAGE = Site(name="cage", usd_per_kw_month=200, has_power=True, pue=1.0, usd_per_kwh=0.0,
            operations_usd_per_node_year=1000, as_of=DAY, source="s")  # fmt: skip
FINANCE = Finance(cost_of_capital=0.0, staff_usd_per_year=0, spare_share=0, egress_usd_per_gb=0.09,
                  bytes_per_output_token=300, as_of=DAY, source="s")  # fmt: skip
GIVEN = Price(input_usd_per_mtok=0.55, output_usd_per_mtok=2.19, cached_input_usd_per_mtok=0.14)


def lines(cost: object) -> dict[str, float]:
    return {line.name: line.usd_per_year for line in cost.lines}  # type: ignore[attr-defined]


def test_without_interest_capital_is_price_less_residual_by_years() -> None:
    assert annuity_usd(120_000, 0, 3, 0) == 40_000
    assert annuity_usd(120_000, 30_000, 3, 0) == 30_000


def test_an_annuity_pays_the_machine_off_at_its_rate() -> None:
    payment = annuity_usd(100_000, 20_000, 4, 0.10)
    worth = sum(payment / 1.1**year for year in range(1, 5)) + 20_000 / 1.1**4
    assert worth == pytest.approx(100_000)
    assert annuity_usd(100_000, 0, 4, 1e-9) == pytest.approx(25_000, rel=1e-6)
    with pytest.raises(ConfigError, match="years above 0"):
        annuity_usd(1, 0, 0, 0.1)


def test_electricity_is_kilowatts_times_hours_times_price() -> None:
    assert electricity_usd(6.5, 1.0, 8760, 0.10) == pytest.approx(5694)
    full = owned_cost(NODE, ROOM, FINANCE)
    assert lines(full) == {"capital": 40_000, "electricity": pytest.approx(7971.6)}
    idle = owned_cost(NODE, ROOM, FINANCE, utilisation=0)
    assert lines(idle)["electricity"] == pytest.approx(7971.6 * 2 / 6.5)


@pytest.mark.parametrize("utilisation", [0.0, 0.3, 1.0])
def test_fixed_and_busy_cost_add_up_to_the_year_at_any_use(utilisation: float) -> None:
    cost = owned_cost(NODE, ROOM, FINANCE, utilisation, machines=2)
    assert (cost.fixed_usd_per_hour + utilisation * cost.busy_usd_per_hour) * 8760 == pytest.approx(cost.usd_per_year)
    other = owned_cost(NODE, ROOM, FINANCE, 0.5, machines=2)
    assert cost.fixed_usd_per_hour == pytest.approx(other.fixed_usd_per_hour)


def test_rent_with_power_in_it_leaves_no_electricity_to_pay() -> None:
    assert lines(owned_cost(NODE, CAGE, FINANCE)) == {
        "capital": 40_000,
        "electricity": 0,
        "rent": pytest.approx(6.5 * 200 * 12),
        "operations": 1000,
    }


def test_people_and_spares_are_counted_once() -> None:
    finance = msgspec.structs.replace(FINANCE, staff_usd_per_year=87_600, spare_share=0.1)
    cost = owned_cost(NODE, ROOM, finance)
    assert lines(cost)["spares"] == 4_000
    tier = cost.committed()
    assert tier.setup_usd_per_hour == 10
    assert tier.usd_per_unit_hour == cost.fixed_usd_per_hour
    with pytest.raises(ConfigError, match="share from 0 to 1"):
        owned_cost(NODE, ROOM, FINANCE, utilisation=1.2)


def test_each_term_says_how_it_was_reckoned_and_from_where() -> None:
    for line in owned_cost(NODE, ROOM, FINANCE).lines:
        assert line.how
        assert "2026-11-23" in line.source


def day_of_deepseek() -> DemandSeries:
    """2025-02-27 to 28 as DeepSeek published it: tokens of prompts, of hits and of answers."""
    return DemandSeries(
        window_s=86_400, requests=(0,), prompt_tokens=(608e9,), cached_tokens=(342e9,), output_tokens=(168e9,)
    )


def test_deepseeks_published_day_closes() -> None:
    node = UnitCapacity(prompt_tokens_per_s=73_700, output_tokens_per_s=14_800, is_prompt_with_cached=True)
    (units,) = node.units(day_of_deepseek())
    assert units == pytest.approx(226.75, rel=0.005)
    cost_usd = units * 24 * 8 * 2.0
    assert cost_usd == pytest.approx(87_072, rel=0.005)
    (revenue_usd,) = token_bill_usd(day_of_deepseek(), lambda _: GIVEN)
    assert revenue_usd == pytest.approx(562_027, rel=0.005)
    assert revenue_usd / cost_usd - 1 == pytest.approx(5.45, rel=0.005)


def test_hits_need_no_prefill_unless_the_rate_counts_them() -> None:
    demand = DemandSeries(window_s=10, requests=(5,), prompt_tokens=(1000,), cached_tokens=(400,), output_tokens=(100,))
    assert UnitCapacity(prompt_tokens_per_s=60, output_tokens_per_s=10).units(demand) == (2.0,)
    assert UnitCapacity(prompt_tokens_per_s=100, is_prompt_with_cached=True).units(demand) == (1.0,)
    assert UnitCapacity(requests_per_s=0.25).units(demand) == (2.0,)
    for wrong in (
        UnitCapacity(),
        UnitCapacity(requests_per_s=1, output_tokens_per_s=1),
        UnitCapacity(requests_per_s=0),
    ):
        with pytest.raises(ConfigError, match="one unit carries"):
            wrong.units(demand)
    with pytest.raises(ConfigError, match="no token counts"):
        UnitCapacity(output_tokens_per_s=1).units(
            msgspec.structs.replace(demand, prompt_tokens=(0,), output_tokens=(0,))
        )


def instance(**changes: Any) -> Instance:
    fields: dict[str, Any] = {
        "name": "c/x",
        "gpu": "G",
        "gpus": 8,
        "gpu_mem_gib": 80,
        "region": "r",
        "on_demand": 10.0,
        "spot": (3.0, 5.0),
        "reserved": {"1y": 6.0},
        "as_of": DAY,
        "source": "s",
    }
    return Instance(**{**fields, **changes})


def test_spot_is_paid_for_with_what_stands_in_while_there_is_none() -> None:
    statistics = SpotStatistics(gpus=8, zones=1, availability=0.5, mean_up_h=1.0, as_of=DAY, source="s")
    stand_in = Flexible(name="on_demand", usd_per_unit_hour=10.0, is_divisible=False)
    terms = spot(instance(), 1.0, statistics, 0.1, stand_in)
    assert terms is not None
    assert terms.served_share == pytest.approx(0.45)
    assert terms.usd_per_unit_hour == pytest.approx(0.5 * 4.0 + 0.55 * 10.0)
    by_window = spot(
        instance(), 2.0, statistics, 0.1, Flexible(name="t", usd_per_unit_hour=(10.0, 20.0), is_divisible=True)
    )
    assert by_window is not None
    assert by_window.usd_per_unit_hour == (pytest.approx(4 + 5.5), pytest.approx(4 + 11))
    assert spot(instance(spot=None), 1.0, statistics, 0.1, stand_in) is None


def test_rented_and_reserved_tiers_take_their_prices_and_egress() -> None:
    rented = on_demand(instance(), 2.0, 1.5)
    assert rented is not None
    assert rented.price(0) == 21.5
    assert on_demand(instance(on_demand=None), 1.0) is None
    (term,) = reserved(instance(), 2.0, 1.5)
    assert (term.name, term.usd_per_unit_hour, term.usd_per_busy_hour) == ("reserved_1y", 12.0, 1.5)
    demand = DemandSeries(
        window_s=3600, requests=(1,), prompt_tokens=(1,), cached_tokens=(0,), output_tokens=(10_000_000,)
    )
    assert egress_usd_per_unit_hour(FINANCE, demand, (2.0,)) == pytest.approx(3.0 * 0.09 / 2)


def test_tokens_cost_by_unit_what_the_windows_tokens_cost_at_that_time() -> None:
    demand = DemandSeries(window_s=3600, requests=(1, 1, 0), prompt_tokens=(1e6, 1e6, 0), cached_tokens=(0, 0, 0),
                          output_tokens=(0, 0, 0), starts_at_unix_s=0.0)  # fmt: skip
    cheap = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)
    dear = Price(input_usd_per_mtok=2.0, output_usd_per_mtok=1.0)
    tier = tokens(demand, (0.5, 0.5, 0.0), lambda at_s: dear if at_s is None or at_s > 3600 else cheap)
    assert tier.usd_per_unit_hour == (2.0, 4.0, 3.0)
    with pytest.raises(ConfigError, match="unknown, which is never free"):
        tokens(demand, (1, 1, 0), lambda _: None)


def test_shipped_prices_are_dated_sourced_and_sound() -> None:
    prices = load_hardware_prices()
    assert len(prices.instances) > 25
    for row in (*prices.instances, *prices.nodes, *prices.sites, *prices.spot_statistics, prices.finance):
        assert row.source
        assert dt.date(2022, 1, 1) < row.as_of <= dt.date(2026, 11, 27)
    for machine in prices.instances:
        assert machine.spot is None or machine.spot[0] <= machine.spot[1]
        assert machine.on_demand is None or machine.spot is None or machine.spot[1] <= machine.on_demand
    gpus = load_gpus()
    for row_with_gpu in (*prices.instances, *prices.nodes):
        assert gpus.find(row_with_gpu.gpu).name == row_with_gpu.gpu
    assert prices.instance("aws/p4d.24xlarge").memory_gib == 320
    assert prices.node("8xA100-80GB").memory_gib == 640


def test_a_users_rows_replace_ours_by_name(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        "nodes:\n- {name: 8xH100, gpu: H100, gpus: 8, gpu_mem_gib: 80, usd: 250000, years: 4, kw_max: 10, kw_idle: 2,"
        " as_of: 2026-11-01, source: our quotation}\n"
    )
    prices = load_hardware_prices([own])
    assert prices.node("8xH100").usd == 250_000
    assert prices.node("8xA100-80GB").usd == 120_000
    with pytest.raises(UnknownName, match="did you mean '8xH100'"):
        prices.node("8xH10")


DATED = "as_of: 2026-01-01, source: s"
MACHINE = f"name: x, gpu: G, gpus: 1, gpu_mem_gib: 1, {DATED}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nodes: [{name: x}]", "missing required field"),
        (f"instances: [{{{MACHINE}, region: r, on_demand: 0}}]", "0 is unknown, never free"),
        (f"nodes: [{{{MACHINE}, usd: 1, years: 0, kw_max: 1, kw_idle: 0}}]", "years > 0"),
        (f"spot_statistics: [{{gpus: 1, zones: 1, availability: 2, mean_up_h: 1, {DATED}}}]", "a share"),
        ("rows: 1", "unknown field"),
        ("a: [", "no YAML"),
    ],
)
def test_wrong_prices_are_said_to_be_wrong(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        load_hardware_prices([path])


def test_spot_statistics_are_those_of_machines_as_large_in_no_more_zones() -> None:
    prices = load_hardware_prices()
    assert prices.spot(8, 1).availability == pytest.approx(0.475)
    assert prices.spot(8, 5).zones == 2
    assert prices.spot(4, 2).gpus == 8
    assert prices.spot(1, 9).availability == pytest.approx(0.992)
    with pytest.raises(ConfigError, match="nothing is known"):
        prices.spot(72, 1)
