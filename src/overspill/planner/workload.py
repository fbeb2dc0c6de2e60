"""Request traces: when requests came, how long their prompts and answers were, and nothing of what they said.

The start of the planner's path: a trace is read, cut and scaled here, then played by the simulator in virtual time or
by ``overspill rehearse`` as real requests.

Formats: ``azure`` (AzurePublicDataset, LLM inference 2023: CSV with ``TIMESTAMP,ContextTokens,GeneratedTokens``),
``mooncake`` (FAST'25 release: JSON lines with ``timestamp`` in ms, ``input_length``, ``output_length``), and ``jsonl``,
our own (JSON lines with the fields of ``TraceRequest``). Any of them may be gzipped.
"""

from __future__ import annotations

import enum
import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Final, Literal

import msgspec

from overspill.errors import TraceError, UnknownName

TraceFormat = Literal["auto", "azure", "mooncake", "jsonl"]
_AZURE_HEADER: Final = "TIMESTAMP,ContextTokens,GeneratedTokens"
_BUNDLED: Final = "azure_conv_2023_slice.csv"


class Dropped(enum.StrEnum):
    """Why a row of a trace is no request."""

    NO_PROMPT = "no_prompt"  # 0 prompt tokens
    NO_OUTPUT = "no_output"  # 0 output tokens: a failed call


class TraceRequest(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One request of a trace; both token counts are 1 or more."""

    at_s: float
    """Seconds from the trace's start."""
    prompt_tokens: int
    output_tokens: int
    key_id: str = ""
    """Whose request it is, where a trace says so."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Requests in order of time."""

    source: str
    """File name, for reports."""
    requests: tuple[TraceRequest, ...]
    dropped: Mapping[Dropped, int] = {}
    """Rows that were left out when the file was read, by reason."""

    @property
    def length_s(self) -> float:
        """Seconds from the trace's start to its last request; 0 for an empty trace."""
        return self.requests[-1].at_s if self.requests else 0.0


class OfferedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """How much a trace asks for, on average over ``length_s``."""

    requests: int
    length_s: float
    requests_per_s: float
    prompt_tokens_per_s: float
    output_tokens_per_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float


class _MooncakeRow(msgspec.Struct, gc=False):
    timestamp: float
    input_length: int
    output_length: int


_Row = tuple[float, int, int]
"""Seconds from any origin, prompt tokens, output tokens."""


def read_trace(path: str | Path, format: TraceFormat = "auto") -> Trace:  # noqa: A002 - what it is called
    """Read a trace file; times are shifted so that its first kept row is at 0, rows are put in order of time.

    Raises ``TraceError`` with file and line if the file cannot be read, a row is damaged, or no row is left.
    """
    path = Path(path)
    lines = _read_lines(path)
    parse = _parser(_detect(path, lines) if format == "auto" else format)
    return _build(path.name, _rows(path, lines, parse))


def bundled_trace() -> Trace:
    """Return the ten minutes of Azure's conversation trace of 2023 that come with Overspill (``traces/SOURCES.md``)."""
    with resources.as_file(resources.files("overspill.planner") / "traces" / _BUNDLED) as path:
        return read_trace(path, "azure")


def cut(trace: Trace, start_s: float, length_s: float) -> Trace:
    """Return the requests with start_s ≤ at < start_s + length_s, with times from ``start_s``."""
    end_s = start_s + length_s
    kept = (request for request in trace.requests if start_s <= request.at_s < end_s)
    return _with(trace, (msgspec.structs.replace(request, at_s=request.at_s - start_s) for request in kept))


def scale_time(trace: Trace, factor: float) -> Trace:
    """Multiply all times: 0.5 is the same requests in half the time, so twice the load."""
    if not factor > 0:
        raise ValueError(f"a trace's times can be multiplied by a factor above 0, not by {factor}")
    return _with(trace, (msgspec.structs.replace(request, at_s=request.at_s * factor) for request in trace.requests))


def scale_tokens(
    trace: Trace, *, max_prompt: int | None = None, max_output: int | None = None, factor: float = 1.0
) -> Trace:
    """Multiply both token counts by ``factor``, round, then limit them; a count never falls below 1."""
    if not factor > 0 or (max_prompt or 1) < 1 or (max_output or 1) < 1:
        raise ValueError("factor must be above 0, max_prompt and max_output must be 1 or more")

    def scaled(count: int, limit: int | None) -> int:
        count = max(1, round(count * factor))
        return count if limit is None else min(count, limit)

    return _with(
        trace,
        (
            TraceRequest(
                request.at_s, scaled(request.prompt_tokens, max_prompt), scaled(request.output_tokens, max_output)
            )
            for request in trace.requests
        ),
    )


def offered_load(trace: Trace) -> OfferedLoad:
    """Return what a trace asks for; rates are 0 where it has no length."""
    count = len(trace.requests)
    prompt_tokens = sum(request.prompt_tokens for request in trace.requests)
    output_tokens = sum(request.output_tokens for request in trace.requests)
    length_s = trace.length_s
    per_s = 1 / length_s if length_s else 0.0
    return OfferedLoad(
        requests=count,
        length_s=length_s,
        requests_per_s=count * per_s,
        prompt_tokens_per_s=prompt_tokens * per_s,
        output_tokens_per_s=output_tokens * per_s,
        mean_prompt_tokens=prompt_tokens / count if count else 0.0,
        mean_output_tokens=output_tokens / count if count else 0.0,
    )


def _with(trace: Trace, requests: Iterable[TraceRequest]) -> Trace:
    return msgspec.structs.replace(trace, requests=tuple(requests))


def _read_lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig").splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: cannot read this trace: {error}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: this trace is no UTF-8 text (byte {error.start}); unpack it first") from error


