"""The scenarios of the fault lab: what each target does wrong, and what must come of a request all the same.

Every row is data: the lab stages it, the tests judge by it, and the reference page of faults is made from it. What must
come of it is what Overspill promises, whatever today's code does.
"""

from __future__ import annotations

import enum

import msgspec

from overspill.core.types import Surface
from overspill.gateway.rehearsal.faults import (
    HTML_ERROR,
    BadEventAfterTokens,
    CutAfterTokens,
    EndAfterTokens,
    ErrorEventAfterTokens,
    ErrorStatus,
    Fault,
    FixedBody,
    KeepaliveOnly,
    NoHead,
    SignalAfterTokens,
    SlowStart,
    StallAfterTokens,
)

OUTPUT_TOKENS = 12
"""Tokens of every answer in the lab."""
REASONING_TOKENS = 6
"""Those of them that are reasoning, where the scenario wants some."""
BREAK_AT = 5
"""Tokens that come before a fault in the middle: more than one, and not yet half of the answer."""
SLOW_S = 2
"""How late a slow first token is: later than the lab's commit deadline."""
LONG_WAIT_S = 30
"""What a target asks us to wait that has no room: longer than the lab's deadline."""
_BOTH = (Surface.CHAT, Surface.COMPLETIONS)
_ERROR_BODY = (
    '{"error":{"message":"Server busy, please try again later","type":"server_error","param":null,"code":null}}'
)


class Must(enum.StrEnum):
    """What must come of a request."""

    WHOLE = "whole"  # the whole answer, each token once
    ERROR = "error"  # an error that says so: a status, or an event that ends the stream in place of `[DONE]`


class Place(enum.StrEnum):
    """What stands where the faulty target should be."""

    UPSTREAM = "upstream"  # an API that has the faults
    ENGINE = "engine"  # an engine that the gateway starts as a process of its own, with the faults
    NOBODY = "nobody"  # a port at which nobody listens
    NO_TLS = "no_tls"  # an HTTPS address behind which nobody speaks TLS
    NO_NAME = "no_name"  # a host name that does not exist


class Shape(enum.StrEnum):
    """What the answer is made of."""

    TEXT = "text"
    REASONING = "reasoning"  # reasoning first, then text
    TOOL_CALL = "tool_call"  # one tool call


class Surroundings(enum.StrEnum):
    """What goes wrong around the gateway."""

    FINE = "fine"
    DISK_FULL = "disk_full"  # the ledger's file cannot grow any more
    CLOCK_BACK = "clock_back"  # the wall clock goes back an hour while the request is under way
    CLOCK_AHEAD = "clock_ahead"  # the wall clock goes ahead a day while the request is under way
    PAUSE = "pause"  # the gateway's process stands still in mid-answer, for longer than any stall may last


class Backup(enum.StrEnum):
    """Which healthy target the route has besides the faulty one."""

    SAME_WEIGHTS = "same_weights"  # it serves the same model, so a broken stream may be continued there
    OTHER_WEIGHTS = "other_weights"  # it serves another model, so a broken stream must not be continued there
    NONE = "none"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One fault."""

    name: str
    does: str
    """What the target does, in words."""
    leads_to: str
    """What Overspill makes of it, in words."""
    faults: tuple[Fault, ...] = ()
    backup_faults: tuple[Fault, ...] = ()
    """Those of the other target, which is otherwise well."""
    place: Place = Place.UPSTREAM
    surroundings: Surroundings = Surroundings.FINE
    backup: Backup = Backup.SAME_WEIGHTS
    must: Must = Must.WHOLE
    must_streamed: Must | None = None
    """Where a streamed answer differs: what has reached the client cannot be taken back."""
    shape: Shape = Shape.TEXT
    surfaces: tuple[Surface, ...] = _BOTH
    requests: int = 1
    """Sent at once."""
    retry_after_s: int | None = None
    """The least that an error's ``retry-after`` must say."""
    is_bounded: bool = False
    """Whether the first token may be late by the route's TTFT SLO and a tenth of it at most."""
    is_bounded_in_one_piece: bool = False
    """The same where the target cannot stream, so that its silence says nothing."""
    shows_life: bool = False
    """Whether the client waits beyond the commit deadline and must be shown a sign of life."""

    @property
    def has_pieces(self) -> bool:
        """Whether it makes a difference that the faulty target cannot stream."""
        return self.place is Place.UPSTREAM and self.surroundings is Surroundings.FINE

    def must_be(self, *, is_stream: bool) -> Must:
        """Say what must come of a request that asks for a stream, or for none."""
        return self.must_streamed if is_stream and self.must_streamed is not None else self.must


