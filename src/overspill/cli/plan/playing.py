"""What the commands share that play a trace against configurations: their options, the trace, the scenarios."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from overspill.cli.numbers import Finite
from overspill.cli.plan.asking import duration_s, moment_s
from overspill.cli.setup import Asked, run, set_up
from overspill.config.compile import compile_config
from overspill.core.types import Policy
from overspill.errors import ConfigError
from overspill.planner.scenario import Scenario, scenario, shaped, told
from overspill.planner.simulated import TargetModel
from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.reading import FORMATS, Workload, open_workload
from overspill.planner.workloads.rows import Options
from overspill.units import format_duration

F = TypeVar("F", bound=Callable[..., Any])
DRAWN = ("servegen", "synthetic", "openai_usage", "rates")
"""Formats whose requests are drawn, so that another seed gives other ones."""
_TRACE = "bundled:azure-conv-2023"

_OPTIONS = (
    click.option("--model", help="The name that every request asks for; not needed if there is one route."),
    click.option("--trace", "-w", default=_TRACE, metavar="LOG", help="A log, bundled:NAME, rps=2,in=1200,out=300."),
    click.option("--format", "form", type=click.Choice(FORMATS), default="auto", help="What the log is.  [auto]"),
    click.option("--starts-at", callback=moment_s, help="When it begins, for logs that tell no date."),
    click.option("--length", callback=duration_s, metavar="TIME", help="Use only this much of the trace: 90s, 6h."),
    click.option("--load", default=1.0, type=Finite(0.0001, 100_000), help="Multiplies drawn requests.  [1]"),
    click.option("--speed-up", default=1.0, type=Finite(0.01, 1000), help="Squeeze the trace's times.  [1]"),
    click.option("--scale-tokens", default=1.0, type=Finite(0.001, 1000), help="Factor on all lengths.  [1]"),
    click.option("--seed", default=1, help="Of what is drawn.  [1]"),
    click.option("--slo-ttft", type=Finite(0.001), help="TTFT SLO in seconds; the route's if left out."),
    click.option("--per-hour", multiple=True, metavar="POOL=USD", help="What a replica costs, busy or not."),
)


def trace_options(command: F) -> F:
    """Add the options that name a trace and what is asked of it."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def workload_of(given: Mapping[str, Any], seed: int) -> Workload:
    """Open the trace."""
    options = Options(seed=seed, starts_at_unix_s=given["starts_at"], rate_factor=given["load"])
    workload = open_workload(given["trace"], given["form"], options)
    if given["load"] != 1 and workload.format not in DRAWN:
        raise click.UsageError(f"--load is for drawn requests, and {workload.name} is a log; use --speed-up")
    return workload


def requests_of(
    workload: Workload, given: Mapping[str, Any], progress: Callable[[int, float], object]
) -> Iterator[TraceRequest]:
    """Yield the requests as they are played."""
    cut = shaped(
        workload.requests(),
        seconds=given["length"],
        speed_up=given["speed_up"],
        token_factor=given["scale_tokens"],
    )
    return told(cut, progress)


def starts_at(workload: Workload, given: Mapping[str, Any]) -> float | None:
    """Return the time of day of the first request, as it was given or the log says once it has been looked at."""
    if given["starts_at"] is None and workload.starts_at_unix_s is None:
        next(iter(workload.requests()), None)
    return workload.starts_at_unix_s


def policy_at(path: str) -> Policy:
    """Return the policy that a configuration stands for."""
    setup = run(set_up(Asked(config_path=path, looks_around=False)))
    return compile_config(setup.config, setup.facts).policy


def scenario_at(
    path: str, given: Mapping[str, Any], policy: Policy, models: Mapping[str, TargetModel] | None = None
) -> Scenario:
    """Return a configuration as what a trace is played against."""
    model = given["model"]
    if model is None:
        names = [route.pattern for route in policy.routes]
        if len(names) != 1:
            raise ConfigError(f"{path} has the routes {', '.join(names) or '(none)'}; name one with --model")
        (model,) = names
    return scenario(
        Path(path).name,
        policy,
        model,
        models=models,
        slo_ttft_s=given["slo_ttft"],
        usd_per_hour=dict(_priced(text) for text in given["per_hour"]),
    )


def _priced(text: str) -> tuple[str, float]:
    pool, _, amount = text.partition("=")
    try:
        usd = float(amount)
    except ValueError:
        usd = -1.0
    if not (pool.strip() and usd >= 0 and math.isfinite(usd)):
        raise click.UsageError(f"--per-hour {text}: write a pool and dollars for each of its replicas: local=2.50")
    return pool.strip(), usd


class Watching:
    """Shows how far a simulation is, where somebody watches."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("simulating")

    def __enter__(self) -> Self:
        """Begin to show it."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._progress.stop()

    def of(self, name: str) -> Callable[[int, float], None]:
        """Return what is told how far ``name`` is."""

        def update(count: int, at_s: float) -> None:
            self._progress.update(self._task, description=f"{name}: {count:,} requests, {format_duration(at_s)}")

        return update
