"""A ``/v1/responses`` body, read into a chat request.

First step of such a request's path after HTTP. Nothing is kept from one request to the next, so what would need that is
refused. The client's own fields stay beside the chat's, for targets that speak Responses themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from overspill.wire.chat import MAX_TOKENS_LIMIT, read_object
from overspill.wire.needs import needs_of_translated
from overspill.wire.request import Request, SurfaceName
from overspill.wire.responses.fields import Fields, bad, missing, unsupported, wrong_type
from overspill.wire.responses.history import History, summary_message
from overspill.wire.responses.ids import OUR_THOUGHT
from overspill.wire.responses.packed import Packed, unpack
from overspill.wire.responses.tools import Toolbox, read_choice
from overspill.wire.tokens import estimate_tokens

_PREFIX_BYTES = 1024
_TEMPERATURES = (0, 2)
_MAX_TOP_LOGPROBS = 20
_EFFORT_CHARACTERS = 32
_OPTIONAL_TOOLS = ("web_search", "image_generation", "tool_search")
"""Hosted tools that agents offer with every request, whoever answers it; without them the answer is still one."""

_SAME = ("parallel_tool_calls", "user", "safety_identifier", "prompt_cache_key", "service_tier")
"""Fields that a chat request has too, by the same name."""
_ANSWERED = frozenset({"include", "metadata", "store", "stream", "stream_options", "background", "truncation"})
"""Fields that say how to answer, or are only repeated in the answer."""
_READ = frozenset(
    {
        "conversation",
        "frequency_penalty",
        "input",
        "instructions",
        "max_output_tokens",
        "model",
        "presence_penalty",
        "previous_response_id",
        "prompt",
        "reasoning",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        *_SAME,
        *_ANSWERED,
    }
)
_STATELESS = "is kept by the server that made it, and this gateway keeps none; send the whole conversation in 'input'."


def read_responses(body: bytes) -> Request:
    """Check a request and read it into a chat request; raise ``WireError`` (400) for what cannot be served."""
    native = read_object(body)
    top = _top(native)
    toolbox = Toolbox(top.objects("tools"))
    choice, functions = read_choice(top, toolbox)
    history = _history(top, toolbox)
    fields: dict[str, Any] = {"model": top.name("model"), "messages": history.finish()}
    if functions:
        fields["tools"] = functions
        if choice is not None:
            fields["tool_choice"] = choice
    fields.update(_settings(top))
    is_stream = top.flag("stream") or False
    if is_stream:
        fields["stream"] = True
        fields["stream_options"] = {"include_usage": True}
    hosted = [kind for _, kind in toolbox.hosted if kind.startswith(_OPTIONAL_TOOLS)]
    needed = [f"{place}, a tool of type {kind!r}" for place, kind in toolbox.hosted if kind not in hosted]
    return _request(
        fields,
        surface="responses",
        native=_native(native, top),
        dropped=(*_dropped(top, native), *sorted(history.dropped), *(f"tools.{kind}" for kind in hosted)),
        native_only=(*needed, *history.native_only),
    )


def read_conversation(body: bytes, last: dict[str, Any]) -> Request:
    """Check a request to compact a conversation and read it into a chat that ends with the message ``last``."""
    native = read_object(body)
    top = _top(native)
    history = _history(top, Toolbox([]))
    if history.native_only:
        raise unsupported("input", f"cannot be summarised: only OpenAI's own API can read {history.native_only[0]}.")
    fields = {"model": top.name("model"), "messages": [*history.finish(), last], **_settings(top)}
    dropped = (*(name for name in native if name not in _READ), *sorted(history.dropped))
    return _request(fields, surface="compaction", native=native, dropped=dropped)


def read_count(body: bytes) -> tuple[str | None, int]:
    """Check a request to count its input; return the model, if it names one, and the estimated tokens of its prompt."""
    top = _top(read_object(body))
    toolbox = Toolbox(top.objects("tools"))
    history = History(toolbox) if top.values.get("input") is None else _history(top, toolbox)
    messages = msgspec.json.encode(history.finish())
    tools = msgspec.json.encode(toolbox.functions) if toolbox.functions else None
    return top.optional_text("model"), _prompt_tokens(messages, tools)


def _top(native: dict[str, msgspec.Raw]) -> Fields:
    """Decode the fields that are read, and refuse what needs a conversation that somebody keeps."""
    top = Fields({name: _decoded(name, raw) for name, raw in native.items() if name in _READ})
    for name in ("previous_response_id", "conversation", "prompt"):
        if top.values.get(name) is not None:
            raise unsupported(name, _STATELESS)
    if top.flag("background"):
        raise unsupported("background", "needs a server that keeps the answer; ask with 'stream' instead.")
    top.flag("store")  # without a place to store anything, what it says makes no difference
    return top


def _request(
    fields: dict[str, Any],
    *,
    surface: SurfaceName,
    native: dict[str, msgspec.Raw],
    dropped: tuple[str, ...],
    native_only: tuple[str, ...] = (),
) -> Request:
    encoded = {name: msgspec.json.encode(value) for name, value in fields.items()}
    raw = {name: msgspec.Raw(value) for name, value in encoded.items()}
    messages, tools = encoded["messages"], encoded.get("tools")
    return Request(
        fields=raw,
        model=fields["model"],
        prompt_tokens=_prompt_tokens(messages, tools),
        text_prefix_crc=crc32(messages[:_PREFIX_BYTES]),
        stream="stream" in fields,
        max_tokens=fields.get("max_tokens"),
        include_usage="stream" in fields,
        has_tools=tools is not None,
        surface=surface,
        native=native,
        dropped=dropped,
        native_only=native_only,
        needs=needs_of_translated(raw, messages, "responses", native_only),
    )


def _prompt_tokens(messages: bytes, tools: bytes | None) -> int:
    return estimate_tokens(messages) + (0 if tools is None else estimate_tokens(tools))


def _decoded(name: str, raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:  # such as a number that is too large
        raise bad(f"'{name}' cannot be read: {error}.", name, "invalid_value") from None


def _history(top: Fields, toolbox: Toolbox) -> History:
    history = History(toolbox)
    instructions = top.optional_text("instructions")
    if instructions:
        history.say(instructions)
    said = top.values.get("input")
    if said is None:
        raise missing("input")
    if isinstance(said, str):
        history.add(Fields({"role": "user", "content": said}))
        return history
    if not isinstance(said, list):
        raise wrong_type("input", said, "a string or an array of items")
    if not said:
        raise bad("'input' is empty; send at least one item.", "input", "empty_array")
    for item in top.objects("input"):
        history.add(item)
    return history


def _settings(top: Fields) -> dict[str, Any]:
    """Read the fields that have a place in a chat request under this or another name."""
    found: dict[str, Any] = {
        "max_tokens": top.integer("max_output_tokens", 1, MAX_TOKENS_LIMIT),
        "temperature": top.number("temperature", *_TEMPERATURES),
        "top_p": top.number("top_p", 0, 1),
        "presence_penalty": top.number("presence_penalty", -2, 2),
        "frequency_penalty": top.number("frequency_penalty", -2, 2),
        "parallel_tool_calls": top.flag("parallel_tool_calls") if top.values.get("tools") else None,
        **{name: top.optional_text(name) for name in _SAME if name != "parallel_tool_calls"},
    }
    reasoning = top.object("reasoning")
    if reasoning is not None:
        found["reasoning_effort"] = _effort(reasoning)
    text = top.object("text")
    if text is not None:
        found["verbosity"] = text.optional_text("verbosity")
        found["response_format"] = _response_format(text.object("format"))
    top_logprobs = top.integer("top_logprobs", 0, _MAX_TOP_LOGPROBS)
    if top_logprobs or "message.output_text.logprobs" in (top.array("include") or ()):
        found["logprobs"] = True
        found["top_logprobs"] = top_logprobs
    return {name: value for name, value in found.items() if value is not None}


def _effort(reasoning: Fields) -> str | None:
    """Read how much to think. The words differ between models, so any short one goes on."""
    effort = reasoning.optional_text("effort")
    if effort is not None and len(effort) > _EFFORT_CHARACTERS:
        raise bad(f"'{reasoning.at('effort')}' is too long.", reasoning.at("effort"), "invalid_value")
    reasoning.optional_text("summary")
    return effort


def _response_format(form: Fields | None) -> dict[str, Any] | None:
    if form is None:
        return None
    kind = form.one_of("type", ("text", "json_object", "json_schema"))
    if kind is None:
        raise missing(form.at("type"))
    if kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    schema = form.object("schema")
    if schema is None:
        raise missing(form.at("schema"))
    described: dict[str, Any] = {"name": form.name("name"), "schema": schema.values}
    readers: dict[str, Callable[[str], Any]] = {"description": form.optional_text, "strict": form.flag}
    described.update({name: value for name, read in readers.items() if (value := read(name)) is not None})
    return {"type": kind, "json_schema": described}


def _dropped(top: Fields, native: dict[str, msgspec.Raw]) -> list[str]:
    """Name the fields that are not known, or that say something for which there is no place."""
    dropped = [name for name in native if name not in _READ]
    if top.one_of("truncation", ("auto", "disabled")) == "auto":
        dropped.append("truncation")
    return dropped


def _native(native: dict[str, msgspec.Raw], top: Fields) -> dict[str, msgspec.Raw]:
    """Return the client's own fields without what was packed here: a target that packs its own would refuse it."""
    said = top.values["input"]
    if isinstance(said, str) or not any(_is_ours(item) for item in said):
        return native
    kept = [_unpacked(item) if _is_ours(item) else item for item in said]
    return {**native, "input": msgspec.Raw(msgspec.json.encode([item for item in kept if item is not None]))}


def _is_ours(item: dict[str, Any]) -> bool:
    packed, item_id = item.get("encrypted_content"), item.get("id")
    if isinstance(packed, str):
        return any(unpack(kind, packed) is not None for kind in Packed)
    return item.get("type") == "reasoning" and isinstance(item_id, str) and item_id.startswith(OUR_THOUGHT)


def _unpacked(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return what stands for an item of ours: a summary in words, and nothing for a thought of another model."""
    packed = item.get("encrypted_content")
    summary = unpack(Packed.SUMMARY, packed) if isinstance(packed, str) else None
    return None if summary is None else summary_message(summary)
