"""The verdict: what is advised, why, what would change it, in both languages."""

from __future__ import annotations

import math
import re

import msgspec
import pytest

from overspill.catalog.hardware_prices import load_hardware_prices
from overspill.catalog.load import load
from overspill.core.types import Price
from overspill.errors import ConfigError
from overspill.planner.capacity_units import UnitCapacity
from overspill.planner.case import Case, Purchase, Rental, TokenOffer, build_case
from overspill.planner.demand import DemandSeries
from overspill.planner.options import OPTIMUM, Comparison, compare
from overspill.planner.screening import Committed, Flexible, Load, Market, optimum
from overspill.planner.sensitivity import LEVERS, moved, thinned, tornado, turns
from overspill.planner.verdict import Advice, Caution, Verdict, decide, judge
from overspill.planner.verdict_words import in_words, tier_name
from overspill.planner.workloads.reading import open_workload
from overspill.planner.workloads.rows import Options

PRICES = load_hardware_prices()
UNIT = UnitCapacity(prompt_tokens_per_s=40_000, output_tokens_per_s=10_000)


def offer(miss: float, out: float) -> TokenOffer:
    price = Price(input_usd_per_mtok=miss, output_usd_per_mtok=out)
    return TokenOffer(name="t", price_at=lambda _: price, source="given")


def demand(rps: float, days: int = 21) -> DemandSeries:
    """A daily wave in hours: prompts of 2,000 and answers of 500 tokens."""
    counts = [rps * 3600 * (1 + 0.6 * math.sin(hour * math.pi / 12)) for hour in range(24 * days)]
    return DemandSeries(
        window_s=3600,
        requests=tuple(counts),
        prompt_tokens=tuple(count * 2000 for count in counts),
        cached_tokens=(0.0,) * len(counts),
        output_tokens=tuple(count * 500 for count in counts),
        starts_at_unix_s=1_790_000_000.0,
    )


def case(rps: float, tokens: TokenOffer, *, rent: str | None = None, days: int = 21) -> Case:
    return build_case(
        demand(rps, days),
        UNIT,
        PRICES.finance,
        purchase=Purchase(node=PRICES.node("8xH100"), site=PRICES.site("colocation")),
        rental=None if rent is None else Rental(instance=PRICES.instance(rent)),
        offer=tokens,
    )


def decided(made: Case) -> tuple[Comparison, Verdict]:
    found = compare(made, draws=20)
    return found, decide(made, found)


def test_cheap_tokens_and_little_use_say_do_not_buy() -> None:
    _, said = decided(case(1.0, offer(0.05, 0.20)))
    assert said.advice is Advice.BUY_TOKENS
    assert said.is_not_to_buy
    assert said.units == {}
    ratio, used, hours = said.numbers
    assert ratio.value > 1
    assert hours.value == pytest.approx(ratio.value * 8760)
    assert 0 < used.value < ratio.value
    assert in_words(said, "en")[0] == "Do not buy machines. Buy tokens; commit to no machine."
    assert "does not pay even at full work" in in_words(said, "en")[1]
    assert in_words(said, "zh")[0].startswith("不要购买机器。")


def test_dear_tokens_and_much_use_say_own_the_base() -> None:
    found, said = decided(case(60.0, offer(2.0, 8.0)))
    assert said.advice in {Advice.OWN, Advice.HYBRID}
    assert not said.is_not_to_buy
    assert said.units["owned"] >= 3
    assert said.saved_share > 0.5
    assert said.numbers[1].value > said.numbers[0].value
    best = found.option(OPTIMUM)
    assert best is not None
    assert said.usd_per_year == pytest.approx(best.usd_per_year)


