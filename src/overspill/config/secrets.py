"""Fetches secrets from where a configuration says they are. Called at start and at reload; nothing here is logged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from overspill.config.scalars import KeyRef, SecretRef
from overspill.errors import ConfigError


def resolve(reference: SecretRef | KeyRef, environ: Mapping[str, str], *, what: str) -> str:
    """Return the secret at ``reference``; ``what`` names its owner in errors, which never show the secret."""
    scheme, _, place = reference.partition(":")
    if scheme == "env":
        secret = environ.get(place, "").strip()
        if not secret:
            raise ConfigError(f"the key of {what} should be in the environment variable {place}, which is not set")
    else:
        secret = _read(place, what)
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(f"the key of {what} in {reference} has signs that no key has; was it copied whole?")
    return secret


def key_digest(reference: KeyRef, environ: Mapping[str, str]) -> str:
    """Return the SHA-256 (hex) of a key that clients may use, so that the key itself need not be kept."""
    if reference.startswith("sha256:"):
        return reference.removeprefix("sha256:")
    secret = resolve(reference, environ, what="server.api_keys")
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(place: str, what: str) -> str:
    path = Path(place).expanduser()
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"the key of {what} should be in the file {path}, which cannot be read: {said}") from error
    if not secret:
        raise ConfigError(f"the key of {what} should be in the file {path}, which is empty")
    return secret
