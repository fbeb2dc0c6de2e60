"""A case's figures as tables for people and as plain values for programs."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.cli.plan.asking import Asked
from overspill.cli.plan.watching import bar
from overspill.planner.options import OPTIMUM, Comparison, compare
from overspill.planner.remarks import LANGUAGES, Language, Remark, in_language, length_zh
from overspill.planner.report.curves import swung
from overspill.planner.report.words import colon, left_out, lever_name, option_name, say
from overspill.planner.tco import HOURS_A_YEAR, OwnedCost
from overspill.planner.verdict import Verdict, decide
from overspill.planner.verdict_words import in_words, tier_name
from overspill.units import format_duration

_WIDTH = 120
"""Of a table that goes into a file or a pipe."""


def console_for(*, stderr: bool = False) -> Console:
    """Return a console that is wide enough where nobody watches."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    return console


def print_json(values: dict[str, Any]) -> None:
    """Print values as JSON; what is infinite becomes null."""
    click.echo(msgspec.json.encode(values, enc_hook=_plain).decode())


def _plain(value: Any) -> str:
    if isinstance(value, Remark):
        return str(value)
    raise NotImplementedError(f"{type(value)} has no place in JSON")


def compared(asked: Asked, console: Console) -> Comparison:
    """Reckon all options, and show how far that is."""
    with bar(console, "comparing options") as progress:
        return compare(asked.case, progress=progress)


def decided(asked: Asked, found: Comparison, hurdle: float, console: Console) -> Verdict:
    """Decide, and show that it takes a while."""
    with bar(console, "looking for what would turn the verdict") as progress:
        return decide(asked.case, found, hurdle_share=hurdle, assumed=asked.is_drawn, progress=progress)


def case_values(asked: Asked) -> dict[str, Any]:
    """Return what a case was made from."""
    case, demand = asked.case, asked.case.demand
    return {
        "workload": {
            "name": asked.workload.name,
            "format": asked.workload.format,
            "hours": case.load.hours,
            "window_s": demand.window_s,
            "starts_at_unix_s": demand.starts_at_unix_s,
            "requests": sum(demand.requests),
            "prompt_tokens": sum(demand.prompt_tokens),
            "cached_tokens": sum(demand.cached_tokens),
            "output_tokens": sum(demand.output_tokens),
            "left_out": {reason.value: count for reason, count in asked.workload.dropped.items()},
            "left_out_at_the_ends": demand.left_out_requests,
        },
        "units": {
            "mean": case.load.unit_hours / case.load.hours,
            "peak": case.load.peak,
            "carries": msgspec.to_builtins(case.capacity),
            "are_divisible": case.market.is_divisible,
        },
        "tiers": {
            "committed": msgspec.to_builtins(case.market.committed),
            "flexible": [
                {"name": tier.name, "mean_usd_per_unit_hour": _mean(tier.usd_per_unit_hour)}
                for tier in case.market.flexible
            ],
        },
        "owned": None if case.owned is None else _owned_values(case.owned),
        "sources": list(case.sources),
        "assumptions": [*asked.workload.assumptions, *case.notes],
    }


def comparison_values(found: Comparison) -> dict[str, Any]:
    """Return all options and how far the plan can be trusted."""
    regret, drift, online = found.regret, found.drift, found.online
    return {
        "options": [msgspec.to_builtins(option) for option in found.options],
        "optimum": dict(found.best.units),
        "bound_usd_per_year": found.bound_usd_per_year,
        "regret_share": None if regret is None else regret.share,
        "learned_units": None if regret is None else dict(regret.learned.units),
        "drift": None if drift is None else {**msgspec.to_builtins(drift), "is_alarm": drift.is_alarm},
        "rented": None if found.rented is None else msgspec.to_builtins(found.rented),
        "online": None
        if online is None
        else {
            "deterministic_ratio": online.deterministic_ratio,
            "randomised_ratio": online.randomised_ratio,
            "layers_committed": online.layers_committed,
        },
    }


def verdict_values(said: Verdict) -> dict[str, Any]:
    """Return a verdict with its words in both languages."""
    words = {language: list(in_words(said, language)) for language in LANGUAGES}
    return {**msgspec.to_builtins(said), "saved_share": said.saved_share, "words": words}


