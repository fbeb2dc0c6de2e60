"""The reference of what the planner knows: GPUs, models, formats."""

from __future__ import annotations

from tests.docs.generators.source import page, table

from overspill.catalog.gpus import CatalogGpu, load_gpus
from overspill.catalog.models import find_model, model_names
from overspill.perf.architecture import count_parameters
from overspill.perf.checkpoint import checkpoint_recipe
from overspill.perf.memory import kv_bytes
from overspill.perf.model_config import SUPPORTED, read_model
from overspill.perf.precision import FORMAT_BITS, RECIPES, weights_bytes
from overspill.units import MIB

_INTRODUCTION = """
What `overspill plan size` and `overspill plan predict` know, as of {as_of}. Every row can be replaced: GPUs with
`--gpus FILE`, models with a `config.json` of yours. [How it is used](../explanation/sizing.md).

- **GB** are the maker's (1e9 bytes), **GiB** what the planner reckons with (2^30 bytes).
- Arithmetic is dense, in TFLOPS (INT8: TOPS); empty where there are no units, so that a format saves memory alone.
- **Link** goes to the other GPUs of a machine, **network** to other machines: GB/s a GPU, one direction.
- **Confidence** `seen`: read in the named source. `recall`: from memory, check before you buy.
"""


def hardware_page() -> str:
    catalog = load_gpus()
    gpus = (
        *("GPU", "GB", "GiB", "TB/s", "BF16", "FP8", "FP4", "INT8", "link", "network", "W", "confidence", "source"),
    )
    models = (
        "model",
        "parameters, B",
        "active, B",
        "kept in",
        "weights, GB",
        "KV cache of 32,768 tokens, MiB",
        "source",
    )
    formats = ", ".join(f"`{name}` {bits:.4g}" for name, bits in FORMAT_BITS.items())
    return page(
        "Hardware and models of the planner",
        _INTRODUCTION.format(as_of=catalog.as_of),
        "## GPUs",
        table(gpus, [_gpu(row) for row in catalog.gpus]),
        "## Models",
        "Without MTP modules and towers for pictures and sound; the cache in BF16, on one GPU.",
        table(models, [_model(name) for name in model_names()]),
        "## Families that a `config.json` may be of",
        ", ".join(f"`{name}`" for name in SUPPORTED) + ".",
        "## Precisions",
        f"For `--precision`: {', '.join(f'`{name}`' for name in RECIPES)}.",
        f"Bits of a weight, scales included: {formats}.",
    )


def _gpu(row: CatalogGpu) -> tuple[str, ...]:
    def figure(value: float | None) -> str:
        return "" if value is None else f"{value:,g}"

    half = f"{figure(row.bf16_tflops)}{'' if row.has_bf16 else ' (FP16)'}"
    return (
        *(f"`{row.name}`", figure(row.memory_gb), figure(row.memory_gib), figure(row.bandwidth_tb_per_s), half),
        *(figure(row.fp8_tflops), figure(row.fp4_tflops), figure(row.int8_tops), figure(row.link_gb_per_s)),
        *(figure(row.network_gb_per_s), figure(row.power_w), row.confidence, row.source),
    )


def _model(name: str) -> tuple[str, ...]:
    found = find_model(name)
    model, kept = read_model(found.config, name), checkpoint_recipe(found.config, name)
    count = count_parameters(model)
    return (
        f"`{name}`",
        f"{count.total / 1e9:,.1f}",
        f"{count.active / 1e9:,.1f}",
        f"`{kept.name}`",
        f"{weights_bytes(model, count, kept) / 1e9:,.0f}",
        f"{kv_bytes(model, 32_768) / MIB:,.0f}",
        found.source,
    )
