"""Responses as a client sees them: requests asked, events read, each checked against the official types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from overspill.wire.request import Request
from overspill.wire.responses.reading import read_responses
from overspill.wire.responses.writer import ResponsesWriter
from overspill.wire.sse import SseDecoder

REQUEST_ID = "req-00c0ffee-7"
CREATED_S = 1_700_000_000
DONE = b"data: [DONE]\n\n"
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026"}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}
PATCH = {"type": "custom", "name": "patch", "description": "Change files."}
TEAM = {
    "type": "namespace",
    "name": "team",
    "description": "Other agents.",
    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}],
}

_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(said: Any = "hi", **fields: Any) -> Request:
    """Read a request of these fields."""
    body = {"model": "m", "input": said, **fields}
    return read_responses(json.dumps({name: value for name, value in body.items() if value is not ...}).encode())


def messages_of(request: Request) -> list[dict[str, Any]]:
    """Return the messages of the chat that a request became."""
    found: list[dict[str, Any]] = json.loads(bytes(request.fields["messages"]))
    return found


def field_of(request: Request, name: str) -> Any:
    """Return a field of the chat that a request became."""
    return json.loads(bytes(request.fields[name]))


def writer_for(**fields: Any) -> ResponsesWriter:
    """Return the writer of the answer to a request of these fields."""
    native = ask(**fields).native
    assert native is not None
    return ResponsesWriter(native, request_id=REQUEST_ID, created_s=CREATED_S)


def chunk(finish_reason: str | None = None, **delta: Any) -> bytes:
    """Return an event of a chat's stream."""
    return event({**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})


def usage(prompt: int = 5, output: int = 7, **more: Any) -> bytes:
    """Return the event of a chat's stream that tells its usage."""
    counts = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, **more}
    return event({**HEAD, "choices": [], "usage": counts})


def event(fields: dict[str, Any]) -> bytes:
    """Return an event with this data."""
    return b"data: %b\n\n" % json.dumps(fields).encode()


def call(index: int | None = 0, call_id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """Return an event with a piece of a tool's call."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    piece: dict[str, Any] = {"index": index, "function": function}
    if call_id is not None:
        piece["id"] = call_id
    return chunk(tool_calls=[piece])


def read_events(stream: bytes, first: int = 0) -> list[dict[str, Any]]:
    """Read a stream's events; each has the name of its type, the next number, and the official type's fields."""
    found = []
    for said in SseDecoder().feed(stream):
        assert said.data is not None
        fields = json.loads(said.data)
        assert said.name.decode() == fields["type"]
        assert fields["sequence_number"] == first + len(found)
        _event.validate_json(said.data, strict=True)
        found.append(fields)
    return found


def stream_of(writer: ResponsesWriter, events: Iterable[bytes]) -> list[dict[str, Any]]:
    """Feed chat events one by one, and read what comes."""
    return read_events(b"".join(map(writer.feed, events)))


def whole_of(writer: ResponsesWriter, message: dict[str, Any], finish_reason: str = "stop", **more: Any) -> Any:
    """Have a whole answer translated, and check it against the official type."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    body = writer.whole(json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], **more}).encode())
    Response.model_validate_json(body, strict=True)
    return json.loads(body)
