"""Figures in plotly's form, as plain values: its script in the page draws them, so that no picture is made here."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Mapping, Sequence
from typing import Any, Final

from overspill.planner.report.curves import BreakEvenCurve, DemandCurve, LoadDuration, Regretted, Swung
from overspill.planner.report.daily import SpillByHour
from overspill.planner.report.latency import Latencies, Quantiles
from overspill.planner.report.simulation import SimulatedDay
from overspill.planner.report.words import lever_name, say
from overspill.planner.tco import HOURS_A_YEAR
from overspill.planner.verdict_words import Language, tier_name

Figure = dict[str, Any]

_COLOURS: Final[Mapping[str, str]] = {
    "owned": "#0072B2", "reserved_1y": "#56B4E9", "reserved_3y": "#009E73", "on_demand": "#E69F00",
    "spot": "#CC79A7", "tokens": "#D55E00",
}  # fmt: skip
"""Okabe and Ito's, which the colour-blind can tell apart; dashes and patterns say the same without colour."""
_GREY, _INK, _BLUE, _ORANGE = "#8a8a8a", "#222222", "#0072B2", "#E69F00"
_FEW_DAYS_H = 72
_HOUR_TICKS = (0, 2190, 4380, 6570, 8760)


def break_even_plot(curve: BreakEvenCurve, language: Language) -> Figure:
    """Cost of the first unit against its work."""
    traces = [
        {
            "type": "scatter", "mode": "lines+markers", "name": _tier(line.option, language),
            "x": [0, HOURS_A_YEAR], "y": [line.usd(0), line.usd(HOURS_A_YEAR)],
            "line": {"color": _colour(line.option), "dash": "solid" if line.is_committed else "dash", "width": 3},
            "marker": {"symbol": "square" if line.is_committed else "circle"},
        }
        for line in curve.lines
    ]  # fmt: skip
    layout = _layout(say("hours_of_work", language), say("usd_per_year", language))
    ticks = [f"{hours:,} h<br>{hours / HOURS_A_YEAR:.0%}" for hours in _HOUR_TICKS]
    layout["xaxis"] |= {"tickvals": list(_HOUR_TICKS), "ticktext": ticks}
    layout["xaxis"]["title"]["standoff"] = 16
    layout["margin"]["b"] = 76
    layout["yaxis"] |= {"rangemode": "tozero", "tickprefix": "$"}
    _upright(layout, curve.utilisation * HOURS_A_YEAR, say("this_workload", language))
    return _figure(traces, layout)


def load_duration_plot(curve: LoadDuration, language: Language) -> Figure:
    """Demand by size, cut into the tiers that serve it."""
    shares = [share * 100 for share in curve.time_share]
    level = max((band.last_unit for band in curve.bands), default=0.0)
    parts = [(band.tier, _tier(band.tier, language), band.first_unit, band.last_unit) for band in curve.bands]
    parts.append(("", say("elsewhere", language), level, float("inf")))
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": name, "stackgroup": "tiers", "x": shares,
            "y": [min(max(units - first, 0.0), last - first) for units in curve.units],
            "line": {"width": 0.5, "color": _colour(tier)},
            "fillpattern": {"shape": "" if tier else "/", "solidity": 0.4},
        }
        for tier, name, first, last in parts
    ]  # fmt: skip
    traces.append(
        {
            "type": "scatter", "mode": "lines", "name": say("demand", language), "x": shares, "y": list(curve.units),
            "line": {"color": _INK, "width": 2},
        }
    )  # fmt: skip
    layout = _layout(say("time_share", language), say("units", language))
    layout["xaxis"] |= {"ticksuffix": " %", "range": [0, 100]}
    return _figure(traces, layout)


