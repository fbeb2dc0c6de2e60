"""Short lists of numbers in ascending or descending order, by taking out the smallest or largest again and again."""

from __future__ import annotations

from random import Random

from lessons.comparing import join
from lessons.example import ENGLISH, Example, Expected, ask
from lessons.split import draw, number
from lessons.wording import vary

_UP_EN = [
    "Sort {l}.", "Sort the numbers {l}.", "Sort these numbers: {l}", "Sort {l} in ascending order.", "Order {l} from smallest to largest.",
    "Put {l} in order.", "Arrange {l} in ascending order.", "Sort: {l}", "sort {l}", "sort [{l}]", "Sort the list [{l}].", "sorted({l})", "sorted([{l}])",
    "Please sort this list: {l}", "Can you sort {l}?", "List {l} from low to high.", "Sort from small to large: {l}", "Rank {l} from lowest to highest.",
    "Give me {l} in increasing order", "Order the numbers: {l}", "What is {l} sorted?", "Sort ascending: {l}", "Write {l} in order, smallest first.",
]  # fmt: skip
_DOWN_EN = [
    "Sort {l} in descending order.", "Order {l} from largest to smallest.", "Sort {l} from high to low.", "Arrange {l} in descending order.",
    "Sort descending: {l}", "Sort these numbers from largest to smallest: {l}", "Put {l} in descending order.", "Reverse sort {l}",
    "Rank {l} from highest to lowest.", "Give me {l} in decreasing order", "Write {l} in order, largest first.", "sort [{l}] descending",
]  # fmt: skip
_UP_ZH = [
    "把{l}从小到大排序", "请将{l}从小到大排列", "排序：{l}", "给{l}排序", "{l}从小到大排序", "把{l}按升序排列", "将下列数字排序：{l}", "对{l}进行升序排序", "排列{l}，从小到大",
    "请对这些数字排序：{l}", "从小到大排：{l}", "帮我把{l}排个序", "{l}，请从小到大排序。", "升序：{l}", "对列表 [{l}] 排序",
]  # fmt: skip
_DOWN_ZH = [
    "把{l}从大到小排序", "请将{l}从大到小排列", "{l}从大到小排序", "把{l}按降序排列", "对{l}进行降序排序", "从大到小排：{l}", "{l}，请从大到小排序。", "降序：{l}", "排列{l}，从大到小",
    "请把这些数字从大到小排序：{l}",
]  # fmt: skip


def make(rng: Random, split: str, language: str) -> Example:
    """Sort 2 to 8 numbers of 1 to 4 digits."""
    most = rng.choice([1, 2, 2, 2, 3, 3, 4])
    numbers = draw(rng, split, lambda rng: [number(rng, most) for _ in range(rng.randint(2, 8))], tuple)
    return _sorted(rng, language, numbers)


def drill(rng: Random, split: str, language: str) -> Example:
    """Sort what is hardest, for training only: long lists of numbers that come again, differ little or begin alike.

    Whether the next number is the one to leave out is decided at its first digit.
    """
    most = rng.choice([1, 2, 2, 3, 3, 4, 4])
    make_list = _hard if most == 1 or rng.random() < 0.3 else _alike
    return _sorted(rng, language, draw(rng, split, lambda rng: make_list(rng, most), tuple))


def _hard(rng: Random, most: int) -> list[int]:
    numbers: list[int] = []
    for _ in range(_many(rng)):
        way = rng.random()
        if numbers and way < 0.12:
            numbers.append(rng.choice(numbers))
        elif numbers and way < 0.4:
            numbers.append(_near(rng, rng.choice(numbers), most))
        else:
            numbers.append(number(rng, most))
    return numbers


def _alike(rng: Random, most: int) -> list[int]:
    firsts = rng.sample("123456789", rng.choice([1, 2, 2, 3]))
    numbers: list[int] = []
    for _ in range(_many(rng)):
        tail = "".join(rng.choice("0123456789") for _ in range(rng.randrange(most)))
        is_again = numbers and rng.random() < 0.08
        numbers.append(rng.choice(numbers) if is_again else int(rng.choice(firsts) + tail))
    return numbers


def _many(rng: Random) -> int:
    return rng.choice([4, 5, 5, 6, 6, 7, 7, 7, 8, 8, 8])


def _near(rng: Random, other: int, most: int) -> int:
    """Change one digit of a number, leave it out, or put another one behind."""
    digits = str(other)
    place = rng.randrange(len(digits))
    before, after = digits[:place], digits[place + 1 :]
    way = rng.random()
    if way < 0.6 or (len(digits) == 1 and most == 1):
        return int(before + str(rng.randint(0, 9)) + after)
    if len(digits) > 1 and (way < 0.8 or len(digits) == most):
        return int(before + after)
    return int(digits + str(rng.randint(0, 9)))


def _sorted(rng: Random, language: str, numbers: list[int]) -> Example:
    is_up = rng.random() < 0.65
    lines, rest, ordered = [], list(numbers), []
    while rest:
        best = min(rest) if is_up else max(rest)
        lines.append(f"{', '.join(map(str, rest))}: {'min' if is_up else 'max'} {best}")
        rest.remove(best)
        ordered.append(best)
    if language == ENGLISH:
        template = rng.choice(_UP_EN if is_up else _DOWN_EN)
    else:
        template = rng.choice(_UP_ZH if is_up else _DOWN_ZH)
    text = vary(rng, template, language, l=join(rng, numbers, language))
    content = ", ".join(map(str, ordered))
    return Example("sort", language, ask(text), "\n".join(lines), content, Expected("numbers", ordered))
