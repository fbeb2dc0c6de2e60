"""Batches: examples drawn, tokenised and packed into rows of one length, as a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lessons.mixture import SHARES, draw_example
from lessons.rendering import prompt_of, reply_of

INDICES_PER_STEP = 100_000
"""More examples than any batch holds, so that no two steps share one."""
_CHUNK = 64
_MISFITS = 96
"""So many examples that fit nowhere end a batch; a tenth of it stays empty, and filling it would cost more."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a batch: rows of ``length`` tokens; a long one packs conversations of many turns."""

    rows: int
    length: int
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows, each array of shape [rows, length]; unused places have segment 0."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int32]
    is_target: NDArray[np.bool_]
    """Whether the token *after* this place is the model's to say."""


def encode(tokenizer: Tokenizer, example: Any) -> tuple[list[int], list[int]]:
    """Return the token ids of prompt and reply; they are cut at a control token, so they join without a seam."""
    return (
        tokenizer.encode(prompt_of(example), add_special_tokens=False).ids,
        tokenizer.encode(reply_of(example), add_special_tokens=False).ids,
    )


def make_batch(
    tokenizer: Tokenizer, seed: int, split: str, step: int, shape: Shape, shares: Mapping[str, float] = SHARES
) -> Batch:
    """Draw and pack the batch of a step."""
    sizes = (shape.rows, shape.length)
    batch = Batch(
        ids=np.zeros(sizes, np.int64),
        positions=np.zeros(sizes, np.int64),
        segments=np.zeros(sizes, np.int32),
        is_target=np.zeros(sizes, np.bool_),
    )
    used, count = [0] * shape.rows, [0] * shape.rows
    misfits, index = 0, step * INDICES_PER_STEP
    while misfits < _MISFITS:
        examples = [
            draw_example(seed, split, index + offset, is_long=shape.is_long, shares=shares) for offset in range(_CHUNK)
        ]
        index += _CHUNK
        texts = [text for example in examples for text in (prompt_of(example), reply_of(example))]
        encoded = [each.ids for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
        for prompt, reply in zip(encoded[::2], encoded[1::2], strict=True):
            row = min(range(shape.rows), key=used.__getitem__)
            size = len(prompt) + len(reply)
            if used[row] + size > shape.length:
                misfits += 1
                continue
            start, end = used[row], used[row] + size
            count[row] += 1
            batch.ids[row, start:end] = prompt + reply
            batch.positions[row, start:end] = np.arange(size)
            batch.segments[row, start:end] = count[row]
            batch.is_target[row, start + len(prompt) - 1 : end - 1] = True
            used[row] = end
    return batch
