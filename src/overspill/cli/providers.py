"""``overspill providers``: what is known of providers and prices, whether it is still so, and newer rows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overspill.catalog.load import Catalog, CatalogFile
from overspill.catalog.merge import Change, differences, newer
from overspill.catalog.registry import check_update, load_catalog, load_rows, write_update
from overspill.catalog.rows import Provider
from overspill.cli.registry.listing import Listed, has_key, rows
from overspill.cli.registry.probing import Asked, Checked, check_all
from overspill.cli.setup import run
from overspill.config.addresses import is_own, parse_origin
from overspill.config.base_urls import base_url, base_url_problems
from overspill.config.load import load_file
from overspill.config.schema import UpstreamPool
from overspill.config.secrets import resolve as resolve_secret
from overspill.errors import ConfigError, OverspillError, UnknownName
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.gateway.places import config_dir
from overspill.pools.facts import KnownFacts
from overspill.wire.http import HttpCall

EXIT_PROBLEMS = 1
_MAX_BYTES = 8 * 1024 * 1024
_TIMEOUT_S = 60.0
_WIDTH = 140
"""Of a table that goes into a file or a pipe."""
_ADDRESS_FIELDS = ("base_url", "other_urls", "key_env", "auth", "headers", "adapter")
"""What decides to whom a key is sent, and how."""


def _moment(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime:  # noqa: ARG001 - click's
    """Read a time in ISO 8601; without a zone it is UTC, and left out it is now."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time; write 2026-11-27T10:00:00+08:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@click.group()
def providers() -> None:
    """Show what is known of providers and prices, check it, and take newer rows."""


@providers.command("list")
@click.argument("names", nargs=-1)
@click.option("--at", callback=_moment, help="Prices at this time, such as 2026-11-27T10:00:00+08:00.  [now]")
@click.option("--json", "as_json", is_flag=True, help="Print rows as JSON, with sources.")
def list_command(names: tuple[str, ...], at: datetime, as_json: bool) -> None:
    """Print the models of all providers, or of NAMES, with what they cost now."""
    catalog = load_catalog(config_dir(os.environ))
    found = list(rows(catalog, _named(catalog, names), os.environ, at))
    if as_json:
        click.echo(json.dumps([row._asdict() for row in found]))
        return
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(_table(found))
    Console(highlight=False, soft_wrap=True).print(
        f"US dollars per million tokens at {at:%Y-%m-%d %H:%M %Z}; rows as of {catalog.as_of}. - is unknown, not free."
    )


@providers.command()
@click.argument("names", nargs=-1)
@click.option("--config", "-c", "path", type=click.Path(dir_okay=False), help="Ask as the pools of this file do.")
@click.option("--base-url", "urls", multiple=True, metavar="URL|NAME", help="Ask here instead; may be repeated.")
@click.option("--set", "variables", multiple=True, metavar="NAME=VALUE", help="Fill a {placeholder} of the address.")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
def check(
    names: tuple[str, ...], path: str | None, urls: tuple[str, ...], variables: tuple[str, ...], as_json: bool
) -> None:
    """Ask providers for their lists of models and say what has changed; exit code 1 if something is gone or fails.

    Those of NAMES are asked, or all whose key is in the environment. Nothing is generated, so it costs nothing.
    """
    if (urls or variables) and (len(names) != 1 or path is not None):
        raise click.UsageError("--base-url and --set need the name of one provider to ask, and no --config")
    facts = KnownFacts(load_catalog(config_dir(os.environ)))
    filled = dict(_pair(text) for text in variables)
    asked = list(_pools(path, names, facts) if path is not None else _places(names, urls, filled, facts))
    if not asked:
        raise ConfigError("no provider's key is in the environment; set one, or name providers")
    found = run(check_all(asked, facts.catalog))
    if as_json:
        click.echo(json.dumps([checked.plain() for checked in found]))
    else:
        _print(found)
    if not all(checked.is_fine for checked in found):
        sys.exit(EXIT_PROBLEMS)


@providers.command()
@click.argument("source")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--trust-addresses", is_flag=True, help="Take rows that change to whom keys are sent.")
def update(source: str, dry_run: bool, trust_addresses: bool) -> None:
    """Take newer rows from SOURCE, a file or an https URL, and keep them beside your configuration.

    Rows that were read later replace the shipped ones; your own providers.yaml stands over both.
    """
    folder = config_dir(os.environ)
    text = _text_of(source)
    rows_before = load_rows(folder, with_overrides=False)
    fresh = check_update(text, source)
    after = newer(load_rows(None), fresh)
    changes = list(differences(rows_before, after))
    for change in changes:
        click.echo(f"{change.row}: {change.what}")
    if not changes:
        click.echo(f"{source} has nothing that is newer")
        return
    moved = [change for change in changes if _moves_keys(change, after)]
    if dry_run:
        click.echo(f"{len(changes)} changes; nothing was written")
        return
    if moved and not trust_addresses:
        listed = "; ".join(f"{change.row}: {change.what}" for change in moved)
        raise ConfigError(
            f"it changes to whom keys are sent ({listed}); if you trust where it comes from, add --trust-addresses",
            file=source,
        )
    path = write_update(folder, text)
    load_catalog(folder)  # the user's own changes may not fit it any more: say so now
    click.echo(f"{len(changes)} changes written to {path}; a running gateway takes them at its next reload (SIGHUP)")


