"""Writes down how each attempt and each request ended: a ledger row and the metrics.

Called by the driver at the end of each; costs no I/O, since the ledger's writer has its own thread. The metrics are
counted from the same records, many at a time, so that the counting runs in a loop and not between other work.
"""

from __future__ import annotations

from typing import Final

from overspill.core.cost import Billing, cost_usd
from overspill.core.types import FailureKind, Outcome, Price, RejectReason, TargetSpec
from overspill.gateway.answer_lines import CACHE
from overspill.gateway.cache import KeptAnswer
from overspill.gateway.relay import Relay
from overspill.gateway.rescue import whole_usage
from overspill.gateway.session import Session
from overspill.ledger.records import AttemptOutcome, AttemptRecord, BodyRecord, RequestRecord
from overspill.ledger.writer import LedgerWriter
from overspill.telemetry.metrics import Metrics
from overspill.wire.answers import Usage

_POST_AT: Final = 64
"""Ends of one kind that wait to be counted, at most; a scrape counts what there is."""
_COMPLETED: Final = Outcome.COMPLETED
_CLIENT_GONE: Final = Outcome.CLIENT_GONE
_FINISHED: Final = AttemptOutcome.FINISHED
_FAILED: Final = AttemptOutcome.FAILED
_CANCELLED: Final = AttemptOutcome.CANCELLED
_CUT_OFF: Final = frozenset({Outcome.CLIENT_GONE, Outcome.SHUTDOWN})
"""The client has no whole answer, and nobody's."""
_UNANSWERED: Final = frozenset({Outcome.REJECTED, Outcome.EVICTED, Outcome.FAILED})
"""The client has an error of ours; what the last attempt brought never reached it."""

_AttemptEnd = tuple[str, AttemptOutcome, int | None, int | None, float | None]
"""Target, outcome, prompt tokens, output tokens, cost."""
_RequestEnd = tuple[
    str, str | None, Outcome, RejectReason | FailureKind | None, float, float | None, float | None, float
]
"""Route, target, outcome, reason, seconds of waiting, to the first token, per token, to the end."""


