"""What a client has been sent of one stream, kept so that another target can go on with it if it breaks.

Written on the data path, so it only collects: the texts of tokens that passed straight on, and the other events as the
bytes they were. They are read when the stream breaks; only if many pile up are they read before, which also makes them
smaller: of a token's event of 230 bytes, the five of its text are kept.
"""

from __future__ import annotations

from overspill.wire.answers import MalformedChunk
from overspill.wire.chunks import has_tool_call
from overspill.wire.continuation import CannotContinue, check_request
from overspill.wire.history import Thought, thought_of_stream
from overspill.wire.request import Request as WireRequest
from overspill.wire.transcript import Transcript

_READ_AT = 256
"""Pieces that pile up before they are read."""
_HELD_BYTES = 1024 * 1024
"""Most that waits for the end of a tool call."""


class Kept:
    """Collects one answer in the order in which it was sent, whichever attempts it came from."""

    __slots__ = (
        "_calls",
        "_calls_bytes",
        "_events",
        "_field",
        "_is_chat",
        "_of_calls",
        "_of_calls_bytes",
        "_request",
        "_transcript",
        "is_for_rescue",
        "texts",
    )

    def __init__(self, request: WireRequest, *, is_chat: bool, is_for_rescue: bool = True) -> None:
        self._request = request
        self.is_for_rescue = is_for_rescue
        """False where only the thought is wanted that led to calls of tools: see ``thought``."""
        self._of_calls: list[bytes] = []
        """Data of the events with parts of tool calls that the client has."""
        self._of_calls_bytes = 0
        self._calls: list[tuple[bytes, bytes]] | None = None
        """Events that wait until the tool calls in them are whole: half a call could not be continued."""
        self._calls_bytes = 0
        self._is_chat = is_chat
        self._transcript: Transcript | None = None  # made when it is needed: most streams are whole
        self._events: list[bytes] = []
        self._field = "content"
        self.texts: list[str] = []
        """Texts of tokens that came after all events; written by the straight passage."""

    def take(self, raw: bytes, data: bytes) -> bool:
        """Take an event that the client is to have; return whether it must wait for ``release``."""
        calls = self._calls
        if calls is None:
            if not has_tool_call(data):
                self.add(data)
                return False
            if not self.is_for_rescue or not self._can_be_continued():
                self._add_call(data)
                return False
            calls = self._calls = []
        calls.append((raw, data))
        self._calls_bytes += len(raw)
        return True

    @property
    def is_waiting(self) -> bool:
        """True while a tool call is not whole: what comes behind it must not overtake it."""
        return self._calls is not None

    @property
    def is_overfull(self) -> bool:
        """True if more waits than may."""
        return self._calls_bytes > _HELD_BYTES

    def release(self) -> list[bytes]:
        """Return the events that wait, since the client is to have them now."""
        calls, self._calls, self._calls_bytes = self._calls or [], None, 0
        for _, data in calls:
            self._add_call(data)
        return [raw for raw, _ in calls]

    def forget_calls(self) -> None:
        """Drop what waits: it will not come to its end."""
        self._calls, self._calls_bytes = None, 0

    def _add_call(self, data: bytes) -> None:
        self.add(data)
        self._of_calls_bytes += len(data)
        if self._of_calls_bytes <= _HELD_BYTES:
            self._of_calls.append(data)

    def thought(self) -> Thought | None:
        """Return the thought that led to the calls of tools in the answer, if there are both."""
        if not self._of_calls or self._of_calls_bytes > _HELD_BYTES:
            return None
        return thought_of_stream(self._read().reasoning.text(), self._of_calls)

    def _can_be_continued(self) -> bool:
        try:
            check_request(self._request)
        except CannotContinue:
            return False
        return True

    def add(self, data: bytes) -> None:
        """Take an event's data."""
        if self.texts:
            self._read()
        self._events.append(data)

    def texts_are(self, field: str) -> None:
        """Say in which field the texts come from now on."""
        if self.texts:
            self._read()
        self._field = field

    def tidy(self) -> None:
        """Make it small, if it is large; called now and then."""
        if len(self.texts) + len(self._events) > _READ_AT:
            self._read()

    def transcript(self) -> Transcript:
        """Return all that the client has."""
        return self._read()

    def _read(self) -> Transcript:
        transcript, events, texts = self._transcript, self._events, self.texts
        if transcript is None:
            transcript = self._transcript = Transcript(is_chat=self._is_chat)
        for data in events:
            try:
                transcript.add(data)
            except MalformedChunk:  # the relay read it, but it is nested deeper than can be read again
                transcript.is_odd = True
        events.clear()
        transcript.add_texts(self._field, texts)
        texts.clear()
        return transcript
