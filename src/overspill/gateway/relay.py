"""One attempt: the call to one target, and what its answer is.

A relay reads an answer far enough to know when its first token came, whether it is whole, and what it used; the bytes
go on to the session as they came. It decides nothing: it tells the driver ``FirstToken``, ``Finished`` or ``Failed``.
Progress is counted in tokens: comments, blank lines, role-only and empty deltas are none.
"""

from __future__ import annotations

from typing import Final

from overspill.core.commands import StartAttempt
from overspill.core.events import Cut, Failed, Finished, FirstToken, Progress, Queued
from overspill.core.types import FailureKind, Surface
from overspill.errors import WireError
from overspill.gateway.asking import body_of
from overspill.gateway.attempt import Attempt
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import TransportFault
from overspill.gateway.kept import Kept
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.pace import Pace
from overspill.gateway.passage import StraightPassage
from overspill.gateway.ports import Reporter, Sink
from overspill.gateway.rescue import DONE, Resumption, cut_of
from overspill.gateway.verdict import FAULTS, OUT_OF_RESOURCES, Body, content_type, error_of, failure_of
from overspill.pools.upstreams.protocol import Failure
from overspill.wire.aggregate import Aggregator, AnswerTooLong
from overspill.wire.answered import answered_model
from overspill.wire.answers import Chunk, ErrorBody, MalformedChunk, Whole
from overspill.wire.chunks import PLAIN_TOKEN, is_done, read_chunk, read_whole
from overspill.wire.form import ReasoningForm
from overspill.wire.http import HttpCall
from overspill.wire.reasoning import ReasoningReader
from overspill.wire.request import Request as WireRequest
from overspill.wire.splice import Diverged
from overspill.wire.sse import Event as SseEvent
from overspill.wire.sse import SseDecoder, SseTooLong

_ERROR_BODY_BYTES: Final = 64 * 1024
_WHOLE_BODY_BYTES: Final = 64 * 1024 * 1024
_HELD_BYTES: Final = 1024 * 1024
"""Most that a stream may send before its first token; roles and empty deltas are a few hundred bytes."""

_CHAT: Final = Surface.CHAT


