"""``overspill plan predict``: TTFT and TPOT of every row of a table, corrected by rows that were observed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.catalog.gpus import load_gpus
from overspill.catalog.latency import load_prior
from overspill.catalog.models import CatalogModel, read_config
from overspill.perf.architecture import count_parameters
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.model_config import read_model
from overspill.perf.precision import recipe
from overspill.perf.roofline import Prior
from overspill.planner.measured_rows import ReadRows, Row
from overspill.planner.prediction import Prediction, Predictor, relative_errors
from overspill.units import format_duration

_SHOWN = 40
_WIDTH = 120
_Predicted = list[tuple[Row, Prediction]]


@click.command()
@click.option(
    "--model-config", "--model", "model_name", required=True, metavar="FILE|NAME", help="config.json or name."
)
@click.option("--rows", "rows_path", required=True, metavar="CSV", help="The loads to predict.")
@click.option("--observed", "observed_path", metavar="CSV", help="Rows with what was measured: they calibrate.")
@click.option("--gpu", help="The GPU, where the table has no column for it.")
@click.option("--engine", default="vllm", help="The engine, where the table has no column for it.  [vllm]")
@click.option("--precision", help="How the weights are kept, where a row does not say.  [as the checkpoint]")
@click.option("--gpus", "gpus_path", metavar="YAML", help="A catalogue of GPUs of your own.")
@click.option("--prior", "prior_path", metavar="JSON", help="Weights of the roofline of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of a table, with sources.")
def predict(as_json: bool, **given: Any) -> None:
    """Predict TTFT and TPOT of every row, with intervals that hold nine times of ten.

    Columns are those of aiconfigurator's silicon_sample.csv: system, backend, isl, osl, batch_size, tp_size, ...; only
    isl and osl must be there. batch_size is the requests in flight at each attention group. What rows measured
    themselves is not used for predicting them; with --observed, rows of the same deployment correct the estimate.
    """
    found = read_config(given["model_name"])
    model = read_model(found.config, found.name)
    precision = given["precision"]
    reader = ReadRows(
        model=model,
        checkpoint=recipe(precision) if precision else checkpoint_recipe(found.config, found.name),
        gpus=load_gpus(given["gpus_path"]),
        default_gpu=given["gpu"],
        default_engine=given["engine"],
    )
    rows = reader.from_file(given["rows_path"])
    observed = reader.observed_from_file(given["observed_path"]) if given["observed_path"] else []
    prior = load_prior(given["prior_path"])
    predictor = Predictor(prior, observed)
    predicted = [(row, predictor.predict(row)) for row in rows]
    if as_json:
        click.echo(msgspec.json.encode(_values(found, reader, predictor, prior, predicted)).decode())
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    _print(console, reader, predictor, predicted)


def _values(
    found: CatalogModel, reader: ReadRows, predictor: Predictor, prior: Prior, predicted: _Predicted
) -> dict[str, Any]:
    count = count_parameters(reader.model)
    errors = {
        name: median(values) if values else None
        for name, values in zip(("ttft", "tpot"), _errors(predictor, predicted), strict=True)
    }
    return {
        "model": {
            "name": found.name,
            "source": found.source,
            "model_type": reader.model.model_type,
            "parameters": count.total,
            "active_parameters": count.active,
        },
        "prior": {"source": prior.source, "fitted": prior.fitted},
        "observed": {"tpot": predictor.observed[0], "ttft": predictor.observed[1]},
        "median_error": errors,
        "rows": [_row_values(row, prediction, predictor) for row, prediction in predicted],
    }


def _row_values(row: Row, prediction: Prediction, predictor: Predictor) -> dict[str, Any]:
    scaled = {
        f"{name}_ms": getattr(prediction, f"{name}_s") * 1e3
        for name in ("ttft", "ttft_low", "ttft_high", "tpot", "tpot_low", "tpot_high")
    }
    return {
        "id": row.id,
        "line": row.line,
        "ttft_s": prediction.ttft_s,
        "tpot_s": prediction.tpot_s,
        **scaled,
        "prior_ttft_ms": prediction.estimate.ttft_s * 1e3,
        "prior_tpot_ms": prediction.estimate.tpot_s * 1e3,
        "running": prediction.estimate.running,
        "has_room": prediction.estimate.has_room,
        "fits": prediction.estimate.fits,
        "tpot_shares": prediction.estimate.decode_shares,
        "ttft_shares": prediction.estimate.prefill_shares,
        "gpu": row.deployment.gpu.name,
        "gpus": row.deployment.layout.gpus,
        "is_observed": predictor.has_seen(row),
        "notes": [*row.notes, *_engine_notes(row, predictor)],
    }


def _engine_notes(row: Row, predictor: Predictor) -> list[str]:
    engine = row.deployment.engine
    if predictor.has_measured(engine):
        return []
    return [f"no measurement of {engine} is behind its speed: that of an average engine is taken"]


def _errors(predictor: Predictor, predicted: _Predicted) -> tuple[list[float], list[float]]:
    """Return the relative errors of TTFT and TPOT of the rows that were measured and do not calibrate."""
    left = [(one, row) for row, one in predicted if not predictor.has_seen(row)]
    ttft = [(one.ttft_s, row.ttft_s) for one, row in left if row.ttft_s is not None]
    tpot = [(one.tpot_s, row.tpot_s) for one, row in left if row.tpot_s is not None]
    return _of(ttft), _of(tpot)


def _of(pairs: Sequence[tuple[float, float]]) -> list[float]:
    return relative_errors([one for one, _ in pairs], [other for _, other in pairs])


def _print(console: Console, reader: ReadRows, predictor: Predictor, predicted: _Predicted) -> None:
    count = count_parameters(reader.model)
    console.print(
        f"{reader.model.model_type}: {count.total / 1e9:.1f} B parameters, {count.active / 1e9:.1f} B active; "
        f"calibrated by {predictor.observed[0]} observed TPOTs and {predictor.observed[1]} TTFTs"
    )
    table = Table()
    for column in ("row", "GPUs", "prompt", "answer", "in flight", "TTFT", "90 %", "TPOT", "90 %"):
        table.add_column(column, justify="left" if column in {"row", "GPUs"} else "right", overflow="ellipsis")
    for row, one in predicted[:_SHOWN]:
        layout, load = row.deployment.layout, row.load
        table.add_row(
            escape(row.id[-24:]),
            f"{layout.gpus} {row.deployment.gpu.name}",
            f"{load.prompt_tokens}",
            f"{load.answer_tokens}",
            f"{load.concurrency * layout.dp_attention}",
            format_duration(one.ttft_s) + ("" if one.estimate.has_room else " *"),
            f"{format_duration(one.ttft_low_s)} - {format_duration(one.ttft_high_s)}",
            format_duration(one.tpot_s),
            f"{format_duration(one.tpot_low_s)} - {format_duration(one.tpot_high_s)}",
        )
    console.print(table)
    if len(predicted) > _SHOWN:
        console.print(f"... and {len(predicted) - _SHOWN} more; --json prints all")
    if any(not one.estimate.has_room for _, one in predicted):
        console.print("* requests wait for room in the KV cache")
    if any(not one.estimate.fits for _, one in predicted):
        console.print("note: by its figures the weights of some rows do not fit; room in the KV cache is not reckoned")
    for name, errors in zip(("TTFT", "TPOT"), _errors(predictor, predicted), strict=True):
        if errors:
            others = " not observed" if predictor.observed != (0, 0) else ""
            rows = f"{len(errors)} measured row{'s' if len(errors) > 1 else ''}{others}"
            console.print(f"{name}: median error {median(errors):.1%} against {rows}")
    for note in sorted({note for row, _ in predicted for note in (*row.notes, *_engine_notes(row, predictor))}):
        console.print(f"note: {escape(note)}", style="dim")
