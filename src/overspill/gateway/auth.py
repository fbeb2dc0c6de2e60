"""Who may ask: the gateway's own keys, compared in constant time and kept only as digests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

ANONYMOUS = ""
"""Key id of every client of a gateway without keys."""


class Keyring:
    """The keys of one configuration, by their SHA-256; no keys at all means that everybody may ask."""

    def __init__(self, digests: Mapping[str, bytes], *, local_only: frozenset[str] = frozenset()) -> None:
        self._digests = tuple(digests.items())
        self._local_only = local_only

    @classmethod
    def of_secrets(cls, secrets: Mapping[str, str]) -> Keyring:
        """Make a keyring from key id → key."""
        return cls({key_id: digest(secret.encode()) for key_id, secret in secrets.items()})

    @property
    def is_open(self) -> bool:
        """True if no key is needed."""
        return not self._digests

    def is_local_only(self, key_id: str) -> bool:
        """Tell whether no request with this key may leave local pools."""
        return key_id in self._local_only

    def identify(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Return the id of the key in a request's headers, or ``None`` if it has none that is known.

        Read from ``Authorization: Bearer`` (OpenAI's clients) or ``x-api-key`` (Anthropic's). All keys are compared,
        whatever matched before, so the time says nothing about which.
        """
        if not self._digests:
            return ANONYMOUS
        presented = _presented(headers)
        if presented is None:
            return None
        asked = digest(presented)
        found: str | None = None
        for key_id, known in self._digests:
            if hmac.compare_digest(asked, known):
                found = key_id
        return found


def digest(secret: bytes) -> bytes:
    """Return what is kept of a key: its SHA-256. Keys are random, so they need no salt and no slow hash."""
    return hashlib.sha256(secret).digest()


def _presented(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
        if name == b"x-api-key":
            return value
    return None
