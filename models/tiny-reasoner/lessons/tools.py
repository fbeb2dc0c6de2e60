"""Calling a tool when one fits, answering from its result, and leaving it alone when it does not fit.

Names and parameters vary, and some tools are made up, so that what is learnt is to copy them from the list of tools.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from lessons.example import CHINESE, ENGLISH, Example, Expected, Message
from lessons.split import draw, number, pair
from lessons.wording import gibberish, vary
from lessons.wording import name as made_up_name
from lessons.words import CITIES_EN, CITIES_TWO_EN, CITIES_ZH, ITEMS_EN, TOPICS_EN, TOPICS_ZH

WEATHER, CALCULATOR, CLOCK, SEARCH, MADE_UP = "weather", "calculator", "clock", "search", "made up"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the user declares it; ``kind`` says which questions it fits."""

    kind: str
    name: str
    parameter: str
    others: tuple[str, ...]
    description: str

    def declared(self, rng: Random) -> dict[str, Any]:
        """Return it in the format of OpenAI's chat API."""
        names = [self.parameter, *self.others]
        properties = {each: {"type": "string", "description": f"The {each}"} for each in names}
        parameters = {"type": "object", "properties": properties, "required": [self.parameter]}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        if rng.random() < 0.1:
            del function["description"]
        return {"type": "function", "function": function}


_KINDS: dict[str, tuple[list[str], list[str], list[str], list[str]]] = {
    WEATHER: (
        ["get_weather", "get_weather", "get_current_weather", "weather", "getWeather", "fetch_weather", "current_weather"],
        ["city", "city", "location", "location", "place", "q", "city_name"],
        ["unit", "units", "date", "days"],
        ["Get the weather.", "Get the current weather in a city.", "Get weather of a location, the user should supply a location first.", "Current weather", "查询天气", "获取指定城市的天气", "Returns the weather for a given place.", "Get current temperature for a given location."],
    ),
    CALCULATOR: (
        ["calculator", "calculator", "calculate", "calc", "evaluate", "math", "eval_expression"],
        ["expression", "expression", "expr", "input", "formula", "query"],
        ["precision"],
        ["Evaluate an arithmetic expression.", "Calculate.", "A calculator", "Computes the value of a mathematical expression.", "计算器", "计算数学表达式", "Do math"],
    ),
    CLOCK: (
        ["get_time", "get_current_time", "current_time", "clock", "time_in"],
        ["city", "timezone", "location", "place"],
        ["format"],
        ["Get the current time.", "Current time in a city", "查询时间", "Returns the local time of a place."],
    ),
    SEARCH: (
        ["search", "web_search", "search_web", "google", "lookup"],
        ["query", "q", "text", "keywords"],
        ["limit", "language", "n"],
        ["Search the web.", "Look something up.", "搜索网页", "Web search"],
    ),
}  # fmt: skip
_ASKED = {
    WEATHER: (
        ["What's the weather in {x}?", "What is the weather in {x}?", "What's the weather like in {x}?", "How is the weather in {x}?", "weather in {x}", "Weather {x}", "What is the weather like in {x} today?", "Is it raining in {x}?", "How hot is it in {x}?", "How cold is it in {x}?", "Will it rain in {x}?", "What's the temperature in {x}?", "Tell me the weather in {x}.", "Do I need an umbrella in {x}?", "Get the weather for {x}", "Check the weather in {x}", "Is it sunny in {x}?"],
        ["{x}天气怎么样？", "{x}的天气怎么样？", "{x}今天天气如何？", "{x}现在多少度？", "查一下{x}的天气", "{x}下雨吗？", "{x}天气", "请问{x}天气怎么样", "{x}冷不冷？", "{x}热吗？", "帮我查{x}天气", "{x}的气温是多少？", "今天{x}天气怎么样？"],
    ),
    CLOCK: (
        ["What time is it in {x}?", "What's the time in {x}?", "Current time in {x}?", "time in {x}", "Tell me the time in {x}.", "How late is it in {x}?"],
        ["{x}现在几点？", "{x}几点了？", "{x}现在是什么时间？", "查一下{x}的时间", "{x}的时间"],
    ),
    SEARCH: (
        ["Search for {x}.", "Search {x}", "Look up {x}.", "Find information about {x}.", "Google {x}", "Search the web for {x}", "Can you look up {x}?", "What does the web say about {x}?"],
        ["搜索{x}", "查一下{x}", "搜一下{x}", "帮我搜索{x}", "查找关于{x}的信息", "上网查{x}"],
    ),
    CALCULATOR: (
        ["What is {x}?", "What's {x}?", "Calculate {x}.", "Compute {x}", "{x}", "{x} = ?", "How much is {x}?", "{x}=", "Use the calculator: {x}", "Please calculate {x}", "Work out {x}", "Can you calculate {x}?", "Evaluate {x}"],
        ["{x}等于多少？", "计算{x}", "{x}=", "算一下{x}", "{x}是多少？", "请计算{x}", "帮我算{x}", "用计算器算{x}", "{x}"],
    ),
}  # fmt: skip
_MADE_UP = (["What is the {k} of {x}?", "Get the {k} of {x}.", "Tell me the {k} of {x}", "{k} of {x}?", "I need the {k} of {x}."], ["{x}的{k}是什么？", "查一下{x}的{k}", "{x}的{k}是多少？", "告诉我{x}的{k}"])  # fmt: skip
_CONDITIONS = [
    "sunny",
    "cloudy",
    "rain",
    "light rain",
    "snow",
    "windy",
    "fog",
    "clear",
    "storm",
    "晴",
    "多云",
    "小雨",
    "大雪",
    "阴",
]
_JOINERS_EN = [" and ", ", ", " and in "]


