"""``overspill keys``: makes, lists, replaces and revokes the keys that clients use; a running gateway follows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import msgspec

from overspill.cli.key_list import as_rows, lines_of
from overspill.config.allowance import KeyRecord
from overspill.config.decode import plain
from overspill.config.key_file import change_key_file, read_key_file
from overspill.config.key_text import digest_of, hint_of, is_ours, new_key
from overspill.config.keys import entry_problems, keys_of
from overspill.config.load import load_file
from overspill.config.scalars import dec_hook
from overspill.config.schema import Config
from overspill.errors import ConfigError, did_you_mean
from overspill.gateway.places import keys_path
from overspill.gateway.service import ledger_path
from overspill.ledger.store import LedgerStore
from overspill.ledger.usage import KeyUse, use_by_key
from overspill.pools.facts import load_facts
from overspill.units import parse_duration_s
from overspill.wire.form import SHOWN

Command = TypeVar("Command", bound=Callable[..., Any])
_CONFIG = click.option(
    "--config", "-c", "config_path", type=click.Path(dir_okay=False), help="The configuration that the keys are for."
)
_PATH = click.option(
    "--path",
    type=click.Path(dir_okay=False),
    help="The keys' file; the configuration's `server.keys_file`, else `serve`'s, if left out.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _Place(NamedTuple):
    """Which file of keys, and the configuration that goes with it if one was named."""

    path: Path
    config: Config | None


def _place(config_path: str | None, path: str | None) -> _Place:
    config = None if config_path is None else load_file(config_path, load_facts(), environ=os.environ)
    named = path or (None if config is None else config.server.keys_file)
    return _Place(keys_path(os.environ) if named is None else Path(named).expanduser(), config)


def _end(ctx: click.Context, param: click.Parameter, text: str | None) -> datetime | None:  # noqa: ARG001 - click's
    """Read a duration from now, or a date or time in ISO 8601, which is UTC if it has no zone."""
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        moment = now + timedelta(seconds=parse_duration_s(text))
    except (ValueError, OverflowError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise click.BadParameter(
                f"{text!r} is neither a duration such as 30d nor a time such as 2027-01-31 or 2027-01-31T18:00:00+01:00"
            ) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if moment <= now:
        raise click.BadParameter(f"{text!r} is not in the future")
    return moment.astimezone(UTC)


def _span(ctx: click.Context, param: click.Parameter, text: str) -> timedelta:  # noqa: ARG001 - click's
    try:
        return timedelta(seconds=parse_duration_s(text))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is not a duration; write a number and a unit, like 1h or 7d") from None


@click.group()
def keys() -> None:
    """Make, list, replace and revoke the keys that clients use.

    A running gateway takes changes up within a second, without a restart. Only digests of keys are kept.
    """


_MAY: tuple[Callable[[Command], Command], ...] = (
    click.option("--team", help="Keys of one team share the limits that `limits.teams` names for it."),
    click.option("--weight", type=click.FloatRange(0, 1000, min_open=True), help="Its share of a full engine (1)."),
    click.option("--model", "models", multiple=True, help="A model or glob it may ask for (all); may be repeated."),
    click.option("--local-only", is_flag=True, help="Its requests never leave local pools."),
    click.option("--reasoning", type=click.Choice(SHOWN), help="How its answers show thinking (reasoning_content)."),
    click.option("--requests-per-minute", type=click.IntRange(1), help="Requests per minute."),
    click.option("--tokens-per-minute", type=click.IntRange(1), help="Prompt and answer tokens per minute."),
    click.option("--burst", help="How much of the two may come at once: what builds up in this time (60s)."),
    click.option("--concurrency", type=click.IntRange(1), help="Requests at once."),
    click.option("--budget-hour", type=click.FloatRange(0, min_open=True), help="US dollars in each hour."),
    click.option("--budget-day", type=click.FloatRange(0, min_open=True), help="US dollars in each day."),
    click.option("--budget-month", type=click.FloatRange(0, min_open=True), help="US dollars in each month."),
)  # fmt: skip


def _with_what_it_may(command: Command) -> Command:
    for option in reversed(_MAY):
        command = option(command)
    return command


@keys.command()
@click.argument("name")
@_with_what_it_may
@click.option("--expires", callback=_end, help="When it ends: after 30d, 12h, or at a time such as 2027-01-31.")
@click.option("--note", default="", help="A note for people.")
@_CONFIG
@_PATH
@_JSON
def create(
    name: str, expires: datetime | None, note: str, config_path: str | None, path: str | None, as_json: bool, **may: Any
) -> None:
    """Make a key called NAME and print it, this once; NAME is what the ledger and the limits call it."""
    place = _place(config_path, path)
    key = new_key()
    record = _record(name, key, may, expires, note)
    _check(record, place.config)

    def add(before: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        if any(one.key_id == name and one.is_live(datetime.now(UTC)) for one in before):
            raise ConfigError(
                f"there is a key {name!r}; choose another name, or replace it with 'overspill keys rotate {name}'",
                file=str(place.path),
            )
        return (*before, record)

    after = change_key_file(place.path, add)
    _print_key(key, record, place.path, as_json)
    if len(after) == 1 and not (place.config is not None and place.config.server.api_keys):
        click.echo(
            "This is the file's first key: a gateway that uses it asks everybody for a key from now on.", err=True
        )


def _record(name: str, key: str, may: dict[str, Any], expires: datetime | None, note: str) -> KeyRecord:
    """Put the options into a record; raise ``click.UsageError`` that names the option for a value that cannot be."""
    rates = {rate: may[rate] for rate in ("requests_per_minute", "tokens_per_minute", "burst", "concurrency")}
    budget = {window: may[f"budget_{window}"] for window in ("hour", "day", "month")}
    value = {
        "key": f"sha256:{digest_of(key)}",
        "name": name,
        "hint": hint_of(key),
        "team": may["team"],
        "weight": may["weight"],
        "models": list(may["models"]),
        "local_only": may["local_only"],
        "reasoning": may["reasoning"],
        "limits": {rate: amount for rate, amount in rates.items() if amount is not None} or None,
        "budget": {window: usd for window, usd in budget.items() if usd is not None} or None,
        "note": note,
        "created_at": datetime.now(UTC).replace(microsecond=0),
        "expires_at": expires,
    }
    if value["limits"] is not None and set(value["limits"]) == {"burst"}:
        raise click.UsageError("--burst says how much of a rate may come at once; add --requests-per-minute or another")
    try:
        return msgspec.convert({k: v for k, v in value.items() if v is not None}, KeyRecord, dec_hook=dec_hook)
    except (msgspec.ValidationError, ValueError) as error:
        message, _, where = str(error).partition(" - at `$")
        option = where.strip("`.").replace("limits.", "").replace("_", "-").partition("[")[0]
        if option == "name":
            message = f"{name!r} is no name for a key: letters, digits, '-', '_', '.' and '@', at most 64"
        raise click.UsageError(f"{'NAME' if option == 'name' else f'--{option}'}: {message}") from None


def _check(record: KeyRecord, config: Config | None) -> None:
    """Raise ``click.UsageError`` for a key that could not be used, as far as the configuration, if given, tells."""
    for said in entry_problems(record, config):
        raise click.UsageError(said)
    if config is not None and record.key_id in {key_id for key_id, _ in keys_of(config)}:
        raise click.UsageError(f"the configuration has a key {record.key_id!r} of its own; choose another name")


def _print_key(key: str, record: KeyRecord, path: Path, as_json: bool) -> None:
    if as_json:
        shown = {name: value for name, value in plain(record).items() if name != "key"}
        click.echo(json.dumps({"key": key, **shown}))
        return
    click.echo(f"Key {record.key_id!r}, written to {path} as a digest. It is shown this once:", err=True)
    click.echo(key)


@keys.command()
@click.argument("name")
@click.option(
    "--grace", default="0s", callback=_span, help="How long the old key still works, such as 1d (not at all)."
)
@click.option("--expires", callback=_end, help="When the new one ends; as the old one if left out.")
@_CONFIG
@_PATH
@_JSON
def rotate(
    name: str, grace: timedelta, expires: datetime | None, config_path: str | None, path: str | None, as_json: bool
) -> None:
    """Make another key with the name and all that the key NAME may, and end the old one; print the new one."""
    place = _place(config_path, path)
    key = new_key()
    now = datetime.now(UTC).replace(microsecond=0)

    def replace(before: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        live = [one for one in before if one.key_id == name and one.is_live(datetime.now(UTC))]
        if not live:
            raise ConfigError(_unknown(name, before), file=str(place.path))
        fresh = msgspec.structs.replace(
            live[-1],
            key=type(live[-1].key)(f"sha256:{digest_of(key)}"),
            hint=hint_of(key),
            created_at=now,
            expires_at=expires or live[-1].expires_at,
        )
        return (*(_ended(one, now, grace) if one in live else one for one in before), fresh)

    after = change_key_file(place.path, replace)
    _print_key(key, after[-1], place.path, as_json)


def _ended(record: KeyRecord, now: datetime, grace: timedelta) -> KeyRecord:
    if not grace:
        return msgspec.structs.replace(record, revoked_at=now)
    end = now + grace
    return msgspec.structs.replace(record, expires_at=end if record.expires_at is None else min(end, record.expires_at))


@keys.command()
@click.argument("name")
@_CONFIG
@_PATH
def revoke(name: str, config_path: str | None, path: str | None) -> None:
    """End the keys called NAME at once; a key's first signs, as in the list, or a whole key name a single one."""
    place = _place(config_path, path)
    ended: list[KeyRecord] = []

    def end(before: tuple[KeyRecord, ...]) -> tuple[KeyRecord, ...]:
        meant = [one for one in before if _is_meant(one, name)]
        if not meant:
            raise ConfigError(_unknown(name, before), file=str(place.path))
        now = datetime.now(UTC).replace(microsecond=0)
        ended.extend(one for one in meant if one.revoked_at is None)
        return tuple(msgspec.structs.replace(one, revoked_at=now) if one in ended else one for one in before)

    change_key_file(place.path, end)
    if not ended:
        click.echo(f"{name if not is_ours(name) else hint_of(name)} was revoked before")
    for one in ended:
        click.echo(f"revoked: {one.key_id} ({one.hint}…)")


