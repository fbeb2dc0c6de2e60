"""``langchain-deepseek``: ``ChatDeepSeek``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import openai
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from tests.clients.drivers.openai_python import result_of
from tests.clients.said import Said
from tests.clients.stage import MODEL, TOOL


@tool(TOOL)
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return result_of(TOOL, {"city": city})


class LangChainDeepSeek:
    name = "langchain-deepseek"
    shows_reasoning = True
    api = "Chat Completions"

    def version(self) -> str:
        return version("langchain-deepseek")

    def whole(self, url: str, question: str) -> Said:
        try:
            return said(model(url).invoke(question))
        except openai.OpenAIError as error:
            return Said(error=repr(error))

    def stream(self, url: str, question: str) -> Said:
        so_far: Any = AIMessageChunk("")
        try:
            for chunk in model(url).stream(question):
                so_far += chunk
        except openai.OpenAIError as error:
            return said(so_far)._replace(error=repr(error))
        return said(so_far)

    def with_tool(self, url: str, question: str) -> Said:
        able = model(url).bind_tools([get_weather])
        messages: list[Any] = [HumanMessage(question)]
        try:
            while True:
                message = able.invoke(messages)
                if not message.tool_calls:
                    return said(message)
                messages += [message, *(get_weather.invoke(call) for call in message.tool_calls)]
        except openai.OpenAIError as error:
            return Said(error=repr(error))


def model(url: str) -> ChatDeepSeek:
    return ChatDeepSeek(model=MODEL, api_base=url, api_key="sk-test")


def said(message: Any) -> Said:
    return Said(message.text, message.additional_kwargs.get("reasoning_content", ""))
