"""The reference of the command line, from click's own description of the commands."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from tests.docs.generators.source import page, table

from overspill.cli import main
from overspill.config.overrides import VARIABLES

_INTRODUCTION = """
`overspill COMMAND --help` says the same in the terminal. Tables and progress bars are for people; every command that
prints figures takes `--json` for programs.
"""
_ENVIRONMENT = {
    "OVERSPILL_HOST": f"Sets `{VARIABLES['OVERSPILL_HOST']}`; wins over the file, loses to `--host` and `--set`.",
    "OVERSPILL_PORT": f"Sets `{VARIABLES['OVERSPILL_PORT']}`; wins over the file, loses to `--port` and `--set`.",
    "XDG_STATE_HOME": "The ledger is `overspill/ledger.db` below it, and keys `overspill/keys.json`; "
    "`~/.local/state` if unset.",
    "XDG_CACHE_HOME": "Fetched models are in `overspill/models` below it; `~/.cache` if unset.",
    "HF_ENDPOINT": "Where `hf:REPO:FILE` is fetched from, instead of huggingface.co.",
    "HF_TOKEN": "Sent to the hub for models that need it. It is never used to pay for tokens unless a file says so.",
    "HF_HUB_OFFLINE": "If true, nothing is fetched: `hf:REPO:FILE` must be in the cache.",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its whole name, groups before their commands."""
    context = click.Context(main.cli, info_name="overspill")
    for name in main.cli.list_commands(context):
        command = main.cli.get_command(context, name)
        assert command is not None
        yield f"overspill {name}", command
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                sub = command.get_command(context, inner)
                assert sub is not None
                yield f"overspill {name} {inner}", sub


def cli_page() -> str:
    sections: list[str | list[str]] = []
    for name, command in commands():
        sections.append(f"## {name}")
        sections.append(_help(command))
        if not isinstance(command, click.Group):
            sections.append(f"`{name} {' '.join(_usage(command))}`".replace(" `", "`"))
            sections.append(_options(command))
    codes = re.search(r"Exit codes: (.*?)\.?$", inspect.getdoc(main) or "", re.DOTALL)
    assert codes is not None
    exits = [part.strip() for part in " ".join(codes[1].replace("``", "`").split()).split(";")]
    rows = [(f"`{part.split(' ', 1)[0]}`", part.split(" ", 1)[1].rstrip(".")) for part in exits]
    variables = [(f"`{name}`", meaning) for name, meaning in _ENVIRONMENT.items()]
    return page(
        "Command line",
        _INTRODUCTION,
        *sections,
        "## Exit codes",
        table(("code", "meaning"), rows),
        "## Environment variables",
        "Beside these, the variables that a configuration names as `env:NAME`, and, without a file, the providers' "
        "own ([providers](providers.md)).",
        table(("variable", "meaning"), variables),
    )


def _help(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _usage(command: click.Command) -> Iterator[str]:
    if any(isinstance(param, click.Option) for param in command.params):
        yield "[OPTIONS]"
    for param in command.params:
        if isinstance(param, click.Argument):
            name = _choices(param.type) or (param.name or "").upper()
            yield name if param.required else f"[{name}]"


def _options(command: click.Command) -> list[str]:
    rows = []
    for param in command.params:
        if not isinstance(param, click.Option):
            continue
        names = ", ".join(f"`{name}`" for name in sorted(param.opts, key=len, reverse=True))
        value = "" if param.is_flag else _choices(param.type) or param.metavar or param.type.name.split(" ")[0].upper()
        rows.append((names, f"`{value}`" if value else "", " ".join((param.help or "").split())))
    return table(("option", "value", "meaning"), rows) if rows else []


def _choices(kind: click.ParamType) -> str:
    return " \\| ".join(kind.choices).replace("\\", "") if isinstance(kind, click.Choice) else ""
