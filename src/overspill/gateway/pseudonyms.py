"""What providers get to know of a client's users: that two requests are of the same one, and nothing else.

DeepSeek isolates caches and schedules by user; OpenAI wants to tell abusers apart. What clients send as a user's id is
often an e-mail address, and Claude Code's is a JSON document. So a keyed hash goes out in its place: stable, of signs
that every provider takes, and of no use to who has not the salt.
"""

from __future__ import annotations

import logging
import os
import secrets
from hashlib import blake2b
from pathlib import Path

log = logging.getLogger("overspill.pseudonyms")

_FILE = "user-salt"
_SALT_BYTES = 32


class Pseudonyms:
    """Makes them, with the salt of one installation."""

    def __init__(self, salt: bytes) -> None:
        self._salt = blake2b(salt).digest()  # of any length, and evenly spread

    def of(self, user: str, key_id: str) -> str:
        """Return the name of a user of a key of the gateway: the same word means another user with another key."""
        digest = blake2b(key=self._salt, digest_size=16)
        digest.update(len(key_id).to_bytes(4, "big") + key_id.encode() + user.encode("utf-8", "surrogatepass"))
        return f"u-{digest.hexdigest()}"


def find_salt(folder: Path | None) -> bytes:
    """Read the salt of this installation, or make one that later starts find; without a folder it is forgotten."""
    if folder is None:
        return secrets.token_bytes(_SALT_BYTES)
    path = folder / _FILE
    try:
        return path.read_bytes() or _make(path)
    except FileNotFoundError:
        return _make(path)
    except OSError as error:
        return _forgotten(path, error)


def _make(path: Path) -> bytes:
    salt = secrets.token_bytes(_SALT_BYTES)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(salt)
    except OSError as error:
        return _forgotten(path, error)
    return salt


def _forgotten(path: Path, error: OSError) -> bytes:
    log.warning("%s cannot be used (%s), so users have other names at providers after each start", path, error.strerror)
    return secrets.token_bytes(_SALT_BYTES)
