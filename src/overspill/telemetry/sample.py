"""A value that is not counted but read when somebody asks: what sources hand to a scrape."""

from __future__ import annotations

import msgspec

from overspill.telemetry.definitions import Metric

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of its row in the table."""


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A value read at a scrape."""

    metric: Metric
    labels: Labels
    value: float
