"""A client's request, and the checks on its head that llhttp leaves to us.

llhttp (9.x, strict as httptools runs it) already refuses: ``Content-Length`` with ``Transfer-Encoding``, repeated,
listed, signed or overflowing lengths, a coding after ``chunked``, folded lines, white space before the colon, bare
CR, LF, NUL and other control characters, bytes above 127 in the target, bad chunk sizes. It lets through: a coding
before ``chunked``, ``Transfer-Encoding`` in HTTP/1.0, the versions 0.9 and 2.0, a missing or repeated ``Host``,
repeated credentials, fragments, and methods nobody serves. Those are refused here.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from overspill.gateway.http.coding import coding_of
from overspill.gateway.http.limits import Limits
from overspill.gateway.http.refusal import Refusal
from overspill.wire.http import Headers

METHODS = {
    name.encode(): name for name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "QUERY", "TRACE")
}  # a mapping, so that the usual request gets its name without a decode
# Read by a decision here or by the gateway: two of one are two answers to "who is it?" or "where does it end?".
_SINGLE = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-encoding",
        b"expect",
        b"authorization",
        b"content-type",
        b"origin",
        b"x-api-key",
    )
)
_CLIENT_ID = b"x-request-id"
_CLIENT_ID_FORM = re.compile(rb"[A-Za-z0-9._~:/+=@#-]{1,128}")
HOST_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~%!$&'()*+;=:[]-"
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_OVERHEAD_BYTES = len(": \r\n")


class Request:
    """One request of one client, whole: ``body`` is complete when a handler sees it.

    Header names are lower case; values carry no surrounding white space. ``path`` is percent-decoded and has no query.
    """

    __slots__ = (
        "answer",
        "body",
        "caller",
        "client_request_id",
        "coding",
        "content_length",
        "expects_continue",
        "extra_lines",
        "headers",
        "http_version",
        "is_chunked",
        "is_kept_alive",
        "method",
        "origin",
        "path",
        "peer",
        "query",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        peer: str = "",
        body: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.http_version = "1.1"
        self.is_kept_alive = True
        self.content_length = 0
        """As announced; 0 where nothing was (a chunked body)."""
        self.is_chunked = False
        self.expects_continue = False
        self.answer: tuple[int, Headers, bytes] | None = None
        """What a head check answered; the handler then never sees the request."""
        self.caller: object = None
        """What a head check found out for the handler. It belongs to the head, and comes again with it."""
        self.coding: bytes | None = None
        """How the body is compressed; the handler gets it as it was before."""
        self.origin: bytes | None = None
        """Which page a browser sends this for."""
        self.client_request_id: str | None = None
        """What the client, or a proxy before us, calls this request, if that is fit to be repeated."""
        self.extra_lines = b""
        """Header lines that its answer has besides its own, whatever it is; whole lines, checked by who sets them."""

    def again(self, body: bytes) -> Request:
        """Return the request that has the same head and this body. Only of one whose body had a length.

        Its length is ``content_length``; the header of that name remains what it was.
        """
        other = Request(self.method, self.path, self.query, self.headers, self.peer, body)
        other.content_length = len(body)
        other.caller = self.caller
        other.coding = self.coding
        other.client_request_id = self.client_request_id
        other.extra_lines = self.extra_lines
        return other

    @property
    def can_come_again(self) -> bool:
        """Whether nothing of this head asks for more than a reading of the body that it announces."""
        return (
            self.method == "POST"
            and self.http_version == "1.1"
            and self.is_kept_alive
            and self.answer is None
            and not (self.is_chunked or self.expects_continue)
        )

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of ``name`` (lower case)."""
        for known, value in self.headers:
            if known == name:
                return value
        return None


def read_head(
    method: bytes, target: bytes, version: str, headers: list[tuple[bytes, bytes]], limits: Limits
) -> Request:
    """Build the request from its parsed head, or raise the ``Refusal`` that answers it."""
    name = METHODS.get(method)
    if name is None:
        known = ", ".join(METHODS.values())
        raise Refusal(501, "unsupported_method", f"method {method.decode('latin-1')} is not served; use one of {known}")
    if version not in {"1.1", "1.0"}:
        raise Refusal(505, "unsupported_version", f"HTTP/{version} is not served; use HTTP/1.1")
    if len(headers) > limits.max_headers:
        raise Refusal(431, "too_many_headers", f"{len(headers)} headers; at most {limits.max_headers} are read")
    path, query = split_target(target)
    request = Request(name, path, query, headers)
    request.http_version = version
    _apply_framing(request)
    return request


