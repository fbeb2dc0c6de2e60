"""The short way to a decision, where nothing bears on it but slots and what is promised; ``routing`` has the rule.

So it is for nearly every decision: the request has not failed, no budget and no rate of a host limits it, no breaker is
open. Each function says what ``routing.decide`` would, or ``None`` where that has to look more closely. What makes it
short is that nothing is kept of the targets looked at: of the 20 µs of a decision between four targets, most went into
rows that say how each of them looked.
"""

from __future__ import annotations

from zlib import crc32

from overspill.core.options import Option, Start, Wait
from overspill.core.queueing import Request
from overspill.core.routing import WAIT_MARGIN, cheapest, look_again_at
from overspill.core.target import TargetState
from overspill.core.types import Spill

_NEVER = float("inf")
_LOCAL_ABSENT = Spill.LOCAL_ABSENT  # in Python 3.11 a member of an enum costs 90 ns
_LOCAL_FULL = Spill.LOCAL_FULL
_SLO_AT_RISK = Spill.SLO_AT_RISK


def start_at_home(request: Request, targets: dict[str, TargetState], now: float) -> Start | None:
    """Return what ``decide`` would, where that is a start in the first tier by a request that has not failed before.

    The shortest way, and that of most requests: it needs not know who waits.
    """
    tiers = request.route.tiers
    if request.headroom or request.purses or not tiers:
        return None
    slack_s, tpot_slo_s = request.slo_at - now, request.tpot_slo_s
    best: TargetState | None = None
    best_s = 0.0
    model = ""
    for place in tiers[0]:
        target = targets.get(place.target_id)
        if target is None:
            continue
        if not target.is_plain:
            return None
        ttft_s = target.quote_s(request.surface, request.prompt_tokens, request.local_only, now, request.needs)
        if ttft_s < 0.0 or ttft_s > slack_s:
            continue
        if tpot_slo_s is not None and target.tpot_s(False, now) > tpot_slo_s:
            continue
        if best is None or ttft_s < best_s or (ttft_s == best_s and _comes_first(request, target, best)):
            best, best_s, model = target, ttft_s, place.model
    return None if best is None else Start(best, model or request.model, best_s, 0)


def _comes_first(request: Request, target: TargetState, other: TargetState) -> bool:
    seed = crc32(request.request_id.encode())  # as ``tie_break`` does, once for both
    return crc32(target.spec.target_id.encode(), seed) < crc32(other.spec.target_id.encode(), seed)


def start_or_hold(  # noqa: C901 - one loop that keeps nothing is what makes the way short
    request: Request, targets: dict[str, TargetState], behind: int, now: float
) -> Start | Wait | None:
    """Return what ``decide`` would, where a target keeps the request's promises, now or with a slot that frees."""
    if not request.is_plain:
        return None
    slack_s, tpot_slo_s, headroom = request.slo_at - now, request.tpot_slo_s, request.headroom
    spill: Spill | None = None
    is_odd = False  # home has something else than slots and TTFT to say
    for tier, places in enumerate(request.route.tiers):
        fit: list[Option] = []
        held: TargetState | None = None
        held_wait_s = held_ttft_s = 0.0
        for place in places:
            target = targets.get(place.target_id)
            if target is None:
                continue
            if not target.is_plain:
                return None
            ttft_s = target.open_ttft_s(request.surface, request.prompt_tokens, request.local_only, now, request.needs)
            if ttft_s < 0.0:
                is_odd = is_odd or tier == 0
                continue
            is_free = target.has_slot(now, headroom)
            wait_s = 0.0 if is_free else target.slot_wait_s(behind, now, headroom)
            if tier == 0 and spill is not _SLO_AT_RISK:
                spill = _SLO_AT_RISK if is_free else _LOCAL_FULL
            if wait_s * WAIT_MARGIN + ttft_s > slack_s:
                continue
            if tpot_slo_s is not None and target.tpot_s(not is_free, now) > tpot_slo_s:
                is_odd = is_odd or tier == 0
            elif is_free:
                fit.append(Option(target, place.model or request.model, tier, None, ttft_s, 0.0, None, None))
            elif held is None or wait_s + ttft_s < held_wait_s + held_ttft_s:
                held, held_wait_s, held_ttft_s = target, wait_s, ttft_s
        if fit:
            best = cheapest(request, fit, now)
            if tier == 0:
                return Start(best.target, best.model, best.ttft_s, 0)
            return None if is_odd else Start(best.target, best.model, best.ttft_s, tier, spill or _LOCAL_ABSENT)
        if held is not None:
            slowest_s = _slowest_spill_s(request, targets, tier + 1, now)
            if slowest_s == _NEVER:
                return None
            return Wait(look_again_at(request, held_ttft_s, held_wait_s, slowest_s, now), held)
    return None


def _slowest_spill_s(request: Request, targets: dict[str, TargetState], first: int, now: float) -> float:
    """Return the TTFT of the slowest target from a tier on that keeps the promises; -1 if none does.

    Infinity where only a closer look can tell.
    """
    slowest_s = -1.0
    slack_s, tpot_slo_s = request.slo_at - now, request.tpot_slo_s
    for places in request.route.tiers[first:]:
        for place in places:
            target = targets.get(place.target_id)
            if target is None:
                continue
            if not target.is_plain:
                return _NEVER
            ttft_s = target.open_ttft_s(request.surface, request.prompt_tokens, request.local_only, now, request.needs)
            if not slowest_s < ttft_s <= slack_s or not target.has_slot(now, request.headroom):
                continue
            if tpot_slo_s is None or target.tpot_s(False, now) <= tpot_slo_s:
                slowest_s = ttft_s
    return slowest_s
