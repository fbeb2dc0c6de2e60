"""What a key of ours looks like: a beginning to know it by, 32 random signs, and a checksum of six.

The beginning lets people, logs and secret scanners see what it is; ``sk-`` is what clients expect of a key. The
checksum tells a key that was cut or mistyped from one that was never made, without asking anything.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

PREFIX = "sk-ovs-"
_SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM = 32
"""Signs of 62: 190 bits."""
_CHECKSUM = 6
_HINT = 4
"""Random signs that are shown later; 166 bits stay unknown."""


def new_key() -> str:
    """Make a key."""
    body = PREFIX + "".join(secrets.choice(_SIGNS) for _ in range(_RANDOM))
    return body + _checksum(body)


def hint_of(key: str) -> str:
    """Return how a key begins: enough to tell it by, too little to guess it."""
    return key[: len(PREFIX) + _HINT]


def digest_of(key: str) -> str:
    """Return what is kept of a key: its SHA-256, in hex. Keys are random, so they need no salt and no slow hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_ours(text: str) -> bool:
    """Say whether this begins like a key of ours."""
    return text.startswith(PREFIX)


def is_damaged(key: str) -> bool:
    """Say whether this is a key of ours that was cut or mistyped."""
    return is_ours(key) and (
        len(key) != len(PREFIX) + _RANDOM + _CHECKSUM or key[-_CHECKSUM:] != _checksum(key[:-_CHECKSUM])
    )


def _checksum(body: str) -> str:
    number, signs = zlib.crc32(body.encode("utf-8", "replace")), ""
    for _ in range(_CHECKSUM):
        number, place = divmod(number, len(_SIGNS))
        signs = _SIGNS[place] + signs
    return signs
