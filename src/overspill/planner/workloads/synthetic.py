"""A few numbers as a workload: ``rps=2,peak=8,in=1200,out=300``.

The rate goes up and down once a day, or once over what is shorter, between a trough and ``peak`` so that its mean is
``rps``; arrivals within are bursty (Gamma gaps whose coefficient of variation is ``cv``). All that is not given is
assumed, and said so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from overspill.errors import TraceError, UnknownName
from overspill.planner.demand import DemandSeries, summed_over, whole_windows
from overspill.planner.remarks import Remark
from overspill.planner.workload import Dropped, TraceRequest
from overspill.planner.workloads.arrivals import gamma_gaps, generator, lognormal
from overspill.planner.workloads.buckets import OUTPUT_CV, PROMPT_CV
from overspill.planner.workloads.rows import Options
from overspill.planner.workloads.source import Progress

_DAY_S = 86_400.0
_STEP_S = 60.0
_TROUGH_SHARE = 0.25
"""The trough's rate as a part of the mean: 0.27 in a day of ServeGen's deepseek-r1."""
_MOST_DRAWN = 1_000_000
"""Of more requests only the sums of each window are drawn: a million take some seconds."""
KEYS = {
    "rps": "mean requests per second",
    "peak": "requests per second at the daily peak",
    "in": "mean prompt tokens",
    "out": "mean answer tokens",
    "cv": "coefficient of variation of the gaps",
    "cached": "share of the prompt tokens that a prefix cache has, 0 to 1",
    "hours": "length",
}
"""The numbers that may be given, and what each is."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers, with what was assumed for those that were not given."""

    rps: float
    peak: float
    prompt_tokens: float
    output_tokens: float
    cv: float
    cached_share: float
    hours: float


def is_numbers(text: str) -> bool:
    """Tell whether this is a few numbers and not the name of a file."""
    return text.partition("=")[0].strip() in KEYS and "/" not in text


class SyntheticWorkload:
    """Requests drawn from a few numbers."""

    format = "synthetic"

    def __init__(self, text: str, options: Options, progress: Progress | None = None) -> None:
        self.name = text
        self._progress = progress
        self.starts_at_unix_s = options.starts_at_unix_s
        given = _read(text)
        self.shape = _shape(given, options)
        self._seed = options.seed
        self._power: float = _sharpness(self.shape)
        self._period_s = min(_DAY_S, self.shape.hours * 3600)
        self.assumptions = _assumptions(self.shape, given)

    @property
    def dropped(self) -> Mapping[Dropped, int]:
        """Nothing is dropped."""
        return {}

    def rate_at(self, at_s: float) -> float:
        """Return the requests per second at a time; the peak is in the middle of each day, or of less than one."""
        low, high = _trough(self.shape), self.shape.peak
        height = (1 - math.cos(2 * math.pi * at_s / self._period_s)) / 2
        return low + (high - low) * math.pow(height, self._power)

    def requests(self) -> Iterator[TraceRequest]:
        """Draw the requests: a renewal process with Gamma gaps in a time that passes as fast as the rate is high."""
        rng = generator(self._seed)
        gap = gamma_gaps(rng, self.shape.cv)
        prompt = lognormal(rng, self.shape.prompt_tokens, PROMPT_CV)
        output = lognormal(rng, self.shape.output_tokens, OUTPUT_CV)
        due = gap() * rng.random()
        passed, at_s, end_s = 0.0, 0.0, self.shape.hours * 3600
        while at_s < end_s:
            step_s = min(_STEP_S, end_s - at_s)
            rate = self.rate_at(at_s + step_s / 2)
            while due < passed + rate * step_s:
                tokens = prompt()
                hits = min(tokens, round(tokens * self.shape.cached_share))
                yield TraceRequest(at_s + (due - passed) / rate, tokens, output(), cached_tokens=hits)
                due += gap()
            passed += rate * step_s
            at_s += step_s
            if self._progress is not None:
                self._progress(at_s / end_s)

    def demand(self, window_s: float) -> DemandSeries:
        """Sum what ``requests`` yields into windows from its beginning on; of very many, draw the sums themselves."""
        length_s = self.shape.hours * 3600
        if self.shape.rps * length_s > _MOST_DRAWN:
            return self._sums(min(window_s, length_s), length_s)
        return summed_over(self.requests(), window_s, length_s, self.starts_at_unix_s)

    def _sums(self, window_s: float, length_s: float) -> DemandSeries:
        """Draw each window's sums from the normal distributions that renewal counts and sums of lengths tend to."""
        rng, shape = generator(self._seed), self.shape
        steps = math.ceil(window_s / _STEP_S)
        step_s = window_s / steps
        rows = []
        for window in range(whole_windows(length_s, window_s)):
            middles = (window * window_s + (step + 0.5) * step_s for step in range(steps))
            expected = math.fsum(self.rate_at(at_s) for at_s in middles) * step_s
            count = max(0.0, rng.gauss(expected, shape.cv * math.sqrt(expected)))
            prompt = max(0.0, rng.gauss(count, PROMPT_CV * math.sqrt(count))) * shape.prompt_tokens
            output = max(0.0, rng.gauss(count, OUTPUT_CV * math.sqrt(count))) * shape.output_tokens
            rows.append((count, prompt, prompt * shape.cached_share, output))
        requests, prompts, cached, outputs = zip(*rows, strict=True)
        return DemandSeries(
            window_s=window_s,
            requests=requests,
            prompt_tokens=prompts,
            cached_tokens=cached,
            output_tokens=outputs,
            starts_at_unix_s=self.starts_at_unix_s,
        )


