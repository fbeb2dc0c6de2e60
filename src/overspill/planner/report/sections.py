"""The sections of a report: for each figure a plot, what it shows in words, and the same figures as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from overspill.planner.report.contents import Report
from overspill.planner.report.latency import Interval, Quantiles
from overspill.planner.report.marks import Cell, Markup, inline, joined, number, paragraph, table, text
from overspill.planner.report.plots import (
    Figure,
    break_even_plot,
    demand_plot,
    load_duration_plot,
    predicted_plot,
    recorded_plot,
    regret_plot,
    sensitivity_plot,
    simulated_plot,
    spill_plot,
)
from overspill.planner.report.simulation import SimulatedDay
from overspill.planner.report.words import colon, lever_name, say
from overspill.planner.verdict_words import Language, tier_name

_MOST_ROWS = 25
_SHOWN_PERCENTILES = (5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
T = TypeVar("T")


class Plots:
    """The plots of a page, by the id of the place where each is drawn."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.figures: dict[str, Figure] = {}

    def section(self, name: str, figure: Figure, note: str, rows: Markup) -> Markup:
        """Return a section with a plot, in words and as a table."""
        title = say(f"{name}_title", self.language)
        return Markup(
            f'<section id="{name}"><h2>{text(title)}</h2>{self.figure(name, title, figure, note, rows)}</section>'
        )

    def figure(self, name: str, title: str, figure: Figure, note: str, rows: Markup) -> Markup:
        """Return a plot with its words and its table."""
        self.figures[f"plot-{name}"] = figure
        return Markup(
            f'<figure><div class="plot" id="plot-{name}" role="img" aria-label="{text(f"{title}. {note}")}"></div>'
            f"<figcaption>{text(note)}</figcaption><details><summary>{text(say('as_table', self.language))}</summary>"
            f"{rows}</details></figure>"
        )


def figure_sections(report: Report, plots: Plots) -> Markup:
    """Return all sections with plots, in their order."""
    sections = (_break_even, _load_duration, _demand, _spill, _latency, _sensitivity, _regret)
    return joined(section(report, plots) for section in sections)


def _break_even(report: Report, plots: Plots) -> Markup:
    curve, language = report.contents.curves.break_even, plots.language
    lines = table(
        [say(name, language) for name in ("option", "fixed_usd", "hourly_usd")],
        [
            (
                tier_name(line.option, language),
                number(line.fixed_usd_per_year, "usd"),
                number(line.usd_per_busy_hour, "price"),
            )
            for line in curve.lines
        ],
    )
    crossings = table(
        [say(name, language) for name in ("option", "against", "pays_from", "used")],
        [
            (
                tier_name(row.committed, language),
                tier_name(row.flexible, language),
                number(row.hours_per_year, "usd", say("never", language)),
                number(row.utilisation, "share"),
            )
            for row in curve.crossings
        ],
    )
    note = say("break_even_note", language)
    used = inline(say("utilisation", language), colon(language), number(curve.utilisation, "share"))
    section = plots.section("break_even", break_even_plot(curve, language), note, lines)
    return joined((section, crossings if curve.crossings else "", paragraph(used)))


def _load_duration(report: Report, plots: Plots) -> Markup:
    curve, language = report.contents.curves.load_duration, plots.language
    points = list(zip(curve.time_share, curve.units, strict=True))
    rows = table(
        [say("time_share", language), say("units", language)],
        [(number(share, "share"), number(units, "units")) for share, units in _some(points)],
    )
    bands = table(
        [say(name, language) for name in ("option", "low", "high")],
        [
            (tier_name(band.tier, language), number(band.first_unit, "units"), number(band.last_unit, "units"))
            for band in curve.bands
        ],
    )
    note = say("load_duration_note", language)
    figure = load_duration_plot(curve, language)
    return plots.section("load_duration", figure, note, joined((bands if curve.bands else "", rows)))


def _demand(report: Report, plots: Plots) -> Markup:
    curve, language = report.contents.curves.demand, plots.language
    points = list(zip(curve.hours, curve.mean_units, curve.max_units, strict=True))
    rows = table(
        [say(name, language) for name in ("hours_from_start", "mean", "highest")],
        [
            (number(hours, "units"), number(mean, "units"), number(highest, "units"))
            for hours, mean, highest in _some(points)
        ],
    )
    figure = demand_plot(curve, report.case.demand.starts_at_unix_s, language)
    return plots.section("demand", figure, say("demand_note", language), rows)


def _spill(report: Report, plots: Plots) -> Markup:
    curve, language = report.contents.curves.spill_by_hour, plots.language
    has_tariff = any(row.peak_price_share is not None for row in curve.hours)
    names = ("hour", "demand", "spill_units", *(("at_peak",) if has_tariff else ()), "usd_output")
    rows = table(
        [say(name, language) for name in names],
        [
            (
                number(row.hour, "count"),
                number(row.demand_units, "units"),
                number(row.spilled_units, "units"),
                *((number(row.peak_price_share, "share"),) if has_tariff else ()),
                number(row.usd_per_mtok_output, "price"),
            )
            for row in curve.hours
        ],
    )
    title = say("spill_title", language)
    parts: list[str] = [
        f'<section id="spill"><h2>{text(title)}</h2>',
        plots.figure("spill", title, spill_plot(curve, language), say("spill_note", language), rows),
    ]
    simulated = report.contents.curves.simulated_spill
    if simulated is not None:
        parts.append(_simulated(simulated, title, plots))
    return joined((*parts, paragraph(_clock(curve.utc_offset_s, language)), "</section>"))


