"""``overspill doctor``: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.markup import escape

from overspill import __version__
from overspill.cli.setup import Asked, Setup, engine_problem, run, set_up
from overspill.config.compile import CompiledTarget, compile_config
from overspill.config.key_file import read_key_file
from overspill.config.secrets import resolve as resolve_secret
from overspill.errors import OverspillError
from overspill.gateway.certificate import EXPIRES_SOON_DAYS, Certificate, end_in_words, files_of, validity
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.gateway.places import cache_dir
from overspill.gateway.service import ledger_path
from overspill.ledger.store import LedgerStore
from overspill.wire.http import HttpCall, Origin

EXIT_PROBLEMS = 1
_LOW_DISK_BYTES = 1024**3


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    is_fine: bool
    detail: str
    """What was seen; for a problem, also what to do."""


@click.command()
@click.option("--config", "-c", "config_path", type=click.Path(dir_okay=False), help="Examine this configuration.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), help="The port that `serve` would use.")
@click.option("--json", "as_json", is_flag=True, help="Print findings as JSON.")
def doctor(config_path: str | None, port: int | None, as_json: bool) -> None:
    """Look at everything `serve` needs and say what is wrong and what to do; exit code 1 if anything is.

    Nothing is sent to anybody's API; servers in your own network are asked for their model list.
    """
    findings = run(_examine(Asked(config_path=config_path, port=port)))
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            mark = "[green]ok[/]     " if finding.is_fine else "[red]problem[/]"
            console.print(f"{mark} {escape(finding.what)}: {escape(finding.detail)}")
    if not all(finding.is_fine for finding in findings):
        sys.exit(EXIT_PROBLEMS)


async def _examine(asked: Asked) -> list[Finding]:
    findings = [Finding("overspill", True, f"{__version__} on Python {sys.version.split()[0]}")]
    problem = engine_problem()
    findings.append(Finding("embedded engine", problem is None, problem or "can run here"))
    findings.append(_disk())
    try:
        setup = await set_up(asked)
    except OverspillError as error:
        return [*findings, Finding("configuration", False, str(error))]
    source = asked.config_path or "made from what was found on this machine"
    findings.append(Finding("configuration", True, source))
    findings.append(_port(setup))
    findings.append(_ledger(setup))
    findings += _clients_keys(setup)
    findings += _certificate(setup)
    try:
        wiring = compile_config(setup.config, setup.facts)
    except OverspillError as error:
        return [*findings, Finding("routes", False, str(error))]
    findings.append(_routes(setup))
    findings += _keys(wiring.targets)
    return [*findings, *await _servers(wiring.targets)]


def _disk() -> Finding:
    folder = cache_dir(os.environ)
    while not folder.exists():
        folder = folder.parent
    stats = os.statvfs(folder)
    free = stats.f_bavail * stats.f_frsize
    return Finding("disk", free > _LOW_DISK_BYTES, f"{free / 1e9:.1f} GB free at {folder}" + _low_disk_advice(free))


def _low_disk_advice(free: int) -> str:
    return "" if free > _LOW_DISK_BYTES else "; free some: models and the ledger are kept there"


def _port(setup: Setup) -> Finding:
    server = setup.config.server
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            advice = "stop what listens there, or choose another with --port or OVERSPILL_PORT"
            return Finding("address", False, f"{server.host}:{server.port} cannot be bound: {error.strerror}; {advice}")
    return Finding("address", True, f"{server.host}:{server.port} is free")


def _ledger(setup: Setup) -> Finding:
    if not setup.config.ledger.enabled:
        return Finding("ledger", True, "switched off: nothing will be remembered")
    path = ledger_path(setup.config, os.environ)
    if not path.exists():
        return Finding("ledger", True, f"will be made at {path}")
    try:
        LedgerStore.open(path, read_only=True).close()
    except OverspillError as error:
        return Finding("ledger", False, str(error))
    return Finding("ledger", os.access(path, os.W_OK), f"{path}")


def _clients_keys(setup: Setup) -> Iterator[Finding]:
    named = setup.config.server.keys_file
    if named is None:
        return
    path = Path(named).expanduser()
    try:
        records = read_key_file(path)
    except OverspillError as error:
        yield Finding("clients' keys", False, str(error))
        return
    live = sum(record.is_live(datetime.now(UTC)) for record in records)
    if not live and not setup.config.server.api_keys:
        said = f"no key in {path} is valid, so nobody may ask; make one with 'overspill keys create NAME'"
        yield Finding("clients' keys", False, said)
    elif path.exists() and path.stat().st_mode & 0o022:
        yield Finding("clients' keys", False, f"others may write {path} and make keys of their own; chmod 600 {path}")
    else:
        yield Finding("clients' keys", True, f"{live} of {len(records)} in {path} are valid")


def _certificate(setup: Setup) -> Iterator[Finding]:
    files = files_of(setup.config)
    if files is None:
        return
    try:
        Certificate(files)
        dates = validity(files.cert)
    except OverspillError as error:
        yield Finding("certificate", False, str(error))
        return
    now = datetime.now(UTC)
    days = dates.days_left(now)
    said = f"{files.cert} {end_in_words(days)} ({dates.ends:%Y-%m-%d})"
    if dates.begins > now:
        yield Finding(
            "certificate", False, f"{files.cert} is not valid before {dates.begins:%Y-%m-%d}; is the clock right?"
        )
    elif days < EXPIRES_SOON_DAYS:
        yield Finding("certificate", False, f"{said}; renew it, a running gateway loads the new one by itself")
    else:
        yield Finding("certificate", True, said)


def _routes(setup: Setup) -> Finding:
    if setup.config.routes:
        return Finding("routes", True, f"{len(setup.config.routes)} routes over {len(setup.config.pools)} pools")
    return Finding(
        "routes",
        False,
        "no model can be served; install the built-in engine (pip install 'overspill[local]'), start a local server "
        "such as Ollama, set a provider's key such as DEEPSEEK_API_KEY, or write a configuration",
    )


def _keys(targets: tuple[CompiledTarget, ...]) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for target in targets:
        if target.key is None or (target.pool, str(target.key)) in seen:
            continue
        seen.add((target.pool, str(target.key)))
        try:
            resolve_secret(target.key, os.environ, what=f"pool {target.pool!r}")
        except OverspillError as error:
            yield Finding(f"key of {target.pool}", False, str(error))
        else:
            yield Finding(f"key of {target.pool}", True, f"found in {target.key}; not tried")


async def _servers(targets: tuple[CompiledTarget, ...]) -> list[Finding]:
    attached = [target for target in targets if target.role == "attach" and target.origin is not None]
    client = HttpClient()
    try:
        return list(await asyncio.gather(*(_server(client, target) for target in attached)))
    finally:
        await client.close()


async def _server(client: HttpClient, target: CompiledTarget) -> Finding:
    origin = target.origin or Origin()
    call = HttpCall(b"GET", origin.prefix + b"/v1/models", (), b"")
    answer = await fetch(client, origin, call, timeout_s=3.0)
    where = f"{target.kind} at {origin.host}:{origin.port}"
    if isinstance(answer, TransportFault):
        return Finding(target.target_id, False, f"{where} does not answer: {answer.message}; start it, or mend its url")
    is_fine = answer.status in (200, 401)
    return Finding(target.target_id, is_fine, f"{where} answers with HTTP {answer.status}")
