"""What an attempt takes from its target's rates and from budgets when it starts, and what it really used at its end.

The counts are those that the ledger gets, as far as the controller hears of them. Where a target did not report, or was
cut off, what it may bill is guessed: the prompt as estimated and the tokens that came. So a budget is sooner kept too
strictly than broken.
"""

from __future__ import annotations

from overspill.core.cost import cost_usd
from overspill.core.events import Finished
from overspill.core.queueing import Request
from overspill.core.rates import Purse, Rate
from overspill.core.routing import spending_usd
from overspill.core.target import Attempt, Charge, TargetState


def charge(request: Request, target: TargetState, now: float) -> Charge | None:
    """Take what the request is expected to use there; ``None`` if it is held to nothing."""
    rate: Rate | None = None
    meter = target.meter
    if meter is not None:
        if meter.requests is not None:
            meter.requests.take(1.0, now)
        rate = meter.tokens
        if rate is not None:
            rate.take(request.expected_tokens, now)
    purses: tuple[Purse, ...] = ()
    usd = spending_usd(request, target) if request.purses or target.purses else 0.0
    if usd:
        purses = tuple(purse for _, _, purse in (*request.purses, *target.purses))
        for purse in purses:
            purse.reserve(usd)
    return Charge(rate, request.expected_tokens, purses, usd) if rate is not None or purses else None


def settle(attempt: Attempt, usage: Finished | None, is_refused: bool, now: float) -> None:
    """Replace what an attempt took by what it used."""
    assert attempt.charge is not None  # it took something
    prompt_tokens, output_tokens = used(attempt, usage, is_refused)
    cached_tokens = None if usage is None else usage.cached_tokens
    cost = cost_usd(attempt.target.price_at(attempt.started_at), prompt_tokens, cached_tokens, output_tokens)
    attempt.charge.settle(prompt_tokens + output_tokens, 0.0 if cost is None else cost, now)


def used(attempt: Attempt, usage: Finished | None, is_refused: bool) -> tuple[int, int]:
    """Return the prompt and output tokens of an attempt that has ended: none of one that was refused."""
    if is_refused:
        return 0, 0
    if usage is None or usage.prompt_tokens is None:
        return attempt.prompt_tokens, attempt.output_tokens
    return usage.prompt_tokens, attempt.output_tokens
