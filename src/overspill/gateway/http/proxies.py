"""Whose word counts on where a request really came from: proxies that the configuration trusts, and nobody else's.

Of ``X-Forwarded-For`` the last address that is no trusted proxy's is taken: what stands before it was written by whom
nobody vouches for. ``Forwarded`` (RFC 7239) is read the same way. A proxy writes one of the two and passes the other on
as its client sent it, so where both are there and differ, neither is believed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from overspill.gateway.http.request import HOST_BYTES, Request

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_FOR = re.compile(r'(?i)(?:^|;)\s*for="?([^;"]*)"?')
_MAX_HOPS = 32


class TrustedProxies:
    """The proxies of one configuration, by address or network."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks: tuple[_Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def for_peer(self, peer: str) -> TrustedProxies | None:
        """Return itself for a peer that is one of them, else ``None``."""
        return self if self._networks and self._trusts(peer) else None

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)

    def apply(self, request: Request) -> None:
        """Take over what a trusted peer says of a request: its client's address, and the name it was asked by."""
        found: dict[bytes, list[str]] = {}
        host: bytes | None = None
        for name, value in request.headers:
            if name in (b"x-forwarded-for", b"forwarded"):
                found.setdefault(name, []).extend(value.decode("latin-1").split(","))
            elif name == b"x-forwarded-host":
                host = value.rpartition(b",")[2].strip()
        listed = self._client([part.strip() for part in found.get(b"x-forwarded-for", [])])
        described = self._client([_for_of(part) for part in found.get(b"forwarded", [])])
        if listed is None or described is None or listed == described:
            request.peer = listed or described or request.peer
        if host and not host.translate(None, HOST_BYTES):
            request.headers = [(name, host if name == b"host" else value) for name, value in request.headers]

    def _client(self, hops: list[str]) -> str | None:
        """Return the last address that is no proxy's; the first of all if they all are, ``None`` if one is none."""
        nearest: str | None = None
        for hop in reversed(hops[-_MAX_HOPS:]):
            address = _address(_without_port(hop))
            if address is None:
                return nearest
            nearest = str(address)
            if not self._trusts(nearest):
                return nearest
        return nearest


NO_PROXIES = TrustedProxies()


def _for_of(element: str) -> str:
    match = _FOR.search(element)
    return "" if match is None else match[1]


def _without_port(text: str) -> str:
    """Cut ``:port`` off an address; an IPv6 address has brackets where it has one."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
