"""A chat request as a Messages request, for a target that speaks only that."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from overspill.errors import WireError
from overspill.wire.messages.claude import ModelRules, rules_of
from overspill.wire.messages.history import History

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
# For models without `effort`; low to high as Google's OpenAI-compatible endpoint has them (`options._EFFORT_BUDGETS`).
_BUDGETS = {"low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 31_999, "max": 31_999}
_LEAST_BUDGET = 1_024
_NO_THINKING = {"type": "disabled"}
_JSON_ONLY = "Answer with one JSON object and nothing else."
_HANDLED = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "thinking",
        "user",
        "n",
    }
)
_OF_NO_EFFECT = (b"null", b"false", b"0", b"0.0", b"[]", b"{}", b'["text"]', b'"auto"', b'"default"')

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder().decode


class Outgoing(NamedTuple):
    """A Messages request and what of the chat request is not in it."""

    body: bytes
    dropped: tuple[str, ...]


def to_messages(body: bytes) -> Outgoing:
    """Translate a chat body; raise ``WireError`` for what Messages cannot say and the answer would be wrong without."""
    chat = _decode_fields(body)
    writing = _Writing(chat, rules_of(_decode_text(chat["model"])))
    writing.write()
    return Outgoing(msgspec.json.encode(writing.fields), tuple(sorted(writing.dropped)))


class _Writing:
    """The fields of the request so far."""

    def __init__(self, chat: dict[str, msgspec.Raw], rules: ModelRules) -> None:
        self._chat = chat
        self._rules = rules
        self.fields: dict[str, Any] = {}
        self.dropped: dict[str, None] = {}

    def _value(self, name: str) -> Any:
        raw = self._chat.get(name)
        return None if raw is None else _decode(raw)

    def write(self) -> None:
        n = self._value("n")
        if n is not None and n != 1:
            raise WireError("'n': Anthropic's Messages API gives one answer to a request.", param="n")
        history = History()
        history.read(self._chat["messages"])
        if not history.turns:
            raise WireError("'messages': Anthropic's Messages API needs a turn that is not empty.", param="messages")
        limit = self._value("max_completion_tokens") or self._value("max_tokens") or self._rules.max_tokens
        self.fields = {"model": self._chat["model"], "max_tokens": limit, "messages": None}
        self._write_stream()
        self._write_tools()
        self._write_form(history)
        self._write_thinking(limit, history)
        if not (self._thinks or (self._rules.thinks_unasked and "thinking" not in self.fields)):
            history.drop_thoughts()  # "When thinking is disabled, an assistant message cannot contain thinking."
        self._write_sampling()
        self.fields["messages"] = history.written()
        if history.system:
            blocks = [{"type": "text", "text": text} for text in history.system]
            self.fields["system"] = history.system[0] if len(blocks) == 1 else blocks
        self.dropped |= history.dropped
        for name, raw in self._chat.items():
            if name not in _HANDLED and bytes(raw) not in _OF_NO_EFFECT:
                self.dropped[name] = None

    def _write_stream(self) -> None:
        if self._value("stream"):
            self.fields["stream"] = True
        user = self._value("user")
        if isinstance(user, str) and user:
            self.fields["metadata"] = {"user_id": user}
        stop = self._value("stop")
        stops = [stop] if isinstance(stop, str) else stop or []
        good = [sequence for sequence in stops if isinstance(sequence, str) and sequence.strip()]
        if good:
            self.fields["stop_sequences"] = good
        if len(good) < len(stops):  # Anthropic takes none that is only white space
            self.dropped["stop"] = None

    def _write_tools(self) -> None:
        tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(self._list("tools"))]
        tools += [
            _tool({"type": msgspec.Raw(b'"function"'), "function": function}, f"functions[{index}]")
            for index, function in enumerate(self._list("functions", raw=True))
        ]
        if not tools:
            return
        self.fields["tools"] = tools
        choice = _choice(self._value("tool_choice") or self._value("function_call"))
        if self._value("parallel_tool_calls") is False:
            choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
            if choice["type"] == "none":
                del choice["disable_parallel_tool_use"]
        if choice is not None:
            self.fields["tool_choice"] = choice

    def _list(self, name: str, *, raw: bool = False) -> list[Any]:
        found = self._chat.get(name)
        if found is None or bytes(found) == b"null":
            return []
        kind: Any = list[msgspec.Raw] if raw else list[dict[str, msgspec.Raw]]
        try:
            items: list[Any] = msgspec.json.decode(found, type=kind)
        except msgspec.DecodeError as error:
            raise WireError(f"'{name}' cannot be read: {error}", param=name) from None
        return items

    def _write_form(self, history: History) -> None:
        form = self._value("response_format")
        kind = form.get("type") if isinstance(form, dict) else None
        if kind == "json_schema":
            schema = form.get("json_schema")
            wanted = schema.get("schema") if isinstance(schema, dict) else None
            if not isinstance(wanted, dict):
                path = "response_format.json_schema.schema"
                raise WireError(f"'{path}' must be a JSON schema.", param=path)
            self._output_config()["format"] = {"type": "json_schema", "schema": wanted}
        elif kind == "json_object":
            history.system.append(_JSON_ONLY)  # Anthropic has no such mode; its structured output wants a schema
            self.dropped["response_format"] = None
        elif kind not in (None, "text"):
            path = "response_format.type"
            raise WireError(f"'{path}': Anthropic's Messages API has no output of type {kind!r}.", param=path)

    def _output_config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.fields.setdefault("output_config", {})
        return config

    def _write_thinking(self, limit: int, history: History) -> None:
        """Ask for thinking as the model takes it, where Anthropic's rules for it allow that."""
        wish = self._value("thinking")
        kind = wish.get("type") if isinstance(wish, dict) else None
        effort = self._value("reasoning_effort")
        if kind == "disabled" or effort == "none":
            if self._rules.thinks_always:
                self.dropped["thinking"] = None
            else:
                self.fields["thinking"] = _NO_THINKING
            return
        level = "low" if effort == "minimal" else effort if effort in _EFFORTS else None
        if effort is not None and level is None:
            self.dropped["reasoning_effort"] = None
        if kind is None and level is None:
            return
        if self.fields.get("tool_choice", {}).get("type") in ("any", "tool"):
            self.dropped["thinking"] = None  # "Thinking may not be enabled when tool_choice forces tool use."
        elif self._rules.has_effort:
            # Without `display` the newer models think in blocks without text.
            self.fields["thinking"] = {"type": "adaptive", "display": "summarized"}
            if level is not None:
                self._output_config()["effort"] = level if level in self._rules.efforts else "high"
        else:
            self._write_budget(min(_BUDGETS[level or "medium"], limit - 1), history)

    def _write_budget(self, budget: int, history: History) -> None:
        if budget < _LEAST_BUDGET or history.is_unsigned:
            self.dropped["thinking"] = None
        else:
            self.fields["thinking"] = {"type": "enabled", "budget_tokens": budget}

    @property
    def _thinks(self) -> bool:
        return bool(self.fields.get("thinking", _NO_THINKING) != _NO_THINKING)

    def _write_sampling(self) -> None:
        """Anthropic's temperature ends at 1 and goes with no ``top_p``; thinking goes with neither."""
        found = [name for name in ("temperature", "top_p", "top_k") if self._value(name) is not None]
        if self._thinks or not self._rules.has_sampling:
            self.dropped |= dict.fromkeys(found)
            return
        for name in found:
            self.fields[name] = self._chat[name]
        temperature = self._value("temperature")
        if isinstance(temperature, int | float) and temperature > 1:
            self.fields["temperature"] = 1
            self.dropped["temperature"] = None
        if "temperature" in found and "top_p" in found:
            del self.fields["top_p"]
            self.dropped["top_p"] = None


def _tool(tool: dict[str, msgspec.Raw], path: str) -> dict[str, Any]:
    kind = _decode(tool.get("type", b"null"))
    raw = tool.get("function")
    if kind != "function" or raw is None or not bytes(raw).startswith(b"{"):
        raise WireError(f"'{path}': Anthropic's Messages API has no tool of type {kind!r}.", param=f"{path}.type")
    function = _decode_fields(raw)
    if "name" not in function:
        raise WireError(f"'{path}.function.name' is missing.", param=f"{path}.function.name")
    made: dict[str, Any] = {"name": function["name"]}
    for name in ("description", "strict"):
        if name in function and bytes(function[name]) != b"null":
            made[name] = function[name]
    parameters = function.get("parameters")
    is_absent = parameters is None or bytes(parameters) in (b"null", b"{}")
    made["input_schema"] = {"type": "object", "properties": {}} if is_absent else parameters
    return made


def _choice(choice: Any) -> dict[str, Any] | None:
    match choice:
        case None:
            return None
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return {"type": "tool", "name": name}
        case _:
            raise WireError("'tool_choice': Anthropic's Messages API has no such choice.", param="tool_choice")
