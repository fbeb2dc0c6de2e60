from __future__ import annotations

import pytest

from overspill.gateway.http.limits import Limits
from overspill.gateway.http.refusal import Refusal
from overspill.gateway.http.request import head_bytes, read_head, split_target

HOST = (b"host", b"x:8788")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", b""),
        (b"/v1/models?a=b?c", "/v1/models", b"a=b?c"),
        (b"/%E4%BD%A0%20x%2Fy", "/你 x/y", b""),
        (b"/a?b=%zz", "/a", b"b=%zz"),
        (b"http://h:1/p?q", "/p", b"q"),
        (b"https://h?q", "/", b"q"),
        (b"http://h", "/", b""),
        (b"*", "*", b""),
    ],
)
def test_a_target_is_split_into_path_and_query(target: bytes, path: str, query: bytes) -> None:
    assert split_target(target) == (path, query)


@pytest.mark.parametrize(
    "target",
    [b"/a#b", b"/%", b"/%4", b"/%zz", b"/%ff", b"/%00", b"/%7f", b"abc", b"ftp://h/", b"http:///p", b"http://h#f"],
)
def test_a_target_that_cannot_be_used_is_refused(target: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        split_target(target)
    assert refusal.value.status == 400
    assert b"invalid_target" in refusal.value.body


def test_the_framing_is_read_from_the_head() -> None:
    headers = [HOST, (b"content-length", b"0012"), (b"expect", b"100-Continue")]
    request = read_head(b"POST", b"/", "1.1", headers, Limits())
    assert request.content_length == 12
    assert not request.is_chunked
    assert request.expects_continue
    chunked = read_head(b"POST", b"/", "1.1", [HOST, (b"transfer-encoding", b"Chunked")], Limits())
    assert chunked.is_chunked


def test_an_http_1_0_client_is_never_told_to_continue() -> None:
    request = read_head(b"POST", b"/", "1.0", [(b"expect", b"100-continue")], Limits())
    assert not request.expects_continue
    assert request.http_version == "1.0"


@pytest.mark.parametrize("host", [b"x", b"", b"127.0.0.1:8788", b"[::1]:80", b"a-b_c.example", b"%41"])
def test_usual_hosts_pass(host: bytes) -> None:
    assert read_head(b"GET", b"/", "1.1", [(b"host", host)], Limits()).method == "GET"


def test_a_refusal_says_what_to_do_in_openai_form() -> None:
    with pytest.raises(Refusal) as refusal:
        read_head(b"PURGE", b"/", "1.1", [HOST], Limits())
    assert refusal.value.status == 501
    assert refusal.value.body == (
        b'{"error":{"message":"method PURGE is not served; use one of GET, POST, HEAD, OPTIONS, PUT, PATCH, DELETE, '
        b'QUERY, TRACE",'
        b'"type":"server_error","param":null,"code":"unsupported_method"}}'
    )


def test_the_size_of_a_head_counts_what_was_sent() -> None:
    assert head_bytes(b"/a", [(b"host", b"x"), (b"a", b"b")]) == 2 + len(b"Host: x\r\nA: b\r\n")
