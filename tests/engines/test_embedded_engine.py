from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded_engine import chunks_of, send, why_not_ready, with_engine
from tests.support.scripted_engine import Watcher, is_alive

from overspill.core.types import FailureKind, Surface
from overspill.pools.engines.llamacpp import EmbeddedLlamaCpp
from overspill.pools.engines.supervisor import Phase, Supervisor
from overspill.wire.http import HttpCall

pytestmark = pytest.mark.local_engine
ENGINE = EmbeddedLlamaCpp()


def chat(supervisor: Supervisor, **fields: Any) -> HttpCall:
    body = {"messages": [{"role": "user", "content": "Tell me a story about 中文."}], "max_tokens": 24, "seed": 7}
    return ENGINE.translate(Surface.CHAT, json.dumps(body | fields).encode(), supervisor.api_key)


def get(supervisor: Supervisor, path: bytes) -> HttpCall:
    key = (b"authorization", b"Bearer " + supervisor.api_key.encode())
    return HttpCall(method=b"GET", path=path, headers=(key,), body=b"")


def test_it_becomes_ready_with_the_slots_and_the_context_that_were_asked_for() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        assert watcher.phases == [Phase.STARTING, Phase.READY]
        state = watcher.states[-1]
        assert (state.slots, state.context_tokens) == (4, 1024)
        assert state.load_s is not None
        assert Path(f"/proc/{state.pid}/oom_score_adj").read_text().strip() == "600"

    with_engine(scenario)


def test_it_chats_in_words_streamed_and_not() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        story = {"messages": [{"role": "user", "content": "Tell me a story."}], "max_tokens": 80}
        status, body = await send(supervisor, chat(supervisor, **story))
        answer = json.loads(body)
        text = answer["choices"][0]["message"]["content"]
        assert (status, answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == (
            200,
            "length",
            80,
        )
        assert text.isascii()
        assert len(text.split()) > 15
        assert answer["choices"][0]["message"]["reasoning_content"].startswith("I know this text")
        status, body = await send(supervisor, chat(supervisor, **story, stream=True))
        chunks = chunks_of(body)
        assert (status, chunks[-1]["choices"][0]["finish_reason"]) == (200, "length")
        assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == text

    with_engine(scenario)


def test_it_completes_a_prompt_to_its_end_or_to_a_length() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        reasons = []
        for tokens in (8, 200):
            prompt = "<|begin|><|user|>What is 4821 + 977?<|end|><|assistant|>"
            request = json.dumps({"prompt": prompt, "max_tokens": tokens}).encode()
            status, body = await send(supervisor, ENGINE.translate(Surface.COMPLETIONS, request, supervisor.api_key))
            assert status == 200
            reasons.append(json.loads(body)["choices"][0]["finish_reason"])
        assert reasons == ["length", "stop"]

    with_engine(scenario)


def test_a_temperature_that_a_client_names_wins_over_the_built_in_model_s() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        async def answers(**fields: Any) -> set[str]:
            bodies = [(await send(supervisor, chat(supervisor, seed=seed, **fields)))[1] for seed in range(6)]
            return {json.dumps(json.loads(body)["choices"][0]["message"]) for body in bodies}

        assert len(await answers()) == 1
        assert len(await answers(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0)) > 1

    with_engine(scenario)


def test_a_cut_answer_is_continued_where_it_broke() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        question = {"role": "user", "content": "Tell me a story."}

        async def said(**fields: Any) -> tuple[str, str]:
            _, body = await send(supervisor, chat(supervisor, stream=True, **fields))
            deltas = [chunk["choices"][0]["delta"] for chunk in chunks_of(body)]
            return (
                "".join(delta.get("reasoning_content") or "" for delta in deltas),
                "".join(delta.get("content") or "" for delta in deltas),
            )

        thought, whole = await said(messages=[question], max_tokens=500)
        _, start = await said(messages=[question], max_tokens=60)
        cut = {"role": "assistant", "reasoning_content": thought, "content": start}
        _, rest = await said(messages=[question, cut], max_tokens=500)
        assert 0 < len(start) < len(whole)
        assert start + rest == whole

    with_engine(scenario)


def test_all_slots_work_at_once_and_the_metrics_say_so() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        calls = [chat(supervisor, max_tokens=800, ignore_eos=True, stream=True) for _ in range(4)]
        working = [asyncio.ensure_future(send(supervisor, call)) for call in calls]
        seen = 0
        while seen < 4 and not all(task.done() for task in working):
            _, page = await send(supervisor, get(supervisor, b"/metrics"))
            seen = max(seen, ENGINE.parse_stats(page).running or 0)
        answers = await asyncio.gather(*working)
        assert seen == 4
        assert [status for status, _ in answers] == [200] * 4
        assert all(chunks_of(body)[-1]["choices"][0]["finish_reason"] == "length" for _, body in answers)

    with_engine(scenario)


def test_a_stream_whose_client_leaves_frees_its_slot() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        call = chat(supervisor, max_tokens=1000, ignore_eos=True, stream=True)
        leaving = asyncio.ensure_future(send(supervisor, call))

        async def running() -> int | None:
            return ENGINE.parse_stats((await send(supervisor, get(supervisor, b"/metrics")))[1]).running

        while await running() != 1:
            assert not leaving.done()
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        while await running() != 0:
            pass
        _, page = await send(supervisor, get(supervisor, b"/metrics"))
        predicted = next(line for line in page.splitlines() if line.startswith(b"llamacpp:tokens_predicted_total "))
        assert int(predicted.split()[1]) < 1000

    with_engine(scenario)


def test_without_the_key_nothing_is_answered_and_nobody_else_can_reach_the_socket() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        for key in ("", "wrong"):
            status, body = await send(supervisor, ENGINE.translate(Surface.CHAT, b"{}", key))
            assert status == 401
            assert ENGINE.classify(status, (), body).kind is FailureKind.BAD_KEY
        assert supervisor.origin.uds_path is not None
        folder = os.stat(os.path.dirname(supervisor.origin.uds_path))  # noqa: PTH116, PTH120
        assert stat.S_IMODE(folder.st_mode) == 0o700

    with_engine(scenario)


def test_no_user_interface_is_served() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        assert (await send(supervisor, get(supervisor, b"/")))[0] == 404

    with_engine(scenario)


def test_a_prompt_that_does_not_fit_a_slot_is_told_apart() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        status, body = await send(supervisor, chat(supervisor, messages=[{"role": "user", "content": "a b " * 1000}]))
        assert ENGINE.classify(status, (), body).kind is FailureKind.CONTEXT_TOO_LONG

    with_engine(scenario)


def test_what_it_does_not_offer_counts_against_nobody() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        image = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
        status, body = await send(supervisor, chat(supervisor, messages=[{"role": "user", "content": image}]))
        assert ENGINE.classify(status, (), body).kind is FailureKind.BAD_REQUEST
        request = ENGINE.translate(Surface.EMBEDDINGS, b'{"input":"x"}', supervisor.api_key)
        status, body = await send(supervisor, request)
        assert ENGINE.classify(status, (), body).kind is FailureKind.BAD_REQUEST

    with_engine(scenario)


EVERYTHING = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)


