"""OpenAI's usage of completions: what the Usage API answers, and what the dashboard exports.

- Usage API: JSON pages of buckets (``start_time``, ``end_time``, ``results``), one page, an array of pages, or one page
  or bucket a line;
- the dashboard's export since 2025: CSV with ``start_time,end_time,…,num_model_requests,…,input_tokens,output_tokens``;
- its export before: JSON with ``aggregation_timestamp``, ``n_requests``, ``n_context_tokens_total``.

Other providers' consoles that write one of these forms are read as well. Rows of one bucket (by key, project, model)
are added up. ``input_tokens`` includes the cached ones.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from overspill.errors import TraceError
from overspill.planner.workload import Dropped
from overspill.planner.workloads.buckets import Bucket, BucketWorkload
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.source import Source

_LEGACY_BUCKET_S = 300.0


class _Result(msgspec.Struct, frozen=True, gc=False):
    """One group of a bucket, by any of the names that its numbers have had."""

    num_model_requests: float | None = None
    n_requests: float | None = None
    num_requests: float | None = None
    input_tokens: float | None = None
    n_context_tokens_total: float | None = None
    output_tokens: float | None = None
    n_generated_tokens_total: float | None = None
    input_cached_tokens: float | None = None
    n_cached_context_tokens_total: float | None = None
    n_non_cached_context_tokens_total: float | None = None
    model: str | None = None
    snapshot_id: str | None = None
    batch: bool | None = None
    start_time: float | None = None
    end_time: float | None = None
    aggregation_timestamp: float | None = None
    timestamp: float | None = None

    @property
    def is_empty(self) -> bool:
        """True for a bucket in which nothing was."""
        return self.prompt is None and self.output is None

    @property
    def count(self) -> float | None:
        """Requests."""
        return _first(self.num_model_requests, self.n_requests, self.num_requests)

    @property
    def prompt(self) -> float | None:
        """Prompt tokens, the cached ones included."""
        return _first(self.input_tokens, self.n_context_tokens_total)

    @property
    def output(self) -> float | None:
        """Answer tokens."""
        return _first(self.output_tokens, self.n_generated_tokens_total)

    @property
    def cached(self) -> float:
        """Prompt tokens that were cached."""
        known = _first(self.input_cached_tokens, self.n_cached_context_tokens_total)
        if known is None and self.n_non_cached_context_tokens_total is not None:
            return max(0.0, (self.prompt or 0.0) - self.n_non_cached_context_tokens_total)
        return known or 0.0


def is_usage_csv(first_line: str) -> bool:
    """Tell whether a CSV begins like the dashboard's export."""
    return first_line.startswith("start_time,end_time,")


def is_usage_json(head: str) -> bool:
    """Tell whether a JSON text is usage in one of its forms."""
    keys = ("num_model_requests", "n_context_tokens_total", "results", "bucket", "has_more")
    return any(f'"{key}"' in head for key in keys)


def read_usage(source: Source, options: Options) -> BucketWorkload:
    """Read an export in any of its forms; raise ``TraceError`` if it has no requests and tokens."""
    is_csv = is_usage_csv(source.first_line())
    found = list(_csv_results(source) if is_csv else _json_results(source))
    if not found:
        raise TraceError(f"{source.path}: there is no bucket in this usage export")
    dropped: dict[Dropped, int] = {}
    sums: dict[tuple[float, float], list[float]] = {}
    spacing_s = _spacing(start_s for start_s, _, _, _ in found)
    for start_s, end_s, where, result in found:
        bucket = sums.setdefault((start_s, start_s + spacing_s if end_s is None else end_s), [0.0] * 4)
        reason = _reason(result, options.model)
        if reason is not None:
            dropped[reason] = dropped.get(reason, 0) + 1
        elif result is not None and not result.is_empty:
            _add(bucket, result, f"{source.path}{where}")
    buckets = [Bucket(start_s, end_s, *amounts) for (start_s, end_s), amounts in sums.items() if end_s > start_s]
    return BucketWorkload(source.name, "openai_usage", buckets, options, has_dates=True, dropped=dropped)


def _reason(result: _Result | None, model: str | None) -> Dropped | None:
    if result is None or result.is_empty:
        return None
    if model is not None and model not in {result.model, result.snapshot_id}:
        return Dropped.OTHER_MODEL
    return Dropped.BATCH if result.batch else None


def _add(bucket: list[float], result: _Result, where: str) -> None:
    amounts = (result.count, result.prompt, result.cached, result.output)
    if None in amounts:
        raise TraceError(
            f"{where}: this usage has no requests, input or output tokens (num_model_requests, input_tokens, "
            "output_tokens); export the usage of completions, not costs or embeddings"
        )
    for place, amount in enumerate(amounts):
        bucket[place] += amount or 0.0


_Found = tuple[float, float | None, str, _Result | None]
"""Start and end of a bucket, where it stands in the file, and one of its results; ``None`` for an empty bucket."""


def _csv_results(source: Source) -> Iterator[_Found]:
    lines = source.lines()
    _, header = next(lines)
    columns = header.split(",")
    for number, text in lines:
        cells = {name: cell for name, cell in zip(columns, next(csv.reader([text])), strict=False) if cell}
        try:
            result = msgspec.convert(_lowered(cells), _Result, strict=False)
        except msgspec.ValidationError as error:
            raise source.bad_row(number, text, str(error)) from error
        if result.start_time is None or result.end_time is None:
            raise source.bad_row(number, text, "start_time and end_time are needed")
        yield result.start_time, result.end_time, f":{number}", result


def _lowered(cells: Mapping[str, str]) -> dict[str, str]:
    return {name: cell.lower() if name == "batch" else cell for name, cell in cells.items()}


def _json_results(source: Source) -> Iterator[_Found]:
    for bucket in _buckets_of(source):
        try:
            yield from _results_of(bucket)
        except (msgspec.ValidationError, KeyError, TypeError, AttributeError) as error:
            raise TraceError(f"{source.path}: a bucket of this usage cannot be read: {error!r}") from error


def _results_of(bucket: Any) -> Iterator[_Found]:
    if "start_time" not in bucket:
        result = msgspec.convert(bucket, _Result)
        start_s = _first(result.aggregation_timestamp, result.timestamp)
        if start_s is None:
            raise KeyError("start_time")
        yield start_s, None, "", result
        return
    start_s, end_s = float(bucket["start_time"]), float(bucket["end_time"])
    groups = bucket.get("results", bucket.get("result", []))
    for group in groups:
        yield start_s, end_s, "", msgspec.convert(group, _Result)
    if not groups:
        yield start_s, end_s, "", None


def _buckets_of(source: Source) -> Iterator[Any]:
    try:
        whole = [msgspec.json.decode(source.text())]
    except msgspec.DecodeError:
        whole = []
        for number, text in source.lines():
            try:
                whole.append(msgspec.json.decode(text))
            except msgspec.DecodeError as error:
                raise source.bad_row(number, text, str(error)) from error
    for page in _flat(whole):
        yield from _flat(page["data"] if isinstance(page, dict) and "data" in page else [page])


def _flat(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _spacing(starts: Iterable[float]) -> float:
    ordered = sorted(set(starts))
    return min((later - earlier for earlier, later in itertools.pairwise(ordered)), default=_LEGACY_BUCKET_S)
