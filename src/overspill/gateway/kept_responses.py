"""Paths of OpenAI's Responses that are about answers kept on a server: here none is, and each path says so.

Which of them exist is as in OpenAI's API, so that a client learns why it does not get what it asks for, not that it
has mistyped.
"""

from __future__ import annotations

import re

from overspill.gateway.http.request import Request as HttpRequest
from overspill.wire.http import Headers
from overspill.wire.reply import error_body

_JSON: Headers = ((b"content-type", b"application/json"),)
_ONE = re.compile(r"(?:/v1)?/responses/([^/]+)(?:/(input_items|cancel))?")
_METHODS = {
    None: ("GET", "HEAD", "DELETE", "OPTIONS"),
    "input_items": ("GET", "HEAD", "OPTIONS"),
    "cancel": ("POST", "OPTIONS"),
}


def refuse_socket(request: HttpRequest) -> tuple[int, Headers, bytes] | None:
    """Refuse to speak WebSocket, as the server of a path that is spoken to over HTTP; ``None`` if nobody asks for it.

    Clients that can do both go on over HTTP after this status.
    """
    if request.method != "GET" or request.header(b"sec-websocket-key") is None:
        return None
    message = f"{request.path} does not speak WebSocket; send each request by POST, with 'stream' for events"
    body = error_body(message, kind="invalid_request_error", code="websocket_not_supported")
    return 426, (*_JSON, (b"upgrade", b"HTTP/1.1")), body


def refuse_kept(request: HttpRequest) -> tuple[int, Headers, bytes] | None:
    """Refuse what is about one answer that was to be kept; ``None`` for any other path."""
    match = _ONE.fullmatch(request.path)
    if match is None:
        return None
    message = (
        f"there is no response {match[1]!r}: this gateway keeps no answers ('store' has no effect), so that nothing "
        "can be read, deleted or cancelled afterwards; to stop an answer, close its connection"
    )
    return 404, _JSON, error_body(message, kind="invalid_request_error", code="response_not_found", param="response_id")


def methods_of_kept(path: str) -> tuple[str, ...] | None:
    """Return what such a path takes; ``None`` for any other."""
    match = _ONE.fullmatch(path)
    return None if match is None else _METHODS[match[2]]
