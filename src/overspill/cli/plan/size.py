"""``overspill plan size``: how many of which GPUs a model needs for a workload, and why fewer do not do."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.catalog.gpus import GpuCatalog, load_gpus
from overspill.catalog.latency import load_prior
from overspill.catalog.models import CatalogModel, read_config
from overspill.cli.numbers import Finite
from overspill.perf.architecture import Architecture, Role, count_parameters
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.model_config import read_model
from overspill.perf.precision import FORMAT_BITS, Recipe, recipe
from overspill.planner.capacity import Candidate, Obstacle, Slo, replicas_for
from overspill.planner.measured_rows import ReadRows, engine_name
from overspill.planner.peak import Peak, peak_of
from overspill.planner.prediction import Predictor
from overspill.planner.simulated import TargetModel
from overspill.planner.sizing import Demand, Needs, Sizing, describe_layout
from overspill.planner.sizing import size as size_one
from overspill.planner.workloads.reading import FORMATS, TraceFormat, open_workload
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.synthetic import KEYS
from overspill.units import format_bytes, format_duration, parse_duration_s

_WIDTH = 120


@click.command()
@click.option(
    "--model", "--model-config", "model_name", required=True, metavar="NAME|FILE", help="Name or config.json."
)
@click.option("--gpu", "gpu_names", required=True, multiple=True, help="A kind of GPU; repeat it to compare, or `all`.")
@click.option("--slo", default="", metavar="ttft=2s,tpot=50ms", help="What a request may take; no limit if left out.")
@click.option("--workload", "-w", required=True, metavar="LOG", help="A log, bundled:NAME, rps=2,in=1200,out=300.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="auto", help="What the log is.  [auto]")
@click.option("--log-model", help="Only requests for this model, where the log names models.")
@click.option("--load", default=1.0, type=Finite(0.0001, 100_000), help="Multiplies drawn requests.  [1]")
@click.option("--seed", default=1, help="Of what is drawn.  [1]")
@click.option("--precision", "precisions", multiple=True, help="How weights are kept; repeat to compare.  [checkpoint]")
@click.option(
    "--kv-precision", type=click.Choice(["bf16", "fp8"]), help="Of the KV cache.  [fp8 if weights have 8 bits]"
)
@click.option("--engine", default="vllm", help="vllm, sglang, trtllm or llamacpp.  [vllm]")
@click.option("--headroom", default=0.2, type=Finite(0, 0.9), help="Share of each replica kept free for bursts.  [0.2]")
@click.option(
    "--attainment", default=0.95, type=Finite(0.01, 1), help="Share of requests that must meet the SLO.  [0.95]"
)
@click.option("--cautious", is_flag=True, help="Let the upper ends of the 90 % intervals keep the SLO.")
@click.option("--observed", "observed_path", metavar="CSV", help="Measured rows that calibrate, as for plan predict.")
@click.option("--gpus", "gpus_path", metavar="YAML", help="A catalogue of GPUs of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of tables, with sources.")
def size(as_json: bool, **given: Any) -> None:
    """Say how many GPUs a model needs for a workload within an SLO: layout, precision, room, speed.

    The workload's peak is planned for, and the plan is held to its bursts: replicas are added until the wanted share of
    requests meets the SLO in a simulation. Each smaller plan is shown with the reason why it does not do. Speeds are
    the roofline's with the shipped prior: `--observed` corrects them by what you measured.
    """
    found = read_config(given["model_name"])
    model, gpus = read_model(found.config, found.name), load_gpus(given["gpus_path"])
    options = Options(seed=given["seed"], rate_factor=given["load"], model=given["log_model"])
    peak = read_peak(given["workload"], given["form"], options)
    slo = read_slo(given["slo"])
    predictor, sizings = sized(found, model, gpus, peak, slo, given)
    if as_json:
        values = answer_values(found, model, peak.demand, slo, predictor, sizings)
        click.echo(msgspec.json.encode({**values, "arrivals": peak.arrivals.source}).decode())
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    _print(console, found, model, peak, sizings, given["headroom"])


def sized(
    found: CatalogModel, model: Architecture, gpus: GpuCatalog, peak: Peak, slo: Slo, given: dict[str, Any]
) -> tuple[Predictor, list[Sizing]]:
    """Size a model for each kind of GPU and precision that is given."""
    kept = [recipe(name) for name in given["precisions"]] or [checkpoint_recipe(found.config, found.name)]
    predictor = _predictor(given["observed_path"], model, kept[0], gpus, given["engine"])
    sizings = [
        size_one(
            Candidate(
                model=model,
                count=count_parameters(model),
                recipe=one,
                row=gpus.find(name),
                engine=engine_name(given["engine"]),
                cache_element_bytes=_cache_bytes(model, one, given["kv_precision"]),
                predictor=predictor,
                is_cautious=given["cautious"],
            ),
            peak.demand,
            slo,
            headroom=given["headroom"],
            arrivals=peak.arrivals,
            attainment=given["attainment"],
        )
        for name in _names(given["gpu_names"], gpus)
        for one in kept
    ]
    return predictor, sizings


def read_slo(text: str) -> Slo:
    """Read ``ttft=2s,tpot=50ms``; raise ``click.UsageError`` for anything else."""
    values = _pairs("--slo", text, {"ttft", "tpot"})
    try:
        seconds = {f"{name}_s": parse_duration_s(value) for name, value in values.items()}
    except ValueError as error:
        raise click.UsageError(f"--slo: {error}") from None
    if any(value <= 0 for value in seconds.values()):
        raise click.UsageError("--slo: a time must be above 0")
    return Slo(**seconds)


def read_peak(text: str, form: TraceFormat, options: Options) -> Peak:
    """Read the peak of ``rps=2,in=1200,out=300[,peak=4][,longest=8000]`` or of a log."""
    kept = [part for part in text.split(",") if part.partition("=")[0].strip() != "longest"]
    longest = 0.0
    if len(kept) < len(text.split(",")):
        text, given = ",".join(kept), _pairs("--workload", text, {"longest", *KEYS})
        longest = _number("longest", given["longest"])
    return peak_of(open_workload(text, form, options), options, longest)


def _pairs(option: str, text: str, known: set[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, sign, value = part.partition("=")
        if not sign or name.strip() not in known:
            raise click.UsageError(f"{option}: {part!r} is none of {', '.join(f'{one}=…' for one in sorted(known))}")
        pairs[name.strip()] = value.strip()
    return pairs


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e9:
        raise click.UsageError(f"--workload: {name} must be a number above 0, not {text!r}")
    return number


def _names(asked: tuple[str, ...], gpus: GpuCatalog) -> list[str]:
    return [row.name for row in gpus.gpus] if "all" in asked else list(asked)


def _cache_bytes(model: Architecture, kept: Recipe, asked: str | None) -> float:
    if asked is not None:
        return 1.0 if asked == "fp8" else 2.0
    role = Role.EXPERTS if model.experts is not None else Role.DENSE
    return 1.0 if FORMAT_BITS[kept.formats[role]] < 16 and kept.formats[Role.EMBEDDING] == "bf16" else 2.0


def _predictor(path: str | None, model: Architecture, kept: Recipe, gpus: GpuCatalog, engine: str) -> Predictor:
    if path is None:
        return Predictor(load_prior())
    reader = ReadRows(model=model, checkpoint=kept, gpus=gpus, default_engine=engine)
    return Predictor(load_prior(), reader.observed_from_file(path))


def answer_values(
    found: CatalogModel,
    model: Architecture,
    demand: Demand,
    slo: Slo,
    predictor: Predictor,
    sizings: list[Sizing],
) -> dict[str, Any]:
    """Return all figures as plain values, which are what ``--json`` prints."""
    count = count_parameters(model)
    return {
        "model": {
            "name": found.name,
            "source": found.source,
            "model_type": model.model_type,
            "parameters": count.total,
            "mtp_parameters": count.mtp,
            "active_parameters": count.active,
            "leaves_out": model.leaves_out,
            "unread_fields": model.unread_fields,
        },
        "workload": msgspec.to_builtins(demand),
        "slo": msgspec.to_builtins(slo),
        "observed": {"tpot": predictor.observed[0], "ttft": predictor.observed[1]},
        "plans": [_plan_values(sizing) for sizing in sizings],
    }


def _plan_values(sizing: Sizing) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(sizing)
    values["fits"] = sizing.replica is not None
    values["layout"] = describe_layout(sizing.replica.layout) if sizing.replica is not None else None
    for failure, plain in zip(sizing.failures, values["failures"], strict=True):
        plain["gpus"], plain["layout_name"] = failure.gpus, describe_layout(failure.layout)
    return values


def _print(
    console: Console, found: CatalogModel, model: Architecture, peak: Peak, sizings: list[Sizing], headroom: float
) -> None:
    count = count_parameters(model)
    parts = f"{count.total / 1e9:.1f} B parameters, {count.active / 1e9:.1f} B active"
    console.print(f"[bold]{escape(found.name)}[/bold] ({model.model_type}): {parts}")
    for note in _model_notes(model):
        console.print(f"  note: {escape(note)}")
    lengths = peak.demand.lengths
    console.print(
        f"{peak.demand.requests_per_s:.4g} requests/s of {lengths.prompt_tokens:,} + {lengths.answer_tokens:,} tokens, "
        f"the longest {lengths.longest_tokens:,} ({escape(peak.demand.source)})"
    )
    console.print(_table(sizings))
    for sizing in sizings:
        _print_reasons(console, sizing, peak, headroom)


def _model_notes(model: Architecture) -> list[str]:
    """Return what of the model is not in the figures."""
    notes = [f"not counted: {part}" for part in model.leaves_out]
    mtp = count_parameters(model).mtp
    if mtp:
        notes.append(f"not counted: MTP modules, {mtp / 1e9:.1f} B parameters, which speculative decoding loads")
    if model.unread_fields:
        notes.append(f"fields of config.json that nothing was made of: {', '.join(model.unread_fields)}")
    return notes


def _table(sizings: list[Sizing]) -> Table:
    table = Table()
    for column in (
        "GPU",
        "precision",
        "GPUs",
        "replica",
        "at once",
        "room",
        "TTFT",
        "TPOT",
        "tok/s each",
        "limit",
        "SLO met",
    ):
        table.add_column(column, justify="left" if column in {"GPU", "precision", "replica", "limit"} else "right")
    for sizing in sorted(sizings, key=lambda one: one.gpus or math.inf):
        fit = sizing.replica
        if fit is None:
            table.add_row(sizing.gpu, sizing.precision, "-", "none fits", *[""] * 7, style="dim")
            continue
        table.add_row(
            sizing.gpu,
            sizing.precision,
            str(sizing.gpus),
            f"{sizing.replicas} x {describe_layout(fit.layout)}",
            str(fit.concurrency),
            str(fit.cache_sequences),
            format_duration(fit.prediction.ttft_s),
            format_duration(fit.prediction.tpot_s),
            f"{fit.output_tokens_per_s:,.0f}",
            fit.limit.split(" ", maxsplit=1)[0],
            "-" if sizing.attainment is None else f"{sizing.attainment.met:.1%}",
        )
    return table


def _print_reasons(console: Console, sizing: Sizing, peak: Peak, headroom: float) -> None:
    console.print(f"\n[bold]{sizing.gpu}[/bold] in {sizing.precision} ({escape(sizing.gpu_source)})")
    fit = sizing.replica
    if fit is not None:
        assert sizing.needs is not None  # there is a replica
        one, budget = fit.prediction, fit.budget
        console.print(
            f"  a GPU: {format_bytes(budget.weights_bytes)} weights, {format_bytes(budget.reserves.total_bytes)} for "
            f"the engine, {format_bytes(budget.kv_bytes)} KV cache, of {format_bytes(budget.capacity_bytes)}"
        )
        console.print(
            f"  90 %: TTFT {format_duration(one.ttft_low_s)} - {format_duration(one.ttft_high_s)}, TPOT "
            f"{format_duration(one.tpot_low_s)} - {format_duration(one.tpot_high_s)}; a replica carries "
            f"{fit.requests_per_s:.2f} requests/s (--unit rps={fit.requests_per_s:.3g}); limit: {fit.limit}"
        )
        for line in (*_attainment_lines(sizing, peak), _needs_line(sizing.needs), *_others(sizing, peak, headroom)):
            console.print(f"  {escape(line)}")
        for note in fit.notes:
            console.print(f"  note: {escape(note)}")
    for line in (*_reasons(sizing), *_remedies(sizing)):
        console.print(f"  {escape(line)}")


def _attainment_lines(sizing: Sizing, peak: Peak) -> list[str]:
    """Return how well the SLO is kept, and the same engine for a configuration to simulate."""
    lines = []
    found, engine = sizing.attainment, sizing.engine
    if found is not None:
        of = f"{found.replicas} of the replicas" if found.replicas < sizing.replicas else "simulated"
        lines.append(
            f"SLO met by {found.met:.1%} of {found.requests:,} requests ({of}; {peak.arrivals.source}): TTFT p95 "
            f"{format_duration(found.ttft_p95_s)}, TPOT p95 {format_duration(found.tpot_p95_s)}"
        )
        if found.alone < 1:
            lines.append(
                f"an engine for each request alone would keep it for {found.alone:.1%}: the others are too long"
            )
    if engine is not None:
        lines.append(_prior_line(engine))
    return lines


def _prior_line(target: TargetModel) -> str:
    """Return a pool's settings for this replica, as overspill.yaml has them."""
    engine = target.engine
    times = {
        "ttft_base": engine.step_base_s + target.delay_s,
        "prefill_per_token": engine.prefill_s_per_token,
        "tpot_base": engine.step_base_s,
        "tpot_per_running": engine.step_s_per_running,
    }
    said = ", ".join(f"{name}: {_in_config(seconds)}" for name, seconds in times.items())
    return (
        f"for plan simulate: max_batch_size: {engine.slots}, context_tokens: {engine.kv_capacity_tokens}, "
        f"prior: {{{said}}}"
    )


