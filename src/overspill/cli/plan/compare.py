"""``overspill plan compare``: two configurations on the same requests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from overspill.cli.plan.playing import (
    DRAWN,
    Watching,
    policy_at,
    requests_of,
    scenario_at,
    starts_at,
    trace_options,
    workload_of,
)
from overspill.cli.plan.showing import console_for, print_json
from overspill.errors import ConfigError
from overspill.planner.pairs import FEWEST_BLOCKS, Blocks, Difference, sentence
from overspill.planner.recorded import measure
from overspill.planner.scenario import Scenario

_FILE = click.Path(exists=True, dir_okay=False)
_SHARES = ("slo_met", "spilled", "refused")


@click.command("compare")
@click.argument("first", type=_FILE)
@click.argument("second", type=_FILE)
@trace_options
@click.option("--seeds", default=1, type=click.IntRange(1, 100), help="Draw so many traces, if it is drawn.  [1]")
@click.option("--observed", type=_FILE, metavar="LEDGER", help="Targets as fast as this ledger saw them.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of a table.")
def compare(first: str, second: str, seeds: int, as_json: bool, **given: Any) -> None:
    """Play the same requests against two configurations and say which is better, or that it cannot be told.

    Each figure comes with the interval in which its difference lies in 95 of 100 such traces, by a bootstrap over
    blocks of arrivals that are the same for both.
    """
    worlds = _scenario(first, given), _scenario(second, given)
    names = (first, second) if worlds[0].name == worlds[1].name else (worlds[0].name, worlds[1].name)
    blocks = Blocks(
        (worlds[0].promise, worlds[1].promise), (worlds[0].units_usd_per_hour, worlds[1].units_usd_per_hour)
    )
    counts = []
    with Watching(console_for(stderr=True)) as watching:
        for run in range(seeds):
            workload = workload_of(given, given["seed"] + run)
            if seeds > 1 and workload.format not in DRAWN:
                raise click.UsageError(f"--seeds is for drawn requests, and {workload.name} is a log")
            begins = starts_at(workload, given)
            for which, world in enumerate(worlds):
                told = watching.of(f"{names[which]}, trace {run + 1} of {seeds}")
                requests = requests_of(workload, given, told)
                counts.append(world.play(requests, blocks.seen(which, run), starts_at_unix_s=begins))
    if not min(counts):
        raise ConfigError(f"nothing of the trace {given['trace']} is left to compare on; raise --length")
    count = sum(counts) // len(worlds)
    found, pieces = blocks.differences(given["seed"])
    said = _said(found, pieces, names)
    if as_json:
        print_json(
            {
                "first": names[0],
                "second": names[1],
                "model": worlds[0].model,
                "traces": seeds,
                "requests": count,
                "blocks": pieces,
                "unpriced": blocks.unpriced,
                "figures": [
                    {**msgspec.to_builtins(one), "difference": one.difference, "is_told": one.is_told} for one in found
                ],
                "verdict": said,
            }
        )
        return
    console = console_for()
    console.print(_table(found, names))
    if blocks.unpriced:
        console.print("  the cost is not compared: the price of a target that was used is unknown", style="dim")
    console.print(said, markup=False)


def _scenario(path: str, given: dict[str, Any]) -> Scenario:
    policy = policy_at(path)
    measured = [] if given["observed"] is None else measure(Path(given["observed"]), policy.targets)
    return scenario_at(path, given, policy, {one.target_id: one.model for one in measured})


def _said(found: list[Difference], pieces: int, names: tuple[str, str]) -> str:
    if pieces < FEWEST_BLOCKS:
        return (
            f"It cannot be told which is better: the trace has {pieces} blocks of arrivals and {FEWEST_BLOCKS} are "
            "needed; take a longer trace, or more --seeds of a drawn one."
        )
    return sentence(found, names)


def _table(found: list[Difference], names: tuple[str, str]) -> Table:
    table = Table(title=f"{names[1]} less {names[0]}, on the same requests", title_justify="left")
    for column in ("figure", *names, "difference", "95 of 100 lie between"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for one in found:
        is_share = one.name in _SHARES
        first, second = (f"{value:.1%}" if is_share else f"{value:,.4g}" for value in (one.first, one.second))
        table.add_row(
            one.name,
            first,
            second,
            _signed(one.difference, is_share),
            "-" if math.isinf(one.low) else f"{_signed(one.low, is_share)} … {_signed(one.high, is_share)}",
            style="bold" if one.is_told else None,
        )
    return table


def _signed(value: float, is_share: bool) -> str:
    return f"{value * 100:+.2f} points" if is_share else f"{value:+,.4g}"
