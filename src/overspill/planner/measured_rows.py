"""Rows of a benchmark, one load on one deployment each: what ``overspill plan predict`` reads.

The columns are those of aiconfigurator's ``silicon_sample.csv``; the shorter names that other tables use are taken as
well. Only prompt and answer lengths must be there; what else is missing has a default, told in ``Row.notes``.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from overspill.catalog.gpus import GpuCatalog
from overspill.errors import ConfigError, UnknownName
from overspill.perf.architecture import Architecture, Role, count_parameters
from overspill.perf.hardware import Gpu
from overspill.perf.memory import Layout
from overspill.perf.precision import FORMAT_BITS, RECIPES, Recipe, recipe, uniform
from overspill.perf.roofline import Deployment, Load

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "model": ("model_path", "model"),
    "gpu": ("system", "gpu"),
    "engine": ("backend", "engine"),
    "version": ("backend_version", "version"),
    "mode": ("mode",),
    "precision": ("precision",),
    "gemm": ("gemm_quant_mode",),
    "experts": ("moe_quant_mode",),
    "cache": ("kvcache_quant_mode", "kv_cache_dtype"),
    "prompt": ("isl", "prompt_tokens"),
    "answer": ("osl", "answer_tokens"),
    "concurrency": ("batch_size", "concurrency"),
    "tp": ("tp_size", "tp", "count"),
    "pp": ("pp_size", "pp"),
    "dp": ("attention_dp_size", "dp_size", "dp"),
    "expert_tp": ("moe_tp_size",),
    "ep": ("moe_ep_size", "ep"),
    "decode_concurrency": ("decode_batch_size",),
    "workers": ("num_workers",),
    "decode_workers": ("decode_num_workers",),
    "decode_tp": ("decode_tp_size",),
    "decode_dp": ("decode_attention_dp_size",),
    "source": ("silicon_data_source", "source"),
    "ttft_ms": ("silicon_ttft_ms", "ttft_ms"),
    "tpot_ms": ("silicon_tpot_ms", "tpot_ms"),
    "ttft_s": ("ttft_s",),
    "tpot_s": ("tpot_s",),
}
"""What is read, and the names of columns under which it is found; the first that is there counts."""

_QUANTISATIONS: Mapping[str, str] = {
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "fp8_static": "fp8",
    "fp8_ootb": "fp8",
    "mxfp8": "mxfp8",
    "nvfp4": "nvfp4",
    "fp4": "nvfp4",
    "mxfp4": "mxfp4",
    "w4a16_mxfp4": "mxfp4",
    "w4a8_mxfp4_mxfp8": "mxfp4",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp16": "fp16",
    "float16": "fp16",
    "int8": "int8",
    "int8_wo": "int8",
    "sq": "int8",
    "int4": "int4_g128",
    "int4_wo": "int4_g128",
    "w4afp8": "int4_g128",
    "w4a16": "int4_g128",
    "awq": "int4_g128",
    "gptq": "int4_g128",
}
_LIKE_FORMATS = (
    # For names that are none of the above: what they contain, in this order.
    *(("mxfp4", "mxfp4"), ("fp4", "nvfp4"), ("mxfp8", "mxfp8"), ("fp8", "fp8"), ("int8", "int8"), ("w8a8", "int8")),
    *(("int4", "int4_g128"), ("w4a", "int4_g128"), ("4bit", "int4_g128"), ("bf16", "bf16"), ("float16", "bf16")),
)
_GGUF = frozenset(name.lower() for name in RECIPES if name.startswith(("q", "iq")))
"""Whole recipes, not formats, by the names that llama.cpp gives them."""
_LIKE_ENGINES = (
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("trt", "trtllm"),
    ("tensorrt", "trtllm"),
    ("llama", "llamacpp"),
)
_OWN_ENGINES = frozenset({"vllm-2023"})
"""Names that are not of the engine that they contain: the first vLLM was three times as slow a layer."""
_CONCURRENCY = re.compile(r"concurrency=(\d{1,6})\b")
"""Some tables leave ``batch_size`` empty and say it in the words of their source."""
_MEASURED = re.compile(r"measured=(\d{4}-\d\d-\d\d)")
_STATIC = ("batch", "static")
"""Modes of benchmarks whose prompts start and end together."""
_MOST_TOKENS = 100_000_000


_SQLITE = b"SQLite format 3\x00"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a load on a deployment, and what was measured of it."""

    id: str
    line: int
    deployment: Deployment
    load: Load
    run: str
    """Engine version and day of measurement: rows of one run are alike."""
    precision: str
    """As the row names it."""
    ttft_s: float | None
    tpot_s: float | None
    is_disaggregated: bool
    notes: tuple[str, ...]


