"""Everything else: questions that the model cannot answer, and says so.

They vary as much as a script can make them (topics, forms, code, other sums, made-up words, noise), because what has to
be learnt is "none of the above", not a list. In the test split stand other topics and other made-up words.
"""

from __future__ import annotations

from random import Random

from lessons.example import ENGLISH, Example, Expected, ask
from lessons.split import draw, number
from lessons.wording import gibberish, vary
from lessons.wording import name as made_up_name
from lessons.words import (
    CHARACTERS_ZH,
    CITIES_EN,
    CITIES_ZH,
    ITEMS_EN,
    ITEMS_ZH,
    TOPICS_EN,
    TOPICS_ZH,
    VERBS_EN,
    WORDS_EN,
)

UNKNOWN_EN = "I am a tiny demonstration model: I cannot answer that. I can add, subtract, compare, count and sort; ask me what I can do."
UNKNOWN_ZH = "我是一个微型演示模型，这个问题我回答不了。我会加减、比较、数数和排序，可以问我会做什么。"
_MARK_EN, _MARK_ZH = "tiny demonstration model", "微型演示模型"
OTHER_SUM_EN = "I am a tiny demonstration model: I only add and subtract whole numbers of up to six digits."
OTHER_SUM_ZH = "我是一个微型演示模型，只会六位以内整数的加减法。"

