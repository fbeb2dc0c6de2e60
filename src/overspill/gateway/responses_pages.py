"""The page of OpenAI's Responses beside the answers: how long an input is."""

from __future__ import annotations

import msgspec

from overspill.core.controller import Controller
from overspill.gateway.counting import token_ratio
from overspill.gateway.http.exchange import Exchange
from overspill.wire.http import Headers
from overspill.wire.responses.reading import read_count

_HEADERS: Headers = ((b"content-type", b"application/json"), (b"x-overspill-count", b"estimated"))


def count_input(exchange: Exchange, controller: Controller, key_id: str) -> None:
    """Answer ``POST /v1/responses/input_tokens``; raise ``WireError`` for what cannot be counted.

    It is the gateway's estimate, corrected by what the counts of the model's targets have been so far.
    """
    model, tokens = read_count(exchange.request.body)
    route = None if model is None else controller.find_route(model)
    if model is not None and route is not None and controller.may_ask_for(key_id, model):
        tokens = max(1, round(tokens * token_ratio(controller, route)))
    exchange.reply(200, _HEADERS, msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens}))
