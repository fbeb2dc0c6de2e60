"""The shipped catalogue of providers: sound, sourced, and honest about what is unknown."""

from __future__ import annotations

import datetime as dt

import pytest

from overspill.catalog.load import TokenPrice, load, parse
from overspill.core.types import Surface
from overspill.errors import ConfigError

_HEAD = "schema: 1\nas_of: 2026-11-23\nmodels: [{name: m}]\nproviders:\n"
_ROW = "  - {name: a, title: A, base_url: 'https://a', source: s, confidence: seen"


def test_the_shipped_catalogue_is_dated_and_every_provider_names_its_source() -> None:
    catalog = load()
    assert catalog.as_of >= dt.date(2026, 11, 23)
    for provider in catalog.providers:
        assert provider.source
        assert provider.base_url.startswith("https://")
        assert provider.base_url == provider.base_url.rstrip("/")


def test_deepseek_is_reckoned_at_its_peak_price_and_the_other_is_kept() -> None:
    deepseek = load().provider("deepseek")
    assert deepseek is not None
    flash = deepseek.offer("deepseek-flash")
    assert flash is not None
    assert flash.known_price is not None
    assert flash.known_price.input_usd_per_mtok == 0.30
    assert flash.off_peak == TokenPrice(miss=0.15, out=0.60, hit=0.003)
    assert deepseek.schedule is not None
    assert deepseek.schedule.timezone == "Asia/Shanghai"
    for provider in load().providers:
        for offer in provider.models:
            if offer.off_peak is not None and offer.price.out is not None and offer.off_peak.out is not None:
                assert offer.price.out > offer.off_peak.out


def test_retired_names_share_the_limits_of_the_model_that_answers_them() -> None:
    deepseek = load().provider("deepseek")
    assert deepseek is not None
    assert deepseek.offer("deepseek-chat") is deepseek.offer("deepseek-flash")
    assert deepseek.offer("nothing") is None


def test_every_version_of_an_unversioned_name_is_hosted_by_somebody() -> None:
    catalog = load()
    hosted = {offer.model for provider in catalog.providers for offer in provider.models}
    for model in catalog.models:
        assert model.name in hosted or hosted & set(model.versions), model.name


@pytest.mark.parametrize(
    "price", [TokenPrice(), TokenPrice(miss=0, out=0), TokenPrice(miss=1.0), TokenPrice(miss=1.0, out=0.0)]
)
def test_a_price_of_zero_or_none_is_unknown_never_free(price: TokenPrice) -> None:
    assert price.known() is None


def test_an_unlisted_cache_price_is_unknown() -> None:
    price = TokenPrice(miss=1.0, out=2.0, hit=0.0).known()
    assert price is not None
    assert price.cached_input_usd_per_mtok is None


def test_a_provider_is_used_unasked_only_if_it_was_seen_and_its_key_means_it() -> None:
    catalog = load()
    used = {provider.name for provider in catalog.providers if provider.is_used_unasked}
    assert {"deepseek", "siliconflow", "openrouter", "openai"} <= used
    assert "huggingface" not in used  # its token is kept for downloads
    assert "groq" not in used  # from recall
    assert "tencent_tokenhub" not in used  # no customary variable
    names = [provider.key_env for provider in catalog.providers if provider.is_used_unasked]
    assert len(names) == len(set(names))


def test_a_provider_serves_chat_unless_more_was_seen() -> None:
    catalog = parse(f"{_HEAD}{_ROW}}}\n", "f")
    assert catalog.providers[0].surfaces == (Surface.CHAT,)
    assert catalog.model("m") is not None
    assert catalog.model("x") is None
    assert catalog.provider("x") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read"),
        (f"{_HEAD}{_ROW}, prize: 3}}\n", "unknown field `prize`"),
        (f"{_HEAD}{_ROW}}}\n{_ROW}}}\n", "'a' is listed twice"),
        (f"{_HEAD}{_ROW}, models: [{{id: x, model: y}}]}}\n", "offers 'x' as 'y', which is not listed"),
        ("schema: 1\nas_of: 2026-11-23\nmodels: [{name: m, versions: [n]}]\nproviders: []\n", "version 'n'"),
    ],
)
def test_a_catalogue_that_is_malformed_or_contradicts_itself_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, "providers.yaml")