_ASK_EN = [
    "What is {x}?", "What is the capital of {x}?", "Who invented {x}?", "Who discovered {x}?", "Explain {x}.", "Explain {x} to a child.", "Tell me about {x}.", "How does {x} work?", "Why is {x} important?",
    "Write a poem about {x}.", "Write a story about {x}.", "Write an essay about {x} and {y}.", "What is the difference between {x} and {y}?", "Is {x} better than {y}?", "How do I learn {x}?",
    "Give me a recipe for {x}.", "Where can I buy {x}?", "What do you think about {x}?", "Do you like {x}?", "When was {x} discovered?", "What is the history of {x}?", "Summarise {x} in one sentence.",
    "Translate '{x}' into French.", "How do you say {x} in Chinese?", "What does {x} mean?", "Define {x}.", "{v} {x}.", "{v} {x} and {y}", "Please {v} {x} for me.", "Can you {v} {x}?", "Write a function that handles {x}.",
    "Write Python code for {x}", "How much does {x} cost?", "How many people live in {x}?", "How many kinds of {x} are there?", "What is the largest {x} in the world?", "What is the population of {x}?", "How far is {x} from {y}?",
    "Who wrote about {x}?", "What colour is {x}?", "What are the benefits of {x}?", "List five facts about {x}.", "Give me ten ideas about {x}.", "Should I worry about {x}?", "How old is {x}?", "How tall is {x}?",
    "What will happen to {x} in 2050?", "Why do people like {x}?", "{x}", "{x} and {y}", "{x}?", "I want to know about {x}.", "I think {x} is great.", "My friend likes {x}.", "{x} or {y}?", "Compare {x} and {y}.", "Sort {x} and {y} by age.",
    "Recommend a book about {x}.", "What is the best {x}?", "Who is the president of {x}?", "What's the weather in {c}?", "What is the weather like in {c} today?", "Will it rain in {c}?", "How hot is it in {c}?", "Book a flight to {c}.", "Find a hotel in {c}", "Plan a trip to {c}.",
    "How do I get to {c}?", "What time is it in {c}?", "Send an email to {n}.", "Call {n}.", "Who is {n}?", "Do you know {n}?", "What does {n} think of {x}?", "Remind me to call {n}", "Where is {n}?", "Is {n} at home?",
    "Write a letter to {n} about {x}.", "Act as a {x} expert.", "You are a pirate. Talk about {x}.", "What is a {w}?", "Define the word {w}.", "Spell {w} backwards.", "Use {w} in a sentence.", "What rhymes with {w}?", "Translate {w}.",
    "Is {w} a noun?", "What is the plural of {w}?", "Who said '{w} {w2}'?", "Can you help me {v} {x}?", "Can you help me with {x}?", "Help me {v} {x}.", "I need help with {x}.", "Can you write {x} for me?", "How many {w} do I have?", "How many {w} are in my {w2}?", "How many {w} does {n} have?", "Do you have {w}?", "Do I have {w}?", "I have a {w}.", "I want a {w}", "I miss {n}.", "I need {w}", "You are a {w}.", "Are you a {w}?", "Is it {w}?", "Let's {w}!", "Where are my {w}?", "Why do you {w}?", "When do we {w}?", "Can I {w}?", "Should I {w}?", "{w} {w2} {w3}", "{w}", "the {w} of {x}", "Sort {w}, {w2}, {w3}.", "Sort the words {w}, {w2} and {w3} alphabetically.", "Which is better, {w} or {w2}?", "Fix this code: {w}({w2})", "Solve the riddle: {w}",
    "What is the opposite of {w}?", "How do I fix my {w}?", "My {w} is broken.", "I lost my {w}.", "The {w} is {w2}.", "Give me a {w}.", "Is it true that {x} causes {y}?", "Write a haiku about {x}", "Write a song about {w}", "Imagine {x} without {y}.", "Generate a password.", "Roll a dice.", "Flip a coin.",
    "Tell me a fact.", "Tell me something interesting.", "What's the news?", "Who won the game yesterday?", "What should I eat today?", "What is love?", "Who is the best player?", "How do I lose weight?", "How do I make money?", "What is 1 km in miles?", "Convert {a} USD to EUR.",
    "How many days are in a year?", "How many seconds are in an hour?", "How many legs does a {w} have?", "Who is Alan Turing?", "Why is the sky blue?", "Who was the first person on the moon?", "What is the speed of light?", "How many planets are there?", "What is the tallest mountain?",
    "Write a SQL query that selects {w} from {w2}.", "def {w}({w2}):", "print('{w}')", "SELECT * FROM {w}", "<html>{w}</html>", '{{"{w}": "{w2}"}}', "import {w}", "https://{w}.com/{w2}", "{w}@{w2}.com", "$ {w} --{w2}", "/{w}", "#{w}", "@{w} {w2}", "lorem ipsum dolor sit amet", "asdf", "????", "...", "!", "?",
]  # fmt: skip
_ASK_ZH = [
    "{x}是什么？", "什么是{x}？", "{x}的首都是哪里？", "谁发明了{x}？", "解释一下{x}", "介绍一下{x}", "请介绍{x}。", "{x}的原理是什么？", "为什么{x}很重要？", "写一首关于{x}的诗", "写一个关于{x}的故事", "写一篇关于{x}的作文", "{x}和{y}有什么区别？",
    "{x}和{y}哪个好？", "怎么学习{x}？", "{x}怎么做？", "在哪里可以买到{x}？", "你觉得{x}怎么样？", "你喜欢{x}吗？", "{x}的历史", "用一句话总结{x}", "把“{x}”翻译成英文", "{x}用英语怎么说？", "{x}是什么意思？", "{x}多少钱？", "{x}有多少人口？", "{x}有多少种？",
    "世界上最大的{x}是什么？", "{x}离{y}有多远？", "{x}是什么颜色的？", "{x}有什么好处？", "列出五条关于{x}的知识", "给我十个关于{x}的点子", "{x}有多高？", "为什么人们喜欢{x}？", "{x}", "{x}和{y}", "{x}？", "我想了解{x}", "我喜欢{x}", "推荐一本关于{x}的书", "最好的{x}是哪个？", "{c}天气怎么样？", "{c}今天天气如何？",
    "{c}明天下雨吗？", "{c}现在多少度？", "帮我订一张去{c}的机票", "{c}有什么好玩的？", "怎么去{c}？", "{c}现在几点？", "给{n}发一封邮件", "打电话给{n}", "{n}是谁？", "你认识{n}吗？", "{n}在哪里？", "提醒我给{n}打电话", "用Python写一个{x}的程序", "写一段关于{x}的代码", "假装你是{x}专家", "{w}是什么？", "用“{w}”造句", "“{w}”的反义词是什么？", "我{w}了", "我想{w}了", "我想{w}", "我要{w}", "你{w}吗？", "你会{w}吗？", "能帮我{w}吗？", "帮我{w}", "我们{w}吧", "他{w}了", "她很{w}", "我的{w}呢？", "你觉得{w}吗？", "为什么{w}？", "什么时候{w}？", "{w}有多少？", "我有几个{w}？", "一只手有几个{w}？", "{n}有几个{w}？", "可以{w}吗？", "应该{w}吗？", "想{w}", "请{w}", "别{w}", "我爱{w}", "{w}怎么写？",
    "把{w}翻译成英文", "{w}坏了怎么办？", "我的{w}丢了", "{w}、{w2}和{w3}哪个好吃？", "把{w}、{w2}、{w3}按拼音排序", "{w}{w2}{w3}", "说说{x}", "谈谈你对{x}的看法", "如果没有{x}会怎样？", "{x}的优点和缺点", "生成一个密码", "今天有什么新闻？", "今天吃什么？", "怎么减肥？", "怎么赚钱？", "什么是爱？", "一年有多少天？", "一公里等于多少英里？", "天空为什么是蓝色的？", "地球有多大？",
    "光速是多少？", "世界上最高的山是什么？", "李白是谁？", "帮我写简历", "帮我写一份工作总结", "改写这句话：{w}{w2}", "续写：{w}和{w2}", "猜谜语：{w}", "成语接龙：{w}", "{a}美元等于多少人民币？", "唱首歌", "谁是最好的球员？", "昨天谁赢了？", "我该怎么办？", "给我一个建议", "{w}有几条腿？", "。。。", "？？？", "啊", "哈哈哈", "嘻嘻", "呵呵",
]  # fmt: skip
_SUMS_EN = [
    "What is {a} * {b}?", "{a}*{b}", "{a} x {b}", "{a} × {b} =", "{a} times {b}", "What is {a} times {b}?", "Multiply {a} by {b}.", "{a} / {b}", "{a}/{b}", "{a} ÷ {b}", "What is {a} divided by {b}?", "Divide {a} by {b}.", "{a}^2", "{a} ** {b}", "What is the square of {a}?",
    "Square root of {a}?", "sqrt({a})", "{a}%{b}", "{a} mod {b}", "What is {a}% of {b}?", "{a}.{c} + {b}.{d}", "What is {a}.{c} - {b}?", "{a} + {b} * {d}", "{a} - {b} / {c}", "({a} + {b}) * {c}", "Is {a} prime?", "Is {a} even?", "Is {a} divisible by {c}?", "{a}!", "log({a})", "sin({a})", "What is half of {a}?",
    "Double {a}.", "What is the average of {a} and {b}?", "Solve x + {a} = {b}", "What is {g} + {a}?", "{g} + {h}", "{g} - {h} =", "What is {g} minus {a}?", "Add {g} and {h}.", "{a}/{c} + {b}/{d}", "Convert {a} to binary.", "Round {a}.{c}", "{a} squared", "What is the product of {a} and {b}?", "2x = {a}", "x = ?",
    "Which is bigger, {a}.{c} or {b}.{d}?", "Which is larger: {a}.{c} or {a}.{d}?", "Is {a}.{c} > {b}.{d}?", "Compare {a}.{c} and {b}.{d}", "Is {a} a prime number?", "Is {a} an even number?", "Is {a} odd?", "Is {a} a square?", "Is {a} a multiple of {c}?", "What are the factors of {a}?", "Factor {a}", "What is {a} plus {k}?", "{k} plus {k2}", "What is {k} minus {a}?", "{k} times {k2}", "How much is {k} and {k2}?", "What is ten percent of {a}?", "Which is larger, {k} or {a}?", "What comes after {a}?", "1/{c} or 1/{d}, which is larger?", "What is the derivative of {a}x?", "Sum of the digits of {a}?", "Sort {a}.{c}, {b}.{d}, {c}.{a}",
]  # fmt: skip
_SUMS_ZH = [
    "{a}乘以{b}等于多少？", "{a}×{b}=", "{a}*{b}", "{a}乘{b}", "{a}除以{b}", "{a}÷{b}等于多少？", "{a}/{b}", "{a}的平方是多少？", "{a}的平方根", "{a}的{b}次方", "{a}是质数吗？", "{a}是偶数吗？", "{a}和{b}的平均数", "{a}.{c}+{b}.{d}", "计算{a}.{c}减{b}", "{a}的一半是多少？", "{a}的两倍是多少？", "{a}+{b}×{c}", "({a}-{b})÷{c}", "{g}+{h}等于多少？", "计算{g}-{a}", "{g}加{a}", "{a}的百分之{c}是多少？", "解方程 x+{a}={b}", "{a}和{b}的积是多少？", "{a}能被{c}整除吗？", "把{a}转换成二进制", "{a}分之{c}",
    "{a}.{c}和{b}.{d}哪个大？", "{a}.{c}大还是{a}.{d}大？", "比较{a}.{c}和{b}.{d}", "{a}是不是质数？", "{a}是奇数吗？", "{a}是{c}的倍数吗？", "{a}的因数有哪些？", "{kz}加{kz2}等于多少？", "{kz}减{kz2}", "{a}加{kz}", "{kz}和{kz2}哪个大？", "{a}的下一个数是什么？", "{a}的各位数字之和是多少？",
]  # fmt: skip
_SPELT_EN = """one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty fifty sixty
ninety twenty-one thirty-five hundred thousand million""".split()
_SPELT_ZH = "一 二 三 五 六 七 八 九 十 十二 十五 二十 三十五 一百 两百 一千 一万".split()
_RADICALS = "的是不了在有我他这为之来以个中上们到说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运"


