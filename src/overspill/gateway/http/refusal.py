"""A request that the HTTP edge answers by itself, before any handler has seen it."""

from __future__ import annotations

from overspill.wire.http import Headers
from overspill.wire.reply import error_body

JSON_HEADERS: Headers = ((b"content-type", b"application/json"),)


class Refusal(Exception):  # noqa: N818 - an answer on its way to the client, never an error of ours
    """Stops the parser and becomes the connection's last answer; never leaves this package."""

    def __init__(self, status: int, code: str, message: str, *, headers: Headers = JSON_HEADERS) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = edge_error_body(status, code, message)


class EarlyAnswer(Refusal):
    """What a head check answered: its own status, headers and body."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(status, "refused", "refused by the head check", headers=headers)
        self.body = body


def edge_error_body(status: int, code: str, message: str) -> bytes:
    """Write an error of the edge; whose fault it was follows from the status."""
    return error_body(message, kind="invalid_request_error" if status < 500 else "server_error", code=code)
