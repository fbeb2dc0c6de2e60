"""Reads the message out of an answer of chat, whichever way it came."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.support.raw_client import Reply

from overspill.wire.aggregate import Aggregator
from overspill.wire.sse import SseDecoder


def message_of(reply: Reply) -> dict[str, Any]:
    """Return the message of an answer, streamed or whole."""
    assert reply.status == 200, reply.body
    if not reply.headers["content-type"].startswith("text/event-stream"):
        found: dict[str, Any] = reply.json()["choices"][0]["message"]
        return found
    aggregator = Aggregator("chat")
    for event in SseDecoder().feed(reply.body):
        if event.data and event.data != b"[DONE]":
            aggregator.add(event.data)
    whole: dict[str, Any] = msgspec.json.decode(aggregator.finish())["choices"][0]["message"]
    return whole
