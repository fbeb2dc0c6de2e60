"""The bounds of an answer's form (JSON, a schema, a grammar), written in the field that a target reads.

Every server that can be held to a schema takes it as OpenAI does, in ``response_format``; clients of vLLM, llama.cpp
and Ollama also have older fields of their own for it, which other servers silently ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.wire.form import ChatForm

FIELDS = frozenset(
    {
        "response_format",
        "guided_json",
        "json_schema",
        "format",
        "structured_outputs",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
    }
)
"""Fields that may have to be written otherwise."""
_GUIDED = {"guided_regex": "regex", "guided_choice": "choice", "guided_grammar": "grammar"}
"""vLLM's names until 0.11 → those within ``structured_outputs`` since 0.11. Each version ignores the other's."""
_ANY_OBJECT = {"type": "json_schema", "json_schema": {"name": "object", "schema": {"type": "object"}}}
_EMPTY = (b"null", b"{}", b'""')

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def write_bounds(fields: Mapping[str, msgspec.Raw], form: ChatForm) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that bind the answer for a target of this form, and the names of those that are to go."""
    try:
        return _written(fields, form)
    except (msgspec.DecodeError, RecursionError):
        return {}, []  # what is wrong with them is the target's to say


def _written(fields: Mapping[str, msgspec.Raw], form: ChatForm) -> tuple[dict[str, Any], list[str]]:
    said: dict[str, Any] = {}
    gone: list[str] = []
    if "response_format" in fields:
        if form.needs_json_schema and _kind(fields["response_format"]) == "json_object":
            said["response_format"] = _ANY_OBJECT
    else:
        name, schema = _schema(fields)
        if name is not None:
            gone.append(name)
            is_any = bytes(schema) == b'"json"' and not form.needs_json_schema
            said["response_format"] = {"type": "json_object"} if is_any else _schema_format(schema)
    if form.is_guided:
        said.update(_guided(fields))
    return said, gone


def _kind(raw: msgspec.Raw) -> Any:
    value = _decode(raw)
    return value.get("type") if isinstance(value, dict) else None


def _schema(fields: Mapping[str, msgspec.Raw]) -> tuple[str | None, msgspec.Raw]:
    """Return the field that has a schema outside of ``response_format``, and the schema."""
    for name in ("guided_json", "json_schema", "format"):
        if name in fields and bytes(fields[name]) not in _EMPTY:
            return name, fields[name]
    outputs = fields.get("structured_outputs")
    if outputs is not None and bytes(outputs) not in _EMPTY:
        inner = _decode_fields(outputs)
        if "json" in inner:
            return "structured_outputs", inner["json"]
    return None, msgspec.Raw(b"null")


def _schema_format(schema: msgspec.Raw) -> dict[str, Any]:
    if bytes(schema) == b'"json"':
        return _ANY_OBJECT
    value = _decode(schema)
    if isinstance(value, str):  # SGLang and vLLM take it as a text too
        value = _decode(value)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": value}}


def _guided(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Return what a client of another version of vLLM means, in the words of this one: both are written."""
    old = {new: fields[name] for name, new in _GUIDED.items() if name in fields and bytes(fields[name]) not in _EMPTY}
    outputs = fields.get("structured_outputs")
    if old and outputs is None:
        return {"structured_outputs": old}
    inner = {} if outputs is None or bytes(outputs) in _EMPTY else _decode_fields(outputs)
    return {name: inner[new] for name, new in _GUIDED.items() if new in inner and name not in fields}
