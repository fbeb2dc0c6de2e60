"""Puts the events of a Messages stream together as Anthropic's clients do, and fails where one breaks the rules."""

from __future__ import annotations

import json
from typing import Any

from overspill.wire.sse import SseDecoder

DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
}


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """Return the data of all events; the name of each must be its type."""
    decoder = SseDecoder()
    events = []
    for event in decoder.feed(stream):
        if event.data is None:
            assert event.raw.startswith(b":")
            continue
        fields = json.loads(event.data)
        assert event.name.decode() == fields["type"]
        events.append(fields)
    assert decoder.close() == b""
    return events


class Accumulated:
    """One message, built from its events in order."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.pings = 0
        self.is_over = False
        self.error: dict[str, Any] | None = None
        self._open: set[int] = set()
        self._inputs: dict[int, str] = {}

    def add(self, event: dict[str, Any]) -> None:
        assert not self.is_over
        assert self.error is None
        match event["type"]:
            case "ping":
                self.pings += 1
            case "error":
                self.error = event
            case "message_start":
                assert not self.message
                self.message = event["message"]
                assert self.message["content"] == []
                assert self.message["stop_reason"] is None
            case "content_block_start":
                index = event["index"]
                assert index == len(self.message["content"])
                self._open.add(index)
                self.message["content"].append(event["content_block"])
            case "content_block_delta":
                self._add_delta(event["index"], event["delta"])
            case "content_block_stop":
                self._open.remove(event["index"])
                if event["index"] in self._inputs:
                    self.message["content"][event["index"]]["input"] = json.loads(self._inputs[event["index"]])
            case "message_delta":
                assert not self._open
                self.message |= event["delta"]
                self.message["usage"] |= event["usage"]
            case "message_stop":
                assert self.message["stop_reason"] is not None
                self.is_over = True
            case kind:
                raise AssertionError(f"no such event: {kind}")

    def _add_delta(self, index: int, delta: dict[str, Any]) -> None:
        assert index in self._open
        block = self.message["content"][index]
        kind, field = DELTAS[delta["type"]]
        assert block["type"] == kind
        assert delta[field]
        if kind == "tool_use":
            self._inputs[index] = self._inputs.get(index, "") + delta[field]
        else:
            block[field] += delta[field]


def accumulate(stream: bytes) -> Accumulated:
    """Put a whole stream together."""
    found = Accumulated()
    for event in events_of(stream):
        found.add(event)
    return found