def _detect(path: Path, lines: list[str]) -> Literal["azure", "mooncake", "jsonl"]:
    first = lines[0].strip() if lines else ""
    if first == _AZURE_HEADER:
        return "azure"
    if first.startswith("{"):
        return "mooncake" if '"input_length"' in first else "jsonl"
    raise TraceError(
        f"{path}:1: this is no known trace: expected the header {_AZURE_HEADER}, or JSON lines with timestamp, "
        "input_length, output_length (mooncake) or at_s, prompt_tokens, output_tokens (jsonl)"
    )


def _parser(format: str) -> Callable[[str], _Row | None]:  # noqa: A002
    match format:
        case "azure":
            return _parse_azure
        case "mooncake":
            return _mooncake_parser()
        case "jsonl":
            return _jsonl_parser()
        case _:
            raise UnknownName("trace format", format, ("auto", "azure", "mooncake", "jsonl"))


def _parse_azure(line: str) -> _Row | None:
    if line == _AZURE_HEADER:
        return None
    stamp, prompt, output = line.split(",")
    # The stamps name no zone; only their differences are used, and the trace has no clock change in it.
    since = datetime.fromisoformat(stamp) - datetime(2023, 1, 1)  # noqa: DTZ001
    return since.total_seconds(), int(prompt), int(output)


def _mooncake_parser() -> Callable[[str], _Row]:
    decode = msgspec.json.Decoder(_MooncakeRow).decode

    def parse(line: str) -> _Row:
        row = decode(line)
        return row.timestamp / 1000, row.input_length, row.output_length

    return parse


def _jsonl_parser() -> Callable[[str], _Row]:
    decode = msgspec.json.Decoder(TraceRequest).decode

    def parse(line: str) -> _Row:
        row = decode(line)
        return row.at_s, row.prompt_tokens, row.output_tokens

    return parse


def _rows(path: Path, lines: list[str], parse: Callable[[str], _Row | None]) -> Iterator[_Row]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            row = parse(text)
        except (ValueError, msgspec.DecodeError) as error:
            raise _bad_row(path, number, text, str(error)) from error
        if row is None:
            continue
        if row[1] < 0 or row[2] < 0 or not math.isfinite(row[0]):
            raise _bad_row(path, number, text, "a time and two token counts of 0 or more are needed")
        yield row


def _bad_row(path: Path, number: int, text: str, why: str) -> TraceError:
    return TraceError(f"{path}:{number}: this row is no request: {why}; got {text[:80]!r}")


def _build(source: str, rows: Iterable[_Row]) -> Trace:
    kept: list[_Row] = []
    dropped: dict[Dropped, int] = {}
    for row in rows:
        reason = Dropped.NO_PROMPT if row[1] == 0 else Dropped.NO_OUTPUT if row[2] == 0 else None
        if reason is None:
            kept.append(row)
        else:
            dropped[reason] = dropped.get(reason, 0) + 1
    if not kept:
        raise TraceError(f"{source}: no request is left in this trace ({sum(dropped.values())} rows without tokens)")
    kept.sort(key=lambda row: row[0])
    start_s = kept[0][0]
    requests = tuple(TraceRequest(at_s - start_s, prompt, output) for at_s, prompt, output in kept)
    return Trace(source=source, requests=requests, dropped=dropped)
