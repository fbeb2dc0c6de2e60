"""The fields of a Messages request beside its conversation, as a chat request has them.

Thinking goes by DeepSeek's chat form: ``thinking: {"type": …}`` and ``reasoning_effort``; adapters make of that what
their targets know.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from overspill.wire.messages.blocks import NOTHING, bad, decoded, is_absent

_TOOL_KINDS = (None, "custom")
# Google's table for its OpenAI-compatible endpoint gives low 1,024, medium 8,192 and high 24,576 tokens of thinking
# (ai.google.dev/gemini-api/docs/openai, 2026-11); a budget takes the nearest on a logarithmic scale.
_EFFORT_BUDGETS = ((2_896, "low"), (14_189, "medium"))
_ENABLED = msgspec.Raw(b'{"type":"enabled"}')
_DISABLED = msgspec.Raw(b'{"type":"disabled"}')

_HINTS = frozenset({"cache_control", "defer_loading", "eager_input_streaming", "input_examples", "allowed_callers"})
"""Of a tool: what changes how Anthropic runs it, not what it is."""


class Tool(msgspec.Struct, gc=False):
    """A tool's definition, as far as it is read."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = NOTHING
    strict: bool | None = None


class InputSchema(msgspec.Struct, gc=False):
    """What a tool takes, as far as it is read."""

    type: Any = None


class ToolChoice(msgspec.Struct, gc=False):
    """How tools are to be used."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct, gc=False):
    """How much the model may think, and what is shown of it."""

    type: str
    budget_tokens: float | None = None
    display: str | None = None


class Format(msgspec.Struct, gc=False):
    """What the output must look like."""

    type: str
    schema: msgspec.Raw = NOTHING


class OutputConfig(msgspec.Struct, gc=False):
    """How the output is to be made."""

    effort: str | None = None
    format: Format | None = None


class Metadata(msgspec.Struct, gc=False):
    """Who asks."""

    user_id: str | None = None


_decode_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_tool = msgspec.json.Decoder(Tool).decode
_decode_schema = msgspec.json.Decoder(InputSchema).decode
_decode_choice = msgspec.json.Decoder(ToolChoice).decode
_decode_thinking = msgspec.json.Decoder(Thinking).decode
_decode_config = msgspec.json.Decoder(OutputConfig).decode
_decode_format = msgspec.json.Decoder(Format).decode
_decode_metadata = msgspec.json.Decoder(Metadata).decode
_decode_stops = msgspec.json.Decoder(list[str]).decode
_decode_number = msgspec.json.Decoder(float).decode

Fields = dict[str, msgspec.Raw]


def raw_of(value: Any) -> msgspec.Raw:
    """Write a value as a field."""
    return msgspec.Raw(msgspec.json.encode(value))


def asked_thinking(native: Fields) -> Thinking | None:
    """Return the client's wish about thinking; ``None`` if it has none."""
    raw = native.get("thinking")
    if raw is None or is_absent(raw):
        return None
    wish: Thinking = decoded(_decode_thinking, raw, "thinking")
    if wish.type not in ("enabled", "adaptive", "between_tools", "disabled"):
        expected = "'enabled', 'adaptive', 'between_tools' or 'disabled'"
        raise bad("thinking.type", f"Input should be {expected}, not {wish.type[:40]!r}")
    if wish.budget_tokens is not None:
        whole_number(wish.budget_tokens, "thinking.budget_tokens")
    return wish


def whole_number(value: float, path: str) -> int:
    """Return a number as an integer, which ``1.0`` is to JSON."""
    if not value.is_integer():
        raise bad(path, "Input should be a valid integer", code="invalid_type")
    return int(value)


def stop_sequences(native: Fields) -> list[str]:
    """Return the client's own stop sequences."""
    raw = native.get("stop_sequences")
    if raw is None or is_absent(raw):
        return []
    stops: list[str] = decoded(_decode_stops, raw, "stop_sequences")
    return stops


class ThinkingDisplay(enum.Enum):
    """What a client is shown of a model's thinking."""

    SHOWN = "shown"
    OMITTED = "omitted"
    """Blocks without text, but with their signatures."""
    HIDDEN = "hidden"


def display_of(native: Fields) -> ThinkingDisplay:
    """Say what this client asked to see."""
    wish = asked_thinking(native)
    if wish is None or wish.type == "disabled":
        return ThinkingDisplay.HIDDEN
    return ThinkingDisplay.OMITTED if wish.display == "omitted" else ThinkingDisplay.SHOWN


