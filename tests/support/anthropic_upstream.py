"""The events of Anthropic's API, for a scripted upstream that plays it."""

from __future__ import annotations

import json
from typing import Any


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def start(model: str = "claude-x") -> bytes:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 1}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return event("message_start", message=message)


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    begun = event("content_block_start", index=index, content_block=content)
    pieces = b"".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return begun + pieces + event("content_block_stop", index=index)


def text(index: int, *pieces: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def end(stop_reason: str = "end_turn") -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": 15}) + event("message_stop")
