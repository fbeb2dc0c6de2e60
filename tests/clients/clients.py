"""All clients that the fast part drives, as the parameter of a test."""

from __future__ import annotations

import pytest
from tests.clients.drivers import node
from tests.clients.drivers.anthropic_python import AnthropicPython
from tests.clients.drivers.langchain import LangChainDeepSeek
from tests.clients.drivers.llm_cli import LlmCommand
from tests.clients.drivers.openai_python import OpenAIPython, OpenAIPythonByHand
from tests.clients.said import Driver

_NEEDS_NODE = pytest.mark.skipif(node.NODE is None, reason=node.MISSING)
CLIENTS: list[Driver] = [
    OpenAIPython(),
    node.OPENAI,
    AnthropicPython(),
    node.ANTHROPIC,
    LangChainDeepSeek(),
    LlmCommand(),
]


def _parameter(client: Driver) -> object:
    return pytest.param(client, id=client.name, marks=[_NEEDS_NODE] if isinstance(client, node.NodeClient) else [])


def _each(clients: list[Driver]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("client", [_parameter(client) for client in clients])


EACH = _each(CLIENTS)
EACH_WITH_TOOLS = _each([*CLIENTS, OpenAIPythonByHand()])
