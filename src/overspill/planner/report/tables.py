"""The parts of a report that are words and tables: verdict, options, costs, sources, what is not modelled."""

from __future__ import annotations

from itertools import groupby

from overspill.planner.remarks import Language, in_language
from overspill.planner.report.contents import Report
from overspill.planner.report.inputs import Input
from overspill.planner.report.marks import (
    Cell,
    Markup,
    Style,
    date,
    inline,
    joined,
    listed,
    moment,
    number,
    paragraph,
    table,
    text,
)
from overspill.planner.report.words import NOT_MODELLED, colon, hours_named, input_name, option_name, say, unit_name
from overspill.planner.verdict_words import in_words, tier_name

_NUMBER_STYLES: dict[str, Style] = {"r": "factor", "utilisation": "share", "break_even": "usd"}


def verdict_section(report: Report, language: Language) -> Markup:
    """Return the verdict in words, with its three numbers."""
    first, *others = in_words(report.verdict, language)
    cards = "".join(
        f"<div><b>{number(one.value, _NUMBER_STYLES[one.name])}</b><span>{text(say(one.name, language))}</span></div>"
        for one in report.verdict.numbers
    )
    return joined(
        (
            f'<section id="verdict"><h2>{text(say("verdict", language))}</h2>',
            paragraph(first, "lead"),
            f'<div class="cards">{cards}</div>',
            *(paragraph(said) for said in others),
            "</section>",
        )
    )


def workload_section(report: Report, language: Language) -> Markup:
    """Return what is asked for, and what was assumed of it."""
    case, demand = report.case, report.case.demand
    facts: list[tuple[str, Cell]] = [
        ("requests", number(sum(demand.requests), "count")),
        ("length", number(case.load.hours, "units")),
        ("prompt_tokens", number(sum(demand.prompt_tokens), "count")),
        ("cached_tokens", number(sum(demand.cached_tokens), "count")),
        ("output_tokens", number(sum(demand.output_tokens), "count")),
        ("mean_units", number(case.load.unit_hours / case.load.hours, "units")),
        ("peak_units", number(case.load.peak, "units")),
    ]
    if demand.starts_at_unix_s is not None:
        facts.insert(0, ("begins", moment(demand.starts_at_unix_s)))
    rows: list[tuple[Cell, Cell]] = [(say(name, language), value) for name, value in facts]
    rows += [
        (f"{say('left_out', language)}{colon(language)}{in_language(reason, language)}", number(count, "count"))
        for reason, count in report.left_out.items()
    ]
    title = inline(say("workload", language), colon(language), report.workload)
    said = [in_language(remark, language) for remark in (*report.assumptions, *case.notes)]
    return joined(
        (
            f'<section id="workload"><h2>{title}</h2>',
            table((report.format, ""), rows),
            f"<h3>{text(say('assumed', language))}</h3>{listed(said)}" if said else "",
            "</section>",
        )
    )


def options_section(report: Report, language: Language) -> Markup:
    """Return every way to serve the workload, the cheapest first."""
    columns = ("option", "committed", "usd_per_year", "usd_per_mtok", "usd_per_mtok_output", "used", "spilled")
    rows = []
    for option in report.comparison.options:
        units = [
            inline(number(count, "plain"), f" × {tier_name(name, language)}") for name, count in option.units.items()
        ]
        rows.append(
            (
                option_name(option.name, language),
                Markup("<br>".join(units)) if units else "–",
                number(option.usd_per_year, "usd"),
                number(option.usd_per_mtok, "price"),
                number(option.usd_per_mtok_output, "price"),
                number(option.utilisation, "share"),
                number(option.spilled_share, "share"),
            )
        )
    found = table([say(name, language) for name in columns], rows)
    return Markup(f'<section id="options"><h2>{text(say("options", language))}</h2>{found}</section>')


def trust_section(report: Report, language: Language) -> Markup:
    """Return how far the plan can be trusted."""
    found = report.comparison
    rows: list[tuple[str, Cell]] = [("bound", number(found.bound_usd_per_year, "usd"))]
    said = "drift_unknown"
    if found.drift is not None:
        rows.append(("drift_regret", number(found.drift.regret_share, "share")))
        threshold = max(found.drift.threshold_share, found.drift.material_share)
        rows.append(("drift_threshold", number(threshold, "share")))
        said = "drift_alarm" if found.drift.is_alarm else "drift_none"
    if found.rented is not None:
        rows.append(("rented_online", number(found.rented.online_usd_per_year, "usd")))
        rows.append(("rented_clairvoyant", number(found.rented.clairvoyant_usd_per_year, "usd")))
        rows.append(("starts", number(found.rented.starts, "count")))
    cells = [(say(name, language), value) for name, value in rows]
    title = say("trust", language)
    return joined(
        (
            f'<section id="trust"><h2>{text(title)}</h2>',
            table((title, ""), cells),
            paragraph(say(said, language)),
            "</section>",
        )
    )