class ReadRows(msgspec.Struct, frozen=True, kw_only=True):
    """The model whose rows are read, and what a row may leave to it."""

    model: Architecture
    checkpoint: Recipe
    gpus: GpuCatalog
    default_gpu: str | None = None
    default_engine: str = "vllm"

    def from_file(self, path: str) -> list[Row]:
        """Read a CSV file with a header; raise ``ConfigError`` naming line and column of what is wrong."""
        try:
            content = Path(path).read_bytes()
            if content.startswith(_SQLITE):
                raise ConfigError("is a ledger; make rows of it with: overspill plan observe", file=path)
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error
        except UnicodeDecodeError as error:
            raise ConfigError("is not a CSV file in UTF-8", file=path) from error
        return self.from_text(text, path)

    def from_text(self, text: str, path: str) -> list[Row]:
        """Read the content of such a file."""
        head = text.partition("\n")[0]
        delimiter = next((sign for sign in ";\t" if sign in head and "," not in head), ",")
        table = csv.DictReader(io.StringIO(text), delimiter=delimiter)
        table.fieldnames = [column.strip().lower() for column in table.fieldnames or ()]
        names = {column for column in table.fieldnames if column}
        for needed in ("prompt", "answer"):
            if not names & set(COLUMNS[needed]):
                raise ConfigError(f"has no column {' or '.join(COLUMNS[needed])}", file=path, line=1)
        lines = [_Cells(cells, path, table.line_num) for cells in table]
        if not lines:
            raise ConfigError("has no rows below its header", file=path)
        models = sorted({name for cells in lines if (name := cells.text("model"))})
        several = f"the table is of {len(models)} models ({', '.join(models)}): all rows are reckoned as the given one"
        return [self._row(cells, [several] if len(models) > 1 else []) for cells in lines]

    def observed_from_file(self, path: str) -> list[Row]:
        """Read the rows of such a file of which something was measured; raise ``ConfigError`` if there is none."""
        rows = [row for row in self.from_file(path) if row.ttft_s is not None or row.tpot_s is not None]
        if not rows:
            raise ConfigError("has no row with a ttft_ms or tpot_ms: nothing was observed", file=path)
        return rows

    def _row(self, cells: _Cells, notes: list[str]) -> Row:
        gpu, notes = self._gpu(cells), list(notes)
        is_apart = cells.text("mode") == "disagg"
        if is_apart:
            notes.append("disaggregated: TTFT is reckoned as if the decoding GPUs did the prefill")
        layout, concurrency = self._layout(cells, gpu.largest_group, notes, is_apart=is_apart)
        kept, precision = self._recipe(cells)
        return Row(
            id=cells.text("id") or f"line {cells.line}",
            line=cells.line,
            deployment=Deployment(
                model=self.model,
                count=count_parameters(self.model),
                recipe=kept,
                gpu=gpu,
                engine=engine_name(cells.text("engine") or self.default_engine),
                layout=layout,
                cache_element_bytes=self._cache_bytes(cells, kept),
            ),
            load=Load(
                concurrency=concurrency,
                prompt_tokens=cells.whole("prompt") or 1,
                answer_tokens=cells.whole("answer") or 1,
                is_static=cells.text("mode") in _STATIC,
                is_apart=is_apart,
            ),
            run=_run(cells),
            precision=precision,
            ttft_s=cells.seconds("ttft"),
            tpot_s=cells.seconds("tpot"),
            is_disaggregated=is_apart,
            notes=tuple(notes),
        )

    def _gpu(self, cells: _Cells) -> Gpu:
        named = cells.text("gpu")
        if named is None and self.default_gpu is None:
            raise cells.error("gpu", "is missing: say it with --gpu NAME")
        try:
            return self.gpus.find(named or self.default_gpu or "").gpu()
        except UnknownName as error:
            if named is None:
                raise
            raise cells.error("gpu", f"has an {error}; for others write a catalogue of your own: --gpus FILE") from None

    def _layout(self, cells: _Cells, largest: int, notes: list[str], *, is_apart: bool) -> tuple[Layout, int]:
        """Return the layout and the requests in flight at each attention group."""
        prefix = "decode_" if is_apart else ""
        concurrency = self._concurrency(cells, prefix, notes)
        tp, dp = cells.whole(f"{prefix}tp", default=1) or 1, cells.whole(f"{prefix}dp", default=1) or 1
        ep, expert_tp = cells.whole("ep", default=1) or 1, cells.whole("expert_tp", default=1) or 1
        if tp * dp > largest and ep == expert_tp and ep > 1 and tp * dp == ep * ep:
            # Some tables give TP x EP of the same GPUs as if they were different ones.
            notes.append(f"{tp * dp} GPUs are read as {ep}: TP and EP are of the same GPUs")
            concurrency *= dp // ep if dp > 1 else 1
            tp, dp = (1, ep) if dp > 1 else (ep, 1)
        pp = cells.whole("pp", default=1) or 1
        return Layout(tp=tp * dp, pp=pp, dp_attention=dp, ep=ep), concurrency

    def _concurrency(self, cells: _Cells, prefix: str, notes: list[str]) -> int:
        """Return the requests in flight at each attention group: as a cell says, or the source in words for all."""
        given = cells.whole(f"{prefix}concurrency", default=0)
        if given:
            return given
        total = _CONCURRENCY.search(cells.text("source") or "")
        if total is None:
            notes.append("no batch_size: taken as 1 request in flight")
            return 1
        parts = [cells.whole(f"{prefix}{what}", default=1) or 1 for what in ("workers", "dp")]
        return max(1, round(int(total[1]) / math.prod(parts)))

    def _recipe(self, cells: _Cells) -> tuple[Recipe, str]:
        """Return the weights' formats: the row's, but the checkpoint's own where it has the same number of bits."""
        named = cells.text("precision")
        if named is not None and cells.text("gemm") is None and named.lower() in _GGUF:
            return recipe(named), named.lower()
        gemm = cells.quantisation("gemm") or cells.quantisation("precision")
        routed = cells.quantisation("experts") or gemm
        if gemm is None or routed is None:
            return self.checkpoint, self.checkpoint.name
        formats = self.checkpoint.formats
        main = formats[Role.EXPERTS if self.model.experts is not None else Role.DENSE]
        if math.floor(FORMAT_BITS[main]) == math.floor(FORMAT_BITS[routed]) and main != "bf16":
            return self.checkpoint, f"{gemm}/{routed}"
        kept = uniform(gemm, gemm) if FORMAT_BITS[gemm] < 16 else recipe(gemm)
        return msgspec.structs.replace(kept, formats={**kept.formats, Role.EXPERTS: routed}), f"{gemm}/{routed}"

    def _cache_bytes(self, cells: _Cells, kept: Recipe) -> float:
        """Return the size of a cached number: as the row says, else FP8 for weights of 8 bits and less."""
        cache = cells.quantisation("cache")
        if cache is not None:
            return FORMAT_BITS[cache] / 8
        routed = kept.formats[Role.EXPERTS if self.model.experts is not None else Role.DENSE]
        return 1.0 if FORMAT_BITS[routed] < 16 else 2.0


