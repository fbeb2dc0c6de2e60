"""What an upstream adapter is: one provider's dialect of somebody else's API. It translates and never acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from overspill.core.types import FailureKind, Surface
from overspill.wire.contract import Contract
from overspill.wire.dialect import AnswerReader
from overspill.wire.form import ChatForm, History
from overspill.wire.http import Headers, HttpCall, Origin


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials at one provider. ``repr`` never shows the key."""

    account_id: str
    origin: Origin
    api_key: str
    auth: str = "bearer"
    """Which header carries the key: ``bearer``, ``api-key`` or ``x-api-key``."""
    allowed_fields: frozenset[str] = frozenset()
    """The fields of a body that the host takes, where it refuses all others; empty if it takes any."""
    extra_headers: Headers = ()

    def __repr__(self) -> str:
        return f"Account({self.account_id!r}, {self.origin.host}, key=…)"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """What a target's error means."""

    kind: FailureKind
    retry_after_s: float | None = None
    message: str = ""
    history: History | None = None
    """How it wants the thoughts of earlier turns, where it says that it does not want them as they were."""


class Upstream(Protocol):
    """One provider's API."""

    kind: str
    surfaces: tuple[Surface, ...]
    unsupported: Mapping[str, str]
    """What it does not do → why not, in words. A name of ``features`` keeps requests away that need it."""
    form: ChatForm
    """In which form of chat it is asked, and answers."""
    contract: Contract
    """How it goes on with an answer that has begun, as declared; it is verified before it is relied on."""
    native: tuple[str, ...]
    """Surfaces besides OpenAI's chat that it speaks itself (``messages``, ``responses``), and is asked for natively.

    An answer in a native form is not continued elsewhere if it breaks off; so name only what chat would lose much of.
    """

    def call(self, surface: Surface, body: bytes, account: Account) -> HttpCall:
        """Turn a request body in OpenAI's form (model already renamed) into the provider's call."""
        ...

    def call_native(self, surface: str, body: bytes, account: Account) -> HttpCall:
        """Turn a request body of one of its ``native`` surfaces (model already renamed) into the provider's call."""
        ...

    def reader(self, surface: Surface) -> AnswerReader | None:
        """Return what brings one answer to ``call`` into the normal form of chat; ``None`` if it comes in it."""
        ...

    def classify(self, status: int, headers: Headers, body: bytes) -> Failure:
        """Say what an error answer (or an error in a stream, with its HTTP status) means."""
        ...
