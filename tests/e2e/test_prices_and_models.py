"""What an answer costs by the clock on the wall, and which model it came from, over whole gateways."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateways import FACTS, address_of, chat, config_of, rows, text_of
from tests.support.loops import run
from tests.support.raw_client import RawClient, ask
from tests.support.scripted_upstream import DONE, ScriptedUpstream, delta, event, scripted, usage

from overspill.gateway.service import Gateway

ENVIRON = {"DEEPSEEK_API_KEY": "sk-ds", "HOME": "/nonexistent"}


def deepseek(cloud: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {"upstream": "deepseek", "base_url": f"{cloud.url}/v1", "stream_whole_answers": False, **more}


@contextlib.asynccontextmanager
async def serving_at(text: str, wall: dt.datetime) -> AsyncIterator[Gateway]:
    """Serve with a clock on the wall that was ``wall`` at the start and does not move."""
    gateway = Gateway(config_of(text), FACTS, environ=ENVIRON, wall_clock=wall.timestamp)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def whole(model: str, prompt: int = 1_000_000, output: int = 1_000_000) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": output, "prompt_cache_hit_tokens": 0}
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": model, "choices": [choice], "usage": counts}


@pytest.mark.parametrize(
    ("when", "usd"),
    [
        ("2026-11-27T11:59:59", 0.30 + 1.20),  # a Friday
        ("2026-11-27T12:00:00", 0.15 + 0.60),
        ("2026-11-28T10:00:00", 0.15 + 0.60),  # Saturday
        ("2026-10-07T10:00:00", 0.15 + 0.60),  # National Day, a Wednesday
        ("2027-02-08T10:00:00", 0.30 + 1.20),  # Spring Festival of a year that has no notice yet
    ],
)
def test_the_ledger_has_the_price_of_the_hour(tmp_path: Path, when: str, usd: float) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as cloud:
            routes = [{"model": "m", "tiers": [[{"pool": "ds", "model": "deepseek-flash"}]]}]
            text = text_of({"ds": deepseek(cloud)}, routes, path=path)
            async with serving_at(text, dt.datetime.fromisoformat(f"{when}+08:00")) as gateway:
                task = asyncio.create_task(ask(address_of(gateway), chat()))
                (await cloud.call()).reply(200, whole("deepseek-flash"))
                assert (await task).status == 200

    run(main())
    (attempt,), (request,) = rows(path, "attempts"), rows(path, "requests")
    assert attempt["cost_usd"] == pytest.approx(usd)
    assert request["cost_usd"] == pytest.approx(usd)


def test_a_price_of_ones_own_holds_at_all_hours(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        async with scripted() as cloud:
            pool = deepseek(cloud, price={"input": 1.0, "output": 2.0})
            routes = [{"model": "m", "tiers": [[{"pool": "ds", "model": "deepseek-flash"}]]}]
            text = text_of({"ds": pool}, routes, path=path)
            async with serving_at(text, dt.datetime.fromisoformat("2026-11-28T10:00:00+08:00")) as gateway:
                task = asyncio.create_task(ask(address_of(gateway), chat()))
                (await cloud.call()).reply(200, whole("deepseek-flash"))
                assert (await task).status == 200

    run(main())
    assert rows(path, "attempts")[0]["cost_usd"] == pytest.approx(3.0)


def named(model: str, content: str) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]})


def test_an_answer_says_which_model_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    seen: list[str] = []

    async def main() -> None:
        async with scripted() as cloud:
            routes = [{"model": "m", "tiers": [[{"pool": "ds", "model": "deepseek-flash"}]]}]
            text = text_of({"ds": deepseek(cloud, quantization="FP8")}, routes, path=path)
            async with (
                serving_at(text, dt.datetime.now(dt.UTC)) as gateway,
                RawClient(address_of(gateway)) as client,
            ):
                for is_stream in (True, False):
                    client.ask(chat(stream=is_stream))
                    call = await cloud.call()
                    assert call.json()["model"] == "deepseek-flash"
                    if is_stream:
                        call.stream(named("deepseek-flash-1017", "x") + delta(finish="stop") + usage() + DONE)
                    else:
                        call.reply(200, whole("deepseek-flash"))
                    reply = await client.reply()
                    assert reply.status == 200
                    seen.append(reply.headers["x-overspill-model"])

    run(main())
    known = "deepseek-flash; canonical=deepseek-v4.1-flash; quantization=fp8"
    assert seen == [f"{known}; answered=deepseek-flash-1017", known]
    assert [(row["model"], row["answered_model"]) for row in rows(path, "attempts")] == [
        ("deepseek-flash", "deepseek-flash-1017"),
        ("deepseek-flash", "deepseek-flash"),
    ]


def test_a_reload_tells_the_new_models(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as cloud:
            texts = [text_of({"ds": deepseek(cloud, quantization=said)}) for said in ("fp8", "bf16")]
            async with serving_at(texts[0], dt.datetime.now(dt.UTC)) as gateway:
                for said, text in zip(("fp8", "bf16"), texts, strict=True):
                    assert gateway.reload(config_of(text), FACTS) == []
                    task = asyncio.create_task(ask(address_of(gateway), chat()))
                    (await cloud.call()).reply(200, whole("m"))
                    assert (await task).headers["x-overspill-model"] == f"m; quantization={said}"

    run(main())


def test_a_host_that_refuses_unknown_fields_is_not_sent_any(tmp_path: Path) -> None:
    async def main() -> None:
        async with scripted() as cloud:
            accounts = [{"name": "a", "api_key": "env:DEEPSEEK_API_KEY"}]
            pool = {"upstream": "huawei_maas", "base_url": cloud.url, "accounts": accounts}
            async with serving_at(text_of({"hw": pool}), dt.datetime.now(dt.UTC)) as gateway:
                asked = chat(seed=1, user="u", max_completion_tokens=5, temperature=0)
                task = asyncio.create_task(ask(address_of(gateway), asked))
                call = await cloud.call()
                assert {"seed", "user", "max_completion_tokens"} & set(call.json()) == set()
                assert (call.json()["max_tokens"], call.json()["temperature"]) == (5, 0)
                call.stream(named("m", "x") + delta(finish="stop") + DONE)
                assert (await task).status == 200

    run(main())


def test_a_token_that_was_renewed_in_its_file_is_used_from_the_next_call_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("sk-first\n")

    async def main() -> None:
        async with scripted() as cloud:
            accounts = [{"name": "a", "api_key": f"file:{token}"}]
            pool = {"upstream": "google_vertex", "base_url": f"{cloud.url}/v1", "accounts": accounts}
            async with serving_at(text_of({"v": pool}), dt.datetime.now(dt.UTC)) as gateway:
                for key in ("sk-first", "sk-the-second"):
                    token.write_text(f"{key}\n")
                    task = asyncio.create_task(ask(address_of(gateway), chat(stream=True)))
                    call = await cloud.call()
                    assert f"authorization: Bearer {key}\r\n" in call.head
                    call.stream(named("m", "x") + delta(finish="stop") + DONE)
                    assert (await task).status == 200

    run(main())
