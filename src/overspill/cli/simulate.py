"""``overspill simulate``: a trace through the gateway's own controller in virtual time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from overspill.cli.numbers import Finite
from overspill.cli.rehearsal.outcome import Outcome as Rehearsed
from overspill.cli.rehearsal.outcome import played_fit, read_outcome, simulate_modes
from overspill.cli.rehearsal.stage import LOCAL_ONLY
from overspill.cli.rehearsal.tables import comparison_table, simulation_table
from overspill.cli.setup import Asked, run, set_up
from overspill.config.compile import compile_config
from overspill.core.types import Outcome
from overspill.errors import ConfigError
from overspill.gateway.rehearsal.summary import HOME, RequestResult, Summary, summarise
from overspill.planner.scenario import awake, model_of_prior
from overspill.planner.simulated import SimulatedRequest
from overspill.planner.simulator import simulate
from overspill.planner.workload import cut, scale_time, scale_tokens
from overspill.planner.workloads.reading import bundled_trace, read_trace


@click.command("simulate")
@click.option("--rehearsal", type=click.Path(exists=True, dir_okay=False), help="Repeat this rehearsal and compare.")
@click.option("--config", "-c", "config_path", type=click.Path(exists=True, dir_okay=False), help="Simulate this.")
@click.option("--model", help="With --config: the model name that every request asks for.")
@click.option(
    "--trace", "trace_path", type=click.Path(exists=True, dir_okay=False), help="A log of any format that is known."
)
@click.option("--seconds", type=Finite(1), help="Use only this much of the trace.")
@click.option("--speed-up", default=1.0, type=Finite(0.01, 1000), help="Squeeze the trace's times.  [1]")
@click.option("--scale-tokens", default=1.0, type=Finite(0.001, 1000), help="Factor on all lengths.  [1]")
@click.option("--slo-ttft", type=Finite(0.001), help="TTFT SLO in seconds; the route's if left out.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of a table.")
def simulate_command(rehearsal: str | None, config_path: str | None, as_json: bool, **options: Any) -> None:
    """Simulate and print aggregates: spill share, TTFT quantiles, goodput.

    With --rehearsal the same trace runs under the same policy, and the figures stand beside the measured ones. The
    local engine is as fast as it was while the trace was played to it alone: nothing measured of the hybrid goes into
    its simulation. With --config the speeds are the configuration's priors (`prior:` of each pool). Single requests
    are not predicted.
    """
    if (rehearsal is None) == (config_path is None):
        raise click.UsageError("give either --rehearsal FILE or --config FILE")
    if rehearsal is not None:
        _compare(Path(rehearsal), as_json)
        return
    assert config_path is not None  # one of the two is given
    _simulate_config(config_path, options, as_json)


def _compare(path: Path, as_json: bool) -> None:
    outcome = read_outcome(path)
    started = time.process_time()
    simulated = {mode: _summarise(rows, outcome.scene.slo_ttft_s) for mode, rows in simulate_modes(outcome).items()}
    cpu_s = time.process_time() - started
    measured = {mode: figures.summary for mode, figures in outcome.modes.items()}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "measured": _plain(measured),
                    "simulated": _plain(simulated),
                    "local_speed_from": "probe" if played_fit(outcome) is None else LOCAL_ONLY,
                    "cpu_s": cpu_s,
                }
            )
        )
        return
    console = Console()
    console.print(comparison_table(measured, simulated))
    console.print(_speed(outcome))
    console.print(f"{len(outcome.trace) * len(simulated)} requests simulated in {cpu_s:.2f} CPU-s")


def _speed(outcome: Rehearsed) -> str:
    fit = played_fit(outcome)
    if fit is None:
        return "The local engine is as fast as it was probed before the trace; it had too few of the trace's requests."
    return f"The local engine is as fast as its {fit.prefill_count} attempts in {LOCAL_ONLY} say."


def _simulate_config(config_path: str, options: dict[str, Any], as_json: bool) -> None:
    model = options["model"]
    if model is None:
        raise click.UsageError("--config needs --model: the name that every request asks for")
    setup = run(set_up(Asked(config_path=config_path, looks_around=False)))
    policy = awake(compile_config(setup.config, setup.facts).policy)
    trace = bundled_trace() if options["trace_path"] is None else read_trace(options["trace_path"])
    if options["seconds"] is not None:
        trace = cut(trace, 0.0, options["seconds"])
    trace = scale_tokens(scale_time(trace, 1 / options["speed_up"]), factor=options["scale_tokens"])
    if not trace.requests:
        raise ConfigError(f"nothing of the trace {trace.source} is left to simulate; raise --seconds")
    models = {spec.target_id: model_of_prior(spec) for spec in policy.targets}
    started = time.process_time()
    rows = simulate(trace.requests, policy, models, model)
    cpu_s = time.process_time() - started
    slo_s = options["slo_ttft"] or next((r.slo.ttft_s for r in policy.routes if r.pattern == model), 2.0)
    summary = _summarise(rows, slo_s)
    if as_json:
        click.echo(json.dumps({"simulated": msgspec.to_builtins(summary), "cpu_s": cpu_s}))
        return
    console = Console()
    console.print(simulation_table(summary))
    console.print(f"{len(rows)} requests simulated in {cpu_s:.2f} CPU-s")


def _summarise(rows: Sequence[SimulatedRequest], slo_ttft_s: float) -> Summary:
    return summarise((_as_result(index, row) for index, row in enumerate(rows)), slo_ttft_s=slo_ttft_s)


def _as_result(index: int, row: SimulatedRequest) -> RequestResult:
    """Return a simulated request in the form in which a player reports a real one."""
    is_answered = row.outcome is Outcome.COMPLETED
    return RequestResult(
        index=index,
        planned_s=row.at_s,
        sent_s=row.at_s,
        e2e_s=row.e2e_s or 0.0,
        ttft_s=row.ttft_s,
        status=200 if is_answered else 503,
        output_tokens=row.output_tokens if is_answered else 0,
        target=row.target_id,
        reason=HOME if row.spill is None else row.spill.value,
        error=None if is_answered else "status",
        message="" if row.reason is None else row.reason.value,
    )


def _plain(summaries: dict[str, Summary]) -> dict[str, Any]:
    return {mode: msgspec.to_builtins(summary) for mode, summary in summaries.items()}
