"""Who may see what: every set of operands belongs to one of train, validation and test, whatever the question is.

The side is a hash of the operands, so that 4821 + 977, 977 - 4821, "which is larger, 977 or 4821" and every story about
these two numbers are on the same side. Nothing that is tested was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import TypeVar

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
_TEST_PERCENT = 5
_VALIDATION_PERCENT = 2

T = TypeVar("T")


def side_of(*operands: object) -> str:
    """Return the split that these operands belong to; their order does not matter."""
    key = "|".join(sorted(str(operand) for operand in operands))
    percent = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "little") % 100
    if percent < _TEST_PERCENT:
        return TEST
    return VALIDATION if percent < _TEST_PERCENT + _VALIDATION_PERCENT else TRAIN


def draw(rng: Random, split: str, make: Callable[[Random], T], key: Callable[[T], tuple[object, ...]]) -> T:
    """Draw from ``make`` until the operands, ``key`` of it, belong to ``split``."""
    while True:
        drawn = make(rng)
        if side_of(*key(drawn)) == split:
            return drawn


def number(rng: Random, most_digits: int) -> int:
    """Draw a number of 1 to ``most_digits`` digits, each length alike; some are rich in 0 and 9, or all of one digit."""
    digits = rng.randint(1, most_digits)
    way = rng.random()
    if way < 0.16:
        return int("".join(rng.choice("0099951") for _ in range(digits)))
    if way < 0.2:
        return int(rng.choice("123456789") * digits)
    if way < 0.23:
        return int(rng.choice("111259") + "0" * (digits - 1))
    return rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def pair(rng: Random, split: str, most_digits: int) -> tuple[int, int]:
    """Draw two numbers of a pair that belongs to ``split``; many are alike in length or size, as is hardest.

    There are few pairs of short numbers: where ``split`` has none of them, longer ones are drawn.
    """
    attempts, drawn = 0, _two(rng, most_digits)
    while side_of(*drawn) != split:
        attempts += 1
        drawn = _two(rng, min(6, most_digits + attempts // 100))
    return drawn


def _two(rng: Random, most_digits: int) -> tuple[int, int]:
    a = number(rng, most_digits)
    size = len(str(a))
    way = rng.random()
    if way < 0.3:
        return a, rng.randint(0 if size == 1 else 10 ** (size - 1), 10**size - 1)
    if way < 0.4:  # close to each other: borrows that reach far, comparisons that end late
        return a, max(0, a + rng.randint(-20, 20)) % 10**most_digits
    if way < 0.45:  # a sum that is a power of ten, or next to one: carries that reach far, rows of zeros
        return a, max(0, 10**size - a + rng.randint(-2, 2)) % 10**most_digits
    return a, number(rng, most_digits)


def partner(rng: Random, split: str, other: int, most_digits: int) -> int:
    """Draw a number that makes a pair of ``split`` with ``other``; if short ones do not, of up to six digits."""
    for _ in range(60):
        drawn = number(rng, most_digits)
        if side_of(abs(other), drawn) == split:
            return drawn
    return draw(rng, split, lambda rng: number(rng, 6), lambda drawn: (abs(other), drawn))
