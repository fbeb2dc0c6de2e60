"""``overspill plan``: the group, whose commands are imported when they are called."""

from __future__ import annotations

from typing import Final

import click

from overspill.cli.lazy import Places, lazy_group

COMMANDS: Final[Places] = {
    "predict": ("overspill.cli.plan.predict:predict", "Predict TTFT and TPOT of loads on a deployment."),
    "size": ("overspill.cli.plan.size:size", "Say how many of which GPUs a model needs, and why not fewer."),
    "observe": ("overspill.cli.plan.observe:observe", "Sum up what a ledger saw as rows that calibrate."),
    "cost": ("overspill.cli.plan.cost:cost", "Reckon every way to serve a workload."),
    "simulate": ("overspill.cli.plan.simulate:simulate", "Play a trace against a configuration."),
    "compare": ("overspill.cli.plan.compare:compare", "Say which of two configurations is better."),
    "verdict": ("overspill.cli.plan.verdict:verdict", "Say what to do, and the three numbers that decide it."),
    "report": ("overspill.cli.plan.report:report", "Report a verdict with plots, and every figure's source."),
    "check-article": ("overspill.cli.plan.check_article:check_article", "Check the arithmetic of an article."),
}


@click.group(cls=lazy_group(COMMANDS))
def plan() -> None:
    """Say what to own, rent, reserve or buy by the token."""
