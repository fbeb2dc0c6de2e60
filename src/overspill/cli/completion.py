"""``overspill completion``: the script that makes a shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL; `eval "$(overspill completion bash)"` in the shell's start-up file."""
    from overspill.cli.main import cli

    complete = get_completion_class(shell)
    assert complete is not None  # the choice lists only what click knows
    click.echo(complete(cli, {}, "overspill", "_OVERSPILL_COMPLETE").source())
