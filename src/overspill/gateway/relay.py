"""One attempt: the call to one target, and what its answer is.

A relay reads an answer far enough to know when its first token came, whether it is whole, and what it used; the bytes
go on to the session as they came. It decides nothing: it tells the driver ``FirstToken``, ``Finished`` or ``Failed``.
Progress is counted in tokens: comments, blank lines, role-only and empty deltas are none.
"""

from __future__ import annotations

from overspill.core.commands import StartAttempt
from overspill.core.events import Failed, Finished, FirstToken, Progress, Queued
from overspill.core.types import FailureKind, Patience, Surface
from overspill.gateway.http.client import HttpClient
from overspill.gateway.http.client_call import ClientCall
from overspill.gateway.http.fault import FaultKind, TransportFault
from overspill.gateway.live_target import LiveTarget
from overspill.gateway.passage import StraightPassage
from overspill.gateway.ports import Reporter, Sink
from overspill.wire.aggregate import Aggregator, AnswerTooLong
from overspill.wire.answers import ErrorBody, MalformedChunk, Usage
from overspill.wire.chat import rewrite
from overspill.wire.chunks import PLAIN_TOKEN, is_done, read_chunk, read_whole
from overspill.wire.request import Request as WireRequest
from overspill.wire.sse import Event as SseEvent
from overspill.wire.sse import SseDecoder, SseTooLong

_ERROR_BODY_BYTES = 64 * 1024
_WHOLE_BODY_BYTES = 64 * 1024 * 1024
_HELD_BYTES = 1024 * 1024
"""Most that a stream may send before its first token; roles and empty deltas are a few hundred bytes."""
_OUT_OF_RESOURCES = "insufficient_system_resource"
"""DeepSeek's finish reason for an answer that it broke off (api-docs.deepseek.com, chat completion)."""

_FAULTS = {
    FaultKind.CUT: FailureKind.CUT,
    FaultKind.MALFORMED: FailureKind.MALFORMED,
    FaultKind.CONNECT_TIMEOUT: FailureKind.CONNECT,
    FaultKind.REFUSED: FailureKind.CONNECT,
    FaultKind.UNREACHABLE: FailureKind.CONNECT,
    FaultKind.DNS: FailureKind.CONNECT,
    FaultKind.TLS: FailureKind.CONNECT,
    FaultKind.IDLE_TIMEOUT: FailureKind.TIMEOUT,
}