def make(rng: Random, split: str, language: str) -> Example:
    """Call one tool or two, or answer from their results."""
    return _used(rng, split, language, others=[0, 0, 1, 1, 2, 3], answers=0.45, kind=None)


def drill(rng: Random, split: str, language: str) -> Example:
    """Do what is hardest, for training only: copy made-up words into calls and out of results."""
    return _used(rng, split, language, others=[0, 0, 0, 1], answers=0.6, kind=rng.choice([SEARCH, MADE_UP]))


def _used(rng: Random, split: str, language: str, *, others: list[int], answers: float, kind: str | None) -> Example:
    """Use a tool of this kind, or of any, that is declared with so many others; some examples are answers of it."""
    tool, question, values = draw(
        rng, split, lambda rng: _matter(rng, split, language, kind), lambda drawn: ("tool", *drawn[2])
    )
    declared = [tool.declared(rng)]
    rest = [kind for kind in _KINDS if kind != tool.kind]
    for each in rng.sample(rest, rng.choice(others)):
        declared.insert(rng.randint(0, len(declared)), pick(rng, each).declared(rng))
    calls = tuple({"name": tool.name, "arguments": {tool.parameter: value}} for value in values)
    user: Message = {"role": "user", "content": question}
    if rng.random() < 1 - answers:
        thought = f"I call {tool.name}." if language == ENGLISH else f"我调用{tool.name}。"
        return Example("tools", language, (user,), thought, "", Expected("calls", list(calls)), calls, tuple(declared))
    return _answer(rng, language, tool, user, calls, tuple(declared))


def beside(rng: Random, example: Example) -> Example:
    """Give an example tools that do not help with it."""
    kinds = [kind for kind in (WEATHER, CLOCK, SEARCH) if rng.random() < 0.5] or [WEATHER]
    if example.task in ("chat", "recite", "sort", "count", "compare") and rng.random() < 0.5:
        kinds.append(CALCULATOR)
    rng.shuffle(kinds)
    return replace(example, tools=tuple(pick(rng, kind).declared(rng) for kind in kinds))


