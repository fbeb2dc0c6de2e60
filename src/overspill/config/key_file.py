"""The file of the keys that ``overspill keys`` makes: read by a running gateway, changed by the command line.

JSON: ``{"version": 1, "keys": [{"key": "sha256:…", "name": "alice", …}]}``, each key an entry as in
``server.api_keys`` with the dates of its life. Of a key only its digest and its first signs are in it. A file that is
changed is written beside and renamed, so a reader sees the old one or the new one; who changes it holds a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from overspill.config.allowance import KeyRecord
from overspill.config.decode import plain
from overspill.config.scalars import dec_hook
from overspill.config.schema import Config
from overspill.config.section import Section
from overspill.errors import ConfigError

VERSION = 1
MAX_BYTES = 16 * 1024 * 1024
"""Some 40,000 keys."""


class KeyFile(Section, frozen=True, kw_only=True):
    """The whole file."""

    version: Annotated[int, Meta(description="Of the file's form.")] = VERSION
    keys: Annotated[tuple[KeyRecord, ...], Meta(description="In the order in which they were made.")] = ()


_decoder = msgspec.json.Decoder(KeyFile, dec_hook=dec_hook)


def read_key_file(path: Path) -> tuple[KeyRecord, ...]:
    """Return the keys in the file, none if there is no file; raise ``ConfigError`` if it cannot be used."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"the file of keys cannot be read: {error.strerror}", file=str(path)) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{len(raw)} bytes is too large for a file of keys; is it the right one?", file=str(path))
    try:
        found = _decoder.decode(raw)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            f"this is no file of keys ({error}); 'overspill keys' writes it, restore it from a backup", file=str(path)
        ) from error
    if found.version != VERSION:
        raise ConfigError(
            f"the file of keys has version {found.version}, this Overspill reads {VERSION}; upgrade Overspill",
            file=str(path),
        )
    for record in found.keys:
        if not record.name or not record.key.startswith("sha256:"):
            raise ConfigError("a key in it has no name, or something else than its sha256:HEX", file=str(path))
    return found.keys


def with_records(config: Config, records: tuple[KeyRecord, ...], path: Path, now: datetime) -> Config:
    """Return the configuration with the file's live keys among its own; of several of one name the newest speaks.

    A name that the configuration itself gives to a key is left to that one.
    """
    own = {entry.name for entry in config.server.api_keys if not isinstance(entry, str)}
    live = {record.key_id: record for record in records if record.is_live(now) and record.name not in own}
    keys = (*config.server.api_keys, *live.values())
    server = msgspec.structs.replace(config.server, api_keys=keys, keys_file=str(path))
    return msgspec.structs.replace(config, server=server)


def without_budgets(config: Config) -> Config:
    """Return the configuration without the file's keys that have a budget."""
    keys = tuple(k for k in config.server.api_keys if not (isinstance(k, KeyRecord) and k.budget is not None))
    return msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, api_keys=keys))


def change_key_file(
    path: Path, change: Callable[[tuple[KeyRecord, ...]], tuple[KeyRecord, ...]]
) -> tuple[KeyRecord, ...]:
    """Replace the file's keys by what ``change`` makes of them, and return those.

    One writer at a time: the lock is a file beside it, since this one is replaced. What ``change`` raises changes
    nothing; ``ConfigError`` if the file cannot be written.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(place):
            keys = change(read_key_file(place))
            whole = {"version": VERSION, "keys": [plain(key) for key in keys]}
            _replace(place, msgspec.json.format(msgspec.json.encode(whole), indent=1))
    except OSError as error:
        raise ConfigError(f"the file of keys cannot be written: {error.strerror or error}", file=str(path)) from error
    return keys


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    handle = os.open(place.with_name(f"{place.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(place: Path, text: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent)  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(place)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
