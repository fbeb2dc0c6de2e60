"""Schemas of what clients get."""

from __future__ import annotations

from overspill.gateway.openapi.parts import Json, ref

_TEXT: Json = {"type": "string"}
_NAMED: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}


def _object(required: list[str], properties: Json, description: str = "") -> Json:
    found: Json = {"type": "object", "required": required, "properties": properties, "additionalProperties": True}
    return {"description": description, **found} if description else found


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


_USAGE = _object([], {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT})
_MODEL_CARD = _object(
    ["id", "object", "created", "owned_by"],
    {
        "id": _TEXT,
        "object": {"const": "model"},
        "created": _COUNT,
        "owned_by": _TEXT,
        "local": {"type": "boolean", "description": "Whether home is on this machine or network."},
    },
)
_ANTHROPIC_CARD = _object(
    ["id", "type", "display_name", "created_at"],
    {"id": _TEXT, "type": {"const": "model"}, "display_name": _TEXT, "created_at": _TEXT},
)

RESPONSES: Json = {
    "Error": _object(
        ["error"],
        {
            "error": _object(
                ["message", "type", "param", "code"],
                {"message": _TEXT, "type": _TEXT, "param": _NAMED, "code": _NAMED},
                "What happened, and what to do. The codes are listed in the reference of the HTTP API.",
            )
        },
        "OpenAI's form.",
    ),
    "AnthropicError": {
        "description": "Anthropic's form; what the HTTP edge refuses has OpenAI's.",
        "anyOf": [
            _object(
                ["type", "error"],
                {"type": {"const": "error"}, "error": _object(["type", "message"], {"type": _TEXT, "message": _TEXT})},
            ),
            ref("Error"),
        ],
    },
    "AnyError": {"description": "In Anthropic's form to who sends `anthropic-version`.", **ref("AnthropicError")},
    "Event": {
        "description": "One event of a stream, as the surface has them; the last of OpenAI's older ones is `[DONE]`.",
        "type": "object",
        "properties": {"event": _TEXT, "data": _TEXT},
    },
    "ChatCompletion": _object(
        ["choices"],
        {
            "id": _TEXT,
            "object": _TEXT,
            "created": {"type": "integer"},
            "model": _TEXT,
            "choices": _list(
                _object(
                    ["message"],
                    {
                        "index": _COUNT,
                        "message": _object(["role"], {"role": _TEXT, "content": _NAMED, "reasoning_content": _NAMED}),
                        "finish_reason": _NAMED,
                    },
                )
            ),
            "usage": _USAGE,
        },
        "As the target made it.",
    ),
    "Completion": _object(
        ["choices"],
        {
            "id": _TEXT,
            "object": _TEXT,
            "created": {"type": "integer"},
            "model": _TEXT,
            "choices": _list(_object(["text"], {"index": _COUNT, "text": _TEXT, "finish_reason": _NAMED})),
            "usage": _USAGE,
        },
        "As the target made it.",
    ),
    "Embeddings": _object(
        ["data"],
        {
            "object": {"const": "list"},
            "model": _TEXT,
            "data": _list(
                _object(
                    ["embedding", "index"],
                    {"index": _COUNT, "embedding": {"anyOf": [_list({"type": "number"}), _TEXT]}},
                )
            ),
            "usage": _USAGE,
        },
        "As the target made it.",
    ),
    "Message": _object(
        ["id", "type", "role", "content", "model", "stop_reason", "usage"],
        {
            "id": _TEXT,
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "content": _list(_object(["type"], {"type": _TEXT})),
            "model": _TEXT,
            "stop_reason": _NAMED,
            "stop_sequence": _NAMED,
            "usage": _object(["input_tokens", "output_tokens"], {"input_tokens": _COUNT, "output_tokens": _COUNT}),
        },
    ),
    "TokenCount": _object(["input_tokens"], {"input_tokens": _COUNT}),
    "InputTokens": _object(
        ["object", "input_tokens"], {"object": {"const": "response.input_tokens"}, "input_tokens": _COUNT}
    ),
    "NoCompletions": _object(
        ["object", "data"], {"object": {"const": "list"}, "data": {"type": "array", "maxItems": 0}}
    ),
    "Response": _object(
        ["id", "object", "status", "model", "output"],
        {
            "id": _TEXT,
            "object": {"const": "response"},
            "status": _TEXT,
            "model": _TEXT,
            "output": _list(_object(["type"], {"type": _TEXT})),
            "usage": {"type": ["object", "null"]},
            "error": {"type": ["object", "null"]},
        },
    ),
    "CompactedResponse": _object(
        ["id", "object", "output"],
        {
            "id": _TEXT,
            "object": _TEXT,
            "output": _list(_object(["type"], {"type": _TEXT})),
            "usage": {"type": "object"},
        },
    ),
    "ModelList": {
        "description": "In Anthropic's form to who sends `anthropic-version`.",
        "anyOf": [
            _object(["object", "data"], {"object": {"const": "list"}, "data": _list(_MODEL_CARD)}),
            _object(["data", "has_more"], {"data": _list(_ANTHROPIC_CARD), "has_more": {"type": "boolean"}}),
        ],
    },
    "AnyModel": {"anyOf": [_MODEL_CARD, _ANTHROPIC_CARD]},
    "Index": _object(["name", "version", "paths"], {"name": _TEXT, "version": _TEXT, "paths": _list(_TEXT)}),
    "Health": _object(["status"], {"status": {"const": "ok"}}),
    "Readiness": _object(
        ["status", "targets"],
        {"status": _TEXT, "targets": {"type": "object", "additionalProperties": {"type": "boolean"}}},
        "Each target, and whether it takes requests.",
    ),
    "Document": _object(
        ["openapi", "info", "paths"], {"openapi": _TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}
    ),
    "Explanation": _object(
        ["model", "route", "decision"],
        {
            "model": _TEXT,
            "route": _NAMED,
            "decision": _object(["do"], {"do": {"enum": ["start", "wait", "reject"]}}),
            "limits": _list({"type": "object"}),
            "targets": _list({"type": "object"}),
        },
        "The decision, the limits that hold the key, and each target of the route.",
    ),
}
