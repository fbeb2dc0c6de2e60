"""Server-sent events: bytes from a target's socket to whole events, whatever the chunk boundaries are.

In the path of a request this stands between the upstream connection and the relay. An event keeps its exact bytes, so
the relay forwards what came and looks only at what it must. Grammar: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

import re

import msgspec

MAX_EVENT_BYTES = 4 * 1024**2
"""Longest event accepted; a whole answer's logprobs in one event stay far below it."""

_BOM = b"\xef\xbb\xbf"
_LF = 10
_CR = 13  # as a number: ``bytes in bytes`` takes 0.18 µs to find out that its left side is none
_FIELD = b"data: "
_JOIN_MAX_BYTES = 64 * 1024
# The end of a line and the empty line behind it. "\r\n" needs no case of its own at the front: its "\n" is one. A
# "\r\r" ends there and then, and a "\n" right behind it is a blank block: so the last event of a stream that ends its
# lines with "\r" is not held back for a "\n" that never comes, and the result does not depend on the chunks.
_BLOCK_END = re.compile(rb"\n(?:\n|\r\n?)|\r\r")
_BLANK = re.compile(rb"\n|\r\n?")


class SseTooLong(ValueError):  # noqa: N818 - reads as the state it reports
    """An event is longer than the decoder's bound; the stream cannot be read any further."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One block of a stream, from after the previous empty line to the end of its own."""

    raw: bytes
    """Exactly the bytes that came, with the terminator."""
    data: bytes | None
    """The ``data`` lines joined by a line feed; ``None`` if there are none (a comment such as ``: keep-alive``)."""
    name: bytes = b""
    """The ``event`` field."""


class SseDecoder:
    r"""Cuts one stream into events.

    The ``raw`` of all events and ``close()`` put together are the input, byte for byte, and the events do not depend on
    how the input was cut into chunks. A blank line that follows no field is an event of its own, without data.
    """

    __slots__ = ("_is_fresh", "_max_event_bytes", "_tail")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._tail = bytearray()
        self._is_fresh = True

    @property
    def is_within_event(self) -> bool:
        """Whether bytes wait here for the end of the event that they begin."""
        return bool(self._tail)

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete; raise ``SseTooLong`` past the bound."""
        tail = self._tail
        if tail and len(tail) <= _JOIN_MAX_BYTES:
            data = bytes(tail) + data
            tail.clear()
        # A long tail is not joined, or an event that comes in small pieces would be copied once for each of them.
        size = len(data)
        if tail or self._is_fresh or _CR in data or size > self._max_event_bytes:
            return self._scan(data)
        # One line and an empty one is nearly every chunk of a stream, and the search for one byte is the cheapest.
        if data.find(b"\n") == size - 2 and data[-1] == _LF and data.startswith(_FIELD):
            return [Event(data, data[6:-2])]
        return self._split(data)

    def close(self) -> bytes:
        """Return the bytes of an event that never ended; not empty means that the stream was cut."""
        rest = bytes(self._tail)
        self._tail.clear()
        return rest

    def _split(self, data: bytes) -> list[Event]:
        """Cut lines that all end in LF, with nothing pending: what nearly every target sends."""
        events: list[Event] = []
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            if block.startswith(_FIELD) and block.find(b"\n") < 0:
                events.append(Event(block + b"\n\n", block[6:]))
            elif not block:
                events += (Event(b"\n", None), Event(b"\n", None))
            elif block.startswith(b"\n"):
                events += (Event(b"\n", None), _read_block(block[1:] + b"\n\n"))
            else:
                events.append(_read_block(block + b"\n\n"))
        if rest.startswith(b"\n"):
            events.append(Event(b"\n", None))
            rest = rest[1:]
        if rest:
            self._tail += rest
        return events

    def _scan(self, data: bytes) -> list[Event]:
        """Cut any mix of line ends, starting where the pending bytes could complete one."""
        text = self._tail
        resume = max(0, len(text) - 2)
        text += data
        events: list[Event] = []
        start = 0
        while (end := _block_end(text, start, resume)) > 0:
            self._check_length(end - start)
            raw = bytes(text[start:end])
            events.append(_read_block(raw, skip=3 if self._is_fresh and raw.startswith(_BOM) else 0))
            self._is_fresh = False
            start = resume = end
        del text[:start]
        self._check_length(len(text))
        return events

    def _check_length(self, length: int) -> None:
        if length > self._max_event_bytes:
            raise SseTooLong(
                f"an event of the stream is longer than {self._max_event_bytes} bytes; the target does not send what "
                "it should, or its events need a larger bound"
            )


def _block_end(text: bytearray, start: int, resume: int) -> int:
    r"""Return where the block at ``start`` ends, or -1 if that cannot be said yet.

    A final ``\r`` is not decided before the next byte is seen: a ``\n`` would still belong to it.
    """
    match = _BLANK.match(text, start) or _BLOCK_END.search(text, resume)
    if match is None:
        return -1
    end = match.end()
    if end == len(text) and match[0] in (b"\n\r", b"\r"):
        return -1
    return end


def _read_block(raw: bytes, *, skip: int = 0) -> Event:
    """Read the fields of one block line by line; ``id`` and ``retry`` have no use here."""
    data: list[bytes] = []
    name = b""
    for line in raw[skip:].splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return Event(raw, b"\n".join(data) if data else None, name)
