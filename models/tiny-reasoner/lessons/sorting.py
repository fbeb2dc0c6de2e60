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
