"""Where Overspill keeps its files: the XDG base directories, so nothing lands beside the code or in the home itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def config_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for what its user writes: changes of the catalogue."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "overspill"


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for what must survive a restart: the ledger, keys."""
    return _base(environ, "XDG_STATE_HOME", ".local/state") / "overspill"


def keys_path(environ: Mapping[str, str]) -> Path:
    """Return the file of the keys that ``overspill keys`` makes, where no configuration names another."""
    return state_dir(environ) / "keys.json"


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder for what can be fetched again: models."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / "overspill"


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    # The specification wants relative paths in these variables ignored.
    named = environ.get(variable, "")
    return Path(named) if named.startswith("/") else Path.home() / fallback
