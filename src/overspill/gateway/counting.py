"""Answers how many tokens a prompt has: by the engine that would get it, or by the gateway's estimate.

Only local engines are asked: a prompt that nobody has screened yet must not leave for the sake of a number.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from overspill.core.controller import Controller
from overspill.core.types import Health, Route, Surface
from overspill.errors import WireError, did_you_mean
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.http.fetch import fetch
from overspill.gateway.live_target import LiveEngine
from overspill.wire.chat import rewrite
from overspill.wire.http import HttpCall
from overspill.wire.messages.request import read_count

if TYPE_CHECKING:
    from overspill.gateway.driver import Driver

_TIMEOUT_S = 2.0
_JSON = (b"content-type", b"application/json")


class _Counted(msgspec.Struct):
    """What an engine answers."""

    input_tokens: int


_decode = msgspec.json.Decoder(_Counted).decode


class TokenCounter:
    """Answers ``POST /v1/messages/count_tokens``."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._asking: set[asyncio.Task[None]] = set()

    def answer(self, exchange: Exchange, key_id: str) -> None:
        """Answer at once or a little later; raise ``WireError`` for what cannot be counted."""
        controller = self._driver.controller
        request = read_count(exchange.request.body)
        route = controller.find_route(request.model)
        if route is None or not controller.may_ask_for(key_id, request.model):
            known = [other.pattern for other in controller.policy.routes]
            message = f"model: no route for model {request.model!r}{did_you_mean(request.model, known)}"
            raise WireError(message, status=404, code="model_not_found", param="model")
        estimate = max(1, round(request.prompt_tokens * token_ratio(controller, route)))
        engine = _engine(self._driver, route, request.model)
        if engine is None:
            _reply(exchange, estimate, b"estimated")
            return
        live, model, path = engine
        asked = self._driver.asking.write(request, live, model, key_id, is_outside=False)
        call = live.call(Surface.CHAT, rewrite(asked, model=model))
        call = msgspec.structs.replace(call, path=live.origin.prefix + path)
        asking = asyncio.get_running_loop().create_task(
            _ask(self._driver.client, exchange, live, call, estimate), name="count tokens"
        )
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)


async def _ask(client: HttpClient, exchange: Exchange, live: LiveEngine, call: HttpCall, estimate: int) -> None:
    answer = await fetch(client, live.origin, call, timeout_s=_TIMEOUT_S, reuse=live.reuses_connections)
    if isinstance(answer, TransportFault) or answer.status != 200:
        _reply(exchange, estimate, b"estimated")  # an older server may not have it, or refuse this prompt
        return
    try:
        counted = _decode(answer.body).input_tokens
    except msgspec.DecodeError:
        _reply(exchange, estimate, b"estimated")
    else:
        _reply(exchange, counted, b"exact")


def _engine(driver: Driver, route: Route, model: str) -> tuple[LiveEngine, str, bytes] | None:
    """Find the first local engine of a route that counts: itself, the model's name there, and where it is asked."""
    for place in (place for tier in route.tiers for place in tier):
        live, target = driver.targets.get(place.target_id), driver.controller.targets.get(place.target_id)
        if target is None or not isinstance(live, LiveEngine) or live.engine.count_path is None:
            continue
        if target.spec.is_local and target.health is Health.READY:
            return live, place.model or model, live.engine.count_path
    return None


def token_ratio(controller: Controller, route: Route) -> float:
    """Return how many tokens the first target that has told any counts where the estimate says one."""
    for tier in route.tiers:
        for place in tier:
            target = controller.targets.get(place.target_id)
            if target is not None and target.token_ratio.value != 1.0:
                return target.token_ratio.value
    return 1.0


def _reply(exchange: Exchange, tokens: int, how: bytes) -> None:
    exchange.reply(200, (_JSON, (b"x-overspill-count", how)), msgspec.json.encode({"input_tokens": tokens}))