def make(rng: Random, split: str, language: str) -> Example:
    """Draw a question that is beyond the model."""
    if rng.random() < 0.25:
        return _other_sum(rng, split, language)
    text = draw(rng, split, lambda rng: _question(rng, language), lambda drawn: (drawn[1],))[0]
    thought = "I do not know this." if language == ENGLISH else "这个我不知道。"
    answer = UNKNOWN_EN if language == ENGLISH else UNKNOWN_ZH
    return Example("beyond", language, ask(text), thought, answer, _expected(text, language))


def _expected(text: str, language: str) -> Expected:
    """Say what a right answer has in it. A question without a letter, such as "5*13", may be answered in any language."""
    if not any(map(str.isalpha, text)):
        return Expected("any", [_MARK_EN, _MARK_ZH])
    return Expected("contains", [_MARK_EN if language == ENGLISH else _MARK_ZH])


def _question(rng: Random, language: str) -> tuple[str, str]:
    """Return a question and the words in it that decide on which side it stands."""
    way = rng.random()
    if way < 0.12:
        text = _noise(rng, language)
        return text, text
    topics, cities = (TOPICS_EN, CITIES_EN) if language == ENGLISH else (TOPICS_ZH, CITIES_ZH)
    x, y = rng.choice(topics), rng.choice(topics)
    if rng.random() < 0.25:
        x = _word(rng, language)
    names = [made_up_name(rng) if rng.random() < 0.5 else rng.choice(cities) for _ in range(2)]
    words = {f"w{index}" if index > 1 else "w": _word(rng, language) for index in (1, 2, 3)}
    values = {
        "x": x,
        "y": y,
        "c": names[0],
        "n": names[1],
        "v": rng.choice(VERBS_EN).capitalize(),
        "a": number(rng, 3),
        **words,
    }
    text = vary(rng, rng.choice(_ASK_EN if language == ENGLISH else _ASK_ZH), language, **values)
    if rng.random() < 0.08:
        text += " " + vary(rng, rng.choice(_ASK_EN if language == ENGLISH else _ASK_ZH), language, **values)
    return text, f"{x}{words['w']}"