async def embed(supervisor: Supervisor, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"model": "overspill-tiny", **fields}).encode()
    status, answer = await send(supervisor, ENGINE.translate(Surface.EMBEDDINGS, body, supervisor.api_key))
    return status, json.loads(answer)


def test_embeddings_and_text_come_from_one_engine() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        status, one = await embed(supervisor, input="The cat sat.")
        assert status == 200
        vector = one["data"][0]["embedding"]
        assert abs(sum(x * x for x in vector) - 1) < 1e-3
        (_, many), (chat_status, _) = await asyncio.gather(
            embed(supervisor, input=["The cat sat.", [1, 2, 3]]), send(supervisor, chat(supervisor))
        )
        assert chat_status == 200
        assert [entry["index"] for entry in many["data"]] == [0, 1]
        assert sum(a * b for a, b in zip(many["data"][0]["embedding"], vector, strict=True)) > 0.999

    with_engine(scenario, surfaces=EVERYTHING)


def test_an_engine_may_make_nothing_but_embeddings_of_inputs_as_long_as_its_context() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        status, answer = await embed(supervisor, input=[[5] * 900])
        assert status == 200
        assert answer["usage"]["prompt_tokens"] >= 900

    with_engine(scenario, surfaces=(Surface.EMBEDDINGS,), extra={"pooling_type": "mean"})


def test_where_text_is_made_too_an_input_must_fit_one_step() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        request = ENGINE.translate(Surface.EMBEDDINGS, json.dumps({"input": [[5] * 900]}).encode(), supervisor.api_key)
        status, body = await send(supervisor, request)
        assert ENGINE.classify(status, (), body).kind is FailureKind.CONTEXT_TOO_LONG

    with_engine(scenario, surfaces=EVERYTHING)


def test_a_model_without_a_pooling_of_its_own_cannot_make_embeddings_only() -> None:
    state = why_not_ready(surfaces=(Surface.EMBEDDINGS,))
    assert state.phase is Phase.BROKEN
    assert "options.pooling_type" in (state.reason or "")


def test_a_pooling_that_does_not_exist_is_refused_with_those_that_do() -> None:
    state = why_not_ready(surfaces=EVERYTHING, extra={"pooling_type": "maximum"})
    assert state.phase is Phase.BROKEN
    assert "mean" in (state.reason or "")


def test_a_killed_engine_serves_again_at_the_same_address() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        pid = supervisor.state.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        again = await watcher.until(lambda state: state.phase is Phase.READY and state.restarts == 1)
        assert again.pid != pid
        assert (await send(supervisor, chat(supervisor)))[0] == 200

    with_engine(scenario)


def test_stopping_ends_the_process_and_removes_its_directory() -> None:
    async def scenario(supervisor: Supervisor, watcher: Watcher) -> None:
        pid = supervisor.state.pid
        await supervisor.stop()
        assert not is_alive(pid)
        assert supervisor.origin.uds_path is not None
        assert not os.path.exists(supervisor.origin.uds_path)  # noqa: PTH110

    with_engine(scenario)
