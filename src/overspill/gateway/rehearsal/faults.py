"""What a rehearsal engine does wrong on purpose, and to which requests.

Requests are counted from 1 as they come, so a fault strikes the same ones in every run. ``Early`` faults are all that a
request gets; ``Late`` ones strike in the middle of its answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

HTML_ERROR = (
    "<html>\r\n<head><title>500 Internal Server Error</title></head>\r\n<body>\r\n"
    "<center><h1>500 Internal Server Error</h1></center>\r\n<hr><center>openresty</center>\r\n</body>\r\n</html>\r\n"
)
"""What a proxy in front of an API says when the API does not."""


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
    """It is answered by this HTTP status at once, with an error in vLLM's form."""

    status: int = 503
    retry_after_s: int | None = None
    code: str | None = None
    """The error's ``code``; the status if left out."""


class FixedBody(Strike, frozen=True, kw_only=True, tag="fixed_body"):
    """It is answered by exactly this body, whatever it asked for."""

    status: int = 200
    content_type: str = "application/json"
    body: str = ""


class NoHead(Strike, frozen=True, kw_only=True, tag="no_head"):
    """It gets nothing at all, not even a head, and the connection stays open."""


class SlowStart(Strike, frozen=True, kw_only=True, tag="slow_start"):
    """Its answer is whole, but begins only after this long."""

    seconds: float = 1.0


class KeepaliveOnly(Strike, frozen=True, kw_only=True, tag="keepalive_only"):
    """It gets a head and then nothing but keep-alives: comments in a stream, line feeds before a whole body."""

    period_s: float = 1.0
    count: int | None = None
    """So many, then the body ends as if it were whole; without it they go on until the client leaves."""


class CutAfterTokens(Strike, frozen=True, kw_only=True, tag="cut_after_tokens"):
    """The connection closes after so many tokens, in the middle of the body."""

    tokens: int = 0


class StallAfterTokens(Strike, frozen=True, kw_only=True, tag="stall_after_tokens"):
    """Nothing more is sent after so many tokens, and the connection stays open."""

    tokens: int = 0


class BadEventAfterTokens(Strike, frozen=True, kw_only=True, tag="bad_event_after_tokens"):
    """After so many tokens comes one event that is no JSON, and then the rest; a whole body is cut short there."""

    tokens: int = 0


class ErrorEventAfterTokens(Strike, frozen=True, kw_only=True, tag="error_event_after_tokens"):
    """After so many tokens the body ends with an error: as an event of the stream, or as the whole body, under 200."""

    tokens: int = 0


class EndAfterTokens(Strike, frozen=True, kw_only=True, tag="end_after_tokens"):
    """After so many tokens the answer ends well, as HTTP sees it, with this finish reason or without any."""

    tokens: int = 0
    finish_reason: str | None = None
    has_done: bool = True
    """Whether a stream ends with ``[DONE]``."""


class SignalAfterTokens(Strike, frozen=True, kw_only=True, tag="signal_after_tokens"):
    """After so many tokens the engine's own process is sent a signal: KILL ends it, STOP leaves it standing still."""

    tokens: int = 0
    signal: Literal["KILL", "STOP"] = "KILL"


Early = ErrorStatus | FixedBody | NoHead | SlowStart | KeepaliveOnly
Late = (
    CutAfterTokens | StallAfterTokens | BadEventAfterTokens | ErrorEventAfterTokens | EndAfterTokens | SignalAfterTokens
)
Fault = Early | Late


def fault_for(faults: Iterable[Fault], number: int) -> Fault | None:
    """Return the first of ``faults`` that strikes request ``number``."""
    return next((fault for fault in faults if fault.hits(number)), None)
