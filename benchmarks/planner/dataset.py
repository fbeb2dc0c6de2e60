"""The published measurements that the planner's speeds are fitted to and checked on, cleaned as said here.

Dropped: rows on more GPUs than one fast domain joins, and rows of models with experts whose TP x EP is not the number
of GPUs (both come of mis-parsed columns), and repetitions of one and the same measurement. Of 2,004 + 171 rows that
leaves what ``load`` returns. Nothing is dropped for being hard to predict.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path

import msgspec

from overspill.catalog.gpus import load_gpus
from overspill.catalog.models import find_model
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.model_config import read_model
from overspill.planner.measured_rows import ReadRows, Row

DATA = Path(__file__).parent / "data"
MODELS = {
    "deepseek-ai/DeepSeek-R1": "DeepSeek-R1",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "meta-llama/Llama-3.1-70B": "Llama-3.1-70B",
    "Qwen/Qwen3-32B": "Qwen3-32B",
    "meta-llama/Llama-3.1-8B-Instruct": "Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "Llama-3.1-8B",
    "meta-llama/Llama-2-70b": "Llama-2-70B",
}


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement."""

    model: str
    series: str
    """Model, GPU, engine and precision."""
    deployment: str
    """The series and its layout: what one would call a deployment."""
    row: Row

    @property
    def gpu(self) -> str:
        """The GPU's name."""
        return self.row.deployment.gpu.name

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.row.deployment.engine

    @property
    def ttft_s(self) -> float:
        """The measured TTFT."""
        assert self.row.ttft_s is not None
        return self.row.ttft_s

    @property
    def tpot_s(self) -> float:
        """The measured TPOT."""
        assert self.row.tpot_s is not None
        return self.row.tpot_s


def load() -> tuple[list[Measured], dict[str, int]]:
    """Return the measurements, and how many rows were dropped for which reason."""
    silicon = gzip.decompress((DATA / "silicon_sample.csv.gz").read_bytes()).decode()
    tables = (silicon, (DATA / "splitwise.csv").read_text())
    kept: list[Measured] = []
    dropped = {"more GPUs than a domain": 0, "TP x EP is not the GPUs": 0, "repeated": 0}
    seen: set[tuple[object, ...]] = set()
    for table in tables:
        for measured, cells in _rows(table):
            layout = measured.row.deployment.layout
            tp, dp = int(cells["tp_size"]), int(cells.get("attention_dp_size") or 1) or 1
            groups = int(cells.get("moe_tp_size") or 1) * int(cells.get("moe_ep_size") or 1)
            if tp * dp > 8 or measured.row.notes:
                dropped["more GPUs than a domain"] += 1
                continue
            if measured.row.deployment.model.experts is not None and groups != layout.tp:
                dropped["TP x EP is not the GPUs"] += 1
                continue
            key = (measured.deployment, measured.row.load, measured.ttft_s, measured.tpot_s)
            if key in seen:
                dropped["repeated"] += 1
                continue
            seen.add(key)
            kept.append(measured)
    return kept, dropped


def _rows(table: str) -> Iterable[tuple[Measured, dict[str, str]]]:
    lines = list(csv.DictReader(io.StringIO(table)))
    gpus = load_gpus()
    for path, name in MODELS.items():
        of_model = [cells for cells in lines if cells["model_path"] == path]
        if not of_model:
            continue
        config = find_model(name).config
        reader = ReadRows(model=read_model(config, name), checkpoint=checkpoint_recipe(config, name), gpus=gpus)
        out = io.StringIO()
        writer = csv.DictWriter(out, list(of_model[0]))
        writer.writeheader()
        writer.writerows(of_model)
        for row, cells in zip(reader.from_text(out.getvalue(), path), of_model, strict=True):
            layout = row.deployment.layout
            series = "|".join((name, cells["system"], row.deployment.engine, row.precision))
            where = f"{series}|tp{layout.attention_tp} dp{layout.dp_attention} ep{layout.ep}"
            yield Measured(model=name, series=series, deployment=where, row=row), cells
