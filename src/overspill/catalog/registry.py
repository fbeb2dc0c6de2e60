"""Where the catalogue comes from on this machine: shipped rows, newer ones, and the user's own changes over both.

Two files in the user's folder of configurations are read if they exist: ``registry.yaml``, which ``overspill providers
update`` writes, and ``providers.yaml``, which the user does.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from overspill.catalog.load import Catalog, CatalogFile, parse, read_yaml, shipped
from overspill.catalog.merge import newer, overridden
from overspill.errors import ConfigError

UPDATE_FILE = "registry.yaml"
OVERRIDES_FILE = "providers.yaml"


def load_rows(folder: Path | None, *, with_overrides: bool = True) -> CatalogFile:
    """Read all rows that hold on this machine; ``folder`` is the one of the user's configuration, if any."""
    rows = shipped()
    if folder is None:
        return rows
    update = folder / UPDATE_FILE
    text = _read(update)
    if text is not None:
        rows = newer(rows, parse(text, str(update)))
    own = folder / OVERRIDES_FILE
    text = _read(own) if with_overrides else None
    if text is not None:
        written = dt.datetime.fromtimestamp(own.stat().st_mtime, dt.UTC).date()
        rows = overridden(rows, read_yaml(text, str(own)), str(own), written)
    return rows


def load_catalog(folder: Path | None) -> Catalog:
    """Read the catalogue that holds on this machine; raise ``ConfigError`` that names the file that is wrong."""
    rows = load_rows(folder)
    return Catalog(rows, "the shipped catalogue" if folder is None else f"the catalogue with {folder}/*.yaml")


def write_update(folder: Path, text: bytes) -> Path:
    """Keep a newer file of rows, whole or not at all; what is in it has been checked by ``check_update``."""
    path = folder / UPDATE_FILE
    passing = folder / f".{UPDATE_FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            passing.write_bytes(text)
            passing.replace(path)
        finally:
            passing.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"it cannot be written: {error.strerror}", file=str(path)) from error
    return path


def check_update(text: bytes, file: str) -> CatalogFile:
    """Read a newer file of rows; raise ``ConfigError`` if it does not fit the shipped ones."""
    update = parse(text, file)
    if not any((update.models, update.providers, update.tariffs, update.calendars, update.currencies)):
        raise ConfigError("it has no rows", file=file)
    Catalog(newer(shipped(), update), file)
    return update


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"it cannot be read: {error.strerror}", file=str(path)) from error
