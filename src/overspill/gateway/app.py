"""What each path does: the hot routes become sessions, the others answer at once.

``/healthz``, ``/readyz`` and ``/metrics`` need no key, so that probes and scrapers work; everything else does if the
gateway has keys.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from overspill.core.types import LocalOnly, Surface
from overspill.errors import OverspillError, WireError, did_you_mean
from overspill.gateway.answer_lines import AnswerLines, id_headers
from overspill.gateway.auth import ANONYMOUS, Keyring
from overspill.gateway.caller import Caller
from overspill.gateway.cors import Cors
from overspill.gateway.debug import explain_route
from overspill.gateway.driver import Driver
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.request import Request as HttpRequest
from overspill.gateway.intake import Intake
from overspill.gateway.kept_responses import refuse_kept, refuse_socket
from overspill.gateway.rejoin import retry_count
from overspill.gateway.session import Session
from overspill.gateway.web_guard import WebGuard
from overspill.gateway.wishes import read_wishes
from overspill.telemetry.metrics import Metrics
from overspill.wire.http import Headers
from overspill.wire.reply import ModelCard, error_body, model_body, models_body
from overspill.wire.request import SurfaceName
from overspill.wire.showing import reasoning_writer
from overspill.wire.surfaces import answer_writer, read_request, write_error

if TYPE_CHECKING:
    from overspill.core.types import Policy
    from overspill.gateway.counting import TokenCounter

_JSON: Headers = ((b"content-type", b"application/json"),)
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_SURFACES: dict[str, tuple[Surface, SurfaceName]] = {
    "/v1/chat/completions": (Surface.CHAT, "chat"),
    "/chat/completions": (Surface.CHAT, "chat"),
    "/v1/completions": (Surface.COMPLETIONS, "completions"),
    "/completions": (Surface.COMPLETIONS, "completions"),
    "/v1/embeddings": (Surface.EMBEDDINGS, "embeddings"),
    "/embeddings": (Surface.EMBEDDINGS, "embeddings"),
    "/v1/messages": (Surface.CHAT, "messages"),
    "/anthropic/v1/messages": (Surface.CHAT, "messages"),
    "/v1/responses": (Surface.CHAT, "responses"),
    "/responses": (Surface.CHAT, "responses"),
    "/v1/responses/compact": (Surface.CHAT, "compaction"),
    "/responses/compact": (Surface.CHAT, "compaction"),
}
"""Clients of DeepSeek's own API leave the version out of their base URL; its Messages API stands below /anthropic."""
_MODELS = ("/v1/models", "/models", "/anthropic/v1/models")
_LISTS = ("/v1/chat/completions", "/chat/completions")
_POST, _GET, _ANY = ("POST", "OPTIONS"), ("GET", "HEAD", "OPTIONS"), ("GET", "HEAD", "POST", "OPTIONS")

Page = Callable[[Exchange], None]


