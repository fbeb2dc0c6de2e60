"""Written arithmetic, one column at a time: what stands in the think block.

A number is first spelled from its units on, each digit with the letter of its place (a units, b tens, c hundreds …), so
that a column is found by its letter and no alignment has to be guessed:

    4821+977
    4821: a1 b2 c8 d4
    977: a7 b7 c9
    a: 1+7+0=8, 8 carry 0
    b: 2+7+0=9, 9 carry 0
    c: 8+9+0=17, 7 carry 1
    d: 4+0+1=5, 5 carry 0
    d5 c7 b9 a8
    =5798

A subtraction first compares, from the highest place down, and takes the smaller from the larger.
"""

from __future__ import annotations

PLACES = "abcdefgh"


def spell(number: int) -> str:
    """Spell a number from its units on: ``4821: a1 b2 c8 d4``."""
    digits = reversed(str(number))
    return f"{number}: " + " ".join(f"{place}{digit}" for place, digit in zip(PLACES, digits, strict=False))


def compare(a: int, b: int) -> list[str]:
    """Spell both, and compare their lengths, then their digits from the highest place down to the first difference."""
    return [spell(a), spell(b), _verdict(str(a), str(b))]


def _verdict(a: str, b: str) -> str:
    top_a, top_b = PLACES[len(a) - 1], PLACES[len(b) - 1]
    if len(a) != len(b):
        sign = "<" if len(a) < len(b) else ">"
        return f"{top_a}{sign}{top_b}, {a}{sign}{b}"
    steps = [f"{top_a}={top_b}"]
    for place, x, y in zip(reversed(PLACES[: len(a)]), a, b, strict=True):
        if x != y:
            sign = "<" if x < y else ">"
            return ", ".join([*steps, f"{place}{x}{sign}{y}", f"{a}{sign}{b}"])
        steps.append(f"{place}{x}={y}")
    return ", ".join([*steps, f"{a}={b}"])


def _digit(number: int, place: int) -> int:
    return number // 10**place % 10


def _columns(result: list[int]) -> str:
    """Read the digits that were written from the highest place down: ``d5 c7 b9 a8``."""
    return " ".join(f"{PLACES[place]}{result[place]}" for place in reversed(range(len(result))))


def _add(a: int, b: int) -> list[str]:
    lines, carry, result = [spell(a), spell(b)], 0, []
    for place in range(max(len(str(a)), len(str(b)))):
        x, y = _digit(a, place), _digit(b, place)
        total = x + y + carry
        lines.append(f"{PLACES[place]}: {x}+{y}+{carry}={total}, {total % 10} carry {total // 10}")
        result.append(total % 10)
        carry = total // 10
    if carry:
        lines.append(f"{PLACES[len(result)]}: {carry}")
        result.append(carry)
    return [*lines, _columns(result)]


def _subtract(a: int, b: int) -> list[str]:
    """Take ``b`` from ``a``, which is not smaller; both are spelled already."""
    lines, borrow, result = [], 0, []
    for place in range(len(str(a))):
        x, y = _digit(a, place), _digit(b, place)
        total = x - y - borrow
        lines.append(f"{PLACES[place]}: {x}-{y}-{borrow}={total}, {total % 10} borrow {int(total < 0)}")
        result.append(total % 10)
        borrow = int(total < 0)
    return [*lines, _columns(result)]


def work(a: int, sign: str, b: int) -> list[str]:
    """Write out ``a + b`` or ``a - b``, either of them negative or not; the last line is ``=result``."""
    plus_b = b if sign == "+" else -b
    lines, result = [f"{a}{sign}{b}"], f"={a + plus_b}"
    if a >= 0 and b >= 0 and sign == "-":
        return [*lines, *_difference(a, b), result]
    if a >= 0 and plus_b >= 0:
        rewritten = [f"{a}+{plus_b}"] if b < 0 else []
        return [*lines, *rewritten, *_add(a, plus_b), result]
    if a < 0 and plus_b <= 0:
        return [*lines, f"-({-a}+{-plus_b})", *_add(-a, -plus_b), result]
    larger, smaller = (a, -plus_b) if a >= 0 else (plus_b, -a)
    return [*lines, f"{larger}-{smaller}", *_difference(larger, smaller), result]


def _difference(a: int, b: int) -> list[str]:
    lines = compare(a, b)
    if a < b:
        return [*lines, f"-({b}-{a})", *_subtract(b, a)]
    return [*lines, *_subtract(a, b)]


def chain(first: int, steps: list[tuple[str, int]]) -> tuple[list[str], int]:
    """Write out a chain such as 12 + 34 - 5, from left to right; return the lines and the result."""
    lines: list[str] = []
    total = first
    for sign, operand in steps:
        lines += work(total, sign, operand)
        total = total + operand if sign == "+" else total - operand
    return lines, total
