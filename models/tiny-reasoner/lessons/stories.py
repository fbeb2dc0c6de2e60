"""Word problems: little stories whose question is a sum or a difference of the numbers in them, in one step or two.

A story is put together from sentences, so that few templates make many stories: an opening that gives somebody a number
of things, one or two changes, and a question.
"""

from __future__ import annotations

from random import Random

from lessons.arithmetic import solved
from lessons.example import ENGLISH, Example, Expected
from lessons.split import pair, partner
from lessons.wording import name as made_up_name
from lessons.wording import vary
from lessons.words import NAMES_EN, NAMES_ZH, THINGS_EN, THINGS_ZH

_OPEN_EN = [
    "{n} has {a} {t}.", "{n} had {a} {t}.", "There are {a} {t} in a box.", "A shop has {a} {t}.", "{n} bought {a} {t}.", "{n} collected {a} {t}.",
    "{n} starts with {a} {t}.", "A farmer has {a} {t}.", "There are {a} {t} on the table.", "In the morning {n} has {a} {t}.", "{n} owns {a} {t}.", "Our school has {a} {t}.",
]  # fmt: skip
_MORE_EN = [
    "{m} gives {n} {b} more.", "{n} buys {b} more.", "Then {n} gets {b} more.", "{n} finds {b} more {t}.", "{b} more are added.", "{n} receives {b} {t} from {m}.",
    "Another {b} {t} arrive.", "{n} wins {b} more {t}.", "Then {b} {t} are put in.", "{m} brings {b} more {t}.", "{n} gets another {b}.", "Later {b} more {t} come.",
]  # fmt: skip
_LESS_EN = [
    "{n} gives {b} to {m}.", "{n} gives away {b}.", "{n} loses {b}.", "{n} sells {b} of them.", "{n} eats {b}.", "{b} are taken away.", "{n} uses {b}.", "{m} takes {b} of them.",
    "{b} of them are sold.", "{n} breaks {b}.", "Then {n} gives {m} {b} {t}.", "{n} throws {b} away.", "{b} {t} are lost.", "{n} spends {b}.", "{b} of the {t} are bad.",
]  # fmt: skip
_ASK_EN = [
    "How many {t} are there now?", "How many {t} does {n} have now?", "How many are left?", "How many {t} are there in all?", "How many does {n} have?", "How many {t} now?",
    "What is the number of {t} now?", "How many {t} does that make?", "How many {t} remain?", "Now how many {t} are there?", "How many are there?",
]  # fmt: skip
_WHOLE_EN = {
    "+": [
        "{n} has {a} {t} and {m} has {b}. How many do they have together?", "There are {a} red {t} and {b} blue {t}. How many {t} are there in total?",
        "{n} read {a} pages on Monday and {b} on Tuesday. How many pages in total?", "A bus drives {a} km and then {b} km. How far does it go?",
        "{n} has {a} {t}. {m} has {b} more than {n}. How many does {m} have?", "{n} pays {a} for {t} and {b} for bread. How much does {n} spend?",
        "One box holds {a} {t}, another holds {b}. How many {t} are in both boxes?", "If {n} has {a} {t} and buys {b} more, how many does {n} have?",
        "A class has {a} girls and {b} boys. How many children are in the class?", "{a} people are on a train and {b} get on. How many people are on it now?",
        "It was {a} degrees and became {b} degrees warmer. How warm is it now?", "{n} saved {a} dollars last year and {b} dollars this year. How much is that?",
    ],
    "-": [
        "{n} has {a} {t} and {m} has {b}. How many more does {n} have than {m}?", "A book has {a} pages. {n} has read {b}. How many pages are left?",
        "There were {a} people on a bus and {b} got off. How many stayed?", "{n} has {a} dollars and spends {b}. How much money is left?", "A rope is {a} cm long. {n} cuts off {b} cm. How long is it now?",
        "Of {a} {t}, {b} are red and the rest are blue. How many are blue?", "{n} needs {a} {t} and has {b}. How many are missing?", "If {n} has {a} {t} and gives away {b}, how many are left?",
        "{m} is {a} years old and {n} is {b}. How many years older is {m}?", "It was {a} degrees and became {b} degrees colder. How warm is it now?", "A tank holds {a} litres; {b} litres leak out. How many litres are left?",
        "{n} earned {a} points and lost {b}. How many points does {n} have?",
    ],
}  # fmt: skip
_OPEN_ZH = [
    "{n}有{a}{c}{t}，", "{n}原来有{a}{c}{t}，", "盒子里有{a}{c}{t}，", "商店里有{a}{c}{t}，", "{n}买了{a}{c}{t}，", "桌上有{a}{c}{t}，", "{n}收集了{a}{c}{t}，", "学校有{a}{c}{t}。", "仓库里有{a}{c}{t}。", "{n}一开始有{a}{c}{t}。",
]  # fmt: skip
_MORE_ZH = [
    "又买了{b}{c}，",
    "{m}又给了他{b}{c}，",
    "又得到{b}{c}，",
    "后来又来了{b}{c}，",
    "再加上{b}{c}，",
    "又放进去{b}{c}，",
    "{m}送来{b}{c}，",
    "又找到{b}{c}，",
    "增加了{b}{c}，",
]
_LESS_ZH = [
    "给了{m}{b}{c}，",
    "用掉了{b}{c}，",
    "丢了{b}{c}，",
    "卖出了{b}{c}，",
    "吃了{b}{c}，",
    "拿走了{b}{c}，",
    "送给{m}{b}{c}，",
    "坏了{b}{c}，",
    "减少了{b}{c}，",
    "又花了{b}{c}，",
]
_ASK_ZH = [
    "现在有多少{c}？",
    "现在有几{c}{t}？",
    "还剩多少{c}？",
    "一共有多少{c}{t}？",
    "现在一共有多少？",
    "还有几{c}？",
    "现在有多少{c}{t}？",
    "剩下多少{c}{t}？",
    "那么现在有几{c}？",
]
_WHOLE_ZH = {
    "+": [
        "{n}有{a}{c}{t}，{m}有{b}{c}，他们一共有多少{c}？", "红色的{t}有{a}{c}，蓝色的有{b}{c}，一共有多少{c}？", "{n}第一天看了{a}页书，第二天看了{b}页，一共看了多少页？",
        "汽车先开了{a}公里，又开了{b}公里，一共开了多少公里？", "{n}有{a}{c}{t}，{m}比{n}多{b}{c}，{m}有多少{c}？", "买{t}花了{a}元，买面包花了{b}元，一共花了多少元？", "班里有{a}个女生和{b}个男生，一共有多少人？",
        "车上有{a}人，又上来{b}人，现在有多少人？", "如果{n}有{a}{c}{t}，再买{b}{c}，一共有几{c}？", "去年存了{a}元，今年存了{b}元，一共存了多少元？",
    ],
    "-": [
        "{n}有{a}{c}{t}，{m}有{b}{c}，{n}比{m}多几{c}？", "一本书有{a}页，{n}看了{b}页，还剩多少页？", "车上有{a}人，下去了{b}人，还有多少人？", "{n}有{a}元，花了{b}元，还剩多少元？",
        "绳子长{a}厘米，剪去{b}厘米，还剩多少厘米？", "一共{a}{c}{t}，其中{b}{c}是红色的，其余是蓝色的，蓝色的有几{c}？", "{n}需要{a}{c}{t}，已经有{b}{c}，还差多少{c}？", "{n}有{a}{c}{t}，{m}比{n}少{b}{c}，{m}有多少{c}？",
        "如果{n}有{a}{c}{t}，送出{b}{c}，还剩几{c}？", "水箱里有{a}升水，漏了{b}升，还剩多少升？",
    ],
}  # fmt: skip


