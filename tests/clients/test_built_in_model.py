"""The model that ships, behind ``overspill serve``, with real clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.clients.clients import EACH
from tests.clients.said import Driver
from tests.clients.stage import MODEL, QUESTION
from tests.support.loops import run
from tests.support.processes import served

from overspill.models import KNOWN_ANSWER

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_engine
CONFIG = {
    "server": {"port": 0},
    "pools": {"local": {"engine": "llamacpp", "model": "builtin", "max_batch_size": 2, "threads": 1}},
    "routes": [{"model": MODEL, "tiers": [["local"]]}],
    "ledger": {"enabled": False},
}


def with_gateway(folder: Path, talk: Callable[[str], None]) -> None:
    async def main() -> None:
        async with served(folder, config=json.dumps(CONFIG)) as gateway:
            await gateway.listening()
            await asyncio.to_thread(talk, f"http://{gateway.address}/v1")

    run(main(), patience_s=120)


@EACH
def test_it_answers_rightly_whole_and_streamed_and_calls_a_tool(client: Driver, tmp_path: Path) -> None:
    def talk(url: str) -> None:
        question, answer = KNOWN_ANSWER
        for said in (client.whole(url, question), client.stream(url, question)):
            assert (said.text, said.error) == (answer, "")
            assert bool(said.reasoning) is client.shows_reasoning
        assert client.with_tool(url, QUESTION).text.startswith("The tool says: 21 degrees")

    with_gateway(tmp_path, talk)
