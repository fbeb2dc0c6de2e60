"""The chat template as a function: what ``template.jinja`` makes of a conversation, a thousand times faster.

A test holds the two together. ``prompt_of`` ends where the model begins; ``reply_of`` is what it has to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lessons.example import Example

BEGIN, END = "<|begin|>", "<|end|>"
SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
THINK, UNTHINK = "<think>", "</think>"
CALL, UNCALL = "<tool_call>", "</tool_call>"
CONTROL = (BEGIN, END, SYSTEM, USER, ASSISTANT, TOOL)
MARKS = (THINK, UNTHINK, CALL, UNCALL)
"""The model writes these, and the server reads them: they must survive decoding, which control tokens do not."""


def prompt_of(example: Example) -> str:
    """Render the conversation up to where the model takes over."""
    messages = list(example.messages)
    last_user = max(index for index, message in enumerate(messages) if message["role"] == "user")
    parts = [BEGIN]
    has_system = messages[0]["role"] == "system"
    if has_system or example.tools:
        parts += [SYSTEM, str(messages[0]["content"]) if has_system else "", _tool_list(example.tools), END]
    for index, message in enumerate(messages):
        match message["role"]:
            case "system":
                continue
            case "assistant":
                thought = message.get("reasoning_content") if index > last_user else None
                calls = [call["function"] for call in message.get("tool_calls", ())]
                parts += [ASSISTANT, _turn(thought, str(message["content"]), calls), END]
            case role:
                parts += [TOOL if role == "tool" else USER, str(message["content"]), END]
    return "".join([*parts, ASSISTANT])


def reply_of(example: Example) -> str:
    """Render the model's turn, its end included."""
    return _turn(example.thought, example.content, example.calls) + END


def _turn(thought: str | None, content: str, calls: Iterable[Mapping[str, Any]]) -> str:
    spoken = f"{THINK}{thought}{UNTHINK}{content}" if thought else content
    for call in calls:
        arguments = json.dumps(call["arguments"], ensure_ascii=False)
        spoken += f'{CALL}\n{{"name": "{call["name"]}", "arguments": {arguments}}}\n{UNCALL}'
    return spoken


def _tool_list(tools: Iterable[Mapping[str, Any]]) -> str:
    lines = []
    for tool in tools:
        function = tool["function"]
        names = ", ".join(function["parameters"]["properties"])
        lines.append(f"\n{function['name']}({names}): {function.get('description', '')}")
    return "\nTools:" + "".join(lines) if lines else ""