def pick(rng: Random, kind: str) -> Tool:
    """Declare a tool of this kind, under one of the names that people give it."""
    names, parameters, others, descriptions = _KINDS[kind]
    extra = tuple(other for other in others if rng.random() < 0.25)
    return Tool(kind, rng.choice(names), rng.choice(parameters), extra, rng.choice(descriptions))


def _matter(rng: Random, split: str, language: str, kind: str | None) -> tuple[Tool, str, tuple[str, ...]]:
    """Return a tool, a question that it answers, and the value or values it has to be called with."""
    if kind == MADE_UP or (kind is None and rng.random() < 0.15):
        return _made_up(rng, language)
    if kind is None:
        kind = rng.choice([WEATHER, WEATHER, WEATHER, CALCULATOR, CALCULATOR, CLOCK, SEARCH])
    draws: dict[str, Callable[[Random, str], str]] = {WEATHER: _city, CLOCK: _city, SEARCH: _topic}
    asked = _ASKED[kind][0 if language == ENGLISH else 1]
    if kind == CALCULATOR:
        shown, value = _expression(rng, split, language)
        return pick(rng, kind), vary(rng, rng.choice(asked), language, x=shown), (value,)
    values = [draws[kind](rng, language)]
    if kind in (WEATHER, CLOCK) and rng.random() < 0.25:
        values.append(draws[kind](rng, language))
    joiner = rng.choice(_JOINERS_EN) if language == ENGLISH else rng.choice(["和", "、", "与"])
    question = vary(rng, rng.choice(asked), language, x=joiner.join(values))
    return pick(rng, kind), question, tuple(values)


def _made_up(rng: Random, language: str) -> tuple[Tool, str, tuple[str, ...]]:
    what = rng.choice(
        [
            rng.choice(ITEMS_EN).lower(),
            gibberish(rng),
            "price",
            "status",
            "score",
            "address",
            "owner",
            "height",
            "population",
        ]
    )
    tool_name = rng.choice(["get_{}", "find_{}", "{}", "lookup_{}", "{}_of", "read_{}"]).format(what)
    parameter = rng.choice(["name", "id", "item", "symbol", "key", "of", gibberish(rng)])
    tool = Tool(
        MADE_UP,
        tool_name,
        parameter,
        (),
        rng.choice([f"Get the {what}.", f"Returns the {what} of something", f"查询{what}"]),
    )
    value = rng.choice([made_up_name(rng), rng.choice(ITEMS_EN), f"{gibberish(rng)[:3].upper()}{rng.randint(1, 999)}"])
    asked = rng.choice(_MADE_UP[0 if language == ENGLISH else 1])
    return tool, vary(rng, asked, language, k=what, x=value), (value,)


def _city(rng: Random, language: str) -> str:
    way = rng.random()
    if way < 0.25:
        return made_up_name(rng)
    if language == CHINESE:
        return rng.choice(CITIES_ZH)
    return rng.choice(CITIES_TWO_EN) if way < 0.35 else rng.choice(CITIES_EN)


def _topic(rng: Random, language: str) -> str:
    way = rng.random()
    if way < 0.3:
        return " ".join(gibberish(rng) for _ in range(rng.randint(1, 3)))
    return rng.choice(TOPICS_EN if language == ENGLISH else TOPICS_ZH)


