"""A request that the HTTP edge answers by itself, before any handler has seen it."""

from __future__ import annotations

import logging

from overspill.wire.http import Headers
from overspill.wire.reply import error_body

_LOG = logging.getLogger("overspill.http")
JSON_HEADERS: Headers = ((b"content-type", b"application/json"),)


class Refusal(Exception):  # noqa: N818 - an answer on its way to the client, never an error of ours
    """Stops the parser and becomes the connection's last answer; never leaves this package."""

    def __init__(self, status: int, code: str, message: str, *, headers: Headers = JSON_HEADERS) -> None:
        super().__init__(message)
        self.extra_lines = b""
        """What the answer has besides, as in ``Request``."""
        self.status = status
        self.headers = headers
        self.body = edge_error_body(status, code, message)


class EarlyAnswer(Refusal):
    """What a head check answered: its own status, headers and body."""

    def __init__(self, status: int, headers: Headers, body: bytes, extra_lines: bytes = b"") -> None:
        super().__init__(status, "refused", "refused by the head check", headers=headers)
        self.body = body
        self.extra_lines = extra_lines


def refusal_of(error: BaseException) -> Refusal:
    """Find what one of our callbacks raised inside the parser; anything but a refusal is our own fault."""
    cause = error.__context__
    if isinstance(cause, Refusal):
        return cause
    _LOG.error("parsing a request failed", exc_info=cause)
    return Refusal(500, "internal_error", "the gateway failed to read this request; its log says why")


def edge_error_body(status: int, code: str, message: str) -> bytes:
    """Write an error of the edge; whose fault it was follows from the status."""
    return error_body(message, kind="invalid_request_error" if status < 500 else "server_error", code=code)