class Options:
    """Builds the other fields of a chat request. What is read is taken note of; the rest is ``dropped``."""

    def __init__(self, native: Fields) -> None:
        self._native = native
        self.fields: Fields = {}
        self.dropped: dict[str, None] = {}
        self.native_only: dict[str, None] = {}

    def read(self) -> None:
        """Read all of them; raise ``WireError`` for what is malformed."""
        stops = stop_sequences(self._native)
        if stops:
            self.fields["stop"] = raw_of(stops)
        for name in ("temperature", "top_p"):
            self._copy(name, _decode_number)
        self._read_top_k()
        self._read_user()
        self._read_tools()
        self._read_tool_choice()
        self._read_output()

    def _raw(self, name: str) -> msgspec.Raw | None:
        raw = self._native.get(name)
        return None if is_absent(raw) else raw

    def _copy(self, name: str, decode: Any) -> None:
        raw = self._raw(name)
        if raw is not None:
            decoded(decode, raw, name)
            self.fields[name] = raw

    def _read_top_k(self) -> None:
        raw = self._raw("top_k")
        if raw is not None:
            value = whole_number(decoded(_decode_number, raw, "top_k"), "top_k")
            self.fields["top_k"] = raw_of(value)

    def _read_user(self) -> None:
        raw = self._raw("metadata")
        if raw is None:
            return
        metadata: Metadata = decoded(_decode_metadata, raw, "metadata")
        if metadata.user_id is not None:
            self.fields["user"] = raw_of(metadata.user_id)

    def _read_tools(self) -> None:
        raw = self._raw("tools")
        if raw is None:
            return
        tools = []
        for index, fields in enumerate(decoded(_decode_tools, raw, "tools")):
            path = f"tools.{index}"
            tool: Tool = decoded(_decode_tool, msgspec.Raw(msgspec.json.encode(fields)), path)
            if tool.type not in _TOOL_KINDS:
                # Anthropic runs it, or only Claude knows its schema.
                self.native_only[f"a tool of type {str(tool.type)[:40]!r}"] = None
                continue
            for name in _HINTS.intersection(fields):
                if not is_absent(fields[name]):
                    self.dropped[name if name == "cache_control" else f"tools.{name}"] = None
            tools.append(_function(tool, path))
        if tools:
            self.fields["tools"] = raw_of(tools)

    def _read_tool_choice(self) -> None:
        raw = self._raw("tool_choice")
        if raw is None:
            return
        choice: ToolChoice = decoded(_decode_choice, raw, "tool_choice")
        match choice.type:
            case "auto" | "none":
                chosen: Any = choice.type
            case "any":
                chosen = "required"
            case "tool":
                if not choice.name:
                    raise bad("tool_choice.name", "Field required")
                chosen = {"type": "function", "function": {"name": choice.name}}
            case _:
                raise bad("tool_choice.type", f"Input should be 'auto', 'any', 'tool' or 'none', not {choice.type!r}")
        if "tools" in self.fields:  # servers refuse a choice of nothing
            self.fields["tool_choice"] = raw_of(chosen)
            if choice.disable_parallel_tool_use:
                self.fields["parallel_tool_calls"] = raw_of(False)

    def _read_output(self) -> None:
        """Who does not ask Anthropic for thinking gets none, so a target must be told not to think.

        Else the answer to a request for 100 tokens would end within a thought that its client does not see.
        """
        raw = self._raw("output_config")
        config: OutputConfig = OutputConfig() if raw is None else decoded(_decode_config, raw, "output_config")
        wish = asked_thinking(self._native)
        if wish is None or wish.type == "disabled":
            self.fields["thinking"] = _DISABLED
            if config.effort is not None:
                self.dropped["output_config.effort"] = None
        else:
            self.fields["thinking"] = _ENABLED
            effort = config.effort or _effort_of(wish.budget_tokens)
            if effort is not None:
                self.fields["reasoning_effort"] = raw_of(effort)
        form, path = config.format, "output_config.format"
        older = self._raw("output_format")  # its name in the beta
        if form is None and older is not None:
            form, path = decoded(_decode_format, older, "output_format"), "output_format"
        if form is not None:
            self.fields["response_format"] = raw_of(_response_format(form, path))


def _function(tool: Tool, path: str) -> dict[str, Any]:
    if not tool.name:
        raise bad(f"{path}.name", "Field required")
    if is_absent(tool.input_schema):
        raise bad(f"{path}.input_schema", "Field required")
    if not bytes(tool.input_schema).startswith(b"{"):
        raise bad(f"{path}.input_schema", "Input should be a valid dictionary")
    if decoded(_decode_schema, tool.input_schema, f"{path}.input_schema").type not in (None, "object"):
        raise bad(f"{path}.input_schema.type", "Input should be 'object'")
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.input_schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _effort_of(budget_tokens: float | None) -> str | None:
    if budget_tokens is None:
        return None
    return next((effort for most, effort in _EFFORT_BUDGETS if budget_tokens <= most), "high")


def _response_format(form: Format, path: str) -> dict[str, Any]:
    if form.type != "json_schema":
        raise bad(f"{path}.type", f"Input should be 'json_schema', not {form.type[:40]!r}")
    if not bytes(form.schema).startswith(b"{"):
        raise bad(
            f"{path}.schema", "Field required" if is_absent(form.schema) else "Input should be a valid dictionary"
        )
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": form.schema, "strict": True}}
