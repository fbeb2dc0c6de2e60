"""What a trusted proxy says of where a request came from is believed, and what anybody else says is not."""

from __future__ import annotations

import pytest

from overspill.gateway.http.proxies import TrustedProxies
from overspill.gateway.http.request import Request

TRUSTED = TrustedProxies(("10.0.0.0/8", "127.0.0.1", "fd00::/8"))


def client(*headers: tuple[bytes, bytes], peer: str = "10.0.0.1") -> str:
    request = Request("POST", "/", b"", [(b"host", b"inner"), *headers], peer)
    proxies = TRUSTED.for_peer(peer)
    if proxies is not None:
        proxies.apply(request)
    return request.peer


@pytest.mark.parametrize("peer", ["10.2.3.4", "127.0.0.1", "fd00::1", "::ffff:10.0.0.9"])
def test_a_proxy_is_known_by_its_network(peer: str) -> None:
    assert TRUSTED.for_peer(peer) is TRUSTED
    assert TrustedProxies().for_peer(peer) is None


@pytest.mark.parametrize("peer", ["11.0.0.1", "127.0.0.2", "fe80::1", "local", ""])
def test_anybody_else_is_none_and_its_word_does_not_count(peer: str) -> None:
    assert TRUSTED.for_peer(peer) is None
    assert client((b"x-forwarded-for", b"1.2.3.4"), peer=peer) == peer


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), "10.0.0.1"),
        (((b"x-forwarded-for", b"1.2.3.4"),), "1.2.3.4"),
        (((b"x-forwarded-for", b"6.6.6.6, 1.2.3.4"),), "1.2.3.4"),
        (((b"x-forwarded-for", b"6.6.6.6, 1.2.3.4, 10.9.9.9"),), "1.2.3.4"),
        (((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"1.2.3.4")), "1.2.3.4"),
        (((b"x-forwarded-for", b"10.1.1.1, 10.2.2.2"),), "10.1.1.1"),
        (((b"x-forwarded-for", b"6.6.6.6, unknown, 10.2.2.2"),), "10.2.2.2"),
        (((b"x-forwarded-for", b"garbage"),), "10.0.0.1"),
        (((b"x-forwarded-for", b""),), "10.0.0.1"),
        (((b"x-forwarded-for", b"1.2.3.4:5678"),), "1.2.3.4"),
        (((b"x-forwarded-for", b"[2001:db8::1]:443"),), "2001:db8::1"),
        (((b"x-forwarded-for", b"2001:DB8::1"),), "2001:db8::1"),
        (((b"forwarded", b"for=1.2.3.4;proto=https;host=a"),), "1.2.3.4"),
        (((b"forwarded", b'proto=https; For="[2001:db8::1]:47011"'),), "2001:db8::1"),
        (((b"forwarded", b"for=6.6.6.6, for=1.2.3.4"),), "1.2.3.4"),
        (((b"forwarded", b"for=_hidden"),), "10.0.0.1"),
        (((b"forwarded", b"proto=https"),), "10.0.0.1"),
        (((b"forwarded", b"for=1.2.3.4"), (b"x-forwarded-for", b"1.2.3.4")), "1.2.3.4"),
        (((b"forwarded", b"for=6.6.6.6"), (b"x-forwarded-for", b"1.2.3.4")), "10.0.0.1"),
    ],
)
def test_the_last_address_that_is_no_proxys_is_taken(headers: tuple[tuple[bytes, bytes], ...], expected: str) -> None:
    assert client(*headers) == expected


def test_of_an_endless_list_only_the_end_is_read() -> None:
    assert client((b"x-forwarded-for", b"1.2.3.4, " + b"10.0.0.2, " * 5000 + b"10.0.0.3")) == "10.0.0.2"


@pytest.mark.parametrize(
    ("said", "host"),
    [(b"outer.example", b"outer.example"), (b"a.example, b.example:8443", b"b.example:8443"), (b"a b", b"inner")],
)
def test_the_name_that_was_asked_for_is_taken_too(said: bytes, host: bytes) -> None:
    request = Request("GET", "/", b"", [(b"host", b"inner"), (b"x-forwarded-host", said)], "10.0.0.1")
    TRUSTED.apply(request)
    assert request.header(b"host") == host
