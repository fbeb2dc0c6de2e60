"""A Hugging Face hub on loopback: a ``hub`` that redirects, and a ``store`` on another port that has the bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_secret"


@dataclass
class FakeHub:
    """What it has and does, and what it saw."""

    files: dict[str, bytes] = field(default_factory=dict)
    is_gated: bool = False
    wrong_digest: bool = False
    cuts: list[int] = field(default_factory=list)
    """For each answer of the store in turn: after how many bytes it breaks off."""
    ignores_ranges: bool = False
    refuses_ranges: bool = False
    claimed_size: int | None = None
    moved: dict[str, str] = field(default_factory=dict)
    """Paths of a renamed repository: the hub sends on to itself."""
    plain: bool = False
    """Serve the bytes without a redirect and without a digest, as for small files."""
    hub_url: str = ""
    store_url: str = ""
    seen: list[tuple[str, str, str, str | None, str | None]] = field(default_factory=list)
    """(host, method, path, authorization, range)"""


@contextmanager
def running_hub(hub: FakeHub) -> Iterator[FakeHub]:
    with _server(_handler(hub, is_store=True)) as store, _server(_handler(hub, is_store=False)) as front:
        hub.store_url, hub.hub_url = store, front
        yield hub


@contextmanager
def _server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: FakeHub, *, is_store: bool) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one small class
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            host = "store" if is_store else "hub"
            headers = self.headers
            hub.seen.append((host, self.command, self.path, headers["Authorization"], headers["Range"]))
            content = hub.files.get(self.path)
            if not is_store and hub.is_gated and headers["Authorization"] != f"Bearer {TOKEN}":
                self._send(401, {})
            elif not is_store and self.path in hub.moved:
                self._send(307, {"Location": hub.moved[self.path], "Content-Length": "0"})
            elif content is None:
                self._send(404, {})
            elif is_store or hub.plain:
                self._send_content(content)
            else:
                digest = hashlib.sha256(content + b"x" * hub.wrong_digest).hexdigest()
                found = {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(hub.claimed_size or len(content))}
                self._send(302, found | {"Location": hub.store_url + self.path, "Content-Length": "11"}, b"Redirecting")

        def _send_content(self, content: bytes) -> None:
            status, start = 200, 0
            asked = self.headers["Range"]
            if asked is not None and hub.refuses_ranges:
                self._send(416, {})
                return
            if asked is not None and not hub.ignores_ranges:
                status, start = 206, int(asked.removeprefix("bytes=").removesuffix("-"))
            self._send(status, {"Content-Length": str(len(content) - start), "ETag": '"abc"'})
            if self.command == "GET":
                end = hub.cuts.pop(0) if hub.cuts else len(content)
                self.wfile.write(content[start:end])

        def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Handler
