"""Whether a stream that broke off is continued, and on which target.

The gateway says what the client has (``Cut``) and where a target was seen to go on exactly (``TargetVerified``); here
is the decision. Another target continues an answer only if it is known to have the same weights: what goes on is then
the answer that would have come.
"""

from __future__ import annotations

from collections.abc import Sequence

from overspill.core.events import Failed
from overspill.core.options import Option
from overspill.core.queueing import HalfAnswer, Request
from overspill.core.target import TargetState
from overspill.core.types import Continues, FailureKind, Refusal, RescuePolicy, RescueRefusal, Route, RouteTarget

_NOT_CONTINUED = {
    FailureKind.MODERATION: RescueRefusal.MODERATION,
    FailureKind.HISTORY: RescueRefusal.REFUSED,
    FailureKind.BAD_REQUEST: RescueRefusal.REFUSED,
    FailureKind.DIVERGED: RescueRefusal.DIVERGED,
}
"""Failures that are an answer to the question whether it can be continued."""


def why_not(request: Request, failed: Failed) -> RescueRefusal | None:
    """Say why a request whose client has half an answer is given up; ``None`` if a target is to be looked for."""
    half = request.half
    if request.route.rescue is RescuePolicy.OFF:
        return RescueRefusal.OFF
    if half is None:
        return RescueRefusal.UNVERIFIED
    if half.cut.refusal is not None:
        return half.cut.refusal
    if not half.weights:
        return RescueRefusal.OTHER_WEIGHTS
    if failed.kind in _NOT_CONTINUED:
        return _NOT_CONTINUED[failed.kind]
    if request.failures >= request.route.max_attempts:
        return RescueRefusal.ATTEMPTS_EXHAUSTED
    return None


def can_continue(request: Request, half: HalfAnswer, place: RouteTarget, target: TargetState) -> bool | None:
    """Tell whether the target can go on with the request's answer; ``None`` if that is yet to be seen."""
    if place.weights != half.weights:
        return False
    seen = target.continues.get(place.model or request.model)
    if seen is None:
        return None
    if half.cut.has_reasoning:
        return seen is Continues.REASONING
    return seen is not Continues.NOTHING


def rescuers(route: Route, targets: dict[str, TargetState]) -> frozenset[str]:
    """Return the names of weights with which a target of the route was seen to go on with answers."""
    if route.rescue is RescuePolicy.OFF:
        return frozenset()
    places = [place for tier in route.tiers for place in tier if place.weights and place.target_id in targets]
    return frozenset(place.weights for place in places if _goes_on(targets[place.target_id], place.model))


def _goes_on(target: TargetState, model: str) -> bool:
    return target.continues.get(model, Continues.NOTHING) is not Continues.NOTHING


def weights_of(route: Route, target_id: str, model: str) -> str:
    """Return the name of the weights that a route's requests meet on a target under ``model``; empty if unknown."""
    for place in (place for tier in route.tiers for place in tier):
        if place.target_id == target_id and place.model in ("", model):
            return place.weights
    return ""


def why_nowhere(seen: Sequence[Option]) -> RescueRefusal:
    """Say why no target of the route will go on, from how they look."""
    refusals = [option.refusal for option in seen]
    if all(refusal is Refusal.CANNOT_CONTINUE for refusal in refusals):
        return RescueRefusal.OTHER_WEIGHTS
    return RescueRefusal.CONTEXT_TOO_LONG if Refusal.CONTEXT_TOO_LONG in refusals else RescueRefusal.NO_TARGET
