"""The rehearsal engine as a process that the adapter describes and the supervisor would start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overspill.core.types import Surface
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.rehearsal.speech import text_of
from overspill.pools.engines.fake import FakeEngine
from overspill.pools.engines.protocol import EngineSpec, Launch
from overspill.wire.http import HttpCall, Origin

ADAPTER = FakeEngine()
QUICK = {"step_base_s": 0.0001}


def launch_of(run_dir: Path, **extra: Any) -> Launch:
    spec = EngineSpec(
        name="local", model="none", served_name="small", max_batch_size=3, context_tokens=512, extra=extra
    )
    return ADAPTER.launch(spec, run_dir=str(run_dir), api_key="secret")


@contextmanager
def started(launch: Launch) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    process = subprocess.Popen(
        launch.argv, env=os.environ | dict(launch.env), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(launch.stdin)
        process.stdin.close()
        try:
            yield process, msgspec.json.decode(process.stdout.readline())
        finally:
            process.kill()


async def fetch(origin: Origin, call: HttpCall) -> tuple[int, bytes]:
    """Send one call and return its whole response."""
    over = asyncio.get_running_loop().create_future()

    class Whole:
        status = 0
        body = b""

        def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
            self.status = status

        def on_body(self, data: bytes) -> None:
            self.body += data

        def on_end(self) -> None:
            over.set_result(None)

        def on_fault(self, fault: TransportFault) -> None:
            over.set_exception(ConnectionError(fault.message))

    client, whole = HttpClient(), Whole()
    client.request(origin, call, whole)
    try:
        async with asyncio.timeout(20):
            await over
    finally:
        await client.close()
    return whole.status, whole.body


def test_the_process_says_ready_answers_on_its_socket_and_ends_by_sigterm(tmp_path: Path) -> None:
    launch = launch_of(tmp_path, engine=QUICK)
    with started(launch) as (process, status):
        assert status == {
            "status": "ready", "address": str(tmp_path / "engine.sock"), "slots": 3, "context_tokens": 512,
        }  # fmt: skip
        body = b'{"model":"small","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}'
        call = ADAPTER.translate(Surface.CHAT, body, launch.api_key)
        code, answer = asyncio.run(fetch(launch.origin, call))
        assert code == 200
        assert msgspec.json.decode(answer)["choices"][0]["message"]["content"] == text_of(4)
        assert ADAPTER.stats_path is not None
        code, page = asyncio.run(fetch(launch.origin, HttpCall(b"GET", ADAPTER.stats_path, (), b"")))
        stats = ADAPTER.parse_stats(page)
        assert (stats.running, stats.waiting, stats.kv_usage) == (0, 0, 0.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_without_its_key_it_answers_nobody(tmp_path: Path) -> None:
    launch = launch_of(tmp_path, engine=QUICK)
    with started(launch):
        call = ADAPTER.translate(Surface.CHAT, b"{}", "guess")
        code, _ = asyncio.run(fetch(launch.origin, call))
        assert code == 401


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"falts": []}, "unknown field `falts`"),
        ({"engine": {"slots": 0}}, "must be 1 or more"),
        ({"faults": [{"kind": "cut_after_tokens", "tokens": "x"}]}, "faults[0].tokens"),
    ],
)
def test_a_configuration_it_cannot_use_is_its_last_word(tmp_path: Path, extra: dict[str, Any], says: str) -> None:
    with started(launch_of(tmp_path, **extra)) as (process, status):
        assert status["status"] == "failed"
        assert says in status["reason"]
        assert process.wait(20) == 3


def test_extra_reaches_the_engine_and_does_not_move_its_socket(tmp_path: Path) -> None:
    launch = launch_of(tmp_path, engine={"slots": 9}, max_queue=5, uds_path="/elsewhere", api_key=None)
    config = msgspec.json.decode(launch.stdin)
    assert config["engine"]["slots"] == 9
    assert config["engine"]["context_tokens"] == 512
    assert config["max_queue"] == 5
    assert (config["uds_path"], config["api_key"]) == (str(tmp_path / "engine.sock"), "secret")
    assert launch.origin.uds_path == config["uds_path"]
