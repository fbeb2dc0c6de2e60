"""Holds a request to what its key, team and model may: before it is placed, and again when the policy changes."""

from __future__ import annotations

from overspill.core.commands import Reject
from overspill.core.limits import Limiter, denial, reserve
from overspill.core.queueing import Request
from overspill.core.types import Outcome, RejectReason


def bind(limiter: Limiter, request: Request) -> None:
    """Bind a request to its key's place and budgets, which a new policy may have changed. What was local stays so."""
    client = limiter.client(request.key_id)
    if client is not None and client.local_only:
        request.local_only = True
    allowance = limiter.allowance_of(request.key_id, request.route)
    request.purses = () if allowance is None else allowance.purses


def admit(limiter: Limiter, request: Request, now: float) -> Reject | None:
    """Bind a request and reserve what it is expected to use, or refuse it with nothing reserved."""
    bind(limiter, request)
    if not limiter.may_ask_for(request.key_id, request.model):
        return _reject(request, RejectReason.MODEL_NOT_ALLOWED)
    allowance = limiter.allowance_of(request.key_id, request.route)
    if allowance is None:
        return None
    tokens = request.expected_tokens
    denied = denial(allowance, tokens, now)
    if denied is None:
        request.reservation = reserve(allowance, tokens, now)
        return None
    return Reject(
        request_id=request.request_id,
        reason=RejectReason.RATE_LIMITED,
        outcome=Outcome.REJECTED,
        retry_after_s=denied.ready_at - now,
        limit=denied.hit,
    )


def _reject(request: Request, reason: RejectReason) -> Reject:
    return Reject(request_id=request.request_id, reason=reason, outcome=Outcome.REJECTED)
