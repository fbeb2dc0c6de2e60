"""One client's request, from its arrival to its one final answer; it outlives the attempts made for it.

The session speaks to the client. What it says is decided elsewhere: the controller completes or rejects, a relay brings
the bytes. Nothing is committed to the client before the first token, so until then any failure can be retried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from overspill.core.commands import Complete, Reject
from overspill.core.events import Arrived
from overspill.core.queueing import is_bound
from overspill.core.types import (
    FailureKind,
    LocalOnly,
    Outcome,
    Patience,
    RescueRefusal,
    Route,
    Spill,
)
from overspill.gateway.answer_lines import (
    CACHE,
    CACHED,
    HOME,
    JSON_HEADER,
    STREAM_HEADERS,
    WAITED,
    AnswerLines,
    dropped_line,
    id_headers,
    id_lines,
    late_label,
)
from overspill.gateway.cache import Keeping, KeptAnswer
from overspill.gateway.caller import Caller
from overspill.gateway.comeback import Comeback, WholeAnswer
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.kept import Kept
from overspill.gateway.refusals import FAILURE_WORDS, RESCUE_WORDS, Answer, headers_of, param_of
from overspill.gateway.rescue import DONE
from overspill.wire.answers import ErrorBody
from overspill.wire.dialect import AnswerWriter
from overspill.wire.reply import JSON_HEARTBEAT, SSE_HEARTBEAT, error_body, stream_error_event
from overspill.wire.request import Request as WireRequest
from overspill.wire.surfaces import answer_writer

if TYPE_CHECKING:
    from overspill.gateway.relay import Relay


_PATIENCE: Final = Patience()
_COMPLETED: Final = Outcome.COMPLETED


class Session:
    """What is known of one request beside the controller: the client's connection, its text, and what was answered."""

    __slots__ = (
        "_lines",
        "_says",
        "answer",
        "answered_by",
        "arrived_at",
        "arrived_wall_s",
        "attempts",
        "client_status",
        "comeback",
        "cost_usd",
        "exchange",
        "first_token_at",
        "heartbeat_at",
        "is_committed",
        "keeping",
        "kept",
        "key_id",
        "local_only_by",
        "patience",
        "queue_wait_s",
        "relay",
        "request",
        "request_id",
        "rescues",
        "rival",
        "route_pattern",
        "screening",
        "spill",
        "surface",
        "unrescued",
        "wishes",
        "writer",
    )

    def __init__(
        self,
        request_id: str,
        exchange: Exchange,
        caller: Caller,
        request: WireRequest,
        lines: AnswerLines,
        arrived_at: float,
        arrived_wall_s: float,
    ) -> None:
        self.request_id = request_id
        self.exchange = exchange
        self.request = request
        self.surface, _, self.key_id, self.wishes, self.local_only_by, _ = caller
        self._lines = lines
        self.arrived_at = arrived_at
        self.arrived_wall_s = arrived_wall_s
        self.relay: Relay | None = None
        """The attempt that runs, or the last one; of two the younger, until one of them has spoken."""
        self.rival: Relay | None = None
        """The other one of two."""
        self.attempts = 0
        self.queue_wait_s = 0.0
        self.spill: Spill | None = None
        self.route_pattern = ""
        self.patience = _PATIENCE
        if self.local_only_by is None and self.wishes.local_only:
            self.local_only_by = LocalOnly.HEADER
        self.screening = 0
        """The ``Route.screening`` that found nothing in its text."""
        self.writer: AnswerWriter | None = None
        """What writes the answer in the client's form; ``None`` if it goes out as it comes in."""
        self._begin()

    def _begin(self) -> None:
        """Begin with no answer."""
        self._says: AnswerWriter | None = None
        """The writer once tokens go through it: not those of a target that speaks the client's own form."""
        self.is_committed = False
        """True once tokens go to the client."""
        self.kept: Kept | None = None
        self.answered_by = ""
        """What the client has of a stream, where that is kept, and the target whose tokens it got last."""
        self.rescues = 0
        self.unrescued: RescueRefusal | None = None
        """Seams in the client's answer, and why it was not continued where it broke off."""
        self.first_token_at: float | None = None
        self.heartbeat_at = 0.0
        """When the client was last sent a sign of life; 0 if never."""
        self.comeback: Comeback | None = None
        """What its client can come back to; ``None`` if the client does not number its tries."""
        self.client_status: int | None = None
        self.cost_usd: float | None = 0.0
        """Sum over the attempts; ``None`` once one of them is unknown."""
        self.answer: bytearray | None = None
        """The answer's bytes, kept only where bodies are stored."""
        self.keeping: Keeping | None = None
        """Where the answer goes as well, to be kept for others like this request."""

    def arrived(self) -> Arrived:
        """Return the event that tells the controller of this request."""
        request = self.request
        wishes = self.wishes
        return Arrived(
            self.request_id,
            request.model,
            self.surface,
            request.prompt_tokens,
            request.max_tokens,
            wishes.priority,
            self.local_only_by is not None,
            wishes.ttft_slo_s,
            wishes.deadline_s,
            request.text_prefix_crc,
            self.key_id,
            request.stream,
            self.screening,
            request.needs,
        )

    def bind(self, route: Route) -> None:
        """Take note of the route; what it binds to local targets stays bound, whatever a reload brings."""
        self.route_pattern = route.pattern
        self.patience = route.patience
        if self.local_only_by is None and is_bound(route, self.screening):
            self.local_only_by = LocalOnly.MODEL if route.local_only else LocalOnly.DETECTOR

    def attempt(self, relay: Relay) -> None:
        """Take a new attempt: instead of the one before, which has ended, or beside it."""
        command = relay.command
        if self.relay is not None and not self.relay.is_over:
            self.rival = self.relay
        self.relay = relay
        self.attempts += 1
        self.spill = command.spill
        if self.attempts == 1:
            self.queue_wait_s = command.queue_wait_s

    def ended(self) -> list[Relay]:
        """Let go of the attempts that are over, and return them."""
        over = [relay for relay in (self.rival, self.relay) if relay is not None and relay.is_over]
        if self.rival is not None and self.rival.is_over:
            self.rival = None
        if self.relay is not None and self.relay.is_over:
            self.relay, self.rival = self.rival, None
        return over

    def choose(self, relay: Relay) -> None:
        """Take one of two attempts for the one that answers."""
        if relay is self.rival:
            self.relay, self.rival = relay, self.relay
            self.spill = relay.command.spill

    def hand_over(self, exchange: Exchange) -> None:
        """Answer on another connection from now on; no token of the answer has been sent on the one before."""
        before = self.exchange
        before.on_gone = before.on_stalled = before.on_writable = None
        before.abort()
        self.exchange = exchange
        if self.comeback is not None:
            self.comeback.left_at = None
        self.client_status = None
        self.heartbeat_at = 0.0
        if self.writer is not None:  # a sign of life may have begun the answer on the connection before
            self.writer = answer_writer(self.request, self.request_id, int(self.arrived_wall_s))

    def add_cost(self, cost_usd: float | None) -> None:
        """Add what an attempt cost."""
        if self.cost_usd is not None:
            self.cost_usd = None if cost_usd is None else self.cost_usd + cost_usd

    @property
    def asked(self) -> dict[str, msgspec.Raw]:
        """All that a target may be told: the client's own fields, and those of a chat that are others.

        A chat may say more than the client's own form: what a client carries packed is text there.
        """
        fields, native = self.request.fields, self.request.native
        return fields if native is None else {**fields, **native}

    # -- what a relay brings (it sees this as its ``Sink``)

    @property
    def is_slow(self) -> bool:
        """True while the client reads more slowly than the target sends."""
        return not self.exchange.is_writable

    def commit(self, relay: Relay) -> None:
        """Begin a streamed answer with this attempt's head, or go on with one.

        It is only labelled if it goes on, or if a sign of life went out before.
        """
        self.choose(relay)
        self.kept = relay.kept
        self.answered_by = relay.command.target_id
        self.is_committed = True
        self._says = None if relay.is_native else self.writer
        self.client_status = 200
        self.exchange.on_stalled = relay.pause
        self.exchange.on_writable = relay.resume
        if relay.resumption is not None:
            self.rescues += 1
            self.forward(b"%b to=%b\n\n" % (relay.resumption.label, self.answered_by.encode()))
            return
        self.first_token_at = relay.first_token_at
        if self.exchange.is_started:
            target_id = relay.command.target_id
            model = self._lines.model(target_id, relay.model, relay.answered_model)
            label = late_label(self.spill, target_id, self.attempts, model)
            if self.answer is not None:
                self.answer += label
            self.exchange.send(label)  # of this answer alone: not to be kept for others
        else:
            self.exchange.start_encoded(200, self._answer_lines(relay, is_stream=True), length=None)

    @property
    def is_interrupted(self) -> bool:
        """True while the client has half an answer and nothing more comes."""
        relay = self.relay
        return self.is_committed and (relay is None or relay.is_over or not relay.has_reached_client)

    def show_life(self, now: float) -> None:
        """Send the client a sign of life; the first one brings the answer's head, which names no target yet."""
        is_stream, writer = self.request.stream, self.writer
        self.heartbeat_at = now
        if not self.exchange.is_started:
            self.client_status = 200
            headers = STREAM_HEADERS if is_stream else (JSON_HEADER,)
            self.exchange.start(200, (*headers, *self._id_headers(), WAITED), length=None)
        if writer is None or not is_stream or (self.relay is not None and self.relay.is_native):
            self.exchange.write(SSE_HEARTBEAT if is_stream else JSON_HEARTBEAT)
        else:
            self.exchange.write(writer.heartbeat())

    @property
    def passage(self) -> Callable[[bytes], None] | None:
        """Where chunks may be sent past this object; ``None`` while something is to be kept or waits before them."""
        if self.answer is not None or self.keeping is not None or self._says is not None:
            return None
        return self.exchange.passage

    def forward(self, raw: bytes) -> None:
        """Pass events of a stream on."""
        if self._says is not None:
            raw = self._says.feed(raw)
        self._copy(raw)
        self.exchange.send(raw)

    def _write(self, raw: bytes) -> None:
        """Pass on what leaves with the end of the stream."""
        self._copy(raw)
        self.exchange.write(raw)

    def _copy(self, raw: bytes) -> None:
        """Keep bytes of the answer, where they are kept."""
        if self.answer is not None:
            self.answer += raw
        if self.keeping is not None:
            self.keeping.add(raw)

    # -- the final answer: exactly one of these is called

    def complete(self, command: Complete) -> None:
        """Give the answer that the controller decided on."""
        if command.outcome is _COMPLETED:
            self._whole()
            self._keep()
            return
        match command.outcome:
            case Outcome.BROKEN:
                self._broken(command)
            case Outcome.CLIENT_ERROR:
                self._client_error(command)
            case _:  # the client is gone, or sent away: there is nobody to answer
                self.exchange.abort()

    def answer_again(self, kept: KeptAnswer, now: float) -> None:
        """Give an answer that was kept, as a stream or in one piece as it was then."""
        self._copy(kept.body)
        self.client_status = 200
        own = ((b"x-overspill-reason", CACHED.encode()), (b"x-overspill-target", CACHE.encode()))
        age = (b"age", b"%d" % (now - kept.kept_at))
        headers = [*(STREAM_HEADERS if kept.is_stream else (JSON_HEADER,)), *own, *self._id_headers(), age]
        self.exchange.reply(200, headers, kept.body)

    def reject(self, command: Reject, answer: Answer) -> None:
        """Refuse with an error in the form of the client's surface."""
        param = param_of(command)
        body = self._error(answer.status, answer.message, kind=answer.kind, code=answer.code, param=param)
        self._reply(answer.status, [JSON_HEADER, *headers_of(command), *self._id_headers()], body)

    def _whole(self) -> None:
        relay = self.relay
        assert relay is not None  # an answer came from an attempt
        self.choose(relay)
        if self.is_committed:
            tail = relay.tail()
            if self._says is not None:
                tail = self._says.feed(tail or DONE)  # some targets leave their stream's end out
            if tail:
                self._write(tail)
            self.exchange.finish()
            return
        body = relay.body() if self.writer is None or relay.is_native else self.writer.whole(relay.body())
        if self.comeback is not None and self.comeback.left_at is not None:
            self.comeback.unread = WholeAnswer(self._answer_lines(relay, is_stream=False), body)
        elif self.exchange.is_started:
            self._write(body)
            self.exchange.finish()
        else:
            self.client_status = 200
            self._copy(body)
            self.exchange.reply_encoded(200, self._answer_lines(relay, is_stream=False), body)

    def _keep(self) -> None:
        """Have a whole answer kept, if it is to be."""
        relay = self.relay
        if self.keeping is not None and not self.rescues and relay is not None and relay.ended_at is not None:
            self.keeping.whole(
                is_stream=self.request.stream,
                usage=relay.usage,
                finish_reason=relay.finish_reason,
                now=relay.ended_at,
            )

    def _answer_lines(self, relay: Relay, *, is_stream: bool) -> bytes:
        lines = self._lines.of(
            is_stream=is_stream,
            spill=self.spill,
            target_id=relay.command.target_id,
            ids=id_lines(self.request.surface, self.request_id, self.exchange.request.client_request_id),
            attempts=self.attempts,
            model=relay.model,
            answered=relay.answered_model,
            local_only_by=self.local_only_by,
        )
        if self.writer is None and not relay.dropped:
            return lines
        asked = () if relay.is_native else self.request.dropped
        return lines + dropped_line((*asked, *relay.dropped))

    def _broken(self, command: Complete) -> None:
        """End a stream that broke: with an error event and never with ``[DONE]``, so no client takes it as whole."""
        relay = self.relay
        assert relay is not None  # only an attempt can break
        kind = command.failure or FailureKind.CUT
        message = f"the answer broke off: {FAILURE_WORDS[kind]} ({relay.target.target_id})"
        if self.unrescued is not None:
            message += f"; it was not continued: {RESCUE_WORDS[self.unrescued]}"
        code = f"stream_{kind.value}"
        if self.writer is None:
            self._write(stream_error_event(message, kind="upstream_error", code=code))
        else:
            self._write(self.writer.broken(message, kind="upstream_error", code=code))
        self.exchange.finish()

    def _client_error(self, command: Complete) -> None:
        """Pass on a target's own verdict on the request, in the client's form whatever form it came in."""
        relay = self.relay
        assert relay is not None  # the verdict is a target's
        status = command.status if command.status is not None and 400 <= command.status < 500 else 400
        error = relay.error or ErrorBody(message="")
        kind = command.failure or FailureKind.BAD_REQUEST
        body = self._error(
            status,
            error.message or f"the target refused the request: {FAILURE_WORDS[kind]}",
            kind="invalid_request_error",
            code=error.code or kind.value,
            param=error.param,
        )
        self._reply(status, [JSON_HEADER, *self._own_headers()], body)

    def _error(self, status: int, message: str, *, kind: str, code: str | None, param: str | None) -> bytes:
        if self.writer is None:
            return error_body(message, kind=kind, code=code, param=param)
        if self.exchange.is_started and self.request.stream:
            return self.writer.broken(message, kind=kind, code=code)
        return self.writer.error(status, message, kind=kind, code=code, param=param)

    def _reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        if self.exchange.is_started:  # with 200, so that the error's form must tell
            is_event = self.writer is not None or not self.request.stream
            self._write(body if is_event else b"data: " + body + b"\n\n")
            self.exchange.finish()
            return
        self.client_status = status
        if self.answer is not None:
            self.answer += body
        self.exchange.reply(status, headers, body)

    def _id_headers(self) -> list[tuple[bytes, bytes]]:
        headers = id_headers(self.request.surface, self.request_id, self.exchange.request.client_request_id)
        headers.append((b"x-overspill-attempts", b"%d" % self.attempts))
        if self.local_only_by is not None:
            headers.append((b"x-overspill-local-only", self.local_only_by.value.encode()))
        return headers

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        relay = self.relay
        reason = HOME if self.spill is None else self.spill.value
        headers = self._id_headers()
        headers.append((b"x-overspill-reason", reason.encode()))
        if relay is not None:
            headers.append((b"x-overspill-target", relay.target.target_id.encode()))
        return headers
