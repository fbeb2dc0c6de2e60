"""Reads URLs and says whose address it is: this machine's, one's own network's, or somebody else's."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from overspill.wire.http import Origin

_DEFAULT_PORTS = {"http": 80, "https": 443}
_OWN_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa", ".localhost")


def parse_origin(url: str) -> Origin:
    """Read ``http://host:port/prefix``; raise ``ValueError`` that says what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{url!r} must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not carry a user name or password; give the key as api_key")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} must not have a query or fragment")
    if not parts.hostname or not url.isascii() or any(c.isspace() or ord(c) < 33 for c in url):
        raise ValueError(f"{url!r} has no host, or signs that a URL cannot have")
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return Origin(scheme=parts.scheme, host=parts.hostname, port=port, prefix=parts.path.rstrip("/").encode())


def is_address(host: str) -> bool:
    """Say whether ``host`` is an address and no name."""
    return _address(host) is not None


def is_loopback(host: str) -> bool:
    """Say whether ``host`` can only be reached from this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_own(host: str) -> bool:
    """Say whether ``host`` is surely on this machine or in a private network. In doubt it is not."""
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_link_local or (address.is_private and not address.is_unspecified)
    name = host.rstrip(".").lower()
    return "." not in name or name.endswith(_OWN_SUFFIXES)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
