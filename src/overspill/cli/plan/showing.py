"""A case's figures as tables for people and as plain values for programs."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.cli.plan.asking import Asked
from overspill.planner.options import Comparison, Option
from overspill.planner.tco import HOURS_A_YEAR, OwnedCost
from overspill.planner.verdict import Verdict
from overspill.planner.verdict_words import LANGUAGES, in_words
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
    click.echo(msgspec.json.encode(values).decode())


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


def print_case(asked: Asked, console: Console) -> None:
    """Print what is asked for and what was assumed."""
    case, demand = asked.case, asked.case.demand
    mean = case.load.unit_hours / case.load.hours
    console.print(
        f"[bold]{escape(asked.workload.name)}[/bold] ({asked.workload.format}): {sum(demand.requests):,.0f} requests "
        f"in {format_duration(demand.length_s)}, {case.tokens:,.0f} tokens; {mean:.2f} units "
        f"busy on average, {case.load.peak:.2f} at the peak"
    )
    for reason, count in asked.workload.dropped.items():
        console.print(f"  left out: {count:,} {reason.value}", style="dim")
    for said in (*asked.workload.assumptions, *case.notes):
        console.print(f"  {escape(said)}", style="dim")


def owned_table(owned: OwnedCost) -> Table:
    """Return a machine of one's own, term by term."""
    table = Table(title=f"A unit of one's own: {owned.node.name}", title_justify="left")
    for column in ("term", "$ a year", "how"):
        table.add_column(column, justify="right" if column == "$ a year" else "left")
    for line in owned.lines:
        table.add_row(line.name, f"{line.usd_per_year:,.0f}", line.how)
    if owned.shared_usd_per_year:
        table.add_row("staff", f"{owned.shared_usd_per_year:,.0f}", "for all machines together")
    table.add_row("[bold]all[/bold]", f"[bold]{owned.usd_per_year:,.0f}[/bold]", _hourly(owned))
    return table


def options_table(found: Comparison) -> Table:
    """Return every way to serve the workload, the cheapest first."""
    table = Table(title="Every way to serve it", title_justify="left")
    for column in ("option", "committed", "$ a year", "$/M tokens", "$/M answer", "used", "spilled"):
        table.add_column(column, justify="left" if column in {"option", "committed"} else "right")
    for option in found.options:
        table.add_row(
            option.name.replace("_", " "),
            " + ".join(f"{count:g} {name}" for name, count in option.units.items()) or "-",
            f"{option.usd_per_year:,.0f}",
            _money(option.usd_per_mtok),
            _money(option.usd_per_mtok_output),
            "-" if option.utilisation is None else f"{option.utilisation:.0%}",
            f"{option.spilled_share:.1%}",
            style="bold" if option.name == "optimum" else None,
        )
    return table


def trust_lines(found: Comparison, best: Option) -> list[str]:
    """Return how far the best plan can be trusted, in words."""
    lines = [
        f"The optimum of whole units is {best.usd_per_year / found.bound_usd_per_year - 1:.1%} above the bound for "
        "units of any size."
        if found.bound_usd_per_year
        else "No cost at all."
    ]
    if found.regret is not None:
        lines.append(f"Learned on the first half of the log and paid on the second: regret {found.regret.share:.1%}.")
    if found.drift is not None:
        said = "has drifted: plan anew" if found.drift.is_alarm else "has not drifted"
        lines.append(
            f"Demand {said} (regret {found.drift.regret_share:.1%}; below {found.drift.threshold_share:.1%} in all but "
            f"{found.drift.false_alarm_share:.0%} of unchanged logs)."
        )
    if found.drift is None:
        lines.append("Whether demand drifts cannot be told from less than six days.")
    if found.rented is not None and found.rented.online_usd_per_year > 0:
        lines.append(
            f"Serving what goes beyond the committed units by starting and stopping machines on demand: "
            f"${found.rented.online_usd_per_year:,.0f} a year by the bill of tokens, {found.rented.starts:,} starts in "
            f"the log; ${found.rented.clairvoyant_usd_per_year:,.0f} by one who knew it, starts paid."
        )
    if found.online is not None:
        lines.append(
            f"Knowing nothing of the future, ski rental would have paid {found.online.deterministic_ratio:.2f} times "
            f"the best ({found.online.randomised_ratio:.2f} randomised)."
        )
    return lines


def _owned_values(owned: OwnedCost) -> dict[str, Any]:
    return {
        "usd_per_year": owned.usd_per_year,
        "shared_usd_per_year": owned.shared_usd_per_year,
        "fixed_usd_per_hour": owned.fixed_usd_per_hour,
        "busy_usd_per_hour": owned.busy_usd_per_hour,
        "lines": msgspec.to_builtins(owned.lines),
    }


def _hourly(owned: OwnedCost) -> str:
    return f"${owned.usd_per_year / HOURS_A_YEAR:,.2f} an hour at this use"


def _money(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:,.3f}"


def _mean(prices: float | tuple[float, ...]) -> float:
    return sum(prices) / len(prices) if isinstance(prices, tuple) else prices
