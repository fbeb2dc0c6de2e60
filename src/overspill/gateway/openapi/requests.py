"""Schemas of what clients send."""

from __future__ import annotations

from typing import Any

from overspill.gateway.openapi.parts import Json, ref
from overspill.wire.chat import MAX_N, MAX_TOKENS_LIMIT

_BUILT_IN = "overspill-tiny"
_MODEL: Json = {
    "type": "string",
    "minLength": 1,
    "description": "A name that a route takes; GET /v1/models lists them.",
}
_ANSWERS = f"Answers to give. Some targets take more, up to {MAX_N}."
_STREAM: Json = {"type": ["boolean", "null"], "description": "Answer as events."}


def _tokens(description: str, *, minimum: int = 1) -> Json:
    return {"type": ["integer", "null"], "minimum": minimum, "maximum": MAX_TOKENS_LIMIT, "description": description}


def _open(description: str, required: list[str], properties: Json, **more: Any) -> Json:
    found: Json = {"description": description} if description else {}
    found |= {"type": "object", "required": required, "properties": properties, "additionalProperties": True}
    return {**found, **more}


_IDS: Json = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": 2047}}
"""Ids that are in every vocabulary."""
_SOME_TEXT: Json = {"type": "string", "minLength": 1}


def _prompt(description: str, **bounds: int) -> Json:
    several: Json = {"type": "array", "minItems": 1, **bounds}
    return {
        "description": f"{description} How high ids go is the model's to say.",
        "anyOf": [_SOME_TEXT, {**several, "items": _SOME_TEXT}, _IDS, {**several, "items": _IDS}],
    }


_STREAM_OPTIONS: Json = {
    "type": ["object", "null"],
    "properties": {"include_usage": {"type": ["boolean", "null"], "description": "Count tokens in a last event."}},
    "additionalProperties": True,
}
_TEXT_FIELDS: Json = {
    "stream": _STREAM,
    "stream_options": _STREAM_OPTIONS,
    "max_tokens": _tokens("Most tokens of the answer.", minimum=0),
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 32, "description": _ANSWERS},
}
_EXAMPLE_CHAT: Json = {"model": _BUILT_IN, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}

_PASSED_ON = "OpenAI's form. Every other field ({}, …) goes to the target as it is, which says what it may be."
_CONTENT: Json = {
    "description": "A text, or parts of it. Targets that can take parts of other types: `image_url`, `input_audio`, …",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"$ref": "#/components/schemas/TextBlock"}}],
}

_BLOCK_TYPES = (
    "text", "image", "document", "audio", "search_result", "tool_reference", "thinking", "redacted_thinking",
    "tool_use", "tool_result",
)  # fmt: skip
_BLOCK_TEXTS = ("text", "thinking", "signature", "data", "id", "name", "tool_use_id", "title", "context", "tool_name")

