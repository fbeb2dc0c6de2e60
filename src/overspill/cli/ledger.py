"""``overspill ledger``: what was served, from the ledger's file; works while a gateway writes it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from overspill.errors import LedgerError
from overspill.gateway.places import state_dir
from overspill.ledger.export import Format, export
from overspill.ledger.store import LedgerStore
from overspill.ledger.summary import LedgerSummary, Quantiles
from overspill.ledger.summary import summary as summarise
from overspill.units import format_duration, format_usd


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:  # noqa: ARG001 - click's
    """Read a date or time in ISO 8601 as Unix seconds; without a zone it is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; write 2026-11-23 or 2026-11-23T18:00:00+01:00") from None


_PATH = click.option("--path", type=click.Path(dir_okay=False), help="The ledger's file; `serve`'s if left out.")
_SINCE = click.option(
    "--since", callback=_moment, help="Only from this time on: 2026-11-23, or 2026-11-23T18:00:00+01:00."
)
_UNTIL = click.option("--until", callback=_moment, help="Only before this time.")


@click.group()
def ledger() -> None:
    """Summarise and export what was served."""


@ledger.command()
@_PATH
@_SINCE
@_UNTIL
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of tables.")
def summary(path: str | None, since: float | None, until: float | None, as_json: bool) -> None:
    """Print how many requests were answered, where, how fast and for how much."""
    store = _open(path)
    try:
        found = summarise(store, since, until)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    _print(found)


@ledger.command("export")
@click.argument("destination", type=click.Path(dir_okay=False))
@click.option("--table", default="requests", type=click.Choice(["requests", "attempts", "bodies"]), help="Which rows.")
@click.option(
    "--format", "form", type=click.Choice([f.value for f in Format]), help="By the file's ending if left out."
)
@_PATH
@_SINCE
@_UNTIL
def export_command(
    destination: str, table: str, form: str | None, path: str | None, since: float | None, until: float | None
) -> None:
    """Write rows to DESTINATION as CSV, JSONL or Parquet; the file appears only when it is whole."""
    file_format = _format(destination, form)
    store = _open(path)
    try:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            progress.add_task(f"writing {table} to {destination}", total=None)
            rows = export(store, table, Path(destination), file_format, since=since, until=until)
    finally:
        store.close()
    click.echo(f"{rows} rows of {table} written to {destination}")


def _open(path: str | None) -> LedgerStore:
    place = state_dir(os.environ) / "ledger.db" if path is None else Path(path)
    if not place.exists():
        raise LedgerError(f"there is no ledger at {place}; name one with --path, or serve something first")
    return LedgerStore.open(place, read_only=True)


def _format(destination: str, form: str | None) -> Format:
    name = form or Path(destination).suffix.removeprefix(".").lower()
    if name not in {f.value for f in Format}:
        raise click.UsageError(f"{destination!r} does not say its format; add --format csv, jsonl or parquet")
    return Format(name)


def _print(found: LedgerSummary) -> None:
    console = Console()
    outcomes = ", ".join(f"{count} {name}" for name, count in found.by_outcome.items())
    spills = ", ".join(f"{count} {name}" for name, count in found.by_spill.items()) or "none"
    console.print(f"{found.requests} requests: {outcomes or 'none'}")
    console.print(f"spilled: {spills}")
    console.print(f"TTFT at home {_pair(found.ttft_local)}, spilled {_pair(found.ttft_spilled)} (p50 / p99)")
    unpriced = f", and {found.unpriced_attempts} attempts of unknown price" if found.unpriced_attempts else ""
    console.print(
        f"{found.prompt_tokens} prompt and {found.output_tokens} output tokens, {format_usd(found.cost_usd)}{unpriced}"
    )
    table = Table(title="Targets", title_justify="left")
    for column in ("target", "attempts", "finished", "prompt tokens", "output tokens", "cost"):
        table.add_column(column, justify="left" if column == "target" else "right")
    for t in found.targets:
        table.add_row(
            t.target_id, str(t.attempts), str(t.finished), str(t.prompt_tokens), str(t.output_tokens),
            format_usd(t.cost_usd),
        )  # fmt: skip
    console.print(table)


def _pair(found: Quantiles) -> str:
    if found.p50_s is None or found.p99_s is None:
        return "-"
    return f"{format_duration(found.p50_s)} / {format_duration(found.p99_s)}"