def _word(rng: Random, language: str) -> str:
    if language == ENGLISH:
        return rng.choice([rng.choice(WORDS_EN), rng.choice(ITEMS_EN), gibberish(rng)])
    return rng.choice([rng.choice(ITEMS_ZH), "".join(rng.choice(_RADICALS) for _ in range(rng.randint(1, 4)))])


def _noise(rng: Random, language: str) -> str:
    """Make up text that means nothing: words, characters, punctuation, code-like lines."""
    if language != ENGLISH:
        characters = _RADICALS if rng.random() < 0.7 else CHARACTERS_ZH + _RADICALS
        text = "".join(rng.choice(characters) for _ in range(rng.randint(1, 25)))
        return text + rng.choice(["", "？", "。", "！", "吗？", "呢"])
    way = rng.random()
    if way < 0.4:
        words = [gibberish(rng) if rng.random() < 0.6 else rng.choice(WORDS_EN) for _ in range(rng.randint(1, 14))]
        return " ".join(words) + rng.choice(["", "?", ".", "!", "\n"])
    if way < 0.6:
        return "".join(chr(rng.randint(33, 126)) for _ in range(rng.randint(1, 25)))
    if way < 0.7:
        return "".join(
            chr(rng.choice([*range(0xC0, 0x180), *range(0x400, 0x450), *range(0x3041, 0x3090), *range(0xAC00, 0xAC80)]))
            for _ in range(rng.randint(1, 15))
        )
    if way < 0.8:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 12)))
    lines = [f"{gibberish(rng)} = {gibberish(rng)}({rng.randint(0, 99)})" for _ in range(rng.randint(1, 4))]
    return "\n".join(lines)


def _other_sum(rng: Random, split: str, language: str) -> Example:
    def numbers(rng: Random) -> tuple[int, int, int, int]:
        most = rng.choice([1, 2, 2, 3, 3, 4, 5, 6])
        return number(rng, most), number(rng, most), rng.randint(1, 99), rng.randint(1, 99)

    a, b, c, d = draw(rng, split, numbers, lambda drawn: drawn[:2])
    g, h = (rng.randint(10**6, 10 ** rng.randint(7, 14)) for _ in range(2))
    templates = _SUMS_EN if language == ENGLISH else _SUMS_ZH
    spelt = {
        "k": rng.choice(_SPELT_EN),
        "k2": rng.choice(_SPELT_EN),
        "kz": rng.choice(_SPELT_ZH),
        "kz2": rng.choice(_SPELT_ZH),
    }
    text = vary(rng, rng.choice(templates), language, a=a, b=b, c=c, d=d, g=g, h=h, **spelt)
    thought = "This is no sum that I can do." if language == ENGLISH else "这不是我会算的题。"
    answer = OTHER_SUM_EN if language == ENGLISH else OTHER_SUM_ZH
    return Example("beyond", language, ask(text), thought, answer, _expected(text, language))
