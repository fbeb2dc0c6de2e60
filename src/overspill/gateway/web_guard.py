"""Keeps web pages in the user's browser away from a gateway that asks for no key.

Without keys the gateway listens on loopback only, but a page can make the browser send requests there. It could not
read the answers (``cors`` says whose pages may), and yet spend money. Two ways lead in, and each is closed by the head
alone:

* A site lets its own name point to 127.0.0.1 (DNS rebinding), so that the browser takes the gateway for that site. The
  ``Host`` header has the site's name then, and must be a name of this machine.
* A form or a ``fetch`` sends a POST across sites without asking first (no preflight). The browser then says whose page
  it was in ``Origin``, and the body has one of the types that a form can have, or none.

What is no browser sends neither ``Origin`` nor ``Sec-Fetch-Site`` and is not affected.
"""

from __future__ import annotations

from collections.abc import Iterable

from overspill.config.addresses import is_loopback
from overspill.gateway.http.request import Request
from overspill.wire.http import Headers
from overspill.wire.reply import error_body

Answer = tuple[int, Headers, bytes]
_READ = frozenset((b"host", b"origin", b"sec-fetch-site", b"content-type"))
_FORM_TYPES = frozenset((b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"))
"""What a page may send to another site without a preflight; a body without a type counts as one."""
_LONGEST = 300
"""Bytes of an origin: a scheme, a host's name of 253 and a port."""
_JSON: Headers = ((b"content-type", b"application/json"),)


class WebGuard:
    """Judges heads; what it says depends on the head and on the configuration and nothing else."""

    def __init__(self, bound: str, allowed: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        """Make it of the address that is bound, names it may be asked by, and origins whose pages may use it."""
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self.allows_any_page = b"*" in self._origins
        self._names = frozenset(_plain(name) for name in (bound, *allowed))
        usual = {"127.0.0.1", "localhost", *(name for name in self._names if ":" not in name)}
        self._usual = frozenset(name.encode() for name in usual)
        """Names that need no closer look."""

    def refuse(self, request: Request) -> Answer | None:
        """Return the answer to a request that a foreign web page may have made, or ``None``."""
        host = origin = site = content_type = None
        for name, value in request.headers:
            if name in _READ:
                if name == b"host":
                    host = value
                elif name == b"origin":
                    origin = value
                elif name == b"sec-fetch-site":
                    site = value
                else:
                    content_type = value
        if host is not None and host.partition(b":")[0] not in self._usual and not self._is_ours(_host_of(host)):
            return _forbid("host_not_allowed", _WRONG_HOST.format(name=_host_of(host)))
        if request.method != "POST" or (origin is None and site is None):
            return None
        if origin is not None and origin.lower() not in self._origins and self._is_foreign(origin):
            return _forbid("cross_site_request", _WRONG_ORIGIN.format(origin=origin.decode("latin-1")))
        is_form = (content_type or b"").partition(b";")[0].strip().lower() in _FORM_TYPES
        if is_form and (origin is not None or site == b"cross-site"):
            return _forbid("cross_site_request", _FORM)
        return None

    def allows_page(self, origin: bytes) -> bool:
        """Say whether a page of this origin may read answers: this machine's, an application's, or one that is named.

        Extensions of a browser have a scheme of their own too, but are many and not the user's own: they must be named.
        """
        if len(origin) > _LONGEST:
            return False
        if self.allows_any_page or origin.lower() in self._origins:
            return True
        return not origin.partition(b":")[0].lower().endswith(b"-extension") and not self._is_foreign(origin)

    def _is_ours(self, name: str) -> bool:
        return name in self._names or is_loopback(name) or name.endswith(".localhost")

    def _is_foreign(self, origin: bytes) -> bool:
        """Say whether this is a web site that is none of ours; an application's own scheme is no web site."""
        scheme, separator, rest = origin.partition(b"://")
        if not separator:
            return True  # "null": a page that hides where it is from
        return scheme.lower() in (b"http", b"https") and not self._is_ours(_host_of(rest))


def _host_of(authority: bytes) -> str:
    """Return the name or address of ``host:port``."""
    text = authority.decode("latin-1")
    if text.startswith("["):
        return _plain(text[: text.find("]") + 1])
    return _plain(text.partition(":")[0])


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _forbid(code: str, message: str) -> Answer:
    return 403, _JSON, error_body(message, kind="permission_error", code=code)


_WRONG_HOST = (
    "this gateway asks for no key, so it answers only to names of this machine and not to {name!r}: any web page could "
    "reach it under a name of its own. Ask http://127.0.0.1, add the name to server.allowed_hosts, or set "
    "server.api_keys"
)
_WRONG_ORIGIN = (
    "this gateway asks for no key, so it takes no request from a web page of another site ({origin}). Add the site to "
    "server.cors_origins, or set server.api_keys"
)
_FORM = (
    "this gateway asks for no key, so it takes nothing from a web page that any site's form could send. Send the body "
    "with 'Content-Type: application/json', or set server.api_keys"
)