def _is_meant(record: KeyRecord, name: str) -> bool:
    if not is_ours(name):
        return record.key_id == name
    return name == record.hint or record.key == f"sha256:{digest_of(name)}"


def _unknown(name: str, records: tuple[KeyRecord, ...]) -> str:
    names = sorted({one.key_id for one in records if one.revoked_at is None})
    shown = hint_of(name) if is_ours(name) else name  # an error must not repeat a key
    return f"there is no key {shown!r}{did_you_mean(shown, names)}; keys: {', '.join(names) or 'none'}"


@keys.command("list")
@click.option("--ledger", type=click.Path(dir_okay=False), help="Read the last use from here; `serve`'s if left out.")
@_CONFIG
@_PATH
@_JSON
def list_command(ledger: str | None, config_path: str | None, path: str | None, as_json: bool) -> None:
    """List the keys with what they may and when they were last used. Neither keys nor digests are shown."""
    place = _place(config_path, path)
    records = read_key_file(place.path)
    rows = as_rows(records, _uses(ledger, place.config), datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(rows))
    elif not rows:
        click.echo(f"no keys in {place.path}; make one with 'overspill keys create NAME'")
    else:
        click.echo("\n".join(line for row in rows for line in lines_of(row)))


def _uses(ledger: str | None, config: Config | None) -> dict[str, KeyUse]:
    if ledger is None and config is not None and not config.ledger.enabled:
        return {}
    path = Path(ledger) if ledger is not None else ledger_path(config or Config(), os.environ)
    if ledger is None and not path.exists():
        return {}
    store = LedgerStore.open(path, read_only=True)
    try:
        return use_by_key(store)
    finally:
        store.close()
