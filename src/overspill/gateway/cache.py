"""Answers kept in memory, given again to requests that are the same to the last byte. Off unless configured.

Kept is only what is whole: an answer that a target finished by itself, in one piece or as the stream that the client
got. Requests that are bound to local targets have entries of their own: their answers go to the same key again and to
nobody else, and they are never answered with what was made elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from overspill.config.schema import CacheConfig
from overspill.core.types import Surface
from overspill.wire.answers import Usage
from overspill.wire.request import Request

_ENDED_BY_ITSELF = frozenset({"stop", "tool_calls", "function_call"})
_ENTRY_BYTES = 600
"""What an entry takes beside its answer, about."""


class KeptAnswer(msgspec.Struct, frozen=True):
    """One whole answer."""

    body: bytes
    """As the client got it: a body, or the bytes of the stream."""
    is_stream: bool
    usage: Usage | None
    finish_reason: str | None
    kept_at: float


class Scope(msgspec.Struct, frozen=True):
    """Who may get an answer again."""

    kind: str
    teams: Mapping[str, str]
    """Key id → team, for the keys that have one."""

    def of(self, key_id: str, is_local_only: bool) -> str:
        """Return a name that those share who may get each other's answers."""
        if self.kind == "all" and not is_local_only:
            return "all"
        if self.kind == "team" and not is_local_only and key_id in self.teams:
            return f"team {self.teams[key_id]}"
        return f"key {key_id}"


class CacheCounts:
    """How often the cache was asked; outlives a reload."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0


class AnswerCache:
    """The kept answers of one configuration; a reload begins a new one, since its routes may lead elsewhere."""

    def __init__(self, config: CacheConfig, scope: Scope, counts: CacheCounts) -> None:
        self._answers: OrderedDict[bytes, KeptAnswer] = OrderedDict()
        self.scope = scope
        self._counts = counts
        self._ttl_s = float(config.ttl)
        self._max_bytes = int(config.max_bytes)
        self.max_entry_bytes = min(int(config.max_entry), int(config.max_bytes) - _ENTRY_BYTES)
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def key(self, route: str, request: Request, key_id: str, is_local_only: bool, shown: str = "") -> bytes:
        """Return what two requests share that may have the same answer.

        All fields count, whether we know them or not, and so does the model's name; their order does not. They are the
        client's own: what a translation leaves out may still decide how its answer is written. ``shown`` is the form
        of thoughts that the client wants.
        """
        digest = blake2b(digest_size=16)
        parts = [request.surface, route, self.scope.of(key_id, is_local_only), "local" if is_local_only else "", shown]
        for part in parts:
            _add(digest, part.encode())
        fields = request.fields if request.native is None else request.native
        for name in sorted(fields):
            _add(digest, name.encode())
            _add(digest, bytes(fields[name]))
        return digest.digest()

    def get(self, key: bytes, now: float) -> KeptAnswer | None:
        """Return the answer that is kept for ``key``, if it is not too old."""
        answer = self._answers.get(key)
        if answer is not None and now - answer.kept_at > self._ttl_s:
            self._drop(key)
            answer = None
        if answer is None:
            self._counts.misses += 1
            return None
        self._counts.hits += 1
        self._answers.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: KeptAnswer) -> None:
        """Keep an answer; those that were not asked for longest make room."""
        self._drop(key)
        size = len(answer.body) + _ENTRY_BYTES
        if size > self._max_bytes:
            return
        self._answers[key] = answer
        self.size_bytes += size
        while self.size_bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: bytes) -> None:
        answer = self._answers.pop(key, None)
        if answer is not None:
            self.size_bytes -= len(answer.body) + _ENTRY_BYTES


class Keeping:
    """An answer on its way to its client, gathered to be kept once it is whole."""

    __slots__ = ("_cache", "_gathered", "_is_limited", "_key", "_surface")

    def __init__(self, cache: AnswerCache, key: bytes, surface: Surface, *, is_limited: bool) -> None:
        """Make it; ``is_limited`` says that the client named a number of tokens, so that ending there is its wish."""
        self._cache = cache
        self._key = key
        self._surface = surface
        self._is_limited = is_limited
        self._gathered: bytearray | None = bytearray()

    def add(self, raw: bytes) -> None:
        """Take a piece of the answer; one that gets too long is let go."""
        gathered = self._gathered
        if gathered is None:
            return
        if len(gathered) + len(raw) > self._cache.max_entry_bytes:
            self._gathered = None
        else:
            gathered += raw

    def whole(self, *, is_stream: bool, usage: Usage | None, finish_reason: str | None, now: float) -> None:
        """Keep what was gathered: the client has the whole answer, from one target."""
        if self._gathered is None or not self._gathered or not self._is_own_end(finish_reason):
            return
        self._cache.put(self._key, KeptAnswer(bytes(self._gathered), is_stream, usage, finish_reason, now))

    def _is_own_end(self, finish_reason: str | None) -> bool:
        if self._surface is Surface.EMBEDDINGS:
            return True
        return finish_reason in _ENDED_BY_ITSELF or (finish_reason == "length" and self._is_limited)


def is_repeatable(surface: Surface, request: Request) -> bool:
    """Say whether a request asks for what comes out the same each time: an embedding, or temperature 0."""
    if surface is Surface.EMBEDDINGS:
        return True
    temperature = request.fields.get("temperature")
    try:
        return temperature is not None and float(bytes(temperature)) == 0.0
    except ValueError:
        return False


def _add(digest: blake2b, part: bytes) -> None:
    digest.update(len(part).to_bytes(8, "big"))
    digest.update(part)
