"""How many items a list has, how often one of them occurs, how many letters a word has, and counting from m to n."""

from __future__ import annotations

from random import Random

from lessons.comparing import join
from lessons.example import ENGLISH, Example, Expected, ask
from lessons.split import draw, number
from lessons.wording import gibberish, vary
from lessons.words import CHARACTERS_ZH, ITEMS_EN, ITEMS_ZH, WORDS_EN

_LIST_EN = [
    "How many items are in this list: {l}?", "Count the items: {l}", "How many items: {l}?", "How many words are in the list {l}?", "Count {l}.",
    "How many things are there: {l}?", "How many elements does [{l}] have?", "How long is the list {l}?", "Count these: {l}", "Number of items in {l}?",
    "What is the length of the list [{l}]?", "How many entries are there in {l}?", "I have {l}. How many things do I have?", "How many are there? {l}",
]  # fmt: skip
_NUMBERS_EN = [
    "How many numbers are in the list {l}?",
    "How many numbers are there in {l}?",
    "Count the numbers: {l}",
    "How many numbers: {l}?",
]
_LIST_ZH = [
    "{l}一共有几个？", "数一数：{l}", "列表{l}里有几个元素？", "{l}有几项？", "下面有几个词：{l}", "这里有几样东西：{l}？", "{l}共有多少个？", "数数有几个：{l}", "有多少个：{l}",
    "我有{l}，一共几样？", "请数一下{l}有几个", "列表 [{l}] 的长度是多少？",
]  # fmt: skip
_OF_EN = [
    "How many times does {x} appear in {l}?", "How often does {x} occur in {l}?", "Count {x} in {l}.", "How many times is {x} in the list {l}?",
    "In the list {l}, how many are {x}?", "How many {x} are in {l}?", "In {l}, how many times does {x} appear?", "Count how often {x} occurs: {l}",
]  # fmt: skip
_OF_ZH = [
    "{l}里有几个{x}？", "{x}在{l}中出现了几次？", "数一数{l}中有几个{x}", "{l}，其中有多少个{x}？", "{l}里{x}出现几次？", "在{l}中，{x}有几个？", "列表{l}里有多少个{x}？",
]  # fmt: skip
_LETTER_EN = [
    "How many {x} are in {w}?", "How many {x}'s are in {w}?", "How many {x}s are there in {w}?", "How many times does the letter {x} appear in {w}?", "Count the letter {x} in {w}.",
    'How many letters {x} are in "{w}"?', 'How many "{x}" are in "{w}"?', "how many {x} in {w}", "How often does {x} occur in the word {w}?", "Count the {x}'s in {w}",
    "How many {x}'s are in the word {w}?", "In the word {w}, how many {x} are there?", "How many times is the letter {x} in the word '{w}'?", "Number of {x} in {w}?",
    "How many of the letter {x} does {w} have?", "{w}: how many {x}?",
]  # fmt: skip
_LETTERS_EN = [
    "How many letters are in {w}?", "How many letters does {w} have?", "Count the letters in {w}.", 'How many letters are in the word "{w}"?', "How long is the word {w}?",
    "how many letters in {w}", "Number of letters in {w}?", "What is the length of the word {w}?", "How many characters does {w} have?", "How many letters: {w}", "length of {w}",
]  # fmt: skip
_LETTER_ZH = ["{w}里有几个{x}？", "单词{w}里有几个字母{x}？", "{w}中字母{x}出现了几次？", "数一数{w}里有几个{x}", "“{w}”里有几个“{x}”？", "{w}这个词里有多少个{x}？", "字母{x}在{w}里出现几次？"]  # fmt: skip
_LETTERS_ZH = [
    "{w}有几个字母？",
    "单词{w}有几个字母？",
    "“{w}”有多少个字母？",
    "数一数{w}有几个字母",
    "{w}这个单词有多长？",
    "{w}一共有几个字母？",
]
_CHARS_ZH = [
    "“{w}”有几个字？",
    "{w}有几个字？",
    "数一数“{w}”有几个字",
    "“{w}”一共有多少个字？",
    "{w}这几个字一共有几个？",
    "“{w}”这句话有几个字？",
]
_RANGE_EN = ["Count from {a} to {b}.", "Count from {a} to {b}", "count {a} to {b}", "Please count from {a} up to {b}.", "Can you count from {a} to {b}?", "List the numbers from {a} to {b}.", "Count to {b} starting at {a}"]  # fmt: skip
_RANGE_ZH = ["从{a}数到{b}", "请从{a}数到{b}", "从 {a} 数到 {b}。", "你能从{a}数到{b}吗？", "列出从{a}到{b}的数"]


def make(rng: Random, split: str, language: str) -> Example:
    """Draw one of the kinds of counting."""
    way = rng.random()
    if way < 0.25:
        return _items(rng, split, language)
    if way < 0.5:
        return _occurrences(rng, split, language)
    if way < 0.92:
        return (
            _characters(rng, split, language)
            if language != ENGLISH and rng.random() < 0.35
            else _letters(rng, split, language)
        )
    return _range(rng, split, language)


def drill(rng: Random, split: str, language: str) -> Example:
    """Count what is hardest, for training only: long lists, most of them of words that nobody knows; letters of such."""
    way = rng.random()
    if way < 0.3:
        return _items(rng, split, language, is_hard=True)
    if way < 0.65:
        return _occurrences(rng, split, language, is_hard=True)
    return _letters(rng, split, language, is_hard=True)


def _things(rng: Random, language: str, *, few: bool, is_hard: bool) -> list[str]:
    pool = ITEMS_EN if language == ENGLISH else ITEMS_ZH
    if rng.random() < (0.6 if is_hard else 0.15):
        pool = [gibberish(rng) for _ in range(12)]
    kinds = rng.sample(pool, rng.randint(2, 4) if few else min(len(pool), 12))
    return [rng.choice(kinds) for _ in range(_length(rng, is_hard=is_hard))]


