"""``overspill rehearse``: a trace, or every fault there is, as real HTTP requests through a real gateway."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from overspill.cli.numbers import Finite
from overspill.cli.rehearsal.lab import Cell, run_lab, scenarios_named
from overspill.cli.rehearsal.lab_report import (
    complaints,
    lab_figures,
    lab_table,
    list_figures,
    list_table,
    summary_line,
)
from overspill.cli.rehearsal.lab_stage import LabOptions
from overspill.cli.rehearsal.measure import Player, probe_capacity, probe_engine, run_mode
from overspill.cli.rehearsal.measure import Progress as Progressing
from overspill.cli.rehearsal.outcome import Outcome, describe_machine, write_outcome
from overspill.cli.rehearsal.stage import CLOUD_ONLY, HYBRID, LOCAL_ONLY, Scene, build_stage
from overspill.cli.rehearsal.tables import mode_table
from overspill.cli.setup import engine_problem, run
from overspill.errors import ConfigError, EngineMissing, did_you_mean
from overspill.gateway.rehearsal.scenarios import SCENARIOS, Scenario
from overspill.perf.engine_model import EngineModel
from overspill.planner.workload import Trace, offered_load, scale_time, scale_tokens
from overspill.planner.workloads.reading import bundled_trace, read_trace
from overspill.pools.engines.fake import REHEARSED_SPEED

_CLOUD = EngineModel(slots=1024, step_base_s=0.02, step_s_per_running=0.00002, prefill_s_per_token=0.00001)
"""A hosted 70B-class model on many replicas: 50 tokens/s for one stream, and room for all that spills."""
_MAX_REQUESTS = 20_000
_LAB_OPTIONS = frozenset({"faults", "fault", "list_faults", "patience", "requests", "slo_ttft", "as_json"})
_LAB_ONLY = frozenset({"patience", "requests"})
T = TypeVar("T")


@click.command()
@click.option(
    "--trace", "trace_path", type=click.Path(exists=True, dir_okay=False), help="A log of any format that is known."
)
@click.option("--seconds", default=60.0, type=Finite(1, 3600), help="Length of each run.  [60]")
@click.option("--over", default=3.0, type=Finite(0.1, 20), help="Load, in multiples of local capacity.  [3]")
@click.option("--engine", default="llamacpp", type=click.Choice(["llamacpp", "fake"]), help="The local engine.")
@click.option("--step", type=Finite(1e-4, 10), help="Seconds of a step of --engine fake.  [0.02]")
@click.option("--model", default="builtin", help="Its model: a GGUF file, hf:REPO:FILE, builtin or builtin:q4.")
@click.option("--slots", default=8, type=click.IntRange(1, 128), help="max_batch_size of the local engine.  [8]")
@click.option("--threads", type=click.IntRange(1, 256), help="Its threads; all physical cores but one if left out.")
@click.option("--slo-ttft", default=1.0, type=Finite(0.01), help="TTFT SLO in seconds.  [1]")
@click.option("--deadline", default=30.0, type=Finite(0.1), help="Longest wait in the queue, s.  [30]")
@click.option("--scale-tokens", default=0.25, type=Finite(0.001, 10), help="Factor on all lengths.  [0.25]")
@click.option("--max-tokens", default=512, type=click.IntRange(8, 32768), help="Longest prompt and answer.  [512]")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the outcome here, for overspill simulate.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of tables.")
@click.option("--faults", is_flag=True, help="Rehearse every fault instead of a trace.")
@click.option("--fault", multiple=True, metavar="NAME", help="Rehearse this fault only; may be repeated.")
@click.option("--list-faults", is_flag=True, help="Print the names of the faults and what each is.")
@click.option("--patience", default=20.0, type=Finite(1, 600), help="Longest time for one answer of --faults, s.  [20]")
@click.option("--requests", default=1, type=click.IntRange(1, 200), help="Requests at once per fault and form.  [1]")
@click.pass_context
def rehearse(context: click.Context, /, out: str | None, as_json: bool, **options: Any) -> None:
    """Play a trace in three modes (local only, cloud only, hybrid) and print what each did.

    The trace (by default ten minutes of Azure's conversation trace of 2023) is cut, its lengths are scaled to the local
    model's size, and its times so that it asks for --over times what the local engine was just measured to carry.
    Nothing leaves this machine: the cloud is a rehearsal engine on loopback.

    With --faults, a target does everything wrong that targets do, one fault after the other, streamed and not, as chat
    and as completions. Printed is who answered, after how long and in how many attempts. The exit code is 1 if anything
    came out otherwise than it must.
    """
    is_lab = options["faults"] or options["fault"] or options["list_faults"]
    given = {name for name in context.params if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    for name in sorted(given - _LAB_OPTIONS if is_lab else given & _LAB_ONLY):
        option = next(p.opts[0] for p in context.command.params if p.name == name)
        raise click.UsageError(f"{option} goes {'without' if is_lab else 'with'} --faults")
    if options["list_faults"]:
        _list_faults(as_json)
    elif is_lab:
        _rehearse_faults(_named_scenarios(options["fault"]), as_json, options)
    else:
        _rehearse_trace(out, as_json, options)


def _named_scenarios(names: tuple[str, ...]) -> list[Scenario]:
    try:
        return scenarios_named(names)
    except KeyError as error:
        name = str(error.args[0])
        known = [scenario.name for scenario in SCENARIOS]
        raise click.UsageError(f"no fault {name!r}{did_you_mean(name, known)}; --list-faults names all") from None


def _list_faults(as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(list_figures()))
    else:
        Console().print(list_table())


def _rehearse_faults(scenarios: list[Scenario], as_json: bool, options: Mapping[str, Any]) -> None:
    """Run the lab, print what it found, and exit with 1 if anything is wrong."""
    lab = LabOptions(slo_ttft_s=options["slo_ttft"], patience_s=options["patience"], requests=options["requests"])
    console = Console(stderr=as_json)
    done = 0
    with _progress(console, "rehearsing faults") as say:

        def count(cell: Cell) -> None:
            nonlocal done
            done += 1
            say(f"rehearsing faults: {done} cells, the last one {cell.scenario}")

        cells = _run_stoppable(_quietly(run_lab(scenarios, lab, count)))
    if as_json:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        click.echo(json.dumps(lab_figures(cells, lab, machine=describe_machine(), made_at=made_at)))
    else:
        console.print(lab_table(cells))
        for line in (*complaints(cells), summary_line(cells)):
            console.print(line, markup=False, soft_wrap=True)
    if not all(cell.is_right for cell in cells):
        sys.exit(1)


async def _quietly(rehearsal: Coroutine[Any, Any, T]) -> T:
    """Run a rehearsal without the log of the gateways in this process: they warn of what is done to them on purpose."""
    logging.getLogger("overspill").setLevel(logging.CRITICAL)
    return await rehearsal


def _rehearse_trace(out: str | None, as_json: bool, options: Mapping[str, Any]) -> None:
    if options["engine"] == "llamacpp" and (problem := engine_problem()) is not None:
        raise EngineMissing(f"{problem}; or rehearse with --engine fake")
    if options["engine"] != "fake" and options["step"] is not None:
        raise click.UsageError("--step goes with --engine fake: a real engine is as fast as it is")
    if out is not None and not os.access(Path(out).parent, os.W_OK):
        raise ConfigError(f"{out} cannot be written: its folder is missing or closed to you; name another with --out")
    console = Console(stderr=as_json)
    doing = "starting the gateway, the local engine and the rehearsed cloud"
    with tempfile.TemporaryDirectory(prefix="overspill-rehearsal-") as folder, _progress(console, doing) as say:
        outcome = _run_stoppable(_rehearse(Path(folder), options, say))
    if out is not None:
        write_outcome(outcome, Path(out))
    if as_json:
        click.echo(json.dumps(_figures(outcome)))
        return
    console.print(_headline(outcome))
    console.print(mode_table(outcome))
    if out is not None:
        console.print(f"Written to {out}; compare with: overspill simulate --rehearsal {out}")


@contextmanager
def _progress(console: Console, first: str) -> Iterator[Progressing]:
    """Show what is being done, on a terminal only; yields what changes the text."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(first, total=None)
        yield lambda text: progress.update(task, description=text)


def _run_stoppable(rehearsal: Coroutine[Any, Any, T]) -> T:
    """Run a rehearsal so that SIGTERM ends it as Ctrl-C does, and what it started with it."""
    try:
        return run(_stoppable(rehearsal))
    except asyncio.CancelledError:
        raise click.Abort from None


async def _stoppable(rehearsal: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(rehearsal)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _scene(options: Mapping[str, Any]) -> Scene:
    is_fake = options["engine"] == "fake"
    speed = REHEARSED_SPEED if options["step"] is None else {**REHEARSED_SPEED, "step_base_s": options["step"]}
    return Scene(
        engine=options["engine"],
        model=options["model"],
        max_batch_size=options["slots"],
        # A small vocabulary needs up to four of its tokens for one of the trace's, which are a large model's.
        context_tokens=5 * options["max_tokens"] + 512,
        threads=options["threads"],
        engine_options={"engine": dict(speed)} if is_fake else {},
        slo_ttft_s=options["slo_ttft"],
        deadline_s=options["deadline"],
        cloud=_CLOUD,
        price_input=0.15,
        price_output=0.60,
    )


async def _rehearse(folder: Path, options: Mapping[str, Any], progress: Progressing) -> Outcome:
    scene = _scene(options)
    path = options["trace_path"]
    lengths = {"max_prompt": options["max_tokens"], "max_output": options["max_tokens"]}
    trace = scale_tokens(
        bundled_trace() if path is None else read_trace(path), factor=options["scale_tokens"], **lengths
    )
    async with build_stage(scene, folder) as stage:
        player = Player(stage)
        await player.local(trace.requests[: scene.max_batch_size])  # first calls pay for what later ones reuse
        fit = await probe_engine(player, scene, progress)
        capacity = await probe_capacity(player, scene, trace.requests, progress)
        played = _fit_load(trace, options["seconds"], options["over"] * capacity.requests_per_s)
        modes = {
            mode: await run_mode(player, stage, scene, mode, played.requests, progress)
            for mode in (LOCAL_ONLY, CLOUD_ONLY, HYBRID)
        }
    return Outcome(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
        trace_source=trace.source,
        over=options["over"],
        scene=scene,
        capacity=capacity,
        engine_fit=fit,
        trace=played.requests,
        modes=modes,
    )


def _fit_load(trace: Trace, seconds: float, requests_per_s: float) -> Trace:
    """Cut and squeeze the trace to ``seconds`` at a mean of ``requests_per_s``; its bursts keep their shape."""
    wanted = round(seconds * requests_per_s)
    if wanted > _MAX_REQUESTS:
        raise ConfigError(f"{wanted} requests in {seconds:g} s are too many for one machine; lower --over or --seconds")
    if wanted > len(trace.requests):
        raise ConfigError(
            f"the trace has {len(trace.requests)} requests and {wanted} are needed; lower --seconds or --over, raise "
            "--scale-tokens, or give a longer --trace"
        )
    if wanted < 1:
        raise ConfigError("the local engine is too slow for even one request in this time; raise --seconds")
    head = msgspec.structs.replace(trace, requests=trace.requests[:wanted])
    return scale_time(head, seconds / head.length_s) if head.length_s else head


def _headline(outcome: Outcome) -> str:
    load = offered_load(Trace(source=outcome.trace_source, requests=outcome.trace))
    return (
        f"{load.requests} requests of {outcome.trace_source} in {load.length_s:.0f} s: "
        f"{load.requests_per_s:.2f} a second where the local engine carries {outcome.capacity.requests_per_s:.2f} "
        f"({outcome.capacity.output_tokens_per_s:.0f} output tokens/s), mean prompt {load.mean_prompt_tokens:.0f} and "
        f"answer {load.mean_output_tokens:.0f} tokens.\n{outcome.machine}, {outcome.made_at}"
    )


def _figures(outcome: Outcome) -> dict[str, Any]:
    figures: dict[str, Any] = msgspec.to_builtins(outcome)
    del figures["trace"]
    return figures