HEALTHY = Scenario(name="healthy", does="nothing wrong", leads_to="the answer, at home")

_REFUSED = (
    Scenario(
        name="storm_503",
        does="503 for each of eight requests at once",
        leads_to="a free retry on another target",
        faults=(ErrorStatus(every=1, status=503),),
        requests=8,
    ),
    Scenario(
        name="overloaded_529",
        does="529, Anthropic's “overloaded”",
        leads_to="a free retry on another target",
        faults=(ErrorStatus(every=1, status=529),),
    ),
    Scenario(
        name="rate_limited",
        does="429 without `Retry-After`",
        leads_to="the target cools down, another one answers",
        faults=(ErrorStatus(every=1, status=429),),
    ),
    Scenario(
        name="rate_limited_retry_after",
        does=f"429 with `Retry-After: {LONG_WAIT_S}`",
        leads_to="the target cools down for as long as it says, another one answers",
        faults=(ErrorStatus(every=1, status=429, retry_after_s=LONG_WAIT_S),),
    ),
    Scenario(
        name="rate_limited_once_alone",
        does="429 with `Retry-After: 1` once, and there is no other target",
        leads_to="the request waits that second in the queue and is answered",
        faults=(ErrorStatus(requests=(1,), status=429, retry_after_s=1),),
        backup=Backup.NONE,
    ),
    Scenario(
        name="rate_limited_alone",
        does=f"429 with `Retry-After: {LONG_WAIT_S}`, longer than the deadline, and there is no other target",
        leads_to="503 with the target's own `Retry-After`",
        faults=(ErrorStatus(every=1, status=429, retry_after_s=LONG_WAIT_S),),
        backup=Backup.NONE,
        must=Must.ERROR,
        retry_after_s=LONG_WAIT_S - 5,
    ),
    Scenario(
        name="overloaded_alone",
        does="503 every time, and there is no other target",
        leads_to="asked again until the deadline, then 503 with `Retry-After`",
        faults=(ErrorStatus(every=1, status=503),),
        backup=Backup.NONE,
        must=Must.ERROR,
        retry_after_s=1,
    ),
    Scenario(
        name="wrong_model_name",
        does="404, it does not have the model",
        leads_to="the target rests under this model's name, another one answers",
        faults=(ErrorStatus(every=1, status=404, code="model_not_found"),),
    ),
    Scenario(
        name="html_500",
        does="500 with a proxy's HTML page",
        leads_to="a free retry on another target",
        faults=(FixedBody(every=1, status=500, content_type="text/html", body=HTML_ERROR),),
    ),
)

_UNREACHABLE = (
    Scenario(
        name="connect_refused",
        does="nobody listens",
        leads_to="a free retry on another target",
        place=Place.NOBODY,
    ),
    Scenario(
        name="tls_failure",
        does="the TLS handshake fails",
        leads_to="a free retry on another target",
        place=Place.NO_TLS,
    ),
    Scenario(
        name="dns_failure",
        does="its host name does not exist",
        leads_to="a free retry on another target",
        place=Place.NO_NAME,
    ),
)

_SILENT = (
    Scenario(
        name="slow_headers",
        does="takes the request and sends no head",
        leads_to="given up, or overtaken by another target, when the route's TTFT SLO has passed",
        faults=(NoHead(every=1),),
        is_bounded=True,
    ),
    Scenario(
        name="keepalive_only",
        does="200, and then only `: keep-alive` comments, or blank lines where no stream was asked for",
        leads_to="overtaken by another target when the route's TTFT SLO has passed: keep-alives are no progress",
        faults=(KeepaliveOnly(every=1, period_s=0.05),),
        is_bounded=True,
        is_bounded_in_one_piece=True,
    ),
    Scenario(
        name="stall_before_token",
        does="200 and a role, and then nothing",
        leads_to="overtaken by another target when the route's TTFT SLO has passed: a role is no progress",
        faults=(StallAfterTokens(every=1),),
        is_bounded=True,
    ),
    Scenario(
        name="silent_stall",
        does=f"stops after {BREAK_AT} tokens and leaves the connection open",
        leads_to="given up when no token has come for the route's longest stall, and continued on another target",
        faults=(StallAfterTokens(every=1, tokens=BREAK_AT),),
    ),
)

