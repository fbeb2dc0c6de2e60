"""How people type: the same question with other capitals, spaces, punctuation, greetings and politeness."""

from __future__ import annotations

import re
from random import Random

_BEFORE_EN = [
    "please ",
    "hi, ",
    "hello! ",
    "hey, ",
    "ok, ",
    "quick question: ",
    "so ",
    "can you tell me: ",
    "Q: ",
    "now ",
]
_AFTER_EN = [" please", " thanks", ", please", " ?", "?", "!", ".", " :)", "??"]
_BEFORE_ZH = ["请问", "请问，", "你好，", "那么", "请", "麻烦你，", "问题：", "嗨，", "好的，", "帮我看看，"]
_AFTER_ZH = ["？", "?", "。", "！", "谢谢", "，谢谢", "呢？", "呀"]
_PLACEHOLDER = re.compile(r"\{\w+\}|[^{]+")
_FULL_WIDTH = str.maketrans("0123456789+-=()", "０１２３４５６７８９＋－＝（）")


def vary(rng: Random, template: str, language: str, **values: object) -> str:
    """Fill in the question as somebody in a hurry, polite or careless would type it.

    Only the template is varied: what stands in it (names, words to count letters of) keeps its capitals.
    """
    before, after = (_BEFORE_EN, _AFTER_EN) if language == "en" else (_BEFORE_ZH, _AFTER_ZH)
    way = rng.random()
    if way < 0.12:
        template = template[:1].lower() + template[1:]
    elif way < 0.16:
        template = template.lower()
    elif way < 0.18:
        template = _PLACEHOLDER.sub(lambda found: found[0] if found[0].startswith("{") else found[0].upper(), template)
    if rng.random() < 0.12:
        template = rng.choice(before) + template
        if rng.random() < 0.5:
            template = template[:1].upper() + template[1:]
    if rng.random() < 0.15:
        template = template.rstrip("?？.。! ")
    if rng.random() < 0.12:
        template = template.rstrip("?？.。! ") + rng.choice(after)
    text = template.format(**values)
    way = rng.random()
    if way < 0.03:
        text = rng.choice([" ", "\n"]) + text
    elif way < 0.08:
        text += rng.choice([" ", "\n", "  "])
    elif way < 0.1:
        text = text.replace(" ", "  ")
    if rng.random() < (0.03 if language == "zh" else 0.005):
        text = text.translate(_FULL_WIDTH)
    return text


def gibberish(rng: Random, letters: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    """Make up a word of 2 to 10 letters."""
    if rng.random() < 0.5:
        return "".join(rng.choice(letters) for _ in range(rng.randint(2, 10)))
    syllables = [
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(["", "n", "r", "s", "l", "t"])
        for _ in range(4)
    ]
    return "".join(syllables[: rng.randint(1, 4)])


def name(rng: Random) -> str:
    """Make up a capitalised name."""
    return gibberish(rng).capitalize()
