"""``overspill plan report``: the verdict with all that stands behind it, as a page, as JSON and as a summary."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from overspill import __version__
from overspill.cli.numbers import Finite
from overspill.cli.plan.asking import Asked, ask, case_options
from overspill.cli.plan.showing import (
    case_values,
    compared,
    comparison_values,
    console_for,
    decided,
    options_table,
    print_case,
    print_json,
    tornado_table,
    verdict_values,
)
from overspill.cli.plan.trusting import trust_lines
from overspill.cli.plan.watching import bar
from overspill.errors import ConfigError
from overspill.planner.options import OPTIMUM
from overspill.planner.remarks import LANGUAGES, Language
from overspill.planner.report.contents import Report, contents
from overspill.planner.report.inputs import Given
from overspill.planner.report.page import page
from overspill.planner.report.script import plotly_script
from overspill.planner.report.simulation import SimulatedDay, read_simulation
from overspill.planner.report.words import NOT_MODELLED, colon, left_out, say
from overspill.planner.verdict_words import in_words
from overspill.planner.workloads.served import Served, read_served
from overspill.planner.workloads.source import Source
from overspill.units import format_duration

_SCHEMA = 1
_OPTION_OF = {"node_usd": "capex", "staff": "staff", "cost_of_capital": "cost_of_capital", "machines": "machines"}
"""Input → the option that is put over the catalogue's figure."""


@click.command()
@case_options
@click.option("--hurdle", default=0.10, type=Finite(0, 0.9), help="What committing must save, as a share.  [0.1]")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", help="Language of page and summary.  [en]")
@click.option(
    "--simulated",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also show spill as this answer of plan simulate --json has it.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the page into this file.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON, with sources, not a summary.")
def report(hurdle: float, lang: Language, out: Path | None, as_json: bool, **given: Any) -> None:
    """Report a verdict with its plots, its tables, and where every figure is from.

    --out writes one HTML file that needs no network and prints well; it needs the extra `report`. Without it, the
    summary says the same in short.
    """
    script = "" if out is None else plotly_script()
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"there is no folder {out.parent} to write the report into", file=str(out))
    progress = console_for(stderr=True)
    asked = ask(progress, **given)
    found = _made(asked, hurdle, given, progress)
    if out is not None:
        _write(out, page(found, lang, script))
    if as_json:
        print_json(_values(asked, found))
        return
    _summarise(asked, found, lang)
    if out is not None:
        console_for().print(f"[bold]{escape(str(out))}[/bold] ({out.stat().st_size / 1e6:.1f} MB)")


def _made(asked: Asked, hurdle: float, given: dict[str, Any], console: Console) -> Report:
    found = compared(asked, console)
    said = decided(asked, found, hurdle, console)
    with bar(console, "drawing up"):
        simulated = _simulated(asked, given["simulated"])
        shown = contents(asked.case, found, said, _given(asked, hurdle, given), _served(asked, given), simulated)
    return Report(
        made_on=datetime.now(UTC).date().isoformat(),
        version=__version__,
        workload=asked.workload.name,
        format=asked.workload.format,
        assumptions=asked.workload.assumptions,
        left_out=left_out(asked.workload.dropped, asked.case.demand),
        case=asked.case,
        comparison=found,
        verdict=said,
        contents=shown,
    )


def _given(asked: Asked, hurdle: float, given: dict[str, Any]) -> Given:
    options = {
        name: f"--{option.replace('_', '-')}"
        for name, option in _OPTION_OF.items()
        if given[option] is not None and (option != "machines" or asked.sized is None)
    }
    options |= {f"rent_reserved_{text.partition('=')[0].strip()}": f"--reserved {text}" for text in given["reserved"]}
    if asked.sized is not None:
        options["machines"] = asked.case.capacity.source
    options["machines_rented"] = options["machines"]
    return Given(
        workload=asked.workload.name,
        window_s=asked.case.demand.window_s,
        load_factor=given["load"],
        hurdle_share=hurdle,
        capacity=asked.case.capacity,
        finance=asked.prices.finance,
        purchase=asked.purchase,
        rental=asked.rental,
        offer=asked.offer,
        predicted=None if asked.sized is None else asked.sized.predicted,
        options=options,
    )


def _simulated(asked: Asked, path: Path | None) -> SimulatedDay | None:
    if path is None:
        return None
    offset = 0 if asked.offer is None else asked.offer.utc_offset_s
    return read_simulation(path, asked.workload.starts_at_unix_s, offset)


def _served(asked: Asked, given: dict[str, Any]) -> Iterator[Served]:
    if asked.workload.format != "ledger":
        return iter(())
    return read_served(Source(Path(given["workload"])), given["model"])


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the report cannot be written: {error.strerror}", file=str(out)) from error


def _values(asked: Asked, found: Report) -> dict[str, Any]:
    return {
        "schema": _SCHEMA,
        "made_on": found.made_on,
        "version": found.version,
        "verdict": verdict_values(found.verdict),
        **case_values(asked),
        **comparison_values(found.comparison),
        **msgspec.to_builtins(found.contents),
        "not_modelled": NOT_MODELLED,
    }


def _summarise(asked: Asked, found: Report, language: Language) -> None:
    console = console_for()
    first, *others = in_words(found.verdict, language)
    console.print(f"[bold]{escape(first)}[/bold]")
    for paragraph in others:
        console.print(paragraph, markup=False)
    console.print()
    print_case(asked, console, language)
    console.print(options_table(found.comparison, language))
    console.print(tornado_table(asked, found.verdict, language))
    best = found.comparison.option(OPTIMUM)
    assert best is not None  # it always is among the options
    for line in trust_lines(found.comparison, best, language):
        console.print(line)
    for line in _latency_lines(found, language):
        console.print(line)
    dated = sorted({row.as_of for row in found.contents.inputs if row.as_of is not None})
    span = f", {dated[0]} – {dated[-1]}" if dated else ""
    count = f"{len(found.contents.inputs)}{span}"
    console.print(f"{say('inputs_title', language)}{colon(language)}--out, --json ({count})")


def _latency_lines(found: Report, language: Language) -> Iterator[str]:
    latencies = found.contents.latencies
    for row in latencies.recorded:
        where = say("local" if row.where == "local" else "spilled_where", language)
        at = ", ".join(f"p{percent:g} {format_duration(row.at(percent))}" for percent in (50.0, 90.0, 99.0))
        yield f"{say(row.measure, language)}, {where}{colon(language)}{at} ({row.requests:,})"
    if latencies.predicted is not None:
        for measure, interval in (("ttft", latencies.predicted.ttft), ("tpot", latencies.predicted.tpot)):
            low, high = format_duration(interval.low_s), format_duration(interval.high_s)
            expected = format_duration(interval.expected_s)
            yield f"{say(measure, language)}{colon(language)}{expected} ({low} – {high})"