_INPUT: Json = {
    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": ref("ResponsesMessage")}],
}
REQUESTS: Json = {
    "ChatMessage": _open(
        "A message. That of an assistant may have `tool_calls`, that of a tool has `tool_call_id`.",
        ["role", "content"],
        {"role": {"type": "string"}, "content": {"anyOf": [_CONTENT, {"type": "null"}]}, "name": {"type": "string"}},
    ),
    "ChatRequest": _open(
        _PASSED_ON.format("`temperature`, `top_p`, `stop`, `seed`, `tools`, `response_format`, `reasoning_effort`"),
        ["model", "messages"],
        {
            "model": _MODEL,
            "messages": {"type": "array", "minItems": 1, "items": ref("ChatMessage")},
            "max_completion_tokens": _tokens("The same as `max_tokens`, and before it.", minimum=0),
            **_TEXT_FIELDS,
        },
        examples=[_EXAMPLE_CHAT],
    ),
    "CompletionRequest": _open(
        _PASSED_ON.format("`temperature`, `top_p`, `stop`, `seed`, `logprobs`, `echo`, `suffix`"),
        ["model", "prompt"],
        {
            "model": _MODEL,
            "prompt": _prompt("A text or the ids of its tokens; a list of them where a target takes one.", maxItems=1),
            "max_completion_tokens": _tokens("The same as `max_tokens`, and before it.", minimum=0),
            **_TEXT_FIELDS,
        },
        examples=[{"model": _BUILT_IN, "prompt": "Once", "max_tokens": 16}],
    ),
    "EmbeddingsRequest": _open(
        _PASSED_ON.format("`encoding_format`, `dimensions`, `user`"),
        ["model", "input"],
        {"model": _MODEL, "input": _prompt("Texts, or the ids of their tokens.")},
        examples=[{"model": _BUILT_IN, "input": "Hello"}],
    ),
    "TextBlock": _open("A block of text.", ["type", "text"], {"type": {"const": "text"}, "text": {"type": "string"}}),
    "AnthropicMessage": _open(
        "A turn. Its blocks may be of any type that Anthropic has; text is on every target.",
        ["role", "content"],
        {
            "role": {"type": "string", "enum": ["user", "assistant", "system"]},
            "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": ref("TextBlock")}]},
        },
    ),
    "CountedMessage": {
        "description": "A turn. Blocks of an unknown type count nothing.",
        "anyOf": [
            ref("AnthropicMessage"),
            _open(
                "",
                ["role", "content"],
                {
                    "role": {"enum": ["user", "assistant"]},
                    "content": {"type": "array", "items": {"anyOf": [ref("TextBlock"), ref("OtherBlock")]}},
                },
            ),
        ],
    },
    "OtherBlock": _open(
        "A block of a type that is of no target's chat.",
        ["type"],
        {
            "type": {"type": "string", "not": {"enum": [*_BLOCK_TYPES]}},
            **{name: {"type": ["string", "null"]} for name in _BLOCK_TEXTS},
        },
    ),
    "CountRequest": _open(
        "Anthropic's form.",
        ["model", "messages"],
        {
            "model": _MODEL,
            "messages": {"type": "array", "minItems": 1, "items": ref("CountedMessage")},
            "system": {"anyOf": [{"type": "string"}, {"type": "array", "items": ref("TextBlock")}, {"type": "null"}]},
            "tools": {"anyOf": [{"type": "array", "items": ref("AnthropicTool")}, {"type": "null"}]},
        },
        examples=[{"model": _BUILT_IN, "messages": [{"role": "user", "content": "Hello"}]}],
    ),
    "AnthropicTool": _open(
        "A tool that the client runs.",
        ["name", "input_schema"],
        {
            "name": {"type": "string", "minLength": 1},
            "description": {"type": ["string", "null"]},
            "input_schema": _open("A JSON schema.", [], {"type": {"enum": ["object", None]}}),
            "strict": {"type": ["boolean", "null"]},
        },
    ),
    "MessagesRequest": _open(
        "Anthropic's form. What has no place in a chat is named in the answer's `x-overspill-dropped`.",
        ["model", "messages", "max_tokens"],
        {
            "model": _MODEL,
            "messages": {"type": "array", "minItems": 1, "items": ref("AnthropicMessage")},
            "max_tokens": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_TOKENS_LIMIT,
                "description": "0, which fills Anthropic's cache, is for its own targets.",
            },
            "system": {"anyOf": [{"type": "string"}, {"type": "array", "items": ref("TextBlock")}, {"type": "null"}]},
            "stream": _STREAM,
            "stop_sequences": {"type": ["array", "null"], "items": {"type": "string"}},
            "temperature": {"type": ["number", "null"]},
            "top_p": {"type": ["number", "null"]},
            "top_k": {"type": ["integer", "null"]},
            "tools": {"anyOf": [{"type": "array", "items": ref("AnthropicTool")}, {"type": "null"}]},
            "tool_choice": {
                "anyOf": [
                    _open("`any` and `tool` where a target can.", ["type"], {"type": {"enum": ["auto", "none"]}}),
                    {"type": "null"},
                ]
            },
            "thinking": {
                "anyOf": [
                    _open(
                        "",
                        ["type"],
                        {
                            "type": {"enum": ["enabled", "adaptive", "between_tools", "disabled"]},
                            "budget_tokens": {"type": ["integer", "null"]},
                            "display": {"type": ["string", "null"]},
                        },
                    ),
                    {"type": "null"},
                ]
            },
            "metadata": {"type": ["object", "null"], "properties": {"user_id": {"type": ["string", "null"]}}},
        },
        examples=[{**_EXAMPLE_CHAT}],
    ),
    "ResponsesMessage": _open(
        "A message. Items of other types (calls, their outputs, thoughts) are taken as OpenAI has them.",
        ["role", "content"],
        {
            "type": {"enum": ["message", None]},
            "role": {"enum": ["user", "assistant", "system", "developer"]},
            "content": {"type": "string"},
        },
    ),
    "ResponsesRequest": _open(
        "OpenAI's form, without a memory: `input` is the whole conversation. Nothing is stored.",
        ["model", "input"],
        {
            "model": _MODEL,
            "input": _INPUT,
            "instructions": {"type": ["string", "null"]},
            "max_output_tokens": _tokens("Most tokens of the answer."),
            "stream": _STREAM,
            "store": {"type": ["boolean", "null"], "description": "Without effect."},
            "background": {"type": ["boolean", "null"], "enum": [False, None], "description": "Needs a memory."},
            "previous_response_id": {"type": "null", "description": "Needs a memory."},
            "conversation": {"type": "null", "description": "Needs a memory."},
            "prompt": {"type": "null", "description": "Needs a memory."},
            "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
            "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "truncation": {"type": ["string", "null"], "enum": ["auto", "disabled", None]},
        },
        examples=[{"model": _BUILT_IN, "input": "Hello", "max_output_tokens": 16}],
    ),
    "InputCountRequest": _open(
        "What a request of Responses says of its input.",
        [],
        {
            "model": {"type": ["string", "null"]},
            "input": {"anyOf": [*_INPUT["anyOf"], {"type": "null"}]},
            "instructions": {"type": ["string", "null"]},
        },
        examples=[{"model": _BUILT_IN, "input": "Hello"}],
    ),
    "CompactRequest": _open(
        "A conversation of Responses, to be made short.",
        ["model", "input"],
        {
            "model": _MODEL,
            "input": _INPUT,
            "instructions": {"type": ["string", "null"]},
        },
        examples=[{"model": _BUILT_IN, "input": "Hello"}],
    ),
}
