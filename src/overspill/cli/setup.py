"""From the command line to a configuration: a file if one is named, otherwise what is found on this machine."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from overspill.config.discover import Discovery, key_names, zero_config
from overspill.config.key_file import read_key_file
from overspill.config.load import load_file, with_overrides
from overspill.config.schema import DEFAULT_PORT, Config
from overspill.errors import ConfigError
from overspill.gateway.discovery import find_servers
from overspill.gateway.http.client import HttpClient
from overspill.gateway.places import config_dir, keys_path
from overspill.pools.engines.host import why_unsuitable
from overspill.pools.engines.model_source import BUILTIN, builtin_variant
from overspill.pools.facts import KnownFacts, load_facts

T = TypeVar("T")


class Asked(NamedTuple):
    """What the command line asks for."""

    config_path: str | None = None
    settings: tuple[str, ...] = ()
    host: str | None = None
    port: int | None = None
    model: str | None = None
    """A model for the embedded engine instead of the built-in one."""
    looks_around: bool = True
    """False to look neither for servers nor for keys."""

    def all_settings(self) -> tuple[str, ...]:
        """Return ``--set`` with ``--host`` and ``--port`` as what they stand for."""
        extra = [f"server.host={self.host}"] if self.host is not None else []
        if self.port is not None:
            extra.append(f"server.port={self.port}")
        return (*self.settings, *extra)


class Setup(NamedTuple):
    """A configuration, and how it came about."""

    config: Config
    facts: KnownFacts
    discovery: Discovery | None
    """What was found; ``None`` where a file said it all."""
    engine_problem: str | None
    """Why the embedded engine cannot run here, or ``None``."""


async def set_up(asked: Asked) -> Setup:
    """Make the configuration; raise ``ConfigError`` if it cannot be used."""
    environ = os.environ
    facts = load_facts(config_dir(environ))
    keys = usual_keys_file()
    problem = engine_problem()
    if asked.config_path is not None:
        if asked.model is not None:
            raise ConfigError("--model goes without --config: a configuration names its models itself, under pools")
        config = load_file(asked.config_path, facts, settings=asked.all_settings(), environ=environ, keys_file=keys)
        return Setup(config, facts, None, problem)
    discovery = await _look_around(asked, facts, problem)
    found = zero_config(discovery, facts)
    config = with_overrides(found, facts, settings=asked.all_settings(), environ=environ, keys_file=keys)
    return Setup(config, facts, discovery, problem)


def usual_keys_file() -> Path | None:
    """Return the file that ``overspill keys`` writes without being told another, if a key was ever made in it."""
    path = keys_path(os.environ)
    return path if read_key_file(path) else None


async def _look_around(asked: Asked, facts: KnownFacts, problem: str | None) -> Discovery:
    if asked.model is not None and problem is not None:
        raise ConfigError(f"--model needs the embedded engine, and {problem}")
    found = Discovery() if problem is not None else _with_engine(asked.model)
    if not asked.looks_around:
        return found
    client = HttpClient()
    try:
        servers = await find_servers(client, skip_port=_own_port(asked))
    finally:
        await client.close()
    return replace(found, servers=tuple(servers), key_names=key_names(os.environ, facts))


def _with_engine(model: str | None) -> Discovery:
    """Say what the embedded engine runs; a model of the user's own is called by its file's name."""
    if model is None or builtin_variant(model) is not None:
        return Discovery(builtin_model=model or BUILTIN)
    name = Path(model.rpartition(":")[2]).name.removesuffix(".gguf")
    return Discovery(builtin_model=model, builtin_name=name)


def _own_port(asked: Asked) -> int:
    named = asked.port if asked.port is not None else os.environ.get("OVERSPILL_PORT", "")
    return int(named) if str(named).isdigit() else DEFAULT_PORT


def engine_problem() -> str | None:
    """Say why the embedded engine cannot run here and what to do, or ``None`` if it can."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "the embedded engine is not installed: pip install 'overspill[local]'"
    return why_unsuitable()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on uvloop where it exists: 0-20 % less CPU per request than asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)
