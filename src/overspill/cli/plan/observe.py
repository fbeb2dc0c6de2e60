"""``overspill plan observe``: what a ledger saw of one target, as rows that calibrate the other commands."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from overspill.catalog.gpus import load_gpus
from overspill.cli.plan.showing import print_json
from overspill.errors import ConfigError, TraceError, UnknownName
from overspill.planner.attempts import Attempts, ObservedLoad
from overspill.planner.measured_rows import engine_name
from overspill.planner.recorded import read_attempts

_LAYOUT = ("tp", "pp", "dp", "ep")
_COLUMNS = (
    *("id", "source", "backend", "system", "precision", "isl", "osl", "batch_size", "tp_size", "pp_size"),
    *("attention_dp_size", "moe_ep_size", "ttft_ms", "tpot_ms", "attempts"),
)


@click.command()
@click.argument("ledger", type=click.Path(exists=True, dir_okay=False))
@click.option("--target", help="Whose attempts; not needed if the ledger has one target.")
@click.option("--gpu", required=True, help="What it runs on, as plan size names it.")
@click.option("--engine", default="vllm", help="vllm, sglang, trtllm or llamacpp.  [vllm]")
@click.option("--layout", default="tp=1", metavar="tp=4,ep=8", help="How its GPUs share the work: tp, pp, dp, ep.")
@click.option("--precision", help="How its weights are kept, if not as in the checkpoint.")
@click.option("--gpus", "gpus_path", metavar="YAML", help="A catalogue of GPUs of your own.")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the rows here instead of printing them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of CSV.")
def observe(ledger: str, out: str | None, as_json: bool, **given: Any) -> None:
    """Sum up what your gateway's ledger saw of one target as rows for --observed.

    One row for each number of requests in flight that was seen often enough: mean lengths, TTFT and TPOT. plan predict,
    plan size, plan cost and plan verdict take them with --observed, and are then calibrated by your own traffic.
    """
    gpu = load_gpus(given["gpus_path"]).find(given["gpu"])
    layout = _layout(given["layout"])
    target, attempts = _attempts(Path(ledger), given["target"])
    loads = Attempts(attempts).loads()
    if not loads:
        raise TraceError(
            f"{ledger}: the {len(attempts)} attempts on {target} tell no speed; it takes 8 answers of 4 tokens or more "
            "that had about as much company"
        )
    day = datetime.fromtimestamp(max(row["started_at"] for row in attempts), UTC).date()
    about = {
        "source": f"ledger {Path(ledger).name}, {target}; measured={day}",
        "backend": engine_name(given["engine"]),
        "system": gpu.name,
        "precision": given["precision"] or "",
        **dict(zip(("tp_size", "pp_size", "attention_dp_size", "moe_ep_size"), layout, strict=True)),
    }
    rows = [_row(target, load, about, layout[2]) for load in loads]
    if as_json:
        print_json({"target": target, "attempts": len(attempts), "rows": rows})
        return
    text = _csv(rows)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=out) from error
    click.echo(
        f"{len(rows)} rows from {len(attempts)} attempts on {target} are in {out}; use them with --observed {out}"
    )


def _layout(text: str) -> tuple[int, ...]:
    """Read tp=4,ep=8: the sizes of tensor, pipeline, attention's data, and expert parallelism."""
    sizes = dict.fromkeys(_LAYOUT, 1)
    for part in text.split(","):
        name, _, size = (piece.strip() for piece in part.partition("="))
        if name not in sizes:
            raise UnknownName("part of --layout", name, _LAYOUT)
        if not (size.isdecimal() and 1 <= int(size) <= 4096):
            raise click.UsageError(f"--layout {text}: {name} must be a whole number from 1 to 4096, not {size!r}")
        sizes[name] = int(size)
    return tuple(sizes.values())


def _attempts(ledger: Path, target: str | None) -> tuple[str, list[Any]]:
    by_target = read_attempts(ledger)
    if not by_target:
        raise TraceError(f"{ledger}: the ledger has no attempts yet; send some requests through the gateway")
    if target is None:
        if len(by_target) > 1:
            names = ", ".join(f"{name} ({len(rows)})" for name, rows in sorted(by_target.items()))
            raise TraceError(f"{ledger}: name one of its targets with --target; attempts by target: {names}")
        (target,) = by_target
    if target not in by_target:
        raise UnknownName("target of this ledger", target, by_target)
    return target, by_target[target]


def _row(target: str, load: ObservedLoad, about: dict[str, Any], groups: int) -> dict[str, Any]:
    return {
        "id": f"{target} {load.concurrency}",
        **about,
        "isl": load.prompt_tokens,
        "osl": load.output_tokens,
        "batch_size": max(1, round(load.concurrency / groups)),
        "ttft_ms": round(load.ttft_s * 1e3, 4),
        "tpot_ms": round(load.tpot_s * 1e3, 4),
        "attempts": load.attempts,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
