"""The straight passage: a stream's plain tokens go from the target's socket to the client's as the bytes they are.

What a chunk costs is memory that is no longer in the processor's caches: decoding it and carrying it through parser,
decoder, relay, session and exchange touches many places for each of hundreds of streams. Comparing it with the shape
that the stream's tokens have touches a few. Measured (2026-11, 200 streams of 50 tokens/s each): 50 µs of CPU per chunk
without it, of which 29 are the kernel's and the loop's; about 41 with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from overspill.gateway.kept import Kept
from overspill.wire.plain import learn_shape

_LESSONS: Final = 6
"""Times in a row that a shape is learned for nothing; some targets never send the same one twice."""
_WORTHWHILE: Final = 16
"""Tokens that must pass for a lesson to have been worth its time."""
# A chunk of n bytes is "n in hexadecimal" CR LF, the bytes, CR LF. Of two digits are n from 16, of three n from 256;
# other chunks, and sizes with leading zeros or capitals, do not begin with what is made of that, and do not pass.
_FRAMING_2: Final = len("ff\r\n\r\n")
_FRAMING_3: Final = len("fff\r\n\r\n")
_LEAST_3: Final = 0x100 + _FRAMING_3
_KEPT_HEADS: Final = 64
"""Sizes of chunks whose beginnings are kept; a stream has a dozen or two."""
_NO_HEAD: Final = b"-"
"""How no chunk begins."""


class StraightPassage:
    """Takes chunks that are one event with one plain token, and counts them. See ``http.client_call.Passage``."""

    __slots__ = ("_before", "_behind", "_heads", "_kept", "_lessons", "_passed_before", "_send", "passed")

    def __init__(self, send: Callable[[bytes], None], kept: Kept | None = None) -> None:
        """Make it; ``kept`` remembers what the client has, where that may be needed."""
        self._send = send
        self._kept = kept
        self._before = self._behind = b""
        self._heads: dict[int, bytes] = {}
        """Size of a chunk of this shape → what stands in it before the text."""
        self._lessons = _LESSONS
        self._passed_before = 0
        """At the last lesson."""
        self.passed = 0
        """Tokens."""

    @property
    def has_shape(self) -> bool:
        """Whether there is anything to take."""
        return self._behind != b""

    def learn(self, raw: bytes) -> None:
        """Take tokens whose events are shaped like ``raw`` from now on, if that is a shape."""
        if self._behind and raw[: len(self._before)] == self._before and raw.endswith(self._behind[:-2]):
            return  # it came in one read with others
        if self.passed - self._passed_before >= _WORTHWHILE:
            self._lessons = _LESSONS
        if self._lessons == 0:
            return
        self._lessons -= 1
        self._passed_before = self.passed
        shape = learn_shape(raw)
        if shape is not None:
            self._before = shape.before
            self._behind = shape.behind + b"\r\n"
            self._heads.clear()
            if self._kept is not None:
                self._kept.texts_are(shape.field)

    def take(self, chunk: bytes) -> bool:
        """Pass on ``chunk``, framing included, if it is one whole chunk with one plain token; else return False."""
        size = len(chunk)
        head = self._heads.get(size)
        if head is None:
            head = self._head_of(size)
        behind_bytes = len(self._behind)
        # Slices, and not ``startswith`` and ``endswith``, which take three times as long.
        if chunk[: len(head)] != head or chunk[-behind_bytes:] != self._behind:
            return False
        # What ``wire.plain.is_plain_text`` asks, without a call: see there.
        try:
            text = chunk[len(head) : -behind_bytes].decode()
        except UnicodeDecodeError:
            return False
        if not text.isprintable() or '"' in text or "\\" in text or not text:
            return False
        self.passed += 1
        if self._kept is not None:
            self._kept.texts.append(text)
        self._send(chunk)
        return True

    def _head_of(self, size: int) -> bytes:
        """Write how a chunk of ``size`` bytes begins, framing included, if it is one event of this shape."""
        count = size - _FRAMING_3 if size >= _LEAST_3 else size - _FRAMING_2
        line = b"%x\r\n" % count
        is_whole = len(line) + count + 2 == size  # else it would say more than there is
        head = line + self._before if is_whole else _NO_HEAD
        if len(self._heads) >= _KEPT_HEADS:
            self._heads.clear()
        self._heads[size] = head
        return head
