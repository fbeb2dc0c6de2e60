"""The screening-curve optimum against every other plan, and online rules within their proven bounds."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overspill.planner.online import RANDOMISED, rented, reservations, ski_rental
from overspill.planner.screening import Committed, Flexible, Load, Market, cost_usd, optimum, uses

PRICES = st.floats(0.05, 5.0)
UNITS = st.lists(st.one_of(st.just(0.0), st.floats(0.0, 3.0), st.integers(0, 3).map(float)), min_size=1, max_size=5)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Load, Market]:
    units = draw(UNITS)
    committed = tuple(
        Committed(
            name=name,
            usd_per_unit_hour=draw(PRICES) / 3,
            usd_per_busy_hour=draw(st.one_of(st.just(0.0), PRICES)),
            setup_usd_per_hour=draw(st.one_of(st.just(0.0), PRICES)),
        )
        for name in ("own", "reserved")
    )
    by_window = draw(st.lists(PRICES, min_size=len(units), max_size=len(units)))
    flexible = (
        Flexible(name="on_demand", usd_per_unit_hour=draw(PRICES), is_divisible=False),
        Flexible(name="tokens", usd_per_unit_hour=tuple(by_window), is_divisible=True),
    )
    return Load(units=tuple(units), window_h=0.5), Market(committed=committed, flexible=flexible)


def dispatched(demand: float, free: list[float], on_demand: float, tokens: float) -> float:
    """The least that a window can cost, by trying all ways to use it: ``free`` are running costs of committed units."""
    best = math.inf
    for machines in range(math.ceil(demand) + 1):
        for used in itertools.chain(*(itertools.combinations(free, n) for n in range(len(free) + 1))):
            rest, usd = max(0.0, demand - machines), machines * on_demand
            for running in used:
                usd += running
                rest -= min(1.0, rest)
            best = min(best, usd + rest * tokens)
    return best


def tried(load: Load, market: Market, units: dict[str, int]) -> float:
    on_demand, tokens = market.flexible
    running = [tier.usd_per_busy_hour for tier in market.committed for _ in range(units[tier.name])]
    fixed = sum(
        units[tier.name] * tier.usd_per_unit_hour + (tier.setup_usd_per_hour if units[tier.name] else 0.0)
        for tier in market.committed
    )
    dynamic = sum(
        dispatched(demand, running, on_demand.price(window), tokens.price(window))
        for window, demand in enumerate(load.units)
    )
    return fixed * load.hours + dynamic * load.window_h


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_no_whole_plan_is_cheaper_than_the_optimum(world: tuple[Load, Market]) -> None:
    load, market = world
    best = optimum(load, market)
    most = math.ceil(load.peak)
    plans = [{"own": a, "reserved": b} for a in range(most + 1) for b in range(most + 1 - a)]
    assert best.usd == pytest.approx(min(tried(load, market, plan) for plan in plans), rel=1e-9, abs=1e-9)
    assert all(count == int(count) for count in best.units.values())


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_what_a_plan_costs_is_what_its_tiers_cost_and_they_serve_all(world: tuple[Load, Market]) -> None:
    load, market = world
    best = optimum(load, market)
    assert cost_usd(load, market, best.units) == pytest.approx(best.usd, rel=1e-9, abs=1e-12)
    assert sum(use.unit_hours for use in uses(load, market, best.units)) == pytest.approx(load.unit_hours, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(1, 4))
def test_divisible_units_never_cost_more_and_follow_the_lower_envelope(world: tuple[Load, Market], parts: int) -> None:
    load, market = world
    unset = market.committed[0]
    free = Market(
        committed=tuple(Committed(name=t.name, usd_per_unit_hour=t.usd_per_unit_hour) for t in market.committed),
        flexible=market.flexible,
        is_divisible=True,
    )
    bound = optimum(load, free)
    whole = optimum(load, Market(committed=free.committed, flexible=free.flexible))
    assert bound.usd <= whole.usd + 1e-9
    for tenth in range(11):
        share = {unset.name: load.peak * tenth / 10 / parts}
        assert bound.usd <= cost_usd(load, free, share) + 1e-9


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_ski_rental_stays_within_its_bounds(world: tuple[Load, Market]) -> None:
    load, market = world
    for tier in market.committed:
        paid = ski_rental(load, market, tier)
        assert paid.clairvoyant_usd <= paid.deterministic_usd + 1e-9
        assert paid.deterministic_usd <= 2 * paid.clairvoyant_usd + 1e-9
        assert paid.randomised_usd <= RANDOMISED * paid.clairvoyant_usd + 1e-9


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.just(0.0), st.floats(0.0, 2.5)), min_size=1, max_size=30),
    st.floats(0.1, 6.0),
    st.floats(0.0, 0.8),
    st.integers(1, 10),
)
def test_reservations_stay_within_their_bounds(units: list[float], fee: float, alpha: float, term: int) -> None:
    paid = reservations(Load(units=tuple(units), window_h=1.0), 1.0, fee, alpha, term)
    assert paid.clairvoyant_usd <= paid.deterministic_usd + 1e-9
    assert paid.deterministic_usd <= (2 - alpha) * paid.clairvoyant_usd + 1e-9
    cells = math.ceil(max(units)) * (1 + len(units) / term) * fee / 32  # the expectation is a sum over 64 thresholds
    assert paid.randomised_usd <= math.e / (math.e - 1 + alpha) * paid.clairvoyant_usd + cells + 1e-9


@settings(max_examples=100, deadline=None)
@given(worlds(), st.floats(0.01, 1.0))
def test_starting_machines_by_their_bill_is_never_better_than_knowing_the_log(
    world: tuple[Load, Market], start_h: float
) -> None:
    load, market = world
    found = rented(load, market, "on_demand", start_h)
    assert found.clairvoyant_usd <= found.online_usd + 1e-9
    tokens = Market(flexible=market.flexible[1:])
    assert found.clairvoyant_usd <= cost_usd(load, tokens, {}) + 1e-9
