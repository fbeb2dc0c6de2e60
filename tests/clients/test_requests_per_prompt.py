"""How many requests one prompt costs while a provider is busy, without the gateway and with it."""

from __future__ import annotations

import pytest
from tests.clients import page
from tests.clients.clients import CLIENTS
from tests.clients.drivers import node
from tests.clients.said import Driver
from tests.clients.stage import PLAIN, QUESTION, staged, storming

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


@pytest.mark.skipif(node.NODE is None, reason=node.MISSING)
def test_the_page_says_what_a_prompt_costs_with_each_client() -> None:
    rows = [(one.name, one.version(), alone(one), through_the_gateway(one)) for one in CLIENTS]
    assert {through for *_, through in rows} == {1}
    page.check("clients", ("client", "version", "requests without", "requests with"), rows)
