"""Where the metrics are counted: plain dictionaries and lists, made by the application, used by its one loop thread.

A step of a request calls one method here, which costs 0.1-0.2 µs per metric. What can be read when it is asked for
(running, waiting, breakers, the ledger's buffer) is not kept here but sampled by a callback at each scrape.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final

from overspill.telemetry import definitions as d
from overspill.telemetry.sample import Labels, Sample

MAX_LABEL_SETS = 2_000
"""Most series of one metric. What comes after is counted under ``OVERFLOW``, so no input can grow the process."""
OVERFLOW = "(other)"

# Names of this module's own are found at once, without a look-up in a dictionary.
_bucket: Final = bisect_left
_QUEUE_S: Final[tuple[float, ...]] = d.QUEUE_S
_TTFT_S: Final[tuple[float, ...]] = d.TTFT_S
_TPOT_S: Final[tuple[float, ...]] = d.TPOT_S
_E2E_S: Final[tuple[float, ...]] = d.E2E_S
_DECISION_S: Final[tuple[float, ...]] = d.DECISION_S


class Counter:
    """A sum that only grows, per set of label values. A series is a list with that one number in it."""

    __slots__ = ("metric", "series")

    def __init__(self, metric: d.Metric) -> None:
        self.metric = metric
        self.series: dict[Labels, list[float]] = {}

    def cell(self, labels: Labels) -> list[float]:
        """Return the series of these label values; it starts at 0."""
        cell = self.series.get(labels)
        if cell is not None:
            return cell
        return self.series.setdefault(bounded(self.metric, labels, len(self.series)), [0])

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Add ``amount``, which is not negative."""
        self.cell(labels)[0] += amount


class Histogram:
    """Counts per bucket and a sum, per set of label values.

    A series is one list: a count for each bound, the count above the last bound, the sum. The counts are of the bucket
    alone; exposition adds them up. A value on a bound belongs to that bound's bucket, as Prometheus has it.
    """

    __slots__ = ("bounds", "metric", "series")

    def __init__(self, metric: d.Metric) -> None:
        self.metric = metric
        self.bounds = metric.buckets
        self.series: dict[Labels, list[float]] = {}

    def cell(self, labels: Labels) -> list[float]:
        """Return the series of these label values; it starts empty."""
        cell = self.series.get(labels)
        if cell is not None:
            return cell
        empty = [*([0] * (len(self.bounds) + 1)), 0.0]
        return self.series.setdefault(bounded(self.metric, labels, len(self.series)), empty)

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        cell = self.cell(labels)
        cell[_bucket(self.bounds, value)] += 1
        cell[-1] += value


def bounded(metric: d.Metric, labels: Labels, known: int) -> Labels:
    """Return ``labels``, or the overflow series if the metric has as many series as it may."""
    if len(labels) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, got the values {labels}")
    return labels if known < MAX_LABEL_SETS else (OVERFLOW,) * len(labels)


Source = Callable[[], Iterable[Sample]]


class _TargetCells:
    """The series that an attempt on one target touches, found by one look-up instead of one each."""

    __slots__ = ("cost", "generation_tokens", "prompt_tokens", "unpriced")

    def __init__(self, metrics: Metrics, target: str) -> None:
        self.prompt_tokens = metrics.prompt_tokens.cell((target,))
        self.generation_tokens = metrics.generation_tokens.cell((target,))
        self.cost = metrics.cost.cell((target,))
        self.unpriced = metrics.unpriced_attempts.cell((target,))


class _AnswerCells:
    """The series that an answer of one target touches."""

    __slots__ = ("e2e", "tpot", "ttft")

    def __init__(self, metrics: Metrics, target: str) -> None:
        self.ttft = metrics.ttft.cell((target,))
        self.tpot = metrics.tpot.cell((target,))
        self.e2e = metrics.e2e.cell((target,))


