"""What ``serve`` says when it is up: where it listens, what it found, how requests will flow, and a line to try."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from overspill.cli.setup import Setup
from overspill.config.discover import BUILTIN_POOL
from overspill.config.explain import describe_pool, explain
from overspill.config.schema import Config


def show_banner(setup: Setup, addresses: list[str]) -> None:
    """Print the banner to standard output."""
    console = Console(highlight=False, soft_wrap=True)
    config = setup.config
    scheme = "https" if config.server.tls_cert is not None else "http"
    url = f"{scheme}://{addresses[0]}/v1"
    console.print(f"[bold]Overspill[/] serves [bold cyan]{url}[/]")
    if setup.discovery is not None:
        console.print(_found(setup))
    console.print("\n[bold]Targets[/]")
    for name, pool in config.pools.items():
        console.print(f"  {escape(describe_pool(name, pool, setup.facts))}")
    console.print("\n[bold]How requests flow[/]")
    for line in explain(config, setup.facts):
        console.print(f"  {escape(line)}")
    console.print("\n[bold]Try it[/]")
    console.print(f"  {escape(curl_line(config, url))}\n")


def _found(setup: Setup) -> str:
    discovery = setup.discovery
    assert discovery is not None  # the caller looked
    servers = [f"{server.kind} at {server.url}" for server in discovery.servers]
    keys = list(discovery.key_names)
    found = [*servers, *(f"a key in {name}" for name in keys)]
    words = f"Found on this machine: {', '.join(found)}." if found else "Found no local server and no provider key."
    if setup.engine_problem is not None:
        words += f"\n[yellow]No built-in model:[/] {escape(setup.engine_problem)}"
    return words


def curl_line(config: Config, url: str) -> str:
    """Return a command that gets an answer from this gateway."""
    model = _model_to_try(config)
    key = (
        "-H 'Authorization: Bearer YOUR_KEY' " if config.server.api_keys or config.server.keys_file is not None else ""
    )
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}], "max_tokens": 64}}'
    return f"curl {url}/chat/completions {key}-H 'Content-Type: application/json' -d '{body}'"


def _model_to_try(config: Config) -> str:
    names = [
        name for route in config.routes for name in ((route.model,) if isinstance(route.model, str) else route.model)
    ]
    exact = [name for name in names if "*" not in name and "?" not in name]
    builtin = config.pools.get(BUILTIN_POOL)
    served = getattr(builtin, "served_name", None)
    if served in exact:
        return str(served)
    return exact[0] if exact else "MODEL"
