"""``overspill plan check-article``: an article's arithmetic, done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.catalog.gpus import load_gpus
from overspill.catalog.hardware_prices import load_hardware_prices
from overspill.cli.plan.showing import console_for, print_json
from overspill.planner.article.flags import Finding, Flag
from overspill.planner.article.memory import memory_flags
from overspill.planner.article.money import BreakEven, break_evens, capital_usd_per_year, money_flags
from overspill.planner.article.statements import Article, load_article
from overspill.planner.remarks import LANGUAGES, Language

_STYLES = {Finding.RIGHT: "green", Finding.WRONG: "red", Finding.MISSING: "yellow", Finding.DATED: "cyan"}
_WORDS = {
    "en": {Finding.RIGHT: "right", Finding.WRONG: "wrong", Finding.MISSING: "missing", Finding.DATED: "dated"},
    "zh": {Finding.RIGHT: "正确", Finding.WRONG: "错误", Finding.MISSING: "缺失", Finding.DATED: "过时"},
}
_UNITS_ZH = {
    "GiB": "GiB",
    "share of the original size": "（占原大小）",
    "$ a year": "$/年",
    "$ a year, all hours": "$/年（全年运行）",
    "$ an hour": "$/小时",
    "h a year": "小时/年",
    "days": "天",
    "share off": "（降幅）",
}
"""Units of the flags that have both figures."""


@click.command("check-article")
@click.option(
    "--text", "file", type=click.Path(exists=True, dir_okay=False), help="Another article's figures, as YAML."
)
@click.option("--prices", multiple=True, type=click.Path(exists=True, dir_okay=False), help="Rows over ours.")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", help="Language of the words.  [en]")
@click.option("--json", "as_json", is_flag=True, help="Print each statement as JSON, with sources.")
def check_article(file: str | None, prices: tuple[str, ...], lang: Language, as_json: bool) -> None:
    """Do an article's arithmetic again: what fits, what it costs a year, when owning breaks even.

    The article that comes with Overspill is one of 2025 on "DeepSeek is busy", whose ideas Overspill carries out. What
    it states is data, with its own words; all else is computed from rows of the catalogue.
    """
    article = load_article(None if file is None else Path(file))
    catalogue = load_hardware_prices([Path(name) for name in prices])
    flags = [*memory_flags(article, catalogue, load_gpus()), *money_flags(article, catalogue)]
    rows = break_evens(article)
    if as_json:
        print_json(_values(article, flags, rows))
        return
    console = console_for()
    console.print(f"[bold]{escape(article.title)}[/bold] ({article.date})")
    if article.local is not None:
        console.print(_formula(article, lang))
        console.print(_break_even_table(rows, lang))
    _print_flags(console, flags, lang)


def _values(article: Article, flags: list[Flag], rows: tuple[BreakEven, ...]) -> dict[str, Any]:
    counts = {finding.value: sum(flag.finding is finding for flag in flags) for finding in Finding}
    return {
        "title": article.title,
        "date": article.date.isoformat(),
        "tco_usd_per_year": None if article.local is None else capital_usd_per_year(article.local),
        "break_even": msgspec.to_builtins(rows),
        "counts": counts,
        "flags": [{**msgspec.to_builtins(flag), "ratio": flag.ratio} for flag in flags],
    }


def _formula(article: Article, lang: Language) -> str:
    local = article.local
    assert local is not None
    price, capital = f"${local.capex_usd:,.0f}", f"${capital_usd_per_year(local):,.0f}"
    stated, years = f"${local.usd_per_year:,.0f}", f"{local.years:g}"
    if lang == "zh":
        return f"TCO = {price} / {years} 年 + 0（电力）+ 0（人力）+ 0（云服务）= 每年 {capital}；文中为 {stated}"
    return (
        f"TCO = {price} / {years} years + 0 (electricity) + 0 (staff) + 0 (cloud) = {capital} a year, stated: {stated}"
    )


def _break_even_table(rows: tuple[BreakEven, ...], lang: Language) -> Table:
    words = {
        "en": ("Break-even by the article's own method", "instance", "$/h", "hours", "$ a year, all hours"),
        "zh": ("按文中方法计算的盈亏平衡点", "实例", "$/小时", "小时", "全年运行 $"),
    }
    title, *columns = words[lang]
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows:
        table.add_row(
            f"{row.platform} {row.name}",
            f"{row.usd_per_hour:.2f}",
            f"{row.hours:,.0f}",
            f"{row.usd_per_year_all_hours:,.0f}",
        )
    return table


def _print_flags(console: Console, flags: list[Flag], lang: Language) -> None:
    for flag in flags:
        word, style = _WORDS[lang][flag.finding], _STYLES[flag.finding]
        subject = f" {flag.subject}" if flag.subject else ""
        console.print(f"\n[{style}]{word}[/{style}] [bold]{flag.code}[/bold]{escape(subject)}")
        if flag.quote:
            console.print(f"  “{flag.quote}”", style="dim", markup=False)
        console.print(f"  {flag.en if lang == 'en' else flag.zh}", markup=False)
        if flag.expected is not None and flag.stated is not None and flag.ratio is not None:
            unit = flag.unit if lang == "en" else _UNITS_ZH.get(flag.unit, flag.unit)
            console.print(
                f"  {_figure(flag.expected)} / {_figure(flag.stated)} {unit} = {flag.ratio:.2f}",
                style="dim",
                markup=False,
            )
    counts = {finding: sum(flag.finding is finding for flag in flags) for finding in Finding}
    if lang == "zh":
        said = "、".join(f"{count} 处{_WORDS[lang][finding]}" for finding, count in counts.items())
        console.print(f"\n共 {len(flags)} 处陈述：{said}")
    else:
        said = ", ".join(f"{count} {_WORDS[lang][finding]}" for finding, count in counts.items())
        console.print(f"\n{len(flags)} statements: {said}")


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
