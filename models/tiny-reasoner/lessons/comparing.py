"""Which of two numbers is larger or smaller, and whether a claim about them is true; the largest of a list."""

from __future__ import annotations

from random import Random

from lessons.digits import compare
from lessons.example import ENGLISH, Example, Expected, ask
from lessons.split import draw, number, pair
from lessons.wording import vary

_LARGER_EN = [
    "Which is larger, {a} or {b}?", "Which is bigger, {a} or {b}?", "Which is greater: {a} or {b}?", "Which number is larger, {a} or {b}?",
    "What is the larger of {a} and {b}?", "Is {a} or {b} larger?", "Is {a} or {b} bigger?", "{a} or {b}: which is bigger?", "larger: {a} or {b}",
    "Which one is more, {a} or {b}?", "Compare {a} and {b}.", "Compare {a} and {b}: which is larger?", "max of {a} and {b}",
    "Which of {a} and {b} is larger?", "Which has the greater value, {a} or {b}?", "What is bigger, {a} or {b}?", "compare {a} with {b}",
    "Compare the numbers {a} and {b}", "{a} vs {b}, which is greater?", "Tell me the larger number: {a}, {b}", "max({a}, {b})",
]  # fmt: skip
_SMALLER_EN = [
    "Which is smaller, {a} or {b}?", "Which is less, {a} or {b}?", "Which number is smaller: {a} or {b}?", "What is the smaller of {a} and {b}?",
    "Is {a} or {b} smaller?", "{a} or {b}: which is smaller?", "Which of {a} and {b} is smaller?", "min of {a} and {b}", "min({a}, {b})",
    "Which one is less, {a} or {b}?", "Tell me the smaller number: {a}, {b}", "What is smaller, {a} or {b}?", "{a} vs {b}, which is lower?",
]  # fmt: skip
_LARGER_ZH = [
    "{a}和{b}哪个大？", "{a}和{b}哪个更大？", "{a}与{b}相比哪个大？", "哪个数更大，{a}还是{b}？", "{a}大还是{b}大？", "比较{a}和{b}的大小", "比较{a}和{b}", "{a}和{b}谁大？",
    "{a}和{b}中较大的是哪个？", "{a}、{b}哪个大", "请比较 {a} 和 {b} 的大小。", "哪个大：{a}，{b}", "{a} 和 {b} 哪个比较大？", "{a}和{b}里最大的是？",
]  # fmt: skip
_SMALLER_ZH = [
    "{a}和{b}哪个小？", "{a}和{b}哪个更小？", "哪个数更小，{a}还是{b}？", "{a}小还是{b}小？", "{a}和{b}谁小？", "{a}和{b}中较小的是哪个？", "{a}与{b}相比哪个小？",
    "{a}、{b}哪个小", "哪个小：{a}，{b}", "{a} 和 {b} 哪个比较小？", "{a}和{b}里最小的是？",
]  # fmt: skip
_CLAIM_EN = {
    ">": ["Is {a} larger than {b}?", "Is {a} > {b}?", "Is {a} greater than {b}?", "Is {a} bigger than {b}?", "Is {a} more than {b}?", "Is it true that {a} > {b}?", "{a} > {b}?", "True or false: {a} is larger than {b}"],
    "<": ["Is {a} smaller than {b}?", "Is {a} < {b}?", "Is {a} less than {b}?", "Is it true that {a} < {b}?", "{a} < {b}?", "True or false: {a} is less than {b}"],
    "=": ["Is {a} equal to {b}?", "Are {a} and {b} equal?", "Is {a} = {b}?", "Are {a} and {b} the same number?", "Does {a} equal {b}?", "Is {a} the same as {b}?"],
}  # fmt: skip
_CLAIM_ZH = {
    ">": ["{a}比{b}大吗？", "{a}大于{b}吗？", "{a}是不是比{b}大？", "{a}>{b}对吗？", "{a}>{b}吗？", "{a}有{b}大吗？"],
    "<": ["{a}比{b}小吗？", "{a}小于{b}吗？", "{a}是不是比{b}小？", "{a}<{b}对吗？", "{a}<{b}吗？"],
    "=": ["{a}等于{b}吗？", "{a}和{b}相等吗？", "{a}和{b}一样大吗？", "{a}={b}对吗？", "{a}和{b}是同一个数吗？"],
}  # fmt: skip
_MOST_EN = {
    True: ["What is the largest of {l}?", "Which is the largest: {l}?", "Find the maximum of {l}.", "max({l})", "Largest number in {l}", "What is the biggest number in the list {l}?", "maximum of [{l}]", "Which number is the biggest, {l}?", "What is the highest of {l}?", "Which is largest, {l}?"],
    False: ["What is the smallest of {l}?", "Which is the smallest: {l}?", "Find the minimum of {l}.", "min({l})", "Smallest number in {l}", "What is the lowest number in the list {l}?", "minimum of [{l}]", "Which number is the smallest, {l}?", "Which is smallest, {l}?"],
}  # fmt: skip
_MOST_ZH = {
    True: ["{l}中最大的是哪个？", "{l}里最大的数是多少？", "找出{l}中的最大值", "{l}哪个最大？", "最大的数：{l}", "请问 {l} 中最大的数是几？", "下面哪个数最大：{l}"],
    False: ["{l}中最小的是哪个？", "{l}里最小的数是多少？", "找出{l}中的最小值", "{l}哪个最小？", "最小的数：{l}", "请问 {l} 中最小的数是几？", "下面哪个数最小：{l}"],
}  # fmt: skip


