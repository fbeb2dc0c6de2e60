"""``overspill eval``: how many questions of the held-out test set a target answers right, and how fast."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from overspill.cli.evaluation.asking import Result, Target, ask_all
from overspill.cli.evaluation.report import Run, read_runs, summarise, table_of, write_runs
from overspill.cli.evaluation.test_set import Item, choose, read_items
from overspill.cli.numbers import Finite
from overspill.cli.setup import run
from overspill.config.addresses import parse_origin
from overspill.errors import ConfigError

_URL = "http://127.0.0.1:8788/v1"
_MODEL = "overspill-tiny"
EXIT_NOTHING_ANSWERED = 1


@click.command()
@click.option("--url", default=_URL, help=f"Base of an OpenAI-compatible API.  [{_URL}]")
@click.option("--model", "-m", "models", multiple=True, help=f"Whom to ask; may be repeated.  [{_MODEL}]")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds the API key.")
@click.option("--tasks", help="Only these, separated by commas.")
@click.option("--limit", type=click.IntRange(1), help="Ask so many questions, spread over tasks and languages.")
@click.option("--concurrency", default=8, type=click.IntRange(1, 1024), help="Questions at once.  [8]")
@click.option("--temperature", type=Finite(0, 2), help="Sent with each question; left to the target if left out.")
@click.option("--max-tokens", default=1024, type=click.IntRange(1), help="Longest answer.  [1024]")
@click.option("--timeout", default=120.0, type=Finite(0.1), help="Seconds for one answer.  [120]")
@click.option(
    "--compare", "compared", type=click.Path(dir_okay=False), multiple=True, help="Show a former outcome too."
)
@click.option("--out", type=click.Path(dir_okay=False), help="Write the outcome here, for --compare.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON instead of a table.")
def evaluate(
    url: str, models: Sequence[str], compared: Sequence[str], out: str | None, as_json: bool, **options: Any
) -> None:
    """Score targets on the held-out test set: right answers by task, tokens per second, time to first token.

    With --compare and no --model only former outcomes are shown, and nobody is asked.
    """
    former = [each for path in compared for each in read_runs(Path(path))]
    if out is not None and not os.access(Path(out).parent, os.W_OK):
        raise ConfigError(f"{out} cannot be written: its folder is missing or closed to you; name another with --out")
    console = Console(stderr=as_json)
    asked = list(models) or ([] if former else [_MODEL])
    items = choose(read_items(), _tasks(options["tasks"]), options["limit"])
    fresh = [_evaluate(_target(url, model, options), items, console) for model in asked]
    runs = [*former, *fresh]
    if out is not None:
        write_runs(runs, Path(out))
    if as_json:
        click.echo(msgspec.json.encode(runs).decode())
    else:
        console.print(table_of(runs))
        for each in fresh:
            if each.failed:
                console.print(
                    f"{each.failed} questions to {each.target} had no whole answer; the first: {each.first_error}"
                )
    if any(each.failed == each.total.asked for each in fresh):
        sys.exit(EXIT_NOTHING_ANSWERED)


def _tasks(text: str | None) -> list[str]:
    return [] if text is None else [task.strip() for task in text.split(",") if task.strip()]


def _target(url: str, model: str, options: dict[str, Any]) -> Target:
    try:
        origin = parse_origin(url)
    except ValueError as error:
        raise ConfigError(f"--url cannot be used: {error}") from None
    if not origin.prefix:
        origin = msgspec.structs.replace(origin, prefix=b"/v1")
    variable = options["api_key_env"]
    if variable is not None and not os.environ.get(variable):
        raise ConfigError(f"the environment variable {variable} of --api-key-env is not set")
    return Target(
        origin=origin,
        model=model,
        api_key=None if variable is None else os.environ[variable],
        temperature=options["temperature"],
        max_tokens=options["max_tokens"],
        timeout_s=options["timeout"],
        concurrency=options["concurrency"],
    )


def _evaluate(target: Target, items: list[Item], console: Console) -> Run:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(target.model, total=len(items))
        right = 0

        def count(result: Result) -> None:
            nonlocal right
            right += result.is_right
            done = int(progress.tasks[bar].completed) + 1
            progress.update(bar, advance=1, description=f"{target.model}: {right / done:.1%} right")

        try:
            results, wall_s = run(ask_all(target, items, on_result=count))
        except asyncio.CancelledError:
            raise click.Abort from None
    where = f"{target.model} at {target.origin.host}:{target.origin.port}"
    return summarise(where, datetime.now(UTC).isoformat(timespec="seconds"), target.concurrency, results, wall_s)
