"""Lets web pages read the answers that they may have (CORS), and answers what browsers ask before (preflights).

Which pages: those of this machine, applications with a scheme of their own, and the origins that the configuration
names. Nothing is said to others, so their browsers keep the answer from them. Cookies are never allowed: a page gets in
by the key that it has, as everybody does. A request without ``Origin`` costs nothing here.
"""

from __future__ import annotations

import re

from overspill.gateway.http.request import Request
from overspill.gateway.web_guard import WebGuard
from overspill.wire.http import Headers
from overspill.wire.reply import error_body

ANY = "*"
EXPOSED = (
    "age, content-length, request-id, retry-after, x-request-id, x-overspill-attempts, x-overspill-count, "
    "x-overspill-dropped, x-overspill-limit, x-overspill-local-only, x-overspill-model, x-overspill-reason, "
    "x-overspill-request-id, x-overspill-target, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
    "x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "
    "x-ratelimit-reset-tokens"
)
"""Headers of an answer that a page may read."""
_ALLOWED = b"authorization, content-type, x-api-key, anthropic-version, anthropic-beta"
"""Said to a browser that does not name the headers it wants to send."""
_HEADERS_FORM = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,2048}")
_MAX_AGE_S = 600
_KEPT = 256
Answer = tuple[int, Headers, bytes]


class Cors:
    """What is said to pages of which origin, for one configuration."""

    def __init__(self, guard: WebGuard) -> None:
        self._guard = guard
        self._lines: dict[bytes, bytes] = {}

    def lines(self, origin: bytes) -> bytes:
        """Return the header lines that let a page of this origin read an answer, or those that let none."""
        lines = self._lines.get(origin)
        if lines is None:
            lines = self._write(origin)
            if len(self._lines) >= _KEPT:
                self._lines.clear()
            self._lines[origin] = lines
        return lines

    def _write(self, origin: bytes) -> bytes:
        vary = b"" if self._guard.allows_any_page else b"vary: origin\r\n"
        if not self._guard.allows_page(origin):
            return vary
        allowed = b"*" if self._guard.allows_any_page else origin
        exposed = EXPOSED.encode()
        return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\n%b" % (allowed, exposed, vary)

    def preflight(self, request: Request, methods: tuple[str, ...]) -> Answer | None:
        """Answer a browser that asks whether a page may send what it names; ``None`` for any other ``OPTIONS``."""
        origin, method = request.origin, request.header(b"access-control-request-method")
        if origin is None or method is None:
            return None
        if not self._guard.allows_page(origin):
            message = _NOT_ALLOWED.format(origin=origin.decode("latin-1"))
            body = error_body(message, kind="permission_error", code="origin_not_allowed")
            return 403, ((b"content-type", b"application/json"),), body
        wanted = request.header(b"access-control-request-headers")
        if wanted is None or not _HEADERS_FORM.fullmatch(wanted):
            wanted = _ALLOWED
        headers: Headers = (
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", b"%d" % _MAX_AGE_S),
            (b"vary", b"access-control-request-method, access-control-request-headers"),
        )
        if request.header(b"access-control-request-private-network") == b"true":
            headers = (*headers, (b"access-control-allow-private-network", b"true"))
        return 204, headers, b""


_NOT_ALLOWED = (
    "web pages of {origin} may not use this gateway; add that origin to server.cors_origins if they are to (where the "
    "gateway has keys, a page needs one as well)"
)
