"""What a client that numbers its tries can come back to; see ``rejoin``."""

from __future__ import annotations

from typing import NamedTuple

from overspill.gateway.caller import Caller


class Likeness(NamedTuple):
    """What two requests must share for one to be the other's retry."""

    caller: Caller
    digest: bytes


class WholeAnswer(NamedTuple):
    """A good answer in one piece."""

    lines: bytes
    """As ``Exchange.reply_encoded`` takes them."""
    body: bytes


class Comeback:
    """Of one request."""

    __slots__ = ("left_at", "likeness", "unread")

    def __init__(self, likeness: Likeness) -> None:
        self.likeness = likeness
        self.left_at: float | None = None
        """When its client went away, while it may come back."""
        self.unread: WholeAnswer | None = None
        """The answer, if it came while the client was away."""