def demand_plot(curve: DemandCurve, starts_at_unix_s: float | None, language: Language) -> Figure:
    """Demand by time."""
    x: list[Any] = list(curve.hours)
    if starts_at_unix_s is not None:
        start = dt.datetime.fromtimestamp(starts_at_unix_s, dt.UTC)
        x = [(start + dt.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S") for hours in curve.hours]
    lines = (("highest", curve.max_units, _ORANGE, "solid", 1.2), ("mean", curve.mean_units, _BLUE, "solid", 2.2))
    traces: list[Figure] = [
        {
            "type": "scatter", "mode": "lines", "name": say(name, language), "x": x, "y": list(units),
            "line": {"color": colour, "dash": dash, "width": width},
        }
        for name, units, colour, dash, width in lines
    ]  # fmt: skip
    committed = [curve.committed_units, curve.committed_units]
    traces.append(
        {
            "type": "scatter", "mode": "lines", "name": say("committed", language), "x": [x[0], x[-1]], "y": committed,
            "line": {"color": _INK, "dash": "dash", "width": 2},
        }
    )  # fmt: skip
    title = "UTC" if starts_at_unix_s is not None else say("hours_from_start", language)
    layout = _layout(title, say("units", language))
    if starts_at_unix_s is not None:  # numbers alone: plotly's months are English
        is_short = curve.hours[-1] < _FEW_DAYS_H
        layout["xaxis"] |= {"tickformat": "%m-%d %H:%M" if is_short else "%Y-%m-%d", "hoverformat": "%Y-%m-%d %H:%M"}
    return _figure(traces, layout)


def spill_plot(curve: SpillByHour, language: Language) -> Figure:
    """Spill by hour of the day, with the price of that hour."""
    hours = [row.hour for row in curve.hours]
    parts = (
        ("held", [row.demand_units - row.spilled_units for row in curve.hours], _BLUE, ""),
        ("spill_units", [row.spilled_units for row in curve.hours], _COLOURS["tokens"], "/"),
    )
    traces: list[Figure] = [
        {
            "type": "bar", "name": say(name, language), "x": hours, "y": units,
            "marker": {"color": colour, "pattern": {"shape": pattern, "solidity": 0.4}},
        }
        for name, units, colour, pattern in parts
    ]  # fmt: skip
    layout = _layout(say("hour", language), say("units", language)) | {"barmode": "stack"}
    layout["xaxis"] |= {"dtick": 3, "range": [-0.6, 23.6]}
    priced = [row for row in curve.hours if row.usd_per_mtok_output is not None]
    if priced:
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": say("usd_output", language), "yaxis": "y2",
                "x": [row.hour for row in priced], "y": [row.usd_per_mtok_output for row in priced],
                "line": {"shape": "hvh", "color": _INK, "width": 2, "dash": "dot"},
            }
        )  # fmt: skip
        layout["yaxis2"] = {
            "overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False, "tickprefix": "$",
            "title": {"text": say("usd_output", language)},
        }  # fmt: skip
        layout["margin"]["r"] = 60
        layout["shapes"] = [_shade(row.hour, row.peak_price_share) for row in priced if row.peak_price_share]
    return _figure(traces, layout)


def simulated_plot(day: SimulatedDay, language: Language) -> Figure:
    """Spill and refusals of a simulation by hour of the day."""
    hours = [row.hour for row in day.hours]
    parts = (
        ("spilled", [row.spilled_share * 100 for row in day.hours], _COLOURS["tokens"], "/"),
        ("refused", [row.refused_share * 100 for row in day.hours], _INK, ""),
    )
    traces: list[Figure] = [
        {
            "type": "bar", "name": say(name, language), "x": hours, "y": shares,
            "marker": {"color": colour, "pattern": {"shape": pattern, "solidity": 0.4}},
        }
        for name, shares, colour, pattern in parts
    ]  # fmt: skip
    layout = _layout(say("hour", language), say("share_of_requests", language)) | {"barmode": "stack", "height": 300}
    layout["xaxis"] |= {"dtick": 3, "range": [-0.6, 23.6]}
    layout["yaxis"] |= {"ticksuffix": " %", "rangemode": "tozero"}
    return _figure(traces, layout)


def recorded_plot(found: Sequence[Quantiles], measure: str, language: Language) -> Figure:
    """How long recorded requests took."""
    looks = {"local": (_BLUE, "solid", "local"), "spilled": (_COLOURS["tokens"], "dash", "spilled_where")}
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": say(looks[row.where][2], language),
            "x": list(row.seconds), "y": list(row.percent),
            "line": {"color": looks[row.where][0], "dash": looks[row.where][1], "width": 2.5},
        }
        for row in found
        if row.measure == measure
    ]  # fmt: skip
    axis = f"{say(measure, language)}, {say('seconds', language)}"
    layout = _layout(axis, say("share_of_requests", language))
    layout["xaxis"]["type"] = "log"
    layout["yaxis"] |= {"ticksuffix": " %", "range": [0, 100]}
    return _figure(traces, layout)