def make(rng: Random, split: str, language: str) -> Example:
    """Compare two numbers of up to six digits, or find the largest or smallest of a few."""
    if rng.random() < 0.2:
        return _most(rng, split, language)
    a, b = pair(rng, split, 6)
    if rng.random() < 0.06:
        a, b = draw(rng, split, lambda rng: (n := number(rng, 6), n), lambda drawn: drawn)
    elif rng.random() < 0.5:
        a, b = b, a
    return _claim(rng, language, a, b) if rng.random() < 0.35 else _which(rng, language, a, b)


def _which(rng: Random, language: str, a: int, b: int) -> Example:
    wants_larger = rng.random() < 0.6
    answer = max(a, b) if wants_larger else min(a, b)
    if language == ENGLISH:
        question = rng.choice(_LARGER_EN if wants_larger else _SMALLER_EN)
        content = f"{answer} is {'larger' if wants_larger else 'smaller'}."
        content = f"{a} and {b} are equal." if a == b else content
    else:
        question = rng.choice(_LARGER_ZH if wants_larger else _SMALLER_ZH)
        content = f"{a}和{b}相等。" if a == b else f"{answer}更{'大' if wants_larger else '小'}。"
    expected = (
        Expected("contains", ["equal" if language == ENGLISH else "相等"]) if a == b else Expected("first", answer)
    )
    text = vary(rng, question, language, a=a, b=b)
    return Example("compare", language, ask(text), "\n".join(compare(a, b)), content, expected)


def _claim(rng: Random, language: str, a: int, b: int) -> Example:
    claimed = rng.choice("><><=")
    fact = ">" if a > b else "<" if a < b else "="
    holds = claimed == fact
    templates = _CLAIM_EN if language == ENGLISH else _CLAIM_ZH
    text = vary(rng, rng.choice(templates[claimed]), language, a=a, b=b)
    if language == ENGLISH:
        content = f"{'Yes' if holds else 'No'}, {a} {fact} {b}."
        expected = Expected("contains", ["Yes" if holds else "No"])
    else:
        content = f"{'是的' if holds else '不是'}，{a} {fact} {b}。"
        expected = Expected("contains", ["是的" if holds else "不是"])
    return Example("compare", language, ask(text), "\n".join(compare(a, b)), content, expected)


def _most(rng: Random, split: str, language: str) -> Example:
    wants_larger = rng.random() < 0.5
    most = rng.choice([1, 2, 2, 3, 3, 4])
    numbers = draw(rng, split, lambda rng: [number(rng, most) for _ in range(rng.randint(3, 7))], tuple)
    best, steps = numbers[0], [str(numbers[0])]
    for other in numbers[1:]:
        best = max(best, other) if wants_larger else min(best, other)
        steps.append(f"{other}:{best}")
    templates = _MOST_EN if language == ENGLISH else _MOST_ZH
    listed = join(rng, numbers, language)
    text = vary(rng, rng.choice(templates[wants_larger]), language, l=listed)
    if language == ENGLISH:
        content = f"{best} is the {'largest' if wants_larger else 'smallest'}."
    else:
        content = f"{best}最{'大' if wants_larger else '小'}。"
    return Example("compare", language, ask(text), " ".join(steps), content, Expected("first", best))


def join(rng: Random, items: list[int] | list[str], language: str) -> str:
    """List items as people do: with commas, "and", spaces, brackets' worth of nothing, or a Chinese enumeration comma."""
    words = [str(item) for item in items]
    if language == ENGLISH:
        way = rng.random()
        if way < 0.2 and len(words) > 1:
            return ", ".join(words[:-1]) + rng.choice([" and ", ", and ", " or "]) + words[-1]
        return rng.choice([", ", ", ", ", ", ",", " ", "; ", " , "]).join(words)
    way = rng.random()
    if way < 0.2 and len(words) > 1:
        return "、".join(words[:-1]) + "和" + words[-1]
    return rng.choice(["、", "、", "，", "，", ", ", ",", " "]).join(words)
