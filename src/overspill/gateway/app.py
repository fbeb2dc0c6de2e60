"""What a request's head decides, and where it goes then: the hot paths become sessions, the others are pages.

A head is judged before the body is read: a web page's or a browser's question, a key, a path, a method.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable

from overspill.core.types import LocalOnly, Surface
from overspill.errors import WireError, did_you_mean
from overspill.gateway.answer_lines import AnswerLines
from overspill.gateway.auth import ANONYMOUS, Keyring
from overspill.gateway.caller import Caller
from overspill.gateway.cors import Cors
from overspill.gateway.driver import Driver
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.request import Request as HttpRequest
from overspill.gateway.intake import Intake
from overspill.gateway.kept_responses import refuse_kept, refuse_socket
from overspill.gateway.pages import Pages, refuse, spoken_by
from overspill.gateway.rejoin import retry_count
from overspill.gateway.routes import GET, OPEN_PAGES, PATHS, POST, SURFACES, methods_of
from overspill.gateway.session import Session
from overspill.gateway.web_guard import WebGuard
from overspill.gateway.wishes import read_wishes
from overspill.telemetry.metrics import Metrics
from overspill.wire.http import Headers
from overspill.wire.request import SurfaceName
from overspill.wire.showing import reasoning_writer
from overspill.wire.surfaces import answer_writer, read_request, write_error

_JSON: Headers = ((b"content-type", b"application/json"),)


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
        self._store_bodies = store_bodies
        self._wall_clock = wall_clock
        self._id_prefix = f"req-{secrets.token_hex(6)}-"
        self._number = 0
        self.lines = AnswerLines()
        self._pages = Pages(driver, metrics, version, self._next_id)

    def adopt(self, keyring: Keyring, guard: WebGuard) -> None:
        """Take other keys and another guard; the server must check every head anew then."""
        self.keyring = keyring
        if guard is not self.guard:
            self.guard, self.cors = guard, Cors(guard)

    def _next_id(self) -> str:
        self._number += 1
        return f"{self._id_prefix}{self._number}"

    def check_head(self, request: HttpRequest) -> tuple[int, Headers, bytes] | None:
        """Refuse a request by its head alone: no key or a foreign web page, no such path, or the wrong method."""
        path, method = request.path, request.method
        if request.origin is not None:
            request.extra_lines += self.cors.lines(request.origin)
        if self.keyring.is_open and (refused := self.guard.refuse(request)) is not None:
            return refused
        if method == "OPTIONS":
            return self._options(request)
        key_id = self.keyring.identify(request.headers)
        if key_id is None and path not in OPEN_PAGES and (path != "/" or method != "HEAD"):
            return self._no_good_key(request)
        methods = methods_of(path)
        if methods is None:
            return _unknown_path(request)
        if method not in methods:
            return refuse_socket(request) or _wrong_method(request, methods)
        surfaces = SURFACES.get(path)
        if surfaces is None:
            return None if path in PATHS else refuse_kept(request)
        if method != "POST":
            return None
        with contextlib.suppress(WireError):  # a wish that cannot be read is answered with the request's number
            request.caller = self._caller(surfaces, key_id or ANONYMOUS, request)
        return None

    def _no_good_key(self, request: HttpRequest) -> tuple[int, Headers, bytes]:
        refusal = self.keyring.refusal(request.headers)
        headers: Headers = (*_JSON, (b"www-authenticate", b'Bearer realm="overspill"'))
        body = write_error(spoken_by(request), 401, refusal.message, kind="authentication_error", code=refusal.code)
        return 401, headers, body

    def _options(self, request: HttpRequest) -> tuple[int, Headers, bytes]:
        """Answer without a key, as browsers ask before they send one."""
        methods = methods_of(request.path)
        everything = (*GET, POST[0])
        answer = self.cors.preflight(request, methods or everything)
        if answer is not None:
            return answer
        if methods is None and request.path != "*":
            return _unknown_path(request)
        return 204, ((b"allow", ", ".join(methods or everything).encode()),), b""

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
        elif exchange.request.path in SURFACES and exchange.request.method == "POST":
            self._refuse_wishes(exchange)
        else:
            self._pages.answer(exchange, self.keyring.identify(exchange.request.headers) or ANONYMOUS)

    def _submit(self, exchange: Exchange, caller: Caller) -> None:
        request_id = self._next_id()
        try:
            request = read_request(caller.surface_name, exchange.request.body)
        except WireError as error:
            refuse(exchange, request_id, error, caller.surface_name)
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
        try:
            read_wishes(exchange.request.headers)
        except WireError as error:
            refuse(exchange, self._next_id(), error, SURFACES[exchange.request.path][1])


def _unknown_path(request: HttpRequest) -> tuple[int, Headers, bytes]:
    path = request.path
    message = f"there is nothing at {path}{did_you_mean(path, PATHS)}; GET / lists what there is"
    body = write_error(spoken_by(request), 404, message, kind="invalid_request_error", code="unknown_path")
    return 404, _JSON, body


def _wrong_method(request: HttpRequest, allowed: tuple[str, ...]) -> tuple[int, Headers, bytes]:
    message = f"{request.path} takes {'POST' if 'POST' in allowed else 'GET'}, not {request.method}"
    body = write_error(spoken_by(request), 405, message, kind="invalid_request_error", code="wrong_method")
    return 405, (*_JSON, (b"allow", ", ".join(allowed).encode())), body
