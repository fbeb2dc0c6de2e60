"""What a chat request needs of its target, read from its fields: bits of ``features``.

Asked where a request enters, and only of one that has such fields or parts. It is read leniently: a field that cannot
be read asks for nothing here, and the target says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from overspill.features import BITS, NATIVE, Feature

_OFF = (b"null", b"false", b"0", b"[]", b"{}", b'""')
_ANY_CHOICE = (*_OFF, b'"auto"', b'"none"')
_SCHEMAS = ("guided_json", "json_schema", "format")
_GRAMMARS = ("grammar", "guided_regex", "guided_choice", "guided_grammar", "regex", "ebnf", "structural_tag")
"""Fields of llama.cpp, vLLM, SGLang and Ollama by which clients bind the answer's form."""
DECIDING_FIELDS = frozenset(
    {
        "tools",
        "functions",
        "n",
        "best_of",
        "response_format",
        "structured_outputs",
        "logprobs",
        "top_logprobs",
        "modalities",
        *_SCHEMAS,
        *_GRAMMARS,
    }
)
"""A chat request without any of these needs nothing but what the parts of its messages do."""

_FORMATS = {
    "text": 0,
    "json_object": BITS[Feature.JSON_OBJECT],
    "json_schema": BITS[Feature.JSON_SCHEMA],
}
_PARTS = {
    "image_url": BITS[Feature.IMAGES],
    "input_image": BITS[Feature.IMAGES],
    "image": BITS[Feature.IMAGES],
    "input_audio": BITS[Feature.AUDIO],
    "audio_url": BITS[Feature.AUDIO],
    "video_url": BITS[Feature.VIDEO],
    "file": BITS[Feature.FILES],
    "input_file": BITS[Feature.FILES],
}

_TYPE = b'"type"'
_KINDS = tuple(b'"%b"' % kind.encode() for kind in _PARTS)


class _Part(msgspec.Struct, gc=False):
    type: Any = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part | str] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode
_decode = msgspec.json.Decoder().decode


def needs_of(fields: Mapping[str, msgspec.Raw]) -> int:
    """Return what a request needs by its top-level fields."""
    needs = 0
    if _is_on(fields, "tools") or _is_on(fields, "functions"):
        needs |= BITS[Feature.TOOLS] | _choice_of_tool(fields)
    if any(_is_on(fields, name) and bytes(fields[name]) != b"1" for name in ("n", "best_of")):
        needs |= BITS[Feature.CHOICES]
    if _has_several(fields.get("prompt")):
        needs |= BITS[Feature.PROMPTS]
    if _is_on(fields, "logprobs") or _is_on(fields, "top_logprobs"):
        needs |= BITS[Feature.LOGPROBS]
    if _is_on(fields, "modalities") and b'"audio"' in bytes(fields["modalities"]):
        needs |= BITS[Feature.AUDIO]
    return needs | _form(fields)


def needs_of_translated(
    fields: Mapping[str, msgspec.Raw], messages: bytes, surface: str, native_only: tuple[str, ...]
) -> int:
    """Return what a request needs that was read from another surface; ``native_only`` is what chat could not say."""
    needs = needs_of(fields) | needs_of_parts(messages)
    return needs | BITS[NATIVE[surface]] if native_only and surface in NATIVE else needs


def needs_of_parts(messages: bytes) -> int:
    """Return what the parts of messages need: images, audio, video, files."""
    if _TYPE not in messages or not any(kind in messages for kind in _KINDS):  # content is nearly always text
        return 0
    try:
        decoded = _decode_messages(messages)
    except (msgspec.DecodeError, RecursionError):
        return 0
    needs = 0
    for message in decoded:
        if isinstance(message.content, list):
            for part in message.content:
                if isinstance(part, _Part) and isinstance(part.type, str):
                    needs |= _PARTS.get(part.type, 0)
    return needs


def _has_several(prompt: msgspec.Raw | None) -> bool:
    """Say whether this is a list of prompts; a list of numbers is one."""
    if prompt is None or not bytes(prompt).startswith(b"["):
        return False
    value = _read(prompt)
    return isinstance(value, list) and len(value) > 1 and not isinstance(value[0], int)


def _choice_of_tool(fields: Mapping[str, msgspec.Raw]) -> int:
    for name in ("tool_choice", "function_call"):
        raw = fields.get(name)
        if raw is None or bytes(raw) in _ANY_CHOICE:
            continue
        value = _read(raw)
        if isinstance(value, dict) and value.get("type") == "allowed_tools":
            allowed = value.get("allowed_tools")
            if not (isinstance(allowed, dict) and allowed.get("mode") == "required"):
                continue
        return BITS[Feature.TOOL_CHOICE]
    return 0


def _form(fields: Mapping[str, msgspec.Raw]) -> int:
    """Return what the answer's form needs."""
    needs = 0
    if _is_on(fields, "response_format"):
        value = _read(fields["response_format"])
        kind = value.get("type") if isinstance(value, dict) else None
        needs |= _FORMATS.get(kind, BITS[Feature.GRAMMAR]) if isinstance(kind, str) else 0
    if _is_on(fields, "structured_outputs"):
        value = _read(fields["structured_outputs"])
        is_schema = isinstance(value, dict) and value.get("json") is not None
        needs |= BITS[Feature.JSON_SCHEMA if is_schema else Feature.GRAMMAR]
    for name in _SCHEMAS:
        if _is_on(fields, name):
            is_any = bytes(fields[name]) == b'"json"'  # Ollama's word for any object
            needs |= BITS[Feature.JSON_OBJECT if is_any else Feature.JSON_SCHEMA]
    if any(_is_on(fields, name) for name in _GRAMMARS):
        needs |= BITS[Feature.GRAMMAR]
    return needs


def _is_on(fields: Mapping[str, msgspec.Raw], name: str) -> bool:
    raw = fields.get(name)
    return raw is not None and bytes(raw) not in _OFF


def _read(raw: msgspec.Raw) -> Any:
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
