"""Whether an attempt makes progress: how long it was silent, and its rate against the least that a route wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from overspill.core.types import Patience

if TYPE_CHECKING:
    from overspill.gateway.relay import Relay


class Pace:
    """Remembers when the rate was last judged, and the tokens at that time."""

    __slots__ = ("_before", "_since")

    def __init__(self, first_token_at: float) -> None:
        self._since = first_token_at
        self._before = 0

    def restart(self, now: float, tokens: int) -> None:
        """Judge from now on: what was before is not the target's fault."""
        self._since, self._before = now, tokens

    def is_below_floor(self, patience: Patience, tokens: int, now: float) -> bool:
        """Judge the rate once for each ``stall_s``."""
        floor = patience.floor_tokens_per_s
        if floor is None:
            return False
        before, elapsed_s = self._before, now - self._since
        if elapsed_s < patience.stall_s:
            return False
        self.restart(now, tokens)
        return tokens - before < floor * elapsed_s


def outlasts(relay: Relay, patience: Patience, now: float) -> bool:
    """Tell whether it has made too little progress for too long. What the client did not read is not its fault."""
    if relay.is_over or relay.is_paused:
        return False
    silent_s = now - relay.heard_at
    if not relay.is_stream:
        return silent_s > patience.whole_s
    if relay.first_token_at is None:
        return silent_s > patience.first_token_s
    if relay.is_native:
        # It may think out of sight for minutes, of which only lifecycle events and keepalives (OpenAI's: each 30 s)
        # tell; so any event counts once it has begun, and the longer of the two clocks does.
        return silent_s > max(patience.stall_s, patience.first_token_s)
    if silent_s > patience.stall_s:
        return True
    if relay.pace is None:
        relay.pace = Pace(relay.first_token_at)
    return relay.pace.is_below_floor(patience, relay.tokens, now)