def predicted_plot(latencies: Latencies, language: Language) -> Figure:
    """Predicted speed, with its interval and the SLO."""
    speed = latencies.predicted
    assert speed is not None  # the page asks for this plot only where it is
    rows = [(say("ttft", language), speed.ttft), (say("tpot", language), speed.tpot)]
    names = [name for name, _ in rows]
    expected = {
        "type": "scatter", "mode": "markers", "name": say("expected", language),
        "x": [row.expected_s for _, row in rows], "y": names, "marker": {"size": 12, "color": _BLUE},
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 3, "width": 8,
            "array": [row.high_s - row.expected_s for _, row in rows],
            "arrayminus": [row.expected_s - row.low_s for _, row in rows],
        },
    }  # fmt: skip
    limits = [(name, row.limit_s) for name, row in rows if row.limit_s is not None]
    slo = {
        "type": "scatter", "mode": "markers", "name": say("limit", language), "x": [limit for _, limit in limits],
        "y": [name for name, _ in limits],
        "marker": {"symbol": "line-ns-open", "size": 30, "line": {"width": 3, "color": _COLOURS["tokens"]}},
    }  # fmt: skip
    layout = _layout(say("seconds", language), "") | {"height": 260}
    layout["xaxis"]["type"] = "log"
    layout["yaxis"] |= {"automargin": True, "range": [-0.6, 1.6]}
    return _figure([expected, slo], layout)


def sensitivity_plot(swings: Sequence[Swung], language: Language) -> Figure:
    """Tornado: cost with one figure moved."""
    rows = list(reversed(swings))
    base = rows[0].base_usd_per_year if rows else 0.0
    traces = [
        {
            "type": "bar", "orientation": "h", "name": say(name, language), "base": base,
            "y": [lever_name(row.lever, language) for row in rows], "x": [usd - base for usd in ends],
            "marker": {"color": colour, "pattern": {"shape": pattern, "solidity": 0.4}},
        }
        for name, ends, colour, pattern in (
            ("lower", [row.low_usd_per_year for row in rows], _BLUE, ""),
            ("higher", [row.high_usd_per_year for row in rows], _ORANGE, "/"),
        )
    ]  # fmt: skip
    layout = _layout(say("usd_per_year", language), "") | {"barmode": "overlay"}
    layout["yaxis"] |= {"automargin": True}
    layout["xaxis"] |= {"tickprefix": "$"}
    _upright(layout, base, say("today", language))
    return _figure(traces, layout)


def regret_plot(rows: Sequence[Regretted], language: Language) -> Figure:
    """Factors on the clairvoyant's cost."""
    ordered = list(reversed(rows))
    colours = [_GREY if row.name == "clairvoyant" else _BLUE for row in ordered]
    trace = {
        "type": "bar", "orientation": "h", "name": say("factor", language),
        "y": [say(row.name, language) for row in ordered], "x": [row.factor for row in ordered],
        "text": [f"{row.factor:.2f}" for row in ordered], "textposition": "auto",
        "marker": {
            "color": colours,
            "pattern": {"shape": ["" if row.basis == "log" else "/" for row in ordered], "solidity": 0.4},
        },
    }  # fmt: skip
    layout = _layout(say("factor", language), "") | {"showlegend": False}
    layout["yaxis"] |= {"automargin": True}
    layout["xaxis"] |= {"rangemode": "tozero"}
    _upright(layout, 1.0, "")
    return _figure([trace], layout)


def _figure(traces: Sequence[Mapping[str, Any]], layout: Figure) -> Figure:
    return {"data": list(traces), "layout": layout}


def _layout(x: str, y: str) -> Figure:
    axis = {"zeroline": False, "linecolor": _GREY, "gridcolor": "#e4e4e4", "showline": True, "fixedrange": False}
    return {
        "height": 400,
        "margin": {"l": 64, "r": 16, "t": 56, "b": 56},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        "hovermode": "closest",
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
    }


def _upright(layout: Figure, x: float, said: str) -> None:
    line = {
        "type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper",
        "line": {"color": _INK, "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    layout["shapes"] = [*layout.get("shapes", ()), line]
    if said:
        note = {"x": x, "y": 0.98, "yref": "paper", "text": said, "showarrow": False, "xanchor": "left", "xshift": 4}
        layout["annotations"] = [note]


def _shade(hour: int, share: float | None) -> Figure:
    return {
        "type": "rect", "layer": "below", "yref": "paper", "y0": 0, "y1": 1, "x0": hour - 0.5, "x1": hour + 0.5,
        "fillcolor": _ORANGE, "opacity": 0.35 * (share or 0.0), "line": {"width": 0},
    }  # fmt: skip


def _tier(name: str, language: Language) -> str:
    return html.escape(tier_name(name, language))


def _colour(tier: str) -> str:
    return _COLOURS.get(tier, _GREY)
