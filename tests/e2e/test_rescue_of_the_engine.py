"""The embedded engine is killed in mid-answer, and the client's answer is the one that it would have been."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from tests.support.gateways import address_of, chat, ready, serving, text_of
from tests.support.loops import run, until
from tests.support.raw_client import RawClient, Reply

from overspill.core.types import Continues
from overspill.gateway.service import Gateway

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.local_engine

ENGINE: dict[str, Any] = {"engine": "llamacpp", "model": "builtin", "max_batch_size": 2, "threads": 1}
SUM = "What is 4821 + 977?"


def events_of(reply: Reply) -> list[dict[str, Any]]:
    return [json.loads(part[6:]) for part in reply.body.split(b"\n\n") if part.startswith(b"data: {")]


def read(reply: Reply) -> tuple[str, str, str | None]:
    """Return reasoning, content and finish reason, and check that the answer is one and whole."""
    choices = [choice for event in events_of(reply) for choice in event["choices"]]
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert len({event["id"] for event in events_of(reply)}) == 1
    thought = "".join(choice["delta"].get("reasoning_content") or "" for choice in choices)
    content = "".join(choice["delta"].get("content") or "" for choice in choices)
    return thought, content, choices[-1]["finish_reason"]  # the usage's event has no choice


async def ask(gateway: Gateway, question: str, kill_behind: bytes = b"", **more: Any) -> Reply:
    """Ask, and kill the engine that answers once the client has got so far."""
    async with RawClient(address_of(gateway)) as client:
        client.ask(chat(stream=True, messages=[{"role": "user", "content": question}], **more))
        reply = await client.head()
        if kill_behind:
            await client.read_until(reply, kill_behind)
            pid = gateway.fleet.states()[reply.headers["x-overspill-target"]].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        return await client.rest(reply)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_killed_engine_changes_nothing_in_the_answer(replicas: int) -> None:
    async def main() -> None:
        async with serving(text_of({"local": {**ENGINE, "replicas": replicas}})) as gateway:
            targets = gateway.driver.controller.targets
            for target_id in targets:
                await ready(gateway, target_id)
            await until(lambda: all(t.continues == {"local": Continues.REASONING} for t in targets.values()))
            whole = {question: read(await ask(gateway, question)) for question in (SUM, "Tell me a story.")}
            assert whole[SUM][1] == "4821 + 977 = 5798"
            killed = [
                await ask(gateway, SUM, b'"reasoning_content":" carry"'),
                await ask(gateway, "Tell me a story.", b'"content":" island"'),
            ]
            assert [read(reply) for reply in killed] == [*whole.values()]
            assert any(b": overspill rescued" in reply.body for reply in killed)

    run(main(), patience_s=60)


def test_the_limit_of_tokens_and_the_usage_are_those_of_an_answer_without_a_seam() -> None:
    async def main() -> None:
        async with serving(text_of({"local": {**ENGINE, "replicas": 2}})) as gateway:
            targets = gateway.driver.controller.targets
            await until(lambda: all(t.continues for t in targets.values()))
            options: dict[str, Any] = {"max_tokens": 150, "stream_options": {"include_usage": True}}
            whole = await ask(gateway, "Tell me a story.", **options)
            killed = await ask(gateway, "Tell me a story.", b'"content":" island"', **options)
            assert b": overspill rescued" in killed.body
            assert read(whole)[1].startswith("The Lighthouse")
            assert read(whole) == read(killed)
            assert read(whole)[2] == "length"
            used = [events_of(reply)[-1]["usage"] for reply in (whole, killed)]
            assert used[0]["completion_tokens"] == used[1]["completion_tokens"] == 150

    run(main(), patience_s=60)