class Relay(Attempt):
    """Receives one target's answer: reports at most one ``Finished`` or ``Failed``, and nothing after ``cancel``."""

    __slots__ = (
        "_aggregator",
        "_body",
        "_call",
        "_decoder",
        "_done_raw",
        "_held",
        "_held_bytes",
        "_passage",
        "_read_tokens",
        "_reporter",
        "_seen_tokens",
        "_sink",
        "has_reached_client",
        "is_queued",
        "pace",
        "rule",
    )

    def __init__(
        self,
        command: StartAttempt,
        target: LiveTarget,
        surface: Surface,
        request: WireRequest,
        sink: Sink,
        reporter: Reporter,
        *,
        kept: Kept | None = None,
        resumption: Resumption | None = None,
    ) -> None:
        super().__init__(command, target, surface, request, reporter.now(), kept=kept, resumption=resumption)
        self._sink = sink
        self._reporter = reporter
        self._call: ClientCall | None = None
        self._decoder: SseDecoder | None = None
        self._aggregator: Aggregator | None = None
        self._body = Body()
        self._held: list[bytes] = []
        self._done_raw = b""
        self.has_reached_client = False
        """True once the client has a part of this attempt's answer, so that no other attempt can replace it."""
        self.is_queued = False
        """True once the target has kept the connection alive without a token: the request waits there."""
        self._read_tokens = self._seen_tokens = self._held_bytes = 0
        self.pace: Pace | None = None
        """Its rate, once somebody judges it."""
        self._passage: StraightPassage | None = None
        self.rule = target.history_of(self.model)
        """By which its history was written; others may learn meanwhile that it should be another."""

    @property
    def tokens(self) -> int:
        """Events with a token; near enough to the count of tokens until the target reports it."""
        passage = self._passage
        return self._read_tokens if passage is None else self._read_tokens + passage.passed

    # -- towards the target

    def start(self, client: HttpClient, request: WireRequest) -> None:
        """Send the request."""
        target = self.target
        call = self._http_call(request)
        self.dropped = call.dropped
        self._call = client.request(target.origin, call, self, reuse=target.reuses_connections)

    def _http_call(self, request: WireRequest) -> HttpCall:
        body = body_of(request, self.surface, self.model, is_stream=self.is_stream, resumption=self.resumption)
        return self.target.call(self.surface, body)

    def cancel(self) -> None:
        """Stop: close the connection, so that the target frees what the request holds. Nothing more is reported."""
        self.is_over = True
        self._end()
        if self._call is not None:
            self._call.cancel()

    def abandon(self, message: str) -> None:
        """End an attempt whose call could not be made."""
        self.error = ErrorBody(message=message)
        self._fail(FailureKind.CONNECT)

    def refuse(self, refusal: WireError) -> None:
        """End an attempt on a target that cannot be asked this: the client is told what and why."""
        self.status = refusal.status
        self.error = ErrorBody(message=refusal.message, kind=refusal.kind, code=refusal.code, param=refusal.param)
        self._fail(FailureKind.BAD_REQUEST)

    @property
    def is_paused(self) -> bool:
        """True while nothing is read because the client is slower than the target."""
        return self._call is not None and self._call.is_paused

    def pause(self) -> None:
        """Stop reading: the client is slower than the target."""
        if self._call is not None:
            self._call.pause()

    def resume(self) -> None:
        """Read on; what the target did not send meanwhile is not its fault."""
        if self._call is not None and self._call.is_paused:
            self.heard_at = now = self._reporter.now()
            if self.pace is not None:
                self.pace.restart(now, self.tokens)
            self._call.resume()

    def look_for_progress(self, now: float) -> None:
        """Tell of the tokens that have come since the last look; called now and then, not for each token."""
        tokens = self.tokens
        if tokens != self._seen_tokens and not self.is_over:
            self._seen_tokens = tokens
            self.heard_at = now
            self._reporter.feed(Progress(self.command.attempt_id, tokens))
            if self.kept is not None:
                self.kept.tidy()

    def expire(self) -> None:
        """Give up on a target that makes too little progress."""
        if not self.is_over:
            self._fail(FailureKind.TIMEOUT)

    # -- from the target: the client's receiver

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the answer's head; what follows is a stream only if it says so."""
        self.status = status
        self.headers = headers
        if status == 200 and self.is_stream and content_type(headers).startswith(b"text/event-stream"):
            self._decoder = SseDecoder()
            if not self.request.stream:
                self._aggregator = Aggregator(self.surface.value)

    def on_body(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        if self.is_over:
            return
        if self._decoder is not None:
            self._read_stream(self._decoder, data)
            return
        if self._body.is_empty and data.isspace():  # blank lines before a whole answer
            self._waits_there(len(data))
            return
        limit = _WHOLE_BODY_BYTES if self.status == 200 else _ERROR_BODY_BYTES
        if not self._body.add(data, limit) and self.status == 200:
            self._fail(FailureKind.MALFORMED)

    def on_end(self) -> None:
        """Judge an answer that ended as HTTP says; whether it is whole is another question."""
        self._call = None  # it is over, and it holds this relay: no cycle is left for the garbage collector
        if self.is_over:
            return
        if self._decoder is not None:
            self._stream_ended()
        elif self.status == 200 and not self.request.stream:
            self._whole_ended()
        else:
            self._error_ended()

    def on_fault(self, fault: TransportFault) -> None:
        """Take a failed connection as the attempt's end."""
        self._call = None
        if self._decoder is not None and self.finish_reason is not None and not self.is_over:
            self._stream_ended()  # the answer is whole; what is missing is the stream's own end
        elif not self.is_over:
            self.error = ErrorBody(message=fault.message)
            self._fail(FAULTS[fault.kind])

    # -- streams

    def _read_stream(self, decoder: SseDecoder, data: bytes) -> None:
        try:
            for event in decoder.feed(data):
                if event.data:
                    self._read_event(event, event.data)
                    if self.is_over:
                        return
                elif self.has_reached_client:  # a comment keeps the client's connection alive too
                    self._held.append(event.raw)
                else:
                    self._waits_there(len(event.raw))
                    if self.is_over:
                        return
        except (AnswerTooLong, MalformedChunk, SseTooLong, Diverged) as error:
            self.error = ErrorBody(message=str(error))
            self._fail(FailureKind.DIVERGED if isinstance(error, Diverged) else FailureKind.MALFORMED)
            return
        # Before the first token nothing has been written for this client, so nothing would say when to read on.
        if self.has_reached_client:
            self._release()
            if self._passage is not None:
                self._open_passage(self._passage, decoder)
            if self._sink.is_slow and self._call is not None:
                self._call.pause()

    def _read_event(self, event: SseEvent, data: bytes) -> None:
        if is_done(data):
            self._done_raw = event.raw
            self._stream_ended()
            return
        chunk = read_chunk(data)
        if chunk is PLAIN_TOKEN and self.has_reached_client and self.resumption is None:
            self._read_tokens += 1  # nearly every event: there is nothing more to read in it
            if not self._waits_for_call(event.raw, data):
                self._held.append(event.raw)
                self._learn(event.raw)
            return
        self._take(chunk, event.raw, data)

    def _take(self, chunk: Chunk, raw: bytes, data: bytes) -> None:
        """Take what an event says that is more than one token, or the first."""
        if chunk.error is not None:
            self.error = chunk.error
            failure = self.target.classify(self.status or 200, tuple(self.headers), data)
            self._failed(failure)
            return
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            if chunk.finish_reason == OUT_OF_RESOURCES:
                self._fail(FailureKind.OVERLOADED)
                return
        if chunk.has_token:
            if self.first_token_at is None:
                self.answered_model = self.answered_model or answered_model(data)
            self._token()
        if self._aggregator is not None:
            self._aggregator.add(data)
        elif self.request.include_usage or chunk.has_choices or chunk.usage is None:
            if self.resumption is None:
                self._pass_on(raw, data, has_token=chunk.has_token)
            else:
                self._join(self.resumption, data)

    def _token(self) -> None:
        self._read_tokens += 1
        if self.first_token_at is None:
            self.first_token_at = self.heard_at = self._reporter.now()
            self._reporter.feed(FirstToken(attempt_id=self.command.attempt_id))

    def _join(self, resumption: Resumption, data: bytes) -> None:
        """Pass on what is new of an answer that goes on here."""
        joined = resumption.splicer.feed(data)
        if joined is not None:
            self._pass_on(b"data: %b\n\n" % joined, joined, has_token=True)
        if resumption.splicer.is_stopped:
            self.finish_reason, self._done_raw = "stop", DONE
            self._stream_ended()
            if self._call is not None:
                self._call.cancel()

    def _waits_for_call(self, raw: bytes, data: bytes) -> bool:
        """Remember what the client is to have; return whether it waits until a tool call is whole."""
        kept = self.kept
        if kept is None or not kept.take(raw, data):
            return False
        if kept.is_overfull:
            self._let_calls_go(kept)
        return True

    def _let_calls_go(self, kept: Kept) -> None:
        for raw in kept.release():
            if not self.has_reached_client:
                self._commit()
            self._held.append(raw)

    def _waits_there(self, size_bytes: int) -> None:
        """Note that the target keeps the connection alive and says nothing: that is no progress, and has a bound."""
        self._held_bytes += size_bytes
        if self._held_bytes > _HELD_BYTES:
            self._fail(FailureKind.HOLLOW)
        elif not self.is_queued and self.status == 200 and self.first_token_at is None:
            self.is_queued = True
            self._reporter.feed(Queued(attempt_id=self.command.attempt_id))

    def _learn(self, raw: bytes) -> None:
        """Remember what a token looks like here, so that the next may pass straight on."""
        passage = self._passage
        if passage is None:
            send = self._sink.passage
            if send is None:  # the answer's head is still to be sent, or the answer is to be kept
                return
            passage = self._passage = StraightPassage(send, self.kept)
        passage.learn(raw)

    def _open_passage(self, passage: StraightPassage, decoder: SseDecoder) -> None:
        """Let tokens pass straight on, unless the next bytes belong to an event that has begun or a call must wait."""
        waits = decoder.is_within_event or (self.kept is not None and self.kept.is_waiting)
        if self._call is not None:
            self._call.set_passage(passage if passage.has_shape and not waits else None)

    def _pass_on(self, raw: bytes, data: bytes, *, has_token: bool) -> None:
        """Hold until the end of this wake-up, or until the first token: before it another target may take over."""
        if self._waits_for_call(raw, data):
            return
        if has_token and not self.has_reached_client:
            self._commit()
        self._held.append(raw)
        if self.has_reached_client:
            return
        self._held_bytes += len(raw)
        if self._held_bytes > _HELD_BYTES:
            raise MalformedChunk(f"{self._held_bytes} bytes of events without a token")

    def _commit(self) -> None:
        self._sink.commit(self)
        self.has_reached_client = True

    def _release(self) -> None:
        """Forward all events of one wake-up in one piece."""
        held = self._held
        if held:
            self._sink.forward(held[0] if len(held) == 1 else b"".join(held))
            held.clear()

    def _is_hollow(self) -> bool:
        """Tell whether a stream that has ended said nothing, though it was allowed to."""
        usage = self.usage
        return not self.tokens and self.request.max_tokens != 0 and (usage is None or not usage.output_tokens)

    def _stream_ended(self) -> None:
        if self.finish_reason is None:
            self._fail(FailureKind.CUT)
        elif self._is_hollow():
            self._fail(FailureKind.HOLLOW)
        elif self._aggregator is not None:
            self._aggregated(self._aggregator)
        else:
            if self.kept is not None:
                self._let_calls_go(self.kept)
            if not self.has_reached_client:
                self._commit()
            self._release()
            self._finish()

    def _aggregated(self, aggregator: Aggregator) -> None:
        try:
            self._body.replace(aggregator.finish())
        except MalformedChunk as error:
            self.error = ErrorBody(message=str(error))
            self._fail(FailureKind.MALFORMED)
            return
        self._finish()

    # -- whole bodies and errors

    def _read_whole(self) -> Whole:
        """Read the whole body; raise ``MalformedChunk`` if it is none."""
        whole = read_whole(self.body())
        if whole.has_thought and self.target.is_auto and not self.is_stream and self.surface is _CHAT:
            body = ReasoningReader(ReasoningForm.AUTO, self.request.n).whole(self.body())
            self._body.replace(body)
            return read_whole(body)
        return whole

    def _whole_ended(self) -> None:
        try:
            whole = self._read_whole()
        except MalformedChunk:
            self._error_ended()
            return
        self.usage = whole.usage
        self.finish_reason = whole.finish_reason
        failure = failure_of(whole, self.surface, self.request.max_tokens)
        if whole.error is not None:
            self._error_ended()
        elif failure is not None:
            self._fail(failure)
        else:
            self.answered_model = answered_model(self.body()) if self.is_native else whole.model
            self._finish()

    def _error_ended(self) -> None:
        body = self.body()
        failure = self.target.classify(self.status or 0, tuple(self.headers), body)
        self.error = error_of(body) or ErrorBody(message=failure.message)
        self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        """Take the target's error as the attempt's end; what it says of histories holds from now on."""
        kind, wanted = failure.kind, failure.history
        if wanted is not None and wanted is not self.rule and kind is FailureKind.BAD_REQUEST:
            self.target.rules[self.model] = wanted
            kind = FailureKind.HISTORY
        self._fail(kind, failure.retry_after_s)

    # -- the end

    def _finish(self) -> None:
        self.is_over = self.is_whole = True
        self._end()
        self.resume()  # what is left of the response is thrown away, so that its connection can be used again
        usage = self.usage
        self._reporter.feed(
            Finished(
                attempt_id=self.command.attempt_id,
                prompt_tokens=None if usage is None else usage.prompt_tokens,
                cached_tokens=None if usage is None else usage.cached_tokens,
                output_tokens=(usage.output_tokens if usage is not None else None) or self.tokens or None,
            )
        )

    def _fail(self, kind: FailureKind, retry_after_s: float | None = None) -> None:
        self.is_over = True
        self.failure = kind
        self._end()
        if self.has_reached_client:
            self._release()
        if self._call is not None:
            self._call.cancel()
        if self.kept is not None:
            self.kept.forget_calls()
        has_reached = self.has_reached_client
        self._reporter.feed(
            Failed(
                attempt_id=self.command.attempt_id,
                kind=kind,
                status=self.status,
                retry_after_s=retry_after_s,
                output_tokens=self.tokens if has_reached else 0,
                cut=self._cut() if has_reached else None,
            )
        )

    def _cut(self) -> Cut | None:
        """Say what the client has of an answer that broke off; ``None`` if nothing is remembered of it."""
        kept = self.kept
        return None if kept is None or not kept.is_for_rescue else cut_of(kept, self.request)

    def _end(self) -> None:
        if self.ended_at is None:
            self.ended_at = self._reporter.now()
        if self._call is not None and self._passage is not None:
            self._call.set_passage(None)

    def tail(self) -> bytes:
        """Return what ends a whole stream: the target's own ``[DONE]``, or nothing if it sends none."""
        return self._done_raw

    def body(self) -> bytes:
        """Return the whole answer, for a client that does not stream."""
        return self._body.whole()
