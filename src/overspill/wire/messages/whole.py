"""Writes a whole chat answer as one message."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from overspill.wire.answers import MalformedChunk
from overspill.wire.contract import REASONING_FIELDS
from overspill.wire.messages.blocks import unsigned
from overspill.wire.messages.ends import stop_of, to_messages_usage
from overspill.wire.messages.options import ThinkingDisplay

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_Block = dict[str, Any]


def text_of(content: Any) -> str:
    """Return the text of a chat message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") or part.get("refusal") for part in content if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def write_message(
    body: bytes,
    *,
    message_id: str,
    model: str,
    input_tokens: int,
    stops: Collection[str],
    display: ThinkingDisplay,
) -> bytes:
    """Translate a ``chat.completion``; raise ``MalformedChunk`` if it is none."""
    answer, choice = _read(body)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedChunk(f"{len(body)} bytes that are no chat answer: its choice has no message")
    content = [] if display is ThinkingDisplay.HIDDEN else _thoughts(message, display)
    text = text_of(message.get("content")) or text_of(message.get("refusal"))
    if text:
        content.append({"type": "text", "text": text})
    calls = list(_calls(message, message_id, is_cut=choice.get("finish_reason") == "length"))
    stop_reason, stop_sequence = stop_of(choice, has_calls=bool(calls), stops=stops)
    usage = answer.get("usage")
    return msgspec.json.encode(
        {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content + calls,
            "stop_reason": stop_reason,
            "stop_sequence": stop_sequence,
            "usage": to_messages_usage(
                usage if isinstance(usage, dict) else {}, input_tokens=input_tokens, output_tokens=0
            ),
        }
    )


def _read(body: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedChunk(f"{len(body)} bytes that are no chat answer: {error}") from None
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedChunk(f"{len(body)} bytes that are no chat answer: it has no choice")
    return answer, choices[0]


def _thoughts(message: dict[str, Any], display: ThinkingDisplay) -> list[_Block]:
    """Write thinking blocks; the text of one may come in pieces, its signature with the last or behind it."""
    thought = next((message[name] for name in REASONING_FIELDS if isinstance(message.get(name), str)), "")
    details = message.get("reasoning_details")
    details = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    if not any(detail.get("signature") or detail.get("data") for detail in details):
        return [_thinking(thought, None, display)] if thought else []
    if not any(detail.get("text") for detail in details):
        details.insert(0, {"text": thought})
    blocks: list[_Block] = []
    pending = ""
    for detail in details:
        text, signature, data = detail.get("text"), detail.get("signature"), detail.get("data")
        if isinstance(data, str) and detail.get("type") == "reasoning.encrypted":
            blocks.append({"type": "redacted_thinking", "data": data})
        pending += text if isinstance(text, str) else ""
        if isinstance(signature, str) and signature:
            blocks.append(_thinking(pending, signature, display))
            pending = ""
    return [*blocks, _thinking(pending, None, display)] if pending else blocks


def _thinking(text: str, signature: str | None, display: ThinkingDisplay) -> _Block:
    is_shown = display is ThinkingDisplay.SHOWN
    signature = signature or unsigned("" if is_shown else text)
    return {"type": "thinking", "thinking": text if is_shown else "", "signature": signature}


def arguments_of(function: dict[str, Any]) -> str:
    """Return the arguments of a call as text; some servers write the object itself."""
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return arguments if isinstance(arguments, str) else ""


def _calls(message: dict[str, Any], message_id: str, *, is_cut: bool) -> Iterator[_Block]:
    """Write calls; one whose arguments the token limit cut off is left out, any other without good ones an error."""
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise MalformedChunk("a call of a tool without a function")
        arguments = arguments_of(function) or "{}"
        try:
            _decode_arguments(arguments)
        except (msgspec.DecodeError, RecursionError):
            if is_cut:
                continue
            raise MalformedChunk("a call of a tool whose arguments are no JSON object") from None
        yield {
            "type": "tool_use",
            "id": call.get("id") or f"toolu_{message_id}_{index}",
            "name": function.get("name") or "",
            "input": msgspec.Raw(arguments.encode()),
        }