def _expression(rng: Random, split: str, language: str) -> tuple[str, str]:
    """Return an expression as a user writes it and as the tool wants it."""
    most = rng.choice([1, 2, 3, 4, 6])
    (a, b), sign = pair(rng, split, most), rng.choice("+-**//")
    gap = rng.choice(["", " "])
    value = f"{a}{gap}{sign}{gap}{b}"
    if rng.random() < 0.2:
        value = f"{value}{gap}{rng.choice('+-*/')}{gap}{number(rng, most)}"
    way = rng.random()
    if way < 0.15:
        return value.replace("*", "×").replace("/", "÷"), value
    if (
        way < 0.3
        and value.count(sign) == 1
        and len(value.split(sign)) == 2
        and not set("+-*/") & set(value.replace(sign, ""))
    ):
        words = (
            {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
            if language == ENGLISH
            else {"+": "加", "-": "减", "*": "乘以", "/": "除以"}
        )
        between = f" {words[sign]} " if language == ENGLISH else words[sign]
        return f"{a}{between}{b}", f"{a} {sign} {b}"
    return value, value


def _answer(rng: Random, language: str, tool: Tool, user: Message, calls: tuple[dict[str, Any], ...], declared: tuple[dict[str, Any], ...]) -> Example:  # fmt: skip
    called = [{"id": f"call_{index}", "type": "function", "function": call} for index, call in enumerate(calls)]
    assistant: Message = {"role": "assistant", "content": "", "tool_calls": called}
    if rng.random() < 0.35:
        assistant["reasoning_content"] = f"I call {tool.name}." if language == ENGLISH else f"我调用{tool.name}。"
    messages, said = [user, assistant], []
    for index, call in enumerate(calls):
        raw, spoken = _result(rng, tool, str(call["arguments"][tool.parameter]))
        messages.append({"role": "tool", "tool_call_id": f"call_{index}", "content": raw})
        said.append(spoken)
    if tool.kind == CALCULATOR:
        content = f"{calls[0]['arguments'][tool.parameter]} = {said[0]}"
    else:
        content = ("The tool says: " if language == ENGLISH else "工具的结果：") + "; ".join(said)
    thought = "The tool answered." if language == ENGLISH else "工具回答了。"
    return Example("tools", language, tuple(messages), thought, content, Expected("contains", said), (), declared)


def _result(rng: Random, tool: Tool, value: str) -> tuple[str, str]:
    """Make up what a tool returns, and how it is passed on: an object's entries are read out, other text is copied."""
    if tool.kind == CALCULATOR:
        result = str(rng.choice([number(rng, 6), -number(rng, 4), round(rng.random() * 1000, 2)]))
        return (
            (json.dumps({rng.choice(["result", "value", "answer"]): result}), result)
            if rng.random() < 0.3
            else (result, result)
        )
    if rng.random() < 0.15:
        return (
            text := rng.choice([f"Error: {value} not found", f"no data for {value}", "timeout", f"{value}: 404"])
        ), text
    if tool.kind == WEATHER:
        degrees, condition = rng.randint(-20, 42), rng.choice(_CONDITIONS)
        if rng.random() < 0.4:
            return (
                text := rng.choice(
                    [
                        f"{degrees}°C, {condition}",
                        f"{condition}, {degrees} degrees",
                        f"{degrees}℃",
                        f"{value}: {condition}, {degrees}°C",
                        f"{degrees}",
                    ]
                )
            ), text
        entries: dict[str, Any] = {
            rng.choice(["temperature", "temp", "temp_c"]): degrees,
            rng.choice(["condition", "sky", "weather"]): condition,
        }
        if rng.random() < 0.5:
            entries = {tool.parameter: value, **entries}
        if rng.random() < 0.3:
            entries["humidity"] = rng.randint(5, 100)
    elif tool.kind == CLOCK:
        time = f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}"
        if rng.random() < 0.6:
            return time, time
        entries = {rng.choice(["time", "local_time", "now"]): time}
    else:
        if rng.random() < 0.5:
            text = " ".join(gibberish(rng) for _ in range(rng.randint(1, 8)))
            return text, text
        entries = {
            gibberish(rng): rng.choice([rng.randint(0, 9999), gibberish(rng), made_up_name(rng)])
            for _ in range(rng.randint(1, 4))
        }
    raw = json.dumps(entries, ensure_ascii=False, separators=rng.choice([(", ", ": "), (",", ":")]))
    return raw, ", ".join(f"{key} {entry}" for key, entry in entries.items())
