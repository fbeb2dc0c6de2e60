"""The ``anthropic`` package for Python: the Messages API."""

from __future__ import annotations

from typing import Any

import anthropic
from tests.clients.drivers.openai_python import PARAMETERS, result_of
from tests.clients.said import Said
from tests.clients.stage import MODEL, TOOL

_ASKED: Any = {"model": MODEL, "max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}}
_TOOL: Any = {"name": TOOL, "description": "Get the weather of a city", "input_schema": PARAMETERS}


class AnthropicPython:
    name = "anthropic-python"
    shows_reasoning = True
    api = "Messages"

    def version(self) -> str:
        return anthropic.__version__

    def whole(self, url: str, question: str) -> Said:
        try:
            with client(url) as api:
                return said(api.messages.create(messages=asked(question), **_ASKED).content)
        except anthropic.AnthropicError as error:
            return Said(error=repr(error))

    def stream(self, url: str, question: str) -> Said:
        text = thinking = ""
        try:
            with client(url) as api, api.messages.stream(messages=asked(question), **_ASKED) as stream:
                for event in stream:
                    if event.type == "text":
                        text += event.text
                    elif event.type == "thinking":
                        thinking += event.thinking
        except anthropic.AnthropicError as error:
            return Said(text, thinking, repr(error))
        return Said(text, thinking)

    def with_tool(self, url: str, question: str) -> Said:
        messages = asked(question)
        try:
            while True:
                with client(url) as api, api.messages.stream(messages=messages, tools=[_TOOL], **_ASKED) as stream:
                    message = stream.get_final_message()
                calls = [block for block in message.content if block.type == "tool_use"]
                if message.stop_reason != "tool_use":
                    return said(message.content)
                results = [
                    {"type": "tool_result", "tool_use_id": call.id, "content": result_of(call.name, call.input)}
                    for call in calls
                ]
                messages += [
                    {"role": "assistant", "content": message.content},
                    {"role": "user", "content": results},
                ]
        except anthropic.AnthropicError as error:
            return Said(error=repr(error))


def client(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key="sk-test")


def asked(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def said(content: Any) -> Said:
    text = "".join(block.text for block in content if block.type == "text")
    return Said(text, "".join(block.thinking for block in content if block.type == "thinking"))
