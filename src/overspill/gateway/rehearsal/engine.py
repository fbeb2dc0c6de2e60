"""A fake engine behind real HTTP: ``python -m overspill.gateway.rehearsal.engine``.

It answers as an OpenAI-compatible engine does (paths, stream, metrics and refusals are vLLM's) and is as slow as one:
``perf.batching`` says when each token comes, here in real time and in the simulator in virtual time. What it says is
counted tokens, or what a script says (``speech``). It needs no model, no GPU and next to no CPU, so load and fault
tests fit on one machine.

In: one JSON document (``EngineConfig``) on standard input or as the only argument. Out: one JSON line with ``status``
(``ready`` or ``failed``) and ``address``. It ends by SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, assert_never

import msgspec

from overspill.errors import WireError
from overspill.gateway.http.exchange import Exchange
from overspill.gateway.http.server import Server, serve
from overspill.gateway.rehearsal.answer import JSON_HEADERS, SSE_HEADERS, Answer
from overspill.gateway.rehearsal.begun import begun_tokens, rendered_prompt
from overspill.gateway.rehearsal.embeddings import embeddings_of
from overspill.gateway.rehearsal.faults import (
    Early,
    ErrorStatus,
    Fault,
    FixedBody,
    KeepaliveOnly,
    Late,
    NoHead,
    SlowStart,
    fault_for,
)
from overspill.gateway.rehearsal.speech import Counted, Script, Scripted, Speech
from overspill.perf.batching import Batch
from overspill.perf.engine_model import EngineModel
from overspill.pools.engines.fake import REHEARSED_SPEED
from overspill.wire.chat import parse_request
from overspill.wire.http import Origin
from overspill.wire.reply import JSON_HEARTBEAT, SSE_HEARTBEAT, ModelCard, models_body
from overspill.wire.request import Request

EXIT_FAILED = 3
BUSY_TEXT = (
    "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."
)
_TEXT_HEADERS = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
_GONE_CHECK_S = 1.0
_Length = Annotated[int, msgspec.Meta(ge=1)]


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to rehearse."""

    engine: EngineModel = msgspec.convert({"slots": 32, **REHEARSED_SPEED}, EngineModel)
    served_name: str = "rehearsal"
    host: str = "127.0.0.1"
    port: int = 0
    uds_path: str | None = None
    """A unix socket instead of host and port."""
    api_key: str | None = None
    """If set, calls under ``/v1`` without this bearer token get 401."""
    max_queue: int | None = None
    """Requests held at once, running ones included (as vLLM's ``--max-num-queued-reqs`` counts); 503 beyond."""
    default_output_tokens: int = 16
    """Answer length where neither ``max_tokens`` nor ``x_output_tokens`` says one."""
    script: Script | None = None
    """What to say instead of counted tokens, as long as it is."""
    faults: tuple[Fault, ...] = ()


