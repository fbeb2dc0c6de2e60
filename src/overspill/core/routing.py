"""Where a request runs: filter the route's targets, score what is left, pick one, or hold, or say that nothing will do.

The rule, tier by tier: run on the target with the lowest predicted TTFT that meets the request's SLO (beyond the first
tier: on the cheapest that meets it); hold for a slot when one frees soon enough for that; otherwise go on to the next
tier. A target meets the SLO if both its TTFT and, where the route promises one, its TPOT do. A TPOT that no tier can
keep is no longer judged; when no tier can keep the TTFT either, take whatever is predicted to speak first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

from overspill.core.cost import cost_usd
from overspill.core.limits import Denial, money_denial
from overspill.core.names import compiled, is_glob
from overspill.core.options import Never, Option, Start, Wait
from overspill.core.queueing import HalfAnswer, Request
from overspill.core.rescue import can_continue
from overspill.core.target import TargetState
from overspill.core.types import Health, Refusal, Route, RouteTarget, Spill

WAIT_MARGIN = 1.5
"""A predicted wait for a slot counts this much more: answer lengths are guesses."""
_SPILL_MARGIN_S = 0.02
"""A holder is looked at again this much before its last chance to spill in time: timers ring late, and sums round."""
_NEVER = float("inf")
_NEEDS_ANOTHER = (
    Refusal.LOCAL_ONLY,
    Refusal.UNSUPPORTED,
    Refusal.LACKS_FEATURE,
    Refusal.CONTEXT_TOO_LONG,
    Refusal.CANNOT_CONTINUE,
)
"""Refusals that stand for as long as the request and the target are what they are."""
_NO_SLOT = Refusal.NO_SLOT  # looked up at every decision; in Python 3.11 a member of an enum costs 90 ns
_AT_RATE_LIMIT = Refusal.AT_RATE_LIMIT
_WAITABLE = (_NO_SLOT, _AT_RATE_LIMIT)
"""Refusals for which there is a prediction of when they lift."""
_TTFT_AT_RISK = Spill.SLO_AT_RISK
_TPOT_AT_RISK = Spill.TPOT_AT_RISK
_KEEPS_BOTH = (None,)
_KEEPS_TTFT = (None, _TPOT_AT_RISK)
_RANKED_SPILL = (
    (Refusal.UNSUPPORTED, Spill.UNSUPPORTED),
    (Refusal.LACKS_FEATURE, Spill.LACKS_FEATURE),
    (Refusal.CONTEXT_TOO_LONG, Spill.CONTEXT_TOO_LONG),
    (Refusal.FAILED_BEFORE, Spill.ATTEMPT_FAILED),
    (Refusal.OVER_BUDGET, Spill.OVER_BUDGET),
)


class RouteTable:
    """Finds the route of a model name: exact names first, then globs in the order of the configuration."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._globs: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if is_glob(route.pattern):
                self._globs.append((compiled(route.pattern), route))
            else:
                self._exact.setdefault(route.pattern, route)
        self.all = tuple(routes)
        self.with_choice = frozenset(route.pattern for route in routes if sum(map(len, route.tiers)) > 1)
        """Patterns of the routes that name more than one target."""
        self.of_many_models = _of_many_models(routes)
        """The targets that are asked for several models: one that is missing there says little of the target."""

    def find(self, model: str) -> Route | None:
        """Return the route for ``model``, or ``None``."""
        route = self._exact.get(model)
        if route is not None:
            return route
        return next((route for pattern, route in self._globs if pattern.fullmatch(model)), None)


def _of_many_models(routes: Sequence[Route]) -> frozenset[str]:
    names: dict[str, set[str]] = {}
    for place in (place for route in routes for tier in route.tiers for place in tier):
        names.setdefault(place.target_id, set()).add(place.model)
    return frozenset(target_id for target_id, models in names.items() if len(models) > 1 or "" in models)


class Survey:
    """The targets of a route as one request sees them now; a tier is looked at when it is first asked for.

    ``behind`` requests of the lane come after this one, and ``ahead`` before it.
    """

    __slots__ = ("_ahead", "_behind", "_now", "_request", "_targets", "_tiers", "seen")

    def __init__(
        self, request: Request, targets: dict[str, TargetState], behind: int, now: float, ahead: int = 0
    ) -> None:
        self._ahead = ahead
        self._request = request
        self._targets = targets
        self._behind = behind
        self._now = now
        self._tiers = 0
        self.seen: list[Option] = []
        """Every target looked at so far, in tier order."""

    def next_tier(self) -> list[Option] | None:
        """Look at one tier more; return ``None`` after the last."""
        tiers = self._request.route.tiers
        tier = self._tiers
        if tier == len(tiers):
            return None
        self._tiers = tier + 1
        row = [
            _look(self._request, place, target, tier, self._behind, self._ahead, self._now)
            for place in tiers[tier]
            if (target := self._targets.get(place.target_id)) is not None
        ]
        self.seen += row
        return row

    def all(self) -> list[Option]:
        """Look at every tier that is left and return all targets."""
        while self.next_tier() is not None:
            pass
        return self.seen