def test_each_option_has_its_price_by_the_token_at_the_users_own_use() -> None:
    found, _ = decided(case(20.0, offer(0.5, 2.0), rent="nebius/gpu-h200-sxm_8gpu"))
    names = {option.name for option in found.options}
    assert names == {"optimum", "tokens_only", "on_demand_only", "owned_for_peak", "owned_and_spill"}
    by_name = {option.name: option for option in found.options}
    assert by_name["tokens_only"].usd_per_mtok == pytest.approx((2000 * 0.5 + 500 * 2.0) / 2500)
    assert by_name["tokens_only"].usd_per_mtok_output == pytest.approx((2000 * 0.5 + 500 * 2.0) / 500)
    assert by_name["owned_for_peak"].spilled_share == pytest.approx(0, abs=1e-9)
    assert 0 < (by_name["owned_for_peak"].utilisation or 0) < 1
    cheapest = min(option.usd_per_year for option in found.options)
    assert by_name["optimum"].usd_per_year == pytest.approx(cheapest)
    assert found.bound_usd_per_year <= cheapest
    assert found.rented is not None
    assert found.rented.clairvoyant_usd_per_year <= found.rented.online_usd_per_year


def test_a_saving_below_the_hurdle_is_not_worth_a_commitment() -> None:
    load = Load(units=(1.0,) * 10, window_h=1.0)
    market = Market(
        committed=(Committed(name="owned", usd_per_unit_hour=0.95),),
        flexible=(Flexible(name="tokens", usd_per_unit_hour=1.0, is_divisible=True),),
    )
    plan = optimum(load, market)
    assert plan.units == {"owned": 1.0}
    assert judge(load, market, plan, 0.10)[0] is Advice.BUY_TOKENS
    assert judge(load, market, plan, 0.01)[0] is Advice.OWN


@pytest.mark.parametrize(
    ("committed", "flexible", "advice"),
    [
        ("owned", "tokens", Advice.HYBRID),
        ("reserved_3y", "on_demand", Advice.RESERVE),
        (None, "on_demand", Advice.RENT),
        (None, "tokens", Advice.BUY_TOKENS),
    ],
)
def test_what_a_plan_amounts_to(committed: str | None, flexible: str, advice: Advice) -> None:
    load = Load(units=(1.0, 1.0, 1.0, 3.0), window_h=1.0)
    tiers = () if committed is None else (Committed(name=committed, usd_per_unit_hour=0.4),)
    market = Market(
        committed=tiers,
        flexible=(Flexible(name=flexible, usd_per_unit_hour=1.0, is_divisible=flexible == "tokens"),),
    )
    assert judge(load, market, optimum(load, market), 0.1)[0] is advice


def test_what_would_change_the_verdict_does() -> None:
    made = case(20.0, offer(0.5, 2.0), rent="nebius/gpu-h200-sxm_8gpu")
    _, said = decided(made)
    assert said.turns
    world = thinned(made.load, made.market)
    for turn in said.turns:
        there = moved(*world, turn.lever, turn.factor)
        assert judge(*there, optimum(*there), 0.10)[0].value == turn.becomes
        assert turn.becomes != said.advice.value
        distance = math.log(turn.factor)  # known to within 1 %
        nearer = moved(*world, turn.lever, math.exp(distance - math.copysign(max(0.01, 0.1 * abs(distance)), distance)))
        assert judge(*nearer, optimum(*nearer), 0.10)[0] is said.advice


def test_the_tornado_moves_one_figure_at_a_time_and_widest_first() -> None:
    made = case(20.0, offer(0.5, 2.0), rent="nebius/gpu-h200-sxm_8gpu")
    swings = tornado(made.load, made.market)
    assert {swing.lever for swing in swings} == set(LEVERS)
    assert [swing.width_usd for swing in swings] == sorted((swing.width_usd for swing in swings), reverse=True)
    by_lever = {swing.lever: swing for swing in swings}
    assert by_lever["load"].high_usd > by_lever["load"].base_usd > by_lever["load"].low_usd
    assert by_lever["unit_capacity"].low_usd >= by_lever["unit_capacity"].base_usd
    assert by_lever["owned_price"].low_usd <= by_lever["owned_price"].base_usd <= by_lever["owned_price"].high_usd
    alone = Market(flexible=(Flexible(name="tokens", usd_per_unit_hour=1.0, is_divisible=True),))
    levers = {swing.lever for swing in tornado(made.load, alone)}
    assert levers == {"token_price", "load", "unit_capacity", "utilisation"}
    assert turns(made.load, alone, lambda *_: "always") == ()