class App:
    """Answers every request of one gateway."""

    def __init__(
        self,
        driver: Driver,
        keyring: Keyring,
        guard: WebGuard,
        metrics: Metrics,
        *,
        store_bodies: bool = False,
        version: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.driver = driver
        self.keyring = keyring
        self.guard = guard
        self.cors = Cors(guard)
        self.intake: Intake | None = None
        """What looks at requests before the driver does; ``None`` where nothing is to."""
        self._metrics = metrics
        self._store_bodies = store_bodies
        self._version = version
        self._wall_clock = wall_clock
        self._id_prefix = f"req-{secrets.token_hex(6)}-"
        self._numbers = itertools.count(1)
        self.lines = AnswerLines()
        self._counter: TokenCounter | None = None
        self._pages: dict[str, Page] = {
            "/": self._index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
            "/debug/route": self._debug_route,
            "/v1/models": self._models,
            "/models": self._models,
            "/anthropic/v1/models": self._models,
        }
        self._posts: dict[str, Page] = {
            "/v1/messages/count_tokens": self._count,
            "/anthropic/v1/messages/count_tokens": self._count,
            "/v1/responses/input_tokens": self._count_input,
            "/responses/input_tokens": self._count_input,
        }

    def check_head(self, request: HttpRequest) -> tuple[int, Headers, bytes] | None:
        """Refuse a request by its head alone: no key or a foreign web page, no such path, or the wrong method."""
        path = request.path
        if request.origin is not None:
            request.extra_lines += self.cors.lines(request.origin)
        if self.keyring.is_open and (refused := self.guard.refuse(request)) is not None:
            return refused
        if request.method == "OPTIONS":
            return self._options(request)
        key_id = self.keyring.identify(request.headers)
        if key_id is None and path not in _OPEN_PATHS and (path != "/" or request.method != "HEAD"):
            return self._no_good_key(request)
        methods = self._methods_of(path)
        if methods is None:
            return refuse_kept(request) or self._unknown_path(request)
        if request.method not in methods:
            return refuse_socket(request) or _wrong_method(request, methods)
        if path in _SURFACES and request.method == "POST":
            with contextlib.suppress(WireError):  # a wish that cannot be read is answered with the request's number
                request.caller = self._caller(_SURFACES[path], key_id or ANONYMOUS, request)
        return None

    def _methods_of(self, path: str) -> tuple[str, ...] | None:
        """Return what a path takes; ``None`` if there is nothing there."""
        if path in _SURFACES or path in self._posts:
            return _ANY if path in _LISTS else _POST
        is_page = path in self._pages or path.startswith(tuple(f"{page}/" for page in _MODELS))
        return _GET if is_page else None

    def _unknown_path(self, request: HttpRequest) -> tuple[int, Headers, bytes]:
        path, known = request.path, [*_SURFACES, *self._posts, *self._pages]
        message = f"there is nothing at {path}{did_you_mean(path, known)}; GET / lists what there is"
        body = write_error(_spoken(request), 404, message, kind="invalid_request_error", code="unknown_path")
        return 404, _JSON, body

    def _no_good_key(self, request: HttpRequest) -> tuple[int, Headers, bytes]:
        refusal = self.keyring.refusal(request.headers)
        headers: Headers = (*_JSON, (b"www-authenticate", b'Bearer realm="overspill"'))
        body = write_error(_spoken(request), 401, refusal.message, kind="authentication_error", code=refusal.code)
        return 401, headers, body

    def _options(self, request: HttpRequest) -> tuple[int, Headers, bytes]:
        """Answer without a key, as browsers ask before they send one."""
        methods = self._methods_of(request.path)
        everything = (*_GET, _POST[0])
        answer = self.cors.preflight(request, methods or everything)
        if answer is not None:
            return answer
        if methods is None and request.path != "*":
            return self._unknown_path(request)
        return 204, ((b"allow", ", ".join(methods or everything).encode()),), b""

    def adopt(self, keyring: Keyring, guard: WebGuard) -> None:
        """Take other keys and another guard; the server must check every head anew then."""
        self.keyring = keyring
        if guard is not self.guard:
            self.guard, self.cors = guard, Cors(guard)

    def _caller(self, surfaces: tuple[Surface, SurfaceName], key_id: str, request: HttpRequest) -> Caller:
        """Read the wishes; a key that is bound to local pools binds its requests, whatever they wish."""
        wishes = read_wishes(request.headers)
        if wishes.reasoning is None and (shown := self.keyring.reasoning_of(key_id)) is not None:
            wishes = wishes._replace(reasoning=shown)
        bound = LocalOnly.KEY if self.keyring.is_local_only(key_id) else None
        return Caller(*surfaces, key_id, wishes, bound, retry_count(request.headers))

    def handle(self, exchange: Exchange) -> None:
        """Answer one request whose head has passed ``check_head``."""
        caller = exchange.request.caller
        if isinstance(caller, Caller):
            self._submit(exchange, caller)
            return
        path = exchange.request.path
        if path in _SURFACES:
            if exchange.request.method == "POST":
                self._refuse_wishes(exchange)
            else:
                exchange.reply(200, _JSON, _NO_COMPLETIONS)
            return
        page = self._pages.get(path) or self._posts.get(path)
        if page is not None:
            page(exchange)
            return
        self._model(exchange, path.split("/models/", 1)[1])

    def _submit(self, exchange: Exchange, caller: Caller) -> None:
        request_id = f"{self._id_prefix}{next(self._numbers):x}"
        try:
            request = read_request(caller.surface_name, exchange.request.body)
        except WireError as error:
            _refuse(exchange, request_id, error, caller.surface_name)
            return
        if request.surface == "messages" and (betas := exchange.request.header(b"anthropic-beta")):
            from overspill.wire.messages.native import with_betas

            request = with_betas(request, betas)
        driver = self.driver
        likeness = None if caller.retry_count is None else driver.rejoining.likeness(caller, exchange)
        if likeness is not None and caller.retry_count and driver.rejoin(likeness, exchange):
            return
        arrived_wall_s = self._wall_clock()
        session = Session(request_id, exchange, caller, request, self.lines, driver.now(), arrived_wall_s)
        if request.native is not None:
            session.writer = answer_writer(request, request_id, int(arrived_wall_s))
        elif caller.wishes.reasoning is not None:
            session.writer = reasoning_writer(request, caller.wishes.reasoning)
        if likeness is not None:
            driver.rejoining.watch(session, likeness)
        if self._store_bodies:
            session.answer = bytearray()
        if self.intake is None:
            driver.submit(session)
        else:
            self.intake.take(session)

    def _refuse_wishes(self, exchange: Exchange) -> None:
        """Answer a request whose head could not be read to its end: read it again, and say why."""
        request_id = f"{self._id_prefix}{next(self._numbers):x}"
        try:
            read_wishes(exchange.request.headers)
        except WireError as error:
            _refuse(exchange, request_id, error, _SURFACES[exchange.request.path][1])

    # -- pages

    def _index(self, exchange: Exchange) -> None:
        paths = sorted({*_SURFACES, *self._posts, *self._pages, "/v1/models/{model}"})
        _send(exchange, {"name": "overspill", "version": self._version, "paths": paths})

    def _healthz(self, exchange: Exchange) -> None:
        _send(exchange, {"status": "ok"})

    def _readyz(self, exchange: Exchange) -> None:
        now = self.driver.now()
        targets = self.driver.controller.targets
        ready = {
            name: target.health.value == "ready" and target.breaker.refusal(now) is None
            for name, target in targets.items()
        }
        is_ready = any(ready.values())
        body = {"status": "ready" if is_ready else "no target is ready", "targets": ready}
        _send(exchange, body, status=200 if is_ready else 503)

    def _scrape(self, exchange: Exchange) -> None:
        from overspill.telemetry.exposition import render

        accept = (exchange.request.header(b"accept") or b"").decode("latin-1")
        content_type, body = render(self._metrics, accept)
        exchange.reply(200, ((b"content-type", content_type.encode()),), body)

    def _models(self, exchange: Exchange) -> None:
        controller = self.driver.controller
        key_id = self.keyring.identify(exchange.request.headers) or ANONYMOUS
        cards = [card for card in model_cards(controller.policy) if controller.may_ask_for(key_id, card.model_id)]
        if _spoken(exchange.request) == "messages":
            from overspill.gateway.model_pages import list_models

            self._answer(exchange, "messages", lambda: list_models(exchange, [card.model_id for card in cards]))
        else:
            exchange.reply(200, _JSON, models_body(cards))

    def _model(self, exchange: Exchange, model: str) -> None:
        spoken = _spoken(exchange.request)
        if self.driver.controller.find_route(model) is None:
            message = f"no route for model {model!r}{known_models(self.driver.controller.policy, model)}"
            kind, code = "invalid_request_error", "model_not_found"
            exchange.reply(404, _JSON, write_error(spoken, 404, message, kind=kind, code=code, param="model"))
            return
        body = model_body(ModelCard(model, "overspill"))
        if spoken == "messages":
            from overspill.wire.messages.models import model_body as messages_model_body

            body = messages_model_body(model)
        exchange.reply(200, _JSON, body)

    def _count(self, exchange: Exchange) -> None:
        from overspill.gateway.counting import TokenCounter

        key_id = self.keyring.identify(exchange.request.headers) or ANONYMOUS
        counter = self._counter = self._counter or TokenCounter(self.driver)
        self._answer(exchange, "messages", lambda: counter.answer(exchange, key_id))

    def _count_input(self, exchange: Exchange) -> None:
        from overspill.gateway.responses_pages import count_input

        key_id = self.keyring.identify(exchange.request.headers) or ANONYMOUS
        self._answer(exchange, "responses", lambda: count_input(exchange, self.driver.controller, key_id))

    def _answer(self, exchange: Exchange, surface: SurfaceName, page: Callable[[], None]) -> None:
        try:
            page()
        except WireError as error:
            _refuse(exchange, f"{self._id_prefix}{next(self._numbers):x}", error, surface)

    def _debug_route(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.request.query.decode("latin-1"), keep_blank_values=True)
        try:
            explanation = explain_route(self.driver.controller, query, self.driver.now())
        except OverspillError as error:
            body = error_body(str(error), kind="invalid_request_error", code="invalid_query")
            exchange.reply(400, _JSON, body)
            return
        _send(exchange, explanation)


_NO_COMPLETIONS = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'
"""The completions that are kept to be listed, with ``store`` or without: none."""


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


def _refuse(exchange: Exchange, request_id: str, error: WireError, surface: SurfaceName) -> None:
    told: dict[str, str | None] = {"code": error.code, "param": error.param, "request_id": request_id}
    body = write_error(surface, error.status, error.message, kind=error.kind, **told)
    ids = id_headers(surface, request_id, exchange.request.client_request_id)
    exchange.reply(error.status, (*_JSON, *ids), body)


def _send(exchange: Exchange, body: object, status: int = 200) -> None:
    exchange.reply(status, _JSON, msgspec.json.encode(body) + b"\n")


def _wrong_method(request: HttpRequest, allowed: tuple[str, ...]) -> tuple[int, Headers, bytes]:
    message = f"{request.path} takes {'POST' if 'POST' in allowed else 'GET'}, not {request.method}"
    body = write_error(_spoken(request), 405, message, kind="invalid_request_error", code="wrong_method")
    return 405, (*_JSON, (b"allow", ", ".join(allowed).encode())), body


def _spoken(request: HttpRequest) -> SurfaceName:
    """Say in whose form to answer a request that may have no surface."""
    # Each request of a client of Anthropic's API says which version of it.
    is_messages = request.header(b"anthropic-version") is not None or "/v1/messages" in request.path
    return "messages" if is_messages else "chat"
