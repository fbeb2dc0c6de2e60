"""``overspill plan simulate``: a trace against a configuration, window by window; or beside what a ledger recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from overspill.cli.plan.asking import window_s
from overspill.cli.plan.playing import (
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
from overspill.planner.bills import unpriced
from overspill.planner.checking import Checked, check
from overspill.planner.figures import Figures, Spread
from overspill.planner.recorded import Measured, Recorded, measure, read_recorded
from overspill.planner.scenario import Scenario, told
from overspill.planner.tally import Tally
from overspill.units import format_duration

_FILE = click.Path(exists=True, dir_okay=False)


@click.command("simulate")
@click.option(
    "--config", "-c", "config_path", required=True, type=click.Path(exists=True, dir_okay=False), help="Plan."
)
@trace_options
@click.option("--window", default="1h", callback=window_s, help="Length of the windows that are shown.  [1h]")
@click.option("--observed", type=_FILE, metavar="LEDGER", help="Targets as fast as this ledger saw them.")
@click.option("--check", "checked", type=_FILE, metavar="LEDGER", help="Compare with what this ledger recorded.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of tables.")
def simulate(config_path: str, checked: str | None, as_json: bool, **given: Any) -> None:
    """Play a trace against a configuration: SLO attainment, spill, refusals, cost per hour, latencies over the day.

    The gateway's own controller decides. Targets are as fast as their `prior:` says, or as a ledger saw them
    (--observed). Tokens cost what their tariff says at the time of day; --per-hour adds machines that are owned or
    rented. With --check the ledger's requests are the trace, and recorded and simulated figures stand side by side.
    """
    if checked is not None:
        _check(config_path, Path(checked), as_json, given)
        return
    policy = policy_at(config_path)
    measured = [] if given["observed"] is None else measure(Path(given["observed"]), policy.targets)
    world = scenario_at(config_path, given, policy, {one.target_id: one.model for one in measured})
    workload = workload_of(given, given["seed"])
    begins = starts_at(workload, given)
    tally = world.tally(given["window"])
    begun = time.process_time()
    with Watching(console_for(stderr=True)) as watching:
        count = world.play(requests_of(workload, given, watching.of(workload.name)), tally.add, starts_at_unix_s=begins)
    if not count:
        raise ConfigError(f"nothing of the trace {workload.name} is left to simulate; raise --length")
    cpu_s = time.process_time() - begun
    notes = [*workload.assumptions, *_notes(world, measured)]
    if as_json:
        print_json({**_values(world, tally), "assumptions": notes, "speeds": _speeds(world, measured), "cpu_s": cpu_s})
        return
    console = console_for()
    _print(console, world, tally, notes)
    console.print(f"{count:,} requests simulated in {cpu_s:.2f} CPU-s")


def _check(config_path: str, ledger: Path, as_json: bool, given: Mapping[str, Any]) -> None:
    recorded = read_recorded(ledger, given["model"])
    policy = policy_at(config_path)
    measured = measure(ledger, policy.targets, tokens_per_asked=recorded.tokens_per_asked)
    models = {one.target_id: one.model for one in measured}
    world = scenario_at(config_path, {**given, "model": recorded.model}, policy, models)
    seen, tally = world.tally(given["window"]), world.tally(given["window"])
    for row, usd in zip(recorded.rows, recorded.usd, strict=True):
        seen.add(row, usd)
    with Watching(console_for(stderr=True)) as watching:
        world.play(
            told(recorded.trace(), watching.of(ledger.name)),
            tally.add,
            starts_at_unix_s=recorded.starts_at_unix_s,
            tells_lengths=recorded.tells_lengths,
        )
    found = check(seen.total(), tally.total())
    notes = [*_check_notes(recorded), *_notes(world, measured)]
    if as_json:
        print_json(
            {
                "recorded": _figures(seen.total()),
                "simulated": _figures(tally.total()),
                "check": [{**msgspec.to_builtins(one), "error": one.error} for one in found],
                "left_out": dict(recorded.left_out),
                "assumptions": notes,
                "speeds": _speeds(world, measured),
            }
        )
        return
    console = console_for()
    console.print(_check_table(found, len(recorded.rows)))
    for note in notes:
        console.print(f"  {note}", style="dim", markup=False)


def _values(world: Scenario, tally: Tally) -> dict[str, Any]:
    return {
        "config": world.name,
        "model": world.model,
        "slo": msgspec.to_builtins(world.promise),
        "total": _figures(tally.total()),
        "windows": [_figures(one) for one in tally.windows()],
    }


def _figures(found: Figures) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(found),
        "spilled_share": found.spilled_share,
        "refused_share": found.refused_share,
        "usd_per_hour": found.usd_per_hour,
    }


def _speeds(world: Scenario, measured: Sequence[Measured]) -> dict[str, Any]:
    fits = {one.target_id: one for one in measured}
    return {
        target_id: {
            "engine": msgspec.to_builtins(model.engine),
            "delay_s": model.delay_s,
            "source": "ledger" if target_id in fits and fits[target_id].fit is not None else "prior",
            "attempts": fits[target_id].attempts if target_id in fits else 0,
            "intervals_90": _intervals(fits.get(target_id)),
        }
        for target_id, model in world.models.items()
    }


def _intervals(measured: Measured | None) -> dict[str, tuple[float, float]]:
    return {} if measured is None or measured.fit is None else dict(measured.fit.intervals)


def _notes(world: Scenario, measured: Sequence[Measured]) -> list[str]:
    fitted = [one.target_id for one in measured if one.fit is not None]
    guessed = [spec.target_id for spec in world.policy.targets if spec.target_id not in fitted]
    notes = []
    if fitted:
        notes.append(f"as fast as the ledger saw them: {', '.join(fitted)}")
    if guessed:
        notes.append(f"as fast as their prior says: {', '.join(guessed)}")
    unknown = unpriced(world.policy.targets)
    if unknown:
        notes.append(f"the price of {', '.join(unknown)} is unknown and in no cost")
    return notes


def _check_notes(recorded: Recorded) -> list[str]:
    notes = [f"{count:,} requests are in neither: {why}" for why, count in recorded.left_out.items()]
    if recorded.unknown_lengths:
        notes.append(
            f"{recorded.unknown_lengths:,} requests got no answer; theirs are taken to be as long as the one before"
        )
    return notes


def _print(console: Console, world: Scenario, tally: Tally, notes: Sequence[str]) -> None:
    windows, total = tally.windows(), tally.total()
    table = Table(title=f"{world.name}, {world.model}, by window of arrival", title_justify="left")
    for column in (
        "from",
        "requests",
        "SLO met",
        "spilled",
        "refused",
        "$ an hour",
        "TTFT p50 / p99",
        "TPOT p50",
        "E2E p99",
    ):
        table.add_column(column, justify="right")
    for one in windows:
        table.add_row(format_duration(one.start_s), *_cells(one))
    table.add_section()
    table.add_row("all", *_cells(total), style="bold")
    console.print(table)
    for kind, counts in (("spilled", total.spilled), ("refused", total.refused)):
        for reason, count in counts.items():
            console.print(f"  {kind} {count:,}: {reason}", markup=False)
    if total.unpriced:
        console.print(f"  {total.unpriced:,} requests ran where the price is unknown; the cost is without them")
    for note in notes:
        console.print(f"  {note}", style="dim", markup=False)


def _cells(one: Figures) -> list[str]:
    return [
        f"{one.requests:,}",
        f"{one.slo_met:.1%}",
        f"{one.spilled_share:.1%}",
        f"{one.refused_share:.1%}",
        f"{one.usd_per_hour:,.2f}",
        "-" if one.ttft_s is None else f"{format_duration(one.ttft_s.p50)} / {format_duration(one.ttft_s.p99)}",
        _time(one.tpot_s, "p50"),
        _time(one.e2e_s, "p99"),
    ]


def _time(found: Spread | None, quantile: str) -> str:
    return "-" if found is None else format_duration(getattr(found, quantile))


def _check_table(found: Sequence[Checked], requests: int) -> Table:
    table = Table(title=f"Simulated beside recorded, {requests:,} requests", title_justify="left")
    for column in ("figure", "recorded", "simulated", "error"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for one in found:
        if one.kind == "share":
            cells = (f"{one.recorded:.1%}", f"{one.simulated:.1%}", f"{(one.error or 0.0) * 100:+.1f} points")
        else:
            cells = (f"{one.recorded:.3g}", f"{one.simulated:.3g}", "-" if one.error is None else f"{one.error:+.1%}")
        table.add_row(one.name, *cells)
    return table
