"""llama.cpp: the embedded engine that Overspill starts, and a ``llama-server`` that somebody else did.

Both are the same HTTP server. Seen on b11549 (2026-11): a stream's slot is free 10 ms after its client has gone, while
a call that is not streamed runs to its end; after a stream the server closes the socket without saying so; it queues
without bound and never refuses, so the gateway must not send more than it has slots.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, ClassVar

import msgspec

from overspill.core.types import Surface
from overspill.pools.engines.llamacpp_config import WorkerConfig
from overspill.pools.engines.model_source import BUILTIN
from overspill.pools.engines.openai_server import AttachedServer, OpenAIServer, positive, read_object
from overspill.pools.engines.prometheus_text import read_samples, whole_sum
from overspill.pools.engines.protocol import EngineSpec, EngineStats, Launch, Probe
from overspill.wire.contract import Contract, Mode
from overspill.wire.form import ChatForm, ReasoningForm, ThinkingForm
from overspill.wire.http import Origin

_WORKER_ENVIRONMENT = {
    # OpenMP's waiting threads spin by default: on busy cores that made 2 threads 10 times slower than 1.
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    # An abort would start a debugger and hold the dead engine for seconds.
    "GGML_NO_BACKTRACE": "1",
}
_NO_PROJECTOR = "it was started without a projector (options: {mmproj.path: FILE})"
_ONE_PROMPT = "its stream of several prompts is empty"
_RUNNING = b"llamacpp:requests_processing"
_WAITING = b"llamacpp:requests_deferred"


class _LlamaCpp(OpenAIServer):
    """What is the same for both."""

    stats_path: bytes | None = b"/metrics"
    unsupported: Mapping[str, str] = {"prompts": _ONE_PROMPT}
    reuses_connections = False
    cancels_only_streams = True
    # Both flags since 2026-05 (llama.cpp #22727, #23012); a stream never repeats the given text, a whole body does.
    contract: Contract = Contract(
        mode=Mode.TEXT,
        continues_reasoning=True,
        body_fields={"continue_final_message": True, "add_generation_prompt": False},
        reasoning_body_fields={"continue_final_message": "reasoning_content", "add_generation_prompt": False},
    )
    render_path: bytes | None = b"/apply-template"
    form: ChatForm = ChatForm(thinking=ThinkingForm.CHAT_TEMPLATE_KWARGS, system_first=True)
    count_path: bytes | None = b"/v1/chat/completions/input_tokens"

    def parse_rendered(self, body: bytes) -> str:
        """Read ``{"prompt"}`` of ``/apply-template``."""
        prompt = read_object(body).get("prompt")
        if not isinstance(prompt, str):
            raise ValueError("the answer shows no prompt")  # noqa: TRY004 - one error for "not what was asked for"
        return prompt

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read ``/metrics``. llama.cpp has no gauge for the use of its KV cache."""
        samples = read_samples(body, (_RUNNING, _WAITING))
        return EngineStats(running=whole_sum(samples.get(_RUNNING)), waiting=whole_sum(samples.get(_WAITING)))


class EmbeddedLlamaCpp(_LlamaCpp):
    """llama.cpp in a worker process of our own, on a private unix socket."""

    kind = "llamacpp"
    needs_model: bool = True
    unsupported: Mapping[str, str] = {
        "prompts": _ONE_PROMPT,
        "embeddings": "unless the pool's `surfaces` name them: the means of a model that generates text are poor ones;"
        " give it an embedding model",
        "images": _NO_PROJECTOR,
        "audio": _NO_PROJECTOR,
        "video": _NO_PROJECTOR,
        "files": "llama.cpp reads no documents",
    }
    form: ChatForm = msgspec.structs.replace(_LlamaCpp.form, reasoning=ReasoningForm.REASONING_CONTENT)

    def lacks(self, model: str | None, options: Mapping[str, Any]) -> Mapping[str, str]:
        """With a projector (``mmproj.path``) it sees and hears what that was made for."""
        found = dict(self.unsupported)
        if any(name.startswith("mmproj") for name in options):
            found = {name: why for name, why in found.items() if why != _NO_PROJECTOR}
        if model is not None and model.partition(":")[0] == BUILTIN:
            found["tool_choice"] = "llama.cpp does not enforce calls in the form that the built-in model writes them in"
        return found

    def launch(self, spec: EngineSpec, *, run_dir: str, api_key: str) -> Launch:
        """Say how to start the worker; ``spec.model`` is a path by now."""
        socket_path = str(PurePath(run_dir) / "engine.sock")
        config = WorkerConfig(
            model=spec.model,
            socket_path=socket_path,
            api_key=api_key,
            served_name=spec.served_name,
            slots=spec.max_batch_size,
            context_tokens=spec.context_tokens,
            threads=spec.threads,
            cache_ram_mib=spec.cache_ram_mib,
            kv_cache_type=spec.kv_cache_type,
            gpu_layers=spec.gpu_layers,
            sha256=spec.sha256,
            known_answer=spec.known_answer,
            embeddings=Surface.EMBEDDINGS in spec.surfaces,
            text=spec.surfaces != (Surface.EMBEDDINGS,),
            extra=_sampling(spec) | dict(spec.extra),
        )
        return Launch(
            # -P: the working directory must not be able to shadow a module.
            argv=(sys.executable, "-P", "-m", "overspill.pools.engines.llamacpp_worker"),
            env=_WORKER_ENVIRONMENT,
            stdin=config.encode(),
            origin=Origin(host="localhost", uds_path=socket_path),
            api_key=api_key,
            load_timeout_s=spec.load_timeout_s,
        )


def _sampling(spec: EngineSpec) -> dict[str, Any]:
    return {} if spec.default_temperature is None else {"sampling.temp": spec.default_temperature}


class LlamaServer(_LlamaCpp, AttachedServer):
    """A ``llama-server`` on this machine or network."""

    kind = "llamacpp"
    owner: ClassVar[str] = "llamacpp"
    probe: Probe | None = Probe(port=8080, path=b"/v1/models")
    slots_path: bytes | None = b"/props"
    default_slots: int | None = 1

    def context_of(self, entry: Mapping[str, Any]) -> int | None:
        """Read ``meta.n_ctx``: what one slot has, not what the model was trained for."""
        meta = entry.get("meta")
        return positive(meta.get("n_ctx")) if isinstance(meta, dict) else None

    def parse_slots(self, body: bytes) -> int | None:
        """Read ``total_slots`` of ``/props``."""
        return positive(read_object(body).get("total_slots"))