_SLOW = (
    Scenario(
        name="slow_start_alone",
        does=f"takes {SLOW_S} s for its first token, and there is no other target",
        leads_to="at the commit deadline the client gets the head and signs of life, then the answer",
        faults=(SlowStart(every=1, seconds=SLOW_S),),
        backup=Backup.NONE,
        shows_life=True,
    ),
    Scenario(
        name="slow_failover",
        does=f"sends no head, and the other target takes {SLOW_S} s",
        leads_to="signs of life from the commit deadline on; the other target's answer behind them",
        faults=(NoHead(every=1),),
        backup_faults=(SlowStart(every=1, seconds=SLOW_S),),
        shows_life=True,
    ),
    Scenario(
        name="silent_alone",
        does="sends no head, and there is no other target",
        leads_to="signs of life from the commit deadline on; then an error under the 200 that was sent by then",
        faults=(NoHead(every=1),),
        backup=Backup.NONE,
        must=Must.ERROR,
        shows_life=True,
    ),
)

_HOLLOW = (
    Scenario(
        name="blank_lines_then_close",
        does="200, five blank lines or comments, and a proper end",
        leads_to="hollow success: a free retry on another target",
        faults=(KeepaliveOnly(every=1, period_s=0.01, count=5),),
    ),
    Scenario(
        name="hollow_whitespace",
        does="200 with a body of white space",
        leads_to="hollow success: a free retry on another target",
        faults=(FixedBody(every=1, body="\n \n\n"),),
    ),
    Scenario(
        name="hollow_empty_body",
        does="200 with no body at all",
        leads_to="hollow success: a free retry on another target",
        faults=(FixedBody(every=1, body=""),),
    ),
    Scenario(
        name="hollow_zero_tokens",
        does="200, finish reason `stop`, empty content and zero tokens",
        leads_to="hollow success: a free retry on another target",
        faults=(EndAfterTokens(every=1, finish_reason="stop"),),
    ),
    Scenario(
        name="hollow_no_finish_reason",
        does=f"ends after {BREAK_AT} tokens with `[DONE]` but without a finish reason",
        leads_to="as a cut: retried, or continued where tokens have reached the client",
        faults=(EndAfterTokens(every=1, tokens=BREAK_AT),),
    ),
    Scenario(
        name="hollow_no_terminator",
        does=f"ends after {BREAK_AT} tokens without a finish reason and without `[DONE]`",
        leads_to="as a cut: retried, or continued where tokens have reached the client",
        faults=(EndAfterTokens(every=1, tokens=BREAK_AT, has_done=False),),
    ),
    Scenario(
        name="hollow_error_body",
        does="an error body under 200",
        leads_to="read as the error it is: a free retry on another target",
        faults=(FixedBody(every=1, body=_ERROR_BODY),),
    ),
    Scenario(
        name="hollow_html",
        does="a proxy's HTML page under 200",
        leads_to="a free retry on another target",
        faults=(FixedBody(every=1, content_type="text/html", body=HTML_ERROR),),
    ),
    Scenario(
        name="no_resources_at_once",
        does="finish reason `insufficient_system_resource` before any token",
        leads_to="overloaded: a free retry on another target",
        faults=(EndAfterTokens(every=1, finish_reason="insufficient_system_resource"),),
    ),
)

