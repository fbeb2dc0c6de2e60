"""ServeGen (Alibaba Cloud Model Studio, NSDI'26): what each client sent, as rates and densities; requests are drawn.

Two layouts are read. The release's: a folder with ``chunk-N-trace.csv`` (no header; start, rate, cv, family, shape,
scale for each 600 s) and ``chunk-N-dataset.json`` (window → densities of the lengths) for each client N. And one file
for all clients, ``NAME_clients.csv`` with a header, beside ``NAME_pdfs.json``; both may be gzipped.

For each client and window as many requests are drawn as were counted there (rate × length), their gaps from the
family and shape that were fitted to it, their lengths independently from its densities of that time.
"""

from __future__ import annotations

import ast
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from overspill.errors import TraceError
from overspill.planner.demand import DemandSeries, summed_over
from overspill.planner.remarks import Remark
from overspill.planner.workload import Dropped, TraceRequest
from overspill.planner.workloads.arrivals import Family, drawn_from, gaps, generator, squeezed, whole_count
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.source import Progress, Source

HEADER: Final = "client,window_start_s,rate,cv,pattern,shape,scale"
RATES_HEADER: Final = "window_start_s,requests_per_s"
_FAMILIES: Final = ("Gamma", "Weibull")
_IDLE: Final = ("0", "0.0", "")
_NOTHING: Final = ("0", "1", "Gamma", "1", "1")
"""What stands for a window without requests, whose other columns are empty."""
T = TypeVar("T")
_Densities = dict[str, dict[str, str | dict[str, float]]]
"""By the start of a window: what is measured → its density, which the release writes as the text of a dict."""


class _Window(msgspec.Struct, frozen=True, gc=False):
    client: str
    start_s: float
    rate: float
    family: Family
    shape: float


class _Lengths:
    """One client's densities, worked out when they are first asked for."""

    def __init__(self, client: str, densities: _Densities) -> None:
        self._client = client
        self._densities = densities
        self._starts = sorted((float(start), start) for start in densities)
        self._read: dict[tuple[str, str], tuple[list[int], list[float]]] = {}

    def draw(self, rng: random.Random, kind: str, at_s: float, count: int) -> list[int]:
        """Return ``count`` lengths of this kind, of the window that holds at a time."""
        start = next((text for start_s, text in reversed(self._starts) if start_s <= at_s), self._starts[0][1])
        found = self._read.get((kind, start))
        if found is None:
            found = self._read[kind, start] = self._density(kind, start)
        return drawn_from(rng, *found, count)

    def _density(self, kind: str, start: str) -> tuple[list[int], list[float]]:
        raw = self._densities[start].get(kind)
        try:
            density = ast.literal_eval(raw) if isinstance(raw, str) else raw or {}
            pairs = [(max(1, round(float(value))), float(weight)) for value, weight in density.items() if weight > 0]
        except (ValueError, SyntaxError, AttributeError, TypeError) as error:
            raise TraceError(
                f"client {self._client}: the density of {kind} from {start} s on cannot be read: {error}"
            ) from error
        if not pairs:
            raise TraceError(f"client {self._client}: the density of {kind} from {start} s on is empty")
        values, weights = zip(*pairs, strict=True)
        return list(values), list(weights)


