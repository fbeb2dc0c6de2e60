"""A client's tools as a chat has them: functions of one flat list.

A chat knows functions only. So a function of a *namespace* gets a name of both; a *custom* tool, whose input is free
text, becomes a function of one string; and tools that OpenAI runs itself are left out. ``Toolbox`` knows the way back.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from zlib import crc32

from overspill.wire.responses.fields import Fields, bad, unknown_value, unsupported

INPUT = "input"
"""The one argument of the function that a custom tool becomes."""
_HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_preview",
    }
)
_DATED = re.compile(r"_\d{4}_\d{2}_\d{2}$")
_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_-]")
_MAX_NAME = 64
"""OpenAI's bound of a function's name, and the pattern above its letters; many servers keep to both."""


class ToolKind(enum.Enum):
    """What a call of the tool is to its client: the type of the item."""

    FUNCTION = "function_call"
    CUSTOM = "custom_tool_call"


class Tool(NamedTuple):
    """A tool as its client calls it."""

    kind: ToolKind
    name: str
    namespace: str | None = None


class Toolbox:
    """The tools of one request."""

    __slots__ = ("_names", "_tools", "functions", "hosted")

    def __init__(self, tools: list[Fields]) -> None:
        self.functions: list[dict[str, Any]] = []
        """As a chat request has them."""
        self.hosted: list[tuple[str, str]] = []
        """Place and type of the tools that OpenAI runs itself, and that are left out."""
        self._tools: dict[str, Tool] = {}
        self._names: dict[tuple[str | None, str], str] = {}
        for tool in tools:
            self._add(tool)

    def chat_name(self, namespace: str | None, name: str) -> str:
        """Return the name that a tool has in the chat, also of one that the request does not offer any more."""
        return self._names.get((namespace, name)) or flat_name(namespace, name)

    def find(self, chat_name: str) -> Tool:
        """Return the tool that a model means; a name that nobody gave it is taken for a function's."""
        return self._tools.get(chat_name) or Tool(ToolKind.FUNCTION, chat_name)

    def known_name(self, namespace: str | None, name: str) -> str | None:
        """Return the chat's name of a tool that is offered; one that is named without its namespace is found too."""
        known = self._names.get((namespace, name))
        if known is None and namespace is None:
            known = next((chat_name for (_, own), chat_name in self._names.items() if own == name), None)
        return known

    def names_in(self, namespace: str) -> list[str]:
        """Return the chat's names of a namespace's tools."""
        return [chat_name for (group, _), chat_name in self._names.items() if group == namespace]

    def _add(self, tool: Fields) -> None:
        kind = tool.text("type")
        if kind in ("function", "custom"):
            self._add_callable(tool, kind, None, "")
        elif kind == "namespace":
            self._add_namespace(tool)
        elif is_hosted(kind):
            self.hosted.append((tool.at("type").removesuffix(".type"), kind))
        else:
            raise unknown_value(tool.at("type"), kind, ("function", "namespace", "custom", *sorted(_HOSTED)))

    def _add_namespace(self, group: Fields) -> None:
        name = group.name("name")
        about = group.optional_text("description")
        for tool in group.objects("tools"):
            kind = tool.text("type")
            if kind not in ("function", "custom"):
                raise unknown_value(tool.at("type"), kind, ("function", "custom"))
            self._add_callable(tool, kind, name, f"{name}: {about}" if about else "")
            about = None  # once is enough: descriptions are read with every prompt

    def _add_callable(self, tool: Fields, kind: str, namespace: str | None, about: str) -> None:
        name = tool.name("name")
        if (namespace, name) in self._names:
            raise bad(f"'{tool.at('name')}' is the name of two tools: {name!r}.", tool.at("name"), "invalid_value")
        chat_name = flat_name(namespace, name)
        if chat_name in self._tools:  # such as "a__b" beside "b" of the namespace "a"
            chat_name = _shortened(chat_name, f"{namespace}\0{name}")
        is_custom = kind == "custom"
        self._names[namespace, name] = chat_name
        self._tools[chat_name] = Tool(ToolKind.CUSTOM if is_custom else ToolKind.FUNCTION, name, namespace)
        descriptions = [about, tool.optional_text("description") or ""]
        function: dict[str, Any] = {"name": chat_name}
        if is_custom:
            descriptions.append(_told_format(tool))
            function["parameters"] = _ONE_TEXT
        else:
            parameters = tool.object("parameters")
            if parameters is not None:
                function["parameters"] = parameters.values
            strict = tool.flag("strict")
            if strict is not None:
                function["strict"] = strict
        description = "\n\n".join(filter(None, descriptions))
        if description:
            function["description"] = description
        self.functions.append({"type": "function", "function": function})


