"""Reads a configuration: file, environment, ``--set``; then the schema; then the checks. The only reader there is.

Later sources win: file, then ``OVERSPILL_HOST`` and ``OVERSPILL_PORT``, then ``--set``. All go through the same schema
and the same checks. Errors name the file and the line, or the variable or option.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath

import msgspec

from overspill.config.check import require_sound
from overspill.config.decode import Invalid, decode, plain
from overspill.config.facts import Facts
from overspill.config.overrides import Override, apply, from_arguments, from_environment
from overspill.config.schema import Config
from overspill.config.yaml_source import Source, read_yaml
from overspill.errors import ConfigError

_MAX_FILE_BYTES = 1024 * 1024


def load_file(
    path: str | FilePath,
    facts: Facts,
    *,
    settings: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    keys_file: FilePath | None = None,
) -> Config:
    """Read the file at ``path``; raise ``ConfigError`` if it cannot be used.

    ``keys_file`` is what ``server.keys_file`` is if nothing says otherwise.
    """
    file = str(path)
    try:
        raw = FilePath(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"the configuration cannot be read: {error.strerror or error}", file=file) from error
    if len(raw) > _MAX_FILE_BYTES:
        raise ConfigError(f"{len(raw)} bytes is too large for a configuration; is it the right file?", file=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8 text", file=file) from error
    return load_text(text, facts, file=file, settings=settings, environ=environ, keys_file=keys_file)


def load_text(
    text: str,
    facts: Facts,
    *,
    file: str = "configuration",
    settings: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    keys_file: FilePath | None = None,
) -> Config:
    """Read a configuration from text; ``file`` is what errors call it."""
    return _build(read_yaml(text, file=file), file, facts, settings, environ, keys_file)


def with_overrides(
    config: Config,
    facts: Facts,
    *,
    settings: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    keys_file: FilePath | None = None,
) -> Config:
    """Apply the environment and ``--set`` to a configuration that no file gave, and check the whole."""
    return _build(Source(plain(config), {}), None, facts, settings, environ, keys_file)


def _build(
    source: Source,
    file: str | None,
    facts: Facts,
    settings: Iterable[str],
    environ: Mapping[str, str] | None,
    keys_file: FilePath | None,
) -> Config:
    overrides = [*from_environment(environ or {}), *from_arguments(settings)]
    try:
        config = decode(apply(source.value, overrides))
        if config.server.keys_file is None and keys_file is not None:
            server = msgspec.structs.replace(config.server, keys_file=str(keys_file))
            config = msgspec.structs.replace(config, server=server)
        require_sound(config, facts)
    except Invalid as error:
        raise _located(error, source, file, overrides) from error
    return config


def _located(error: Invalid, source: Source, file: str | None, overrides: list[Override]) -> ConfigError:
    for override in reversed(overrides):
        if error.path[: len(override.path)] == override.path:
            return ConfigError(f"{override.origin}: {error.message}")
    return ConfigError(error.message, file=file, line=source.line(error.path))
