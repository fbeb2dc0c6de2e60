"""Writes down how each attempt and each request ended: a ledger row and the metrics.

Called by the driver at the end of each; costs no I/O, since the ledger's writer has its own thread.
"""

from __future__ import annotations

from overspill.core.types import FailureKind, Outcome, Price, RejectReason, TargetSpec
from overspill.gateway.relay import Relay
from overspill.gateway.session import Session
from overspill.ledger.cost import billing_price, cost_usd
from overspill.ledger.records import AttemptOutcome, AttemptRecord, BodyRecord, RequestRecord
from overspill.ledger.writer import LedgerWriter
from overspill.telemetry.metrics import Metrics

_UNANSWERED = frozenset({Outcome.REJECTED, Outcome.EVICTED, Outcome.FAILED})
"""The client has an error of ours; what the last attempt brought never reached it."""


class Bookkeeper:
    """Knows the prices, and turns a session and its relays into records."""

    def __init__(self, ledger: LedgerWriter | None, metrics: Metrics, *, store_bodies: bool = False) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._store_bodies = store_bodies
        self._prices: dict[str, Price | None] = {}

    def set_prices(self, targets: tuple[TargetSpec, ...]) -> None:
        """Take the prices of a new policy. A target that is gone keeps its price: attempts on it may still run."""
        for spec in targets:
            self._prices[spec.target_id] = billing_price(spec)

    def decided(self, elapsed_s: float) -> None:
        """Count one event that the controller has handled."""
        self._metrics.decided(elapsed_s)

    def started(self, relay: Relay) -> None:
        """Count an attempt that leaves the first tier."""
        spill = relay.command.spill
        if spill is not None:
            self._metrics.spilled(spill.value)

    def attempt(self, session: Session, relay: Relay) -> None:
        """Write an attempt that has ended; its cost is added to the session's."""
        if relay.failure is not None:
            outcome = AttemptOutcome.FAILED
        elif relay.is_whole:
            outcome = AttemptOutcome.FINISHED
        else:
            outcome = AttemptOutcome.CANCELLED
        usage = relay.usage
        prompt_tokens = cached_tokens = output_tokens = None
        if usage is not None:
            prompt_tokens, cached_tokens, output_tokens = usage.prompt_tokens, usage.cached_tokens, usage.output_tokens
        if output_tokens is None and relay.tokens:
            output_tokens = relay.tokens
        command = relay.command
        target_id = command.target_id
        cost = _cost(relay, self._prices.get(target_id), prompt_tokens, cached_tokens, output_tokens)
        session.add_cost(cost)
        self._metrics.attempt_ended(target_id, outcome.value, prompt_tokens, output_tokens, cost)
        if self._ledger is None:
            return
        ended_at = relay.ended_at if relay.ended_at is not None else relay.heard_at
        first_at = relay.first_token_at
        self._ledger.add_attempt(
            AttemptRecord(
                session.request_id,
                command.attempt_id,
                target_id,
                relay.model,
                session.arrived_wall_s + (relay.started_at - session.arrived_at),
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
            )
        )

    def request(
        self, session: Session, outcome: Outcome, reason: RejectReason | FailureKind | None, now: float
    ) -> None:
        """Write a request that has its final answer."""
        relay = None if outcome in _UNANSWERED else session.relay
        usage = None if relay is None else relay.usage
        first_at = None if relay is None else relay.first_token_at
        output_tokens = _output_tokens(relay)
        e2e_s = now - session.arrived_at
        ttft_s = None if first_at is None else first_at - session.arrived_at
        tpot_s = _tpot_s(first_at, now, output_tokens)
        target_id = relay.command.target_id if relay is not None and outcome is not Outcome.CLIENT_GONE else None
        if outcome is Outcome.COMPLETED and target_id is not None:
            self._metrics.answered(session.route_pattern, target_id, session.queue_wait_s, ttft_s, tpot_s, e2e_s)
        self._count_end(session, outcome, reason)
        if self._ledger is None:
            return
        self._keep_bodies(self._ledger, session)
        request, wishes = session.request, session.wishes
        self._ledger.add_request(
            RequestRecord(
                session.request_id,
                session.arrived_wall_s,
                request.model,
                session.route_pattern,
                session.surface,
                session.key_id,
                request.stream,
                wishes.priority,
                session.is_local_only,
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
                session.queue_wait_s if session.attempts else e2e_s,
                ttft_s,
                tpot_s,
                e2e_s,
                session.cost_usd,
                None if relay is None else relay.finish_reason,
                session.client_status,
            )
        )

    def _count_end(self, session: Session, outcome: Outcome, reason: RejectReason | FailureKind | None) -> None:
        if outcome is Outcome.CLIENT_GONE:
            self._metrics.client_left()
        rejected = reason.value if isinstance(reason, RejectReason) else None
        self._metrics.request_ended(session.route_pattern, outcome.value, rejected)

    def _keep_bodies(self, ledger: LedgerWriter, session: Session) -> None:
        if self._store_bodies:
            answer = bytes(session.answer or b"")
            ledger.add_body(BodyRecord(session.request_id, session.exchange.request.body, answer))


def _cost(
    relay: Relay, price: Price | None, prompt_tokens: int | None, cached_tokens: int | None, output_tokens: int | None
) -> float | None:
    """Return an attempt's cost. One that the target refused or never got costs nothing; a broken one may have."""
    if relay.failure is not None and relay.status != 200:
        return 0.0
    return cost_usd(price, prompt_tokens, cached_tokens, output_tokens)


def _output_tokens(relay: Relay | None) -> int | None:
    if relay is None:
        return None
    reported = relay.usage.output_tokens if relay.usage is not None else None
    return reported if reported is not None else relay.tokens or None


def _tpot_s(first_at: float | None, ended_at: float, output_tokens: int | None) -> float | None:
    if first_at is None or output_tokens is None or output_tokens < 2:
        return None
    return (ended_at - first_at) / (output_tokens - 1)
