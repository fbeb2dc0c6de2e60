"""What one prompt costs while a provider is busy, and what becomes of thoughts, without the gateway and with it."""

from __future__ import annotations

import pytest
from tests.clients import page
from tests.clients.clients import CLIENTS
from tests.clients.drivers import node
from tests.clients.said import Driver
from tests.clients.stage import PLAIN, QUESTION, deepseek_alone, staged, storming

from overspill.gateway.rehearsal.faults import ErrorStatus


def alone(client: Driver) -> int:
    """Count what a busy provider gets."""
    with storming() as provider:
        assert client.whole(provider.url, QUESTION).error
        return provider.received


def through_the_gateway(client: Driver) -> int:
    """Count what the gateway gets where another provider has room."""
    with staged(PLAIN, ErrorStatus(every=1, status=503)) as stage:
        assert not client.whole(stage.url, QUESTION).error
        return sum(stage.outcomes().values())


def history(client: Driver) -> str:
    """Say what becomes of thoughts when this client sends its history back to DeepSeek's API."""
    if client.api != "Chat Completions":
        return "sent back"
    with deepseek_alone() as url:
        said = client.with_tool(url, QUESTION)
        assert not said.error or "must be passed back" in said.error
        return "left out, so DeepSeek refuses it; put back" if said.error else "sent back"


@pytest.mark.skipif(node.NODE is None, reason=node.MISSING)
def test_the_page_says_what_a_prompt_costs_with_each_client() -> None:
    rows = [(one.name, one.version(), one.api, alone(one), through_the_gateway(one), history(one)) for one in CLIENTS]
    assert {through for *_, through, _ in rows} == {1}
    head = ("client", "version", "API", "requests without", "requests with", "thoughts that led to tool calls")
    page.check("clients", head, rows)