def _simulated(day: SimulatedDay, title: str, plots: Plots) -> Markup:
    language = plots.language
    rows = table(
        [say(name, language) for name in ("hour", "requests", "spilled", "refused")],
        [
            (
                number(row.hour, "count"),
                number(row.requests, "count"),
                number(row.spilled_share, "share"),
                number(row.refused_share, "share"),
            )
            for row in day.hours
        ],
    )
    note = say("simulated_note", language, config=day.config)
    return plots.figure("simulated", title, simulated_plot(day, language), note, rows)


def _clock(utc_offset_s: int | None, language: Language) -> Cell:
    if utc_offset_s is None:
        return say("no_clock", language)
    sign, minutes = "-" if utc_offset_s < 0 else "+", abs(utc_offset_s) // 60
    zone = Markup(f'<data value="{utc_offset_s}">UTC{sign}{minutes // 60:02}:{minutes % 60:02}</data>')
    return inline(say("clock", language), " ", zone)


def _latency(report: Report, plots: Plots) -> Markup:
    found, language = report.contents.latencies, plots.language
    title = say("latency_title", language)
    parts: list[str] = [f'<section id="latency"><h2>{text(title)}</h2>']
    for measure in ("ttft", "tpot"):
        recorded = [row for row in found.recorded if row.measure == measure]
        if recorded:
            figure = recorded_plot(recorded, measure, language)
            note = f"{say(measure, language)}{colon(language)}{say('recorded_note', language)}"
            parts.append(plots.figure(f"recorded-{measure}", title, figure, note, _recorded_rows(recorded, language)))
    if found.recorded_spilled_share is not None:
        share = number(found.recorded_spilled_share, "share")
        parts.append(paragraph(inline(say("recorded_spill", language), colon(language), share)))
    if found.predicted is not None:
        speed = found.predicted
        rows = table(
            [title, *(say(name, language) for name in ("expected", "low", "high", "limit"))],
            [(say("ttft", language), *_interval(speed.ttft)), (say("tpot", language), *_interval(speed.tpot))],
        )
        note = say("predicted_note", language)
        parts.append(plots.figure("predicted", title, predicted_plot(found, language), note, rows))
        replica = f"{speed.model}, {speed.gpu}, {speed.layout}, {speed.precision}"
        parts.append(paragraph(f"{say('replica', language)}{colon(language)}{replica}"))
        parts.append(paragraph(inline(say("at_once", language), colon(language), number(speed.concurrency, "count"))))
    if not found.recorded and found.predicted is None:
        parts.append(paragraph(say("no_latency", language)))
    return joined((*parts, "</section>"))


def _recorded_rows(found: Sequence[Quantiles], language: Language) -> Markup:
    names = [say("local" if row.where == "local" else "spilled_where", language) for row in found]
    rows: list[Sequence[Cell]] = [(say("requests", language), *(number(row.requests, "count") for row in found))]
    rows += [
        (number(percent, "plain"), *(number(row.at(percent), "seconds") for row in found))
        for percent in _SHOWN_PERCENTILES
    ]
    return table([say("percentile", language), *names], rows)


def _interval(found: Interval) -> tuple[Markup, ...]:
    return tuple(number(value, "seconds") for value in (found.expected_s, found.low_s, found.high_s, found.limit_s))


def _sensitivity(report: Report, plots: Plots) -> Markup:
    swings, language = report.contents.curves.sensitivity, plots.language
    rows = table(
        [say(name, language) for name in ("figure", "factor", "lower", "today", "factor", "higher")],
        [
            (
                lever_name(row.lever, language),
                number(row.low_factor, "factor"),
                number(row.low_usd_per_year, "usd"),
                number(row.base_usd_per_year, "usd"),
                number(row.high_factor, "factor"),
                number(row.high_usd_per_year, "usd"),
            )
            for row in swings
        ],
    )
    section = plots.section("sensitivity", sensitivity_plot(swings, language), say("sensitivity_note", language), rows)
    turns = table(
        [say(name, language) for name in ("figure", "factor", "becomes")],
        [
            (lever_name(turn.lever, language), number(turn.factor, "factor"), say(turn.becomes, language))
            for turn in report.verdict.turns
        ],
        caption=say("turns", language),
    )
    return joined((section, turns if report.verdict.turns else ""))


def _regret(report: Report, plots: Plots) -> Markup:
    rows, language = report.contents.curves.regret, plots.language
    found = table(
        [say(name, language) for name in ("way", "paid_on", "factor")],
        [(say(row.name, language), say(row.basis, language), number(row.factor, "factor")) for row in rows],
    )
    return plots.section("regret", regret_plot(rows, language), say("regret_note", language), found)


def _some(rows: Sequence[T]) -> list[T]:
    """Return few enough rows to read, first and last among them."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    return [rows[round(step * (len(rows) - 1) / (_MOST_ROWS - 1))] for step in range(_MOST_ROWS)]
