"""Finds out what a log is by its content, not by its name, and reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from overspill.errors import TraceError, UnknownName
from overspill.planner.demand import DemandSeries
from overspill.planner.remarks import Remark
from overspill.planner.workload import Dropped, Trace, TraceRequest
from overspill.planner.workloads import azure, burstgpt, json_lines, ledger, openai_usage, rates, servegen, synthetic
from overspill.planner.workloads.rows import Options, RequestLog
from overspill.planner.workloads.source import Progress, Source

TraceFormat = Literal["auto", "azure", "mooncake", "burstgpt", "servegen", "ledger", "openai_usage", "rates", "jsonl"]
FORMATS: Final[tuple[str, ...]] = get_args(TraceFormat)
BUNDLED: Final[Mapping[str, str]] = {
    "azure-conv-2023": "azure_conv_2023_slice.csv",
    "servegen-deepseek-r1": "servegen_deepseek-r1_clients.csv.gz",
    "servegen-deepseek-r1-rates": "servegen_reason_deepseek-r1_rate600s.csv",
    "servegen-m-large-rates": "servegen_language_m-large_rate600s.csv",
    "servegen-m-mid-rates": "servegen_language_m-mid_rate600s.csv",
    "servegen-m-small-rates": "servegen_language_m-small_rate600s.csv",
}
"""Workloads that come with Overspill, under ``bundled:NAME``; ``traces/SOURCES.md`` says where they are from."""
_BUNDLED_PREFIX: Final = "bundled:"
_DEFAULTS: Final = Options()


class Workload(Protocol):
    """What was asked for, and when."""

    @property
    def name(self) -> str:
        """The file's name or the numbers, for reports."""

    @property
    def format(self) -> str:
        """What it was read as."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What is not in the log and was assumed, in words."""

    @property
    def dropped(self) -> Mapping[Dropped, int]:
        """Rows that were left out, by reason; complete once it has been read."""

    @property
    def starts_at_unix_s(self) -> float | None:
        """When the first request came, once that is known; ``None`` where nobody told."""

    def requests(self) -> Iterator[TraceRequest]:
        """Yield the requests in order of time, the same ones each time; raise ``TraceError`` for a damaged log."""

    def demand(self, window_s: float) -> DemandSeries:
        """Sum it into windows."""


def open_workload(
    place: str | Path,
    format: TraceFormat = "auto",  # noqa: A002 - what it is called
    options: Options = _DEFAULTS,
    progress: Progress | None = None,
) -> Workload:
    """Open a file, a folder of ServeGen's release, ``bundled:NAME``, or a few numbers (``rps=2,in=1200,out=300``).

    ``progress`` is told the part that was read, while it is. Raise ``TraceError`` for what is no known log.
    """
    if isinstance(place, str) and format == "auto" and synthetic.is_numbers(place) and not Path(place).exists():
        return synthetic.SyntheticWorkload(place, options, progress)
    path = _place(place)
    if path.is_dir():
        return servegen.read_folder(path, options, progress)
    source = Source(path, progress)
    name = _detect(source) if format == "auto" else format
    if name == "servegen":  # reading its rates is quick, drawing from them is not
        return servegen.read_clients(Source(path), options, progress)
    return _reader(name, source, options)


def read_trace(
    path: str | Path,
    format: TraceFormat = "auto",  # noqa: A002
    options: Options = _DEFAULTS,
) -> Trace:
    """Read all requests of a log at once; the first one is at 0.

    Raise ``TraceError`` with file and line if the file cannot be read, a row is damaged, or no row is left.
    """
    workload = open_workload(path, format, options)
    requests = tuple(workload.requests())
    return Trace(source=workload.name, requests=requests, dropped=workload.dropped)


def bundled_trace() -> Trace:
    """Return the ten minutes of Azure's conversation trace of 2023 that come with Overspill (``traces/SOURCES.md``)."""
    return read_trace("bundled:azure-conv-2023")


def _place(place: str | Path) -> Path:
    text = str(place)
    if not text.startswith(_BUNDLED_PREFIX):
        return Path(place)
    name = text.removeprefix(_BUNDLED_PREFIX)
    if name not in BUNDLED:
        raise UnknownName("bundled workload", name, BUNDLED)
    return Path(str(resources.files("overspill.planner") / "traces" / BUNDLED[name]))


def _detect(source: Source) -> str:
    head = source.head()
    if head.startswith((ledger.SQLITE, ledger.PARQUET)):
        return "ledger"
    first = source.first_line()
    if not first:
        raise TraceError(f"{source.path} is empty: there is no request in it")
    tests = {
        "azure": azure.is_azure,
        "burstgpt": burstgpt.is_burstgpt,
        "servegen": lambda line: line == servegen.HEADER,
        "rates": rates.is_rates,
        "openai_usage": openai_usage.is_usage_csv,
        "ledger": ledger.is_ledger,
    }
    for name, is_this in tests.items():
        if is_this(first):
            return name
    found = _detect_json(first, head.decode("utf-8", "replace")) if first.startswith(("{", "[")) else None
    if found is not None:
        return found
    raise TraceError(
        f"{source.path}:1: this is no known trace: expected the header {azure.HEADER} (azure), that of BurstGPT, of a "
        "ledger's export, of OpenAI's usage export or of a table of rates (window_start_s,requests_per_s), or JSON "
        "lines with timestamp, input_length, output_length (mooncake) or at_s, prompt_tokens, output_tokens (jsonl)"
    )


def _detect_json(first: str, head: str) -> str | None:
    if '"input_length"' in first:
        return "mooncake"
    if openai_usage.is_usage_json(head):
        return "openai_usage"
    return "jsonl" if '"prompt_tokens"' in first else None


def _reader(name: str, source: Source, options: Options) -> Workload:
    start = options.starts_at_unix_s
    match name:
        case "azure":
            return RequestLog(source.name, name, azure.rows_of(source), has_dates=True)
        case "mooncake":
            rows = json_lines.mooncake_rows(source, options.cache_blocks)
            return RequestLog(source.name, name, rows, starts_at_unix_s=start, assumptions=_cache_assumption(options))
        case "burstgpt":
            rows = burstgpt.rows_of(source, options.model)
            return RequestLog(source.name, name, rows, starts_at_unix_s=start)
        case "ledger":
            return _ledger(source, options)
        case "openai_usage":
            return openai_usage.read_usage(source, options)
        case "rates":
            return rates.read_rates(source, options)
        case "jsonl":
            return RequestLog(source.name, name, json_lines.own_rows(source), starts_at_unix_s=start)
        case _:
            raise UnknownName("trace format", name, FORMATS)


def _ledger(source: Source, options: Options) -> RequestLog:
    head = source.head()
    if head.startswith(ledger.SQLITE):
        rows = ledger.sqlite_rows(source.path, options.model)
    elif head.startswith(ledger.PARQUET):
        rows = ledger.parquet_rows(source.path, options.model)
    else:
        rows = ledger.text_rows(source, options.model)
    return RequestLog(source.name, "ledger", rows, has_dates=True)


def _cache_assumption(options: Options) -> tuple[Remark, ...]:
    blocks = options.cache_blocks
    size, size_zh = ("without a bound", "容量不限") if blocks is None else (f"of {blocks} blocks", f"容量 {blocks} 块")
    return (
        Remark(
            f"prefix hits are those of one cache {size}, shared by all requests, in blocks of 512 tokens",
            f"前缀命中按一个所有请求共享的缓存计算（{size_zh}，每块 512 token）",
        ),
    )
