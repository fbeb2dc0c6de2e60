"""Compressed bodies: undone within a bound, refused where they cannot be, made for those who accept them."""

from __future__ import annotations

import gzip
import zlib

import pytest

from overspill.gateway.http.coding import accepts_gzip, coding_of, compressed, decoded
from overspill.gateway.http.refusal import Refusal

TEXT = b'{"model": "m", "messages": [' + b'{"role": "user", "content": "hello"}' * 100 + b"]}"


def raw_deflate(text: bytes) -> bytes:
    maker = zlib.compressobj(wbits=-15)
    return maker.compress(text) + maker.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b"x-gzip", gzip.compress(TEXT)),
        (b"gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
        (b"deflate", zlib.compress(TEXT)),
        (b"deflate", raw_deflate(TEXT)),
    ],
    ids=["gzip", "x-gzip", "two members", "deflate", "raw deflate"],
)
def test_what_a_client_compressed_is_undone(coding: bytes, body: bytes) -> None:
    assert decoded(body, coding, len(TEXT)) == TEXT
    with pytest.raises(Refusal) as refused:
        decoded(body, coding, len(TEXT) - 1)
    assert refused.value.status == 413
    assert b'"code":"body_too_large"' in refused.value.body


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(TEXT)[:-9], gzip.compress(TEXT) + b"more", b"\x1f\x8b"],
    ids=["other", "cut", "more", "begun"],
)
@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
def test_what_is_damaged_is_refused(coding: bytes, body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        decoded(body, coding, 10**6)
    assert refused.value.status == 400
    assert b'"code":"invalid_content_encoding"' in refused.value.body


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    assert len(bomb) < 60_000
    with pytest.raises(Refusal) as refused:
        decoded(bomb, b"gzip", 1_000_000)
    assert refused.value.status == 413


def test_no_coding_is_none_and_an_unknown_one_is_refused_with_those_that_are_known() -> None:
    assert [coding_of(value) for value in (b"", b"identity", b"Identity")] == [None] * 3
    assert [coding_of(value) for value in (b"GZIP", b"deflate", b"x-gzip")] == [b"gzip", b"deflate", b"x-gzip"]
    for value in (b"br", b"zstd", b"gzip, gzip", b"gzip;q=1"):
        with pytest.raises(Refusal) as refused:
            coding_of(value)
        assert refused.value.status == 415
        assert (b"accept-encoding", b"gzip, deflate") in refused.value.headers


@pytest.mark.parametrize(
    ("values", "accepts"),
    [
        ((), False),
        ((b"",), False),
        ((b"gzip",), True),
        ((b"GZip;q=1.000",), True),
        ((b"gzip; q=0.001",), True),
        ((b"gzip;q=0",), False),
        ((b"gzip; q=0.000",), False),
        ((b"br, deflate",), False),
        ((b"br", b"gzip"), True),
        ((b"*",), True),
        ((b"*;q=0",), False),
        ((b"*;q=0, gzip",), True),
        ((b"gzip;q=0, *",), False),
        ((b"identity;q=1, *;q=0.5",), True),
    ],
)
def test_weights_say_whether_gzip_is_accepted(values: tuple[bytes, ...], accepts: bool) -> None:
    assert accepts_gzip([(b"host", b"x"), *((b"accept-encoding", value) for value in values)]) is accepts


def test_an_answer_says_that_it_depends_on_what_is_accepted() -> None:
    lines = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    accepting = [(b"accept-encoding", b"gzip")]
    head, body = compressed(accepting, lines, TEXT)
    assert head == lines + b"vary: accept-encoding\r\ncontent-encoding: gzip\r\n"
    assert gzip.decompress(body) == TEXT
    assert compressed([], lines, TEXT) == (lines + b"vary: accept-encoding\r\n", TEXT)
    done = lines + b"content-encoding: br\r\n"
    assert compressed(accepting, done, TEXT) == (done, TEXT)
    large = bytes(512 * 1024 + 1)
    assert compressed(accepting, lines, large) == (lines, large)