class Relay:
    """Receives one target's answer: reports at most one ``Finished`` or ``Failed``, and nothing after ``cancel``."""

    __slots__ = (
        "_aggregator",
        "_body",
        "_call",
        "_decoder",
        "_done_raw",
        "_held",
        "_held_bytes",
        "_limit",
        "_model",
        "_pace",
        "_passage",
        "_read_tokens",
        "_reporter",
        "_seen_tokens",
        "_sink",
        "_wants_usage",
        "client_streams",
        "command",
        "ended_at",
        "error",
        "failure",
        "finish_reason",
        "first_token_at",
        "has_reached_client",
        "headers",
        "heard_at",
        "is_over",
        "is_queued",
        "is_stream",
        "is_whole",
        "started_at",
        "status",
        "surface",
        "target",
        "usage",
    )

    def __init__(
        self,
        command: StartAttempt,
        target: LiveTarget,
        surface: Surface,
        request: WireRequest,
        sink: Sink,
        reporter: Reporter,
    ) -> None:
        self.command = command
        self.target = target
        self.surface = surface
        self.client_streams = request.stream
        self.is_stream = request.stream or (target.streams_whole and self.surface is not Surface.EMBEDDINGS)
        self._sink = sink
        self._reporter = reporter
        self._wants_usage = request.include_usage
        self._model = command.model or request.model
        self._call: ClientCall | None = None
        self._decoder: SseDecoder | None = None
        self._aggregator: Aggregator | None = None
        self._body: bytes | bytearray = b""
        self._limit = _ERROR_BODY_BYTES
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._done_raw = b""
        self.has_reached_client = False
        """True once the client has a part of this attempt's answer, so that no other attempt can replace it."""
        self.is_queued = False
        """True once the target has kept the connection alive without a token: the request waits there."""
        self.is_over = False
        """True once it has been cancelled or has told how it ended."""
        self.started_at = reporter.now()
        self.heard_at = self.started_at
        """When the target was last seen to have made progress: at its first token, then within a second or so."""
        self.first_token_at: float | None = None
        self.ended_at: float | None = None
        self._read_tokens = 0
        self._seen_tokens = 0
        self._pace = (0.0, 0)
        """When the floor rate was last judged, and the tokens at that time."""
        self._passage: StraightPassage | None = None
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.failure: FailureKind | None = None
        self.error: ErrorBody | None = None
        self.is_whole = False
        """True once the answer has ended as it should."""

    @property
    def model(self) -> str:
        """The name that the target is asked for: the route's, or the client's own where the route names none."""
        return self._model

    @property
    def tokens(self) -> int:
        """Events with a token; near enough to the count of tokens until the target reports it."""
        passage = self._passage
        return self._read_tokens if passage is None else self._read_tokens + passage.passed

    # -- towards the target

    def start(self, client: HttpClient, request: WireRequest) -> None:
        """Send the request. A stream always asks for usage: the ledger needs it even if the client does not."""
        if self.surface is Surface.EMBEDDINGS:
            body = rewrite(request, model=self._model)
        elif self.is_stream:
            body = rewrite(request, model=self._model, stream=True, include_usage=True)
        else:
            body = rewrite(request, model=self._model)
        target = self.target
        call = target.call(self.surface, body)
        self._call = client.request(target.origin, call, self, reuse=target.reuses_connections)

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
            self._pace = (now, self.tokens)
            self._call.resume()

    def look_for_progress(self, now: float) -> None:
        """Tell of the tokens that have come since the last look; called now and then, not for each token."""
        tokens = self.tokens
        if tokens != self._seen_tokens and not self.is_over:
            self._seen_tokens = tokens
            self.heard_at = now
            self._reporter.feed(Progress(self.command.attempt_id, tokens))

    def outlasts(self, patience: Patience, now: float) -> bool:
        """Tell whether it has made too little progress for too long. What the client did not read is not its fault."""
        if self.is_over or self.is_paused:
            return False
        silent_s = now - self.heard_at
        if not self.is_stream:
            return silent_s > patience.whole_s
        if self.first_token_at is None:
            return silent_s > patience.first_token_s
        return silent_s > patience.stall_s or self._is_below_floor(patience, now)

    def _is_below_floor(self, patience: Patience, now: float) -> bool:
        """Judge the rate once for each ``stall_s``."""
        floor = patience.floor_tokens_per_s
        if floor is None or self.first_token_at is None:
            return False
        since, before = self._pace
        elapsed_s = now - max(since, self.first_token_at)
        if elapsed_s < patience.stall_s:
            return False
        tokens = self.tokens
        self._pace = (now, tokens)
        return tokens - before < floor * elapsed_s

    def expire(self) -> None:
        """Give up on a target that makes too little progress."""
        if not self.is_over:
            self._fail(FailureKind.TIMEOUT)

    # -- from the target: the client's receiver

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the answer's head; what follows is a stream only if it says so."""
        self.status = status
        self.headers = headers
        if status != 200:
            return
        if self.is_stream and _content_type(headers).startswith(b"text/event-stream"):
            self._decoder = SseDecoder()
            if not self.client_streams:
                self._aggregator = Aggregator(self.surface.value)
            return
        self._limit = _WHOLE_BODY_BYTES

    def on_body(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        if self.is_over:
            return
        if self._decoder is not None:
            self._read_stream(self._decoder, data)
            return
        if not self._body and data.isspace():  # blank lines before a whole answer
            self._waits_there(len(data))
            return
        if len(self._body) + len(data) > self._limit:
            if self.status == 200:
                self._fail(FailureKind.MALFORMED)
                return
            data = data[: self._limit - len(self._body)]
        if not self._body:
            self._body = data  # the whole of most answers, and then it need not be copied
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += data

    def on_end(self) -> None:
        """Judge an answer that ended as HTTP says; whether it is whole is another question."""
        self._call = None  # it is over, and it holds this relay: no cycle is left for the garbage collector
        if self.is_over:
            return
        if self._decoder is not None:
            self._stream_ended()
        elif self.status == 200 and not self.client_streams:
            self._whole_ended()
        else:
            self._error_ended()

    def on_fault(self, fault: TransportFault) -> None:
        """Take a failed connection as the attempt's end."""
        self._call = None
        if not self.is_over:
            self.error = ErrorBody(message=fault.message)
            self._fail(_FAULTS[fault.kind])

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
        except (AnswerTooLong, MalformedChunk, SseTooLong) as error:
            self.error = ErrorBody(message=str(error))
            self._fail(FailureKind.MALFORMED)
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
        if chunk is PLAIN_TOKEN and self.has_reached_client:  # nearly every event: there is nothing more to read in it
            self._read_tokens += 1
            self._held.append(event.raw)
            self._learn(event.raw)
            return
        if chunk.error is not None:
            self.error = chunk.error
            failure = self.target.classify(self.status or 200, tuple(self.headers), data)
            self._fail(failure.kind, failure.retry_after_s)
            return
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason
            if chunk.finish_reason == _OUT_OF_RESOURCES:
                self._fail(FailureKind.OVERLOADED)
                return
        if chunk.has_token:
            self._token()
        if self._aggregator is not None:
            self._aggregator.add(data)
        elif self._wants_usage or chunk.has_choices or chunk.usage is None:
            self._pass_on(event.raw)

    def _token(self) -> None:
        self._read_tokens += 1
        if self.first_token_at is not None:
            return
        self.first_token_at = self.heard_at = self._reporter.now()
        self._reporter.feed(FirstToken(attempt_id=self.command.attempt_id))
        if self._aggregator is None:
            self._commit()

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
            passage = self._passage = StraightPassage(send)
        passage.learn(raw)

    def _open_passage(self, passage: StraightPassage, decoder: SseDecoder) -> None:
        """Let tokens pass straight on, unless the next bytes belong to an event that has begun."""
        if self._call is not None:
            self._call.set_passage(passage if passage.has_shape and not decoder.is_within_event else None)

    def _pass_on(self, raw: bytes) -> None:
        """Hold until the end of this wake-up, or until the first token: before it another target may take over."""
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

    def _stream_ended(self) -> None:
        if self.finish_reason is None:
            self._fail(FailureKind.CUT)
        elif not self.tokens and not (self.usage is not None and self.usage.output_tokens):
            self._fail(FailureKind.HOLLOW)
        elif self._aggregator is not None:
            self._aggregated(self._aggregator)
        else:
            if not self.has_reached_client:
                self._commit()
            self._release()
            self._finish()

    def _aggregated(self, aggregator: Aggregator) -> None:
        try:
            self._body = aggregator.finish()
        except MalformedChunk as error:
            self.error = ErrorBody(message=str(error))
            self._fail(FailureKind.MALFORMED)
            return
        self._finish()

    # -- whole bodies and errors

    def _whole_ended(self) -> None:
        try:
            whole = read_whole(bytes(self._body))
        except MalformedChunk:
            self._error_ended()
            return
        self.usage = whole.usage
        self.finish_reason = whole.finish_reason
        if whole.error is not None:
            self._error_ended()
        elif whole.finish_reason == _OUT_OF_RESOURCES:
            self._fail(FailureKind.OVERLOADED)
        elif not whole.has_choices or not (whole.has_content or (whole.usage and whole.usage.output_tokens)):
            self._fail(FailureKind.HOLLOW)
        elif whole.finish_reason is None and self.surface is not Surface.EMBEDDINGS:
            self._fail(FailureKind.CUT)  # the server says itself that it did not come to an end
        else:
            self._finish()

    def _error_ended(self) -> None:
        body = bytes(self._body)
        failure = self.target.classify(self.status or 0, tuple(self.headers), body)
        self.error = _error_of(body) or ErrorBody(message=failure.message)
        self._fail(failure.kind, failure.retry_after_s)

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
        self._reporter.feed(
            Failed(
                attempt_id=self.command.attempt_id,
                kind=kind,
                status=self.status,
                retry_after_s=retry_after_s,
                output_tokens=self.tokens if self.has_reached_client else 0,
            )
        )

    def _end(self) -> None:
        if self.ended_at is None:
            self.ended_at = self._reporter.now()
        if self._call is not None:
            self._call.set_passage(None)

    def tail(self) -> bytes:
        """Return what ends a whole stream: the target's own ``[DONE]``, or nothing if it sends none."""
        return self._done_raw

    def body(self) -> bytes:
        """Return the whole answer, for a client that does not stream."""
        return bytes(self._body)


def _error_of(body: bytes) -> ErrorBody | None:
    try:
        return read_whole(body).error
    except MalformedChunk:
        return None


def _content_type(headers: list[tuple[bytes, bytes]]) -> bytes:
    return next((value.lower() for name, value in headers if name == b"content-type"), b"")