class _Cells:
    """One line of the table."""

    def __init__(self, cells: Mapping[str | None, str | Sequence[str] | None], file: str, line: int) -> None:
        self._cells = {str(name): str(value or "").strip() for name, value in cells.items() if name is not None}
        self._file = file
        self.line = line

    def text(self, what: str) -> str | None:
        """Return a cell, or ``None`` if column or content is missing."""
        return next((self._cells[name] for name in COLUMNS[what] if self._cells.get(name)), None)

    def whole(self, what: str, *, default: int | None = None) -> int | None:
        """Return a whole number of 0 or more, ``default`` if the cell is empty."""
        number = self.number(what)
        if number is None:
            if default is None:
                raise self.error(what, "is missing")
            return default
        if number != int(number) or not 0 <= number <= _MOST_TOKENS:
            raise self.error(what, f"must be a whole number from 0 to {_MOST_TOKENS:,}, not {self.text(what)!r}")
        return int(number)

    def number(self, what: str) -> float | None:
        """Return a finite number, or ``None`` if the cell is empty."""
        text = self.text(what)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            raise self.error(what, f"must be a number, not {text!r}") from None
        if not math.isfinite(number):
            raise self.error(what, f"must be a finite number, not {text!r}")
        return number

    def seconds(self, what: str) -> float | None:
        """Return a measured time above 0, given in milliseconds or seconds."""
        for unit, scale in (("ms", 1e-3), ("s", 1.0)):
            value = self.number(f"{what}_{unit}")
            if value is not None and value <= 0:
                raise self.error(f"{what}_{unit}", f"must be above 0, not {value:g}")
            if value is not None:
                return value * scale
        return None

    def quantisation(self, what: str) -> str | None:
        """Return a format by one of the names that tables use for it."""
        text = self.text(what)
        if text is None:
            return None
        wanted = text.lower()
        found = _QUANTISATIONS.get(wanted) or next((kept for part, kept in _LIKE_FORMATS if part in wanted), None)
        if found is None:
            raise self.error(what, f"has {text!r}; known: {', '.join(_QUANTISATIONS)}")
        return found

    def error(self, what: str, message: str) -> ConfigError:
        """Return an error about a cell of this line."""
        column = next((name for name in COLUMNS[what] if name in self._cells), COLUMNS[what][0])
        return ConfigError(f"column {column} {message}", file=self._file, line=self.line)


def _run(cells: _Cells) -> str:
    measured = _MEASURED.search(cells.text("source") or "")
    return f"{cells.text('version') or ''} {measured[1] if measured else ''}".strip()


def engine_name(name: str) -> str:
    """Return an engine by the name that is used here; one that is not known keeps its own."""
    wanted = name.strip().lower()
    if wanted in _OWN_ENGINES:
        return wanted
    return next((engine for part, engine in _LIKE_ENGINES if part in wanted), wanted)
