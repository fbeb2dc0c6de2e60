"""SGLang, attached: a server that somebody else started (metric names as of 0.5.23).

Its metrics are off unless it was started with ``--enable-metrics``; ``--max-queued-requests`` makes it refuse (503)
rather than queue without bound.
"""

from __future__ import annotations

from typing import ClassVar

from overspill.pools.engines.openai_server import AttachedServer
from overspill.pools.engines.prometheus_text import read_samples, whole_sum
from overspill.pools.engines.protocol import EngineStats, Probe

_RUNNING = b"sglang:num_running_reqs"
_WAITING = b"sglang:num_queue_reqs"
_KV_USAGE = b"sglang:token_usage"


class SGLang(AttachedServer):
    """An SGLang server."""

    kind = "sglang"
    owner: ClassVar[str] = "sglang"
    probe: Probe | None = Probe(port=30000, path=b"/v1/models")
    stats_path: bytes | None = b"/metrics"
    default_slots: int | None = 256

    def parse_stats(self, body: bytes) -> EngineStats:
        """Read ``/metrics``; counts are summed over data-parallel ranks, the fullest KV cache counts."""
        samples = read_samples(body, (_RUNNING, _WAITING, _KV_USAGE))
        usage = samples.get(_KV_USAGE)
        return EngineStats(
            running=whole_sum(samples.get(_RUNNING)),
            waiting=whole_sum(samples.get(_WAITING)),
            kv_usage=max(usage) if usage else None,
        )
