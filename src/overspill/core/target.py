"""A target as the controller knows it: what runs there, how fast it is believed to be, whether it may be used.

In-flight work is counted here, synchronously, by ourselves; an engine's own metrics only add what others send to it.
"""

from __future__ import annotations

from overspill.core.adaptive import AdaptiveSlots
from overspill.core.breaker import CLOSED, OF_THE_MODEL, Breaker, ModelBreakers
from overspill.core.cost import Billing
from overspill.core.ends import ExpectedEnds
from overspill.core.estimate import Mean, Speed
from overspill.core.events import TargetReported
from overspill.core.fairness import Share
from overspill.core.rates import Clock, Meter, Purse, Rate
from overspill.core.types import (
    BreakerPolicy,
    Continues,
    FailureKind,
    Health,
    Price,
    Refusal,
    Scope,
    Surface,
    TargetSpec,
)
from overspill.features import NATIVE, mask

_REPORT_STALE_S = 10.0
_EXACT_LIMIT = 64
"""Above this many running requests the wait for a slot is taken from their mean, not from each."""
_MIN_WAIT_S = 0.001
_TOO_BUSY = frozenset({FailureKind.OVERLOADED, FailureKind.RATE_LIMITED})
_NATIVE = mask(NATIVE.values())
_READY = Health.READY  # looked up at every decision; in Python 3.11 a member of an enum costs 90 ns


class Attempt:
    """One try of one request on one target."""

    __slots__ = (
        "attempt_id",
        "charge",
        "due_at",
        "expected_end_at",
        "expected_s",
        "first_token_at",
        "is_queued",
        "model",
        "output_tokens",
        "predicted_ttft_s",
        "prefill_ahead",
        "prompt_tokens",
        "request_id",
        "share",
        "started_at",
        "target",
        "weights",
    )

    def __init__(
        self,
        attempt_id: int,
        request_id: str,
        target: TargetState,
        started_at: float,
        prompt_tokens: int,
        predicted_ttft_s: float,
        expected_s: float,
        model: str = "",
    ) -> None:
        self.attempt_id = attempt_id
        self.request_id = request_id
        self.target = target
        self.model = model
        self.started_at = started_at
        self.prompt_tokens = prompt_tokens
        self.prefill_ahead = target.prefill_tokens + prompt_tokens
        """Prefill tokens in flight on the target when it started, its own included."""
        self.predicted_ttft_s = predicted_ttft_s
        self.expected_s = expected_s
        """Time it is expected to hold its slot."""
        self.expected_end_at = started_at + expected_s
        self.first_token_at: float | None = None
        self.output_tokens = 0
        self.is_queued = False
        """True once the target has said, by comments or blank lines, that the request waits there."""
        self.weights = ""
        """What its tokens come from, where they may be continued elsewhere; a reload may change what is there."""
        self.due_at = 0.0
        """When to look whether it has spoken; see ``racing``."""
        self.charge: Charge | None = None
        """What it has taken from its target's rates and from budgets, where there are any."""
        self.share: Share | None = None
        """The share of its key that it was charged to, if others waited when it started."""


class Charge:
    """What one attempt has taken: tokens from its host's rate, and money set aside in budgets."""

    __slots__ = ("purses", "rate", "tokens", "usd")

    def __init__(self, rate: Rate | None, tokens: float, purses: tuple[Purse, ...], usd: float) -> None:
        self.rate = rate
        self.tokens = tokens
        self.purses = purses
        self.usd = usd

    def settle(self, used_tokens: float, spent_usd: float, now: float) -> None:
        """Correct both by what was used."""
        if self.rate is not None:
            self.rate.settle(self.tokens, used_tokens, now)
        for purse in self.purses:
            purse.settle(self.usd, spent_usd, now)


