"""``overspill plan verdict``: what to do, in words, and the three numbers that decide it."""

from __future__ import annotations

from typing import Any

import click

from overspill.cli.numbers import Finite
from overspill.cli.plan.asking import ask, case_options
from overspill.cli.plan.showing import (
    case_values,
    compared,
    comparison_values,
    console_for,
    decided,
    print_case,
    print_json,
    tornado_table,
    verdict_values,
)
from overspill.planner.remarks import LANGUAGES, Language
from overspill.planner.verdict_words import in_words


@click.command()
@case_options
@click.option("--hurdle", default=0.10, type=Finite(0, 0.9), help="What committing must save, as a share.  [0.1]")
@click.option("--lang", type=click.Choice(LANGUAGES), default="en", help="Language of the words.  [en]")
@click.option("--json", "as_json", is_flag=True, help="Print figures and words as JSON, with sources.")
def verdict(hurdle: float, lang: Language, as_json: bool, **given: Any) -> None:
    """Say whether to own, rent, reserve or buy tokens, with the three numbers that decide it.

    Committing must save --hurdle over the best plan without commitment; where it does not, the verdict is not to buy.
    """
    watched = console_for(stderr=True)
    asked = ask(watched, **given)
    found = compared(asked, watched)
    said = decided(asked, found, hurdle, watched)
    if as_json:
        print_json({"verdict": verdict_values(said), **case_values(asked), **comparison_values(found)})
        return
    console = console_for()
    print_case(asked, console, lang)
    first, *others = in_words(said, lang)
    console.print(f"\n[bold]{first}[/bold]")
    for paragraph in others:
        console.print(paragraph, markup=False)
    console.print()
    console.print(tornado_table(asked, said, lang))
