"""``GET /debug/route``: why a request would go where it would go, now, without sending it."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from overspill.core.controller import Controller
from overspill.core.events import Arrived
from overspill.core.options import Never, Option, Start, Wait
from overspill.core.routing import spill_reason
from overspill.core.types import LimitHit, Refusal, Resource, Surface
from overspill.errors import OverspillError, UnknownName, did_you_mean
from overspill.features import Feature, mask

_KNOWN = ("model", "surface", "prompt_tokens", "max_tokens", "priority", "local_only", "key", "needs")


def explain_route(controller: Controller, query: dict[str, list[str]], now: float) -> dict[str, Any]:
    """Explain the decision for a request with these properties; raise ``OverspillError`` for a query that is wrong."""
    event = _event(query)
    found = controller.find_route(event.model)
    if found is not None and found.screening:  # there is no text here: as if the detectors had found nothing
        event = msgspec.structs.replace(event, screening=found.screening)
    route, seen, decision = controller.explain(event, now)
    if route is None:
        known = ", ".join(r.pattern for r in controller.policy.routes)
        return {
            "model": event.model,
            "route": None,
            "decision": {"do": "reject", "why": "unknown_model"},
            "known": known,
        }
    return {
        "model": event.model,
        "route": route.pattern,
        "slo_ttft_s": route.slo.ttft_s,
        "slo_tpot_s": route.slo.tpot_s,
        "deadline_s": route.deadline_s,
        "local_only": event.local_only or route.local_only,
        "screened": route.screening != 0,
        "decision": _decision(decision, seen, now),
        "limits": [_limit(hit) for hit in controller.limits_of(event.key_id, route, now)],
        "targets": [_target(option, now) for option in seen],
    }


def _event(query: dict[str, list[str]]) -> Arrived:
    for name in query:
        if name not in _KNOWN:
            raise OverspillError(f"unknown parameter {name!r}{did_you_mean(name, _KNOWN)}; known: {', '.join(_KNOWN)}")
    model = query.get("model", [""])[-1]
    if not model:
        raise OverspillError("parameter 'model' is missing: GET /debug/route?model=NAME&prompt_tokens=N")
    surface = query.get("surface", ["chat"])[-1]
    if surface not in set(Surface):
        raise UnknownName("surface", surface, list(Surface))
    max_tokens = query.get("max_tokens")
    return Arrived(
        request_id="explain",
        model=model,
        surface=Surface(surface),
        prompt_tokens=_number(query, "prompt_tokens", 100),
        max_tokens=None if max_tokens is None else _number(query, "max_tokens", 0),
        priority=_number(query, "priority", 1),
        local_only=_flag(query, "local_only"),
        key_id=query.get("key", [""])[-1],
        needs=mask(_features(query)),
    )


def _features(query: dict[str, list[str]]) -> list[Feature]:
    """Read ``needs=images,tools``."""
    names = [name for text in query.get("needs", []) for name in text.split(",") if name]
    for name in names:
        if name not in set(Feature):
            raise UnknownName("feature", name, list(Feature))
    return [Feature(name) for name in names]


def _number(query: dict[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[-1]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise OverspillError(f"parameter {name!r} is {text!r}; it must be a whole number")
    return int(text)


def _flag(query: dict[str, list[str]], name: str) -> bool:
    text = query.get(name, ["false"])[-1].lower()
    if text not in ("true", "false", "1", "0"):
        raise OverspillError(f"parameter {name!r} is {text!r}; it must be true or false")
    return text in ("true", "1")


def _decision(decision: Start | Wait | Never | None, seen: list[Option], now: float) -> dict[str, Any]:
    match decision:
        case Start():
            return {
                "do": "start",
                "target": decision.target.spec.target_id,
                "model": decision.model,
                "predicted_ttft_s": decision.ttft_s,
                "spill": spill_reason(seen).value if decision.tier > 0 else None,
            }
        case Wait():
            holding = decision.holding
            return {
                "do": "wait",
                "for_slot_of": None if holding is None else holding.spec.target_id,
                "looks_again_in_s": decision.until - now,
            }
        case Never():
            return {"do": "reject", "why": decision.name.lower()}
        case None:
            return {"do": "reject", "why": "unknown_model"}
        case _:
            assert_never(decision)


def _limit(hit: LimitHit) -> dict[str, Any]:
    return {
        "of": hit.scope.value,
        "name": hit.name,
        "what": hit.resource.value,
        "limit": hit.amount,
        "per": _per(hit),
        "left": hit.left,
    }


def _model_breaker(option: Option) -> str | None:
    """Return the state of the model's own breaker; ``None`` where the target has none, or the model has not failed."""
    models = option.target.models
    breaker = None if models is None else models.find(option.model)
    return None if breaker is None else breaker.state.value


def _per(hit: LimitHit) -> str | None:
    if hit.resource is Resource.CONCURRENCY:
        return None
    return "minute" if hit.window is None else hit.window.value


def _target(option: Option, now: float) -> dict[str, Any]:
    target = option.target
    price = target.spec.price if target.clock is None else target.price_at(now)
    return {
        "target": target.spec.target_id,
        "tier": option.tier,
        "local": target.spec.is_local,
        "model": option.model,
        "refusal": None if option.refusal is None else option.refusal.value,
        "predicted_ttft_s": option.ttft_s,
        "predicted_slot_wait_s": option.wait_s,
        "predicted_tpot_s": target.tpot_s(option.refusal is Refusal.NO_SLOT, now),
        "at_risk": None if option.risk is None else option.risk.value,
        "running": len(target.running),
        "load": target.load(now),
        "slots": target.slots,
        "lacks": {lack.feature.value: lack.why for lack in target.spec.lacks},
        "holding": target.holding,
        "health": target.health.value,
        "breaker": target.breaker.state.value,
        "model_breaker": _model_breaker(option),
        "ttft_base_s": target.speed.ttft.base,
        "ttft_s_per_prefill_token": target.speed.ttft.slope,
        "tpot_base_s": target.speed.tpot.base,
        "tpot_s_per_running": target.speed.tpot.slope,
        "price_usd_per_mtok": None if price is None else [price.input_usd_per_mtok, price.output_usd_per_mtok],
    }
