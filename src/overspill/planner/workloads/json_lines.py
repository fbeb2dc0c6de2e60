"""Logs with one JSON object a line: Mooncake's release and our own form.

``mooncake`` (FAST'25 release): ``timestamp`` in ms, ``input_length``, ``output_length`` and ``hash_ids``, one for each
512 tokens of the prompt, where the same id means the same beginning. Played through a cache of blocks in the order of
the file, these say how much of each prompt a prefix cache would have had.

``jsonl``, our own: the fields of ``TraceRequest``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from overspill.planner.workload import TraceRequest
from overspill.planner.workloads.rows import Row, checked
from overspill.planner.workloads.source import Source

BLOCK_TOKENS = 512
T = TypeVar("T")


class _MooncakeRow(msgspec.Struct, gc=False):
    timestamp: float
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...] = ()


class PrefixCache:
    """Blocks that were seen, the least recently used of which go first once there are more than fit."""

    def __init__(self, blocks: int | None) -> None:
        self._most = blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def hit_blocks(self, hash_ids: tuple[int, ...]) -> int:
        """Return how many blocks of a prompt's beginning are there, and remember all of its blocks."""
        hits = 0
        while hits < len(hash_ids) and hash_ids[hits] in self._blocks:
            hits += 1
        for block in reversed(hash_ids):  # the beginning is used by most, so it must be the last to go
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        if self._most is not None:
            while len(self._blocks) > self._most:
                self._blocks.popitem(last=False)
        return hits


def mooncake_rows(source: Source, cache_blocks: int | None) -> Callable[[], Iterator[Row]]:
    """Return what reads a Mooncake trace once."""

    def rows() -> Iterator[Row]:
        cache = PrefixCache(cache_blocks)
        for _, row in _decoded(source, _MooncakeRow):
            hit_tokens = cache.hit_blocks(row.hash_ids) * BLOCK_TOKENS
            yield checked(row.timestamp / 1000, row.input_length, row.output_length, cached_tokens=hit_tokens)

    return rows


def own_rows(source: Source) -> Callable[[], Iterator[Row]]:
    """Return what reads a trace in our own form once."""

    def rows() -> Iterator[Row]:
        for _, row in _decoded(source, TraceRequest):
            yield checked(row.at_s, row.prompt_tokens, row.output_tokens, row.key_id, row.cached_tokens)

    return rows


def _decoded(source: Source, kind: type[T]) -> Iterator[tuple[int, T]]:
    decode = msgspec.json.Decoder(kind).decode
    for number, text in source.lines():
        try:
            row = decode(text)
        except msgspec.DecodeError as error:
            raise source.bad_row(number, text, str(error)) from error
        if not _is_sound(row):
            raise source.bad_row(number, text, "a time and two token counts of 0 or more are needed")
        yield number, row


def _is_sound(row: object) -> bool:
    if isinstance(row, _MooncakeRow):
        return math.isfinite(row.timestamp) and row.input_length >= 0 and row.output_length >= 0
    assert isinstance(row, TraceRequest)
    return math.isfinite(row.at_s) and row.prompt_tokens >= 0 and row.output_tokens >= 0