_BROKEN = (
    Scenario(
        name="cut_before_token",
        does="the connection breaks after the head",
        leads_to="a free retry on another target",
        faults=(CutAfterTokens(every=1),),
    ),
    Scenario(
        name="cut_in_content",
        does=f"the connection breaks after {BREAK_AT} tokens",
        leads_to="continued on a target with the same weights",
        faults=(CutAfterTokens(every=1, tokens=BREAK_AT),),
    ),
    Scenario(
        name="cut_in_content_other_weights",
        does=f"the connection breaks after {BREAK_AT} tokens, and the other target has another model",
        leads_to="retried if nothing has reached the client; else an error event, since the other model must not go on",
        faults=(CutAfterTokens(every=1, tokens=BREAK_AT),),
        backup=Backup.OTHER_WEIGHTS,
        must_streamed=Must.ERROR,
    ),
    Scenario(
        name="cut_in_reasoning",
        does=f"the connection breaks after {BREAK_AT} of {REASONING_TOKENS} tokens of reasoning",
        leads_to="continued, reasoning first, on a target with the same weights",
        faults=(CutAfterTokens(every=1, tokens=BREAK_AT),),
        shape=Shape.REASONING,
        surfaces=(Surface.CHAT,),
    ),
    Scenario(
        name="cut_in_tool_call",
        does="the connection breaks inside a tool call",
        leads_to="a free retry on another target: a call is held back until it is whole",
        faults=(CutAfterTokens(every=1, tokens=BREAK_AT),),
        shape=Shape.TOOL_CALL,
        surfaces=(Surface.CHAT,),
    ),
    Scenario(
        name="bad_first_event",
        does="the first event of the stream is no JSON; a whole body is cut short",
        leads_to="a free retry on another target",
        faults=(BadEventAfterTokens(every=1),),
    ),
    Scenario(
        name="bad_event",
        does=f"one event after {BREAK_AT} tokens is no JSON; a whole body is cut short",
        leads_to="retried, or continued where tokens have reached the client: what it said is not known",
        faults=(BadEventAfterTokens(every=1, tokens=BREAK_AT),),
    ),
    Scenario(
        name="error_first_event",
        does="the first event of the stream is an error",
        leads_to="a free retry on another target",
        faults=(ErrorEventAfterTokens(every=1),),
    ),
    Scenario(
        name="error_event",
        does=f"an error event after {BREAK_AT} tokens",
        leads_to="retried, or continued where tokens have reached the client",
        faults=(ErrorEventAfterTokens(every=1, tokens=BREAK_AT),),
    ),
    Scenario(
        name="no_resources_in_mid_answer",
        does=f"finish reason `insufficient_system_resource` after {BREAK_AT} tokens",
        leads_to="not an end but a cut: retried, or continued where tokens have reached the client",
        faults=(EndAfterTokens(every=1, tokens=BREAK_AT, finish_reason="insufficient_system_resource"),),
    ),
    Scenario(
        name="engine_killed",
        does=f"the local engine is killed (SIGKILL) after {BREAK_AT} tokens",
        leads_to="continued on a target with the same weights, while the engine is started again",
        faults=(SignalAfterTokens(every=1, tokens=BREAK_AT, signal="KILL"),),
        place=Place.ENGINE,
    ),
    Scenario(
        name="engine_stopped",
        does=f"the local engine stands still (SIGSTOP) after {BREAK_AT} tokens",
        leads_to="as a silent stall",
        faults=(SignalAfterTokens(every=1, tokens=BREAK_AT, signal="STOP"),),
        place=Place.ENGINE,
    ),
)

_AROUND = (
    Scenario(
        name="ledger_disk_full",
        does="the ledger's file cannot grow any more",
        leads_to="answers as ever; records wait in memory, up to a bound, and the metrics say so",
        surroundings=Surroundings.DISK_FULL,
    ),
    Scenario(
        name="clock_back",
        does="the wall clock goes back an hour while the request is under way",
        leads_to="answers as ever: all waits are measured on a clock that cannot be set",
        surroundings=Surroundings.CLOCK_BACK,
    ),
    Scenario(
        name="clock_ahead",
        does="the wall clock goes ahead a day while the request is under way",
        leads_to="answers as ever: all waits are measured on a clock that cannot be set",
        surroundings=Surroundings.CLOCK_AHEAD,
    ),
    Scenario(
        name="gateway_paused",
        does="the gateway's own process stands still for longer than any stall may last, and goes on",
        leads_to="the answer goes on: what the gateway did not read is not the target's fault",
        surroundings=Surroundings.PAUSE,
    ),
)

SCENARIOS = (HEALTHY, *_REFUSED, *_UNREACHABLE, *_SILENT, *_SLOW, *_HOLLOW, *_BROKEN, *_AROUND)
"""All of them; the first has no fault, and what it takes is what the others are measured against."""