class Bookkeeper:
    """Knows the prices, and turns a session and its relays into records."""

    def __init__(self, ledger: LedgerWriter | None, metrics: Metrics, *, store_bodies: bool = False) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._store_bodies = store_bodies
        self._billing: dict[str, Billing] = {}
        self._decisions: list[float] = []
        self._attempts: list[_AttemptEnd] = []
        self._requests: list[_RequestEnd] = []

    def set_prices(self, targets: tuple[TargetSpec, ...]) -> None:
        """Take the prices of a new policy. A target that is gone keeps its price: attempts on it may still run."""
        for spec in targets:
            self._billing[spec.target_id] = Billing(spec)

    def decided(self, elapsed_s: float) -> None:
        """Count one event that the controller has handled."""
        decisions = self._decisions
        decisions.append(elapsed_s)
        if len(decisions) >= _POST_AT:
            self.post()

    def started(self, relay: Relay) -> None:
        """Count an attempt that leaves the first tier."""
        spill = relay.command.spill
        if spill is not None:
            self._metrics.spilled(spill.value)

    def attempt(self, session: Session, relay: Relay) -> None:
        """Write an attempt that has ended; its cost is added to the session's."""
        if relay.failure is not None:
            outcome = _FAILED
        elif relay.is_whole:
            outcome = _FINISHED
        else:
            outcome = _CANCELLED
        usage = relay.usage
        prompt_tokens = cached_tokens = output_tokens = None
        if usage is not None:
            prompt_tokens, cached_tokens, output_tokens = usage.prompt_tokens, usage.cached_tokens, usage.output_tokens
        if output_tokens is None:
            output_tokens = relay.tokens or None
        command = relay.command
        target_id = command.target_id
        started_wall_s = session.arrived_wall_s + (relay.started_at - session.arrived_at)
        billing = self._billing.get(target_id)
        price = None if billing is None else billing.at(started_wall_s)
        cost = _cost(relay, price, prompt_tokens, cached_tokens, output_tokens)
        session.add_cost(cost)
        ended_at = relay.ended_at if relay.ended_at is not None else relay.heard_at
        first_at = relay.first_token_at
        record = AttemptRecord(
            session.request_id,
            command.attempt_id,
            target_id,
            relay.model,
            started_wall_s,
            command.spill,
            command.predicted_ttft_s,
            None if first_at is None else first_at - relay.started_at,
            _tpot_s(first_at, ended_at, output_tokens),
            ended_at - relay.started_at,
            outcome,
            relay.failure,
            relay.status,
            prompt_tokens,
            cached_tokens,
            output_tokens,
            cost,
            None if relay.resumption is None else relay.resumption.continuation.seam.characters,
            relay.answered_model,
        )
        self._attempts.append((target_id, outcome, prompt_tokens, output_tokens, cost))
        if self._ledger is not None:
            self._ledger.add_attempt(record)

    def request(
        self, session: Session, outcome: Outcome, reason: RejectReason | FailureKind | None, now: float
    ) -> None:
        """Write a request that has its final answer."""
        relay = None if outcome in _UNANSWERED else session.relay
        usage = None if relay is None else _usage(relay)
        first_at = None if relay is None else session.first_token_at or relay.first_token_at
        output_tokens = _output_tokens(session, relay, usage)
        e2e_s = now - session.arrived_at
        ttft_s = None if first_at is None else first_at - session.arrived_at
        tpot_s = _tpot_s(first_at, now, output_tokens)
        target_id = relay.command.target_id if relay is not None and outcome not in _CUT_OFF else None
        queue_wait_s = session.queue_wait_s if session.attempts else e2e_s
        request = session.request
        record = RequestRecord(
            session.request_id,
            session.arrived_wall_s,
            request.model,
            session.route_pattern,
            request.surface,
            session.key_id,
            request.stream,
            session.wishes.priority,
            session.local_only_by is not None,
            request.prompt_tokens,
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.cached_tokens,
            output_tokens,
            None if usage is None else usage.reasoning_tokens,
            request.max_tokens,
            outcome,
            reason,
            session.spill,
            target_id,
            session.attempts,
            queue_wait_s,
            ttft_s,
            tpot_s,
            e2e_s,
            session.cost_usd,
            None if relay is None else relay.finish_reason,
            session.client_status,
            session.local_only_by,
            session.rescues,
            session.unrescued,
            session.exchange.request.client_request_id,
            session.exchange.request.peer,
        )
        end = (session.route_pattern, target_id, outcome, reason, queue_wait_s, ttft_s, tpot_s, e2e_s)
        self._written(session, record, end)

    def answered_again(self, session: Session, kept: KeptAnswer, now: float) -> None:
        """Write a request that was answered from the cache: no attempt, no cost, and the usage of the kept answer."""
        request, usage = session.request, kept.usage
        e2e_s = now - session.arrived_at
        record = RequestRecord(
            session.request_id,
            session.arrived_wall_s,
            request.model,
            session.route_pattern,
            session.request.surface,
            session.key_id,
            request.stream,
            session.wishes.priority,
            session.local_only_by is not None,
            request.prompt_tokens,
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.cached_tokens,
            None if usage is None else usage.output_tokens,
            None if usage is None else usage.reasoning_tokens,
            request.max_tokens,
            _COMPLETED,
            None,
            None,
            CACHE,
            0,
            0.0,
            e2e_s,
            None,
            e2e_s,
            0.0,
            kept.finish_reason,
            session.client_status,
            session.local_only_by,
            0,
            None,
            session.exchange.request.client_request_id,
            session.exchange.request.peer,
        )
        end = (session.route_pattern, CACHE, _COMPLETED, None, 0.0, e2e_s, None, e2e_s)
        self._written(session, record, end)

    def _written(self, session: Session, record: RequestRecord, end: _RequestEnd) -> None:
        self._requests.append(end)
        unrescued = session.unrescued
        if session.rescues or unrescued is not None:
            self._metrics.rescued(session.rescues, None if unrescued is None else unrescued.value)
        if self._ledger is not None:
            if self._store_bodies:
                self._keep_bodies(self._ledger, session)
            self._ledger.add_request(record)
        if len(self._requests) >= _POST_AT or len(self._attempts) >= _POST_AT:
            self.post()

    def post(self) -> None:
        """Count what has been written down since the last time."""
        decisions, self._decisions = self._decisions, []
        attempts, self._attempts = self._attempts, []
        requests, self._requests = self._requests, []
        metrics = self._metrics
        for elapsed_s in decisions:
            metrics.decided(elapsed_s)
        for target, result, prompt_tokens, output_tokens, cost in attempts:
            metrics.attempt_ended(target, result._value_, prompt_tokens, output_tokens, cost)
        for route, target_id, outcome, reason, queue_wait_s, ttft_s, tpot_s, e2e_s in requests:
            if outcome is _COMPLETED and target_id is not None:
                metrics.answered(route, target_id, queue_wait_s, ttft_s, tpot_s, e2e_s)
            elif outcome is _CLIENT_GONE:
                metrics.client_left()
            rejected = None if reason is None or not isinstance(reason, RejectReason) else reason._value_
            metrics.request_ended(route, outcome._value_, rejected)

    def _keep_bodies(self, ledger: LedgerWriter, session: Session) -> None:
        answer = bytes(session.answer or b"")
        ledger.add_body(BodyRecord(session.request_id, session.exchange.request.body, answer))


def _cost(
    relay: Relay, price: Price | None, prompt_tokens: int | None, cached_tokens: int | None, output_tokens: int | None
) -> float | None:
    """Return an attempt's cost. One that the target refused or never got costs nothing; a broken one may have."""
    if relay.failure is not None and relay.status != 200:
        return 0.0
    return cost_usd(price, prompt_tokens, cached_tokens, output_tokens)


def _usage(relay: Relay) -> Usage | None:
    """Return the usage of the whole answer."""
    return relay.usage if relay.resumption is None else whole_usage(relay.usage, relay.resumption)


def _output_tokens(session: Session, relay: Relay | None, usage: Usage | None) -> int | None:
    """Return the tokens of the whole answer, also of one that several attempts wrote."""
    if relay is None:
        return None
    reported = usage.output_tokens if usage is not None else None
    if reported is not None:
        return reported
    if relay.resumption is not None and session.kept is not None:
        return session.kept.transcript().pieces or None
    return relay.tokens or None


def _tpot_s(first_at: float | None, ended_at: float, output_tokens: int | None) -> float | None:
    if first_at is None or output_tokens is None or output_tokens < 2:
        return None
    return (ended_at - first_at) / (output_tokens - 1)
