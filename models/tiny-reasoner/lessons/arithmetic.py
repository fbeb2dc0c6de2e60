"""Sums and differences of two or three numbers, asked in many ways."""

from __future__ import annotations

from random import Random

from lessons.digits import chain
from lessons.example import ENGLISH, Example, Expected, ask
from lessons.split import pair, partner
from lessons.wording import vary

_EXPRESSION_EN = [
    "What is {e}?", "What is {e}?", "What is {e}?", "what's {e}", "What's {e}?", "{e}", "{e}", "{e}", "{e}=", "{e} =", "{e} = ?", "{e}=?", "Calculate {e}.",
    "Calculate {e}", "Compute {e}.", "Work out {e}.", "Solve {e}", "Solve: {e}", "How much is {e}?", "Tell me {e}.",
    "Please calculate {e}.", "Can you calculate {e}?", "Can you compute {e} for me?", "Could you tell me what {e} is?",
    "I need to know {e}.", "Evaluate {e}", "Find {e}.", "Give me the result of {e}.", "What does {e} equal?",
    "What is the result of {e}?", "What do you get for {e}?", "What is the answer to {e}?", "Do you know {e}?",
    "Result of {e}?", "How much does {e} make?", "{e} equals", "{e} equals what?", "{e} is", "{e} makes?", "Math: {e}",
    "Compute: {e}", "Calculate: {e}", "Question: {e}", "Answer this: {e}", "My homework says {e}. What is it?",
    "What is ({e})?", "({e})", "What is the value of {e}?", "Add it up: {e}", "Try {e}", "And {e}?", "how about {e}?",
]  # fmt: skip
_EXPRESSION_ZH = [
    "{e}", "{e}", "{e}=", "{e}=?", "{e}＝？", "{e}等于多少？", "{e}等于多少？", "{e}等于几？", "{e}是多少？", "{e}是多少？", "{e}得多少？", "计算{e}", "计算 {e}", "计算：{e}",
    "请计算{e}", "请计算 {e}。", "请问{e}等于多少？", "请问 {e} 是多少？", "算一下{e}", "算一下 {e}", "帮我算{e}", "帮我算一下{e}",
    "求{e}", "求{e}的值", "{e}的结果是什么？", "{e}的结果是多少？", "{e}的值是多少", "告诉我{e}等于多少", "你知道{e}等于多少吗？",
    "能不能帮我算一下{e}？", "你能算{e}吗？", "{e}怎么算？", "口算：{e}", "问：{e}", "题目：{e}=（ ）", "{e}等于", "那{e}呢？", "（{e}）",
]  # fmt: skip
_ADD_EN = [
    "Add {a} and {b}.", "Add {b} to {a}.", "What is the sum of {a} and {b}?", "Sum of {a} and {b}?", "{a} plus {b}",
    "What is {a} plus {b}?", "{a} plus {b} equals?", "What do {a} and {b} add up to?", "{a} and {b} together make?",
    "What is {b} more than {a}?", "Increase {a} by {b}.", "{a} added to {b}?", "Total of {a} and {b}", "add {a} {b}",
    "What is the total of {a} and {b}?", "If I add {b} to {a}, what do I get?", "{a} and {b}: what is the sum?",
    "How much is {a} plus {b}?", "sum {a} {b}", "sum {a}, {b}", "Please add the numbers {a} and {b}",
]  # fmt: skip
_ADD_ZH = [
    "{a}加{b}等于多少？", "{a}加{b}", "{a}加上{b}是多少？", "{a}与{b}的和是多少？", "{a}和{b}的和", "求{a}与{b}的和", "把{a}和{b}加起来",
    "{a}和{b}加起来是多少？", "{a}和{b}一共是多少？", "比{a}多{b}的数是多少？", "{a}增加{b}是多少？", "{a} 加 {b} 等于几？",
    "计算{a}加{b}", "请把{a}与{b}相加", "{a}和{b}相加得多少？", "{a}、{b}之和是多少？", "求和：{a}，{b}",
]  # fmt: skip
_SUBTRACT_EN = [
    "Subtract {b} from {a}.", "What is the difference: {a} minus {b}?", "{a} minus {b}", "What is {a} minus {b}?", "Take {b} away from {a}.",
    "{a} take away {b}", "What is {b} less than {a}?", "Decrease {a} by {b}.", "{a} less {b}?", "{a} minus {b} equals?",
    "What remains if I take {b} from {a}?", "If I subtract {b} from {a}, what do I get?", "subtract {b} from {a}",
    "How much is {a} minus {b}?", "Reduce {a} by {b}", "What is left of {a} after taking {b} away?",
]  # fmt: skip
_SUBTRACT_ZH = [
    "{a}减{b}等于多少？", "{a}减{b}", "{a}减去{b}是多少？", "{a}减去{b}", "求{a}减{b}的差", "{a}减{b}的差是多少？", "从{a}里减去{b}", "从{a}中拿走{b}还剩多少？",
    "比{a}少{b}的数是多少？", "{a}减少{b}是多少？", "{a} 减 {b} 等于几？", "计算{a}减{b}", "{a}去掉{b}还有多少？",
]  # fmt: skip


