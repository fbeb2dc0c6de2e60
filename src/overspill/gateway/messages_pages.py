"""Pages for clients of Anthropic's API beside the answers: how long a prompt is, and which models there are."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs

import msgspec

from overspill.core.controller import Controller
from overspill.core.types import Route
from overspill.errors import WireError, did_you_mean
from overspill.gateway.http.exchange import Exchange
from overspill.wire.http import Headers
from overspill.wire.messages.models import models_body

_JSON: Headers = ((b"content-type", b"application/json"),)
_ESTIMATED = (b"x-overspill-count", b"estimated")


def list_models(exchange: Exchange, model_ids: Sequence[str]) -> None:
    """Answer ``GET /v1/models``; raise ``WireError`` for a page that there is not."""
    query = parse_qs(exchange.request.query.decode("latin-1"))
    limit, after, before = (query.get(name, [None])[-1] for name in ("limit", "after_id", "before_id"))
    exchange.reply(200, _JSON, models_body(model_ids, limit=limit, after=after, before=before))


def count_tokens(exchange: Exchange, controller: Controller, key_id: str) -> None:
    """Answer ``POST /v1/messages/count_tokens``; raise ``WireError`` for what cannot be counted.

    It is the gateway's estimate, corrected by what the counts of the model's targets have been so far.
    """
    from overspill.wire.messages.request import read_count

    request = read_count(exchange.request.body)
    route = controller.find_route(request.model)
    if route is None or not controller.may_ask_for(key_id, request.model):
        known = [other.pattern for other in controller.policy.routes]
        message = f"model: no route for model {request.model!r}{did_you_mean(request.model, known)}"
        raise WireError(message, status=404, code="model_not_found", param="model")
    tokens = max(1, round(request.prompt_tokens * token_ratio(controller, route)))
    exchange.reply(200, (*_JSON, _ESTIMATED), msgspec.json.encode({"input_tokens": tokens}))


def token_ratio(controller: Controller, route: Route) -> float:
    """Return how many tokens the first target that has told any counts where the estimate says one."""
    for tier in route.tiers:
        for place in tier:
            target = controller.targets.get(place.target_id)
            if target is not None and target.token_ratio.value != 1.0:
                return target.token_ratio.value
    return 1.0
