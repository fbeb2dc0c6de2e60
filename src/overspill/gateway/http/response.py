"""Heads of our responses as bytes. Framing is decided here and nowhere else, so a handler cannot contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from http import HTTPStatus

# Written by the server itself. A handler that passes an upstream's headers on may leave these in; they are dropped.
_FRAMING = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade", b"trailer", b"date", b"te")
)
_UPGRADE_REQUIRED = 426
"""Must name what the server speaks instead (RFC 9110 §15.5.22)."""
_CLOSE = b"connection: close\r\n"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@cache  # at most 400 entries; the usual few are formatted once
def _status_line(status: int) -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"status {status} cannot end a request; use 200 to 599")
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


def encode_lines(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Write the first lines of a head: the status and the handler's headers, without those that are the server's.

    Raises ``ValueError`` for a status out of range and for a name or value with CR, LF or NUL, which could start a
    second response.
    """
    parts = [_status_line(status)]
    count = 1
    for name, value in headers:
        if name.lower() in _FRAMING and not (status == _UPGRADE_REQUIRED and name == b"upgrade"):
            continue
        parts += (name, b": ", value, b"\r\n")
        count += 1
    lines = b"".join(parts)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        raise ValueError(f"a response header has CR, LF or NUL in it: {headers!r}")
    return lines


def encode_head(
    status: int, headers: Sequence[tuple[bytes, bytes]], framing: bytes, date_line: bytes, *, closes: bool
) -> bytes:
    """Join a response's head, its blank line included.

    ``framing`` is the complete lines that say how the body and the connection end, or empty; ``date_line`` likewise.
    Raises what ``encode_lines`` raises.
    """
    return end_head(encode_lines(status, headers), framing, date_line, closes=closes)


def end_head(lines: bytes, framing: bytes, date_line: bytes, *, closes: bool) -> bytes:
    """Put the server's own lines behind what ``encode_lines`` wrote, and end the head."""
    return b"%b%b%b%b\r\n" % (lines, framing, date_line, _CLOSE if closes else b"")


def encode_date(year: int, month: int, day: int, hour: int, minute: int, second: int, weekday: int) -> bytes:
    """Write the ``Date`` line (RFC 9110 §5.6.7) from UTC; not with ``strftime``, which follows the locale."""
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
    return f"date: {date}\r\n".encode()
