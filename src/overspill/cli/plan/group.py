"""``overspill plan``: the group, whose commands are imported when they are called."""

from __future__ import annotations

from typing import Final

import click

from overspill.cli.lazy import Places, lazy_group

COMMANDS: Final[Places] = {
    "predict": ("overspill.cli.plan.predict:predict", "Predict TTFT and TPOT of loads on a deployment."),
    "size": ("overspill.cli.plan.size:size", "Say how many of which GPUs a model needs, and why not fewer."),
}


@click.group(cls=lazy_group(COMMANDS))
def plan() -> None:
    """Say what to own, rent, reserve or buy by the token."""
