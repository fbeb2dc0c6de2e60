"""Tools as functions of a chat, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.responses import PATCH, TEAM, WEATHER, ask, field_of

from overspill.errors import WireError
from overspill.wire.responses.fields import Fields
from overspill.wire.responses.tools import Tool, Toolbox, ToolKind, flat_name

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}


def box(*tools: dict[str, Any]) -> Toolbox:
    return Toolbox(Fields({"tools": list(tools)}).objects("tools"))


def functions(*tools: dict[str, Any]) -> list[dict[str, Any]]:
    return [tool["function"] for tool in box(*tools).functions]


def refused(**fields: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        ask(**fields)
    return caught.value


def test_a_function_keeps_all_that_a_chat_has_a_place_for() -> None:
    tool = {**WEATHER, "description": "Tells it.", "strict": True, "defer_loading": True}
    assert box(tool).functions == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {}},
                "strict": True,
                "description": "Tells it.",
            },
        }
    ]
    assert functions({"type": "function", "name": "f", "strict": None, "parameters": None}) == [{"name": "f"}]


def test_functions_of_a_group_carry_its_name_and_the_first_its_description() -> None:
    group = {**TEAM, "tools": [*TEAM["tools"], {"type": "function", "name": "stop", "description": "Stops one."}]}
    made = functions(group)
    assert [tool["name"] for tool in made] == ["team__spawn", "team__stop"]
    assert [tool["description"] for tool in made] == ["team: Other agents.", "Stops one."]
    tools = box(group)
    assert tools.find("team__stop") == Tool(ToolKind.FUNCTION, "stop", "team")
    assert tools.chat_name("team", "stop") == "team__stop"
    assert "description" not in functions({**TEAM, "description": None})[0]


def test_a_custom_tool_is_a_function_of_one_text_that_is_told_its_grammar() -> None:
    made = functions(
        PATCH, {**PATCH, "name": "sql", "format": GRAMMAR}, {**PATCH, "name": "x", "format": {"type": "text"}}
    )
    assert made[0]["parameters"]["required"] == ["input"]
    assert made[0]["description"].startswith("Change files.\n\nThe whole input is one text")
    assert made[1]["description"].endswith("It must match this grammar (lark):\nstart: /.+/")
    assert "grammar" not in made[2]["description"]
    assert box(PATCH).find("patch") == Tool(ToolKind.CUSTOM, "patch")
    group = {**TEAM, "tools": [{"type": "custom", "name": "note"}]}
    assert box(group).find("team__note") == Tool(ToolKind.CUSTOM, "note", "team")


def test_a_name_that_nobody_offered_is_a_function() -> None:
    assert box().find("f") == Tool(ToolKind.FUNCTION, "f")


def test_flat_names_are_short_and_of_letters_that_servers_take() -> None:
    assert flat_name(None, "any name") == "any name"
    assert flat_name("mcp__calendar__", "list") == "mcp__calendar__list"
    odd, long = flat_name("mein Büro", "list"), flat_name("x" * 60, "list")
    assert odd.startswith("mein_B_ro__list_")
    assert len(long) == 64
    assert long != flat_name("x" * 60, "lisp")


def test_two_tools_never_share_a_flat_name() -> None:
    tools = box({"type": "function", "name": "team__spawn"}, TEAM)
    plain, grouped = (tool["function"]["name"] for tool in tools.functions)
    assert plain == "team__spawn"
    assert grouped.startswith("team__spawn_")
    assert tools.find(grouped) == Tool(ToolKind.FUNCTION, "spawn", "team")
    assert tools.chat_name("team", "spawn") == grouped


def choice(value: Any, *tools: dict[str, Any]) -> tuple[Any, list[str]]:
    request = ask(tools=list(tools or (WEATHER, PATCH, TEAM)), tool_choice=value)
    names = [tool["function"]["name"] for tool in field_of(request, "tools")] if "tools" in request.fields else []
    return field_of(request, "tool_choice") if "tool_choice" in request.fields else None, names


@pytest.mark.parametrize("word", ["none", "auto", "required"])
def test_a_choice_in_one_word_stays(word: str) -> None:
    assert choice(word) == (word, ["weather", "patch", "team__spawn"])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"type": "function", "name": "weather"}, "weather"),
        ({"type": "custom", "name": "patch"}, "patch"),
        ({"type": "function", "name": "spawn", "namespace": "team"}, "team__spawn"),
        ({"type": "function", "name": "spawn"}, "team__spawn"),
    ],
)
def test_the_choice_of_one_tool_names_its_function(given: dict[str, Any], name: str) -> None:
    assert choice(given)[0] == {"type": "function", "function": {"name": name}}


def test_a_choice_of_several_leaves_the_others_out() -> None:
    allowed = [{"type": "function", "name": "weather"}, {"type": "web_search"}, {"type": "namespace", "name": "team"}]
    given = {"type": "allowed_tools", "mode": "required", "tools": allowed}
    assert choice(given) == ("required", ["weather", "team__spawn"])
    assert choice({"type": "allowed_tools", "tools": []}) == (None, [])
    assert choice({"type": "allowed_tools", "mode": "auto", "tools": allowed[:1]}) == ("auto", ["weather"])


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "name": ""}]}, "tools[0].name", "invalid_value"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name", "invalid_value"),
        ({"tools": [{**WEATHER, "parameters": 3}]}, "tools[0].parameters", "invalid_type"),
        ({"tools": [{**WEATHER, "strict": 3}]}, "tools[0].strict", "invalid_type"),
        ({"tools": [{**TEAM, "tools": [{"type": "mcp"}]}]}, "tools[0].tools[0].type", "invalid_value"),
        ({"tools": [{**PATCH, "format": {"type": "grammar"}}]}, "tools[0].format.syntax", "missing_required_parameter"),
        ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
        ({"tool_choice": 3}, "tool_choice", "invalid_type"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"tool_choice": "required", "tools": [{"type": "web_search"}]}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type", "unsupported_parameter"),
        ({"tool_choice": {"type": "magic"}}, "tool_choice.type", "invalid_value"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.name", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}},
            "tool_choice.tools",
            "invalid_value",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "magic"}]}},
            "tool_choice.tools[0].type",
            "invalid_value",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}},
            "tool_choice.tools[0].name",
            "invalid_value",
        ),
    ],
)
def test_what_is_wrong_with_a_tool_is_named_by_its_place(fields: dict[str, Any], param: str, code: str) -> None:
    error = refused(**fields)
    assert (error.param, error.code) == (param, code)