class ServeGenWorkload:
    """Requests that are drawn, window by window, from what is known of each client."""

    format = "servegen"

    def __init__(
        self,
        name: str,
        windows: list[_Window],
        densities: Mapping[str, _Densities],
        options: Options,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self._progress = progress
        self.starts_at_unix_s = options.starts_at_unix_s
        self._seed = options.seed
        self._factor = options.rate_factor
        self._lengths = {client: _Lengths(client, densities[client]) for client in densities if densities[client]}
        known = [window for window in windows if window.client in self._lengths and window.rate > 0]
        self._windows = sorted(known, key=lambda window: (window.start_s, window.client))
        if not self._windows:
            raise TraceError(f"{name}: no client has both rates and densities of its lengths")
        self.window_s = _spacing(windows)
        self._origin_s = self._windows[0].start_s
        missing = sum(window.rate for window in windows) - sum(window.rate for window in known)
        self.assumptions = (
            Remark(
                f"requests are drawn (seed {options.seed}) from the rates, families of gaps and lengths of "
                f"{len(self._lengths)} clients; prompts and answers are drawn independently",
                f"请求按 {len(self._lengths)} 个客户端的速率、间隔分布与长度抽取（种子 {options.seed}）；"
                "输入与输出长度各自独立抽取",
            ),
            *(
                ()
                if missing <= 0
                else (
                    Remark(
                        f"{missing * self.window_s:.0f} requests of clients without known lengths are left out",
                        f"长度未知的客户端的 {missing * self.window_s:.0f} 个请求未计入",
                    ),
                )
            ),
        )

    @property
    def dropped(self) -> Mapping[Dropped, int]:
        """Nothing is dropped: what is not known is not drawn."""
        return {}

    def requests(self) -> Iterator[TraceRequest]:
        """Yield the requests in order of time, from the beginning of the first window."""
        rng = generator(self._seed)
        place = 0
        while place < len(self._windows):
            start_s = self._windows[place].start_s
            drawn: list[TraceRequest] = []
            while place < len(self._windows) and self._windows[place].start_s == start_s:
                drawn += self._draw(rng, self._windows[place])
                place += 1
            drawn.sort(key=lambda request: request.at_s)
            yield from drawn
            if self._progress is not None:
                self._progress(place / len(self._windows))

    def demand(self, window_s: float) -> DemandSeries:
        """Sum what ``requests`` yields; windows begin at its first one, and all of them are whole."""
        length_s = self._windows[-1].start_s + self.window_s - self._origin_s
        return summed_over(self.requests(), window_s, length_s, self.starts_at_unix_s)

    def _draw(self, rng: random.Random, window: _Window) -> Iterator[TraceRequest]:
        count = whole_count(rng, window.rate * self.window_s * self._factor)
        times = squeezed(gaps(rng, window.family, window.shape), count, window.start_s - self._origin_s, self.window_s)
        lengths = self._lengths[window.client]
        prompts = lengths.draw(rng, "input_tokens", window.start_s, count)
        outputs = lengths.draw(rng, "output_tokens", window.start_s, count)
        for at_s, prompt, output in zip(times, prompts, outputs, strict=True):
            yield TraceRequest(at_s, prompt, output, window.client)


def read_folder(folder: Path, options: Options, progress: Progress | None = None) -> ServeGenWorkload:
    """Read the release's layout; raise ``TraceError`` if the folder has none of it."""
    windows: list[_Window] = []
    densities: dict[str, _Densities] = {}
    for trace in sorted(folder.glob("chunk-*-trace.csv")):
        client = trace.name.removeprefix("chunk-").removesuffix("-trace.csv")
        source = Source(trace)
        for number, text in source.lines():
            cells = text.split(",")
            is_idle = len(cells) > 1 and cells[1].strip() in _IDLE
            windows.append(_window(source, number, text, [client, cells[0], *(_NOTHING if is_idle else cells[1:])]))
        dataset = folder / f"chunk-{client}-dataset.json"
        if dataset.exists():
            densities[client] = _read_json(Source(dataset), _Densities)
    if not any(window.rate > 0 for window in windows):
        raise TraceError(f"{folder}: no chunk-N-trace.csv of ServeGen with a rate above 0 is in this folder")
    return ServeGenWorkload(folder.name, windows, densities, options, progress)


def read_clients(source: Source, options: Options, progress: Progress | None = None) -> ServeGenWorkload:
    """Read the layout with one file for all clients; raise ``TraceError`` if its densities are not beside it."""
    windows = [_window(source, number, text, text.split(",")) for number, text in source.lines() if text != HEADER]
    stem = source.name.removesuffix(".gz").removesuffix(".csv").removesuffix("_clients")
    for ending in ("_pdfs.json", "_pdfs.json.gz"):
        beside = source.path.with_name(stem + ending)
        if beside.exists():
            densities = _read_json(Source(beside), dict[str, _Densities])
            return ServeGenWorkload(stem, windows, densities, options, progress)
    raise TraceError(
        f"{source.path}: the densities of the lengths, {stem}_pdfs.json, are not beside this file of clients"
    )


def _window(source: Source, number: int, text: str, cells: list[str]) -> _Window:
    try:
        client, start, rate, _, family, shape = cells[:6]
        window = _Window(client, float(start), float(rate), cast("Family", family.strip()), float(shape))
    except ValueError as error:
        raise source.bad_row(number, text, str(error)) from error
    if window.family not in _FAMILIES:
        raise source.bad_row(number, text, f"the family of gaps must be one of {', '.join(_FAMILIES)}")
    if not (window.rate >= 0 and window.shape > 0 and math.isfinite(window.start_s + window.rate + window.shape)):
        raise source.bad_row(number, text, "a rate of 0 or more and a shape above 0 are needed")
    return window


def _spacing(windows: list[_Window]) -> float:
    starts = sorted({window.start_s for window in windows})
    return min((later - earlier for earlier, later in itertools.pairwise(starts)), default=600.0)


def _read_json(source: Source, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(source.text(), type=kind)
    except msgspec.DecodeError as error:
        raise TraceError(f"{source.path}: these densities cannot be read: {error}") from error
