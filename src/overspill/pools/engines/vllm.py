"""vLLM, attached: a server that somebody else started (metric names as of 0.33).

Start it with ``--max-num-queued-reqs`` so that it refuses (503) rather than queues without bound.
"""

from __future__ import annotations

from typing import ClassVar

from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.engines.prometheus_text import read_samples, whole_sum
from overspill.pools.engines.protocol import EngineStats, Probe
from overspill.wire.contract import Contract, Mode
from overspill.wire.form import ChatForm, ThinkingForm

_RUNNING = b"vllm:num_requests_running"
_WAITING = b"vllm:num_requests_waiting"
_KV_USAGE = b"vllm:kv_cache_usage_perc"


class Vllm(AttachedServer):
    """A vLLM server."""

    kind = "vllm"
    owner: ClassVar[str] = "vllm"
    probe: Probe | None = Probe(port=8000, path=b"/v1/models")
    stats_path: bytes | None = b"/metrics"
    default_slots: int | None = 256
    """``--max-num-seqs``, which vLLM does not tell: 256 unless given, but 1024 on a GPU of 70 GiB or more that is no
    A100, and 128 on a CPU (as of 0.30). With too few it works below what it could; with too many, requests wait in it
    and not in our queue, until its metrics say so. The middle errs least; ``slots`` in the pool says it exactly."""
    form: ChatForm = ChatForm(
        thinking=ThinkingForm.CHAT_TEMPLATE_KWARGS, reasoning_field="reasoning", is_guided=True, system_first=True
    )
    # Both flags, or the template ends the message; templates that trim do so here too. Its tokenizer modes for newer
    # models of DeepSeek ignore the flags (vllm#46256): only looking shows whether they hold.
    contract: Contract = Contract(
        mode=Mode.TEXT,
        reasoning_field="reasoning",
        body_fields={"continue_final_message": True, "add_generation_prompt": False},
    )

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read ``/metrics``; counts are summed over data-parallel ranks, the fullest KV cache counts."""
        samples = read_samples(body, (_RUNNING, _WAITING, _KV_USAGE))
        usage = samples.get(_KV_USAGE)
        return EngineStats(
            running=whole_sum(samples.get(_RUNNING)),
            waiting=whole_sum(samples.get(_WAITING)),
            kv_usage=max(usage) if usage else None,  # a fraction, for all its name
        )
