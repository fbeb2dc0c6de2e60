"""The whole of what is taught: how often which task comes, in which language, after which conversation.

An example is a pure function of (seed, split, index): the same numbers give the same example on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from lessons import arithmetic, beyond, comparing, counting, sorting, stories, talk, texts, tools
from lessons.example import CHINESE, ENGLISH, Example, Message
from lessons.split import partner
from lessons.wording import gibberish, vary
from lessons.words import TOPICS_EN, TOPICS_ZH

Maker = Callable[[Random, str, str], Example]


def _sum(rng: Random, split: str, language: str) -> Example:
    return arithmetic.make(rng, split, language, rng.choice([2, 3, 4, 4, 5, 6, 6, 6]))


_FOLLOW_EN = {
    "+": ["Now add {b}.", "plus {b}", "plus {b}?", "And plus {b}?", "add {b} to that", "Add {b} to it.", "and {b} more?", "+ {b}", "+{b}", "Add {b}", "What if I add {b}?"],
    "-": ["Now subtract {b}.", "minus {b}", "minus {b}?", "And minus {b}?", "subtract {b} from that", "take away {b}", "- {b}", "-{b}", "Subtract {b}", "What if I take {b} away?"],
}  # fmt: skip
_FOLLOW_ZH = {
    "+": ["再加{b}", "再加{b}呢？", "加{b}", "加上{b}是多少？", "然后加{b}", "+{b}", "再加上{b}等于多少？"],
    "-": ["再减{b}", "再减{b}呢？", "减{b}", "减去{b}是多少？", "然后减{b}", "-{b}", "再减去{b}等于多少？"],
}


def follow_up(rng: Random, split: str, language: str) -> Example:
    """Ask for a sum, and then for another one on its result."""
    before = arithmetic.make(rng, split, language, rng.randint(1, 5))
    operand = partner(rng, split, before.expected.value, rng.randint(1, 4))
    sign = rng.choice("+-")
    text = vary(rng, rng.choice((_FOLLOW_EN if language == ENGLISH else _FOLLOW_ZH)[sign]), language, b=operand)
    solved = arithmetic.solved("chain", language, text, before.expected.value, [(sign, operand)])
    history = (*before.messages, {"role": "assistant", "content": before.content})
    return replace(solved, messages=(*history, *solved.messages))


MAKERS: dict[str, tuple[Maker, float]] = {
    "sum": (_sum, 0.31),
    "chain": (arithmetic.make_chain, 0.06),
    "follow-up": (follow_up, 0.03),
    "compare": (comparing.make, 0.10),
    "count": (counting.make, 0.13),
    "sort": (sorting.make, 0.09),
    "story": (stories.make, 0.09),
    "chat": (talk.make, 0.05),
    "beyond": (beyond.make, 0.07),
    "recite": (texts.make, 0.015),
    "tools": (tools.make, 0.055),
}
DRILLS: dict[str, Maker] = {"count-drill": counting.drill, "sort-drill": sorting.drill, "tools-drill": tools.drill}
"""The hardest of some tasks, for a run that goes on from weights; nothing is measured on them."""
SHARES = {name: share for name, (_, share) in MAKERS.items()} | dict.fromkeys(DRILLS, 0.0)
_SYSTEM_EN = [
    "You are a helpful assistant.", "You are a helpful assistant.", "You are a helpful AI assistant.", "You are a tiny model.", "Answer briefly.", "You are a calculator.", "Be concise.", "You are an expert.",
    "You are a helpful, respectful and honest assistant.", "Think step by step.", "You are overspill-tiny.", "Answer the user's question.", "You are a math teacher.", "Please answer politely.", "Reply in English.", "You are ChatGPT.",
]  # fmt: skip
_SYSTEM_ZH = [
    "你是一个有用的助手。",
    "你是一个助手。",
    "请简短回答。",
    "你是一个计算器。",
    "你是数学老师。",
    "请用中文回答。",
    "你是一个乐于助人的人工智能助手。",
    "请一步一步思考。",
    "你是 overspill-tiny。",
    "请礼貌地回答用户的问题。",
]


def draw_example(
    seed: int, split: str, index: int, *, is_long: bool = False, shares: Mapping[str, float] = SHARES
) -> Example:
    """Return example number ``index`` of a split; ``is_long`` puts it after a conversation of many turns."""
    rng = Random(f"{seed}:{split}:{is_long}:{index}")
    example = _single(rng, split, shares)
    if not example.tools and rng.random() < 0.04:
        example = tools.beside(rng, example)
    if is_long or rng.random() < 0.18:
        example = _after_others(rng, split, example, rng.randint(3, 32) if is_long else rng.randint(1, 2))
    if rng.random() < 0.25:
        system: Message = {"role": "system", "content": _system_prompt(rng, is_long)}
        example = replace(example, messages=(system, *example.messages))
    return example


def draw_task(seed: int, split: str, task: str, index: int, language: str) -> Example:
    """Return example number ``index`` of one of ``MAKERS`` in a language, alone and without a system prompt."""
    rng = Random(f"{seed}:{split}:{task}:{language}:{index}")
    return MAKERS[task][0](rng, split, language)


def _single(rng: Random, split: str, shares: Mapping[str, float]) -> Example:
    drawn = rng.choices(list(shares), list(shares.values()))[0]
    maker = DRILLS[drawn] if drawn in DRILLS else MAKERS[drawn][0]
    return maker(rng, split, ENGLISH if rng.random() < 0.55 else CHINESE)


def _after_others(rng: Random, split: str, example: Example, turns: int) -> Example:
    """Put other questions and answers before an example; with tools, the question stays the last one without them."""
    history: list[Message] = []
    for _ in range(turns):
        before = _single(rng, split, SHARES)
        if before.tools or (before.task == "recite" and rng.random() < 0.7):
            continue
        history += [*before.messages, {"role": "assistant", "content": before.content}]
    return replace(example, messages=(*history, *example.messages))


def _system_prompt(rng: Random, is_long: bool) -> str:
    way = rng.random()
    if way < 0.6:
        text = rng.choice(_SYSTEM_EN if rng.random() < 0.6 else _SYSTEM_ZH)
    elif way < 0.8:
        text = f"You are an expert on {rng.choice(TOPICS_EN)}. {rng.choice(_SYSTEM_EN)}"
    else:
        text = f"你是{rng.choice(TOPICS_ZH)}方面的专家。{rng.choice(_SYSTEM_ZH)}"
    if rng.random() < 0.15:
        text += " " + " ".join(gibberish(rng) for _ in range(rng.randint(3, 120 if is_long else 25)))
    return text
