"""SGLang, attached: a server that somebody else started (metric names as of 0.5.23).

Its metrics are off unless it was started with ``--enable-metrics``; ``--max-queued-requests`` makes it refuse (503)
rather than queue without bound.
"""

from __future__ import annotations

from typing import ClassVar

from overspill.pools.engines.openai_server import AttachedServer, positive, read_object
from overspill.pools.engines.prometheus_text import read_samples, whole_sum
from overspill.pools.engines.protocol import EngineStats, Probe
from overspill.wire.contract import Contract, Mode
from overspill.wire.form import ChatForm, ThinkingForm

_RUNNING = b"sglang:num_running_reqs"
_WAITING = b"sglang:num_queue_reqs"
_KV_USAGE = b"sglang:token_usage"
_SLOTS = "effective_max_running_requests_per_dp"


class SGLang(AttachedServer):
    """An SGLang server."""

    kind = "sglang"
    owner: ClassVar[str] = "sglang"
    probe: Probe | None = Probe(port=30000, path=b"/v1/models")
    stats_path: bytes | None = b"/metrics"
    slots_path: bytes | None = b"/get_server_info"
    default_slots: int | None = 256
    """Where it does not say. It computes ``--max-running-requests`` from the memory that is free, so that no number is
    its default; this is as for vLLM."""
    form: ChatForm = ChatForm(thinking=ThinkingForm.CHAT_TEMPLATE_KWARGS, system_first=True)
    # Without the flag a last message of the assistant becomes one of the user.
    contract: Contract = Contract(
        mode=Mode.TEXT,
        body_fields={"continue_final_message": True, "add_generation_prompt": False},
    )

    def parse_slots(self, body: bytes) -> int | None:
        """Read ``/get_server_info``: what each data-parallel rank may run, added up."""
        ranks = read_object(body).get("internal_states")
        if not isinstance(ranks, list):
            return None
        slots = [positive(rank.get(_SLOTS)) for rank in ranks if isinstance(rank, dict)]
        told = [count for count in slots if count is not None]
        return sum(told) if told and len(told) == len(ranks) else None

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read ``/metrics``; counts are summed over data-parallel ranks, the fullest KV cache counts."""
        samples = read_samples(body, (_RUNNING, _WAITING, _KV_USAGE))
        usage = samples.get(_KV_USAGE)
        return EngineStats(
            running=whole_sum(samples.get(_RUNNING)),
            waiting=whole_sum(samples.get(_WAITING)),
            kv_usage=max(usage) if usage else None,
        )