def _apply_framing(request: Request) -> None:
    """Read the headers that decide where the message ends; refuse what two readers could read in two ways."""
    seen: dict[bytes, bytes] = {}
    for name, value in request.headers:
        if name in _SINGLE:
            if name in seen:
                raise Refusal(400, "repeated_header", f"header {name.decode()} is repeated; send it once")
            seen[name] = value
        elif name == _CLIENT_ID:
            _apply_client_id(request, value)
    host = seen.get(b"host")
    if host is None:
        if request.http_version == "1.1":
            raise Refusal(400, "missing_host", "an HTTP/1.1 request needs a Host header")
    elif host.translate(None, HOST_BYTES):  # a quarter of a regular expression's time
        raise Refusal(400, "invalid_host", "the Host header is not a host name with an optional port")
    length = seen.get(b"content-length")
    if length is not None:
        request.content_length = int(length)
    coding = seen.get(b"transfer-encoding")
    if coding is not None:
        _apply_coding(request, coding)
    expect = seen.get(b"expect")
    if expect is not None:
        _apply_expectation(request, expect)
    coding = seen.get(b"content-encoding")
    if coding is not None:
        request.coding = coding_of(coding)
    request.origin = seen.get(b"origin")


def _apply_client_id(request: Request, value: bytes) -> None:
    """Take the client's name of the request, and repeat it in the answer; one that is odd or repeated is none."""
    if request.extra_lines or not _CLIENT_ID_FORM.fullmatch(value):
        request.client_request_id, request.extra_lines = None, b""
        return
    request.client_request_id = value.decode("ascii")
    request.extra_lines = b"x-request-id: %b\r\n" % value


def _apply_coding(request: Request, coding: bytes) -> None:
    if request.http_version == "1.0" or coding.lower() != b"chunked":
        raise Refusal(400, "invalid_transfer_encoding", "Transfer-Encoding must be chunked, in HTTP/1.1")
    request.is_chunked = True


def _apply_expectation(request: Request, expect: bytes) -> None:
    if expect.lower() != b"100-continue":
        raise Refusal(417, "unknown_expectation", "the only expectation served is 100-continue")
    request.expects_continue = request.http_version == "1.1"


def split_target(target: bytes) -> tuple[str, bytes]:
    """Split a request target into its decoded path and its raw query.

    The absolute form (``http://host/path``, which a server must accept, RFC 9112 §3.2.2) loses its authority; the
    asterisk form stays ``*``.
    """
    if not target.startswith(b"/"):
        target = _strip_authority(target)
    path, _, query = target.partition(b"?")
    if b"#" in target:
        raise _invalid_target("it has a fragment")
    if b"%" not in path:
        return path.decode("ascii"), query
    if _BAD_ESCAPE.search(path):
        raise _invalid_target("a % is not followed by two hexadecimal digits")
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid_target("its path is not UTF-8") from None
    if _CONTROL.search(decoded):
        raise _invalid_target("its path has a control character")
    return decoded, query


def _strip_authority(target: bytes) -> bytes:
    if target == b"*":
        return target
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        raise _invalid_target("it is neither a path nor an http URL")
    cut = min((rest.index(mark) for mark in (b"/", b"?", b"#") if mark in rest), default=len(rest))
    if not rest[:cut]:
        raise _invalid_target("its URL has no host")
    rest = rest[cut:]
    return rest if rest.startswith(b"/") else b"/" + rest


def _invalid_target(why: str) -> Refusal:
    return Refusal(400, "invalid_target", f"the request target cannot be used: {why}")


def head_bytes(target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    """Size of a head as sent, without its method and version."""
    return len(target) + sum(len(name) + len(value) + _HEADER_OVERHEAD_BYTES for name, value in headers)


def header_too_large(limits: Limits) -> Refusal:
    """Say that the head is over its limit."""
    return Refusal(431, "headers_too_large", f"the request's head is over {limits.max_header_bytes} bytes")


def body_too_large(limits: Limits) -> Refusal:
    """Say that the body is over its limit."""
    return Refusal(413, "body_too_large", f"the request's body is over {limits.max_body_bytes} bytes")
