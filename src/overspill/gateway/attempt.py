"""What is known of one attempt: what it was to do, what came of it. The relay fills it in; the books read it."""

from __future__ import annotations

from typing import Final

from overspill.core.commands import StartAttempt
from overspill.core.types import FailureKind, Surface
from overspill.features import BITS, Feature
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.rescue import Resumption
from overspill.wire.answers import ErrorBody, Usage
from overspill.wire.request import Request as WireRequest

_EMBEDDINGS: Final = Surface.EMBEDDINGS
_WHOLE_ONLY: Final = BITS[Feature.LOGPROBS] | BITS[Feature.TOOLS]
"""What llama.cpp gives together in a whole answer, and refuses in a stream."""


def asks_stream(request: WireRequest, target: LiveTarget, surface: Surface) -> bool:
    """Tell whether a target is asked to stream; a client that wants one body is served by a stream too."""
    if request.stream:
        return True
    if not target.streams_whole or surface is _EMBEDDINGS:
        return False
    return request.needs & _WHOLE_ONLY != _WHOLE_ONLY


class Attempt:
    """One try on one target."""

    __slots__ = (
        "answered_model",
        "command",
        "dropped",
        "ended_at",
        "error",
        "failure",
        "finish_reason",
        "first_token_at",
        "headers",
        "heard_at",
        "is_native",
        "is_over",
        "is_stream",
        "is_whole",
        "kept",
        "model",
        "request",
        "resumption",
        "started_at",
        "status",
        "surface",
        "target",
        "usage",
    )

    def __init__(
        self,
        command: StartAttempt,
        target: LiveTarget,
        surface: Surface,
        request: WireRequest,
        now: float,
        *,
        kept: Kept | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        self.command = command
        self.model = command.model or request.model
        """The name that the target is asked for: the route's, or the client's own where the route names none."""
        self.target = target
        self.surface = surface
        self.request = request
        self.is_stream = asks_stream(request, target, surface)
        self.is_native = False
        """True if the answer comes in the client's own form, and goes to it as it comes."""
        self.kept = kept
        """What the client gets, where it is remembered."""
        self.resumption = resumption
        """With what this attempt goes on; ``None`` where it begins."""
        self.dropped: tuple[str, ...] = ()
        """Names of the client's fields that had no place in what the target was asked."""
        self.started_at = self.heard_at = now
        """``heard_at``: when it was last seen to make progress: at its first token, then within a second or so."""
        self.first_token_at: float | None = None
        self.ended_at: float | None = None
        self.is_over = False
        """True once it has been cancelled or has told how it ended."""
        self.is_whole = False
        """True once the answer has ended as it should."""
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.failure: FailureKind | None = None
        self.error: ErrorBody | None = None
        self.answered_model: str | None = None
        """The model that the answer itself names."""