class Metrics:
    """All that is counted in one gateway. Not locked: one thread counts, any thread may read a scrape.

    The methods named after events are the path of a request: they look up once and count in place, which halves what
    ``add`` and ``observe`` would cost there.
    """

    def __init__(self, version: str) -> None:
        self.requests = Counter(d.REQUESTS)
        self.attempts = Counter(d.ATTEMPTS)
        self.spills = Counter(d.SPILLS)
        self.rescues = Counter(d.RESCUES)
        self.rejections = Counter(d.REJECTIONS)
        self.client_disconnects = Counter(d.CLIENT_DISCONNECTS)
        self.prompt_tokens = Counter(d.PROMPT_TOKENS)
        self.generation_tokens = Counter(d.GENERATION_TOKENS)
        self.cost = Counter(d.COST)
        self.unpriced_attempts = Counter(d.UNPRICED_ATTEMPTS)
        self.queue_wait = Histogram(d.QUEUE_WAIT)
        self.ttft = Histogram(d.TTFT)
        self.tpot = Histogram(d.TPOT)
        self.e2e = Histogram(d.E2E)
        self.decision = Histogram(d.DECISION)
        self._sources: list[Source] = [lambda: (Sample(d.BUILD_INFO, (version,), 1),)]
        self._put_off: list[Callable[[], None]] = []
        self._targets: dict[str, _TargetCells] = {}
        self._answers: dict[str, _AnswerCells] = {}
        # What has no labels is shown from the start, as 0, so that a rate over it is defined.
        self._decision = self.decision.cell(())
        self._disconnects = self.client_disconnects.cell(())

    @property
    def counters(self) -> tuple[Counter, ...]:
        """Every counter that is kept here."""
        return (
            self.requests,
            self.attempts,
            self.spills,
            self.rescues,
            self.rejections,
            self.client_disconnects,
            self.prompt_tokens,
            self.generation_tokens,
            self.cost,
            self.unpriced_attempts,
        )

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        """Every histogram that is kept here."""
        return (self.queue_wait, self.ttft, self.tpot, self.e2e, self.decision)

    def before_scrape(self, count: Callable[[], None]) -> None:
        """Call ``count`` before each scrape, to count what it has put off."""
        self._put_off.append(count)

    def add_source(self, source: Source) -> None:
        """Call ``source`` at each scrape for the values that it knows; each metric belongs to one source."""
        self._sources.append(source)

    def samples(self) -> list[Sample]:
        """Have all counted that was put off, then read all sources."""
        for count in self._put_off:
            count()
        return [sample for source in self._sources for sample in source()]

    def decided(self, elapsed_s: float) -> None:
        """Count one event that the controller has handled."""
        cell = self._decision
        cell[_bucket(_DECISION_S, elapsed_s)] += 1
        cell[-1] += elapsed_s

    def spilled(self, reason: str) -> None:
        """Count an attempt that goes to a target outside the first tier."""
        self.spills.cell((reason,))[0] += 1

    def rescued(self, seams: int, unrescued: str | None) -> None:
        """Count the seams of an answer, and why it ended at one where it did."""
        if seams:
            self.rescues.cell(("rescued",))[0] += seams
        if unrescued is not None:
            self.rescues.cell((unrescued,))[0] += 1

    def attempt_ended(
        self,
        target: str,
        outcome: str,
        prompt_tokens: int | None,
        output_tokens: int | None,
        cost_usd: float | None,
    ) -> None:
        """Count an attempt and what it used; ``None`` is a number that is not known."""
        self.attempts.cell((target, outcome))[0] += 1
        cells = self._targets.get(target) or self._new_target(target)
        if prompt_tokens:
            cells.prompt_tokens[0] += prompt_tokens
        if output_tokens:
            cells.generation_tokens[0] += output_tokens
        if cost_usd is None:
            cells.unpriced[0] += 1
        else:
            cells.cost[0] += cost_usd

    def answered(
        self, model: str, target: str, queue_wait_s: float, ttft_s: float | None, tpot_s: float | None, e2e_s: float
    ) -> None:
        """Count the times of a completed request; ``request_ended`` counts the request itself."""
        cell = self.queue_wait.cell((model,))
        cell[_bucket(_QUEUE_S, queue_wait_s)] += 1
        cell[-1] += queue_wait_s
        cells = self._answers.get(target) or self._new_answer(target)
        cell = cells.e2e
        cell[_bucket(_E2E_S, e2e_s)] += 1
        cell[-1] += e2e_s
        if ttft_s is not None:
            cell = cells.ttft
            cell[_bucket(_TTFT_S, ttft_s)] += 1
            cell[-1] += ttft_s
        if tpot_s is not None:
            cell = cells.tpot
            cell[_bucket(_TPOT_S, tpot_s)] += 1
            cell[-1] += tpot_s

    def request_ended(self, model: str, outcome: str, reject_reason: str | None = None) -> None:
        """Count a request that has its one final answer, or whose client has left."""
        self.requests.cell((model, outcome))[0] += 1
        if reject_reason is not None:
            self.rejections.cell((reject_reason,))[0] += 1

    def client_left(self) -> None:
        """Count a client that closed its connection before its answer was complete."""
        self._disconnects[0] += 1

    # The caches below cannot outgrow the metrics: past the limit of series, a target is looked up each time.

    def _new_target(self, target: str) -> _TargetCells:
        cells = _TargetCells(self, target)
        if len(self._targets) < MAX_LABEL_SETS:
            self._targets[target] = cells
        return cells

    def _new_answer(self, target: str) -> _AnswerCells:
        cells = _AnswerCells(self, target)
        if len(self._answers) < MAX_LABEL_SETS:
            self._answers[target] = cells
        return cells