def make(rng: Random, split: str, language: str, digits: int) -> Example:
    """Ask for ``a + b`` or ``a - b`` of numbers with up to ``digits`` digits."""
    a, b = pair(rng, split, digits)
    if rng.random() < 0.5:
        a, b = b, a
    sign = rng.choice("+-")
    if rng.random() < 0.04:
        a = -a
    if rng.random() < 0.03:
        b = -b
    question = _question(rng, language, a, sign, b)
    return solved("add" if sign == "+" else "subtract", language, question, a, [(sign, b)])


def make_chain(rng: Random, split: str, language: str) -> Example:
    """Ask for a sum of three numbers, such as 12 + 34 - 5."""
    most = rng.randint(1, 5)
    first, second = pair(rng, split, most)
    sign = rng.choice("++-")
    total = first + second if sign == "+" else first - second
    steps = [(sign, second), (rng.choice("++-"), partner(rng, split, total, most))]
    text = _loose(rng, str(first)) + "".join(f" {sign} {_loose(rng, str(n))}" for sign, n in steps)
    question = _ask_expression(rng, language, text)
    return solved("chain", language, question, first, steps)


def solved(task: str, language: str, question: str, first: int, steps: list[tuple[str, int]]) -> Example:
    """Put question, written work and answer together."""
    lines, total = chain(first, steps)
    content = f"{first}" + "".join(f" {sign} {n}" for sign, n in steps) + f" = {total}"
    return Example(task, language, ask(question), "\n".join(lines), content, Expected("number", total))


def _question(rng: Random, language: str, a: int, sign: str, b: int) -> str:
    x, y = _loose(rng, str(a)), _loose(rng, str(b))
    if rng.random() < 0.6 or a < 0 or b < 0:
        minus = rng.choice("--------−–") if sign == "-" else rng.choice("++++++++＋+")
        x = f"({x})" if a < 0 and rng.random() < 0.3 else x
        y = f"({y})" if b < 0 and rng.random() < 0.6 else y
        return _ask_expression(rng, language, f"{x} {minus} {y}")
    if language == ENGLISH:
        text = rng.choice(_ADD_EN if sign == "+" else _SUBTRACT_EN)
    else:
        text = rng.choice(_ADD_ZH if sign == "+" else _SUBTRACT_ZH)
    return vary(rng, text, language, a=x, b=y)


def _ask_expression(rng: Random, language: str, expression: str) -> str:
    way = rng.random()
    if way < 0.45:
        expression = expression.replace(" ", "")
    elif way < 0.5:
        expression = expression.replace(" ", "", 1)
    text = rng.choice(_EXPRESSION_EN if language == ENGLISH else _EXPRESSION_ZH)
    return vary(rng, text, language, e=expression)


def _loose(rng: Random, digits: str) -> str:
    """Write a long number with commas now and then."""
    if len(digits.lstrip("-")) > 3 and rng.random() < 0.06:
        return f"{int(digits):,}"
    return digits
