"""Requests that two readers could read in two ways, and requests over a limit: refused, and the connection closed."""

from __future__ import annotations

import asyncio
import re

import msgspec
import pytest
from tests.contract.http_support import (
    GET,
    answer_ok,
    answer_with_body,
    body_of,
    connected,
    serving,
    status_of,
    talk,
    unreachable,
)

from overspill.gateway.http.limits import Limits

_POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"

AMBIGUOUS = {
    "length and coding": _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "one length twice": _POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "list of lengths": _POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": _POST + b"Content-Length: +3\r\n\r\nabc",
    "negative length": _POST + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": _POST + b"Content-Length: 0x3\r\n\r\nabc",
    "empty length": _POST + b"Content-Length: \r\n\r\nabc",
    "length with an underscore": _POST + b"Content-Length: 1_0\r\n\r\nabc",
    "length that overflows": _POST + b"Content-Length: 18446744073709551617\r\n\r\nabc",
    "coding before chunked": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity coding": _POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "misspelt coding": _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding twice": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding after a vertical tab": _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": _POST + b"X: a\r\n b\r\n\r\n",
    "space before the first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "header without a colon": _POST + b"X\r\n\r\n",
    "header without a name": _POST + b": x\r\n\r\n",
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    "bare LF after a header": b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
    "NUL in a value": _POST + b"X: a\0b\r\n\r\n",
    "control character in a value": _POST + b"X: a\x01b\r\n\r\n",
    "NUL in a name": _POST + b"X\0: a\r\n\r\n",
    "letter outside ASCII in a name": _POST + b"X\xc3\xa9: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "Host with user": b"GET / HTTP/1.1\r\nHost: u@x\r\n\r\n",
    "Host list": b"GET / HTTP/1.1\r\nHost: x, y\r\n\r\n",
    "two Authorizations": _POST + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    "two Content-Types": _POST + b"Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n",
    "two API keys": _POST + b"X-Api-Key: a\r\nX-API-KEY: b\r\n\r\n",
    "lower-case method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown method": b"FROB / HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "byte above 127 in the target": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped control character in the target": b"GET /%0d%0aX:y HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped NUL in the target": b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "broken escape in the target": b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    "escaped bytes that are not UTF-8": b"GET /%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    "fragment in the target": b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
    "target without a slash": b"GET abc HTTP/1.1\r\nHost: x\r\n\r\n",
    "target of another scheme": b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "unknown version": b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
    "version with two digits": b"GET / HTTP/1.10\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "bare LF after a chunk size": _CHUNKED + b"1\nx\r\n0\r\n\r\n",
    "bare LF in a chunk extension": _CHUNKED + b"1;a\nx\r\n0\r\n\r\n",
    "space after a chunk size": _CHUNKED + b"1 \r\nx\r\n0\r\n\r\n",
    "negative chunk size": _CHUNKED + b"-1\r\nx\r\n0\r\n\r\n",
    "prefixed chunk size": _CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n",
    "chunk size that overflows": _CHUNKED + b"fffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "chunk longer than its size": _CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(name: str) -> None:
    async def main() -> None:
        async with serving(unreachable) as server:
            response = await talk(server, AMBIGUOUS[name] + GET)
        assert status_of(response) == 400
        assert response.count(b"\r\n\r\n") == 1
        assert b"\r\nconnection: close\r\n" in response
        error = msgspec.json.decode(body_of(response))["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "request_bytes"),
    [
        (501, b"PURGE / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (501, b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
        (505, b"GET / HTTP/0.9\r\nHost: x\r\n\r\n"),
        (505, b"GET /\r\n\r\n"),
        (417, _POST + b"Expect: the-unexpected\r\n\r\n"),
        (413, _POST + b"Content-Length: 1001\r\n\r\n"),
        (413, _CHUNKED + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n"),
        (414, b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 600 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20 + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000),
        (400, _CHUNKED + b"1;" + b"e" * 100_000),
        (400, _CHUNKED + b"0\r\nX: " + b"t" * 100_000),
    ],
)
def test_a_request_over_a_limit_or_unserved_is_refused(status: int, request_bytes: bytes) -> None:
    limits = Limits(max_header_bytes=512, max_headers=10, max_target_bytes=100, max_body_bytes=1000)

    async def main() -> None:
        async with serving(unreachable, limits=limits) as server:
            response = await talk(server, request_bytes)
        assert status_of(response) == status
        assert response.count(b"\r\n\r\n") == 1

    asyncio.run(main())


def test_a_request_at_its_limits_is_served() -> None:
    limits = Limits(max_header_bytes=100, max_headers=3, max_target_bytes=10, max_body_bytes=1000)
    body = b"b" * 1000
    head = b"POST /23456789 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX: " + b"x" * 55 + b"\r\n\r\n"

    async def main() -> None:
        async with serving(answer_with_body, limits=limits) as server, connected(server) as peer:
            peer.send(head + body)
            assert body_of(await peer.read_message()) == body
            peer.send(_CHUNKED + b"".join(b"1\r\nb\r\n" for _ in range(1000)) + b"0\r\n\r\n")
            assert body_of(await peer.read_message()) == body
            peer.send(head.replace(b"X: ", b"X: y") + body)
            assert status_of(await peer.read_message()) == 431

    asyncio.run(main())


def test_a_client_that_sends_all_of_a_too_large_body_can_still_read_why() -> None:
    async def main() -> None:
        async with serving(unreachable, limits=Limits(max_body_bytes=1000)) as server, connected(server) as peer:
            peer.send(_POST + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
            await peer.writer.drain()
            response = await peer.read_to_end()
        assert status_of(response) == 413
        assert b"over 1000 bytes" in response

    asyncio.run(main())


def test_what_precedes_an_ambiguous_request_is_answered_first() -> None:
    async def main() -> None:
        async with serving(answer_ok) as server:
            response = await talk(server, GET + GET + b"GET / HTTP/1.1\r\nHost : x\r\n\r\n" + GET)
        assert re.findall(rb"HTTP/1.1 (\d+)", response) == [b"200", b"200", b"400"]

    asyncio.run(main())


def test_bytes_behind_a_request_that_closes_are_not_served() -> None:
    async def main() -> None:
        async with serving(answer_ok) as server:
            response = await talk(server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET)
        assert response.count(b"\r\n\r\n") == 1
        assert status_of(response) == 200

    asyncio.run(main())


def test_an_absolute_target_loses_its_authority() -> None:
    async def main() -> None:
        paths: list[str] = []

        def handler(exchange):  # type: ignore[no-untyped-def]
            paths.append(exchange.request.path)
            answer_ok(exchange)

        async with serving(handler) as server:
            await talk(
                server,
                b"GET http://other:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET HTTP://other HTTP/1.1\r\nHost: x\r\n\r\n"
                b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
        assert paths == ["/a", "/", "*"]

    asyncio.run(main())
