"""What a rehearsal engine does wrong on purpose, and to which requests.

Requests are counted from 1 as they come, so a fault strikes the same ones in every run.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Strike(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all faults: whom one strikes. A request that is named by either field is struck."""

    every: int | None = None
    """Each n-th request: 1 is all of them, 3 is the third, sixth, …"""
    requests: tuple[int, ...] = ()
    """These, by number."""

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"every must be 1 or more, not {self.every}")

    def hits(self, number: int) -> bool:
        """Tell whether this strikes request ``number``."""
        return number in self.requests or (self.every is not None and number % self.every == 0)


class ErrorStatus(Strike, frozen=True, kw_only=True, tag="error_status"):
    """It is answered by this HTTP status at once."""

    status: int = 503
    retry_after_s: int | None = None


class CutAfterTokens(Strike, frozen=True, kw_only=True, tag="cut_after_tokens"):
    """The connection closes after so many tokens, in the middle of the body."""

    tokens: int = 0


class StallAfterTokens(Strike, frozen=True, kw_only=True, tag="stall_after_tokens"):
    """Nothing more is sent after so many tokens, and the connection stays open."""

    tokens: int = 0


class KeepaliveOnly(Strike, frozen=True, kw_only=True, tag="keepalive_only"):
    """It gets a head and then nothing but keep-alives: comments in a stream, line feeds before a whole body."""

    period_s: float = 1.0


Fault = ErrorStatus | CutAfterTokens | StallAfterTokens | KeepaliveOnly


def fault_for(faults: Iterable[Fault], number: int) -> Fault | None:
    """Return the first of ``faults`` that strikes request ``number``."""
    return next((fault for fault in faults if fault.hits(number)), None)
