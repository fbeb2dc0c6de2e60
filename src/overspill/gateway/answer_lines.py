"""The first lines of good answers: there are few of them, so each is written and checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from overspill.config.equivalence import Served
from overspill.core.types import LocalOnly, Spill
from overspill.gateway.http.response import encode_lines
from overspill.wire.request import SurfaceName

JSON_HEADER = (b"content-type", b"application/json")
STREAM_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
WAITED = (b"x-overspill-reason", b"waited")
"""Of an answer whose head was sent before any target had spoken; a stream tells the rest in a comment."""
HOME = "home"
"""Value of ``x-overspill-reason`` for a request that ran in the first tier of its route."""
CACHED = "cached"
"""Value of ``x-overspill-reason`` for an answer that was kept from an earlier request."""
CACHE = "cache"
"""Value of ``x-overspill-target`` for such an answer."""
_FIELD_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_NAMED = 32
_KEPT = 1024
"""There is one for each kind of answer, reason, target and model; a reload may bring new targets."""
_PLAIN = "/:@~+!*,"
"""Signs that stand in names of models and mean nothing in a header."""


_Kind = tuple[bool, Spill | None, str, LocalOnly | None, str, str | None]


class AnswerLines:
    """Writes the lines of an answer with status 200."""

    def __init__(self) -> None:
        self._lines: dict[_Kind, bytes] = {}
        self._served: Mapping[tuple[str, str], Served] = {}

    def know(self, served: Mapping[tuple[str, str], Served]) -> None:
        """Learn which model each target serves under the name that it is sent."""
        self._served = served
        self._lines.clear()

    def of(
        self,
        *,
        is_stream: bool,
        spill: Spill | None,
        target_id: str,
        ids: bytes,
        attempts: int,
        model: str,
        answered: str | None,
        local_only_by: LocalOnly | None = None,
    ) -> bytes:
        """Return status line and headers, as ``Exchange.start_encoded`` takes them; ``ids`` is of ``id_lines``.

        ``model`` is what the target was asked for, ``answered`` what it says that it answered with.
        """
        key = (is_stream, spill, target_id, local_only_by, model, answered)
        lines = self._lines.get(key)
        if lines is None:
            lines = self._keep(key)
        return b"%b%bx-overspill-attempts: %d\r\n" % (lines, ids, attempts)

    def _keep(self, key: _Kind) -> bytes:
        is_stream, spill, target_id, local_only_by, model, answered = key
        reason = HOME if spill is None else spill.value
        own = [(b"x-overspill-reason", reason.encode()), (b"x-overspill-target", target_id.encode())]
        own.append((b"x-overspill-model", self.model(target_id, model, answered).encode()))
        if local_only_by is not None:
            own.append((b"x-overspill-local-only", local_only_by.value.encode()))
        lines = encode_lines(200, (*(STREAM_HEADERS if is_stream else (JSON_HEADER,)), *own))
        if len(self._lines) >= _KEPT:
            self._lines.clear()
        self._lines[key] = lines
        return lines

    def model(self, target_id: str, sent: str, answered: str | None) -> str:
        """Say which model answered: ``NAME; canonical=…; quantization=…; answered=…``, as far as it is known.

        ``canonical`` and ``answered`` are left out where they are the name that was sent.
        """
        served = self._served.get((target_id, sent)) or self._served.get((target_id, ""))
        said = [quote(sent, safe=_PLAIN)]
        if served is not None and served.model not in {None, sent}:
            said.append(f"canonical={quote(served.model or '', safe=_PLAIN)}")
        if served is not None and served.quantization is not None:
            said.append(f"quantization={quote(served.quantization, safe=_PLAIN)}")
        if answered not in {None, sent}:
            said.append(f"answered={quote(answered or '', safe=_PLAIN)}")
        return "; ".join(said)


def dropped_line(names: tuple[str, ...]) -> bytes:
    """Return the header line that names the client's fields which had no place in what the target was asked."""
    shown = [name for name in names if _FIELD_NAME.fullmatch(name)]  # the rest could end the line
    return b"x-overspill-dropped: %b\r\n" % ", ".join(shown[:_NAMED]).encode() if shown else b""


def late_label(spill: Spill | None, target_id: str, attempts: int, model: str) -> bytes:
    """Return a comment of a stream that says what its headers could not say yet."""
    reason = HOME if spill is None else spill.value
    return f": overspill reason={reason} target={target_id} attempts={attempts} model={model}\n\n".encode()


def id_headers(surface: SurfaceName, request_id: str, client_request_id: str | None) -> list[tuple[bytes, bytes]]:
    """Return what an answer says of our number of the request, under the names that its client looks for.

    ``x-request-id`` is the client's own number where it sent one, as proxies and tracing expect; that stands among the
    ``extra_lines``, and ours has a name of its own. Anthropic's clients read ``request-id``.
    """
    name = b"x-request-id" if client_request_id is None else b"x-overspill-request-id"
    own = request_id.encode()
    return [(name, own)] if surface != "messages" else [(name, own), (b"request-id", own)]


def id_lines(surface: SurfaceName, request_id: str, client_request_id: str | None) -> bytes:
    """Return the same as lines. The gateway's own number: nothing in it needs a check."""
    if client_request_id is None and surface != "messages":  # nearly all
        return b"x-request-id: %b\r\n" % request_id.encode()
    headers = id_headers(surface, request_id, client_request_id)
    return b"".join(b"%b: %b\r\n" % header for header in headers)