def test_a_thinned_load_costs_nearly_the_same() -> None:
    load = Load(
        units=tuple(demand / 300 for demand in open_workload("bundled:servegen-m-large-rates").demand(600).requests),
        window_h=1 / 6,
    )
    market = Market(
        committed=(Committed(name="owned", usd_per_unit_hour=0.3),),
        flexible=(Flexible(name="tokens", usd_per_unit_hour=(1.0,) * len(load.units), is_divisible=True),),
    )
    thin, prices = thinned(load, market, 200)
    assert len(thin.units) <= 202
    assert thin.hours == pytest.approx(load.hours)
    assert optimum(thin, prices).usd == pytest.approx(optimum(load, market).usd, rel=0.01)


def test_cautions_name_what_to_beware_of() -> None:
    tariff = load().tariffs[0]
    undated = build_case(
        msgspec.structs.replace(demand(20.0, 2), starts_at_unix_s=None),
        UNIT,
        PRICES.finance,
        offer=msgspec.structs.replace(offer(0.5, 2.0), tariff=tariff),
    )
    assert undated.notes == ("the workload tells no date: tokens are reckoned at their peak price all the time",)
    found = compare(undated, draws=20)
    said = decide(undated, found, assumed=True)
    assert {Caution.SHORT_LOG, Caution.NO_DATES, Caution.DRAWN} <= set(said.cautions)
    assert found.drift is None
    _, calm = decided(case(20.0, offer(0.5, 2.0), days=28))
    assert not {Caution.SHORT_LOG, Caution.DRIFTED, Caution.NO_DATES, Caution.DRAWN} & set(calm.cautions)


@pytest.mark.parametrize("rps", [0.2, 5.0, 20.0, 80.0])
@pytest.mark.parametrize("prices", [(0.1, 0.3), (0.5, 2.0), (3.0, 15.0)])
def test_words_are_whole_in_both_languages_whatever_the_verdict(rps: float, prices: tuple[float, float]) -> None:
    _, said = decided(case(rps, offer(*prices), rent="aws/p4d.24xlarge/2023", days=7))
    for language in ("en", "zh"):
        text = "\n".join(in_words(said, language))  # type: ignore[arg-type]
        assert len(text) > 120
        assert not re.search(r"[{}]|nan|None|_|×\s*[:：]", text), text
        assert "$" in text
    assert re.search(r"r = (\d+\.\d\d|∞)", in_words(said, "en")[1])
    zh = "".join(in_words(said, "zh"))
    assert sum("一" <= character <= "鿿" for character in zh) > 40


def test_a_case_needs_demand_and_something_for_the_peaks() -> None:
    with pytest.raises(ConfigError, match="nothing is left for the peaks"):
        build_case(demand(1.0, 1), UNIT, PRICES.finance)
    rental = Rental(instance=PRICES.instance("tencent/GN10Xp.20XLARGE320"))
    with pytest.raises(ConfigError, match="nothing is left for the peaks"):
        build_case(demand(1.0, 1), UNIT, PRICES.finance, rental=rental)
    nothing = demand(1.0, 1).scaled(0.0)
    with pytest.raises(ConfigError, match="no demand"):
        build_case(nothing, UnitCapacity(requests_per_s=1), PRICES.finance, offer=offer(1, 1))


def test_spot_and_reservations_stand_beside_the_others_with_what_was_assumed() -> None:
    made = build_case(
        demand(20.0, 7),
        UNIT,
        PRICES.finance,
        rental=Rental(instance=PRICES.instance("aws/p4d.24xlarge/2023"), spot_statistics=PRICES.spot(8, 1)),
    )
    assert {tier.name for tier in made.market.committed} == {"reserved_1y", "reserved_3y"}
    assert {tier.name for tier in made.market.flexible} == {"on_demand", "spot"}
    assert any("stand in for the rest" in note for note in made.notes)
    _, said = decided(made)
    assert said.candidate in {"reserved_1y", "reserved_3y"}
    assert not said.is_not_to_buy


