"""What answers at once, without a target: what there is, how it is, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from overspill.errors import OverspillError, WireError, did_you_mean
from overspill.gateway.answer_lines import id_headers
from overspill.gateway.debug import explain_route
from overspill.gateway.driver import Driver
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.request import Request as HttpRequest
from overspill.gateway.routes import COUNTS, INPUT_COUNTS, LISTS, MODELS, PATHS, model_of
from overspill.telemetry.metrics import Metrics
from overspill.wire.http import Headers
from overspill.wire.reply import ModelCard, error_body, model_body, models_body
from overspill.wire.request import SurfaceName
from overspill.wire.surfaces import write_error

if TYPE_CHECKING:
    from overspill.core.types import Policy
    from overspill.gateway.counting import TokenCounter

_JSON: Headers = ((b"content-type", b"application/json"),)
_NO_COMPLETIONS = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
"""The completions that are kept to be listed, with ``store`` or without: none."""
Page = Callable[[Exchange, str], None]
"""Answers a request, which is of a key's id."""


class Pages:
    """The pages of one gateway; ``next_id`` gives the numbers of requests."""

    def __init__(self, driver: Driver, metrics: Metrics, version: str, next_id: Callable[[], str]) -> None:
        self._driver = driver
        self._metrics = metrics
        self._version = version
        self._next_id = next_id
        self._openapi: bytes | None = None
        self._counter: TokenCounter | None = None
        self._pages: dict[str, Page] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
            "/openapi.json": self._describe,
            "/debug/route": self._debug_route,
            **dict.fromkeys(MODELS, self._models),
            **dict.fromkeys(COUNTS, self._count),
            **dict.fromkeys(INPUT_COUNTS, self._count_input),
            **dict.fromkeys(LISTS, self._no_completions),
        }

    def answer(self, exchange: Exchange, key_id: str) -> None:
        """Answer a request of a path that is no surface's."""
        path = exchange.request.path
        page = self._pages.get(path)
        if page is not None:
            page(exchange, key_id)
        else:
            self._model(exchange, model_of(path))

    def _index(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002 - as all pages
        paths = sorted({*PATHS, "/v1/models/{model}"})
        _send(exchange, {"name": "overspill", "version": self._version, "paths": paths})

    def _healthz(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        _send(exchange, {"status": "ok"})

    def _readyz(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        now = self._driver.now()
        targets = self._driver.controller.targets
        ready = {
            name: target.health.value == "ready" and target.breaker.refusal(now) is None
            for name, target in targets.items()
        }
        is_ready = any(ready.values())
        body = {"status": "ready" if is_ready else "no target is ready", "targets": ready}
        _send(exchange, body, status=200 if is_ready else 503)

    def _scrape(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        from overspill.telemetry.exposition import render

        accept = (exchange.request.header(b"accept") or b"").decode("latin-1")
        content_type, body = render(self._metrics, accept)
        exchange.reply(200, ((b"content-type", content_type.encode()),), body)

    def _describe(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        if self._openapi is None:
            from overspill.gateway.openapi import document

            self._openapi = msgspec.json.encode(document(self._version)) + b"\n"
        exchange.reply(200, _JSON, self._openapi)

    def _models(self, exchange: Exchange, key_id: str) -> None:
        controller = self._driver.controller
        cards = [card for card in model_cards(controller.policy) if controller.may_ask_for(key_id, card.model_id)]
        if spoken_by(exchange.request) == "messages":
            from overspill.gateway.model_pages import list_models

            self._answer(exchange, "messages", lambda: list_models(exchange, [card.model_id for card in cards]))
        else:
            exchange.reply(200, _JSON, models_body(cards))

    def _model(self, exchange: Exchange, model: str) -> None:
        spoken = spoken_by(exchange.request)
        if self._driver.controller.find_route(model) is None:
            message = f"no route for model {model!r}{known_models(self._driver.controller.policy, model)}"
            kind, code = "invalid_request_error", "model_not_found"
            exchange.reply(404, _JSON, write_error(spoken, 404, message, kind=kind, code=code, param="model"))
            return
        if spoken == "messages":
            from overspill.wire.messages.models import model_body as messages_model_body

            exchange.reply(200, _JSON, messages_model_body(model))
        else:
            exchange.reply(200, _JSON, model_body(ModelCard(model, "overspill")))

    def _count(self, exchange: Exchange, key_id: str) -> None:
        from overspill.gateway.counting import TokenCounter

        counter = self._counter = self._counter or TokenCounter(self._driver)
        self._answer(exchange, "messages", lambda: counter.answer(exchange, key_id))

    def _count_input(self, exchange: Exchange, key_id: str) -> None:
        from overspill.gateway.responses_pages import count_input

        self._answer(exchange, "responses", lambda: count_input(exchange, self._driver.controller, key_id))

    def _answer(self, exchange: Exchange, surface: SurfaceName, page: Callable[[], None]) -> None:
        try:
            page()
        except WireError as error:
            refuse(exchange, self._next_id(), error, surface)

    def _no_completions(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        exchange.reply(200, _JSON, _NO_COMPLETIONS)

    def _debug_route(self, exchange: Exchange, key_id: str) -> None:  # noqa: ARG002
        query = parse_qs(exchange.request.query.decode("latin-1"), keep_blank_values=True)
        try:
            explanation = explain_route(self._driver.controller, query, self._driver.now())
        except OverspillError as error:
            body = error_body(str(error), kind="invalid_request_error", code="invalid_query")
            exchange.reply(400, _JSON, body)
            return
        _send(exchange, explanation)


def model_cards(policy: Policy) -> list[ModelCard]:
    """List the models that can be asked for by name; a glob is no name."""
    local = {spec.target_id for spec in policy.targets if spec.is_local}
    cards: dict[str, ModelCard] = {}
    for route in policy.routes:
        if "*" in route.pattern or "?" in route.pattern or route.pattern in cards:
            continue
        home = route.tiers[0] if route.tiers else ()
        is_local = any(place.target_id in local for place in home)
        cards[route.pattern] = ModelCard(route.pattern, "overspill", extra={"local": is_local})
    return list(cards.values())


def known_models(policy: Policy, model: str) -> str:
    """Return the end of a "no such model" message: the nearest name, and all of them."""
    names = [route.pattern for route in policy.routes]
    return f"{did_you_mean(model, names)}; known: {', '.join(names) or 'none'}"


def refuse(exchange: Exchange, request_id: str, error: WireError, surface: SurfaceName) -> None:
    """Answer a request that cannot be served as it was sent."""
    told: dict[str, str | None] = {"code": error.code, "param": error.param, "request_id": request_id}
    body = write_error(surface, error.status, error.message, kind=error.kind, **told)
    ids = id_headers(surface, request_id, exchange.request.client_request_id)
    exchange.reply(error.status, (*_JSON, *ids), body)


def spoken_by(request: HttpRequest) -> SurfaceName:
    """Say in whose form to answer what may have no surface; Anthropic's clients say which version they speak."""
    is_messages = "/v1/messages" in request.path or request.header(b"anthropic-version") is not None
    return "messages" if is_messages else "chat"


def _send(exchange: Exchange, body: object, status: int = 200) -> None:
    exchange.reply(status, _JSON, msgspec.json.encode(body) + b"\n")
