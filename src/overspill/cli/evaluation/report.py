"""What an evaluation found: figures by task, written as JSON, shown as tables, several of them side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

import msgspec
from rich.table import Table

from overspill.cli.evaluation.asking import Result
from overspill.errors import ConfigError
from overspill.units import format_duration


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Of one task, or of all: right answers out of how many."""

    right: int
    asked: int

    @property
    def accuracy(self) -> float:
        """The share that was right, 0 to 1."""
        return self.right / self.asked if self.asked else 0.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One target's outcome."""

    target: str
    """The model's name and where it was asked."""
    made_at: str
    """ISO 8601, UTC."""
    concurrency: int
    wall_s: float
    output_tokens: int
    tokens_per_s: float
    """All answers' tokens over the wall time."""
    stream_tokens_per_s: float | None
    """Median over answers of tokens after the first, per second since the first."""
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    failed: int
    """Questions without a whole answer; they count as wrong."""
    first_error: str | None = None
    total: Score
    tasks: dict[str, Score]
    languages: dict[str, Score]
    wrong: list[Result] = []


def summarise(target: str, made_at: str, concurrency: int, results: Sequence[Result], wall_s: float) -> Run:
    """Add results up."""
    tasks, languages = defaultdict[str, list[Result]](list), defaultdict[str, list[Result]](list)
    for result in results:
        tasks[result.task].append(result)
        languages[result.language].append(result)
    ttfts = sorted(result.ttft_s for result in results if result.ttft_s is not None)
    speeds = sorted(speed for speed in map(_stream_speed, results) if speed is not None)
    failures = [result for result in results if result.error is not None]
    tokens = sum(result.output_tokens for result in results)
    return Run(
        target=target,
        made_at=made_at,
        concurrency=concurrency,
        wall_s=wall_s,
        output_tokens=tokens,
        tokens_per_s=tokens / wall_s if wall_s else 0.0,
        stream_tokens_per_s=_quantile(speeds, 50),
        ttft_p50_s=_quantile(ttfts, 50),
        ttft_p99_s=_quantile(ttfts, 99),
        failed=len(failures),
        first_error=failures[0].error if failures else None,
        total=_score(results),
        tasks={task: _score(of) for task, of in tasks.items()},
        languages={language: _score(of) for language, of in languages.items()},
        wrong=[result for result in results if not result.is_right],
    )


def _score(results: Sequence[Result]) -> Score:
    return Score(right=sum(result.is_right for result in results), asked=len(results))


def _stream_speed(result: Result) -> float | None:
    if result.error is not None or result.ttft_s is None or result.output_tokens < 2 or result.e2e_s <= result.ttft_s:
        return None
    return (result.output_tokens - 1) / (result.e2e_s - result.ttft_s)


def _quantile(ordered: Sequence[float], percent: int) -> float | None:
    if len(ordered) < 2:
        return ordered[0] if ordered else None
    return quantiles(ordered, n=100, method="inclusive")[percent - 1]


def write_runs(runs: Sequence[Run], path: Path) -> None:
    """Write runs as JSON; raise ``ConfigError`` if they cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(list(runs)), indent=1) + b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}; name another with --out") from None


def read_runs(path: Path) -> list[Run]:
    """Read what ``write_runs`` wrote; raise ``ConfigError`` if it is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Run])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path} is no outcome of overspill eval ({error}); make one with --out") from None


def table_of(runs: Sequence[Run]) -> Table:
    """Return runs side by side: accuracy by task and language, then speed."""
    table = Table(title="Right answers", title_justify="left")
    table.add_column("")
    for run in runs:
        table.add_column(run.target, justify="right")
    for task in dict.fromkeys(task for run in runs for task in run.tasks):
        table.add_row(task, *(_share(run.tasks.get(task)) for run in runs))
    for language in dict.fromkeys(language for run in runs for language in run.languages):
        table.add_row(f"in {language}", *(_share(run.languages.get(language)) for run in runs))
    table.add_row("all", *(_share(run.total) for run in runs), end_section=True)
    table.add_row("failed", *(str(run.failed) for run in runs))
    table.add_row("tokens/s, all", *(f"{run.tokens_per_s:.0f}" for run in runs))
    table.add_row("tokens/s of a stream", *(_speed(run.stream_tokens_per_s) for run in runs))
    table.add_row("TTFT p50 / p99", *(f"{_time(run.ttft_p50_s)} / {_time(run.ttft_p99_s)}" for run in runs))
    table.add_row("asked at once", *(str(run.concurrency) for run in runs))
    return table


def _share(score: Score | None) -> str:
    return "-" if score is None else f"{score.accuracy:.1%} ({score.right}/{score.asked})"


def _speed(tokens_per_s: float | None) -> str:
    return "-" if tokens_per_s is None else f"{tokens_per_s:.0f}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(seconds)
