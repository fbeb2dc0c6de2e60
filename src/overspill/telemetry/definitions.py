"""The one table of metrics: every name that ``/metrics`` can show, its labels and its buckets.

Names follow Prometheus (base units, ``_total`` for counters) and vLLM (the part after the prefix), so a vLLM dashboard
needs only another prefix. The reference page is made from this table.

Every label has a bounded set of values: targets, lanes and routes come from the configuration, the rest are enums.
``model`` is the pattern of the route that matched, never the name that a client wrote; it is empty if none matched.
"""

from __future__ import annotations

import enum

import msgspec


class MetricKind(enum.StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    kind: MetricKind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds, inclusive, rising; the last one, infinity, is implied."""


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, MetricKind.GAUGE, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(name, MetricKind.HISTOGRAM, text, labels, buckets)


# vLLM's buckets, so that quantiles can be compared; longer than any deadline here, its last ones are left out.
TTFT_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
TPOT_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
E2E_S = (0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 240.0, 480.0, 960.0)
QUEUE_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
DECISION_S = (5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2)

REQUESTS = _counter("overspill_requests_total", "Requests that have their final answer.", "model", "outcome")
ATTEMPTS = _counter("overspill_attempts_total", "Tries on a target that have ended.", "target", "outcome")
SPILLS = _counter("overspill_spills_total", "Attempts started outside the first tier.", "reason")
RESCUES = _counter(
    "overspill_rescues_total",
    "Streams that broke off: `rescued` for each seam in an answer, else why one was not continued.",
    "outcome",
)
REJECTIONS = _counter("overspill_rejections_total", "Requests rejected or evicted.", "reason")
CLIENT_DISCONNECTS = _counter(
    "overspill_client_disconnects_total", "Clients that left before their answer was complete."
)
QUEUE_WAIT = _histogram(
    "overspill_queue_wait_seconds", "From arrival to the start of the first attempt.", QUEUE_S, "model"
)
TTFT = _histogram(
    "overspill_time_to_first_token_seconds",
    "From arrival to the first meaningful token, by the target that answered.",
    TTFT_S,
    "target",
)
TPOT = _histogram(
    "overspill_time_per_output_token_seconds",
    "Mean time per output token after the first, of each request.",
    TPOT_S,
    "target",
)
E2E = _histogram(
    "overspill_e2e_request_latency_seconds", "From arrival to the end of a completed answer.", E2E_S, "target"
)
DECISION = _histogram(
    "overspill_decision_seconds", "Time that the controller took for one event; every eighth is timed.", DECISION_S
)
PROMPT_TOKENS = _counter("overspill_prompt_tokens_total", "Prompt tokens, as counted by the target.", "target")
GENERATION_TOKENS = _counter("overspill_generation_tokens_total", "Output tokens.", "target")
COST = _counter("overspill_cost_usd_total", "Known cost of attempts in US dollars.", "target")
UNPRICED_ATTEMPTS = _counter(
    "overspill_unpriced_attempts_total", "Attempts whose cost is unknown, so that the cost lacks it.", "target"
)
NUM_REQUESTS_RUNNING = _gauge("overspill_num_requests_running", "Attempts in flight.", "target")
NUM_REQUESTS_WAITING = _gauge("overspill_num_requests_waiting", "Requests in the queue.", "lane")
TARGET_READY = _gauge("overspill_target_ready", "1 if the target takes requests, else 0.", "target")
BREAKER_STATE = _gauge(
    "overspill_breaker_state", "1 for the state that the target's breaker is in, else 0.", "target", "state"
)
ENGINE_RESTARTS = _counter("overspill_engine_restarts_total", "Starts of a local engine after its first.", "target")
SCREENINGS = _counter("overspill_screenings_total", "Requests that detectors looked at, by what came of it.", "verdict")
REJOINED = _counter("overspill_retries_rejoined_total", "Clients' own retries that went on with what ran already.")
CACHE_LOOKUPS = _counter("overspill_cache_lookups_total", "Requests that could be answered from the cache.", "result")
CACHE_ANSWERS = _gauge("overspill_cache_answers", "Answers in the cache.")
CACHE_BYTES = _gauge("overspill_cache_bytes", "Memory of the answers in the cache.")
LEDGER_DROPPED = _counter(
    "overspill_ledger_dropped_total", "Ledger records lost to a full buffer or a value that cannot be stored."
)
LEDGER_BUFFERED = _gauge("overspill_ledger_buffered", "Ledger records that wait to be written.")
LEDGER_HEALTHY = _gauge("overspill_ledger_healthy", "1 while records reach the ledger's file, else 0.")
BUILD_INFO = _gauge("overspill_build_info", "Always 1; the label says which version runs.", "version")

TABLE: tuple[Metric, ...] = (
    REQUESTS,
    ATTEMPTS,
    SPILLS,
    RESCUES,
    REJECTIONS,
    CLIENT_DISCONNECTS,
    QUEUE_WAIT,
    TTFT,
    TPOT,
    E2E,
    DECISION,
    PROMPT_TOKENS,
    GENERATION_TOKENS,
    COST,
    UNPRICED_ATTEMPTS,
    NUM_REQUESTS_RUNNING,
    NUM_REQUESTS_WAITING,
    TARGET_READY,
    BREAKER_STATE,
    ENGINE_RESTARTS,
    SCREENINGS,
    REJOINED,
    CACHE_LOOKUPS,
    CACHE_ANSWERS,
    CACHE_BYTES,
    LEDGER_DROPPED,
    LEDGER_BUFFERED,
    LEDGER_HEALTHY,
    BUILD_INFO,
)


def reference_rows() -> list[tuple[str, str, str, str]]:
    """Return (name, kind, labels, help) of every metric, for the reference page."""
    return [(metric.name, metric.kind.value, ", ".join(metric.labels), metric.help) for metric in TABLE]