def _in_config(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f}us"


def _others(sizing: Sizing, peak: Peak, headroom: float) -> list[str]:
    """Return the other layouts that would do by their mean load, in one line."""
    rate = peak.demand.requests_per_s
    counts = [(replicas_for(rate, fit, headroom), fit.layout) for fit in sizing.alternatives]
    named = [f"{count} x {describe_layout(layout)} = {count * layout.gpus} GPUs" for count, layout in counts]
    return [f"other layouts, by mean load: {'; '.join(named)}"] if named else []


def _reasons(sizing: Sizing) -> list[str]:
    """Return why smaller plans do not do; one line for neighbours that share their reason."""
    lines: list[str] = []
    for why, group in groupby(sizing.failures, key=lambda failure: failure.why):
        failures = list(group)
        counts = sorted({failure.gpus for failure in failures})
        number = "1 GPU" if counts == [1] else f"{_span(counts)} GPUs"
        times = f"{failures[0].replicas} x " if failures[0].replicas > 1 else ""
        layout = f" ({times}{describe_layout(failures[0].layout)})" if len(failures) == 1 else ""
        lines.append(f"{number}{layout}: {why}")
    return lines


def _remedies(sizing: Sizing) -> list[str]:
    """Return what would do, where nothing does."""
    if sizing.replica is not None:
        return []
    slow = [(failure.alone, failure) for failure in sizing.failures if failure.alone is not None]
    if slow:
        kept, best = min(slow, key=lambda pair: (pair[0].tpot_s or 0.0, pair[0].ttft_s or 0.0, pair[1].gpus))
        parts = {"ttft": kept.ttft_s, "tpot": kept.tpot_s}
        said = ",".join(f"{name}={_in_config(value)}" for name, value in parts.items() if value is not None)
        where = f"{describe_layout(best.layout)} gives one request alone"
        return [f"what would do: an SLO above {said}, which {where}; a faster GPU; a smaller --precision"]
    if all(failure.obstacle in (Obstacle.WEIGHTS, Obstacle.CACHE) for failure in sizing.failures):
        return ["what would do: a smaller --precision or --kv-precision, shorter requests, a GPU with more memory"]
    return []


def _span(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _needs_line(needs: Needs) -> str:
    network = "" if needs.network_gb_per_s is None else f", {needs.network_gb_per_s:g} GB/s a GPU between machines"
    return (
        f"storage {needs.storage_bytes / 1e9:,.0f} GB a machine ({needs.load_s_per_gb_per_s:,.0f} s at 1 GB/s); "
        f"links {needs.link_gb_per_s:g} GB/s a GPU{network}; clients {needs.client_bytes_per_s / 1e6:.2f} MB/s; "
        f"GPUs {needs.power_w / 1e3:.1f} kW"
    )