def _look(
    request: Request, place: RouteTarget, target: TargetState, tier: int, behind: int, ahead: int, now: float
) -> Option:
    model = place.model or request.model
    if target.is_plain and request.is_plain:
        ttft_s = target.open_ttft_s(request.surface, request.prompt_tokens, request.local_only, now, request.needs)
        if ttft_s >= 0.0:
            return _look_plainly(request, target, model, tier, behind, ttft_s, now)
    return _look_closely(request, place, target, model, tier, behind, ahead, now)


def _look_closely(
    request: Request,
    place: RouteTarget,
    target: TargetState,
    model: str,
    tier: int,
    behind: int,
    ahead: int,
    now: float,
) -> Option:
    refusal = target.refusal(request.surface, request.prompt_tokens, request.local_only, now, model, request.needs)
    retry_at: float | None = None
    if refusal is not None:
        retry_at = _retry_at(refusal, target, model, now)
    elif request.backoff is not None:
        refusal, retry_at = _backed_off(request.backoff, target, now)
    if request.half is not None:
        refusal, retry_at = _of_half(request, request.half, place, target, refusal, retry_at)
    if refusal is None and (request.purses or target.purses):
        denied = over_budget(request, target, now)
        if denied is not None:
            refusal, retry_at = Refusal.OVER_BUDGET, denied.ready_at
    ttft_s = target.ttft_s(request.prompt_tokens, now)
    wait_s = 0.0
    if refusal is None:
        if not target.has_slot(now, request.headroom):
            refusal, wait_s = _NO_SLOT, target.slot_wait_s(behind, now, request.headroom)
        if target.meter is not None:
            ready_s = _rate_wait_s(request, target, ahead, now)
            if ready_s > wait_s:
                refusal, wait_s = _AT_RATE_LIMIT, ready_s
    risk = _risk(request, target, refusal is _NO_SLOT, wait_s, ttft_s, now)
    return Option(target, model, tier, refusal, ttft_s, wait_s, retry_at, risk)


def _look_plainly(
    request: Request, target: TargetState, model: str, tier: int, behind: int, ttft_s: float, now: float
) -> Option:
    """Look at a target that only its slots may forbid, as nearly every look is: ``_look_closely`` says the same."""
    refusal: Refusal | None = None
    wait_s = 0.0
    if not target.has_slot(now, request.headroom):
        refusal, wait_s = _NO_SLOT, target.slot_wait_s(behind, now, request.headroom)
    risk = _risk(request, target, refusal is _NO_SLOT, wait_s, ttft_s, now)
    return Option(target, model, tier, refusal, ttft_s, wait_s, None, risk)


def _risk(
    request: Request, target: TargetState, is_full: bool, wait_s: float, ttft_s: float, now: float
) -> Spill | None:
    if wait_s * WAIT_MARGIN + ttft_s > request.slo_at - now:
        return _TTFT_AT_RISK
    if request.tpot_slo_s is not None and target.tpot_s(is_full, now) > request.tpot_slo_s:
        return _TPOT_AT_RISK
    return None


def _backed_off(backoff: dict[str, float], target: TargetState, now: float) -> tuple[Refusal | None, float | None]:
    until = backoff.get(target.spec.target_id, 0.0)
    if until <= now:
        return None, None
    # For ever, where the target itself has counted the prompt and it does not fit.
    return Refusal.CONTEXT_TOO_LONG if until == _NEVER else Refusal.FAILED_BEFORE, until


def _of_half(
    request: Request,
    half: HalfAnswer,
    place: RouteTarget,
    target: TargetState,
    refusal: Refusal | None,
    retry_at: float | None,
) -> tuple[Refusal | None, float | None]:
    """Refuse a target that cannot go on with a broken answer, for ever or until it has been looked at."""
    goes_on = can_continue(request, half, place, target)
    if goes_on:
        return refusal, retry_at
    return Refusal.CANNOT_CONTINUE, None if goes_on is None else _NEVER