def test_what_is_taken_to_be_equal_is_said() -> None:
    hits = msgspec.structs.replace(demand(1.0, 1), cached_tokens=(9.0,) * 24)
    node = Purchase(node=PRICES.node("8xH100"), site=PRICES.site("own_room"))
    rental = Rental(instance=PRICES.instance("nebius/gpu-h200-sxm_8gpu"))
    notes = build_case(hits, UNIT, PRICES.finance, purchase=node, rental=rental, offer=offer(1, 1)).notes
    assert any("the same on H100-SXM and on H200" in note for note in notes)
    assert any("same prefix hits" in note for note in notes)
    same = Rental(instance=PRICES.instance("nebius/gpu-h100-sxm_8gpu"))
    (egress,) = build_case(demand(1.0, 1), UNIT, PRICES.finance, purchase=node, rental=same, offer=offer(1, 1)).notes
    assert "for egress (0.09 $/GB, 300 bytes by answer token)" in egress


def test_a_log_longer_than_a_reservations_term_renews_it() -> None:
    hours = 24 * 400
    none = (0.0,) * 400
    year = DemandSeries(
        window_s=86_400, requests=(8.64e4,) * 400, prompt_tokens=none, cached_tokens=none, output_tokens=none
    )
    made = build_case(
        year,
        UnitCapacity(requests_per_s=1.0),
        PRICES.finance,
        rental=Rental(
            instance=msgspec.structs.replace(PRICES.instance("aws/p4d.24xlarge/2023"), reserved={"1y": 19.22})
        ),
    )
    assert made.load.hours == hours
    found = compare(made, draws=10)
    assert found.online is not None
    assert 1 < found.online.deterministic_ratio <= 2


def test_a_synthetic_workload_makes_a_case_from_end_to_end() -> None:
    workload = open_workload("rps=2,in=500,out=100,hours=12", options=Options(seed=4))
    made = build_case(workload.demand(600), UNIT, PRICES.finance, offer=offer(0.3, 0.6))
    found, said = decided(made)
    assert said.advice is Advice.BUY_TOKENS
    assert said.candidate == ""
    assert said.owned_for_peak_usd_per_year is None
    assert found.online is None


def test_tokens_of_a_workload_without_token_counts_are_not_taken_for_free() -> None:
    counted = demand(1.0, 1)
    none = (0.0,) * len(counted)
    sums = msgspec.structs.replace(counted, prompt_tokens=none, output_tokens=none)
    with pytest.raises(ConfigError, match="no token counts"):
        build_case(sums, UnitCapacity(requests_per_s=1), PRICES.finance, offer=offer(1, 1))


def paying(tier: Committed, units: tuple[float, ...], usd: float) -> tuple[Verdict, Comparison]:
    """Decide on one tier against tokens at one price."""
    made = case(5.0, offer(1.0, 1.0), days=1)
    market = Market(committed=(tier,), flexible=(Flexible(name="tokens", usd_per_unit_hour=usd, is_divisible=True),))
    made = msgspec.structs.replace(made, load=Load(units=units, window_h=1.0), market=market)
    found = compare(made, draws=2)
    return decide(made, found, hurdle_share=0.0), found


@pytest.mark.parametrize("staff", [0.0, 0.2, 0.6, 2.0])
@pytest.mark.parametrize("usd", [0.9, 1.2, 1.6, 3.0])
@pytest.mark.parametrize("units", [(1.0, 0.4, 0.1, 0.8), (3.0, 2.5, 0.2, 1.1), (0.3, 0.0, 0.9, 0.0)])
def test_the_three_numbers_decide_whatever_people_and_energy_cost(
    staff: float, usd: float, units: tuple[float, ...]
) -> None:
    tier = Committed(name="owned", usd_per_unit_hour=0.5, usd_per_busy_hour=0.3, setup_usd_per_hour=staff)
    said, found = paying(tier, units, usd)
    ratio, used, hours = said.numbers
    assert (used.value > ratio.value) == bool(found.best.units)
    assert hours.value == pytest.approx(ratio.value * 8760)
    assert said.has_shared_cost == (staff > 0)
    saved = said.spill_usd_per_unit_hour - said.running_usd_per_unit_hour
    assert ratio.value == pytest.approx(said.unit_usd_per_hour / saved)


