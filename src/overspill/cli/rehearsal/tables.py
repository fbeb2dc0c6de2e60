"""Rehearsals and simulations as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from overspill.cli.rehearsal.measure import ModeFigures
from overspill.cli.rehearsal.outcome import Outcome
from overspill.gateway.rehearsal.summary import Quantiles, Summary
from overspill.units import format_duration, format_usd

Row = tuple[str, Sequence[str]]


def mode_table(outcome: Outcome) -> Table:
    """Return the figures of all modes side by side."""
    table = Table(title="The same trace in each mode", title_justify="left")
    table.add_column("")
    for mode in outcome.modes:
        table.add_column(mode, justify="right")
    for name, cells in _rows(list(outcome.modes.values())):
        table.add_row(name, *cells)
    return table


def _rows(modes: Sequence[ModeFigures]) -> list[Row]:
    summaries = [mode.summary for mode in modes]
    return [
        *summary_rows(summaries),
        ("local engine busy", [f"{mode.local_busy:.0%}" for mode in modes]),
        ("cloud tokens' price", [format_usd(mode.cost_usd) for mode in modes]),
        ("player late at most", [format_duration(s.max_late_s) for s in summaries]),
    ]


def summary_rows(summaries: Sequence[Summary]) -> list[Row]:
    """Return the figures of summaries, one column each."""
    rows: list[Row] = [
        ("requests", [str(s.requests) for s in summaries]),
        ("answered", [f"{s.answered} ({s.answered / s.requests:.1%})" for s in summaries]),
        ("refused", [_counts(s.refused) for s in summaries]),
        ("failed", [_counts(s.failed) for s in summaries]),
        ("spilled", [f"{_spilled(s)} ({_spilled(s) / s.requests:.1%})" for s in summaries]),
    ]
    reasons = sorted({reason for s in summaries for reason in s.spilled})
    rows += [(f"  {reason}", [str(s.spilled.get(reason, 0)) for s in summaries]) for reason in reasons]
    rows += [
        ("TTFT at home p50 / p99", [_pair(s.home_ttft_s) for s in summaries]),
        ("TTFT spilled p50 / p99", [_pair(s.spilled_ttft_s) for s in summaries]),
        (f"TTFT within {format_duration(summaries[0].slo_ttft_s)}", [f"{s.slo_met:.1%}" for s in summaries]),
        ("goodput, requests/s", [f"{s.goodput_per_s:.2f}" for s in summaries]),
        ("output tokens/s", [f"{s.output_tokens_per_s:.0f}" for s in summaries]),
    ]
    return rows


def simulation_table(summary: Summary) -> Table:
    """Return the aggregates of one simulation."""
    table = Table(title="Simulated", title_justify="left", show_header=False)
    for name, cells in summary_rows([summary]):
        table.add_row(name, *cells)
    return table


def comparison_table(measured: Mapping[str, Summary], simulated: Mapping[str, Summary]) -> Table:
    """Return measured and simulated aggregates beside each other, with the error of the simulation."""
    table = Table(title="Simulated beside measured", title_justify="left")
    for column in ("mode", "figure", "measured", "simulated", "error"):
        table.add_column(column, justify="left" if column in ("mode", "figure") else "right")
    for mode, real in measured.items():
        for index, (name, seen, told, error) in enumerate(compare(real, simulated[mode])):
            table.add_row(mode if index == 0 else "", name, seen, told, error)
        table.add_section()
    return table


def compare(real: Summary, told: Summary) -> list[tuple[str, str, str, str]]:
    """Return (figure, measured, simulated, error) for each aggregate; shares differ in points, others in per cent."""
    rows = [
        _share("answered", real.answered / real.requests, told.answered / told.requests),
        _share("spilled", _spilled(real) / real.requests, _spilled(told) / told.requests),
        _share("met the SLO", real.slo_met, told.slo_met),
        _ratio("goodput, requests/s", real.goodput_per_s, told.goodput_per_s),
        _ratio("output tokens/s", real.output_tokens_per_s, told.output_tokens_per_s),
    ]
    for name, seen, modelled in (
        ("TTFT at home", real.home_ttft_s, told.home_ttft_s),
        ("TTFT spilled", real.spilled_ttft_s, told.spilled_ttft_s),
    ):
        if seen is not None and modelled is not None:
            rows.append(_ratio(f"{name} p50, s", seen.p50, modelled.p50))
            rows.append(_ratio(f"{name} p99, s", seen.p99, modelled.p99))
    return rows


def _share(name: str, seen: float, told: float) -> tuple[str, str, str, str]:
    return name, f"{seen:.1%}", f"{told:.1%}", f"{(told - seen) * 100:+.1f} points"


def _ratio(name: str, seen: float, told: float) -> tuple[str, str, str, str]:
    error = f"{(told / seen - 1):+.1%}" if seen else "-"
    return name, f"{seen:.3g}", f"{told:.3g}", error


def _spilled(summary: Summary) -> int:
    return sum(summary.spilled.values())


def _counts(counts: Mapping[int, int] | Mapping[str, int]) -> str:
    return ", ".join(f"{count}: {key}" for key, count in counts.items()) or "0"


def _pair(found: Quantiles | None) -> str:
    return "-" if found is None else f"{format_duration(found.p50)} / {format_duration(found.p99)}"