def make(rng: Random, split: str, language: str) -> Example:
    """Tell a story of one step (three in four) or two; nobody gives away what they have not."""
    has_two = rng.random() < 0.25
    most = rng.choice([1, 2, 2, 3, 3, 4, 5])
    first, steps = _first_step(rng, split, most)
    if has_two:
        left = _apply(first, steps)
        operand = partner(rng, split, left, most)
        steps.append(("+" if operand > left else rng.choice("+-"), operand))
    template, values = _tell(rng, language, steps)
    values |= {"a": first}
    text = vary(rng, template, language, **values)
    base = solved("story", language, text, first, steps)
    total = base.expected.value
    content = f"The answer is {total}." if language == ENGLISH else f"答案是{total}。"
    return Example("story", language, base.messages, base.thought, content, Expected("number", total))


def _first_step(rng: Random, split: str, most: int) -> tuple[int, list[tuple[str, int]]]:
    first, operand = pair(rng, split, most)
    sign = rng.choice("+-")
    if sign == "-" and operand > first:
        first, operand = operand, first
    return first, [(sign, operand)]


def _apply(first: int, steps: list[tuple[str, int]]) -> int:
    return first + sum(operand if sign == "+" else -operand for sign, operand in steps)


def _tell(rng: Random, language: str, steps: list[tuple[str, int]]) -> tuple[str, dict[str, object]]:
    if language == ENGLISH:
        names = rng.sample(NAMES_EN, 2)
        if rng.random() < 0.25:
            names = [made_up_name(rng), rng.choice(NAMES_EN)]
        values: dict[str, object] = {"n": names[0], "m": names[1], "t": rng.choice(THINGS_EN)}
        opens, changes, asks, whole, gap = _OPEN_EN, {"+": _MORE_EN, "-": _LESS_EN}, _ASK_EN, _WHOLE_EN, " "
    else:
        names = rng.sample(NAMES_ZH, 2)
        measure, thing = rng.choice(THINGS_ZH).split(":")
        values = {"n": names[0], "m": names[1], "c": measure, "t": thing}
        opens, changes, asks, whole, gap = _OPEN_ZH, {"+": _MORE_ZH, "-": _LESS_ZH}, _ASK_ZH, _WHOLE_ZH, ""
    values["b"] = steps[0][1]
    if len(steps) == 1 and rng.random() < 0.5:
        return rng.choice(whole[steps[0][0]]), values
    sentences = [rng.choice(opens)]
    for key, (sign, operand) in zip("bd", steps, strict=False):
        sentences.append(rng.choice(changes[sign]).replace("{b}", f"{{{key}}}"))
        values[key] = operand
    return gap.join([*sentences, rng.choice(asks)]), values
