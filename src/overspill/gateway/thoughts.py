"""The thoughts that led to calls of tools, remembered for the next requests of the same conversations.

DeepSeek wants every turn with calls to come back with its thought, and clients drop it. A thought is found again by the
calls that it led to, and only with the key of the gateway that it was made for. What was made for a request that had to
stay local is put back only where that stays local: else a later request would carry out what the first one kept in.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from overspill.units import MIB
from overspill.wire.history import CallKey, Recall, Thought

DEFAULT_BYTES = 32 * MIB
MAX_THOUGHTS = 16_384
_OVERHEAD_BYTES = 256
"""Of an entry, beside its text."""


class _Kept(NamedTuple):
    text: str
    is_bound: bool
    size_bytes: int


class Thoughts:
    """Bounded by entries and by bytes; what was not used for longest goes first."""

    def __init__(self, max_bytes: int = DEFAULT_BYTES, max_thoughts: int = MAX_THOUGHTS) -> None:
        self._max_bytes = max_bytes
        self._max_thoughts = max_thoughts
        self._kept: OrderedDict[tuple[str, CallKey], _Kept] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def resize(self, max_bytes: int) -> None:
        """Take another bound; 0 remembers nothing."""
        self._max_bytes = max_bytes
        self._tidy()

    def remember(self, key_id: str, thought: Thought, *, is_bound: bool) -> None:
        """Keep a thought for a key of the gateway; ``is_bound``: it was made for a request that had to stay local."""
        size_bytes = len(thought.text.encode()) + _OVERHEAD_BYTES
        if size_bytes * len(thought.calls) > self._max_bytes:
            return
        for call in thought.calls:
            self._forget((key_id, call))
            self._kept[key_id, call] = _Kept(thought.text, is_bound, size_bytes)
            self.size_bytes += size_bytes
        self._tidy()

    def recall(self, key_id: str, *, is_outside: bool) -> Recall:
        """Return what finds the thoughts of a key for a request that goes to a local target, or outside."""

        def find(call: CallKey) -> str | None:
            kept = self._kept.get((key_id, call))
            if kept is None or (kept.is_bound and is_outside):
                return None
            self._kept.move_to_end((key_id, call))
            return kept.text

        return find

    def _forget(self, place: tuple[str, CallKey]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self.size_bytes -= kept.size_bytes

    def _tidy(self) -> None:
        while self.size_bytes > self._max_bytes or len(self._kept) > self._max_thoughts:
            self._forget(next(iter(self._kept)))
