from __future__ import annotations

import pytest

from overspill.core.cost import billing_price, cost_usd
from overspill.core.types import Price, Surface, TargetSpec

PRICE = Price(input_usd_per_mtok=0.28, output_usd_per_mtok=0.42, cached_input_usd_per_mtok=0.028)


def target(*, is_local: bool, price: Price | None, surfaces: tuple[Surface, ...] = (Surface.CHAT,)) -> TargetSpec:
    return TargetSpec(target_id="t", pool="p", is_local=is_local, price=price, surfaces=surfaces)


def test_fresh_cached_and_output_tokens_have_their_own_prices() -> None:
    assert cost_usd(PRICE, 1_000_000, 250_000, 500_000) == pytest.approx(0.75 * 0.28 + 0.25 * 0.028 + 0.5 * 0.42)


def test_cached_tokens_without_a_price_or_a_count_are_billed_as_fresh() -> None:
    without = Price(input_usd_per_mtok=0.28, output_usd_per_mtok=0.42)
    assert cost_usd(without, 1_000_000, 900_000, 0) == pytest.approx(0.28)
    assert cost_usd(PRICE, 1_000_000, None, 0) == pytest.approx(0.28)


def test_more_cached_tokens_than_prompt_tokens_do_not_make_money() -> None:
    assert cost_usd(PRICE, 1_000_000, 5_000_000, 0) == pytest.approx(0.028)


@pytest.mark.parametrize("tokens", [(None, 0, 5), (5, 0, None)])
def test_a_count_that_is_not_known_makes_the_cost_unknown(tokens: tuple[int | None, int, int | None]) -> None:
    assert cost_usd(PRICE, *tokens) is None


def test_an_unknown_price_makes_the_cost_unknown() -> None:
    assert cost_usd(None, 10, 0, 10) is None


def test_a_local_target_costs_nothing_by_the_token_even_if_nothing_was_counted() -> None:
    price = billing_price(target(is_local=True, price=None))
    assert cost_usd(price, 1000, 0, 1000) == 0.0
    assert cost_usd(price, None, None, None) == 0.0


def test_a_local_target_with_a_price_is_billed_at_it() -> None:
    assert billing_price(target(is_local=True, price=PRICE)) is PRICE


def test_a_price_of_zero_elsewhere_means_unknown() -> None:
    free = Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0)
    half = Price(input_usd_per_mtok=0.5, output_usd_per_mtok=0.0)
    assert billing_price(target(is_local=False, price=free)) is None
    assert billing_price(target(is_local=False, price=half)) is None
    assert billing_price(target(is_local=False, price=None)) is None
    assert billing_price(target(is_local=False, price=PRICE)) is PRICE


def test_embeddings_have_no_output_to_price() -> None:
    price = Price(input_usd_per_mtok=0.02, output_usd_per_mtok=0.0)
    spec = target(is_local=False, price=price, surfaces=(Surface.EMBEDDINGS,))
    assert billing_price(spec) is price
    assert cost_usd(price, 1_000_000, None, None) == pytest.approx(0.02)


def test_a_zero_price_for_cached_input_is_no_discount() -> None:
    price = Price(input_usd_per_mtok=0.5, output_usd_per_mtok=1.0, cached_input_usd_per_mtok=0.0)
    known = billing_price(target(is_local=False, price=price))
    assert cost_usd(known, 1_000_000, 1_000_000, 0) == pytest.approx(0.5)
