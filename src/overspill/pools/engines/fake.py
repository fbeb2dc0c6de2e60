"""The rehearsal engine as an engine that Overspill can start: for load and fault tests on a machine without a model.

It is ``overspill.gateway.rehearsal.engine`` in a process of its own, on a private unix socket like the embedded engine;
its paths, metrics and refusals are vLLM's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePath

import msgspec

from overspill.core.types import Surface
from overspill.pools.engines.openai_server import OpenAIServer
from overspill.pools.engines.protocol import EngineSpec, EngineStats, Launch
from overspill.pools.engines.vllm import Vllm
from overspill.wire.form import ChatForm, ReasoningForm
from overspill.wire.http import Origin

REHEARSED_SPEED: Mapping[str, float | int] = {
    "step_base_s": 0.02,
    "step_s_per_running": 0.0005,
    "prefill_s_per_token": 0.0001,
    "prefill_chunk_tokens": 512,
}
"""Scalars of ``perf.batching.EngineModel`` where the configuration gives none: about a 7B model on one GPU."""


class FakeEngine(OpenAIServer):
    """A fake engine in a process of our own.

    ``EngineSpec.extra`` takes the fields of ``gateway.rehearsal.engine.EngineConfig`` (``faults``, ``max_queue``…) and
    under ``engine`` those of ``EngineModel``; slots and context come from the specification. There is no model.
    """

    kind = "fake"
    needs_model: bool = False
    stats_path: bytes | None = b"/metrics"
    surfaces: tuple[Surface, ...] = (Surface.CHAT, Surface.COMPLETIONS, Surface.EMBEDDINGS)
    form: ChatForm = ChatForm(reasoning=ReasoningForm.REASONING_CONTENT)

    def launch(self, spec: EngineSpec, *, run_dir: str, api_key: str) -> Launch:
        """Say how to start it. A wrong name in ``extra`` is refused by the process, which says so and ends."""
        socket_path = str(PurePath(run_dir) / "engine.sock")
        extra = dict(spec.extra)
        own = {"slots": spec.max_batch_size, "context_tokens": spec.context_tokens}
        config = {
            **extra,
            "engine": {**REHEARSED_SPEED, **own, **extra.get("engine", {})},
            "served_name": spec.served_name,
            "uds_path": socket_path,
            "api_key": api_key,
        }
        return Launch(
            argv=(sys.executable, "-P", "-m", "overspill.gateway.rehearsal.engine"),
            env={"PYTHONUNBUFFERED": "1"},
            stdin=msgspec.json.encode(config),
            origin=Origin(host="localhost", uds_path=socket_path),
            api_key=api_key,
            load_timeout_s=spec.load_timeout_s,
        )

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read ``/metrics``."""
        return Vllm().parse_stats(body)
