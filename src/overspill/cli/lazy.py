"""Groups of commands that import a command when it is called, so that ``--help`` and completion stay fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from overspill.errors import UnknownName

Places = Mapping[str, tuple[str, str]]
"""Name → ``module:attribute`` of the command, and what it does in one line."""


def lazy_group(places: Places) -> type[click.Group]:
    """Return a class of groups whose commands are these, in this order."""

    class LazyGroup(click.Group):
        """Imports a command when it is called."""

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
            return list(places)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            place = places.get(cmd_name)
            if place is None:
                return None
            module, name = place[0].split(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            if args and args[0] not in places and not args[0].startswith("-"):
                raise click.UsageError(str(UnknownName("command", args[0], places)), ctx)
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
            with formatter.section("Commands"):
                formatter.write_dl([(name, text) for name, (_, text) in places.items()])

    return LazyGroup
