"""Success while training: the share of validation examples whose whole reply is what the model would say.

One forward pass per batch: a reply is right if at each of its places the likeliest token is the one that follows. That
is what greedy decoding says, token for token, so no text is generated; a reply that reasons otherwise and still ends
right counts as wrong, so this is a lower bound.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager

import numpy as np
from tokenizers import Tokenizer

import torch
from lessons.mixture import MAKERS, draw_task
from lessons.split import VALIDATION
from trainer.forward import Forward
from trainer.packing import encode

_ROWS = 64


def exact_replies(
    forward: Forward,
    tokenizer: Tokenizer,
    seed: int,
    per_task: int,
    length: int,
    precision: AbstractContextManager[object],
) -> dict[str, float]:
    """Return the share of exact replies by task, each of them asked ``per_task`` times in either language."""
    right: dict[str, list[bool]] = defaultdict(list)
    items = []
    for task in MAKERS:
        for index in range(per_task):
            example = draw_task(seed, VALIDATION, task, index, "en" if index % 2 else "zh")
            prompt, reply = encode(tokenizer, example)
            if len(prompt) + len(reply) <= length:
                items.append((task, prompt, reply))
    items.sort(key=lambda item: len(item[1]) + len(item[2]))
    device = forward.model.lm_head.weight.device
    for start in range(0, len(items), _ROWS):
        rows = items[start : start + _ROWS]
        ids, segments = np.zeros((_ROWS, length), np.int64), np.zeros((_ROWS, length), np.int64)
        for number, (_, prompt, reply) in enumerate(rows):
            ids[number, : len(prompt) + len(reply)] = prompt + reply
            segments[number, : len(prompt) + len(reply)] = 1
        positions = np.broadcast_to(np.arange(length), ids.shape)
        with torch.no_grad(), precision:
            hidden = forward.hidden(
                *(torch.as_tensor(np.array(each)).to(device) for each in (ids, positions, segments))
            )
            said = torch.cat([forward.logits(part).argmax(-1) for part in hidden.split(8)]).cpu().numpy()
        for number, (task, prompt, reply) in enumerate(rows):
            end = len(prompt) + len(reply)
            right[task].append(bool((said[number, len(prompt) - 1 : end - 1] == reply).all()))
    return {task: round(sum(each) / len(each), 4) for task, each in right.items()}
