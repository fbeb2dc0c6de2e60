"""What the fault lab found, as a table for people and as figures for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from overspill.cli.rehearsal.lab import Cell
from overspill.cli.rehearsal.lab_stage import LabOptions
from overspill.gateway.rehearsal.scenarios import SCENARIOS
from overspill.units import format_duration


def lab_table(cells: Sequence[Cell]) -> Table:
    """Return one row a cell, below the name of its fault."""
    table = Table(box=None, pad_edge=False)
    table.add_column("request", no_wrap=True)
    table.add_column("answered by", no_wrap=True)
    for column in ("attempts", "TTFT", "total"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    before = ""
    for cell in cells:
        if cell.scenario != before:
            table.add_row(f"[bold]{cell.scenario}")
        table.add_row(
            f"  {cell.form.words}",
            "-" if cell.target is None else cell.target.partition("/")[0],
            str(cell.attempts),
            "-" if cell.ttft_s is None else format_duration(cell.ttft_s),
            format_duration(cell.total_s),
            cell.verdict.value if cell.is_right else f"[bold red]WRONG: {cell.verdict.value}",
        )
        before = cell.scenario
    return table


def complaints(cells: Sequence[Cell]) -> list[str]:
    """Say of each cell that is wrong what is wrong with it, one line each."""
    return [
        f"{cell.scenario}, {cell.form.words}: {'; '.join(filter(None, (cell.complaint, cell.lateness)))}"
        for cell in cells
        if not cell.is_right
    ]


def summary_line(cells: Sequence[Cell]) -> str:
    """Say how many cells are right."""
    wrong = sum(not cell.is_right for cell in cells)
    end = "all as they must be" if not wrong else f"{wrong} WRONG"
    return f"{len(cells)} cells: {end}."


def list_table() -> Table:
    """Return the names of all faults and what each does."""
    table = Table(title="Faults that can be rehearsed", title_justify="left")
    for column in ("name", "the target", "what must come of it"):
        table.add_column(column)
    for scenario in SCENARIOS:
        table.add_row(scenario.name, scenario.does, scenario.leads_to)
    return table


def lab_figures(cells: Sequence[Cell], options: LabOptions, *, machine: str, made_at: str) -> dict[str, Any]:
    """Return all of it as JSON can hold it."""
    return {
        "made_at": made_at,
        "machine": machine,
        "slo_ttft_s": options.slo_ttft_s,
        "wrong": sum(not cell.is_right for cell in cells),
        "cells": [{**msgspec.to_builtins(cell), "is_right": cell.is_right} for cell in cells],
    }


def list_figures() -> list[dict[str, str]]:
    """Return the names of all faults and what each does, as JSON can hold it."""
    return [{"name": s.name, "does": s.does, "leads_to": s.leads_to, "must": s.must.value} for s in SCENARIOS]