_ONE_TEXT = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}


def _told_format(tool: Fields) -> str:
    """Put a custom tool's format into words: a chat has no other place for it."""
    told = f"The whole input is one text, given as `{INPUT}`."
    form = tool.object("format")
    if form is None or form.one_of("type", ("text", "grammar")) != "grammar":
        return told
    return f"{told} It must match this grammar ({form.text('syntax')}):\n{form.text('definition')}"


def is_hosted(kind: str) -> bool:
    """Tell whether OpenAI runs a tool of this type itself; some types come with a date."""
    return kind in _HOSTED or _DATED.sub("", kind) in _HOSTED


def flat_name(namespace: str | None, name: str) -> str:
    """Return the name of a function in a flat list: always the same, of letters and a length that servers take."""
    if namespace is None:
        return name
    whole = f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"
    if len(whole) <= _MAX_NAME and _NOT_IN_NAMES.search(whole) is None:
        return whole
    return _shortened(_NOT_IN_NAMES.sub("_", whole), whole)


def _shortened(name: str, whole: str) -> str:
    """Cut a name and mark it with a checksum of what it stands for."""
    return f"{name[: _MAX_NAME - 9]}_{crc32(whole.encode()):08x}"


def read_choice(request: Fields, toolbox: Toolbox) -> tuple[Any, list[dict[str, Any]]]:
    """Read ``tool_choice``: return a chat's form of it, ``None`` for none, and the functions that may be called."""
    choice = request.values.get("tool_choice")
    functions = toolbox.functions
    if choice is None:
        return None, functions
    if isinstance(choice, str):
        word = request.one_of("tool_choice", ("none", "auto", "required"))
        if word == "required" and not functions:
            raise _nothing_to_call(request.at("tool_choice"), toolbox)
        return word, functions
    fields = Fields(choice, request.at("tool_choice"))
    kind = fields.text("type")
    if kind in ("function", "custom"):
        return {"type": "function", "function": {"name": _chosen(fields, toolbox)}}, functions
    if kind == "allowed_tools":
        return _allowed(fields, toolbox)
    if is_hosted(kind):
        raise unsupported(fields.at("type"), f"demands {kind!r}, which only OpenAI's own API runs.")
    raise unknown_value(fields.at("type"), kind, ("function", "custom", "allowed_tools"))


def _allowed(fields: Fields, toolbox: Toolbox) -> tuple[str, list[dict[str, Any]]]:
    """Keep only the functions that are allowed: a choice of several is OpenAI's own, a shorter list is everybody's."""
    mode = fields.one_of("mode", ("auto", "required")) or "auto"
    names = set(_allowed_names(fields, toolbox))
    functions = [function for function in toolbox.functions if function["function"]["name"] in names]
    if mode == "required" and not functions:
        raise _nothing_to_call(fields.at("tools"), toolbox)
    return mode, functions


def _allowed_names(fields: Fields, toolbox: Toolbox) -> Iterator[str]:
    for tool in fields.objects("tools"):
        kind = tool.text("type")
        if kind in ("function", "custom"):
            yield _chosen(tool, toolbox)
        elif kind == "namespace":
            yield from toolbox.names_in(tool.name("name"))
        elif not is_hosted(kind):
            raise unknown_value(tool.at("type"), kind, ("function", "custom", "namespace"))


def _chosen(fields: Fields, toolbox: Toolbox) -> str:
    name = fields.name("name")
    found = toolbox.known_name(fields.optional_text("namespace"), name)
    if found is None:
        raise bad(f"'{fields.at('name')}' names {name!r}, which is not in 'tools'.", fields.at("name"), "invalid_value")
    return found


def _nothing_to_call(place: str, toolbox: Toolbox) -> Exception:
    left_out = ", ".join(kind for _, kind in toolbox.hosted)
    if left_out:
        return unsupported(place, f"demands a call, but only OpenAI's own API runs: {left_out}.")
    return bad(f"'{place}' demands a call, but no tool is offered.", place, "invalid_value")
