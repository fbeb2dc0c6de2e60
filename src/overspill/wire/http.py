"""HTTP messages as values: what an adapter asks the relay to send, without sending it."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class HttpCall(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request to a target. ``path`` includes the query; header names are lower case."""

    method: bytes
    path: bytes
    headers: Headers
    body: bytes
    dropped: tuple[str, ...] = ()
    """Names of the client's fields that have no place in it."""


class Origin(msgspec.Struct, frozen=True):
    """Where calls go: a host and port, or a unix socket.

    ``prefix`` is what an adapter puts before its paths (``b"/v1"``); a call's own path is complete.
    """

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 80
    uds_path: str | None = None
    prefix: bytes = b""