def _rate_wait_s(request: Request, target: TargetState, ahead: int, now: float) -> float:
    """Return how long the host's rates forbid the request; zero or less if they do not.

    Who waits is looked at when its turn should be and goes if there is room; who comes now does not go before others.
    """
    tokens = request.expected_tokens
    if request.lane is not None and target.rate_ready_at(tokens, 0) <= now:
        return 0.0
    return target.rate_ready_at(tokens, min(ahead, target.holding)) - now


def over_budget(request: Request, target: TargetState, now: float) -> Denial | None:
    """Return the budget that forbids this request here, or ``None``. An unknown price is more than any budget."""
    usd = spending_usd(request, target)
    return None if usd == 0.0 else money_denial((*request.purses, *target.purses), usd, now)


def spending_usd(request: Request, target: TargetState) -> float:
    """Return the most that the request is expected to be billed there, whenever it starts.

    Nothing at an owned target, infinity if unknown.
    """
    usd = cost_usd(target.billing.dearest, request.prompt_tokens, None, round(request.expected_output))
    return _NEVER if usd is None else usd


def _retry_at(refusal: Refusal, target: TargetState, model: str, now: float) -> float | None:
    if refusal in _NEEDS_ANOTHER or refusal is Refusal.DRAINING:
        return _NEVER
    if refusal is Refusal.NOT_READY:
        return _NEVER if target.health is Health.BROKEN else None
    return target.retry_at_s(model, now)


def decide(request: Request, survey: Survey, may_wait: bool, now: float) -> Start | Wait | Never:
    """Apply the rule of this module. ``may_wait`` is false where the queue is full."""
    while (row := survey.next_tier()) is not None:
        decision = _keep(request, row, survey, _KEEPS_BOTH, may_wait, now)
        if decision is not None:
            return decision
    seen = survey.seen
    if request.tpot_slo_s is not None:  # nobody keeps it: leaving home would cost money and win nothing
        for tier in range(len(request.route.tiers)):
            row = [o for o in seen if o.tier == tier]
            decision = _keep(request, row, survey, _KEEPS_TTFT, may_wait, now)
            if decision is not None:
                return decision
    return _best_effort(request, seen, may_wait, now)


def _keep(
    request: Request, row: list[Option], survey: Survey, kept: Sequence[Spill | None], may_wait: bool, now: float
) -> Start | Wait | None:
    """Start or hold in one tier, if a target there has no other risk than those of ``kept``."""
    fit = [o for o in row if o.refusal is None and o.risk in kept]
    if fit:
        return _start(cheapest(request, fit, now), survey.seen)
    if not may_wait:
        return None
    held = [o for o in row if o.refusal in _WAITABLE and o.risk in kept]
    if not held:
        return None
    best = min(held, key=_answer_s)
    later = [o for o in survey.all() if o.tier > best.tier and o.refusal is None and o.risk in kept]
    if best.refusal is _AT_RATE_LIMIT:
        return Wait(now + best.wait_s, best.target)
    slowest_s = max([o.ttft_s for o in later], default=-1.0)
    return Wait(look_again_at(request, best.ttft_s, best.wait_s, slowest_s, now), best.target)


def _start(option: Option, seen: list[Option]) -> Start:
    spill = spill_reason(seen) if option.tier > 0 else None
    return Start(option.target, option.model, option.ttft_s, option.tier, spill)


def _answer_s(option: Option) -> float:
    return option.wait_s + option.ttft_s


def cheapest(request: Request, fit: Sequence[Option], now: float) -> Option:
    """Pick from one tier: by price, but not at home; then by TTFT; then by a tie-break that every run repeats."""
    if len(fit) == 1:
        return fit[0]
    if fit[0].tier > 0:
        prices = [expected_usd(request, o.target, now) for o in fit]
        lowest = min(prices)
        fit = [o for o, price in zip(fit, prices, strict=True) if price == lowest]
    return _fastest(request, fit, now)


def _fastest(request: Request, fit: Sequence[Option], now: float) -> Option:
    lowest_s = min([o.ttft_s for o in fit])
    ties = [o for o in fit if o.ttft_s == lowest_s]
    if len(ties) == 1:
        return ties[0]
    return min(ties, key=lambda o: _tie_rank(request, o, now))


def _tie_rank(request: Request, option: Option, now: float) -> tuple[float, int]:
    price = 0.0 if option.tier == 0 else expected_usd(request, option.target, now)
    return price, tie_break(request.request_id, option.target.spec.target_id)


