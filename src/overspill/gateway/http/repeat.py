"""A head that comes again, recognised by its bytes: what was parsed and checked once needs no second parse.

A client of an API sends the same head with each request of a connection, and a server much the same with each answer;
only the length of the body differs. Comparing such heads instead of parsing and checking them took a request from 70
to 56 µs of CPU, both heads together, in a loop without sockets (2026-11). Nothing is decided by it: it is taken only
where the bytes are those that were accepted before, followed by exactly the body that they announce; all else is read
in full.
"""

from __future__ import annotations

import re

_MAX_BYTES = 4096
"""A longer head is not kept: connections are many."""
_MAX_DIGITS = 9
_LESSONS = 8
"""Heads in a row that are kept in vain."""
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,%d})\r\n" % _MAX_DIGITS, re.IGNORECASE)


class RepeatedHead:
    """The bytes of an accepted head, around the digits of its ``Content-Length``."""

    __slots__ = ("_after", "_before", "_fixed_bytes")

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before = before
        self._after = after
        self._fixed_bytes = len(before) + len(after)

    def body_of(self, data: bytes) -> bytes | None:
        """Return the body, if ``data`` is this head with its whole body and nothing more; else ``None``."""
        size = len(data) - self._fixed_bytes  # of the body, and of its length's digits
        digits, bound = 1, 10
        while size - digits >= bound:
            digits += 1
            bound *= 10
        if 10 * (size - digits) < bound and digits > 1:
            return None  # 9 bytes and their one digit are 10, 10 bytes and their two are 12: nothing makes 11
        head = b"%b%d%b" % (self._before, max(0, size - digits), self._after)
        # A slice, and not ``startswith``, which takes three times as long.
        return data[len(head) :] if data[: len(head)] == head else None


class AnswerHeads:
    """The last head of an origin's answers that may come again, and how worthwhile it is to keep one.

    Servers that number their answers in the head never send one twice; those are given up after a few.
    """

    __slots__ = ("_head", "_lessons", "headers", "status")

    def __init__(self) -> None:
        self._head: RepeatedHead | None = None
        self._lessons = _LESSONS
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    def body_of(self, data: bytes) -> bytes | None:
        """Return the body, if ``data`` is an answer with the kept head and nothing more; else ``None``."""
        if self._head is None:
            return None
        body = self._head.body_of(data)
        if body is not None:
            self._lessons = _LESSONS
        return body

    def keep(self, data: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Keep the head at the start of ``data``, which llhttp has accepted."""
        if self._lessons == 0:
            self._head = None
            return
        self._lessons -= 1
        self._head, self.status, self.headers = learn(data), status, headers

    def rest(self) -> None:
        """Try again after a while."""
        self._lessons = max(self._lessons, 1)


def learn(data: bytes, max_bytes: int = _MAX_BYTES) -> RepeatedHead | None:
    """Keep the head at the start of ``data``, which llhttp has accepted; ``None`` if it is not one to keep.

    With the longest number of digits it must still be within ``max_bytes``, or the next might be refused.

    A line that begins with ``Content-Length:`` is that header and the only one: a parser that is strict about line
    ends and repeated lengths has read it.
    """
    end = data.find(b"\r\n\r\n", 0, min(_MAX_BYTES, max(0, max_bytes - _MAX_DIGITS)))
    found = _LENGTH.search(data, 0, end + 2)
    if end < 0 or found is None:
        return None
    return RepeatedHead(data[: found.start(1)], data[found.end(1) : end + 4])