def _moves_keys(change: Change, after: CatalogFile) -> bool:
    """Tell whether a change decides to whom a key goes: a new provider, or an address of one that is known."""
    section, _, name = change.row.partition(": ")
    if section != "providers" or change.what == "gone":
        return False
    if change.what == "new":
        return any(row.name == name and row.key_env is not None for row in after.providers)
    return change.what.partition(":")[0] in _ADDRESS_FIELDS


def _text_of(source: str) -> bytes:
    if "://" not in source:
        try:
            return Path(source).read_bytes()
        except OSError as error:
            raise ConfigError(f"it cannot be read: {error.strerror}", file=source) from error
    try:
        origin = parse_origin(source)
    except ValueError as error:
        raise ConfigError(str(error), file=source) from error
    if origin.scheme == "http" and not is_own(origin.host):
        raise ConfigError("what comes without encryption may have been changed on its way; use https://", file=source)
    return run(_fetched(source))


async def _fetched(source: str) -> bytes:
    origin = parse_origin(source)
    client = HttpClient()
    headers = ((b"accept-encoding", b"identity"),)
    try:
        call = HttpCall(b"GET", origin.prefix or b"/", headers, b"")
        answer = await fetch(client, origin, call, timeout_s=_TIMEOUT_S, max_bytes=_MAX_BYTES)
    finally:
        await client.close()
    if isinstance(answer, TransportFault):
        raise ConfigError(answer.message, file=source)
    if answer.status != 200:
        raise ConfigError(f"HTTP {answer.status} instead of a file; redirects are not followed", file=source)
    return answer.body


def _named(catalog: Catalog, names: tuple[str, ...]) -> tuple[Provider, ...]:
    if not names:
        return catalog.providers
    return tuple(_provider(catalog, name) for name in names)


def _provider(catalog: Catalog, name: str) -> Provider:
    found = catalog.provider(name)
    if found is None:
        raise UnknownName("provider", name, [provider.name for provider in catalog.providers])
    return found


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        raise click.UsageError(f"--set {text}: write it as NAME=VALUE, for example region=us-east-1")
    return name, value


def _places(
    names: tuple[str, ...], urls: tuple[str, ...], variables: dict[str, str], facts: KnownFacts
) -> Iterator[Asked]:
    """Give the addresses of providers of the catalogue: those that are named, or those whose key is there."""
    catalog = facts.catalog
    chosen = _named(catalog, names) if names else tuple(p for p in catalog.providers if has_key(p, os.environ))
    for provider in chosen:
        for written in urls or (None,):
            pool = UpstreamPool(upstream=provider.name, base_url=written, variables=variables)
            key = os.environ.get(provider.key_env or "", "").strip()
            problem = next((said for _, said in base_url_problems(pool, facts)), None)
            url = provider.base_url if problem is not None else base_url(pool, facts)
            if problem is not None:
                problem = problem.replace("write variables: {", "add --set ").replace(": ...} to fill", "=… to fill")
            elif not key:
                problem = f"no key: set {provider.key_env}" if provider.key_env else "no key: use --config FILE"
            yield Asked(provider, url, provider.key_env or "none", key, problem)


def _pools(path: str, names: tuple[str, ...], facts: KnownFacts) -> Iterator[Asked]:
    """Give the addresses of a configuration's pools, each account with its own key."""
    for name in names:
        _provider(facts.catalog, name)
    for pool_name, pool in load_file(path, facts).pools.items():
        provider = facts.provider(pool.upstream) if isinstance(pool, UpstreamPool) else None
        if provider is None or not isinstance(pool, UpstreamPool) or (names and provider.name not in names):
            continue
        url = base_url(pool, facts)
        references = [account.api_key for account in pool.accounts]
        if not references:
            key = os.environ.get(provider.key_env or "", "").strip()
            problem = None if key else f"no key: set {provider.key_env}"
            yield Asked(provider, url, provider.key_env or "none", key, problem)
        for reference in references:
            try:
                key = resolve_secret(reference, os.environ, what=f"pool {pool_name!r}")
            except OverspillError as error:
                yield Asked(provider, url, str(reference), "", str(error))
            else:
                yield Asked(provider, url, str(reference), key)


def _print(found: list[Checked]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for checked in found:
        mark = "[green]ok[/]     " if checked.is_fine else "[red]problem[/]"
        console.print(f"{mark} {checked.provider} at {escape(checked.url)}: {escape(checked.detail)}")
        for old, name in checked.renamed.items():
            console.print(f"        {escape(old)} is called {escape(name)} now")
        for old in checked.gone:
            console.print(f"        {escape(old)} is gone")
        for name in checked.new:
            console.print(f"        {escape(name)} is new")
        for name, when in checked.retiring.items():
            console.print(f"        {escape(name)} was announced to be taken down on {when}")


def _table(found: list[Listed]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("provider", "key", "model", "input", "output", "cached", "now", "as of", "how sure"):
        is_number, is_name = title in {"input", "output", "cached"}, title in {"provider", "model"}
        table.add_column(title, justify="right" if is_number else "left", overflow="fold", no_wrap=not is_name)
    before = ""
    for row in found:
        is_first, before = row.provider != before, row.provider
        key = "found" if row.has_key else "missing" if row.key_env else "unnamed"
        table.add_row(
            row.provider if is_first else "",
            key if is_first else "",
            row.model_id or "-",
            *(
                "-" if usd is None else f"{usd:g}"
                for usd in (row.input_usd_per_mtok, row.output_usd_per_mtok, row.cached_input_usd_per_mtok)
            ),
            (row.rate or "").replace("_", "-"),
            row.as_of,
            row.confidence,
        )
    return table