def tie_break(request_id: str, target_id: str) -> int:
    """Spread equal choices over targets, by a hash that does not depend on the process."""
    return crc32(target_id.encode(), crc32(request_id.encode()))


def expected_usd(request: Request, target: TargetState, now: float) -> float:
    """Return the expected price of the request there; infinite if unknown, so that known prices go first."""
    price = target.spec.price if target.clock is None else target.price_at(now)
    if price is None:
        return _NEVER
    tokens_in, tokens_out = request.prompt_tokens, request.expected_output
    return (tokens_in * price.input_usd_per_mtok + tokens_out * price.output_usd_per_mtok) / 1e6


def best_of(request: Request, free: list[Option], now: float) -> Option:
    """Pick one of ``free``, which may be of several tiers: of the first that keeps the SLO, else the fastest."""
    fit = [o for o in free if o.risk is None] or [o for o in free if o.risk is _TPOT_AT_RISK]
    if not fit:
        return _fastest(request, free, now)
    first = min([o.tier for o in fit])
    return cheapest(request, [o for o in fit if o.tier == first], now)


def look_again_at(request: Request, ttft_s: float, wait_s: float, spill_ttft_s: float, now: float) -> float:
    """Return the last moment at which both ways are still open: starting at home, and spilling in time.

    ``spill_ttft_s`` is of the slowest of the later targets that keep the SLO; -1 if none does.
    """
    latest = request.slo_at - ttft_s
    if spill_ttft_s >= 0.0:
        spill_at = request.slo_at - spill_ttft_s - _SPILL_MARGIN_S
        latest = spill_at if spill_at < latest else latest
    # A later tier that only just meets the SLO must not shorten the hold to nothing: the slot is predicted sooner.
    frees_at = now + wait_s
    return frees_at if frees_at > latest else latest


def _best_effort(request: Request, seen: list[Option], may_wait: bool, now: float) -> Start | Wait | Never:
    free = [o for o in seen if o.refusal is None]
    full = [o for o in seen if o.refusal in _WAITABLE] if may_wait else []
    best_free = _fastest(request, free, now) if free else None
    best_full = min(full, key=_answer_s) if full else None
    if best_free is not None and (
        best_full is None or best_free.ttft_s <= best_full.wait_s * WAIT_MARGIN + best_full.ttft_s
    ):
        return _start(best_free, seen)
    if best_full is not None:
        return Wait(min(request.deadline_at, now + best_full.wait_s), best_full.target, is_late=True)
    return _until_something_changes(request, seen)


def _until_something_changes(request: Request, seen: list[Option]) -> Wait | Never:
    refusals = [o.refusal for o in seen]
    if _NO_SLOT in refusals or _AT_RATE_LIMIT in refusals:  # and the queue is full too, or it would wait for that
        return Wait(request.deadline_at, None, is_late=True)
    if all(refusal in _NEEDS_ANOTHER for refusal in refusals):  # it is the request's fault, if there is a target at all
        if Refusal.CONTEXT_TOO_LONG in refusals:
            return Never.CONTEXT_TOO_LONG
        if Refusal.LACKS_FEATURE in refusals:
            return Never.LACKS_FEATURE
        if Refusal.UNSUPPORTED in refusals:
            return Never.UNSUPPORTED
    times = [o.retry_at for o in seen if o.retry_at is not None]
    first = min(times, default=_NEVER)
    waits_for_event = len(times) < len(seen)
    if first > request.deadline_at and not waits_for_event:
        return Never.OVER_BUDGET if Refusal.OVER_BUDGET in refusals else Never.NO_TARGET
    at = min(first, request.deadline_at)
    return Wait(at, None, is_late=at > request.slo_at)


def spill_reason(seen: list[Option]) -> Spill:
    """Say why a request that starts beyond the first tier did not start in it."""
    home = [o for o in seen if o.tier == 0]
    if not home:
        return Spill.LOCAL_ABSENT
    refusals = [o.refusal for o in home]
    if any(o.risk is _TPOT_AT_RISK and (o.refusal is None or o.refusal in _WAITABLE) for o in home):
        return _TPOT_AT_RISK
    if None in refusals:
        return Spill.SLO_AT_RISK
    if _NO_SLOT in refusals or _AT_RATE_LIMIT in refusals:
        return Spill.LOCAL_FULL
    for refusal, spill in _RANKED_SPILL:
        if refusal in refusals:
            return spill
    return Spill.LOCAL_BROKEN
