"""A request whose head came before is known by its bytes, whatever the length of its body."""

from __future__ import annotations

import pytest

from overspill.gateway.http.repeat import RepeatedHead

BEFORE, AFTER = b"POST / HTTP/1.1\r\nContent-Length: ", b"\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("said", [0, 1, 8, 9, 10, 11, 98, 99, 100, 101, 999, 1000, 9_999, 10_000, 99_999, 100_000])
@pytest.mark.parametrize("more", [-2, -1, 0, 1, 2])
def test_a_body_is_taken_only_where_it_is_as_long_as_the_head_says(said: int, more: int) -> None:
    """Around a power of ten the head's own length changes too: 9 bytes with 10 behind them are not to be mistaken."""
    body = b"x" * max(0, said + more)
    data = BEFORE + b"%d" % said + AFTER + body
    assert RepeatedHead(BEFORE, AFTER).body_of(data) == (body if len(body) == said else None)


@pytest.mark.parametrize("digits", [b"05", b"+5", b" 5", b"5 ", b"", b"5x", b"0x5"])
def test_a_length_that_is_written_otherwise_is_read_as_any_head_is(digits: bytes) -> None:
    assert RepeatedHead(BEFORE, AFTER).body_of(BEFORE + digits + AFTER + b"x" * 5) is None
