"""The ``openai`` package for Python."""

from __future__ import annotations

import json
from typing import Any

import openai
from tests.clients.said import Said
from tests.clients.stage import MODEL, TOOL, WEATHER

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {"name": TOOL, "description": "Get the weather of a city", "parameters": PARAMETERS},
}


class OpenAIPython:
    name = "openai-python"
    shows_reasoning = True
    api = "Chat Completions"

    def version(self) -> str:
        return openai.__version__

    def whole(self, url: str, question: str) -> Said:
        try:
            with client(url) as api:
                completion = api.chat.completions.create(model=MODEL, messages=asked(question))
        except openai.OpenAIError as error:
            return Said(error=repr(error))
        return said(completion.choices[0].message)

    def stream(self, url: str, question: str) -> Said:
        text = reasoning = ""
        try:
            with (
                client(url) as api,
                api.chat.completions.create(model=MODEL, messages=asked(question), stream=True) as stream,
            ):
                for chunk in stream:
                    for choice in chunk.choices:
                        text += choice.delta.content or ""
                        reasoning += getattr(choice.delta, "reasoning_content", None) or ""
        except openai.OpenAIError as error:
            return Said(text, reasoning, repr(error))
        return Said(text, reasoning)

    def with_tool(self, url: str, question: str) -> Said:
        """Go on with the messages that the package returns, as its README does."""
        messages = asked(question)
        try:
            while True:
                with (
                    client(url) as api,
                    api.chat.completions.stream(model=MODEL, messages=messages, tools=[WEATHER_TOOL]) as stream,
                ):
                    message = stream.get_final_completion().choices[0].message
                if not message.tool_calls:
                    return said(message)
                messages.append(message)
                for call in message.tool_calls:
                    content = result_of(call.function.name, json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        except openai.OpenAIError as error:
            return Said(error=repr(error))


class OpenAIPythonByHand(OpenAIPython):
    """The same package in an application that writes its history itself, as OpenAI's API needs it: without thoughts."""

    name = "openai-python, history by hand"

    def with_tool(self, url: str, question: str) -> Said:
        messages = asked(question)
        try:
            while True:
                with client(url) as api:
                    completion = api.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL])
                message = completion.choices[0].message
                if not message.tool_calls:
                    return said(message)
                calls = [call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls]
                messages.append({"role": "assistant", "content": message.content, "tool_calls": calls})
                for call in message.tool_calls:
                    content = result_of(call.function.name, json.loads(call.function.arguments))
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        except openai.OpenAIError as error:
            return Said(error=repr(error))


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="sk-test")


def asked(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def said(message: Any) -> Said:
    return Said(message.content or "", getattr(message, "reasoning_content", None) or "")


def result_of(name: str, arguments: dict[str, Any]) -> str:
    """Run the tool."""
    assert (name, arguments) == (TOOL, {"city": "Chengdu"})
    return WEATHER