class FakeEngine:
    """One running fake engine. ``faults`` may be replaced while it runs."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.faults = config.faults
        self.received = 0
        """Completion requests so far, those refused included."""
        self._loop = asyncio.get_running_loop()
        self._batch = Batch(config.engine, self._loop.time())
        self._held: dict[int, Answer] = {}
        self._decoding: dict[int, Answer] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s: float | None = None
        self._server: Server | None = None

    @property
    def origin(self) -> Origin:
        """Where it listens; to be asked after ``listen``."""
        assert self._server is not None
        address = self._server.addresses[0]
        if self.config.uds_path is not None:
            return Origin(uds_path=address)
        host, _, port = address.rpartition(":")
        return Origin(host=host.strip("[]"), port=int(port))

    @property
    def held(self) -> int:
        """Requests in it now, running and waiting."""
        return len(self._held)

    async def listen(self) -> None:
        """Accept connections; ``OSError`` if the address cannot be bound."""
        config = self.config
        self._server = await serve(self.handle, host=config.host, port=config.port, uds_path=config.uds_path)

    async def close(self) -> None:
        """Cut every connection and stop."""
        if self._server is not None:
            await self._server.close()
        if self._timer is not None:
            self._timer.cancel()

    def handle(self, exchange: Exchange) -> None:
        """Answer one HTTP request (the server's handler)."""
        match exchange.request.method, exchange.request.path:
            case "POST", "/v1/chat/completions" | "/beta/chat/completions":
                self._complete(exchange, "chat")
            case "POST", "/v1/completions":
                self._complete(exchange, "completions")
            case "POST", "/v1/embeddings":
                self._embed(exchange)
            case "POST", "/apply-template":
                self._show_prompt(exchange)
            case "GET", "/v1/models":
                if self._is_allowed(exchange):
                    exchange.reply(200, JSON_HEADERS, models_body([ModelCard(self.config.served_name, "rehearsal")]))
            case "GET", "/metrics":
                exchange.reply(200, _TEXT_HEADERS, self._metrics())
            case "GET", "/health":
                exchange.reply(200, (), b"")
            case _:
                _refuse(exchange, 404, "Not Found", f"{exchange.request.method} {exchange.request.path} is not served")

    def _show_prompt(self, exchange: Exchange) -> None:
        """Answer what a prompt comes to, as llama.cpp does."""
        try:
            prompt = rendered_prompt(exchange.request.body)
        except msgspec.DecodeError as error:
            _refuse(exchange, 400, "BadRequestError", f"the body is no chat request: {error}")
            return
        exchange.reply(200, JSON_HEADERS, msgspec.json.encode({"prompt": prompt}))

    def _is_allowed(self, exchange: Exchange) -> bool:
        key = self.config.api_key
        given = exchange.request.header(b"authorization") or b""
        if key is None or hmac.compare_digest(given, b"Bearer " + key.encode()):
            return True
        exchange.reply(401, JSON_HEADERS, b'{"error":"Unauthorized"}')
        return False

    def _embed(self, exchange: Exchange) -> None:
        """Answer at once; only what strikes before an answer can strike one in one piece."""
        if not self._is_allowed(exchange):
            return
        try:
            request = parse_request("embeddings", exchange.request.body)
            body = msgspec.json.encode(embeddings_of(request))
        except WireError as error:
            _refuse(exchange, error.status, "BadRequestError", error.message, param=error.param)
            return
        self.received += 1
        fault = fault_for(self.faults, self.received)
        answer = partial(exchange.reply, 200, JSON_HEADERS, body)
        if isinstance(fault, SlowStart):
            exchange.on_gone = self._loop.call_later(fault.seconds, answer).cancel
        elif isinstance(fault, Early):
            self._misbehave(exchange, request, fault)
        else:
            answer()

    def _complete(self, exchange: Exchange, surface: Literal["chat", "completions"]) -> None:
        if not self._is_allowed(exchange):
            return
        is_chat = surface == "chat"
        try:
            request = parse_request(surface, exchange.request.body)
            speech = self._speech(request, is_chat=is_chat)
            begun = begun_tokens(request, speech, is_chat=is_chat)
            wanted = self._wanted_tokens(request, speech, begun)
        except WireError as error:
            _refuse(exchange, error.status, "BadRequestError", error.message, param=error.param)
            return
        self.received += 1
        fault = fault_for(self.faults, self.received)
        if isinstance(fault, SlowStart):
            admit = partial(self._admit, exchange, request, self.received, is_chat, speech, begun, wanted, None)
            exchange.on_gone = self._loop.call_later(fault.seconds, admit).cancel
        elif isinstance(fault, Early):
            self._misbehave(exchange, request, fault)
        elif self.config.max_queue is not None and self.held >= self.config.max_queue:
            _refuse(exchange, 503, "Service Unavailable", BUSY_TEXT)
        else:
            self._admit(exchange, request, self.received, is_chat, speech, begun, wanted, fault)

    def _misbehave(self, exchange: Exchange, request: Request, fault: Early) -> None:
        match fault:
            case ErrorStatus():
                wait = () if fault.retry_after_s is None else ((b"retry-after", b"%d" % fault.retry_after_s),)
                text = "this error was rehearsed"
                _refuse(exchange, fault.status, "RehearsedError", text, code=fault.code, headers=wait)
            case FixedBody():
                exchange.reply(fault.status, ((b"content-type", fault.content_type.encode()),), fault.body.encode())
            case NoHead() | SlowStart():
                pass  # what is only slow was admitted already
            case KeepaliveOnly():
                exchange.start(200, SSE_HEADERS if request.stream else JSON_HEADERS, length=None)
                beat = SSE_HEARTBEAT if request.stream else JSON_HEARTBEAT
                self._keep_alive(exchange, beat, fault.period_s, fault.count)
            case _:
                assert_never(fault)

    def _speech(self, request: Request, *, is_chat: bool) -> Speech:
        if self.config.script is not None:
            return Scripted(self.config.script, request, is_chat=is_chat)
        return Counted(request, is_chat=is_chat, reasoning=_count_field(request, "x_reasoning_tokens") or 0)

    def _wanted_tokens(self, request: Request, speech: Speech, begun: int) -> int:
        """Say how long the answer, or what is left of it, would be; ``WireError`` if the prompt leaves no room.

        ``max_tokens`` bounds what is still to come, and the lengths of ours are of the whole answer. Of 0 it makes 1,
        as llama.cpp does.
        """
        if request.n != 1:
            raise WireError("this engine rehearses one choice per request; leave out 'n'", param="n")
        asked = _count_field(request, "x_output_tokens") if speech.length is None else speech.length
        if asked is not None:
            wanted = max(1, min(asked - begun, sys.maxsize if request.max_tokens is None else request.max_tokens))
        elif request.max_tokens is not None:
            wanted = max(1, request.max_tokens)
        else:
            wanted = max(1, self.config.default_output_tokens - begun)
        if not self.config.engine.answer_tokens(request.prompt_tokens, wanted):
            raise WireError(
                f"This model's maximum context length is {self.config.engine.context_tokens} tokens. However, your "
                f"request has {request.prompt_tokens} input tokens. Please reduce the length of the input messages."
            )
        return wanted

    def _keep_alive(self, exchange: Exchange, beat: bytes, period_s: float, count: int | None) -> None:
        """Beat until the client leaves, or so often; the server's closing is a leaving too."""
        if count == 0:
            exchange.finish()
            return
        exchange.write(beat)
        left = None if count is None else count - 1
        timer = self._loop.call_later(period_s, self._keep_alive, exchange, beat, period_s, left)
        exchange.on_gone = timer.cancel

    # -- the batch in real time

    def _admit(
        self,
        exchange: Exchange,
        request: Request,
        number: int,
        is_chat: bool,
        speech: Speech,
        begun: int,
        wanted: int,
        fault: Late | None,
    ) -> None:
        output_tokens = self.config.engine.answer_tokens(request.prompt_tokens, wanted)
        is_clipped = begun + output_tokens < speech.length if speech.length else wanted == request.max_tokens
        is_clipped |= output_tokens < wanted
        answer = Answer(
            exchange,
            request,
            speech,
            number=number,
            is_chat=is_chat,
            first_token=begun,
            output_tokens=output_tokens,
            finish_reason="length" if is_clipped else "stop",
            fault=fault,
        )
        now_s = self._loop.time()
        self._catch_up(now_s)
        self._batch.admit(number, request.prompt_tokens, output_tokens, now_s)
        self._held[number] = answer
        exchange.on_gone = partial(self._drop, number)
        answer.start()
        self._set_timer()

    def _drop(self, number: int) -> None:
        """Free what a request holds: its client has gone, or it was cut."""
        now_s = self._loop.time()
        self._catch_up(now_s)
        self._batch.cancel(number, now_s)
        self._held.pop(number, None)
        self._decoding.pop(number, None)
        self._set_timer()

    def _on_step(self) -> None:
        self._timer = self._timer_s = None
        self._catch_up(self._loop.time())
        self._set_timer()

    def _set_timer(self) -> None:
        step_s = self._batch.next_step_s()
        if step_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = step_s
        self._timer = None if step_s is None else self._loop.call_at(step_s, self._on_step)

    def _catch_up(self, now_s: float) -> None:
        """Write what the batch has produced by now. A late timer delays tokens but never the steps behind them."""
        for event in self._batch.advance(now_s):
            if event.is_last:
                self._decoding.pop(event.request_id, None)
                self._held.pop(event.request_id).end()
            else:
                self._decoding[event.request_id] = self._held[event.request_id]
        cut = [
            number for number, answer in self._decoding.items() if not answer.advance_by(self._batch.produced(number))
        ]
        for number in cut:
            self._batch.cancel(number, now_s)
            del self._decoding[number], self._held[number]

    def _metrics(self) -> bytes:
        """Write the three gauges that a gateway reads, under vLLM's names."""
        self._catch_up(self._loop.time())
        engine = self.config.engine
        capacity = engine.kv_capacity_tokens or engine.slots * (engine.context_tokens or 4096)
        gauges = (
            ("num_requests_running", "Number of requests in model execution batches.", self._batch.running),
            ("num_requests_waiting", "Number of requests waiting to be processed.", self._batch.waiting),
            ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", self._batch.kv_tokens / capacity),
        )
        labels = f'{{engine="0",model_name="{self.config.served_name}"}}'
        lines = [
            f"# HELP vllm:{name} {what}\n# TYPE vllm:{name} gauge\nvllm:{name}{labels} {float(value)}\n"
            for name, what, value in gauges
        ]
        return "".join(lines).encode()


def _count_field(request: Request, name: str) -> int | None:
    """Read a field of ours that says how much of an answer is wanted; ``WireError`` if it cannot be."""
    asked = request.fields.get(name)
    if asked is None:
        return None
    try:
        return msgspec.json.decode(asked, type=_Length)
    except msgspec.ValidationError as error:
        raise WireError(f"{name!r} must be an integer of 1 or more: {error}", param=name) from None


def _refuse(
    exchange: Exchange,
    status: int,
    kind: str,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Answer an error in vLLM's form: OpenAI's, with the status as a number for ``code``."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": status if code is None else code}}
    exchange.reply(status, (*JSON_HEADERS, *headers), msgspec.json.encode(body))


async def run(config: EngineConfig, report: Callable[[dict[str, object]], None]) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end."""
    engine = FakeEngine(config)
    await engine.listen()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    origin = engine.origin
    address = origin.uds_path or f"{origin.host}:{origin.port}"
    model = config.engine
    report({"status": "ready", "address": address, "slots": model.slots, "context_tokens": model.context_tokens})
    parent = os.getppid()
    waiting = asyncio.ensure_future(stop.wait())
    while not waiting.done() and os.getppid() == parent:
        await asyncio.wait([waiting], timeout=_GONE_CHECK_S)
    waiting.cancel()
    await engine.close()


def main() -> int:
    """Run as a process; return its exit code."""
    raw = sys.argv[1].encode() if len(sys.argv) > 1 else sys.stdin.buffer.read()
    try:
        asyncio.run(run(msgspec.json.decode(raw or b"{}", type=EngineConfig), _print_line))
    except (msgspec.DecodeError, OSError) as error:
        _print_line({"status": "failed", "reason": str(error)})
        return EXIT_FAILED
    return 0


def _print_line(status: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
