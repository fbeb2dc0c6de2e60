"""Pieces of HTML: escaped texts, figures that a program can read back, tables."""

from __future__ import annotations

import datetime as dt
import html
import math
from collections.abc import Iterable, Sequence
from typing import Literal

from overspill.units import format_duration

Style = Literal["usd", "price", "share", "units", "count", "plain", "seconds", "factor"]


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


Cell = str | Markup


def text(value: str) -> Markup:
    """Return text from data as HTML."""
    return value if isinstance(value, Markup) else Markup(html.escape(value))


def number(value: float | None, style: Style, absent: str = "–") -> Markup:
    """Return a figure with its full value beside what is shown; ``absent`` for none and what is infinite."""
    if value is None or not math.isfinite(value):
        return text(absent if value is None or math.isnan(value) else "∞")
    return Markup(f'<data value="{value!r}">{shown(value, style)}</data>')


def shown(value: float, style: Style) -> str:
    """Return how a figure is shown."""
    match style:
        case "usd":
            return f"{value:,.0f}"
        case "price":
            return f"{value:,.3f}"
        case "share":
            return f"{value:.1%}"
        case "units":
            return f"{value:,.2f}"
        case "count":
            return f"{value:,.0f}"
        case "seconds":
            return format_duration(value)
        case "factor":
            return f"{value:.2f}"
        case "plain":
            return f"{value:,.6g}"


def moment(unix_s: float) -> Markup:
    """Return a time in UTC, to the minute."""
    at = dt.datetime.fromtimestamp(unix_s, dt.UTC)
    return Markup(f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M} UTC</time>')


def date(day: str) -> Markup:
    """Return a day, which is ``YYYY-MM-DD``."""
    return Markup(f'<time datetime="{html.escape(day)}">{html.escape(day)}</time>')


def table(columns: Sequence[Cell], rows: Iterable[Sequence[Cell]], *, caption: str = "") -> Markup:
    """Return a table; the first cell of a row is its head, and columns of figures are set right."""
    cells = [[text(cell) for cell in row] for row in rows]
    sides = [' class="n"' if any(_is_figure(row[place]) for row in cells) else "" for place in range(len(columns))]
    head = "".join(f'<th scope="col"{side}>{text(column)}</th>' for column, side in zip(columns, sides, strict=True))
    body = "".join(f"<tr>{_cells(row, sides)}</tr>" for row in cells)
    said = f"<caption>{text(caption)}</caption>" if caption else ""
    return Markup(f'<div class="wide"><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def _cells(row: Sequence[Markup], sides: Sequence[str]) -> str:
    first, *others = row
    rest = "".join(f"<td{side}>{cell}</td>" for cell, side in zip(others, sides[1:], strict=True))
    return f'<th scope="row"{sides[0]}>{first}</th>{rest}'


def _is_figure(cell: str) -> bool:
    return cell.startswith("<data") and cell.endswith("</data>") and cell.count("<data") == 1


def paragraph(value: Cell, kind: str = "") -> Markup:
    """Return a paragraph."""
    return Markup(f'<p class="{kind}">{text(value)}</p>' if kind else f"<p>{text(value)}</p>")


def listed(values: Iterable[Cell]) -> Markup:
    """Return a list."""
    return Markup(f"<ul>{''.join(f'<li>{text(value)}</li>' for value in values)}</ul>")


def joined(parts: Iterable[str]) -> Markup:
    """Return pieces of HTML as one, each on a line of its own."""
    return Markup("\n".join(parts))


def inline(*parts: Cell) -> Markup:
    """Return pieces of a line as one."""
    return Markup("".join(text(part) for part in parts))
