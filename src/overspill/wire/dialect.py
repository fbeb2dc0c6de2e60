"""The translations around an attempt, for clients and targets that do not speak Chat Completions.

Everything between the two is Chat Completions in its normal form: what a client asks is read into a chat request where
it enters, and what a target says is read into chat chunks where it comes in. So admission, routing, rescue, cache and
detectors know one form, and any surface runs on any target::

    client ─▶ read_… ─▶ chat request ─▶ core, gateway ─▶ adapter ─▶ target
    client ◀─ AnswerWriter ◀─ chat chunks (normal form) ◀─ AnswerReader ◀─ target

The normal form: thinking in ``reasoning_content``, visible text in ``content``, calls in ``tool_calls``, one
``finish_reason``, and a last chunk with ``usage`` and no choices before ``[DONE]``.
"""

from __future__ import annotations

from typing import Protocol

from overspill.wire.answers import Chunk, Whole
from overspill.wire.sse import Event


class AnswerWriter(Protocol):
    """Writes one answer for one client in the form of its surface. One for each request, fed in order."""

    def feed(self, events: bytes) -> bytes:
        """Translate whole events of a chat stream, comments and ``[DONE]`` among them; may return nothing."""
        ...

    def whole(self, body: bytes) -> bytes:
        """Translate the body of an answer that is not streamed; raise ``MalformedChunk`` if it is none."""
        ...

    def heartbeat(self) -> bytes:
        """Return a sign of life for a stream that has nothing to say yet."""
        ...

    def broken(self, message: str, *, kind: str, code: str | None = None) -> bytes:
        """End a stream that has begun with an error; no client takes it as whole then."""
        ...

    def error(
        self, status: int, message: str, *, kind: str, code: str | None = None, param: str | None = None
    ) -> bytes:
        """Write an error as a whole body. The arguments are those of OpenAI's form."""
        ...


class AnswerReader(Protocol):
    """Reads one target's answer in its own form into chat chunks. One for each attempt."""

    @property
    def is_transparent(self) -> bool:
        """True once all further events come out as they go in, so that nobody need ask."""
        ...

    def read(self, event: Event) -> list[bytes]:
        """Return the data of the chunks that an event stands for, ``[DONE]`` included; raise ``MalformedChunk``."""
        ...

    def whole(self, body: bytes) -> bytes:
        """Return the ``chat.completion`` that a whole answer stands for; raise ``MalformedChunk`` if it is none."""
        ...


class NativeReader(Protocol):
    """Reads, of an answer that goes to its client as it came, what decisions and the ledger need. One per attempt."""

    def read(self, event: Event) -> tuple[Chunk, bool]:
        """Read an event with data, and say whether it is the stream's last; raise ``MalformedChunk`` if it is none."""
        ...

    def whole(self, body: bytes) -> Whole:
        """Read a whole answer; raise ``MalformedChunk`` if it is none."""
        ...
