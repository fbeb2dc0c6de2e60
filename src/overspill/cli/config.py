"""``overspill config``: check a configuration, explain it, and print what can be written in one."""

from __future__ import annotations

import json

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from overspill.cli.setup import Asked, run, set_up
from overspill.config.compile import compile_config
from overspill.config.explain import describe_pool, explain

_SET = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override one key; may be repeated.")


@click.group()
def config() -> None:
    """Check, explain and describe the configuration."""


@config.command()
@click.argument("path", type=click.Path(dir_okay=False))
@_SET
def check(path: str, settings: tuple[str, ...]) -> None:
    """Read the configuration at PATH as `serve` would and say whether it can be used; exit code 2 if not.

    Secrets are not fetched: a key that is missing on this machine is `overspill doctor`'s business.
    """
    setup = run(set_up(Asked(config_path=path, settings=settings)))
    wiring = compile_config(setup.config, setup.facts)
    routes, targets = len(wiring.policy.routes), len(wiring.targets)
    click.echo(f"{path} can be used: {routes} routes over {targets} targets")


@config.command("explain")
@click.argument("path", type=click.Path(dir_okay=False), required=False)
@_SET
@click.option("--json", "as_json", is_flag=True, help="Print the compiled policy as JSON.")
def explain_command(path: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Say how requests would flow under the configuration at PATH, or, without one, under what is found here."""
    setup = run(set_up(Asked(config_path=path, settings=settings)))
    wiring = compile_config(setup.config, setup.facts)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(wiring.policy), indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]Pools[/]")
    for name, pool in setup.config.pools.items():
        console.print(f"  {escape(describe_pool(name, pool, setup.facts))}")
    console.print("[bold]Routes[/]")
    for line in explain(setup.config, setup.facts):
        console.print(f"  {escape(line)}")


@config.command()
@click.option(
    "--format",
    "form",
    default="json-schema",
    type=click.Choice(["json-schema", "markdown", "example"]),
    help="A JSON schema for editors, the reference page, or an annotated example.  [json-schema]",
)
def schema(form: str) -> None:
    """Print what can be written in a configuration."""
    from overspill.config.example import example_yaml
    from overspill.config.reference import json_schema, reference_markdown

    makers = {"json-schema": json_schema, "markdown": reference_markdown, "example": example_yaml}
    click.echo(makers[form](), nl=False)
