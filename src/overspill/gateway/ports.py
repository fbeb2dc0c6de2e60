"""Whom a relay talks to: where a stream's events go, and who is told what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from overspill.core.events import AnyEvent

if TYPE_CHECKING:
    from overspill.gateway.relay import Relay


class Sink(Protocol):
    """Where a stream's events go: the session that the attempt is for."""

    def commit(self, relay: Relay) -> None:
        """Begin the answer: the first token has come."""
        ...

    def forward(self, raw: bytes) -> None:
        """Pass bytes on to the client."""
        ...

    @property
    def is_slow(self) -> bool:
        """True while the client reads more slowly than the target sends."""
        ...

    @property
    def passage(self) -> Callable[[bytes], None] | None:
        """Where whole chunks of the stream, framing included, may be sent; ``None`` while they must not pass by."""
        ...


class Reporter(Protocol):
    """Who is told what happened: the driver."""

    def feed(self, event: AnyEvent) -> None:
        """Take in one event."""
        ...

    def now(self) -> float:
        """Return the time on the controller's clock."""
        ...
