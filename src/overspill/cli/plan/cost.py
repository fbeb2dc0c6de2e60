"""``overspill plan cost``: every way to serve a workload, what it costs a year and by the token."""

from __future__ import annotations

from typing import Any

import click

from overspill.cli.plan.asking import ask, case_options
from overspill.cli.plan.showing import (
    case_values,
    compared,
    comparison_values,
    console_for,
    options_table,
    owned_table,
    print_case,
    print_json,
)
from overspill.cli.plan.trusting import trust_lines
from overspill.planner.options import OPTIMUM
from overspill.planner.remarks import LANGUAGES, Language


@click.command()
@case_options
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", help="Language of the words.  [en]")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON instead of tables, with sources.")
def cost(lang: Language, as_json: bool, **given: Any) -> None:
    """Reckon every way to serve a workload: own, reserved, rented, spot, by the token, and the best mix.

    Units are whole replicas, each as fast as it may be within its SLO. Prices are the catalogue's, dated and sourced;
    --prices FILE puts yours over them.
    """
    watched = console_for(stderr=True)
    asked = ask(watched, **given)
    found = compared(asked, watched)
    if as_json:
        print_json({**case_values(asked), **comparison_values(found)})
        return
    console = console_for()
    print_case(asked, console, lang)
    if asked.case.owned is not None:
        console.print(owned_table(asked.case.owned, lang))
    console.print(options_table(found, lang))
    best = found.option(OPTIMUM)
    assert best is not None
    for line in trust_lines(found, best, lang):
        console.print(line)
