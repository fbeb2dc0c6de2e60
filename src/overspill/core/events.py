"""Facts that come into the controller. Time is not in them: it is the second argument of ``Controller.handle``.

The prompt's text never enters: counts, flags and a hash do. Each event is tagged, so that a recording is a line of
JSON each.
"""

from __future__ import annotations

from typing import final

from overspill.core.types import Continues, FailureKind, Health, Policy, RescueRefusal, Scope, Surface, Value, Window


class Event(Value, frozen=True, tag=True):
    """Base of all events."""


@final
class Arrived(Event, frozen=True):
    """A client asks for something. Every ``Arrived`` is answered by exactly one ``Complete`` or ``Reject``."""

    request_id: str
    model: str
    surface: Surface = Surface.CHAT
    prompt_tokens: int = 0
    """Estimated from the text's length; the target's own count corrects the ratio later."""
    max_tokens: int | None = None
    """What the client allows, or ``None`` if it named no limit."""
    priority: int = 1
    local_only: bool = False
    ttft_slo_s: float | None = None
    """The client's own SLO for this request; otherwise the route's."""
    deadline_s: float | None = None
    """The client's own longest wait; otherwise the route's."""
    prefix_hash: int = 0
    key_id: str = ""
    is_stream: bool = True
    """True if the client wants the answer as a stream."""
    screening: int = 0
    """The ``Route.screening`` that found nothing in its text; 0 if nothing has looked."""
    needs: int = 0
    """What it needs that not every target does: bits of ``features``."""


class ClientGone(Event, frozen=True):
    """The client's connection ended before its answer was complete."""

    request_id: str
    is_shutdown: bool = False
    """True if the gateway ended it, because it stops; the client would have stayed."""


class Queued(Event, frozen=True):
    """An attempt's target keeps the connection alive and says nothing: the request waits in a queue there.

    Told once for an attempt, and only before its first token.
    """

    attempt_id: int


@final
class FirstToken(Event, frozen=True):
    """The first meaningful token of an attempt: content, reasoning or a tool call; no comment, no empty delta."""

    attempt_id: int


class Progress(Event, frozen=True):
    """Tokens so far of an attempt; sent now and then, not for each chunk."""

    attempt_id: int
    output_tokens: int


@final
class Finished(Event, frozen=True):
    """An attempt ended whole: with a finish reason (streams) or a complete body.

    A count that the target did not report is ``None``, never 0.
    """

    attempt_id: int
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


class Cut(Value, frozen=True):
    """An answer that broke off, as far as it matters to who goes on with it."""

    output_tokens: int
    """Of the whole answer so far, also where several attempts wrote it; at least so many."""
    has_reasoning: bool = False
    refusal: RescueRefusal | None = None
    """Why no target whatever can go on with it."""


class Failed(Event, frozen=True):
    """An attempt ended otherwise."""

    attempt_id: int
    kind: FailureKind
    status: int | None = None
    retry_after_s: float | None = None
    output_tokens: int = 0
    """Tokens that had reached the client before it failed; 0 means that another target may try."""
    cut: Cut | None = None
    """What the client has, where the stream was kept so that it can be continued."""


class TargetReported(Event, frozen=True):
    """An engine's own metrics. They correct our count, they do not replace it; what is not reported is ``None``."""

    target_id: str
    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None
    """0 to 1."""


class TargetChanged(Event, frozen=True):
    """A target came up, went down or drains."""

    target_id: str
    health: Health
    slots: int | None = None
    """The slots it really has, where they differ from its specification."""
    context_tokens: int | None = None


class TargetVerified(Event, frozen=True):
    """It was seen how a target goes on with an answer that it is given the beginning of."""

    target_id: str
    model: str
    """The name that it is asked for."""
    continues: Continues


class PolicyChanged(Event, frozen=True):
    """A new policy. Attempts that run on a target it no longer names run to their end."""

    policy: Policy


class DrainStarted(Event, frozen=True):
    """The gateway shuts down: what runs or waits is finished, nothing new is admitted."""


class ClockRead(Event, frozen=True):
    """What the wall says: the windows of budgets are those of the calendar. Told at the start, and now and then."""

    unix_s: float


class SpentBefore(Event, frozen=True):
    """What a budget's present window had seen spent before this controller was born, as the ledger tells."""

    scope: Scope
    name: str
    window: Window
    usd: float


class Tick(Event, frozen=True):
    """Time has passed: sent at ``next_wakeup``."""


OtherEvent = (
    ClientGone
    | Queued
    | Progress
    | Failed
    | TargetReported
    | TargetChanged
    | TargetVerified
    | PolicyChanged
    | DrainStarted
    | ClockRead
    | SpentBefore
    | Tick
)
"""All but the three of a request that goes well."""
AnyEvent = Arrived | FirstToken | Finished | OtherEvent