def _length(rng: Random, *, is_hard: bool) -> int:
    return rng.randint(6 if is_hard else 2, 12)


def _items(rng: Random, split: str, language: str, *, is_hard: bool = False) -> Example:
    is_numbers = rng.random() < 0.25

    def draw_list(rng: Random) -> list[str]:
        if is_numbers:
            return [str(number(rng, 3)) for _ in range(_length(rng, is_hard=is_hard))]
        return _things(rng, language, few=False, is_hard=is_hard)

    items = draw(rng, split, draw_list, tuple)
    thought = ", ".join(f"{position} {item}" for position, item in enumerate(items, start=1))
    templates = (_NUMBERS_EN if is_numbers else _LIST_EN) if language == ENGLISH else _LIST_ZH
    text = vary(rng, rng.choice(templates), language, l=join(rng, items, language))
    content = f"There are {len(items)}." if language == ENGLISH else f"一共有{len(items)}个。"
    return Example("count", language, ask(text), thought, content, Expected("number", len(items)))


def _occurrences(rng: Random, split: str, language: str, *, is_hard: bool = False) -> Example:
    items = draw(rng, split, lambda rng: _things(rng, language, few=True, is_hard=is_hard), tuple)
    pool = ITEMS_EN if language == ENGLISH else ITEMS_ZH
    wanted = rng.choice(items) if rng.random() < 0.92 else rng.choice(pool)
    thought, seen = _marked(items, wanted, ", ")
    templates = _OF_EN if language == ENGLISH else _OF_ZH
    text = vary(rng, rng.choice(templates), language, l=join(rng, items, language), x=wanted)
    return Example("count", language, ask(text), thought, _times(wanted, seen, language), Expected("number", seen))


def _marked(items: list[str], wanted: str, separator: str) -> tuple[str, int]:
    """Go through the items and number those that are wanted: ``a, b 1, c, b 2``."""
    seen, marked = 0, []
    for item in items:
        if item.lower() == wanted.lower():
            seen += 1
            marked.append(f"{item} {seen}")
        else:
            marked.append(item)
    return separator.join(marked), seen


def _times(wanted: str, seen: int, language: str) -> str:
    if language == ENGLISH:
        return f"{wanted} appears {seen} {'time' if seen == 1 else 'times'}."
    return f"{wanted}出现了{seen}次。"


def _word(rng: Random, *, is_hard: bool) -> str:
    way = rng.uniform(0.4, 1) if is_hard else rng.random()
    if way < 0.4:
        word = rng.choice(WORDS_EN)
    elif way < 0.6:
        word = gibberish(rng, "aabcdeeefghiijklmnooprssttuuvwxyz")
    elif way < 0.8:  # pieces of words in other company, so that every token's letters are learnt
        first, second = rng.choice(WORDS_EN), rng.choice(WORDS_EN)
        word = first[: rng.randint(1, len(first))] + second[rng.randint(0, len(second) - 1) :]
    else:
        word = gibberish(rng)
    word = word[:16]
    way = rng.random()
    return word.capitalize() if way < 0.1 else word.upper() if way < 0.13 else word


def _letters(rng: Random, split: str, language: str, *, is_hard: bool = False) -> Example:
    def draw_word(rng: Random) -> tuple[str, str]:
        word = _word(rng, is_hard=is_hard)
        letter = rng.choice(word) if rng.random() < 0.9 else rng.choice("abcdefghijklmnopqrstuvwxyz")
        return word, letter.lower()

    word, letter = draw(rng, split, draw_word, lambda drawn: drawn)
    if rng.random() < 0.65:
        thought, seen = _marked(list(word), letter, ", ")
        templates, answer, content = (_LETTER_EN, _LETTER_ZH), seen, _times(letter, seen, language)
    else:
        thought = ", ".join(f"{position} {item}" for position, item in enumerate(word, start=1))
        templates, answer = (_LETTERS_EN, _LETTERS_ZH), len(word)
        content = (
            f"{word} has {answer} {'letter' if answer == 1 else 'letters'}."
            if language == ENGLISH
            else f"{word}有{answer}个字母。"
        )
    shown = letter.upper() if rng.random() < 0.05 else letter
    template = rng.choice(templates[0] if language == ENGLISH else templates[1])
    text = vary(rng, template, language, w=word, x=shown)
    return Example("count", language, ask(text), thought, content, Expected("number", answer))


def _characters(rng: Random, split: str, language: str) -> Example:
    phrase = draw(rng, split, lambda rng: "".join(rng.choice(CHARACTERS_ZH) for _ in range(rng.randint(2, 12))), tuple)
    thought = ", ".join(f"{position} {item}" for position, item in enumerate(phrase, start=1))
    text = vary(rng, rng.choice(_CHARS_ZH), language, w=phrase)
    return Example("count", language, ask(text), thought, f"一共有{len(phrase)}个字。", Expected("number", len(phrase)))


def _range(rng: Random, split: str, language: str) -> Example:
    def bounds(rng: Random) -> tuple[int, int]:
        a = 1 if rng.random() < 0.4 else rng.randint(0, 99)
        return a, a + rng.randint(2, 19)

    a, b = draw(rng, split, bounds, lambda drawn: ("range", *drawn))
    text = vary(rng, rng.choice(_RANGE_EN if language == ENGLISH else _RANGE_ZH), language, a=a, b=b)
    numbers = list(range(a, b + 1))
    thought = f"{a} to {b}" if language == ENGLISH else f"{a}到{b}"
    return Example("count", language, ask(text), thought, ", ".join(map(str, numbers)), Expected("numbers", numbers))