def _read(text: str) -> dict[str, float]:
    given: dict[str, float] = {}
    for part in text.split(","):
        key, equals, number = (piece.strip() for piece in part.partition("="))
        if key not in KEYS:
            raise UnknownName("number of a workload", key, KEYS)
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not equals or not math.isfinite(value) or value < 0 or (value == 0 and key != "cached"):
            raise TraceError(f"{part.strip()!r}: {KEYS[key]} must be a number above 0, as in {key}=2")
        given[key] = value
    for key in ("rps", "in", "out"):
        if key not in given:
            raise TraceError(f"the workload {text!r} lacks {key}= ({KEYS[key]}); write it as rps=2,in=1200,out=300")
    return given


def _shape(given: Mapping[str, float], options: Options) -> Shape:
    rps = given["rps"] * options.rate_factor
    peak = given.get("peak", 2 * given["rps"]) * options.rate_factor
    cached = given.get("cached", 0.0)
    if peak < rps:
        raise TraceError(f"peak={given['peak']:g} is below the mean rps={given['rps']:g}; it is the rate at the peak")
    if cached > 1:
        raise TraceError(f"cached={cached:g} must be a share from 0 to 1")
    return Shape(
        rps=rps,
        peak=peak,
        prompt_tokens=given["in"],
        output_tokens=given["out"],
        cv=given.get("cv", options.cv),
        cached_share=cached,
        hours=given.get("hours", 24.0),
    )


def _trough(shape: Shape) -> float:
    return shape.rps if shape.peak == shape.rps else shape.rps * _TROUGH_SHARE


def _sharpness(shape: Shape) -> float:
    """Return the power of the daily wave with which its mean is ``rps``: above 1, the peak is short."""
    if shape.peak == shape.rps:
        return 1.0
    wanted = (shape.rps - _trough(shape)) / (shape.peak - _trough(shape))
    low, high = 1e-3, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        if _mean_height(middle) > wanted:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _mean_height(power: float) -> float:
    """Return the mean of ``((1 - cos x) / 2) ** power`` over a period."""
    return math.exp(math.lgamma(power + 0.5) - math.lgamma(power + 1)) / math.sqrt(math.pi)


def _assumptions(shape: Shape, given: Mapping[str, float]) -> tuple[Remark, ...]:
    assumed_cv = (
        ("", "") if "cv" in given else (" (assumed; a log of yours is better)", "（假设值；最好使用自己的日志）")
    )
    said = [
        Remark(
            f"arrivals are drawn with Gamma gaps, coefficient of variation {shape.cv:g}{assumed_cv[0]}",
            f"到达间隔按 Gamma 分布抽取，变异系数 {shape.cv:g}{assumed_cv[1]}",
        ),
        Remark(
            f"lengths are log-normal, coefficients of variation {PROMPT_CV:g} and {OUTPUT_CV:g}, about Azure's of 2023",
            f"长度服从对数正态分布，变异系数为 {PROMPT_CV:g} 和 {OUTPUT_CV:g}，接近 Azure 2023 年的数据",
        ),
    ]
    if shape.peak > shape.rps:
        assumed = ("", "") if "peak" in given else (" (assumed: twice the mean)", "（假设为均值的两倍）")
        is_day = shape.hours >= 24
        when, when_zh = ("a day", "每天") if is_day else (f"in {shape.hours:g} h", f"{shape.hours:g} 小时内")
        said.append(
            Remark(
                f"one peak of {shape.peak:g} requests/s {when}{assumed[0]}, the trough at {_TROUGH_SHARE:.0%} of the "
                "mean",
                f"{when_zh}一个高峰，每秒 {shape.peak:g} 个请求{assumed[1]}，低谷为均值的 {_TROUGH_SHARE:.0%}",
            )
        )
    if "cached" not in given:
        said.append(
            Remark(
                "no prompt token comes from a prefix cache (assumed; say cached=0.4 if 40 % do)",
                "没有输入 token 命中前缀缓存（假设；若有四成命中，请写 cached=0.4）",
            )
        )
    return tuple(said)
