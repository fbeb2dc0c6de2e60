"""How fast an attempt's tokens come, judged against the least that a route wants."""

from __future__ import annotations

from overspill.core.types import Patience


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