def print_case(asked: Asked, console: Console, language: Language = "en") -> None:
    """Print what is asked for and what was assumed."""
    case, demand = asked.case, asked.case.demand
    name = f"[bold]{escape(asked.workload.name)}[/bold]"
    requests, length = f"{sum(demand.requests):,.0f}", format_duration(demand.length_s)
    mean, peak = f"{case.load.unit_hours / case.load.hours:.2f}", f"{case.load.peak:.2f}"
    if language == "zh":
        console.print(
            f"{name}（{asked.workload.format}）：{length_zh(demand.length_s)}内 {requests} 个请求、"
            f"{case.tokens:,.0f} token；"
            f"平均占用 {mean} 个单元，高峰 {peak} 个"
        )
    else:
        console.print(
            f"{name} ({asked.workload.format}): {requests} requests in {length}, {case.tokens:,.0f} tokens; {mean} "
            f"units busy on average, {peak} at the peak"
        )
    for reason, count in left_out(asked.workload.dropped, demand).items():
        said = f"未计入 {count:,.0f}：" if language == "zh" else f"left out {count:,.0f}: "
        console.print(f"  {said}{in_language(reason, language)}", style="dim")
    for assumed in (*asked.workload.assumptions, *case.notes):
        console.print(f"  {escape(in_language(assumed, language))}", style="dim")


def owned_table(owned: OwnedCost, language: Language = "en") -> Table:
    """Return a machine of one's own, term by term."""
    title = f"{say('owned_title', language)}{colon(language)}{owned.node.name}"
    table = Table(title=title, title_justify="left")
    for column in ("term", "usd_per_year", "how"):
        table.add_column(say(column, language), justify="right" if column == "usd_per_year" else "left")
    for line in owned.lines:
        name = say("site_rent" if line.name == "rent" else line.name, language)
        table.add_row(name, f"{line.usd_per_year:,.0f}", in_language(line.how, language))
    hourly = f"${owned.usd_per_year / HOURS_A_YEAR:,.2f}"
    said = f"按此利用率每小时 {hourly}" if language == "zh" else f"{hourly} an hour at this use"
    table.add_row(say("by_unit", language), f"{owned.usd_per_year:,.0f}", said, style="bold")
    if owned.shared_usd_per_year:
        table.add_row(say("staff", language), f"{owned.shared_usd_per_year:,.0f}", "")
    return table


def options_table(found: Comparison, language: Language = "en") -> Table:
    """Return every way to serve the workload, the cheapest first."""
    table = Table(title=say("options", language), title_justify="left")
    for column in ("option", "committed", "usd_per_year", "usd_per_mtok", "usd_per_mtok_output", "used", "spilled"):
        table.add_column(say(column, language), justify="left" if column in {"option", "committed"} else "right")
    for option in found.options:
        table.add_row(
            option_name(option.name, language),
            " + ".join(f"{count:g} × {tier_name(name, language)}" for name, count in option.units.items()) or "-",
            f"{option.usd_per_year:,.0f}",
            _money(option.usd_per_mtok),
            _money(option.usd_per_mtok_output),
            "-" if option.utilisation is None else f"{option.utilisation:.0%}",
            f"{option.spilled_share:.1%}",
            style="bold" if option.name == OPTIMUM else None,
        )
    return table


def tornado_table(asked: Asked, said: Verdict, language: Language = "en") -> Table:
    """Return what the best plan costs a year with each figure alone lower and higher, the widest first."""
    table = Table(title=say("sensitivity_title", language), title_justify="left")
    table.add_column(say("figure", language))
    swings = swung(asked.case, said)
    base = swings[0].base_usd_per_year
    for words in (f"× {swings[0].low_factor:g}", say("today", language), f"× {swings[0].high_factor:g}"):
        unit = say("usd_per_year", language)
        table.add_column(f"{words}（{unit}）" if language == "zh" else f"{words}, {unit}", justify="right")
    for swing in swings:
        amounts = (swing.low_usd_per_year, base, swing.high_usd_per_year)
        table.add_row(lever_name(swing.lever, language), *(f"{usd:,.0f}" for usd in amounts))
    return table


def _owned_values(owned: OwnedCost) -> dict[str, Any]:
    return {
        "usd_per_year": owned.usd_per_year,
        "shared_usd_per_year": owned.shared_usd_per_year,
        "fixed_usd_per_hour": owned.fixed_usd_per_hour,
        "busy_usd_per_hour": owned.busy_usd_per_hour,
        "lines": [{**msgspec.structs.asdict(line), "how": str(line.how)} for line in owned.lines],
    }


def _money(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:,.3f}"


def _mean(prices: float | tuple[float, ...]) -> float:
    return sum(prices) / len(prices) if isinstance(prices, tuple) else prices