def owned_section(report: Report, language: Language) -> Markup:
    """Return what a unit of one's own costs, term by term; nothing where none is offered."""
    owned = report.case.owned
    if owned is None:
        return Markup("")
    rows: list[tuple[Cell, ...]] = [
        (
            say("site_rent" if line.name == "rent" else line.name, language),
            in_language(line.how, language),
            number(line.usd_per_year, "usd"),
            Markup(f'<span class="source">{text(line.source)}</span>'),
        )
        for line in owned.lines
    ]
    rows.append((say("by_unit", language), "", number(owned.usd_per_year, "usd"), ""))
    if owned.shared_usd_per_year:
        rows.append((say("staff", language), "", number(owned.shared_usd_per_year, "usd"), ""))
    title = inline(say("owned_title", language), colon(language), owned.node.name)
    columns = [say(name, language) for name in ("term", "how", "usd_per_year", "source")]
    return Markup(f'<section id="owned"><h2>{title}</h2>{table(columns, rows)}</section>')


def inputs_section(report: Report, language: Language) -> Markup:
    """Return every figure that went in, with its source and date."""
    columns = "".join(
        f'<th scope="col"{side}>{text(say(name, language))}</th>'
        for name, side in (("figure", ""), ("value", ' class="n"'), ("unit", ""))
    )
    groups = groupby(report.contents.inputs, key=lambda row: (row.source, row.as_of))
    bodies = "".join(_input_group(source, as_of, list(rows), report, language) for (source, as_of), rows in groups)
    return joined(
        (
            f'<section id="inputs"><h2>{text(say("inputs_title", language))}</h2>',
            f'<div class="wide"><table><thead><tr>{columns}</tr></thead>{bodies}</table></div></section>',
        )
    )


def limits_section(report: Report, language: Language) -> Markup:
    """Return what is not modelled, and how accurate predicted speeds are."""
    speed = report.contents.latencies.predicted
    rows: list[tuple[Cell, ...]] = [
        (
            number(row.observed_rows, "count"),
            number(row.tpot_share, "share"),
            number(row.ttft_share, "share"),
            inline(row.source, " ", date(row.as_of)),
        )
        for row in report.contents.accuracy
    ]
    columns = [say(name, language) for name in ("observed_rows", "tpot_error", "ttft_error", "source")]
    here = paragraph(say("accuracy_given", language))
    if speed is not None:
        counts = (
            number(speed.observed_tpot_rows, "count"),
            " TPOT, ",
            number(speed.observed_ttft_rows, "count"),
            " TTFT",
        )
        here = paragraph(inline(say("observed_here", language), colon(language), *counts))
    return joined(
        (
            f'<section id="limits"><h2>{text(say("not_modelled", language))}</h2>{listed(NOT_MODELLED[language])}',
            f"<h2>{text(say('accuracy_title', language))}</h2>",
            paragraph(say("accuracy_note", language)),
            table(columns, rows),
            here,
            "</section>",
        )
    )


def _input_group(source: str, as_of: str | None, rows: list[Input], report: Report, language: Language) -> str:
    """Return the figures that are from one source, below it."""
    dated = "" if as_of is None else inline(", ", date(as_of))
    head = f'<th scope="rowgroup" colspan="3" class="source">{text(source)}{dated}</th>'
    body = "".join(f"<tr>{_input_cells(row, report, language)}</tr>" for row in rows)
    return f"<tbody><tr>{head}</tr>{body}</tbody>"


def _input_cells(row: Input, report: Report, language: Language) -> str:
    name = input_name(row.name, language)
    if row.subject not in {"", report.workload}:
        name += f"（{row.subject}）" if language == "zh" else f" ({row.subject})"
    if isinstance(row.value, str):
        return f'<th scope="row">{text(name)}</th><td colspan="2">{text(hours_named(row.value, language))}</td>'
    value = number(row.value, "plain")
    unit = text(unit_name(row.unit, language))
    return f'<th scope="row">{text(name)}</th><td class="n">{value}</td><td>{unit}</td>'
