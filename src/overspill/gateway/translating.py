"""Attempts on targets that do not say their answers as chat chunks in the normal form.

A ``ReadingRelay`` has the target's events read into chat chunks before anything else sees them. A ``NativeRelay`` is
for a target that speaks what the client speaks: the answer goes on as it comes, and of its events only what decisions
and the ledger need is read.
"""

from __future__ import annotations

from overspill.core.commands import StartAttempt
from overspill.core.events import Cut
from overspill.core.types import RescueRefusal, Surface
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.ports import Reporter, Sink
from overspill.gateway.relay import Relay
from overspill.gateway.rescue import Resumption
from overspill.wire.answered import answered_model
from overspill.wire.answers import Whole
from overspill.wire.chat import write_fields
from overspill.wire.dialect import AnswerReader, NativeReader
from overspill.wire.http import HttpCall
from overspill.wire.reply import SSE_HEARTBEAT
from overspill.wire.request import Request as WireRequest
from overspill.wire.sse import Event as SseEvent
from overspill.wire.surfaces import native_reader


class ReadingRelay(Relay):
    """A relay whose target's events are read into chat chunks first."""

    __slots__ = ("_is_same", "_is_through", "_reader")

    def __init__(
        self,
        command: StartAttempt,
        target: LiveTarget,
        surface: Surface,
        request: WireRequest,
        sink: Sink,
        reporter: Reporter,
        *,
        reader: AnswerReader,
        kept: Kept | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__(command, target, surface, request, sink, reporter, kept=kept, resumption=resumption)
        self._reader = reader
        self._is_same = False
        """True while an event is read that came out as it went in."""
        self._is_through = False
        """True once none needs to be read first."""

    def _read_event(self, event: SseEvent, data: bytes) -> None:
        if self._is_through or self._reader.is_transparent:
            self._is_through = True
            super()._read_event(event, data)
            return
        chunks = self._reader.read(event)
        if not chunks:  # such as a ping
            if self.has_reached_client:
                self._held.append(SSE_HEARTBEAT)
            else:
                self._waits_there(len(event.raw))
        for chunk in chunks:
            self._is_same = chunk == data
            said = event if self._is_same else SseEvent(b"data: %b\n\n" % chunk, chunk)
            super()._read_event(said, chunk)
            if self.is_over:
                return

    def _learn(self, raw: bytes) -> None:
        # What is shaped like an event that needed nothing needs nothing either: an answer whose thoughts have another
        # name still has its text pass straight on.
        if self._is_through or self._is_same or self._reader.is_transparent:
            super()._learn(raw)

    def _read_whole(self) -> Whole:
        if self.status == 200:
            self._body.replace(self._reader.whole(self.body()))
        return super()._read_whole()


class NativeRelay(Relay):
    """A relay of a target that speaks the client's surface; a stream that breaks is not continued elsewhere."""

    __slots__ = ("_reader",)

    def __init__(
        self,
        command: StartAttempt,
        target: LiveTarget,
        surface: Surface,
        request: WireRequest,
        sink: Sink,
        reporter: Reporter,
    ) -> None:
        super().__init__(command, target, surface, request, sink, reporter)
        self.is_native = True
        self.is_stream = request.stream
        self._reader: NativeReader = native_reader(request.surface)

    def _http_call(self, request: WireRequest) -> HttpCall:
        assert request.native is not None  # the driver asks for this relay only then
        body = write_fields(request.native, model=self.model)
        return self.target.call_native(request.surface, body)

    def _read_event(self, event: SseEvent, data: bytes) -> None:
        if self.first_token_at is None and self.answered_model is None:
            self.answered_model = answered_model(data)  # in what opens the answer, before its first token
        chunk, is_last = self._reader.read(event)
        if self.first_token_at is not None and not chunk.has_token:
            self.heard_at = self._reporter.now()  # see ``pace.outlasts``
        if is_last:
            # What ends the stream is written with its end, as [DONE] is.
            self._done_raw = event.raw
            self.usage = chunk.usage or self.usage
            self.finish_reason = chunk.finish_reason or self.finish_reason
            if chunk.error is None:
                self._stream_ended()
                return
        self._take(chunk, event.raw, data)

    def _read_whole(self) -> Whole:
        return self._reader.whole(self.body())

    def _cut(self) -> Cut | None:
        return Cut(output_tokens=self.tokens, refusal=RescueRefusal.NATIVE) if self.command.is_kept else None
