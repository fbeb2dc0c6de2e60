"""The thoughts of earlier turns, written into a conversation as its target wants them.

Clients drop what they do not know, and most do not know ``reasoning_content``; DeepSeek refuses a turn with calls of
tools that comes without its thought, R1 refused one that came with it. So thoughts are remembered by the calls that
they led to (``gateway.thoughts``) and put back, or taken out, just before a request goes to its target. A turn that
needs no change keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from overspill.wire.aggregate import Aggregator
from overspill.wire.answers import MalformedChunk
from overspill.wire.contract import REASONING_FIELDS
from overspill.wire.form import ChatForm, History
from overspill.wire.tags import split_thought

DETAILS = "reasoning_details"
"""OpenRouter's form of thoughts, with signatures; the normal form keeps them beside the text."""
_EMPTY = (b"null", b"[]", b"{}", b'""')
_THOUGHTS = (*REASONING_FIELDS, DETAILS)
_ASSISTANT = b'"assistant"'
_SIGNS = (b'"tool_calls"', b'"reasoning', b'"thinking"', b"<think>")

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


class CallKey(NamedTuple):
    """By what a call is known again: some servers count calls from 0 in each answer, so its id is not enough."""

    call_id: str
    crc: int
    """Of the tool's name and its arguments, however they are spaced."""


class Thought(NamedTuple):
    """A thought, and the calls that it led to."""

    text: str
    calls: tuple[CallKey, ...]


Recall = Callable[[CallKey], str | None]
"""Returns the thought that led to a call, if it is remembered and may go where the request goes."""


def may_need_repair(messages: bytes) -> bool:
    """Tell cheaply whether a conversation has anything that a rule bears on; nearly none has."""
    return _ASSISTANT in messages and any(sign in messages for sign in _SIGNS)


def write_history(messages: bytes, rule: History, form: ChatForm, recall: Recall) -> bytes | None:
    """Write a conversation by ``rule``; ``None`` if it is right as it is, or cannot be read."""
    if rule is History.AS_IS:
        return None
    try:
        turns = _decode_list(messages)
        written = [_turn(raw, rule, form, recall) for raw in turns]
    except (msgspec.DecodeError, RecursionError):
        return None  # what is wrong with it is the target's to say
    if all(new is None for new in written):
        return None
    return msgspec.json.encode([raw if new is None else new for raw, new in zip(turns, written, strict=True)])


def _turn(raw: msgspec.Raw, rule: History, form: ChatForm, recall: Recall) -> dict[str, Any] | None:
    """Write one turn; ``None`` if nothing is to be changed."""
    if _ASSISTANT not in bytes(raw):
        return None
    before = _decode_fields(raw)
    if bytes(before.get("role", msgspec.Raw(b""))) != _ASSISTANT:
        return None
    fields: dict[str, Any] = {
        name: value
        for name, value in before.items()
        if name not in REASONING_FIELDS and (name != DETAILS or form.takes_details)
    }
    thought = _thought_of(before, fields)
    if rule is not History.STRIP:
        calls = before.get("tool_calls")
        if calls is not None and bytes(calls) not in _EMPTY:
            if not thought:
                thought = _recalled(calls, recall) or thought
            if rule is History.KEEP_WITH_TOOLS:
                thought = thought or ""
        if thought is not None:
            fields[form.reasoning_field] = msgspec.Raw(msgspec.json.encode(thought))
    else:
        fields.pop(DETAILS, None)
    return None if fields == before else fields


def _thought_of(before: dict[str, msgspec.Raw], fields: dict[str, Any]) -> str | None:
    """Return a turn's thought, whichever field it is in; out of the content it is taken away."""
    for name in REASONING_FIELDS:
        value = _decode_any(before[name]) if name in before else None
        if isinstance(value, str):
            return value
    content = before.get("content")
    if content is None or b"<think>" not in bytes(content):
        return None
    text = _decode_any(content)
    if not isinstance(text, str) or "</think>" not in text:
        return None
    thought, rest = split_thought(text)
    if thought is not None:
        fields["content"] = msgspec.Raw(msgspec.json.encode(rest))
    return thought


def _recalled(calls: msgspec.Raw, recall: Recall) -> str | None:
    value = _decode_any(calls)
    for call in value if isinstance(value, list) else ():
        key = _key_of(call)
        thought = None if key is None else recall(key)
        if thought is not None:
            return thought
    return None


# -- what is to be remembered


def thought_of_answer(body: bytes) -> Thought | None:
    """Return the thought of a whole answer in the normal form, if it led to calls."""
    try:
        choices = _decode_any(body).get("choices")
        message = choices[0]["message"]
        text, calls = message.get("reasoning_content"), message.get("tool_calls")
    except (msgspec.DecodeError, RecursionError, AttributeError, LookupError, TypeError):
        return None
    return _thought(text, calls)


def thought_of_stream(text: str, events: list[bytes]) -> Thought | None:
    """Return the thought ``text`` of a streamed answer; ``events`` are the data of those with parts of calls."""
    if not text or not events:
        return None
    aggregator = Aggregator("chat")
    try:
        for data in events:
            aggregator.add(data)
        message = _decode_any(aggregator.finish())["choices"][0]["message"]
    except MalformedChunk:
        return None
    return _thought(text, message.get("tool_calls"))


def _thought(text: Any, calls: Any) -> Thought | None:
    if not isinstance(text, str) or not text or not isinstance(calls, list):
        return None
    keys = tuple(key for call in calls if (key := _key_of(call)) is not None)
    return Thought(text, keys) if keys else None


def _key_of(call: Any) -> CallKey | None:
    """Return a call's key; ``None`` for one without an id."""
    if not isinstance(call, dict):
        return None
    call_id, function = call.get("id"), call.get("function")
    if not isinstance(call_id, str) or not call_id or not isinstance(function, dict):
        return None
    name, arguments = function.get("name"), function.get("arguments")
    return CallKey(call_id, crc32(_canonical(arguments), crc32(str(name).encode())))


def _canonical(arguments: Any) -> bytes:
    """Write arguments as every client would: some read and write them again."""
    try:
        value = _decode_any(arguments) if isinstance(arguments, str) else arguments
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return str(arguments).encode()