def test_a_saving_that_is_too_small_is_said_to_be() -> None:
    made = case(100.0, offer(0.24, 0.9))
    found = compare(made, draws=2)
    said = decide(made, found, hurdle_share=0.9)
    assert said.units == {}
    assert found.best.units
    assert said.numbers[1].value > said.numbers[0].value
    assert f"would save {said.best_saved_share:.1%}; a commitment must save 90%" in in_words(said, "en")[1]
    assert f"可节省 {said.best_saved_share:.1%}，而承诺至少须节省 90%" in in_words(said, "zh")[1]


def test_with_nothing_to_compare_the_words_say_so_and_there_is_no_number() -> None:
    made = build_case(demand(1.0, 1), UNIT, PRICES.finance, offer=offer(1, 1))
    _, said = decided(made)
    assert said.candidate == ""
    assert math.isnan(said.numbers[0].value)
    assert "nothing to weigh" in in_words(said, "en")[1]
    assert "无从比较" in in_words(said, "zh")[1]


def test_a_machine_by_the_hour_is_weighed_against_tokens() -> None:
    rental = Rental(instance=PRICES.instance("nebius/gpu-h100-sxm_8gpu"))
    for price, advice in ((0.05, Advice.BUY_TOKENS), (5.0, Advice.RENT)):
        made = build_case(demand(20.0, 1), UNIT, PRICES.finance, rental=rental, offer=offer(price, 4 * price))
        _, said = decided(made)
        assert (said.candidate, said.advice) == ("on_demand", advice)
        assert (said.numbers[1].value > said.numbers[0].value) == (advice is Advice.RENT)


def test_utilisation_moves_at_the_same_load() -> None:
    load, market = Load(units=(0.0, 1.0, 2.0, 5.0), window_h=1.0), Market(flexible=())
    for factor in (0.7, 1.3):
        there, _ = moved(load, market, "utilisation", factor)
        assert there.unit_hours == pytest.approx(load.unit_hours)
        assert 2.0 / there.peak == pytest.approx(factor * 2.0 / load.peak)
        assert there.units[0] == 0.0
        assert sorted(there.units) == list(there.units)
    flattest, _ = moved(load, market, "utilisation", 8.0)
    assert flattest.peak == pytest.approx(8 / 3, rel=1e-6)


def test_a_change_of_less_than_a_percent_is_not_called_once() -> None:
    made = case(50.0, offer(0.30, 1.20))
    _, said = decided(made)
    near = msgspec.structs.replace(said.turns[0], factor=1.004)
    words = " ".join(in_words(msgspec.structs.replace(said, turns=(near,)), "en"))
    assert " 1.004 times" in words


def test_reserved_terms_are_named_by_their_length() -> None:
    names = [tier_name(f"reserved_{term}", "en") for term in ("1y", "3y", "6m")]
    assert names == ["reserved for 1 year", "reserved for 3 years", "reserved for 6 months"]
    assert tier_name("reserved_6m", "zh") == "预留 6 个月"


def test_of_very_many_units_several_count_as_one_at_the_same_cost() -> None:
    load = Load(units=tuple(3000.0 + 900 * math.sin(hour) for hour in range(200)), window_h=1.0)
    market = Market(
        committed=(Committed(name="owned", usd_per_unit_hour=0.5, setup_usd_per_hour=10.0),),
        flexible=(Flexible(name="tokens", usd_per_unit_hour=1.0, is_divisible=True),),
    )
    thin = thinned(load, market)
    assert thin[0].peak == pytest.approx(300)
    assert optimum(*thin).usd == pytest.approx(optimum(load, market).usd, rel=1e-3)
