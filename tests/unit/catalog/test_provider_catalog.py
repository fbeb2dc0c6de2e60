"""The shipped catalogue of providers: sound, sourced, and honest about what is unknown."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from overspill.catalog.load import Catalog, load, parse, shipped
from overspill.catalog.rows import TokenPrice
from overspill.core.types import Price, Surface
from overspill.errors import ConfigError

SOURCED = "as_of: 2026-11-23, source: s"
_HEAD = f"schema: 2\nmodels: [{{name: m, {SOURCED}}}]\nproviders:\n"
_TARIFF = f"tariffs: [{{name: t, since: 2026-08-23, {SOURCED}, "
_CALENDAR = f"schema: 2\ncalendars: [{{name: c, year: 2026, {SOURCED}, "
_ROW = f"  - {{name: a, title: A, base_url: 'https://a', {SOURCED}, confidence: seen"


def read(text: str) -> Catalog:
    return Catalog(parse(text, "f.yaml"), "f.yaml")


def test_every_row_is_dated_and_names_its_source() -> None:
    rows = shipped()
    for row in (*rows.models, *rows.providers, *rows.tariffs, *rows.calendars, *rows.currencies):
        assert row.as_of >= dt.date(2026, 11, 23), row
        assert len(row.source) > 5, row
    assert load().as_of == max(provider.as_of for provider in rows.providers)


def test_base_urls_are_whole_and_encrypted() -> None:
    for provider in load().providers:
        for url in (provider.base_url, *provider.other_urls.values()):
            assert re.fullmatch(r"https://[^/ ]+(/[^ ]*[^/ ])?", url), url
        assert provider.models_path is None or provider.models_path.startswith("/")


def test_the_hosts_that_deepseeks_users_know_are_there() -> None:
    names = {provider.name for provider in load().providers}
    assert names >= {
        *("deepseek", "siliconflow", "siliconflow_intl", "volcengine_ark", "aliyun_bailian", "tencent_tokenhub"),
        *("baidu_qianfan", "huawei_maas", "azure_foundry", "aws_bedrock", "google_vertex", "openrouter", "together"),
        *("fireworks", "nvidia", "huggingface", "groq", "deepinfra", "novita", "ollama_cloud", "openai"),
    }


def test_deepseek_has_a_price_for_peak_hours_and_one_for_the_others() -> None:
    deepseek = load().provider("deepseek")
    assert deepseek is not None
    flash = deepseek.offer("deepseek-flash")
    assert flash is not None
    assert flash.known_price is not None
    assert flash.known_price.input_usd_per_mtok == 0.30
    tariff = load().tariff("deepseek", "deepseek-flash")
    assert tariff is not None
    assert tariff.off_peak == Price(input_usd_per_mtok=0.15, output_usd_per_mtok=0.60, cached_input_usd_per_mtok=0.003)
    assert load().tariff("openai", "gpt-5") is None
    assert load().tariff("nobody", "x") is None


def test_prices_are_by_the_million_tokens_and_in_their_order() -> None:
    asked: dict[str, list[float]] = {}
    for provider in load().providers:
        for offered in provider.models:
            price = offered.known_price
            if price is None:
                continue
            miss, out = price.input_usd_per_mtok, price.output_usd_per_mtok
            hit = price.cached_input_usd_per_mtok or miss
            assert 0.02 <= miss <= 20, (provider.name, offered.id)
            assert 0.01 * miss <= hit <= miss <= out <= 10 * miss, (provider.name, offered.id)
            asked.setdefault(offered.model, []).append(miss)
    assert len([prices for prices in asked.values() if len(prices) > 1]) >= 5
    for model, prices in asked.items():
        assert max(prices) <= 10 * min(prices), model  # one host's price by the thousand would be further off


def test_no_price_off_peak_is_above_that_of_peak_hours() -> None:
    for provider in load().providers:
        for offer in provider.models:
            if offer.off_peak is not None:
                assert offer.price.out is not None
                assert offer.off_peak.out is not None
                assert offer.price.out > offer.off_peak.out


def test_the_holidays_of_2026_are_those_of_the_notice() -> None:
    """The General Office of the State Council, 2025-11-04: 33 days, of which 19 are no weekend."""
    (calendar,) = [row for row in load().calendars if row.year == 2026]
    days = [
        holiday.first + dt.timedelta(days=n)
        for holiday in calendar.holidays
        for n in range((holiday.last - holiday.first).days + 1)
    ]
    assert len(days) == len(set(days)) == 33
    assert all(day.year == 2026 for day in days)
    assert sum(day.weekday() < 5 for day in days) == 19


def test_retired_names_share_the_limits_of_the_model_that_answers_them() -> None:
    deepseek = load().provider("deepseek")
    assert deepseek is not None
    assert deepseek.offer("deepseek-chat") is deepseek.offer("deepseek-flash")
    assert deepseek.offer("nothing") is None
    flash = load().model("deepseek-flash")
    assert flash is not None
    assert flash.retired == {"deepseek-chat": False, "deepseek-reasoner": True}


def test_every_version_of_an_unversioned_name_is_hosted_by_somebody() -> None:
    catalog = load()
    hosted = {offer.model for provider in catalog.providers for offer in provider.models}
    for model in catalog.models:
        if model.versions:
            assert hosted & set(model.versions), model.name
            assert {(catalog.model(name) or model).family for name in model.versions} == {model.family}


@pytest.mark.parametrize(
    "price", [TokenPrice(), TokenPrice(miss=0, out=0), TokenPrice(miss=1.0), TokenPrice(miss=1.0, out=0.0)]
)
def test_a_price_of_zero_or_none_is_unknown_never_free(price: TokenPrice) -> None:
    assert price.known() is None


def test_an_unlisted_cache_price_is_unknown() -> None:
    price = TokenPrice(miss=1.0, out=2.0, hit=0.0).known()
    assert price is not None
    assert price.cached_input_usd_per_mtok is None


def test_a_price_in_another_currency_is_reckoned_in_dollars() -> None:
    peak, off_peak = "{miss: 2, out: 8, hit: 0.04, currency: CNY}", "{miss: 1, out: 4, currency: CNY}"
    offer = f"{{id: x, model: m, price: {peak}, off_peak: {off_peak}}}"
    rest = f"{_TARIFF}utc_offset: '+08:00', peak: [mon 09:00-12:00]}}]\n"
    rest += f"currencies: [{{code: CNY, usd: 0.15, {SOURCED}}}]\n"
    catalog = read(f"{_HEAD}{_ROW}, tariff: t, models: [{offer}]}}\n{rest}")
    price = catalog.providers[0].models[0].known_price
    assert price is not None
    assert price.input_usd_per_mtok == pytest.approx(0.30)
    assert price.cached_input_usd_per_mtok == pytest.approx(0.006)
    tariff = catalog.tariff("a", "x")
    assert tariff is not None
    assert tariff.off_peak.output_usd_per_mtok == pytest.approx(0.6)
    assert tariff.off_peak.cached_input_usd_per_mtok is None


def test_a_provider_is_used_unasked_only_if_it_was_seen_and_its_key_means_it() -> None:
    catalog = load()
    used = {provider.name for provider in catalog.providers if provider.is_used_unasked}
    assert {"deepseek", "siliconflow", "openrouter", "openai"} <= used
    assert not used & {"huggingface", "ollama_cloud"}  # people keep these keys for something else
    assert "groq" not in used  # from recall
    assert "tencent_tokenhub" not in used  # no customary variable
    assert not used & {"azure_foundry", "aws_bedrock", "google_vertex"}  # their addresses are to be filled
    names = [provider.key_env for provider in catalog.providers if provider.is_used_unasked]
    assert len(names) == len(set(names))


def test_a_provider_serves_chat_unless_more_was_seen() -> None:
    catalog = read(f"{_HEAD}{_ROW}}}\n")
    assert catalog.providers[0].surfaces == (Surface.CHAT,)
    assert catalog.providers[0].is_adaptive is False
    assert catalog.model("m") is not None
    assert catalog.model("x") is None
    assert catalog.provider("x") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yaml: it is no YAML"),
        (f"{_HEAD}{_ROW}, prize: 3}}\n", "providers: a: Object contains unknown field `prize`"),
        (f"{_HEAD}{_ROW}, models: [{{id: 3, model: m}}]}}\n", r"providers: a: .*got `int` \(at models\[0\].id\)"),
        ("schema: 2\nmodels: [{name: m}]\n", "models: m: Object missing required field `as_of`"),
        ("schema: 1\n", "cannot be read: Invalid enum value 1"),
        ("schema: 2\nproviders: 3\n", "cannot be read: Expected `array`"),
        (f"{_HEAD}{_ROW}}}\n{_ROW}}}\n", "'a' is listed twice"),
        (f"{_HEAD}{_ROW}, models: [{{id: x, model: y}}]}}\n", "offers 'x' as 'y', which is not listed"),
        (f"{_HEAD}{_ROW}, models: [{{id: x, model: m}}, {{id: x, model: m}}]}}\n", "lists the model 'x' twice"),
        (f"{_HEAD}{_ROW}, tariff: t}}\n", "has the tariff 't', which is not listed"),
        (f"{_HEAD}{_ROW}, models: [{{id: x, model: m, off_peak: {{miss: 1}}}}]}}\n", "off-peak price .* but no tariff"),
        (
            f"{_HEAD}{_ROW}, models: [{{id: x, model: m, price: {{currency: EUR}}}}]}}\n",
            "is in EUR, which is not listed",
        ),
        (f"{_HEAD}{_ROW.replace('name: a', 'name: a/b')}}}\n", "'a/b' has a name that cannot be that of a pool"),
        (f"schema: 2\nmodels: [{{name: m, versions: [n], {SOURCED}}}]\nproviders: []\n", "version 'n'"),
        (f"schema: 2\n{_TARIFF}utc_offset: '+8', peak: []}}]\n", "tariff 't': utc_offset '\\+8' is none"),
        (f"schema: 2\n{_TARIFF}utc_offset: '+08:00', peak: [daily]}}]\n", "peak 'daily' is no span of time"),
        (f"schema: 2\n{_TARIFF}utc_offset: '+08:00', peak: [mon 12:00-09:00]}}]\n", "must end after it begins"),
        (f"schema: 2\n{_TARIFF}utc_offset: '+08:00', peak: [sat-mon 09:00-12:00]}}]\n", "over the end of a week"),
        (f"schema: 2\n{_TARIFF}utc_offset: '+08:00', peak: [], calendar: x}}]\n", "follows the calendar 'x'"),
        (
            f"{_CALENDAR}holidays: [{{name: h, first: 2026-05-02, last: 2026-05-01}}]}}]\n",
            "2026: h ends before it begins",
        ),
    ],
)
def test_a_catalogue_that_is_malformed_or_contradicts_itself_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text)


def test_spans_of_time_that_touch_are_one() -> None:
    spans = "peak: [mon 09:00-12:00, mon 12:00-13:00, mon 10:00-11:00, sun 23:00-24:00]"
    rows = parse(f"schema: 2\n{_TARIFF}utc_offset: '-05:30', {spans}}}]\n", "f")
    catalog = Catalog(rows, "f")
    assert catalog.as_of == dt.date.min
    (compiled,) = catalog._tariffs.values()
    assert compiled.peak_s == ((9 * 3600, 13 * 3600), (6 * 86_400 + 23 * 3600, 7 * 86_400))
    assert compiled.utc_offset_s == -(5 * 3600 + 30 * 60)