class TargetState:
    """The mutable side of a ``TargetSpec``."""

    __slots__ = (
        "_ends",
        "_foreign",
        "_report_at",
        "billing",
        "breaker",
        "clock",
        "context_tokens",
        "continues",
        "health",
        "holding",
        "is_plain",
        "kept_for",
        "lacks",
        "meter",
        "models",
        "prefill_tokens",
        "purses",
        "queued_since",
        "running",
        "slots",
        "spec",
        "speed",
        "surfaces",
        "target_id",
        "token_ratio",
        "window",
    )

    def __init__(self, spec: TargetSpec, breaker: BreakerPolicy) -> None:
        self.spec = spec
        self.target_id: str = spec.target_id
        self.surfaces: tuple[Surface, ...] = spec.surfaces
        self.breaker = Breaker(breaker)
        self.health = Health.READY if spec.ready_at_start else Health.STARTING
        self.slots = spec.slots
        self.context_tokens = spec.context_tokens
        self.lacks = _lacks(spec)
        """What it is known not to do, as bits."""
        self.continues: dict[str, Continues] = {}
        """Model → what was seen of it; nothing is assumed of one that is not here."""
        self.kept_for: set[str] = set()
        """Patterns of the routes on which a target was seen that could go on with an answer from here."""
        self.running: dict[int, Attempt] = {}
        self._ends: ExpectedEnds | None = None
        """Of what runs, once somebody asks: of a target that is never full nobody does."""
        self.prefill_tokens = 0
        """Prompt tokens of attempts that have no first token yet."""
        self.queued_since: float | None = None
        """When the oldest attempt started that waits there, as its keep-alives say; ``None`` while none does."""
        self.holding = 0
        """Requests that wait for a slot here."""
        self.speed = Speed(spec.prior)
        self.token_ratio = Mean(1.0)
        """Prompt tokens as the target counts them per token as we estimate them."""
        self._foreign = 0
        self._report_at = 0.0
        self.models: ModelBreakers | None = None
        """The breakers of single models, where it is asked for several."""
        self.window = AdaptiveSlots(spec.slots) if spec.is_adaptive else None
        self.meter: Meter | None = None
        """The requests and tokens per minute that its host allows."""
        self.purses: tuple[tuple[Scope, str, Purse], ...] = ()
        """The budgets of its account."""
        self.billing = Billing(spec)
        self.clock: Clock | None = None
        """What the wall says, where its price depends on that."""
        self.is_plain = True
        """False if a look at it takes more than ``quote_s``: it has rates, budgets or models that failed, or its
        breaker is not closed."""
        self._follow_window()

    def respecify(self, spec: TargetSpec, breaker: BreakerPolicy) -> None:
        """Take over a changed specification and keep what was learned."""
        self.breaker.policy = breaker
        if spec.slots != self.spec.slots:
            self.slots = spec.slots
        if spec.context_tokens != self.spec.context_tokens:
            self.context_tokens = spec.context_tokens
        if spec.prior != self.spec.prior:
            self.speed = Speed(spec.prior)
        if self.models is not None:
            self.models.set_policy(breaker)
        if not spec.is_adaptive:
            self.window = None
        elif self.window is None:
            self.window = AdaptiveSlots(spec.slots)
        else:
            self.window.set_most(spec.slots)
        self.billing = Billing(spec)
        self.lacks = _lacks(spec)
        self.surfaces = spec.surfaces
        self.spec = spec
        self._follow_window()

    def equip(
        self, meter: Meter | None, purses: tuple[tuple[Scope, str, Purse], ...], has_many_models: bool, clock: Clock
    ) -> None:
        """Take over what a policy says of its host's rates, its account's budgets and the models it is asked for."""
        self.clock = None if self.spec.tariff is None else clock
        self.meter = meter
        self.purses = purses
        if not has_many_models:
            self.models = None
        elif self.models is None:
            self.models = ModelBreakers(self.breaker.policy)
        self._see_if_plain()

    def price_at(self, now: float) -> Price | None:
        """Return what a request that starts now is billed at, or ``None`` if that is unknown."""
        clock = self.clock
        return self.billing.at(None if clock is None or not clock.is_set else clock.unix_s(now))

    def _see_if_plain(self) -> None:
        is_closed = self.breaker.state is CLOSED
        self.is_plain = is_closed and self.meter is None and not self.purses and not self.models

    def _follow_window(self) -> None:
        if self.window is not None:
            self.slots = self.window.slots

    def report(self, event: TargetReported, now: float) -> None:
        """Correct our count by what the engine says: whatever exceeds it was sent by somebody else."""
        if event.running is None and event.waiting is None:
            return
        seen = (event.running or 0) + (event.waiting or 0)
        self._foreign = max(0, seen - len(self.running))
        self._report_at = now

    def load(self, now: float) -> int:
        """Count the requests that occupy it: ours, and others' as last reported unless that is stale."""
        if self._foreign and now - self._report_at <= _REPORT_STALE_S:
            return len(self.running) + self._foreign
        return len(self.running)

    def has_slot(self, now: float, headroom: int = 0) -> bool:
        """Tell whether one more request may be sent that must leave ``headroom`` slots free, but for one of all."""
        slots = self.slots
        if slots is None:
            return True
        if headroom:
            slots = max(min(slots, 1), slots - headroom)
        if len(self.running) >= slots:  # whatever others send
            return False
        return not self._foreign or self.load(now) < slots

    def rate_ready_at(self, tokens: float, ahead: int) -> float:
        """Return from when the host's rates allow a request of so many tokens, after ``ahead`` others like it."""
        assert self.meter is not None  # it has rates, or nobody asks
        requests, per_token = self.meter.requests, self.meter.tokens
        at = 0.0 if requests is None else requests.ready_at(1.0, ahead)
        return at if per_token is None else max(at, per_token.ready_at(tokens, ahead * tokens))

    def refusal(
        self, surface: Surface, prompt_tokens: int, local_only: bool, now: float, model: str = "", needs: int = 0
    ) -> Refusal | None:
        """Say why a request for ``model`` must not run here at all; slots, rates and budgets are not looked at."""
        spec = self.spec
        if local_only and not spec.is_local:
            return Refusal.LOCAL_ONLY
        if surface not in spec.surfaces:
            return Refusal.UNSUPPORTED
        if needs & self.lacks:
            return Refusal.LACKS_FEATURE
        limit = self.context_tokens
        if limit is not None and prompt_tokens * self.token_ratio.value >= limit:
            return Refusal.CONTEXT_TOO_LONG
        if self.health is not _READY:
            return Refusal.DRAINING if self.health is Health.DRAINING else Refusal.NOT_READY
        refusal = self.breaker.refusal(now)
        if refusal is not None or self.models is None:
            return refusal
        of_model = self.models.find(model)
        return None if of_model is None else of_model.refusal(now)

    def retry_at_s(self, model: str, now: float) -> float | None:
        """Return when what a breaker refuses now may be tried, or ``None`` if an event will say."""
        if self.models is None or self.breaker.refusal(now) is not None:
            return self.breaker.retry_at_s()
        of_model = self.models.find(model)
        assert of_model is not None  # one of the two refuses
        return of_model.retry_at_s()

    def quote_s(self, surface: Surface, prompt_tokens: int, local_only: bool, now: float, needs: int) -> float:
        """Predict the TTFT of a request that starts now; -1 if it may not.

        What ``refusal``, ``has_slot`` and ``ttft_s`` say together of a plain target, in one call; for the usual case of
        a decision.
        """
        slots = self.slots
        if slots is not None and (len(self.running) >= slots or (self._foreign and self.load(now) >= slots)):
            return -1.0
        limit = self.context_tokens
        if self.health is not _READY or surface not in self.surfaces or (local_only and not self.spec.is_local):
            return -1.0
        if needs & self.lacks or (limit is not None and prompt_tokens * self.token_ratio.value >= limit):
            return -1.0
        ttft_s = self.speed.ttft.at(self.prefill_tokens + prompt_tokens, now)
        return ttft_s if self.queued_since is None else max(ttft_s, now - self.queued_since)

    def open_ttft_s(self, surface: Surface, prompt_tokens: int, local_only: bool, now: float, needs: int) -> float:
        """Return ``ttft_s``, or -1 if anything but a missing slot forbids the request; the target is plain."""
        limit = self.context_tokens
        if self.health is not _READY or surface not in self.surfaces or (local_only and not self.spec.is_local):
            return -1.0
        if needs & self.lacks or (limit is not None and prompt_tokens * self.token_ratio.value >= limit):
            return -1.0
        ttft_s = self.speed.ttft.at(self.prefill_tokens + prompt_tokens, now)
        return ttft_s if self.queued_since is None else max(ttft_s, now - self.queued_since)

    def ttft_s(self, prompt_tokens: int, now: float) -> float:
        """Predict seconds from sending to the first token, with what is in flight now.

        Where a request waits already, the next one will not wait less than that one has.
        """
        ttft_s = self.speed.ttft.at(self.prefill_tokens + prompt_tokens, now)
        return ttft_s if self.queued_since is None else max(ttft_s, now - self.queued_since)

    def tpot_s(self, is_full: bool, now: float) -> float:
        """Predict seconds per output token of one request more; a full target ends one before it takes that."""
        running = len(self.running)
        return self.speed.tpot.at((running or 1) if is_full else running + 1, now)

    def slot_wait_s(self, behind: int, now: float, headroom: int = 0) -> float:
        """Predict seconds until a slot is free for a request that ``behind`` of those holding for one come after.

        The ``k``-th waiting request gets the slot that frees ``k``-th. A request that has outlived its expectation is
        given another quarter of it, since answer lengths have long tails.
        """
        count = len(self.running)
        if count == 0:  # others hold its slots, or it has none: its next report will tell
            return _REPORT_STALE_S / 2
        rank = self.holding - behind if self.holding > behind else 0
        if headroom and self.slots is not None:  # so many more must end first
            rank += max(0, count - max(1, self.slots - headroom))
        ends = self._ends
        if ends is None:
            ends = self._ends = ExpectedEnds()
            for attempt in self.running.values():
                ends.add(attempt.expected_end_at, attempt.attempt_id, attempt.expected_s)
        if count > _EXACT_LIMIT:
            left_s = ends.mean_s * (rank + 1) / count
        elif rank < count:
            left_s = ends.left_s(rank, now)
        else:
            left_s = ends.left_s(rank % count, now) + rank // count * ends.mean_s
        return left_s if left_s > _MIN_WAIT_S else _MIN_WAIT_S

    def started(self, attempt: Attempt, now: float) -> None:
        """Count an attempt in."""
        self.running[attempt.attempt_id] = attempt
        if self._ends is not None:
            self._ends.add(attempt.expected_end_at, attempt.attempt_id, attempt.expected_s)
        self.prefill_tokens += attempt.prompt_tokens
        if not self.is_plain:
            self.breaker.started(attempt.attempt_id, now)
            if self.models:
                of_model = self.models.find(attempt.model)
                if of_model is not None:
                    of_model.started(attempt.attempt_id, now)
            self._see_if_plain()

    def first_token(self, attempt: Attempt, now: float) -> None:
        """Note the end of an attempt's prefill and learn from it."""
        attempt.first_token_at = now
        self.prefill_tokens -= attempt.prompt_tokens
        self.speed.ttft.observe(attempt.prefill_ahead, now - attempt.started_at, now)
        if attempt.is_queued:
            attempt.is_queued = False
            self._find_queued()

    def queued(self, attempt: Attempt) -> None:
        """Note that an attempt without a first token waits in the target's own queue."""
        attempt.is_queued = True
        self._find_queued()

    def gave_up(self, attempt: Attempt, now: float) -> None:
        """Learn from an attempt that is cancelled before its first token: it would have taken longer than this."""
        waited_s = now - attempt.started_at
        if waited_s > attempt.predicted_ttft_s:
            self.speed.ttft.observe(attempt.prefill_ahead, waited_s, now)

    def succeeded(self, attempt: Attempt, now: float) -> None:
        """Take in that an attempt ended whole; it still runs."""
        self.breaker.succeeded(attempt.attempt_id, now)
        if not self.is_plain:
            if self.models:
                self.models.succeeded(attempt.model, attempt.attempt_id, now)
            self._see_if_plain()
        if self.window is not None:
            self.window.succeeded(len(self.running))
            self._follow_window()

    def said_nothing(self, attempt: Attempt) -> None:
        """Take in that an attempt ended for a reason that says nothing of this target; it still runs."""
        self.breaker.no_evidence(attempt.attempt_id)
        if self.models:
            of_model = self.models.find(attempt.model)
            if of_model is not None:
                of_model.no_evidence(attempt.attempt_id)

    def failed(self, attempt: Attempt, kind: FailureKind, retry_after_s: float | None, now: float) -> None:
        """Take in that an attempt failed, or was given up before it spoke (``TIMEOUT``); it still runs.

        Where several models are asked for, one that is missing or broken does not rest the others.
        """
        attempt_id = attempt.attempt_id
        if self.models is None:
            self.breaker.failed(attempt_id, kind, retry_after_s, now)
        elif kind in OF_THE_MODEL:
            self.models.of(attempt.model).failed(attempt_id, kind, retry_after_s, now)
            self.breaker.no_evidence(attempt_id)
        else:
            self.breaker.failed(attempt_id, kind, retry_after_s, now)
            of_model = self.models.find(attempt.model)
            if of_model is not None:
                of_model.no_evidence(attempt_id)
        self._see_if_plain()
        if self.window is not None and kind in _TOO_BUSY:
            self.window.pushed_back(attempt.started_at, now)
            self._follow_window()

    def renewed(self) -> None:
        """Forget failures: it is a new process."""
        self.breaker.reset()
        if self.models is not None:
            self.models.reset()
        self._see_if_plain()

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt out, however it ended."""
        del self.running[attempt.attempt_id]
        if not self.running:
            self._ends = None
        elif self._ends is not None:
            self._ends.remove(attempt.expected_end_at, attempt.attempt_id, attempt.expected_s)
        if attempt.first_token_at is None:
            self.prefill_tokens -= attempt.prompt_tokens
            if attempt.is_queued:
                self._find_queued()

    def _find_queued(self) -> None:
        starts = [a.started_at for a in self.running.values() if a.is_queued]
        self.queued_since = min(starts) if starts else None


def _lacks(spec: TargetSpec) -> int:
    return mask([lack.feature for lack in spec.lacks]) | (_NATIVE & ~mask(spec.native))
