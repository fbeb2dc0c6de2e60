from __future__ import annotations

import pytest

from overspill.gateway.http.response import encode_date, encode_head


def test_a_head_is_exact() -> None:
    head = encode_head(404, [(b"a", b"b")], b"content-length: 0\r\n", b"date: x\r\n", closes=True)
    assert head == b"HTTP/1.1 404 Not Found\r\na: b\r\ncontent-length: 0\r\ndate: x\r\nconnection: close\r\n\r\n"
    assert encode_head(204, [], b"", b"", closes=False) == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert encode_head(599, [], b"", b"", closes=False) == b"HTTP/1.1 599 Unknown\r\n\r\n"


def test_framing_headers_of_an_upstream_are_dropped() -> None:
    theirs = [(b"Content-Length", b"5"), (b"transfer-encoding", b"chunked"), (b"Connection", b"close"), (b"x", b"y")]
    assert encode_head(200, theirs, b"", b"", closes=False) == b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [(b"a", b"b\r\nc: d"), (b"a", b"b\nc: d"), (b"a", b"b\rc"), (b"a\r\n", b"b"), (b"a", b"b\0"), (b"a\n", b"")],
)
def test_a_header_that_would_split_the_response_is_an_error(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        encode_head(200, [header], b"", b"", closes=False)


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600])
def test_a_status_that_ends_no_request_is_an_error(status: int) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        encode_head(status, [], b"", b"", closes=False)


def test_a_date_has_the_form_of_rfc_9110() -> None:
    assert encode_date(1994, 11, 6, 8, 49, 37, 6) == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
