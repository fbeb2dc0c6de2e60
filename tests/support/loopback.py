"""A real HTTP server on a loopback socket, in a thread of its own, that answers each path as it is told."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """What to answer a GET with."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}


class Loopback(NamedTuple):
    """Where it listens, and what it was asked."""

    url: str
    seen: list[tuple[str, Mapping[str, str]]]
    """Path and headers, names in lower case, of each request."""


@contextlib.contextmanager
def answering(answers: Mapping[str, Answer]) -> Iterator[Loopback]:
    """Serve ``answers`` by path, and 404 for others."""
    seen: list[tuple[str, Mapping[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = answers.get(self.path, Answer(b'{"error": {"message": "no such path"}}', 404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Loopback(f"http://127.0.0.1:{server.server_address[1]}", seen)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
