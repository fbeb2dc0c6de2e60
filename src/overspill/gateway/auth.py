"""Who may ask: the gateway's own keys, kept only as digests.

A key is looked up by its SHA-256, which nobody can steer towards that of another key: what the time of the look-up
tells says nothing of a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from overspill.config.key_text import is_damaged
from overspill.wire.form import ReasoningForm

ANONYMOUS = ""
"""Key id of every client of a gateway without keys."""


class KeyRefusal(NamedTuple):
    """Why a key is not good: an error's code and message."""

    code: str
    message: str


class Keyring:
    """The keys of one configuration; no keys at all means that everybody may ask, unless one ``is_required``."""

    def __init__(
        self,
        digests: Mapping[bytes, str],
        *,
        local_only: frozenset[str] = frozenset(),
        dead: Mapping[bytes, str] | None = None,
        is_required: bool = False,
        reasoning: Mapping[str, ReasoningForm] | None = None,
    ) -> None:
        """Make it of digest → key id; ``dead`` has digest → why for keys that were: ``revoked`` or ``expired``."""
        self._digests = dict(digests)
        self._dead = dict(dead or {})
        self._local_only = local_only
        self._reasoning = reasoning or {}
        self.is_open = not digests and not is_required
        """True if no key is needed."""

    @classmethod
    def of_secrets(cls, secrets: Mapping[str, str]) -> Keyring:
        """Make a keyring from key id → key."""
        return cls({digest(secret.encode()): key_id for key_id, secret in secrets.items()})

    def is_local_only(self, key_id: str) -> bool:
        """Tell whether no request with this key may leave local pools."""
        return key_id in self._local_only

    def reasoning_of(self, key_id: str) -> ReasoningForm | None:
        """Return the form of thoughts that the clients of a key want, where it names one."""
        return self._reasoning.get(key_id)

    def identify(self, headers: list[tuple[bytes, bytes]]) -> str | None:
        """Return the id of the key in a request's headers, or ``None`` if it has none that is good.

        Read from ``Authorization: Bearer`` (OpenAI's clients) or ``x-api-key`` (Anthropic's).
        """
        if self.is_open:
            return ANONYMOUS
        presented = _presented(headers)
        return None if presented is None else self._digests.get(digest(presented))

    def refusal(self, headers: list[tuple[bytes, bytes]]) -> KeyRefusal:
        """Say in which of the ways not to be good a request's key is not."""
        presented = _presented(headers)
        if presented is None:
            return _NO_KEY
        match self._dead.get(digest(presented)):
            case "revoked":
                return _REVOKED
            case "expired":
                return _EXPIRED
            case _:
                return _DAMAGED if is_damaged(presented.decode("latin-1")) else _UNKNOWN


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


_NO_KEY = KeyRefusal(
    code="invalid_api_key",
    message="this gateway needs a key: send it as 'Authorization: Bearer KEY' or as 'x-api-key: KEY'",
)
_UNKNOWN = KeyRefusal(
    code="invalid_api_key",
    message="this gateway does not know this key: it needs one of its own, and passes no provider's key on",
)
_DAMAGED = KeyRefusal(
    code="invalid_api_key",
    message="this key is not whole: its checksum is wrong; was it cut off or mistyped?",
)
_REVOKED = KeyRefusal(code="revoked_api_key", message="this key was revoked; ask whoever runs this gateway for another")
_EXPIRED = KeyRefusal(code="expired_api_key", message="this key has expired; ask whoever runs this gateway for another")
