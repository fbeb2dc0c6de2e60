"""The reference of the metrics, from the one table of definitions."""

from __future__ import annotations

from tests.docs.generators.source import page, table

from overspill.telemetry import definitions
from overspill.telemetry.metrics import MAX_LABEL_SETS, OVERFLOW

_INTRODUCTION = f"""
`GET /metrics` answers in Prometheus' text format, or in OpenMetrics' if the scraper asks for that. It needs no key.

Names follow Prometheus (base units, `_total` for counters); the part after the prefix follows vLLM. `model` is the
pattern of the route that matched, never the name that a client wrote; it is empty if no route matched. `target` is a
target's id such as `local/0` or `deepseek/main/deepseek-flash`; `lane` is a route's pattern, with ` (local only)`
behind it for requests that must not leave. The values of `reason`, `outcome` and `state` are in [reasons](reasons.md).

A metric keeps at most {MAX_LABEL_SETS:,} series; what comes after is counted under `{OVERFLOW}`. Counters start at 0
with the process. A metric that has no series yet is shown with its help and type only.
"""


def metrics_page() -> str:
    rows = [
        (f"`{name}`", kind, f"`{labels.replace(', ', '` `')}`" if labels else "", text)
        for name, kind, labels, text in definitions.reference_rows()
    ]
    buckets = [
        (f"`{metric.name}`", " ".join(f"{bound:g}" for bound in metric.buckets))
        for metric in definitions.TABLE
        if metric.buckets
    ]
    return page(
        "Metrics",
        _INTRODUCTION,
        table(("name", "kind", "labels", "meaning"), rows),
        "## Buckets",
        "Upper bounds in seconds, inclusive; the last one, infinity, is left out here.",
        table(("name", "bounds"), buckets),
    )
