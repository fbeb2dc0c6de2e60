"""The article's arithmetic, and each of its slips with figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from overspill.catalog.gpus import load_gpus
from overspill.catalog.hardware_prices import load_hardware_prices
from overspill.errors import ConfigError
from overspill.planner.article.flags import Finding, Flag
from overspill.planner.article.memory import memory_flags
from overspill.planner.article.money import break_evens, money_flags
from overspill.planner.article.statements import load_article


def flags(file: Path | None = None) -> list[Flag]:
    article, prices = load_article(file), load_hardware_prices()
    return [*memory_flags(article, prices, load_gpus()), *money_flags(article, prices)]


def flag(code: str, subject: str = "") -> Flag:
    (found,) = [flag for flag in flags() if flag.code == code and subject in {"", flag.subject}]
    return found


@pytest.mark.parametrize(
    ("code", "subject", "finding", "expected", "stated"),
    [
        ("machine_memory", "8xA100-80GB", Finding.RIGHT, 325.96, 640),
        ("instance_memory", "aws/p4d.24xlarge", Finding.WRONG, 325.96, 320),
        ("instance_memory", "azure/ND96asr_v4", Finding.WRONG, 325.96, 320),
        ("instance_memory", "azure/ND96amsr_A100_v4", Finding.RIGHT, 325.96, 640),
        ("instance_memory", "tencent/GN10Xp.20XLARGE320", Finding.WRONG, 325.96, 256),
        ("instance_unnamed", "v100-32g", Finding.MISSING, 11, None),
        ("quantised_size", "FP8", Finding.WRONG, 0.5, 0.25),
        ("no_fp8_units", "A100-40GB, A100-80GB, V100-32GB", Finding.WRONG, 3, None),
        ("code_is_not_that_format", "fbgemm", Finding.WRONG, 8, None),
        ("formula_units", "electricity", Finding.WRONG, 7971.6, None),
        ("formula_term_missing", "residual value", Finding.MISSING, None, None),
        ("formula_term_missing", "cost of capital", Finding.MISSING, None, None),
        ("local_capital", "", Finding.RIGHT, 40_000, 40_000),
        ("cloud_bill", "p4d.24xlarge", Finding.WRONG, 287_065, 65_000),
        ("cloud_bill", "NDv4", Finding.WRONG, 267_706, 65_000),
        ("cloud_bill", "GN10Xp", Finding.WRONG, 249_047, 65_000),
        ("cloud_bill", "v100-32g", Finding.WRONG, 220_664, 65_000),
        ("cloud_rate_unknown", "", Finding.WRONG, 7.42, 25.19),
        ("reserved_has_no_break_even", "", Finding.WRONG, 40_000, 48_000),
        ("break_even_hours", "p4d.24xlarge", Finding.WRONG, 1_221, 2_800),
        ("break_even_hours", "NDv4", Finding.WRONG, 1_309, 2_800),
        ("break_even_hours", "GN10Xp", Finding.WRONG, 1_407, 2_800),
        ("break_even_hours", "v100-32g", Finding.WRONG, 1_588, 2_800),
        ("break_even_rate", "", Finding.WRONG, 14.29, 25.19),
        ("hours_and_days", "", Finding.WRONG, 116.67, 325),
        ("spot_discount", "aws/p4d.24xlarge", Finding.MISSING, 0.533, 0.70),
        ("spot_discount", "azure/ND96asr_v4", Finding.MISSING, 0.783, 0.70),
        ("rate_today", "aws/p4d.24xlarge", Finding.DATED, 21.96, 32.77),
        ("never_by_the_token", "BLOOM-176B", Finding.MISSING, 1.916, None),
    ],
)
def test_each_statement_is_checked_with_figures(
    code: str, subject: str, finding: Finding, expected: float | None, stated: float | None
) -> None:
    found = flag(code, subject)
    assert found.finding is finding
    assert found.expected == (None if expected is None else pytest.approx(expected, rel=0.001))
    assert found.stated == stated
    assert found.quote
    assert found.ratio == (None if expected is None or stated is None else pytest.approx(expected / stated, rel=0.001))


@pytest.mark.parametrize(
    ("code", "subject", "words"),
    [
        ("machine_memory", "", ("350 GB", "326 GiB", "24 sequences")),
        ("instance_memory", "aws/p4d.24xlarge", ("cannot load", "10 sequences")),
        ("instance_memory", "tencent/GN10Xp.20XLARGE320", ("256 GiB", "4 sequences")),
        ("quantised_size", "", ("4 bits", "32 bits")),
        ("formula_units", "", ("kWh", "$5,694", "$7,972")),
        ("capital_only", "", ("electricity $7,972",)),
        ("cloud_bill", "p4d.24xlarge", ("$287,065", "1,984 h")),
        ("reserved_has_no_break_even", "", ("26.2%", "$8,000")),
        ("break_even_hours", "p4d.24xlarge", ("$51,756",)),
        ("break_even_hours", "v100-32g", ("$30,532",)),
        ("break_even_rate", "", ("$14.29", "4,550 h", "$23.21")),
        ("hours_and_days", "", ("116.7 days", "7,800 h", "8.6 h")),
        ("spot_discount", "aws/p4d.24xlarge", ("$9.83", "36% to 70%")),
        ("spot_discount", "azure/ND96asr_v4", ("$9.17", "seen: 78% off $27.20")),
        ("never_by_the_token", "", ("$1.92", "$3.83", "$38.32")),
    ],
)
def test_both_languages_have_the_figures(code: str, subject: str, words: tuple[str, ...]) -> None:
    found = flag(code, subject)
    for word in words:
        assert word in found.en
    numbers = [word.removesuffix(" h").removesuffix(" days").removesuffix(" sequences") for word in words]
    for number in numbers:
        if number[0] in "$0123456789" and " to " not in number and not number.endswith("bits"):
            assert number.split(" ")[0] in found.zh
    assert any("一" <= character <= "鿿" for character in found.zh)


def test_what_follows_from_the_formula_is_the_articles_own_break_even() -> None:
    rows = {row.name: row for row in break_evens(load_article())}
    assert [round(row.hours) for row in rows.values()] == [1221, 1309, 1407, 1588]
    assert [round(row.fixed_usd_per_year_for_stated or 0) for row in rows.values()] == [51756, 45568, 39604, 30532]


def test_another_articles_figures_are_checked_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / "sound.yaml"
    path.write_text(
        "title: sound\ndate: 2026-01-01\n"
        "local: {capex_usd: 90000, years: 3, usd_per_year: 30000}\n"
        "cloud: {on_demand_usd_per_year: 175200, reserved_usd_per_year: 20000}\n"
        "rates: [{platform: x, name: y, usd_per_hour: 20}]\n"
        "break_even: {hours: 1500, days: 62.5}\n"
    )
    found = {(flag.code, flag.finding) for flag in flags(path)}
    assert found == {
        ("local_capital", Finding.RIGHT),
        ("cloud_bill", Finding.RIGHT),
        ("break_even_hours", Finding.RIGHT),
        ("hours_and_days", Finding.RIGHT),
        ("reserved_has_no_break_even", Finding.WRONG),
    }
    empty = tmp_path / "empty.yaml"
    empty.write_text("title: nothing\ndate: 2026-01-01\n")
    assert flags(empty) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title: x", "date"),
        ("title: x\ndate: 2026-01-01\nlocal: {capex_usd: 1, years: 0, usd_per_year: 1}", "local.years must be above 0"),
        ("title: x\ndate: 2026-01-01\nrates: [{platform: a, name: b, usd_per_hour: -1}]", "rates b must be above 0"),
        ("title: x\ndate: 2026-01-01\nbreakeven: 1", "breakeven"),
        ("[", "cannot be read"),
    ],
)
def test_statements_that_are_none_are_an_error(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "article.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        load_article(path)
